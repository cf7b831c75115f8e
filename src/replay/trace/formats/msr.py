"""MSR Cambridge: one line a request of a Windows server, as CSV without a header."""

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from replay.trace.formats.base import (
    Format,
    Reading,
    fill_range,
    fill_times,
    scaled,
)
from replay.trace.formats.rows import Rows, new_rows
from replay.trace.formats.table import INTEGER, WORD, complete_lines, read_table
from replay.trace.schema import OP_CODES

#: Ticks of 100 ns from 1601 to 1970.
EPOCH_TICKS: Final = 116_444_736_000_000_000
TICK_NS: Final = 100
COLUMNS: Final = {
    "Timestamp": INTEGER,
    "Hostname": WORD,
    "DiskNumber": INTEGER,
    "Type": WORD,
    "Offset": INTEGER,
    "Size": INTEGER,
    "ResponseTime": INTEGER,
}
OPERATIONS: Final = {"read": OP_CODES["read"], "write": OP_CODES["write"]}

_LINE = re.compile(
    rb"1[123]\d{16},[^,]+,\d+,(?:Read|Write),\d+,\d+,\d+\r?", re.IGNORECASE
)


def read(reading: Reading) -> Iterator[Rows]:
    """Read the rows of one file."""
    for part in read_table(reading, COLUMNS):
        rows = new_rows(len(part))
        ticks = part.numbers("Timestamp")
        good = ticks >= EPOCH_TICKS
        reading.require(part.first_row, good, "Timestamp is before 1970")
        arrival = scaled(reading, part.first_row, ticks - EPOCH_TICKS, TICK_NS)
        response = scaled(
            reading, part.first_row, part.numbers("ResponseTime"), TICK_NS
        )
        fill_times(reading, part.first_row, rows, arrival, response)
        offset, size = part.numbers("Offset"), part.numbers("Size")
        fill_range(reading, part.first_row, rows, offset, size)
        rows["op"] = part.choice("Type", OPERATIONS)
        _fill_disks(reading, part.words("Hostname"), part.numbers("DiskNumber"), rows)
        yield rows


def _fill_disks(
    reading: Reading,
    hosts: tuple[np.ndarray, list[str]],
    disks: np.ndarray,
    rows: Rows,
) -> None:
    """Set cgroup and device: a disk of a host is both."""
    codes, words = hosts
    for code, word in enumerate(words):
        of_host = codes == code
        for disk in np.unique(disks[of_host]):
            here = of_host & (disks == disk)
            rows["cgroup"][here] = reading.names.cgroup(f"{word}_{disk}")
            rows["device"][here] = reading.names.device(f"{word}_{disk}")


def matches(head: bytes) -> bool:
    """Tell it by the first lines."""
    lines = complete_lines(head)
    return bool(lines) and all(_LINE.fullmatch(line) for line in lines)


FORMAT: Final = Format(
    name="msr",
    text="MSR Cambridge, CSV",
    columns="Timestamp (100 ns since 1601), Hostname, DiskNumber, Type Read or Write, "
    "Offset (B), Size (B), ResponseTime (100 ns)",
    cgroup="Hostname_DiskNumber",
    read=read,
    matches=matches,
    epoch=True,
)
