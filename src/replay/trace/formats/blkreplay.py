"""blkreplay's load files: a header of text, then fields between semicolons."""

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from replay.common.errors import TraceError
from replay.trace.file.schema import FLAGS, OP_CODES
from replay.trace.formats.base import (
    Format,
    Reading,
    complete_lines,
    fill_range,
    fill_times,
)
from replay.trace.formats.row_dtype import SECTOR_BYTES, Rows, new_rows
from replay.trace.formats.text_table import INTEGER, SECONDS, WORD, read_table

COLUMNS: Final = {
    "start": SECONDS,
    "sector": INTEGER,
    "length": INTEGER,
    "op": WORD,
    "replay_delay": None,
    "replay_duration": None,
}
READAHEAD: Final = 1 << 8
OPERATIONS: Final = {
    "r": OP_CODES["read"],
    "w": OP_CODES["write"],
    "ra": OP_CODES["read"] | READAHEAD,
}

_HEADER = re.compile(rb"\s*start\s*;\s*sector\s*;\s*length\s*;\s*op\s*;.*")
_LINE = re.compile(rb"\s*\d+\.\d+\s*;\s*\d+\s*;\s*\d+\s*;\s*(?:R|W|RA)\s*;.*;.*")


def header_lines(head: bytes) -> int | None:
    """Count the lines before the first row; None if this is no load file."""
    last_header = None
    for number, line in enumerate(complete_lines(head)):
        if _LINE.fullmatch(line):
            return number
        # a header may quote another file's, column names included
        if _HEADER.fullmatch(line):
            last_header = number + 1
    return last_header


def read(reading: Reading) -> Iterator[Rows]:
    """Read the rows of one file."""
    skip = header_lines(reading.head)
    if skip is None:
        raise TraceError(f"{reading.path}: there is no line `start ; sector ; …`")
    cgroup = reading.names.cgroup(reading.stem)
    device = reading.names.device(reading.stem)
    for part in read_table(reading, COLUMNS, delimiter=";", skip_lines=skip):
        rows = new_rows(len(part))
        fill_times(reading, part.first_row, rows, part.numbers("start"))
        sector, length = part.numbers("sector"), part.numbers("length")
        fill_range(reading, part.first_row, rows, sector, length, unit=SECTOR_BYTES)
        op = part.choice("op", OPERATIONS)
        rows["op"] = op & (READAHEAD - 1)
        rows["flags"] = np.where(op & READAHEAD, FLAGS["readahead"], 0)
        rows["cgroup"] = cgroup
        rows["device"] = device
        yield rows


def matches(head: bytes) -> bool:
    """Tell it by its header, or by the first line."""
    return header_lines(head) is not None


FORMAT: Final = Format(
    name="blkreplay",
    text="blkreplay's load files",
    columns="start (s), sector (512 B), length (sectors), op R, W or RA (read ahead), "
    "two more; after a header of text",
    cgroup="the file's name",
    read=read,
    line=_LINE,
    matches=matches,
    lacks="completions, processes",
)
