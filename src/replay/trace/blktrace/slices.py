"""Decode a capture in slices of time, side by side; the rows are those of one pass.

Each slice is decoded in a thread of its own, beginning with no open request. The whole
is gone through in order by one more decoder, which reads no more of a slice than its
first part, its *lead*: by then the requests that were open at the seam have ended, and
the two are in one state, or this one reads the slice to its end. See ``_slices.pyx``.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import numpy as np
import pyarrow as pa
from msgspec import Struct

from replay.common.errors import ReplayError
from replay.trace.blktrace._decoder import Decoder
from replay.trace.blktrace._slices import (
    join,
    recount,
    seek,
    state_of,
    stop_at,
    time_ahead,
)
from replay.trace.file.batch import N_TIMES, allocate, make_batch, row_widths
from replay.trace.file.schema import NOT_SEEN_NS

#: Rows that a slice writes into one set of buffers.
_PART_ROWS: Final = 1 << 16


class SliceSizes(Struct, frozen=True, kw_only=True):
    """How a capture is cut.

    Attributes
    ----------
    slice_bytes : int
        Of a slice: some 600,000 records.
    lead_bytes : int
        Of its lead; twice as many after a slice that had to be read again.
    patience : int
        So many slices in a row that had to be read again, and the rest is read in one
        pass.
    """

    slice_bytes: int = 1 << 25
    lead_bytes: int = 1 << 19
    patience: int = 3


class _Seam(Struct, frozen=True):
    """Where a slice lies: its begin, the end of its lead, and its end if it has one."""

    begin_ns: int
    counted_ns: int
    end_ns: int | None


class _FilledRows(Struct, frozen=True):
    """Columns with rows, and how many of their times were not seen."""

    buffers: list[pa.Buffer]
    n_rows: int
    n_null: list[int]


class _SlicePart(Struct, frozen=True):
    """What a slice came to: its state at the end of its lead, and its rows from there.

    Without a state it came to nothing.
    """

    state: bytes | None
    rows: list[_FilledRows]


class _OpenSlice(Struct, frozen=True):
    seam: _Seam
    decoder: Decoder
    part: "Future[_SlicePart]"


class SliceReader:
    """Goes through a capture with the help of slices.

    Parameters
    ----------
    whole : Decoder
        Nothing of it was decoded yet. At the end it knows everything.
    again : callable
        Makes another decoder of the same sources.
    n_sources : int
    batch_rows : int
        Rows of a batch; the last may be shorter.
    threads : int
        Slices that are decoded at once.
    sizes : SliceSizes

    Attributes
    ----------
    n_joined, n_again : int
        Slices that were used, and those that had to be read again.
    """

    def __init__(
        self,
        whole: Decoder,
        again: Callable[[], Decoder],
        *,
        n_sources: int,
        batch_rows: int,
        threads: int,
        sizes: SliceSizes,
    ) -> None:
        self.n_joined = 0
        self.n_again = 0
        self._whole = whole
        self._again = again
        self._batches = _EvenBatches(batch_rows)
        self._spare = _SpareBuffers(min(batch_rows, _PART_ROWS))
        self._threads = threads
        self._sizes = sizes
        self._lead_bytes = sizes.lead_bytes
        #: A record of each source that is before the next slice.
        self._before = [0] * n_sources
        self._slices: list[_OpenSlice] = []
        self._halted = False

    def halt(self) -> None:
        """Have it end soon, with an error; called by another thread."""
        self._halted = True
        self._whole.halt()
        for one in list(self._slices):
            one.decoder.halt()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Decode all.

        Yields
        ------
        RecordBatch
            The rows that one pass gives, in the same batches.
        """
        # so that it is known when the capture begins
        yield from self._read_whole(time_ahead(self._whole, self._sizes.lead_bytes))
        with ThreadPoolExecutor(self._threads, "slice") as pool:
            try:
                yield from self._in_slices(pool)
            finally:
                for one in self._slices:
                    one.decoder.halt()
                    one.part.cancel()
        yield from self._read_whole(None, is_slice=False)
        yield from self._batches.end()

    def _in_slices(self, pool: ThreadPoolExecutor) -> Iterator[pa.RecordBatch]:
        """Decode up to where there are no more slices."""
        begin_ns = time_ahead(self._whole, self._sizes.slice_bytes)
        n_failed = 0
        while n_failed < self._sizes.patience:
            # one more than there are threads: it waits while rows are taken
            while begin_ns is not None and len(self._slices) <= self._threads:
                begin_ns = self._begin(pool, begin_ns)
            if not self._slices:
                return
            n_before = self.n_joined
            yield from self._take(self._slices[0])
            del self._slices[0]
            if self.n_joined > n_before:
                n_failed = 0
            else:
                n_failed += 1
                if 4 * self._lead_bytes <= self._sizes.slice_bytes:
                    self._lead_bytes *= 2

    def _begin(self, pool: ThreadPoolExecutor, begin_ns: int) -> int | None:
        """Begin a slice; return where the next one begins, if there is one."""
        decoder = self._again()
        start_ns = self._whole.clock()[0]
        before = seek(decoder, begin_ns, start_ns, self._before)
        if before is None or self._halted:
            return None
        self._before = before
        counted_ns = _time_after(decoder, self._lead_bytes, begin_ns)
        if counted_ns is None:
            return None
        end_ns = _time_after(decoder, self._sizes.slice_bytes, counted_ns)
        seam = _Seam(begin_ns, counted_ns, end_ns)
        part = pool.submit(_decode_part, decoder, seam, self._spare)
        self._slices.append(_OpenSlice(seam, decoder, part))
        return end_ns

    def _take(self, one: _OpenSlice) -> Iterator[pa.RecordBatch]:
        """Go on to a slice's end."""
        yield from self._read_whole(one.seam.counted_ns)
        state = state_of(self._whole)
        part = one.part.result() if state is not None else None
        if part is not None and part.state == state and join(self._whole, one.decoder):
            self.n_joined += 1
            for rows in part.rows:
                if self._batches.needs_none_of(rows):
                    yield make_batch(rows.buffers, rows.n_rows, rows.n_null)
                else:
                    yield from self._batches.add(rows)
                    self._spare.give(rows.buffers)
        else:
            self.n_again += 1
            one.decoder.halt()
            yield from self._read_whole(one.seam.end_ns)

    def _read_whole(
        self, until_ns: int | None, *, is_slice: bool = True
    ) -> Iterator[pa.RecordBatch]:
        stop_at(self._whole, until_ns, is_slice=is_slice)
        yield from self._batches.fill(self._whole)


def _time_after(decoder: Decoder, n_bytes: int, after_ns: int) -> int | None:
    """Find the time of a record that is so far ahead, and after a time."""
    while (found_ns := time_ahead(decoder, n_bytes)) is not None:
        if found_ns > after_ns:
            return found_ns
        n_bytes *= 2
    return None


class _SpareBuffers:
    """Buffers for the rows of slices, used again: new memory costs as much as they."""

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self._free: list[list[pa.Buffer]] = []

    def take(self) -> list[pa.Buffer]:
        """Return buffers that nobody uses; in any thread."""
        try:
            return self._free.pop()
        except IndexError:
            return allocate(self.n_rows)

    def give(self, buffers: list[pa.Buffer]) -> None:
        """Take back buffers of which nothing is needed any more."""
        self._free.append(buffers)


def _decode_part(decoder: Decoder, seam: _Seam, spare: _SpareBuffers) -> _SlicePart:
    """Decode a slice."""
    n_rows = spare.n_rows
    try:
        stop_at(decoder, seam.counted_ns, is_slice=True)
        # rows of the lead may be wrong
        buffers = spare.take()
        while decoder.fill(buffers, n_rows)[0] == n_rows:
            pass
        spare.give(buffers)
        state = state_of(decoder)
        if state is None:
            return _SlicePart(None, [])
        recount(decoder)
        stop_at(decoder, seam.end_ns, is_slice=True)
        rows = []
        n_filled = n_rows
        while n_filled == n_rows:
            buffers = spare.take()
            n_filled, *n_null = decoder.fill(buffers, n_rows)
            rows.append(_FilledRows(buffers, n_filled, n_null))
    except (ReplayError, MemoryError):
        # whoever reads the slice after those before it finds out whether it is true
        return _SlicePart(None, [])
    return _SlicePart(state, rows)


class _EvenBatches:
    """Batches of one size, of rows that come in pieces."""

    def __init__(self, batch_rows: int) -> None:
        self._batch_rows = batch_rows
        self._widths = row_widths()
        self._buffers = allocate(batch_rows)
        self._n_rows = 0
        self._n_null = [0] * N_TIMES

    def fill(self, decoder: Decoder) -> Iterator[pa.RecordBatch]:
        """Decode up to where the decoder is to stop."""
        n_filled, room = 0, 0
        while n_filled == room:
            room = self._batch_rows - self._n_rows
            columns = [
                memoryview(buffer)[self._n_rows * width :]
                for buffer, width in zip(self._buffers, self._widths, strict=True)
            ]
            n_filled, *n_null = decoder.fill(columns, room)
            self._count(n_filled, n_null)
            if n_filled == room:
                yield self._taken()

    def needs_none_of(self, rows: _FilledRows) -> bool:
        """Return True if rows are a batch as they are."""
        return self._n_rows == 0 and rows.n_rows == self._batch_rows

    def add(self, rows: _FilledRows) -> Iterator[pa.RecordBatch]:
        """Copy rows."""
        start = 0
        while start < rows.n_rows:
            count = min(self._batch_rows - self._n_rows, rows.n_rows - start)
            for source, target, width in zip(
                rows.buffers, self._buffers, self._widths, strict=True
            ):
                # numpy lets other threads go on meanwhile
                np.frombuffer(target, np.uint8, count * width, self._n_rows * width)[
                    :
                ] = np.frombuffer(source, np.uint8, count * width, start * width)
            self._count(count, _nulls(rows, start, count))
            start += count
            if self._n_rows == self._batch_rows:
                yield self._taken()

    def end(self) -> Iterator[pa.RecordBatch]:
        """Give what is left."""
        if self._n_rows:
            yield make_batch(self._buffers, self._n_rows, self._n_null)

    def _count(self, n_rows: int, n_null: list[int]) -> None:
        self._n_rows += n_rows
        self._n_null = [
            before + more for before, more in zip(self._n_null, n_null, strict=True)
        ]

    def _taken(self) -> pa.RecordBatch:
        batch = make_batch(self._buffers, self._n_rows, self._n_null)
        self._buffers = allocate(self._batch_rows)
        self._n_rows = 0
        self._n_null = [0] * N_TIMES
        return batch


def _nulls(rows: _FilledRows, start: int, count: int) -> list[int]:
    """Count the times that were not seen in some of the rows."""
    found = []
    for number, n_null in enumerate(rows.n_null):
        if n_null in (0, rows.n_rows):
            found.append(count if n_null else 0)
            continue
        times = np.frombuffer(rows.buffers[number], np.int64, count, start * 8)
        found.append(int(np.count_nonzero(times == NOT_SEEN_NS)))
    return found
