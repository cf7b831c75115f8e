"""FIU SRCMap and I/O deduplication: text, one request a line, with a digest."""

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
)
from replay.trace.formats.row_dtype import SECTOR_BYTES, Rows, new_rows
from replay.trace.formats.text_table import (
    INTEGER,
    WORD,
    TextRows,
    blanks_vary,
    one_blank,
    read_table,
)

COLUMNS: Final = {
    "ts": INTEGER,
    "pid": INTEGER,
    "process": WORD,
    "lba": INTEGER,
    "size": INTEGER,
    "op": WORD,
    "major": INTEGER,
    "minor": INTEGER,
    "digest": None,
}
OPERATIONS: Final = {"r": OP_CODES["read"], "w": OP_CODES["write"]}
MAX_PID: Final = (1 << 31) - 1

_LINE = re.compile(rb"\s*\d+\s+\d+\s+\S+\s+\d+\s+\d+\s+[RW]\s+\d+\s+\d+\s+[0-9a-f]+\s*")


def read(reading: Reading) -> Iterator[Rows]:
    """Read the rows of one file."""
    prepare = one_blank if blanks_vary(reading.head) else None
    for part in read_table(reading, COLUMNS, delimiter=" ", prepare=prepare):
        rows = new_rows(len(part))
        fill_times(reading, part.first_row, rows, part.numbers("ts"))
        lba, size = part.numbers("lba"), part.numbers("size")
        fill_range(reading, part.first_row, rows, lba, size, unit=SECTOR_BYTES)
        rows["op"] = part.choice("op", OPERATIONS)
        pid = part.numbers("pid")
        good = (pid >= 0) & (pid <= MAX_PID)
        reading.require(part.first_row, good, f"pid is not in 0..{MAX_PID}")
        rows["pid"] = pid
        major, minor = part.numbers("major"), part.numbers("minor")
        good = (major >= 0) & (major < 1 << 12) & (minor >= 0) & (minor < 1 << 20)
        reading.require(part.first_row, good, "major:minor is no device number")
        rows["device"] = major << 20 | minor
        rows["cgroup"] = part.mapped("process", reading.names.cgroup)
        note_processes(reading, part, rows)
        yield rows


def note_processes(
    reading: Reading, part: TextRows, rows: Rows, column: str = "process"
) -> None:
    """Note the process names, each when a process is first seen to have it."""
    codes, words = part.words(column)
    key = rows["pid"].astype(np.int64) << 32 | codes
    # a process may change its name and back: each run of one name counts
    order = np.argsort(rows["pid"], kind="stable")
    in_order = key[order]
    begins = np.concatenate([[True], in_order[1:] != in_order[:-1]])
    for row in np.sort(order[begins]):
        reading.names.process(
            int(rows["arrival_ns"][row]), int(rows["pid"][row]), words[codes[row]]
        )


FORMAT: Final = Format(
    name="fiu",
    text="FIU I/O traces (SRCMap, deduplication), text",
    columns="time (ns), pid, process, lba (512 B sectors), size (sectors), R or W, "
    "major, minor, digest",
    cgroup="process",
    read=read,
    line=_LINE,
    matches=all_lines(_LINE),
    lacks="completions",
)
