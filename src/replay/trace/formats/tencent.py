"""Tencent's cloud block storage (CBS): CSV without a header, times in whole seconds.

The requests of one second are spread evenly over it, in the order of the file: the n
rows of a second arrive at 0, 1/n, 2/n, … of it. So the order and the number in each
second are recorded; the time within it is an estimate.
"""

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from replay.common.errors import TraceError
from replay.trace.file.schema import OP_CODES
from replay.trace.formats.base import Format, first_line
from replay.trace.formats.row_dtype import SECTOR_BYTES, Rows, joined
from replay.trace.formats.text_table import INTEGER, WORD
from replay.trace.formats.volumes import Volumes

SECOND_NS: Final = 1_000_000_000
#: Rows of one second are held until it is over.
MAX_ROWS_OF_SECOND: Final = 1 << 22
OPERATIONS: Final = {"0": OP_CODES["read"], "1": OP_CODES["write"]}

_LINE = re.compile(rb"1\d{9},\d+,\d+,[01],\d+")


VOLUMES: Final = Volumes(
    columns={
        "timestamp": INTEGER,
        "offset": INTEGER,
        "size": INTEGER,
        "type": WORD,
        "volume": WORD,
    },
    time="timestamp",
    time_ns=SECOND_NS,
    offset="offset",
    size="size",
    unit=SECTOR_BYTES,
    op=lambda part: part.choice("type", OPERATIONS),
    volume="volume",
    prefix="volume_",
)


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
            yield _spread(joined([*held, batch[:cut]]))
            held = [batch[cut:]]
        if sum(map(len, held)) > MAX_ROWS_OF_SECOND:
            raise TraceError(
                f"{MAX_ROWS_OF_SECOND} rows and more have the time {last // SECOND_NS}:"
                " its unit cannot be whole seconds"
            )
    if held:
        yield _spread(joined(held))


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


FORMAT: Final = Format(
    name="tencent",
    text="Tencent cloud block storage (CBS), CSV",
    columns="timestamp (whole s since 1970), offset (512 B sectors), size (sectors), "
    "type 0 read or 1 write, volume",
    cgroup="volume",
    read=VOLUMES.read,
    line=_LINE,
    doubt=first_line(
        _LINE,
        "whole seconds since 1970, offset and size in sectors, 0 or 1, and a volume's "
        "number",
    ),
    epoch=True,
    finish=spread,
    estimate="times within a second: its rows are spread evenly over it, in file order",
    lacks="completions, processes, times below 1 s",
)
