"""Tencent's cloud block storage (CBS): CSV without a header, times in whole seconds.

The requests of one second are spread evenly over it, in the order of the file: the n
rows of a second arrive at 0, 1/n, 2/n, … of it. So the order and the number in each
second are recorded; the time within it is an estimate.
"""

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from replay.errors import TraceError
from replay.trace.formats.base import (
    Format,
    Reading,
    fill_range,
    fill_times,
    scaled,
)
from replay.trace.formats.rows import SECTOR_BYTES, Rows, new_rows
from replay.trace.formats.table import INTEGER, WORD, complete_lines, read_table
from replay.trace.schema import OP_CODES

SECOND_NS: Final = 1_000_000_000
#: Rows of one second are held until it is over.
MAX_ROWS_OF_SECOND: Final = 1 << 22
COLUMNS: Final = {
    "timestamp": INTEGER,
    "offset": INTEGER,
    "size": INTEGER,
    "type": WORD,
    "volume": WORD,
}
OPERATIONS: Final = {"0": OP_CODES["read"], "1": OP_CODES["write"]}

_LINE = re.compile(rb"1\d{9},\d+,\d+,[01],\d+\r?")


def read(reading: Reading) -> Iterator[Rows]:
    """Read the rows of one file; they arrive when their second begins."""
    names = reading.names
    for part in read_table(reading, COLUMNS):
        rows = new_rows(len(part))
        arrival = scaled(reading, part.first_row, part.numbers("timestamp"), SECOND_NS)
        fill_times(reading, part.first_row, rows, arrival)
        offset, size = part.numbers("offset"), part.numbers("size")
        fill_range(reading, part.first_row, rows, offset, size, unit=SECTOR_BYTES)
        rows["op"] = part.choice("type", OPERATIONS)
        rows["cgroup"] = part.mapped("volume", lambda id: names.cgroup(f"volume_{id}"))
        rows["device"] = part.mapped("volume", lambda id: names.device(f"volume_{id}"))
        yield rows


def spread(batches: Iterator[Rows]) -> Iterator[Rows]:
    """Spread the rows of each second evenly over it.

    Parameters
    ----------
    batches : iterator of ndarray of `ROW`
        In order; arrivals are whole seconds.

    Yields
    ------
    ndarray of `ROW`
        Whole seconds' rows, in order.

    Raises
    ------
    TraceError
        A second has more rows than any machine serves.
    """
    held: list[Rows] = []
    for batch in batches:
        last = batch[-1]["arrival_ns"]
        cut = int(np.searchsorted(batch["arrival_ns"], last))
        # the held rows are of one second, which goes on if this batch begins with it
        if cut == 0 and held and held[0][0]["arrival_ns"] == last:
            held.append(batch)
        else:
            yield _spread(np.concatenate([*held, batch[:cut]]))
            held = [batch[cut:]]
        if sum(map(len, held)) > MAX_ROWS_OF_SECOND:
            raise TraceError(
                f"{MAX_ROWS_OF_SECOND} rows and more have the time {last // SECOND_NS}:"
                " its unit cannot be whole seconds"
            )
    if held:
        yield _spread(np.concatenate(held))


def _spread(rows: Rows) -> Rows:
    if not len(rows):
        return rows
    rows = rows.copy()
    times = rows["arrival_ns"]
    begins = np.flatnonzero(np.concatenate([[True], times[1:] != times[:-1]]))
    counts = np.diff(np.append(begins, len(rows)))
    place = np.arange(len(rows)) - np.repeat(begins, counts)
    times += place * SECOND_NS // np.repeat(counts, counts)
    return rows


def doubt(head: bytes) -> str | None:
    """Say what speaks against it."""
    lines = complete_lines(head)
    if lines and not _LINE.fullmatch(lines[0]):
        return (
            "the first line is not whole seconds since 1970, offset and size in "
            "sectors, 0 or 1, and a volume's number"
        )
    return None


FORMAT: Final = Format(
    name="tencent",
    text="Tencent cloud block storage (CBS), CSV",
    columns="timestamp (whole s since 1970), offset (512 B sectors), size (sectors), "
    "type 0 read or 1 write, volume",
    cgroup="volume",
    read=read,
    doubt=doubt,
    epoch=True,
    finish=spread,
    estimate="times within a second: its rows are spread evenly over it, in file order",
)
