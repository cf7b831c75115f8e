"""The rows of a recording that is replayed at once, without a trace file."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyarrow import ipc

from replay.common.closing import Closing
from replay.common.errors import OutputError
from replay.common.temporary import (
    TemporaryDirectory,
    temporary_directory,
    temporary_place,
)
from replay.trace.file.metadata import Metadata
from replay.trace.file.schema import TRACE_SCHEMA
from replay.trace.rows import sliced

#: Kept in memory at most: the rows of some ten million records.
MEMORY_BYTES: Final = 1 << 27


class KeptRows(Closing):
    """Rows as they are decoded: the first in memory, the others in a temporary file.

    A context manager: at its end they are gone. What `replay.trace.file.read.Trace`
    says of a trace file it says of them, once `finish` was called.

    Parameters
    ----------
    path : Path
        What the recording is called.
    memory_bytes : int
        Of rows in memory, at most.

    Attributes
    ----------
    path : Path
    n_rows : int
        Rows so far.
    metadata : Metadata
        Known from `finish` on.
    """

    metadata: Metadata

    def __init__(self, path: Path, *, memory_bytes: int = MEMORY_BYTES) -> None:
        self.path = path
        self.n_rows = 0
        self._memory_bytes = memory_bytes
        self._free = memory_bytes
        self._batches: list[pa.RecordBatch] = []
        self._stack = ExitStack()
        self._writer: ipc.RecordBatchFileWriter | None = None
        self._directory: TemporaryDirectory | None = None
        self._reader: ipc.RecordBatchFileReader | None = None

    def first(self, n_batches: int) -> list[pa.RecordBatch] | None:
        """Give the first batches that were added; None if they are not in memory.

        Another thread may add more meanwhile.
        """
        found = self._batches[:n_batches]
        return found if len(found) == n_batches else None

    def add(self, batch: pa.RecordBatch) -> None:
        """Keep a batch of at least one row.

        Raises
        ------
        OutputError
            The temporary file cannot be written.
        """
        self.n_rows += batch.num_rows
        if self._writer is None and batch.nbytes <= self._free:
            self._free -= batch.nbytes
            self._batches.append(batch)
            return
        try:
            if self._writer is None:
                self._writer = self._spill()
            self._writer.write_batch(batch)
        except OSError as error:
            raise cannot_write(error) from error

    def finish(self, metadata: Metadata) -> None:
        """Take what is known at the end; no row follows.

        Raises
        ------
        OutputError
            The temporary file cannot be written.
        """
        self.metadata = metadata
        if self._writer is None or self._directory is None:
            return
        try:
            self._writer.close()
            self._writer = None
            self._stack.close()
            mapped = self._stack.enter_context(pa.memory_map(self._name(), "r"))
            self._reader = ipc.open_file(mapped)
            # its space is free again when it is closed, or the program ends
            self._directory.close()
        except OSError as error:
            raise cannot_write(error) from error

    def batches(self, batch_rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """Go through all rows, as `Trace.batches` does."""
        return sliced(self._whole_batches(), batch_rows)

    def _whole_batches(self) -> Iterator[pa.RecordBatch]:
        yield from self._batches
        if self._reader is not None:
            for index in range(self._reader.num_record_batches):
                yield self._reader.get_batch(index)

    @property
    def batch_sizes(self) -> list[int]:
        """Rows of each batch."""
        return [batch.num_rows for batch in self._whole_batches()]

    def batch(self, index: int) -> pa.RecordBatch:
        """Return one of the batches."""
        if index < len(self._batches):
            return self._batches[index]
        assert self._reader is not None
        return self._reader.get_batch(index - len(self._batches))

    def clear(self) -> None:
        """Forget all rows: they come again."""
        # what could not be written is not wanted any more
        with suppress(OSError):
            if self._writer is not None:
                self._writer.close()
            self._stack.close()
        if self._directory is not None:
            self._directory.close()
        self._batches.clear()
        self._writer = self._reader = self._directory = None
        self._free = self._memory_bytes
        self.n_rows = 0

    def _spill(self) -> ipc.RecordBatchFileWriter:
        self._directory = temporary_directory()
        file = self._stack.enter_context(pa.OSFile(self._name(), "wb"))
        return ipc.new_file(file, TRACE_SCHEMA)

    def _name(self) -> str:
        assert self._directory is not None
        return os.fspath(self._directory.path / "rows.arrow")

    def close(self) -> None:
        """Forget all rows for good."""
        self.clear()


def cannot_write(error: OSError) -> OutputError:
    """Return what to raise where a temporary file cannot be written."""
    where = temporary_place()
    return OutputError(
        f"{where}: a temporary file cannot be written: {error.strerror or error}: make"
        " room, or set TMPDIR to another directory"
    )
