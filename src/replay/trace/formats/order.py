"""Bring rows into the order of their arrival, in bounded memory.

`in_order` holds back one batch, some 10,000 rows, which is enough for the disorder of a
recording that was written as the requests completed. What lies further back makes it
raise `Disordered`, and the reading starts again with `sorted_on_disk`. `merged` joins
streams that are in order. Rows of equal arrival keep their order, and that of their
streams.
"""

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np

from replay.trace.formats.row_dtype import ROW, Rows, joined, ordered
from replay.trace.rows import Disordered

#: Rows that are sorted at once, and written: 60 MB.
RUN_ROWS: Final = 1 << 20
#: Rows of a run that are looked at at once while runs are merged.
PART_ROWS: Final = 1 << 14


class OutOfOrder:
    """Counts the rows that are older than one before them."""

    def __init__(self) -> None:
        self.count = 0
        self._latest = np.iinfo(np.int64).min

    def see(self, rows: Rows) -> None:
        """Count the rows, which follow those seen before."""
        times = rows["arrival_ns"]
        reached = np.maximum.accumulate(times)
        np.maximum(reached, self._latest, out=reached)
        self.count += int(np.count_nonzero(times < reached))
        self._latest = reached[-1]


def in_order(batches: Iterator[Rows], disorder: OutOfOrder) -> Iterator[Rows]:
    """Sort rows that are nearly in order.

    Parameters
    ----------
    batches : iterator of ndarray of `ROW`
    disorder : OutOfOrder
        Told of the rows as they come.

    Yields
    ------
    ndarray of `ROW`
        In order, within and from one to the next.

    Raises
    ------
    Disordered
        A row belongs before the batch before its own.
    """
    held: Rows | None = None
    left_at = np.iinfo(np.int64).min
    for batch in batches:
        if not len(batch):
            continue
        disorder.see(batch)
        rows = ordered(batch)
        if held is not None:
            n_leave = len(held)
            if rows[0]["arrival_ns"] < held[-1]["arrival_ns"]:
                rows = ordered(joined([held, rows]))
                if rows[0]["arrival_ns"] < left_at:
                    raise Disordered
                held, rows = rows[:n_leave], rows[n_leave:]
            left_at = held[-1]["arrival_ns"]
            yield held
        held = rows
    if held is not None:
        yield held


def sorted_on_disk(
    batches: Iterator[Rows],
    disorder: OutOfOrder,
    directory: Path,
    run_rows: int = RUN_ROWS,
) -> Iterator[Rows]:
    """Sort any number of rows in any order.

    Parameters
    ----------
    batches : iterator of ndarray of `ROW`
    disorder : OutOfOrder
        Told of the rows as they come.
    directory : Path
        For the sorted runs: as many bytes as the rows have, 56 each.
    run_rows : int
        Rows of a run, which are held at once.

    Yields
    ------
    ndarray of `ROW`
        In order. Memory: a run while sorting, then `PART_ROWS` of each run.
    """
    runs: list[Path] = []
    held: list[Rows] = []
    n_held = 0

    def write() -> None:
        path = directory / f"run-{len(runs)}"
        ordered(joined(held)).tofile(path)
        runs.append(path)
        held.clear()

    for batch in batches:
        if not len(batch):
            continue
        disorder.see(batch)
        held.append(batch)
        n_held += len(batch)
        if n_held >= run_rows:
            write()
            n_held = 0
    if held:
        write()
    return merged([_read_run(path) for path in runs])


def merged(streams: Sequence[Iterator[Rows]]) -> Iterator[Rows]:
    """Merge streams, each in order.

    Parameters
    ----------
    streams : sequence of iterators of ndarray of `ROW`

    Yields
    ------
    ndarray of `ROW`
        In order; rows of equal arrival in the order of the streams.

    Notes
    -----
    Of what is at hand the rows up to the earliest last one are complete: no stream can
    still bring one that belongs before it. Only the stream of that one is used up.
    """
    if len(streams) == 1:
        yield from streams[0]
        return
    heads: dict[int, Rows] = {}
    ends: list[tuple[int, int]] = []

    def advance(number: int) -> None:
        rows = next(streams[number], None)
        while rows is not None and not len(rows):
            rows = next(streams[number], None)
        if rows is not None:
            heads[number] = rows
            heapq.heappush(ends, (int(rows[-1]["arrival_ns"]), number))

    for number in range(len(streams)):
        advance(number)
    while heads:
        bound, first = ends[0]
        taken = []
        side: Literal["left", "right"]
        for number in sorted(heads):
            rows = heads[number]
            # of equal arrival at the bound those of earlier streams go first, and
            # whether the first stream has more of them is not known yet
            side = "right" if number <= first else "left"
            n_taken = int(np.searchsorted(rows["arrival_ns"], bound, side=side))
            if n_taken:
                taken.append(rows[:n_taken])
                heads[number] = rows[n_taken:]
        heapq.heappop(ends)
        del heads[first]
        advance(first)
        yield ordered(joined(taken))


def _read_run(path: Path) -> Iterator[Rows]:
    with path.open("rb") as file:
        while data := file.read(PART_ROWS * ROW.itemsize):
            yield np.frombuffer(data, ROW)
    path.unlink()
