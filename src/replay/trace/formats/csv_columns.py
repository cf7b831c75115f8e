"""The user's meaning of a CSV's columns: ``--columns``.

``time=ts:us,offset=off:B,size=len:B,op=rw,cgroup=tenant`` — a field, the column that
holds it, and its unit. A column is its name in the header, or its number from 1 where
there is no header.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from replay.common.errors import TraceError
from replay.trace.file.schema import OP_CODES, OPS
from replay.trace.formats.guess import read_sample, suggest_columns
from replay.trace.formats.operations import NO_REQUEST, OPERATIONS, SKIP
from replay.trace.formats.row_dtype import SECTOR_BYTES

#: Unit of a time: ns of it. Of a date or a time of day there is no other unit.
TIME_UNITS: Final = {
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
    "100ns": 100,
    "date": 1_000_000_000,
}
#: Unit of an offset or size: its bytes.
SIZE_UNITS: Final = {"B": 1, "sectors": SECTOR_BYTES, "KiB": 1 << 10, "4KiB": 1 << 12}
#: Fields that are moments, and those that are lengths of time.
MOMENTS: Final = ("time", "issue", "end")
LENGTHS: Final = ("response", "wait")
REQUIRED: Final = ("time", "offset", "size", "op")
OPTIONAL: Final = (
    *("response", "wait", "issue", "end"),
    *("cgroup", "device", "pid", "process", "event", "id"),
)
DELIMITERS: Final = (",", ";", "|", "\t", " ")
EXAMPLE: Final = '--columns "time=ts:us,offset=off:B,size=len:B,op=rw,cgroup=tenant"'
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
        if field in MOMENTS:
            units = list(TIME_UNITS)
        elif field in LENGTHS:
            units = [one for one in TIME_UNITS if one != "date"]
        elif field in ("offset", "size"):
            units = list(SIZE_UNITS)
        elif field not in ("op", "event") and unit:
            raise TraceError(f"--columns: {field} has no unit: leave out {unit!r}")
        if units and unit not in units:
            raise TraceError(
                f"--columns: {field} needs a unit, one of {', '.join(units)}: "
                f"{field}={source}:{units[0]}"
            )
        columns[field] = Column(source, unit)
    _check(columns, text, head)
    return columns


def _check(columns: Mapping[str, Column], text: str, head: bytes) -> None:
    """Refuse columns of which no requests can be made."""
    missing = [field for field in REQUIRED if field not in columns]
    if "time" in missing and ("issue" in columns or "end" in columns):
        missing.remove("time")
    if missing:
        sample = read_sample(head, DELIMITERS)
        given = [item.strip() for item in text.split(",")]
        example = suggest_columns(sample, given) if sample else EXAMPLE
        raise TraceError(
            f"--columns: {' and '.join(missing)} missing: for example {example}"
        )
    if "event" in columns and {"response", "end", "issue", "wait"} & columns.keys():
        raise TraceError(
            "--columns: event says that issue and completion are rows of their own: "
            "leave out response, wait, issue and end"
        )
    if "id" in columns and "event" not in columns:
        raise TraceError("--columns: id is for rows of events: name event, too")
    if not {"time", "issue", "response"} & columns.keys():
        raise TraceError(
            "--columns: end says when a request was done: name the column of its "
            "latency too (response=COLUMN:UNIT), or that of its arrival (time=)"
        )
    if len({column.source for column in columns.values() if column.source}) < 2:
        raise TraceError("--columns: every field has the same column")


def parse_operations(text: str) -> dict[str, int] | None:
    """Parse ``0=read/1=write``.

    Parameters
    ----------
    text : str
        Empty: the usual words.

    Returns
    -------
    dict of str to int, or None
        Codes by the words in lower case; `NO_REQUEST` for rows to leave out. None: the
        usual words.

    Raises
    ------
    TraceError
        An operation is not known.
    """
    if not text:
        return None
    pairs = [one.partition("=") for one in text.split("/")]
    names = {word.strip().lower(): name.strip() for word, _, name in pairs}
    wrong = [name for name in names.values() if name not in OP_CODES and name != SKIP]
    if wrong:
        raise TraceError(
            f"--columns: op: {wrong[0]!r} is not one of {', '.join((*OPS, SKIP))}: say "
            "for example op=type:0=read/1=write"
        )
    return {word: OP_CODES.get(name, NO_REQUEST) for word, name in names.items()}


#: The usual words of an operation.
WORDS: Final = {word: OP_CODES[name] for word, name in OPERATIONS.items()}
