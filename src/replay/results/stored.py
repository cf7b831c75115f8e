"""Tables on disk, each read when it is first asked for."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from replay.common.errors import OutputError
from replay.results.schema import RUN_FILE, TABLES

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile


class StoredTables(Mapping[str, pa.Table]):
    """The tables of a result directory, each read when it is first asked for.

    Parameters
    ----------
    directory : Path
        Holds the Parquet files.
    known : mapping of str to pyarrow.Table
        Tables that are in memory already.
    info : mapping
        The content of ``run.json``: which run the tables are of.

    Notes
    -----
    Reading raises `OutputError` if another result was written there meanwhile.
    """

    def __init__(
        self,
        directory: Path,
        known: Mapping[str, pa.Table] | None = None,
        *,
        info: Mapping[str, Any],
    ) -> None:
        self.directory = directory
        self._info = info
        self._written = _written(directory)
        self._tables = dict(known or {})
        self._names = [
            name
            for name, spec in TABLES.items()
            if name in self._tables or (directory / spec.file).exists()
        ]

    def __getitem__(self, name: str) -> pa.Table:
        """Return a table, from memory if it was read before."""
        if name not in self._names:
            raise KeyError(name)
        if name not in self._tables:
            self._tables[name] = _read(self._file(name), name, self._info)
        return self._tables[name]

    def parts(
        self, name: str, columns: Sequence[str], only: Sequence[int] | None = None
    ) -> Iterator[pa.Table]:
        """Go through a few columns of a table, a row group at a time if it is stored.

        Texts that are stored come as dictionaries.
        """
        if name in self._tables:
            if only is None or 0 in only:
                yield self._tables[name].select(columns)
            return
        schema = TABLES[name].schema
        texts = [key for key in columns if pa.types.is_string(schema.field(key).type)]
        path = self._file(name)
        with _opened(path, name, self._info, dictionaries=texts) as file:
            groups = range(file.num_row_groups) if only is None else only
            for group in groups:
                yield file.read_row_group(group, columns, use_threads=False)

    def _file(self, name: str) -> Path:
        if _written(self.directory) != self._written:
            raise OutputError(
                f"{self.directory}: another result was written there meanwhile: open "
                "it anew, or give each run an output of its own"
            )
        return self.directory / TABLES[name].file

    def __contains__(self, name: object) -> bool:
        """Tell without reading."""
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of tables, in the documents' order."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return the number of tables."""
        return len(self._names)


def _written(directory: Path) -> tuple[int, int] | None:
    """Tell one result in a directory from the next; None if there is none."""
    try:
        found = (directory / RUN_FILE).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def parts_of(
    tables: Mapping[str, pa.Table],
    name: str,
    columns: Sequence[str],
    only: Sequence[int] | None = None,
) -> Iterator[pa.Table]:
    """Go through a few columns of a table that need not be in memory as a whole.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
        Of a result.
    name : str
        A table that it has.
    columns : sequence of str
    only : sequence of int or None
        Numbers of the parts to go through, ascending; None: all of them.

    Yields
    ------
    pyarrow.Table
        The next rows; texts come as strings or as dictionaries of them.

    Raises
    ------
    OutputError
        It is stored and cannot be read.
    """
    if isinstance(tables, StoredTables):
        return tables.parts(name, columns, only)
    return iter([tables[name].select(columns)] if only is None or 0 in only else [])


@contextmanager
def _opened(
    path: Path,
    name: str,
    info: Mapping[str, Any],
    *,
    dictionaries: Sequence[str] = (),
) -> Iterator["ParquetFile"]:
    """Open a table's file; say in one line what keeps it from being read."""
    from pyarrow.parquet import ParquetFile

    try:
        if not path.is_file():
            raise OutputError(f"{path}: is not a regular file: run it again")
        # not mapped: a file that is cut short meanwhile would end the process
        with ParquetFile(
            path,
            read_dictionary=list(dictionaries),
            page_checksum_verification=True,
        ) as file:
            _check_run(path, info, file.metadata.metadata or {})
            if _plain(file.schema_arrow) != _plain(TABLES[name].schema):
                raise KeyError(name)
            yield file
    except KeyError:
        # also one of the dictionaries that is not there
        raise OutputError(
            f"{path}: not the columns of {name!r}: run it again"
        ) from None
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        # a column's name that is no text is Python's error
        reason = str(error).partition("\n")[0]
        raise OutputError(f"{path}: not a readable table ({reason})") from error


def _plain(schema: pa.Schema) -> list[tuple[str, pa.DataType, bool]]:
    """Return what columns hold, be it by dictionaries."""
    return [
        (
            field.name,
            field.type.value_type if pa.types.is_dictionary(field.type) else field.type,
            field.nullable,
        )
        for field in schema
    ]


def _check_run(
    path: Path, info: Mapping[str, Any], found: Mapping[bytes, bytes]
) -> None:
    """Refuse the table of another run, by its labels."""
    for key, told in (
        ("scenario_sha256", info["scenario_sha256"]),
        ("trace_sha256", info["trace"]["sha256"]),
    ):
        label = found.get(f"replay.{key}".encode())
        if label is not None and label != told.encode():
            raise OutputError(
                f"{path}: is of another run than {RUN_FILE} beside it: run it again"
            )


def _check_keys(path: Path, name: str, table: pa.Table) -> None:
    """Refuse a table with two rows of one key: they would be added up, or crossed."""
    keys = list(TABLES[name].key)
    # a row for each request, or for each interval, may be more than is looked through
    if not keys or name in ("requests", "timeline") or table.num_rows < 2:
        return
    if table.group_by(keys, use_threads=False).aggregate([]).num_rows < table.num_rows:
        raise OutputError(f"{path}: two rows have the same {' and '.join(keys)}")


def _read(path: Path, name: str, info: Mapping[str, Any]) -> pa.Table:
    with _opened(path, name, info) as file:
        table = file.read()
        table.validate(full=True)
        found = file.metadata.metadata or {}
    if not table.schema.equals(TABLES[name].schema):
        raise OutputError(f"{path}: not the columns of {name!r}: run it again")
    _check_keys(path, name, table)
    # labels stand in the file's metadata; those added after the schema was written (the
    # requests') stand nowhere else
    labels = {key: found[key] for key in sorted(found) if key.startswith(b"replay.")}
    return table.replace_schema_metadata(labels)
