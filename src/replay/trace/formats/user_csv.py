"""CSV of any kind: the user names the columns and their units.

``time=ts:us,offset=off:B,size=len:B,op=rw,cgroup=tenant`` — a field, the column that
holds it, and its unit. A column is its name in the header, or its number from 1 where
there is no header. The delimiter is the one of ``, ; | tab blank`` that the first line
has the columns by; blanks may be several, as in tables for people.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay.common.errors import TraceError
from replay.trace.file.schema import OP_CODES, OPS, device_number
from replay.trace.formats.base import (
    MAX_NBYTES,
    Format,
    Reading,
    fill_range,
    fill_times,
    scaled,
)
from replay.trace.formats.fiu import MAX_PID, note_processes
from replay.trace.formats.guess import fields_of, read_sample, suggest_columns
from replay.trace.formats.operations import OPERATIONS
from replay.trace.formats.row_dtype import SECTOR_BYTES, Rows, new_rows
from replay.trace.formats.text_table import (
    INTEGER,
    MICROSECONDS,
    MILLISECONDS,
    SECONDS,
    WORD,
    Part,
    blanks_vary,
    one_blank,
    read_table,
)

#: Unit of a time: how it is read, and ns of what is read.
TIME_UNITS: Final = {
    "s": (SECONDS, 1),
    "ms": (MILLISECONDS, 1),
    "us": (MICROSECONDS, 1),
    "ns": (INTEGER, 1),
    "100ns": (INTEGER, 100),
}
#: Unit of an offset or size: its bytes.
SIZE_UNITS: Final = {"B": 1, "sectors": SECTOR_BYTES, "KiB": 1 << 10, "4KiB": 1 << 12}
REQUIRED: Final = ("time", "offset", "size", "op")
OPTIONAL: Final = ("response", "cgroup", "device", "pid", "process")
DELIMITERS: Final = (",", ";", "|", "\t", " ")
#: Columns that a refusal shows.
MOST_SHOWN: Final = 12
#: What in a guess may be wrong.
CHECK: Final = "the units, and what op's words mean"
_FINER: Final = "say a larger unit (s takes 9 digits, ms 6, us 3), or round it"
_OTHER_WORDS: Final = ": say what words mean, as in op={}:0=read/1=write"
_EXAMPLE: Final = '--columns "time=ts:us,offset=off:B,size=len:B,op=rw,cgroup=tenant"'
NUMBERED: Final = '--columns "time=1:us,offset=2:B,size=3:B,op=4"'


@dataclass(frozen=True)
class Column:
    """A column: its name or number, and the text behind the colon."""

    source: str
    unit: str


def parse_columns(text: str, head: bytes = b"") -> dict[str, Column]:
    """Parse what the user says about the columns.

    Parameters
    ----------
    text : str
        ``FIELD=COLUMN:UNIT`` with commas between.
    head : bytes
        The file's first bytes, for what a refusal offers.

    Returns
    -------
    dict
        By field.

    Raises
    ------
    TraceError
        A field or a unit is not known, is missing, or is given twice.
    """
    columns: dict[str, Column] = {}
    for item in text.split(","):
        field, equals, rest = item.strip().partition("=")
        source, _, unit = rest.partition(":")
        if not equals or not source or field not in (*REQUIRED, *OPTIONAL):
            raise TraceError(
                f"--columns: {item.strip()!r} is not FIELD=COLUMN[:UNIT] with one of "
                f"{', '.join((*REQUIRED, *OPTIONAL))}"
            )
        if field in columns:
            raise TraceError(f"--columns: {field} is given twice")
        units: list[str] = []
        if field in ("time", "response"):
            units = list(TIME_UNITS)
        elif field in ("offset", "size"):
            units = list(SIZE_UNITS)
        elif field != "op" and unit:
            raise TraceError(f"--columns: {field} has no unit: leave out {unit!r}")
        if units and unit not in units:
            raise TraceError(
                f"--columns: {field} needs a unit, one of {', '.join(units)}: "
                f"{field}={source}:{units[0]}"
            )
        columns[field] = Column(source, unit)
    if missing := [field for field in REQUIRED if field not in columns]:
        sample = read_sample(head, DELIMITERS)
        given = [item.strip() for item in text.split(",")]
        example = suggest_columns(sample, given) if sample else _EXAMPLE
        raise TraceError(
            f"--columns: {' and '.join(missing)} missing: for example {example}"
        )
    if len({column.source for column in columns.values() if column.source}) < 2:
        raise TraceError("--columns: every field has the same column")
    return columns


def parse_operations(text: str) -> dict[str, int]:
    """Parse ``0=read/1=write``; without it the usual words are known."""
    names = OPERATIONS
    if text:
        pairs = [one.partition("=") for one in text.split("/")]
        names = {word.strip().lower(): name.strip() for word, _, name in pairs}
    wrong = [name for name in names.values() if name not in OP_CODES]
    if wrong:
        raise TraceError(
            f"--columns: op: {wrong[0]!r} is not one of {', '.join(OPS)}: say for "
            "example op=type:0=read/1=write"
        )
    return {word: OP_CODES[name] for word, name in names.items()}


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
        f"is no header: for example {_EXAMPLE} or {NUMBERED}"
    )


@dataclass(frozen=True)
class Layout:
    """How a file's lines are split."""

    delimiter: str
    names: list[str]
    skip_lines: int


def find_layout(reading: Reading, columns: dict[str, Column]) -> Layout:
    """Find delimiter, header and the columns' names.

    Parameters
    ----------
    reading : Reading
    columns : dict
        Of `parse_columns`.

    Returns
    -------
    Layout
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
    skip = 0
    while skip < len(lines) and (
        not lines[skip].strip() or lines[skip].startswith("#")
    ):
        skip += 1
    if skip == len(lines):
        raise TraceError(f"{reading.path}: has no rows in its first bytes")
    sources = [column.source for column in columns.values()]
    numbered = all(re.fullmatch(r"[1-9]\d{0,3}", source) for source in sources)
    for delimiter in DELIMITERS:
        fields = fields_of(lines[skip], delimiter)
        if numbered and max(map(int, sources)) <= len(fields):
            names = [str(number + 1) for number in range(len(fields))]
            return Layout(delimiter, names, skip)
        if not numbered and set(sources) <= set(fields):
            if len(set(fields)) < len(fields):
                raise TraceError(f"{reading.path}: two columns have the same name")
            return Layout(delimiter, fields, skip + 1)
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
        wanted = _type(field, column)
        if known is not None and known != wanted:
            raise TraceError(f"--columns: {column.source} cannot be two things")
        types[column.source] = wanted
    aligned = layout.delimiter == " " and blanks_vary(reading.head)
    for part in read_table(
        reading,
        types,
        delimiter=layout.delimiter,
        prepare=one_blank if aligned else None,
        skip_lines=layout.skip_lines,
        quote='"',
        finer=_FINER,
    ):
        rows = new_rows(len(part))
        response = _times(part, columns["response"]) if "response" in columns else None
        arrival = _times(part, columns["time"])
        fill_times(reading, part.first_row, rows, arrival, response)
        _fill_range(part, columns["offset"], columns["size"], rows)
        rows["op"] = part.choice(
            columns["op"].source,
            operations,
            hint=_OTHER_WORDS.format(columns["op"].source),
        )
        _fill_names(part, columns, rows)
        yield rows


def _type(field: str, column: Column) -> pa.DataType:
    if field in ("time", "response"):
        return TIME_UNITS[column.unit][0]
    return INTEGER if field in ("offset", "size", "pid") else WORD


def _times(part: Part, column: Column) -> NDArray[np.int64]:
    factor = TIME_UNITS[column.unit][1]
    return scaled(part.reading, part.first_row, part.numbers(column.source), factor)


def _fill_range(part: Part, offset: Column, size: Column, rows: Rows) -> None:
    units = SIZE_UNITS[offset.unit], SIZE_UNITS[size.unit]
    bytes_ = []
    for column, unit in zip((offset, size), units, strict=True):
        values = part.numbers(column.source)
        good = (values >= 0) & (values <= (1 << 62) // unit)
        text = f"{column.source} is negative or too large"
        part.reading.require(part.first_row, good, text)
        bytes_.append(values * unit)
    part.reading.require(
        part.first_row, bytes_[1] <= MAX_NBYTES, f"{size.source} is 4 GiB or more"
    )
    fill_range(part.reading, part.first_row, rows, *bytes_)


def _fill_names(part: Part, columns: dict[str, Column], rows: Rows) -> None:
    names = part.reading.names
    if "pid" in columns:
        pid = part.numbers(columns["pid"].source)
        good = (pid >= 0) & (pid <= MAX_PID)
        part.reading.require(part.first_row, good, f"pid is not in 0..{MAX_PID}")
        rows["pid"] = pid
    if "process" in columns:
        note_processes(part.reading, part, rows, columns["process"].source)
    if "cgroup" in columns:
        rows["cgroup"] = part.mapped(columns["cgroup"].source, names.cgroup)
    if "device" in columns:
        rows["device"] = part.mapped(columns["device"].source, _device(names.device))
    else:
        rows["device"] = names.device(part.reading.stem)


def _device(number: Callable[[str], int]) -> Callable[[str], int]:
    """Take ``8:0`` as it is; number any other name."""

    def device(name: str) -> int:
        return device_number(name) if re.fullmatch(r"\d+:\d+", name) else number(name)

    return device


FORMAT: Final = Format(
    name="csv",
    text="any other CSV: `--columns` names its columns and units",
    columns=f"time and response (unit {', '.join(TIME_UNITS)}), offset and size "
    f"({', '.join(SIZE_UNITS)}), op, cgroup, device, pid, process",
    cgroup="any column; a path such as `/prod/web` stays one",
    read=read,
    names_paths=True,
)
