"""MSR Cambridge: one line a request of a Windows server, as CSV without a header."""

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from replay.trace.file.schema import OP_CODES
from replay.trace.formats.base import (
    Format,
    Reading,
    all_lines,
    fill_range,
    fill_times,
    scaled,
)
from replay.trace.formats.row_dtype import Rows, new_rows
from replay.trace.formats.text_table import INTEGER, WORD, TextRows, read_table

#: Ticks of 100 ns from 1601 to 1970.
EPOCH_TICKS: Final = 116_444_736_000_000_000
TICK_NS: Final = 100
COLUMNS: Final = {
    "Timestamp": INTEGER,
    "Hostname": WORD,
    "DiskNumber": WORD,
    "Type": WORD,
    "Offset": INTEGER,
    "Size": INTEGER,
    "ResponseTime": INTEGER,
}
OPERATIONS: Final = {"read": OP_CODES["read"], "write": OP_CODES["write"]}

_LINE = re.compile(rb"1[123]\d{16},[^,]+,\d+,(?:Read|Write),\d+,\d+,\d+", re.IGNORECASE)


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
        _fill_disks(part, rows)
        yield rows


def _fill_disks(part: TextRows, rows: Rows) -> None:
    """Set cgroup and device: a disk of a host is both."""
    hosts, host_names = part.words("Hostname")
    disks, disk_names = part.words("DiskNumber")
    key = hosts.astype(np.int64) * len(disk_names) + disks
    keys, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    names = [
        f"{host_names[pair // len(disk_names)]}_{disk_names[pair % len(disk_names)]}"
        for pair in keys.tolist()
    ]
    # numbers are given in the order of appearance
    numbers = np.zeros((2, len(keys)), np.int64)
    for place in np.argsort(first).tolist():
        numbers[0, place] = part.reading.names.cgroup(names[place])
        numbers[1, place] = part.reading.names.device(names[place])
    rows["cgroup"], rows["device"] = numbers[:, inverse]


FORMAT: Final = Format(
    name="msr",
    text="MSR Cambridge, CSV",
    columns="Timestamp (100 ns since 1601), Hostname, DiskNumber, Type Read or Write, "
    "Offset (B), Size (B), ResponseTime (100 ns)",
    cgroup="Hostname_DiskNumber",
    read=read,
    line=_LINE,
    matches=all_lines(_LINE),
    epoch=True,
    lacks="processes",
)
