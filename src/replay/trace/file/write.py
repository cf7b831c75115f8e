"""Write trace files.

The rows come first and what the file says about itself last, when it is known: see
`replay.trace.file.read` for the layout.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import msgspec
import pyarrow as pa
from pyarrow import ipc

from replay.common.output import replacing
from replay.trace.file.metadata import Metadata, Summary
from replay.trace.file.read import METADATA_KEY, Trace
from replay.trace.file.schema import OPS, TRACE_SCHEMA
from replay.trace.rows import RowStream

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

#: Batches that may wait for the writing thread; bounds the memory.
_QUEUED: Final = 4
#: Handed to the disk at once.
_DISK_BYTES: Final = 1 << 22


def write_trace(
    output: str | Path,
    rows: RowStream,
    describe: Callable[[Summary], Metadata],
    *,
    overwrite: bool = False,
    threads: int = 1,
    on_batch: Callable[[], None] | None = None,
) -> None:
    """Write a trace file, whole or not at all.

    Parameters
    ----------
    output : str or Path
        The file to make.
    rows : RowStream
        Read once.
    describe : callable
        Makes the metadata of the rows' summary.
    overwrite : bool
        Whether an existing file may be replaced.
    threads : int
        With 2 or more a second thread writes while this one decodes. The file is the
        same.
    on_batch : callable or None
        Called after each batch.

    Raises
    ------
    OutputError
        The output exists or cannot be written.
    TraceError
        The rows cannot be decoded.
    """
    with (
        replacing(output, overwrite=overwrite) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        ipc.new_file(file, TRACE_SCHEMA) as writer,
        _Queue(background=threads > 1) as queue,
    ):
        # one batch is held back, so that the last one can carry the metadata
        to_disk = _ToDisk(temporary, file)
        last = None
        for batch in rows:
            if last is not None:
                queue.call(writer.write_batch, last)
                queue.call(to_disk.start)
            last = batch
            if on_batch is not None:
                on_batch()
        if last is None:
            last = _empty_batch()
        text = msgspec.json.encode(describe(rows.summary))
        queue.call(writer.write_batch, last, {METADATA_KEY: text})


def write_copy(trace: Trace, output: str | Path) -> None:
    """Write an opened trace as a file of its own.

    Parameters
    ----------
    trace : Trace
        Its own file may have no name any more.
    output : str or Path
        The file to make.

    Raises
    ------
    OutputError
        The output exists or cannot be written.
    """
    write_trace(output, _Again(trace), lambda _: trace.metadata)


class _Again(RowStream):
    """The rows of a trace, once more."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield from self._trace.batches()
        self._summary = self._trace.metadata.summary

    @property
    def bytes_read(self) -> int:
        """Nothing that is decoded."""
        return 0


class _ToDisk:
    """Has the disk begin to write while more is decoded.

    By itself the kernel waits for some seconds, and whoever then wants the file on the
    disk waits for all of it.
    """

    def __init__(self, path: Path, file: pa.OSFile) -> None:
        self._path = path
        self._file = file
        self._begun = 0

    def start(self) -> None:
        """Begin with what was written since the last time, if it is much."""
        end = self._file.tell()
        if end - self._begun < _DISK_BYTES:
            return
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            # of what is not on the disk yet this starts the writing, and drops nothing
            os.posix_fadvise(
                descriptor, self._begun, end - self._begun, os.POSIX_FADV_DONTNEED
            )
        finally:
            os.close(descriptor)
        self._begun = end


def _empty_batch() -> pa.RecordBatch:
    """Make a batch without rows, which still names the operations."""
    operations = pa.DictionaryArray.from_arrays(pa.array([], pa.int8()), list(OPS))
    columns = [
        operations if field.name == "op" else pa.array([], field.type)
        for field in TRACE_SCHEMA
    ]
    return pa.RecordBatch.from_arrays(columns, schema=TRACE_SCHEMA)


class _Queue:
    """Calls, made at once or by one other thread in the order given."""

    def __init__(self, *, background: bool) -> None:
        self._pool = _one_thread() if background else None
        self._pending: deque[Future[None]] = deque()

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Call the function; waits while too many calls are pending."""
        if self._pool is None:
            function(*arguments)
            return
        while len(self._pending) >= _QUEUED:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(function, *arguments))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is None:
            return
        # after an error what is pending need not be written; what runs is waited for
        self._pool.shutdown(cancel_futures=error is not None)
        if error is None:
            for future in self._pending:
                future.result()


def _one_thread() -> "ThreadPoolExecutor":
    """Import threads where they are wanted."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1)
