"""fio's iolog, version 2 and 3.

Version 2 has ``wait`` lines: what follows one comes so many us after the one before
(Source: fio's HOWTO, "Trace file format v2"). A log without them has no times: all its
requests arrive at 0. Version 3 begins each line with a time, us since the start.
"""

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from replay.common.errors import TraceError
from replay.trace.file.schema import OP_CODES
from replay.trace.formats.base import (
    MAX_TIME_NS,
    Format,
    Reading,
    fill_range,
    fill_times,
    scaled,
)
from replay.trace.formats.row_dtype import Rows, new_rows
from replay.trace.formats.text_table import INTEGER, WORD, read_table

US_NS: Final = 1000
#: What has no place in the trace: the file's own life, and waiting.
NO_REQUEST: Final = -1
WAIT: Final = -2
ACTIONS: Final = {
    "read": OP_CODES["read"],
    "write": OP_CODES["write"],
    "trim": OP_CODES["discard"],
    "sync": OP_CODES["flush"],
    "datasync": OP_CODES["flush"],
    "sync_file_range": NO_REQUEST,
    "add": NO_REQUEST,
    "open": NO_REQUEST,
    "close": NO_REQUEST,
}
V2: Final = {"file": WORD, "action": WORD, "offset": INTEGER, "length": INTEGER}
V3: Final = {"time": INTEGER, **V2}

_HEADER = re.compile(rb"fio version ([23]) iolog\r?\n")
_LINE = re.compile(
    rb"(?:\d+ )?\S+ (?:(?:add|open|close) *|(?:read|write|trim|sync|datasync|wait)"
    rb" \d+ \d+)"
)
_FILE_ACTION = re.compile(r"(?:\d+ )?\S+ (?:add|open|close)\s*")


def read(reading: Reading) -> Iterator[Rows]:
    """Read the rows of one file."""
    match = _HEADER.match(reading.head)
    if match is None:
        raise TraceError(
            f"{reading.path}: does not begin with `fio version 2 iolog` or 3"
        )
    names = reading.names
    version = int(match[1])
    columns, actions = (
        (V3, ACTIONS) if version == 3 else (V2, {**ACTIONS, "wait": WAIT})
    )
    now_us = 0
    for part in read_table(
        reading,
        columns,
        delimiter=" ",
        skip_lines=1,
        comment_column=lambda line: _FILE_ACTION.fullmatch(line) is not None,
    ):
        rows = new_rows(len(part))
        action = part.choice("action", actions)
        offset, length = part.numbers("offset"), part.numbers("length")
        if version == 3:
            time_us = part.numbers("time")
        else:
            wait = np.where(action == WAIT, offset, 0)
            good = (wait >= 0) & (wait < MAX_TIME_NS // US_NS // max(len(part), 1))
            reading.require(part.first_row, good, "the wait is negative or too long")
            time_us = now_us + np.cumsum(wait)
            now_us = int(time_us[-1])
        arrival = scaled(reading, part.first_row, time_us, US_NS)
        fill_times(reading, part.first_row, rows, arrival)
        request = action >= 0
        # a flush has no range; fio writes the last one's
        ranged = request & (action != OP_CODES["flush"])
        offset, length = np.where(ranged, offset, 0), np.where(ranged, length, 0)
        fill_range(reading, part.first_row, rows, offset, length)
        rows["op"] = action
        rows["cgroup"] = part.mapped("file", names.cgroup)
        rows["device"] = part.mapped("file", names.device)
        yield rows[request]


def matches(head: bytes) -> bool:
    """Tell it by the first line."""
    return _HEADER.match(head) is not None


FORMAT: Final = Format(
    name="fio-iolog",
    text="fio's iolog, version 2 and 3",
    columns="time (us, version 3), file, action, offset (B), length (B); `wait` lines "
    "of version 2: us after the one before",
    cgroup="file",
    read=read,
    line=_LINE,
    matches=matches,
)
