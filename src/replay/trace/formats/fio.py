"""fio's iolog, version 2 and 3.

Version 2 has ``wait`` lines: what follows one is not issued before so many ms since the
start. (Source: fio's iolog.c, where a log's next line is read, 3.33: the manual says
otherwise.) A log without them has no times: all its requests arrive at 0. Version 3
begins each line with a time, us since the start.

A log is one job's. Where fio was given one file for several their lines stand in each
other, and each begins anew: that is refused where it shows.
"""

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

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
MS_US: Final = 1000
#: What has no place in the trace: the file's own life, and waiting.
NO_REQUEST: Final = -1
WAIT: Final = -2
ACTIONS: Final = {
    "read": OP_CODES["read"],
    "write": OP_CODES["write"],
    "trim": OP_CODES["discard"],
    "sync": OP_CODES["flush"],
    "datasync": OP_CODES["flush"],
    "syncfs": OP_CODES["flush"],
    "sync_file_range": NO_REQUEST,
    "add": NO_REQUEST,
    "open": NO_REQUEST,
    "close": NO_REQUEST,
}
V2: Final = {"file": WORD, "action": WORD, "offset": INTEGER, "length": INTEGER}
V3: Final = {"time": INTEGER, **V2}

#: A step back by so much is no disorder of threads.
RESTART_US: Final = 1_000_000
_SECOND: Final = re.compile(rb"fio version [0-9] iolog")
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
    now_us = latest_us = 0
    lines = _Lines(reading)
    for part in read_table(
        reading,
        columns,
        delimiter=" ",
        skip_lines=1,
        prepare=lines,
        comment_column=lambda line: _FILE_ACTION.fullmatch(line) is not None,
    ):
        rows = new_rows(len(part))
        action = part.choice("action", actions)
        offset, length = part.numbers("offset"), part.numbers("length")
        if version == 3:
            time_us = part.numbers("time")
        else:
            wait = np.where(action == WAIT, offset, 0)
            good = (wait >= 0) & (wait < MAX_TIME_NS // US_NS // MS_US)
            reading.require(part.first_row, good, "the wait is negative or too long")
            # a wait that is over holds up nothing
            time_us = np.maximum(np.maximum.accumulate(MS_US * wait), now_us)
            now_us = int(time_us[-1])
        if version == 3:
            latest_us = _note_restart(reading, part.first_row, time_us, latest_us)
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
    if lines.cut_row:
        # fio ends each line: one without may lack digits
        reading.notes.append(
            f"Row {lines.cut_row} has no end: fio may have been stopped while it was "
            "written, and its length be cut."
        )


class _Lines:
    """Looks for lines that begin a log anew, or have no end; they stay as they are.

    ``cut_row`` is the row without an end, 0 if there is none.
    """

    def __init__(self, reading: Reading) -> None:
        self.cut_row = 0
        self._reading = reading
        self._n_lines = 0

    def __call__(self, lines: bytes) -> bytes:
        """Refuse the file if another log begins in it."""
        at = _SECOND.search(lines, 1 if self._n_lines == 0 else 0)
        if at is not None:
            row = self._n_lines + lines.count(b"\n", 0, at.start()) + 1
            begins = at.start() == 0 or lines[at.start() - 1 : at.start()] == b"\n"
            self._reading.refuse(
                row,
                ("a second log begins here" if begins else "another log stands in it")
                + ": fio was given one iolog for several jobs: give each its own "
                "(write_iolog with a name a job), or take them apart",
            )
        self._n_lines += lines.count(b"\n")
        if not lines.endswith(b"\n"):
            self.cut_row = self._n_lines + 1
        return lines


def _note_restart(
    reading: Reading, first_row: int, time_us: NDArray[np.int64], latest_us: int
) -> int:
    """Note where times begin anew; return the latest one."""
    reached = np.maximum.accumulate(np.maximum(time_us, latest_us))
    anew = (time_us < reached // 2) & (reached - time_us > RESTART_US)
    if anew.any() and not reading.notes:
        reading.notes.append(
            f"Times begin anew at row {first_row + int(np.argmax(anew))}: there are "
            "several runs in the log, and their requests lie over each other."
        )
    return int(reached[-1])


def matches(head: bytes) -> bool:
    """Tell it by the first line."""
    return _HEADER.match(head) is not None


FORMAT: Final = Format(
    name="fio-iolog",
    text="fio's iolog, version 2 and 3",
    columns="time (us, version 3), file, action, offset (B), length (B); `wait` lines "
    "of version 2: ms since the start",
    cgroup="file",
    read=read,
    line=_LINE,
    matches=matches,
    lacks="completions; times too, version 2 without `wait`",
)
