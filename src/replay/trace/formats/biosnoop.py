"""Tables of `biosnoop` and `iosnoop`: a line a request, as it is done.

`biosnoop` of bcc and of libbpf-tools prints TIME when a request is *done*; it was
issued LAT before, and waited QUE before that (``-Q``). `iosnoop` of perf-tools says by
its columns what it prints: STARTs, ENDs. A process's name may hold blanks, a disk's be
blank. Source: bcc's tools/biosnoop.py and libbpf-tools/biosnoop.c; perf-tools' iosnoop.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from replay.common.errors import TraceError
from replay.common.text import count_text
from replay.trace.formats import _columns
from replay.trace.formats.base import Format, Reading, complete_lines
from replay.trace.formats.csv_columns import Column
from replay.trace.formats.row_dtype import Rows
from replay.trace.formats.table_rows import TableRows
from replay.trace.formats.text_table import read_table

#: What a column's name says: field and unit.
FIELDS: Final = {
    "TIME(s)": ("end", "s"),
    "TIME(ms)": ("end", "ms"),
    "TIME(us)": ("end", "us"),
    "TIMESTAMP": ("end", "date"),
    "TIME": ("end", "date"),
    "ENDs": ("end", "s"),
    "STARTs": ("issue", "s"),
    "COMM": ("process", ""),
    "PID": ("pid", ""),
    "DISK": ("device", ""),
    "DEV": ("device", ""),
    "T": ("op", ""),
    "TYPE": ("op", ""),
    "SECTOR": ("offset", "sectors"),
    "BLOCK": ("offset", "sectors"),
    "BYTES": ("size", "B"),
    "QUE(ms)": ("wait", "ms"),
    "LAT(ms)": ("response", "ms"),
    "LAT(us)": ("response", "us"),
    "LATms": ("response", "ms"),
    "CGROUP": ("cgroup", ""),
}
NEEDED: Final = ("offset", "size", "op", "response")
#: What bcc prints behind BYTES, 7 wide and without a blank before it.
_TIMES_BEHIND: Final = (["QUE(ms)"], ["LAT(ms)"])
_JOINED: Final = re.compile(r"row \d+: BYTES: '\d+\.\d+' is no whole number")
#: Lines before a header: what tools say when they begin.
_MOST_BEFORE: Final = 20
#: What they say between the rows.
_NOISE: Final = re.compile(
    rb"^(?:\^C *\r?\n|(?:\^C)?(?:Tracing |Ending |Detaching|Attach|WARNING|TIME|COMM "
    rb"|STARTs|ENDs|(?:Possibly )?[Ll]ost (\d+)).*\n?)",
    re.MULTILINE,
)
#: One of these is in each of them.
_MARKS: Final = (
    *(b"Tracing ", b"Ending ", b"Detaching", b"Attach", b"WARNING", b"TIME", b"COMM "),
    *(b"STARTs", b"ENDs", b"ost ", b"^C"),
)


def find_header(head: bytes) -> tuple[int, list[str]] | None:
    """Find the line that names the columns.

    Parameters
    ----------
    head : bytes
        A file's first bytes.

    Returns
    -------
    tuple of int and list of str, or None
        Its number, from 0, and the names; None if there is none.
    """
    for number, line in enumerate(complete_lines(head)[:_MOST_BEFORE]):
        names = line.decode("utf-8", "replace").split()
        if {"COMM", "PID"} <= {*names} and len({*names}) == len(names):
            return number, names
    return None


def fields_of(names: list[str]) -> dict[str, Column]:
    """Say which field each column is."""
    return {
        field: Column(name, unit)
        for name in names
        if name in FIELDS
        for field, unit in (FIELDS[name],)
    }


def matches(head: bytes) -> bool:
    """Tell it by the header."""
    found = find_header(head)
    return found is not None and {*NEEDED} <= fields_of(found[1]).keys()


def what_lacks(head: bytes) -> str | None:
    """Say why a table of such tools holds no requests; None if it does, or is none."""
    found = find_header(head)
    if found is None or not any("LAT" in name for name in found[1]):
        return None
    fields = fields_of(found[1])
    missing = [one for one in ("offset", "size", "op") if one not in fields]
    if missing:
        words = {"offset": "sector", "size": "bytes", "op": "direction"}
        return (
            f"is a table of biosnoop without {', '.join(words[one] for one in missing)}"
            " (bpftrace's biosnoop.bt prints none): it cannot be replayed; record with "
            "biosnoop of bcc or libbpf-tools, or with blktrace"
        )
    if not {"end", "issue"} & fields.keys():
        return (
            "is a table of iosnoop without times: it cannot be replayed; record with "
            "iosnoop -s (start) or -t (end)"
        )
    return None


def read(reading: Reading) -> Iterator[Rows]:
    """Read the rows of one file."""
    found = find_header(reading.head)
    if found is None or not matches(reading.head):
        raise TraceError(
            f"{reading.path}: {what_lacks(reading.head) or 'has no header of biosnoop'}"
        )
    number, names = found
    columns = fields_of(names)
    if not {"end", "issue"} & columns.keys():
        raise TraceError(f"{reading.path}: {what_lacks(reading.head)}")
    types: dict[str, pa.DataType | None] = dict.fromkeys(names)
    types |= {one.source: TableRows.type_of(field) for field, one in columns.items()}
    table = TableRows(reading, columns)
    try:
        for part in read_table(
            reading,
            types,
            delimiter="\t",
            prepare=_prepare(reading, names, columns),
            skip_lines=number + 1,
        ):
            yield table.rows(part)
    except TraceError as error:
        if _JOINED.search(str(error)):
            raise TraceError(
                f"{error}: BYTES and the time behind it have no blank between them, "
                "and their digits do not tell where it belongs: put one there"
            ) from error
        raise
    if reading.n_skipped:
        reading.notes.append(
            f"{count_text(reading.n_skipped, 'row')} of no disk left out: commands "
            "to a controller."
        )


def _are_numbers(lines: bytes) -> bool:
    """Return True if each line begins with a digit or a blank, as rows do."""
    data = np.frombuffer(b"\n" + lines, np.uint8)
    first = data[1:][data[:-1] == ord("\n")]
    return bool(((first - ord("0") < 10) | (first == ord(" "))).all())


def _joined(names: list[str]) -> int:
    """Find the size that a time may follow without a blank, as bcc prints it."""
    size = names.index("BYTES") if "BYTES" in names else -1
    if size > names.index("COMM") and names[size + 1 : size + 2] in _TIMES_BEHIND:
        return size
    return -1


def _prepare(
    reading: Reading, names: list[str], columns: dict[str, Column]
) -> Callable[[bytes], bytes]:
    """Make columns of lines; leave out what is none, behind the header."""
    wide, optional = names.index("COMM"), -1
    if "DISK" in names and names.index("DISK") == names.index("PID") + 1 > wide + 1:
        optional = names.index("DISK")
    joined = _joined(names)
    left: list[bool] = []

    def prepare(lines: bytes) -> bytes:
        # what stands above the first row is skipped by its number
        begin = 0
        if not left:
            left.append(True)
            for _ in range(find_header(reading.head)[0] + 1):  # type: ignore[index]
                begin = lines.find(b"\n", begin) + 1
        body = lines[begin:]
        # hardly ever: to search each line for it would take longer than all else
        if not _are_numbers(body) and any(one in body for one in _MARKS):
            for match in _NOISE.finditer(body):
                reading.n_lost += int(match[1] or 0)
            body = _NOISE.sub(b"\n", body)
        # pyarrow numbers rows by lines with something in them
        before = b"-\n" * lines[:begin].count(b"\n")
        return before + _columns.by_blanks(body, len(names), wide, optional, joined)

    return prepare


FORMAT: Final = Format(
    name="biosnoop",
    text="biosnoop of bcc and libbpf-tools, iosnoop of perf-tools",
    columns="time of the completion (s, or a time of day), process, pid, disk, "
    "operation, sector, bytes, wait (ms, `-Q`), latency (ms)",
    cgroup="none",
    read=read,
    matches=matches,
    names_paths=True,
    lacks="merges; cgroups",
)
