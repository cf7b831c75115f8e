"""Results to disk: written beside their place and renamed, never half a result."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay.engine.raw import RAW_COLUMNS
from replay.results.directory import OutputDirectory, named
from replay.results.schema import RUN_FILE, TABLES
from replay.results.stored import StoredTables
from replay.results.tables import (
    PART_ROWS,
    Columns,
    Names,
    RequestConverter,
    RequestLookup,
)

#: Rows of one row group of a file; of ``requests.parquet``, too, whatever the engine's
#: batches are.
ROW_GROUP: Final = PART_ROWS

_REQUEST_SCHEMA: Final = TABLES["requests"].schema
#: Few lengths are used, however large: a dictionary holds them.
_NUMBERS: Final = [
    field.name
    for field in _REQUEST_SCHEMA
    if field.type in (pa.int64(), pa.uint64()) and field.name != "nbytes"
]
#: How the requests are stored: times and rows by their differences, which takes a
#: quarter of the time and half the room of pyarrow's default.
_REQUEST_STORAGE: Final[dict[str, Any]] = {
    "compression": "zstd",
    "use_dictionary": [n for n in _REQUEST_SCHEMA.names if n not in _NUMBERS],
    "column_encoding": dict.fromkeys(_NUMBERS, "DELTA_BINARY_PACKED"),
    "write_page_checksum": True,
}
#: How all others are. Each page has a checksum, so that damage is no wrong number.
_STORAGE: Final[dict[str, Any]] = {"compression": "zstd", "write_page_checksum": True}


class RequestsWriter:
    """Takes the engine's ``requests`` columns, to a file or into memory.

    Parameters
    ----------
    names : Names
        What the ids stand for.
    recording : RequestLookup
        What the trace has of each.
    directory : OutputDirectory or None
        Where ``requests.parquet`` is written; None keeps the table in memory.

    Notes
    -----
    Memory is bounded by `ROW_GROUP` if there is a file. The rows are cut into the same
    row groups whatever the sizes of the batches that come in.
    """

    def __init__(
        self,
        names: Names,
        recording: RequestLookup,
        directory: OutputDirectory | None = None,
    ) -> None:
        self._converter = RequestConverter(names, recording)
        self._batches: list[pa.RecordBatch] = []
        self._directory = directory
        self._file = None
        if directory is not None:
            import pyarrow.parquet as pq

            path = directory.path / TABLES["requests"].file
            with named(directory.target):
                self._file = pq.ParquetWriter(path, _REQUEST_SCHEMA, **_REQUEST_STORAGE)
        self._buffer = _new_buffer()
        self._used = 0

    def append(self, columns: Columns) -> None:
        """Add rows; they are copied.

        Parameters
        ----------
        columns : mapping of str to ndarray, shape (n,)
            See `replay.results.tables.RequestConverter.batch`.
        """
        n_rows = len(columns["row"])
        taken = 0
        while taken < n_rows:
            n = min(n_rows - taken, ROW_GROUP - self._used)
            for name, buffer in self._buffer.items():
                rows = columns[name][taken : taken + n]
                buffer[self._used : self._used + n] = rows
            self._used += n
            taken += n
            if self._used == ROW_GROUP:
                self._flush()

    def close(self, metadata: Mapping[str, str]) -> pa.Table | None:
        """Write what is left.

        Parameters
        ----------
        metadata : mapping of str to str
            The table's labels.

        Returns
        -------
        pyarrow.Table or None
            The table, if there is no file.
        """
        if self._used:
            self._flush()
        if self._file is None or self._directory is None:
            table = pa.Table.from_batches(self._batches, _REQUEST_SCHEMA)
            return table.replace_schema_metadata(metadata)
        with named(self._directory.target):
            self._file.add_key_value_metadata(metadata)
            self._file.close()
        return None

    def abandon(self) -> None:
        """Let go of the file, whatever is in it; harmless after `close`."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _flush(self) -> None:
        columns = {name: buffer[: self._used] for name, buffer in self._buffer.items()}
        batch = self._converter.batch(columns)
        if self._file is None or self._directory is None:
            # the batch shares the buffer's memory: the next rows need another one
            self._batches.append(batch)
            self._buffer = _new_buffer()
        else:
            with named(self._directory.target):
                self._file.write_batch(batch, row_group_size=ROW_GROUP)
        self._used = 0


def _new_buffer() -> dict[str, NDArray[Any]]:
    return {
        name: np.empty(ROW_GROUP, dtype)
        for name, dtype in RAW_COLUMNS["requests"].items()
    }


def write_tables(
    tables: Mapping[str, pa.Table],
    info: Mapping[str, Any],
    outdir: Path,
    *,
    overwrite: bool = False,
) -> None:
    """Write a result's tables and the content of its ``run.json``.

    See `Result.write`.
    """
    with OutputDirectory(outdir, overwrite=overwrite) as directory:
        names = list(tables)
        if "requests" in names and isinstance(tables, StoredTables):
            # it may be larger than memory
            import shutil

            names.remove("requests")
            file = TABLES["requests"].file
            with named(outdir):
                shutil.copyfile(tables.directory / file, directory.path / file)
        for name in names:
            write_table(directory, name, [tables[name]])
        write_info(directory, info)
        directory.commit()


def write_table(
    directory: OutputDirectory, name: str, parts: Iterable[pa.Table]
) -> tuple[pa.Table, int]:
    """Write a table that comes in parts, at least one; return the first, and how many.

    The file is the same wherever between two row groups the parts are cut.
    """
    import pyarrow.parquet as pq

    storage = _REQUEST_STORAGE if name == "requests" else _STORAGE
    coming = iter(parts)
    first = next(coming)
    n_parts = 1
    with (
        named(directory.target),
        pq.ParquetWriter(
            directory.path / TABLES[name].file, first.schema, **storage
        ) as file,
    ):
        file.write_table(first, row_group_size=ROW_GROUP)
        for part in coming:
            file.write_table(part, row_group_size=ROW_GROUP)
            n_parts += 1
    return first, n_parts


def write_info(directory: OutputDirectory, info: Mapping[str, Any]) -> None:
    """Write ``run.json``."""
    text = json.dumps(info, indent=2, ensure_ascii=False) + "\n"
    with named(directory.target):
        (directory.path / RUN_FILE).write_text(text, encoding="utf-8")
