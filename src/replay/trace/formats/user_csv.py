"""CSV of any kind: the user names the columns and their units.

What ``--columns`` says is in `replay.trace.formats.csv_columns`. The delimiter is the
one of ``, ; | tab blank`` that the first line has the columns by; blanks may be
several, as in tables for people.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from replay.common.errors import TraceError
from replay.trace.formats import _columns
from replay.trace.formats.base import Format, Reading
from replay.trace.formats.csv_columns import (
    DELIMITERS,
    EXAMPLE,
    NUMBERED,
    SIZE_UNITS,
    TIME_UNITS,
    Column,
    parse_columns,
    parse_operations,
)
from replay.trace.formats.event_pairs import EventPairs
from replay.trace.formats.guess import fields_of, read_sample, suggest_columns
from replay.trace.formats.operations import OTHER
from replay.trace.formats.row_dtype import Rows
from replay.trace.formats.table_rows import TableRows
from replay.trace.formats.text_table import blanks_vary, one_blank, read_table

#: Columns that a refusal shows.
MOST_SHOWN: Final = 12
#: What in a guess may be wrong.
CHECK: Final = "the units, and what op's words mean"


def ask_columns(head: bytes) -> str:
    """Ask for ``--columns``, with what the header suggests.

    Parameters
    ----------
    head : bytes
        The file's first bytes.

    Returns
    -------
    str
        What to say behind the file's name.
    """
    if sample := read_sample(head, DELIMITERS):
        return (
            "csv needs to be told its columns and their units: for example "
            f"{suggest_columns(sample)} (check {CHECK}; docs/formats.md has all)"
        )
    return (
        "csv needs to be told its columns and their units, by their numbers if there "
        f"is no header: for example {EXAMPLE} or {NUMBERED}"
    )


@dataclass(frozen=True)
class LineLayout:
    """The way in which a file's lines are split."""

    delimiter: str
    names: list[str]
    skip_lines: int


def find_layout(reading: Reading, columns: dict[str, Column]) -> LineLayout:
    """Find delimiter, header and the columns' names.

    Parameters
    ----------
    reading : Reading
    columns : dict
        Of `parse_columns`.

    Returns
    -------
    LineLayout
        Columns without a header are named by their numbers.

    Raises
    ------
    TraceError
        The first line has not the columns by any delimiter.
    """
    lines = (
        reading.head.decode("utf-8", "backslashreplace")
        .removeprefix("\ufeff")
        .splitlines()
    )
    sources = [column.source for column in columns.values()]
    skip = 0
    while skip < len(lines) and (
        not lines[skip].strip() or lines[skip].startswith("#")
    ):
        # a header may be a comment
        for delimiter in DELIMITERS:
            fields = fields_of(lines[skip].lstrip("# "), delimiter)
            if {*sources} <= {*fields} and len({*fields}) == len(fields):
                return LineLayout(delimiter, fields, skip + 1)
        skip += 1
    if skip == len(lines):
        raise TraceError(f"{reading.path}: has no rows in its first bytes")
    numbered = all(re.fullmatch(r"[1-9]\d{0,3}", source) for source in sources)
    for delimiter in DELIMITERS:
        fields = fields_of(lines[skip], delimiter)
        if numbered and max(map(int, sources)) <= len(fields):
            names = [str(number + 1) for number in range(len(fields))]
            return LineLayout(delimiter, names, skip)
        if not numbered and set(sources) <= set(fields):
            if len(set(fields)) < len(fields):
                raise TraceError(f"{reading.path}: two columns have the same name")
            return LineLayout(delimiter, fields, skip + 1)
    raise TraceError(f"{reading.path}: {_missing(reading, lines[skip], skip, columns)}")


def _missing(reading: Reading, line: str, skip: int, columns: dict[str, Column]) -> str:
    """Say which columns are not there, which are, and how to name them."""
    splits = [fields_of(line, delimiter) for delimiter in DELIMITERS]
    sources = dict.fromkeys(column.source for column in columns.values())
    # the delimiter by which most of them are there, else most columns
    fields = max(splits, key=lambda one: (len(sources.keys() & set(one)), len(one)))
    if all(re.fullmatch(r"[1-9]\d{0,3}", source) for source in sources):
        most = max(sources, key=int)
        return (
            f"row {skip + 1} has {len(fields)} columns, and no column {most}: "
            f"{line.strip()[:80]!r}"
        )
    items = {
        field: f"{field}={one.source}{one.unit and ':'}{one.unit}"
        for field, one in columns.items()
    }
    missing = {
        field: item
        for field, item in items.items()
        if columns[field].source not in fields
    }
    names = " and ".join(
        f"{columns[field].source!r} ({item})" for field, item in missing.items()
    )
    sample = read_sample(reading.head, DELIMITERS)
    if sample is None:
        return (
            f"row {skip + 1}: {line.strip()[:80]!r} is no header with a column "
            f"{names}: without a header number the columns from 1, as in "
            f"{NUMBERED}"
        )
    there = sample.names
    shown = ", ".join(there[:MOST_SHOWN]) + (", …" if there[MOST_SHOWN:] else "")
    right = [item for field, item in items.items() if field not in missing]
    return (
        f"row {skip + 1}: there is no column {names}; the header has {shown}: "
        f"for example {suggest_columns(sample, right)}"
    )


def read(reading: Reading) -> Iterator[Rows]:
    """Read the rows of one file."""
    if reading.options.columns is None:
        raise TraceError(f"{reading.path}: {ask_columns(reading.head)}")
    columns = parse_columns(reading.options.columns, reading.head)
    operations = parse_operations(columns["op"].unit)
    layout = find_layout(reading, columns)
    types: dict[str, pa.DataType | None] = dict.fromkeys(layout.names)
    for field, column in columns.items():
        known = types[column.source]
        wanted = TableRows.type_of(field)
        if known is not None and known != wanted:
            raise TraceError(f"--columns: {column.source} cannot be two things")
        types[column.source] = wanted
    delimiter = layout.delimiter
    prepare: Callable[[bytes], bytes] = nowhere
    if delimiter == " ":
        if '"' in reading.head.decode("utf-8", "replace"):
            prepare = one_blank if blanks_vary(reading.head) else nowhere
        else:
            # a process's name may hold blanks, a device's may be one
            delimiter, prepare = "\t", _by_blanks(layout.names, columns)
    table = TableRows(reading, columns, operations)
    pairs: EventPairs | None = None
    if "event" in columns:
        id_source = columns["id"].source if "id" in columns else None
        pairs = EventPairs(reading, columns["event"], id_source)
    for part in read_table(
        reading,
        types,
        delimiter=delimiter,
        prepare=prepare,
        skip_lines=layout.skip_lines,
        quote='"' if delimiter != "\t" else False,
    ):
        if pairs is None:
            yield table.rows(part)
            continue
        rows, skip = table.all_rows(part)
        kinds = np.where(skip, OTHER, pairs.kinds(part))
        reading.n_skipped += int(np.count_nonzero(kinds == OTHER))
        yield pairs.take(rows, kinds, pairs.ids(part))
    if pairs is not None:
        yield pairs.finish()


def nowhere(lines: bytes) -> bytes:
    """Write 2**64 - 1, the sector of what has no place, as -1."""
    return lines.replace(b"18446744073709551615", b"-1")


def _by_blanks(
    names: list[str], columns: dict[str, Column]
) -> Callable[[bytes], bytes]:
    """Make columns of lines whose words blanks separate."""

    def place(field: str) -> int:
        return names.index(columns[field].source) if field in columns else -1

    wide, optional = place("process"), place("device")
    # it is seen to be missing where the number before it stands in its place
    if not (wide >= 0 and optional == place("pid") + 1 and wide < optional - 1):
        optional = -1

    def prepare(lines: bytes) -> bytes:
        return _columns.by_blanks(nowhere(lines), len(names), wide, optional)

    return prepare


FORMAT: Final = Format(
    name="csv",
    text="any other CSV: `--columns` names its columns and units",
    columns=f"time, issue and end (unit {', '.join(TIME_UNITS)}), response and wait, "
    f"offset and size ({', '.join(SIZE_UNITS)}), op, cgroup, device, pid, process; "
    "event and id, where issue and completion are rows of their own",
    cgroup="any column: paths, names, or the kernel's ids with `--cgroups`",
    lacks="what no column says",
    read=read,
    names_paths=True,
)
