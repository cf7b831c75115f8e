"""Whether a dataset's files are those that were written: asked before they are trusted.

What a table holds is known twice: from its files, and from the list of pairs, which
says how many rows each has. A file's size and its checksum stand in the manifest.
"""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from replay.common.errors import OutputError
from replay.dataset.damage import intact
from replay.dataset.layout import DatasetLayout, Manifest, TablePart
from replay.dataset.places import Place
from replay.dataset.rows import SCHEMAS

_PIECE: Final = 1 << 20


def damaged(place: Place, reason: str) -> OutputError:
    """Return what to raise where a file is not what was written."""
    return OutputError(
        f"{place}: is damaged: restore it, or make the dataset anew ({reason})"
    )


def part_of(place: Place) -> TablePart:
    """Tell the size and the checksum of a file that was just written."""
    size, checksum = 0, 0
    with place.opened() as file:
        while data := file.read(_PIECE):
            size += len(data)
            checksum = zlib.crc32(data, checksum)
    return TablePart(nbytes=size, crc32=checksum)


@contextmanager
def opened_table(place: Place, name: str) -> Iterator[pq.ParquetFile]:
    """Open a file of a table, with the table's columns and intact pages.

    Raises
    ------
    OutputError
        It is damaged or gone, or has other columns.
    """
    with (
        intact(place),
        place.opened() as source,
        pq.ParquetFile(source, page_checksum_verification=True) as file,
    ):
        check_columns(place, name, file.schema_arrow)
        yield file


def check_columns(place: Place, name: str, found: pa.Schema) -> None:
    """Refuse a file of a table that has other columns than the table."""
    wanted = SCHEMAS[name]
    for number in range(max(len(found), len(wanted))):
        one, other = (
            _told(schema.field(number)) if number < len(schema) else "nothing"
            for schema in (found, wanted)
        )
        if one != other:
            raise damaged(place, f"column {number} is {one!r}, not {other!r}")


def _told(field: pa.Field) -> str:
    # Parquet's name of what a list holds is another one than Arrow's
    return f"{field.name}: {field.type}".replace("<element:", "<item:")


def check_table(
    layout: DatasetLayout, manifest: Manifest, name: str, n_rows: int
) -> None:
    """Make sure that a table is whole: its files, their columns, and all its rows.

    Parameters
    ----------
    layout : DatasetLayout
    manifest : Manifest
    name : str
    n_rows : int
        Of all pairs.

    Raises
    ------
    OutputError
        It is not.
    """
    found = 0
    for file in manifest.tables.get(name, []):
        place = layout.root / file
        _check_part(place, manifest.parts.get(file))
        with opened_table(place, name) as opened:
            found += opened.metadata.num_rows
    if found != n_rows:
        raise damaged(
            layout.root / name, f"{found:,} rows, but its pairs have {n_rows:,}"
        )


def check_names(manifest: Manifest, place: Place) -> None:
    """Refuse a manifest that names files which are no parts of its tables."""
    for name, files in manifest.tables.items():
        for file in files:
            folder, _, last = file.partition("/")
            if name not in SCHEMAS or folder != name or _is_odd(last):
                raise damaged(place, f"{file!r} is no file of the table {name!r}")


def missing_tables(manifest: Manifest) -> Sequence[str]:
    """Name the tables that a manifest has no files of."""
    return [name for name in SCHEMAS if not manifest.tables.get(name)]


def _is_odd(name: str) -> bool:
    return not name.startswith("part-") or "/" in name or not name.isprintable()


def _check_part(place: Place, told: TablePart | None) -> None:
    # written by a replay that noted none
    if told is None:
        return
    if place.local is None:
        # to fetch the whole file would take longer than what is asked of it
        there = place.find()
        if there is not None and there.nbytes != told.nbytes:
            raise damaged(place, f"{there.nbytes:,} bytes, not {told.nbytes:,}")
        return
    with intact(place):
        found = part_of(place)
    if found != told:
        raise damaged(place, "its bytes are not those that were written")
