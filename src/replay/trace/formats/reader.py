"""Requests of a format, in batches: what `BlktraceBatches` is for blktrace.

The times of a format with one time a request are all that there is: the request was
queued and issued when it arrived, and completed its response time later.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay.common.errors import TraceError
from replay.common.temporary import temporary_directory
from replay.trace.file.batch import make_batch
from replay.trace.file.schema import NOT_SEEN_NS
from replay.trace.formats.base import Format, NameNumbers, Reading
from replay.trace.formats.options import FormatOptions
from replay.trace.formats.order import OutOfOrder, in_order, merged, sorted_on_disk
from replay.trace.formats.row_dtype import Rows, joined
from replay.trace.formats.tally import Tallies, summary_of
from replay.trace.inputs.unpack import Unpacked, read_head
from replay.trace.rows import Disordered, RowStream

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


@dataclass
class _Run:
    """One iteration: what is learned on the way."""

    names: NameNumbers = field(default_factory=NameNumbers)
    readings: list[Reading] = field(default_factory=list)
    disorders: list[OutOfOrder] = field(default_factory=list)
    tallies: Tallies = field(default_factory=Tallies)
    #: The earliest that a request was queued before it was issued; None: none was.
    queued_ns: int | None = None

    def noting(self, batches: Iterator[Rows], *, ordered: bool) -> Iterator[Rows]:
        """Note when requests were queued: a trace begins with the first.

        Parameters
        ----------
        batches : iterator of ndarray of `ROW`
        ordered : bool
            The trace's start may be known already.

        Yields
        ------
        The same. Raises `Disordered` for a request that was queued before the start.
        """
        for rows in batches:
            waited = rows["wait_ns"] > 0
            if waited.any():
                queued = rows["arrival_ns"][waited] - rows["wait_ns"][waited]
                first = int(queued.min())
                if self.queued_ns is None or first < self.queued_ns:
                    self.queued_ns = first
                if ordered and self.tallies.n_rows and first < self.tallies.start_ns:
                    raise Disordered
            yield rows


class FormatBatches(RowStream):
    """The requests of files of one format.

    Parameters
    ----------
    paths : sequence of Path
        Files that share one clock; each may be compressed.
    format_ : Format
    options : FormatOptions
    batch_rows : int
        Rows of a batch, at least 1; the last may be shorter.
    paths_of_ids : mapping of int to str, or None
        Paths of the kernel's cgroup ids, for columns that hold such.

    Notes
    -----
    Each iteration reads the files from the start. It yields ``pyarrow.RecordBatch``
    with `TRACE_SCHEMA`, ordered by arrival, and raises `TraceError` if a file is not of
    the format, and `Disordered` if its rows are in such disorder that they must be
    sorted on disk: call `sort_on_disk` and start again. Memory: some batches for each
    file, whatever their size.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        format_: Format,
        options: FormatOptions,
        *,
        batch_rows: int = 1 << 16,
        paths_of_ids: Mapping[int, str] | None = None,
    ) -> None:
        if batch_rows < 1:
            raise ValueError(f"batch_rows: {batch_rows} is below 1")
        self._paths = list(paths)
        self._format = format_
        self._options = options
        self._batch_rows = batch_rows
        self._on_disk = False
        self._threads = 1
        self._ids = paths_of_ids or {}
        self._run = _Run()

    def sort_on_disk(self) -> None:
        """Sort in a temporary directory: for rows in any disorder."""
        self._on_disk = True

    def use_threads(self, threads: int) -> None:
        """Split lines into columns in all of them but one, which makes rows."""
        self._threads = threads

    @property
    def bytes_read(self) -> int:
        """Bytes of the files, as they lie, that were read in this iteration."""
        return sum(reading.file.bytes_read for reading in self._run.readings)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Read from the start."""
        self._summary = None
        run = self._run = _Run()
        if self._format.names_paths:
            run.names.paths = self._ids
        pool = _threads(self._threads - 1) if self._threads > 1 else None
        with temporary_directory() as directory:
            try:
                for path in self._paths:
                    run.readings.append(
                        Reading(
                            file=Unpacked(path),
                            head=read_head(path),
                            names=run.names,
                            options=self._options,
                            pool=pool,
                        )
                    )
                    run.disorders.append(OutOfOrder())
                yield from self._batches(run, directory.path)
            finally:
                if pool is not None:
                    # nobody reads the files any more
                    pool.shutdown(cancel_futures=True)
                for reading in run.readings:
                    reading.file.close()
        self._summary = summary_of(
            self._format,
            run.names,
            run.tallies,
            n_skipped=sum(reading.n_skipped for reading in run.readings),
            n_out_of_order=sum(one.count for one in run.disorders),
            n_lost=sum(reading.n_lost for reading in run.readings),
            notes=[note for reading in run.readings for note in reading.notes],
        )

    def _batches(self, run: _Run, directory: Path) -> Iterator[pa.RecordBatch]:
        streams = []
        for number, reading in enumerate(run.readings):
            rows = run.noting(self._format.read(reading), ordered=not self._on_disk)
            if self._on_disk:
                below = directory / str(number)
                below.mkdir()
                streams.append(sorted_on_disk(rows, run.disorders[number], below))
            else:
                streams.append(in_order(rows, run.disorders[number]))
        stream = merged(streams)
        if self._format.finish is not None:
            stream = self._format.finish(stream)
        for part in _resized(stream, self._batch_rows):
            run.tallies.add(part, run.queued_ns)
            yield _record_batch(part, run.tallies.start_ns)
        if run.tallies.n_rows == 0:
            raise TraceError(f"{self._paths[0]}: there is no request in it")


def _threads(n: int) -> "ThreadPoolExecutor":
    """Import threads where they are wanted."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(n, "columns")


def _resized(stream: Iterator[Rows], n_rows: int) -> Iterator[Rows]:
    """Cut and join, so that all but the last have ``n_rows``."""
    held: list[Rows] = []
    n_held = 0
    for rows in stream:
        start = 0
        while n_held + len(rows) - start >= n_rows:
            end = start + n_rows - n_held
            held.append(rows[start:end])
            yield joined(held)
            held, n_held, start = [], 0, end
        if start < len(rows):
            held.append(rows[start:])
            n_held += len(rows) - start
    if held:
        yield joined(held)


def _record_batch(rows: Rows, start_ns: int) -> pa.RecordBatch:
    """Make a trace file's batch; times from the trace's start."""
    arrival = rows["arrival_ns"] - start_ns
    queue = arrival - rows["wait_ns"]
    seen = rows["response_ns"] >= 0
    complete = np.where(seen, arrival + rows["response_ns"], NOT_SEEN_NS)
    columns: list[NDArray[np.generic]] = [
        queue,
        arrival,
        complete,
        np.full(len(rows), NOT_SEEN_NS),
        rows["device"],
        rows["sector"],
        rows["nbytes"],
        np.ones(len(rows), np.uint32),
        rows["op"],
        rows["flags"],
        rows["cgroup"],
        rows["pid"],
        rows["cpu"],
        np.zeros(len(rows), np.int32),
    ]
    buffers = [pa.py_buffer(np.ascontiguousarray(column)) for column in columns]
    unseen = int(len(rows) - seen.sum())
    return make_batch(buffers, len(rows), [0, 0, unseen, len(rows)])
