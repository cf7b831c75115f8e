"""SYSTOR '17 (LASR): CSV with a header, times in seconds with a fraction.

Rows with a blank type tell no request: they are left out and counted.
"""

import re
from collections.abc import Iterator
from typing import Final

from replay.trace.file.schema import OP_CODES
from replay.trace.formats.base import Format, Reading, fill_range, fill_times
from replay.trace.formats.row_dtype import Rows, new_rows
from replay.trace.formats.text_table import INTEGER, SECONDS, WORD, read_table

HEADER: Final = b"Timestamp,Response,IOType,LUN,Offset,Size"
COLUMNS: Final = {
    "Timestamp": SECONDS,
    "Response": SECONDS,
    "IOType": WORD,
    "LUN": WORD,
    "Offset": INTEGER,
    "Size": INTEGER,
}
_LINE = re.compile(rb"\d+\.\d+,(?:\d+\.\d+)?,[RW]?,\d+,\d*,\d*", re.IGNORECASE)

BLANK: Final = -1
OPERATIONS: Final = {"r": OP_CODES["read"], "w": OP_CODES["write"]}


def read(reading: Reading) -> Iterator[Rows]:
    """Read the rows of one file."""
    names = reading.names
    skip = 1 if reading.head.lstrip().startswith(HEADER) else 0
    for part in read_table(reading, COLUMNS, skip_lines=skip):
        rows = new_rows(len(part))
        op = part.choice("IOType", OPERATIONS, blank=BLANK)
        arrival = part.numbers("Timestamp")
        response = part.numbers("Response", blank=BLANK)
        fill_times(reading, part.first_row, rows, arrival, response)
        # what is blank with the type is left out with it
        offset, size = part.numbers("Offset", blank=0), part.numbers("Size", blank=0)
        fill_range(reading, part.first_row, rows, offset, size)
        rows["op"] = op
        rows["cgroup"] = part.mapped("LUN", lambda id: names.cgroup(f"lun_{id}"))
        rows["device"] = part.mapped("LUN", lambda id: names.device(f"lun_{id}"))
        known = op != BLANK
        if not known.all():
            reading.n_skipped += len(rows) - int(known.sum())
            rows = rows[known]
        yield rows


def matches(head: bytes) -> bool:
    """Tell it by the header."""
    return head.startswith(HEADER)


def doubt(head: bytes) -> str | None:
    """Say what speaks against it."""
    if head[:1].isalpha() and not head.startswith(HEADER):
        return f"the header is not {HEADER.decode()}"
    return None


FORMAT: Final = Format(
    name="systor",
    text="SYSTOR '17 (LASR), CSV",
    columns="Timestamp (s since 1970), Response (s), IOType R, W or blank, LUN, Offset "
    "(B), Size (B); the header may be missing",
    cgroup="LUN",
    read=read,
    line=_LINE,
    matches=matches,
    doubt=doubt,
    epoch=True,
    lacks="processes",
)
