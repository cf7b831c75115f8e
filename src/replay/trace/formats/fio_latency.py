"""fio's latency logs: a line a request, as it is done.

``time (ms), latency (ns), direction, block size (B)[, offset (B)][, priority …]``; the
offset is there with ``log_offset=1``. Source: fio's HOWTO, "Log File Formats".
"""

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

from replay.common.errors import TraceError
from replay.trace.file.schema import OP_CODES
from replay.trace.formats import _columns
from replay.trace.formats.base import Format, Reading, complete_lines
from replay.trace.formats.csv_columns import Column
from replay.trace.formats.row_dtype import Rows
from replay.trace.formats.table_rows import TableRows
from replay.trace.formats.text_table import read_table

N_COLUMNS: Final = 5
COLUMNS: Final = {
    "end": Column("time", "ms"),
    "response": Column("latency", "ns"),
    "op": Column("direction", ""),
    "size": Column("size", "B"),
    "offset": Column("offset", "B"),
}
OPERATIONS: Final = {
    "0": OP_CODES["read"],
    "1": OP_CODES["write"],
    "2": OP_CODES["discard"],
}

_LINE = re.compile(
    rb"\d+(?:\.\d+)?, \d+, [012], \d+(?:, (?:\d+|0x[0-9a-f]+)){0,3}", re.IGNORECASE
)
_OTHER_LOG: Final = re.compile(r"_(bw|iops)(\.\d+)?\.log", re.IGNORECASE)


def matches(head: bytes) -> bool:
    """Tell it by its lines: of numbers with a comma and a blank between."""
    lines = complete_lines(head)
    return bool(lines) and all(map(_LINE.fullmatch, lines))


def lacks_offsets(head: bytes) -> bool:
    """Tell that there is no offset: nothing, or a priority, stands in its place."""
    fifth = [line.split(b", ")[4:] for line in complete_lines(head)]
    if any(len(one) > 1 for one in fifth):
        return False
    return all(not one or one[0] in (b"0", b"1") or b"x" in one[0] for one in fifth)


def read(reading: Reading) -> Iterator[Rows]:
    """Read the rows of one file."""
    if _OTHER_LOG.search(PurePath(reading.path).name):
        raise TraceError(
            f"{reading.path}: is fio's log of bandwidth or IOPS by its name: give the "
            "latency log (write_lat_log)"
        )
    if lacks_offsets(reading.head):
        raise TraceError(
            f"{reading.path}: is fio's latency log without offsets: it cannot be "
            "replayed; record with log_offset=1, or give the iolog (write_iolog)"
        )
    types = {one.source: TableRows.type_of(field) for field, one in COLUMNS.items()}
    table = TableRows(reading, COLUMNS, OPERATIONS)
    for part in read_table(
        reading, types, prepare=lambda lines: _columns.first_columns(lines, N_COLUMNS)
    ):
        yield table.rows(part)


FORMAT: Final = Format(
    name="fio-lat",
    text="fio's latency logs with `log_offset=1`",
    columns="time of the completion (ms), latency (ns), direction, block size (B), "
    "offset (B), optional fields",
    cgroup="none",
    read=read,
    line=_LINE,
    matches=matches,
    lacks="times below 1 ms, processes",
)
