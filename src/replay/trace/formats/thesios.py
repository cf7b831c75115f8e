"""Google's Thesios: synthesized I/O of Colossus servers, CSV with a header.

Source: the README of google-research-datasets/thesios.
"""

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from replay.common.errors import TraceError
from replay.common.text import count_text
from replay.trace.formats.base import Format, Reading
from replay.trace.formats.csv_columns import Column
from replay.trace.formats.row_dtype import Rows
from replay.trace.formats.table_rows import TableRows
from replay.trace.formats.text_table import INTEGER, read_table

COLUMNS: Final = {
    "time": Column("start_time", "s"),
    "offset": Column("file_offset", "B"),
    "size": Column("request_io_size_bytes", "B"),
    "op": Column("op_type", ""),
    "response": Column("simulated_latency", "s"),
    "cgroup": Column("application", ""),
}
ON_DISK: Final = "disk_io_size_bytes"

_HEADER = re.compile(rb"\s*filename,file_offset,application,[^\r\n]*")


def _names(head: bytes) -> list[str]:
    line = head.split(b"\n", 1)[0].decode("utf-8", "replace")
    return [one.strip() for one in line.split(",")]


def matches(head: bytes) -> bool:
    """Tell it by its header."""
    return {ON_DISK, *(one.source for one in COLUMNS.values())} <= {*_names(head)}


def read(reading: Reading) -> Iterator[Rows]:
    """Read the rows of one file."""
    if not matches(reading.head):
        raise TraceError(f"{reading.path}: has no header of Thesios")
    types: dict[str, pa.DataType | None] = dict.fromkeys(_names(reading.head))
    types |= {one.source: TableRows.type_of(field) for field, one in COLUMNS.items()}
    types[ON_DISK] = INTEGER
    table = TableRows(reading, COLUMNS)
    n_cached = n_rows = 0
    for part in read_table(reading, types, skip_lines=1, quote='"'):
        on_disk = part.numbers(ON_DISK, blank=0)
        n_rows += len(part)
        n_cached += int(np.count_nonzero(on_disk == 0))
        yield table.rows(part)
    if n_cached:
        reading.notes.append(
            f"{n_cached:,} of {count_text(n_rows, 'request')} did not reach the disk "
            "at once (disk_io_size_bytes 0: a cache's hits, buffered writes)."
        )


FORMAT: Final = Format(
    name="thesios",
    text="Google's Thesios, CSV",
    columns="start_time (s since 1970), file_offset (B), request_io_size_bytes (B), "
    "op_type, simulated_latency (s), application, of its 17 columns",
    cgroup="application",
    read=read,
    matches=matches,
    epoch=True,
    lacks="places on the disk: offsets are in files",
)
