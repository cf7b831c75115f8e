"""Alibaba's cloud volumes, 2020: CSV without a header."""

import re
from collections.abc import Iterator
from typing import Final

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

US_NS: Final = 1000
COLUMNS: Final = {
    "device_id": WORD,
    "opcode": WORD,
    "offset": INTEGER,
    "length": INTEGER,
    "timestamp": INTEGER,
}
OPERATIONS: Final = {"r": OP_CODES["read"], "w": OP_CODES["write"]}

# 16 digits: us since 1970, from 2001 on
_LINE = re.compile(rb"\d+,[RW],\d+,\d+,1\d{15}\r?")


def read(reading: Reading) -> Iterator[Rows]:
    """Read the rows of one file."""
    names = reading.names
    for part in read_table(reading, COLUMNS):
        rows = new_rows(len(part))
        arrival = scaled(reading, part.first_row, part.numbers("timestamp"), US_NS)
        fill_times(reading, part.first_row, rows, arrival)
        offset, length = part.numbers("offset"), part.numbers("length")
        fill_range(reading, part.first_row, rows, offset, length)
        rows["op"] = part.choice("opcode", OPERATIONS)
        rows["cgroup"] = part.mapped(
            "device_id", lambda id: names.cgroup(f"device_{id}")
        )
        rows["device"] = part.mapped(
            "device_id", lambda id: names.device(f"device_{id}")
        )
        yield rows


def matches(head: bytes) -> bool:
    """Tell it by the first lines."""
    lines = complete_lines(head)
    return bool(lines) and all(_LINE.fullmatch(line) for line in lines)


def doubt(head: bytes) -> str | None:
    """Say what speaks against it."""
    lines = complete_lines(head)
    if lines and not _LINE.fullmatch(lines[0]):
        return (
            "the first line is not device, R or W, offset and length in bytes, and "
            "16 digits of us since 1970"
        )
    return None


FORMAT: Final = Format(
    name="alibaba",
    text="Alibaba block traces of 2020, CSV",
    columns="device_id, opcode R or W, offset (B), length (B), timestamp (us since "
    "1970)",
    cgroup="device_id",
    read=read,
    matches=matches,
    doubt=doubt,
    epoch=True,
)
