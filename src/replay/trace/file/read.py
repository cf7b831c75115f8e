"""Write and open trace files.

A trace file is an Arrow IPC file of `TRACE_SCHEMA`, uncompressed so that it maps
without a copy. What it says about itself (`Metadata`, as JSON) is known only after the
last row: it stands in the custom metadata of the last record batch, under
`METADATA_KEY`. The footer's own metadata must be given before the first row, so it does
not serve.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import ipc

from replay.common._mapped import Watched
from replay.common.closing import Closing
from replay.common.errors import TraceError
from replay.common.lookup import Lookup
from replay.common.shown import Drawn
from replay.trace.file.metadata import Metadata, Summary
from replay.trace.file.old import OLD_SCHEMAS, as_now, updated
from replay.trace.file.schema import (
    NOT_SEEN_NS,
    OPS,
    SCHEMA_VERSION,
    TRACE_SCHEMA,
    device_text,
)
from replay.trace.rows import sliced

#: Told of work done and work in all; bytes in a conversion, rows in a run.
Progress = Callable[[int, int], None]

METADATA_KEY: Final = b"replay"
ARROW_MAGIC: Final = b"ARROW1"
_AGAIN: Final = "make it anew with `replay convert`"


class _TraceVersion(msgspec.Struct):
    schema_version: int


class Trace(Closing, Drawn):
    """A trace file, mapped into memory.

    Parameters
    ----------
    path : str or Path
        A trace file.

    Attributes
    ----------
    path : Path
        Where it lies, or lay: a mapped file may lose its name.
    metadata : Metadata
        What the file says beside its rows.
    n_rows : int
        Requests in the file.

    Raises
    ------
    TraceError
        The file cannot be read, is no trace file, or is one of another version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._watched: Watched | None = None
        self._told: os.stat_result | None = None
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._told = os.fstat(self._descriptor)
            if not stat.S_ISREG(self._told.st_mode):
                raise TraceError(f"{path}: cannot be read: it is not a regular file")
            self._file = pa.memory_map(str(path), "r")
        except OSError as error:
            self._let_go()
            reason = error.strerror or error
            raise TraceError(f"{path}: cannot be read: {reason}") from error
        except BaseException:
            self._let_go()
            raise
        try:
            if self._told.st_size:
                self._watched = Watched(self._file.read_buffer(self._told.st_size))
                self._file.seek(0)
            self._reader = _open_reader(self._file, self.path)
            self._version, self.metadata = _read_metadata(self._reader, self.path)
        except BaseException:
            self.close()
            raise
        self.n_rows = self.metadata.summary.n_rows
        listed = [one.device for one in self.metadata.summary.devices]
        self._devices: Lookup | None = None
        if listed:
            keys = np.unique(np.array(listed, np.uint64))
            self._devices = Lookup(keys, np.ones(len(keys), np.uint8), 0)

    @property
    def schema(self) -> pa.Schema:
        """Columns, with unit and description in their metadata."""
        return TRACE_SCHEMA

    def batches(self, batch_rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """Go through the rows without copying them.

        Parameters
        ----------
        batch_rows : int or None
            Rows of a batch at most; by default as they lie in the file.

        Yields
        ------
        pyarrow.RecordBatch
            Of `TRACE_SCHEMA`, at least one row. Times are at least 0 where they are
            valid and -1 in the value slot where they are null; no other column has
            nulls; every ``op`` index is below ``len(OPS)``.

        Raises
        ------
        TraceError
            The file is damaged.
        """
        if batch_rows is not None and batch_rows < 1:
            raise ValueError(f"batch_rows: {batch_rows} is not positive")
        yield from sliced(self._checked_batches(), batch_rows)

    def _checked_batches(self) -> Iterator[pa.RecordBatch]:
        for index in range(self._reader.num_record_batches):
            with _reading(self.path, f"batch {index}: "):
                batch = as_now(self._reader.get_batch(index), self._version)
                _check_values(batch)
                self._check_devices(batch)
            yield batch
            self.check_unchanged()
        self.check_unchanged()

    def _check_devices(self, batch: pa.RecordBatch) -> None:
        """Refuse a row of a device that the metadata does not list, if it lists any."""
        if self._devices is None:
            return
        values = column_values(batch.column("device"))
        unknown = self._devices(values) == 0
        if unknown.any():
            raise pa.ArrowInvalid(
                f"device {device_text(int(values[unknown.argmax()]))} stands in a row, "
                "but not in the file's metadata"
            )

    @property
    def batch_sizes(self) -> list[int]:
        """Rows of each batch of the file."""
        n_batches = self._reader.num_record_batches
        return [self._reader.get_batch(index).num_rows for index in range(n_batches)]

    def batch(self, index: int) -> pa.RecordBatch:
        """Return a batch as it lies in the file, once `batches` has checked it."""
        with _reading(self.path, f"batch {index}: "):
            return as_now(self._reader.get_batch(index), self._version)

    def check_unchanged(self) -> None:
        """Make sure that what was read is what the file held when it was opened.

        Raises
        ------
        TraceError
            It was cut short or written meanwhile.
        """
        if self._told is None or self._descriptor < 0:
            return
        now = os.fstat(self._descriptor)
        if (
            (self._watched is not None and self._watched.cut)
            or now.st_size != self._told.st_size
            or now.st_mtime_ns != self._told.st_mtime_ns
        ):
            raise TraceError(
                f"{self.path}: was changed while it was read: let whoever writes it "
                "end, and begin again"
            )

    def table(self) -> pa.Table:
        """Give all rows as one table, without copying them.

        Returns
        -------
        pyarrow.Table
            Of `TRACE_SCHEMA`.
        """
        return pa.Table.from_batches(self.batches(), schema=TRACE_SCHEMA)

    def close(self) -> None:
        """Unmap the file once nothing uses its rows any more."""
        self._file.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._watched is not None:
            self._watched.close()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self._let_go()

    def __repr__(self) -> str:
        return f"<Trace {str(self.path)!r}, {self.n_rows} rows>"


def open_trace(path: str | Path) -> Trace:
    """Open a trace file.

    Parameters
    ----------
    path : str or Path
        As `convert` wrote it.

    Returns
    -------
    Trace
        To be closed, or used in a ``with`` statement.

    Raises
    ------
    TraceError
        The file cannot be read, is no trace file, or is one of another version.
    """
    return Trace(path)


def is_arrow(path: str | Path) -> bool:
    """Return True if a path is a regular file that begins like an Arrow IPC file."""
    path = Path(path)
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(ARROW_MAGIC)) == ARROW_MAGIC
    except OSError:
        return False


def column_values(column: pa.Array) -> NDArray[Any]:
    """Give a column's values without copying them.

    Unlike pyarrow's ``to_numpy`` it leaves null slots as they are, takes a dictionary's
    indices, and does not import pandas where that is installed.

    Parameters
    ----------
    column : pyarrow.Array
        Of integers, or a dictionary.

    Returns
    -------
    ndarray
        Shape (len(column),), read-only; valid as long as the column's buffers.

    Raises
    ------
    pyarrow.ArrowInvalid
        The buffer is missing or not aligned: only a hostile file has such.
    """
    if isinstance(column, pa.DictionaryArray):
        column = column.indices
    # both call their integers by the same names
    dtype = np.dtype(str(column.type))
    buffer = column.buffers()[1]
    if len(column) == 0:
        return np.empty(0, dtype)
    if buffer is None or buffer.address % dtype.itemsize:
        raise pa.ArrowInvalid("a column has no values, or not where they belong")
    return np.frombuffer(buffer, dtype, len(column), column.offset * dtype.itemsize)


@contextmanager
def _reading(path: Path, where: str = "") -> Iterator[None]:
    """Turn what is found wrong in the body into a `TraceError`."""
    try:
        yield
    # pyarrow's own errors; msgspec's; names in the file that are not UTF-8
    except (
        OSError,
        pa.ArrowException,
        msgspec.DecodeError,
        UnicodeDecodeError,
    ) as error:
        reason = " ".join(str(error).split())
        raise TraceError(f"{path}: is damaged: {where}{reason}: {_AGAIN}") from error


def _open_reader(file: pa.MemoryMappedFile, path: Path) -> ipc.RecordBatchFileReader:
    """Open an Arrow IPC file, and say what else it is if it is none."""
    size = file.size()
    if file.read_at(min(len(ARROW_MAGIC), size), 0) != ARROW_MAGIC:
        raise TraceError(f"{path}: byte 0: is not a trace file: {_AGAIN}")
    end = max(size - len(ARROW_MAGIC), len(ARROW_MAGIC))
    if file.read_at(len(ARROW_MAGIC), end) != ARROW_MAGIC:
        raise TraceError(
            f"{path}: byte {size}: is cut short (the end of the Arrow file is "
            f"missing): {_AGAIN}"
        )
    with _reading(path):
        return ipc.open_file(file)


def _read_metadata(
    reader: ipc.RecordBatchFileReader, path: Path
) -> tuple[int, Metadata]:
    """Read the version and metadata of a file, and check that it is one of ours."""
    text = None
    with _reading(path):
        if reader.num_record_batches:
            last = reader.num_record_batches - 1
            custom = reader.get_batch_with_custom_metadata(last).custom_metadata
            text = custom.get(METADATA_KEY) if custom is not None else None
    if text is None:
        raise TraceError(
            f"{path}: is an Arrow file but no trace file (no metadata "
            f"{METADATA_KEY.decode()!r} with its last batch): {_AGAIN}"
        )
    with _reading(path, "metadata: "):
        version = msgspec.json.decode(text, type=_TraceVersion).schema_version
    if version not in OLD_SCHEMAS and version != SCHEMA_VERSION:
        raise TraceError(
            f"{path}: has schema version {version}, this program reads "
            f"{SCHEMA_VERSION} and older ones: {_AGAIN}"
        )
    with _reading(path, "metadata: "):
        metadata = msgspec.json.decode(text, type=Metadata)
    with _reading(path, "metadata: "):
        _check_summary(metadata.summary)
    with _reading(path):
        _check_columns(reader.schema, OLD_SCHEMAS.get(version, TRACE_SCHEMA))
        # nothing but the batches' headers is read
        n_batches = reader.num_record_batches
        n_rows = sum(reader.get_batch(index).num_rows for index in range(n_batches))
        if n_rows != metadata.summary.n_rows:
            said = metadata.summary.n_rows
            raise pa.ArrowInvalid(f"{n_rows} rows, but its metadata says {said}")
    return version, updated(metadata)


def _check_columns(schema: pa.Schema, wanted: pa.Schema) -> None:
    """Refuse other columns than ours; what is noted on them may differ."""
    expected, found = _columns(wanted), _columns(schema)
    for index, pair in enumerate(zip_longest(found, expected, fillvalue="nothing")):
        if pair[0] != pair[1]:
            raise pa.ArrowInvalid(f"column {index} is {pair[0]!r}, not {pair[1]!r}")


def _check_summary(summary: Summary) -> None:
    """Refuse numbers that contradict each other or that no trace has."""
    if summary.end_ns < summary.start_ns:
        raise pa.ArrowInvalid("ends before it starts")
    if any(one.id >> 64 for one in summary.cgroups):
        raise pa.ArrowInvalid("a cgroup id of more than 64 bits")
    for name, numbers in (
        ("device", [one.device for one in summary.devices]),
        ("cgroup", [one.id for one in summary.cgroups]),
        ("process", [one.pid for one in summary.processes]),
    ):
        if len(set(numbers)) != len(numbers):
            raise pa.ArrowInvalid(f"lists a {name} twice")
    n_rows = sum(one.n_requests for one in summary.devices)
    if summary.devices and n_rows != summary.n_rows:
        raise pa.ArrowInvalid(
            f"{summary.n_rows} rows, but its devices have {n_rows} in sum"
        )


def _columns(schema: pa.Schema) -> list[str]:
    return [
        f"{field.name}: {field.type}{'' if field.nullable else ' not null'}"
        for field in schema
    ]


def _check_values(batch: pa.RecordBatch) -> None:
    """Check what the engine relies on, which reads values alone.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
        Columns of `TRACE_SCHEMA`, from a file that may be hostile.

    Raises
    ------
    pyarrow.ArrowInvalid
        Names the column and what is wrong with it.
    """
    batch.validate()
    for field, column in zip(TRACE_SCHEMA, batch.columns, strict=True):
        values = column_values(column)
        if len(values) == 0:
            continue
        if field.name.endswith("_ns"):
            unseen = int(np.count_nonzero(values == NOT_SEEN_NS))
            if unseen != column.null_count or values.min() < NOT_SEEN_NS:
                raise pa.ArrowInvalid(
                    f"column {field.name} has a time below 0, or a null that is not -1"
                )
        elif column.null_count:
            raise pa.ArrowInvalid(f"column {field.name} has nulls")
        if field.name == "op":
            column.dictionary.validate(full=True)
            if (
                column.dictionary.to_pylist() != list(OPS)
                or values.min() < 0
                or values.max() >= len(OPS)
            ):
                raise pa.ArrowInvalid("column op has an unknown operation")
