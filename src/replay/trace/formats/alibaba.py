"""Alibaba's cloud volumes, 2020: CSV without a header."""

import re
from typing import Final

from replay.trace.file.schema import OP_CODES
from replay.trace.formats.base import Format, all_lines, first_line
from replay.trace.formats.text_table import INTEGER, WORD
from replay.trace.formats.volumes import Volumes

US_NS: Final = 1000
OPERATIONS: Final = {"r": OP_CODES["read"], "w": OP_CODES["write"]}

# 16 digits: us since 1970, from 2001 on
_LINE = re.compile(rb"\d+,[RW],\d+,\d+,1\d{15}")

VOLUMES: Final = Volumes(
    columns={
        "device_id": WORD,
        "opcode": WORD,
        "offset": INTEGER,
        "length": INTEGER,
        "timestamp": INTEGER,
    },
    time="timestamp",
    time_ns=US_NS,
    offset="offset",
    size="length",
    unit=1,
    op=lambda part: part.choice("opcode", OPERATIONS),
    volume="device_id",
    prefix="device_",
)

FORMAT: Final = Format(
    name="alibaba",
    text="Alibaba block traces of 2020, CSV",
    columns="device_id, opcode R or W, offset (B), length (B), timestamp (us since "
    "1970)",
    cgroup="device_id",
    read=VOLUMES.read,
    line=_LINE,
    matches=all_lines(_LINE),
    doubt=first_line(
        _LINE,
        "device, R or W, offset and length in bytes, and 16 digits of us since 1970",
    ),
    epoch=True,
    lacks="completions, processes",
)
