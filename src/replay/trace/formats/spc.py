"""SPC traces of the UMass repository (Financial, WebSearch): CSV without a header.

Fields behind the fifth are optional and may come and go; they say nothing of the
request. Source: Storage Performance Council, I/O trace file format, 1.0.1.
"""

import re
from collections.abc import Iterator
from typing import Final

from replay.trace.formats import _columns
from replay.trace.formats.base import Format, Reading, all_lines
from replay.trace.formats.csv_columns import Column
from replay.trace.formats.row_dtype import Rows
from replay.trace.formats.table_rows import TableRows
from replay.trace.formats.text_table import read_table

N_COLUMNS: Final = 5
COLUMNS: Final = {
    "cgroup": Column("ASU", ""),
    "offset": Column("LBA", "sectors"),
    "size": Column("Size", "B"),
    "op": Column("Opcode", ""),
    "time": Column("Timestamp", "s"),
}

_LINE = re.compile(
    rb"\s*\d+\s*,\s*\d+\s*,\s*\d+\s*,\s*[rRwW]\s*,\s*\d+\.\d+\s*(?:,.*)?"
)


def read(reading: Reading) -> Iterator[Rows]:
    """Read the rows of one file."""
    types = {one.source: TableRows.type_of(field) for field, one in COLUMNS.items()}
    table = TableRows(reading, COLUMNS | {"device": COLUMNS["cgroup"]})
    for part in read_table(
        reading, types, prepare=lambda lines: _columns.first_columns(lines, N_COLUMNS)
    ):
        yield table.rows(part)


FORMAT: Final = Format(
    name="spc",
    text="SPC traces of the UMass repository (Financial, WebSearch), CSV",
    columns="ASU, LBA (512 B sectors), size (B), opcode R or W, timestamp (s), "
    "optional fields",
    cgroup="ASU",
    read=read,
    line=_LINE,
    matches=all_lines(_LINE),
    lacks="completions, processes",
)
