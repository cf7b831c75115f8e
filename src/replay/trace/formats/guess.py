"""What a CSV's columns may be, by their names and first rows: for messages alone.

A refusal names a ``--columns`` that the user can paste and mend, so it takes the names
that are there. A guess that is wrong costs a correction; a table read by one would
cost a wrong answer.
"""

import csv
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct

from replay.trace.formats.base import complete_lines
from replay.trace.formats.guess_units import operation_words, size_units, time_units
from replay.trace.formats.operations import OPERATIONS

#: Field -> words that its column's name may hold, the surest first. What names a part
#: of a request's time or a process's number comes before what names the whole.
_WORDS: Final = {
    "response": (
        *("response", "latency", "lat", "duration", "elapsed", "rt", "svc", "service"),
        *("d2c", "q2c"),
    ),
    "pid": ("pid", "tgid", "processid", "tid"),
    "time": ("timestamp", "time", "ts", "arrival", "start", "when", "date", "t"),
    "offset": ("offset", "off", "lba", "sector", "block", "address", "addr", "pos"),
    "size": ("size", "bytes", "nbytes", "length", "len", "sectors", "count", "blocks"),
    "op": ("op", "rw", "opcode", "operation", "type", "iotype", "kind", "action"),
    "cgroup": (
        *("cgroup", "tenant", "volume", "container", "pod", "vm", "user", "job"),
        *("hostname", "host"),
    ),
    "device": ("device", "dev", "disk", "drive"),
    "process": (
        *("comm", "process", "processname", "proc", "task", "command", "cmd"),
        *("program", "exe"),
    ),
}
#: The order in which they are written.
_ORDER: Final = (
    *("time", "offset", "size", "op", "response"),
    *("cgroup", "device", "pid", "process"),
)
_NEEDED: Final = ("time", "offset", "size", "op")
_WITH_UNITS: Final = ("time", "response", "offset", "size")
#: Words of a column that holds when a request was done, for which there is no field.
_ENDS: Final = {"end", "complete", "completed", "completion", "finish", "done"}
_NAME: Final = re.compile(r"[^\W\d][\w .()/\[\]-]{0,40}")
_NUMBER: Final = re.compile(r"-?\d+(\.\d*)?")
#: Columns of numbers in a table of requests: a time, and where.
_FEWEST: Final = 2
#: Lines that are looked at.
MOST_LINES: Final = 200
UNKNOWN: Final = "COLUMN"


class Sample(Struct, frozen=True):
    """How a table begins.

    Attributes
    ----------
    names : list of str
        The header.
    values : dict of str to list of str
        What the first rows have in each column; empty where none was read.
    """

    names: list[str]
    values: Mapping[str, list[str]]


def read_sample(head: bytes, delimiters: Sequence[str]) -> Sample | None:
    """Split what may be a CSV with a header.

    Parameters
    ----------
    head : bytes
        A file's first bytes. Comments above the header are left out, and so are rows
        of another width than the header's.
    delimiters : sequence of str
        Tried in turn.

    Returns
    -------
    Sample or None
        None if the header is not four names or more, none of them a number and no
        two the same.
    """
    text = b"\n".join(complete_lines(head)).decode("utf-8", "backslashreplace")
    lines = [
        line
        for line in text.removeprefix("\ufeff").splitlines()
        if line.strip() and line[0] != "#"
    ][:MOST_LINES]
    for delimiter in delimiters if lines else ():
        names = fields_of(lines[0], delimiter)
        if (
            len(names) < len(_NEEDED)
            or len(set(names)) < len(names)
            or not all(map(_NAME.fullmatch, names))
        ):
            continue
        rows = (
            map(str.split, lines[1:])
            if delimiter == " "
            else csv.reader(lines[1:], delimiter=delimiter)
        )
        fit = [row for row in rows if len(row) == len(names)]
        values = {
            name: [row[at].strip() for row in fit] for at, name in enumerate(names)
        }
        # a sentence has blanks, too
        if delimiter != " " or sum(map(_are_numbers, values.values())) >= _FEWEST:
            return Sample(names, values)
    return None


def fields_of(line: str, delimiter: str) -> list[str]:
    """Split a line; any number of blanks is one."""
    parts = line.split(None if delimiter == " " else delimiter)
    return [one.strip().strip('"') for one in parts]


def _are_numbers(values: Sequence[str]) -> bool:
    return bool(values) and all(map(_NUMBER.fullmatch, values))


def suggest_columns(sample: Sample, given: Collection[str] = ()) -> str:
    """Write a ``--columns`` for a table.

    Parameters
    ----------
    sample : Sample
    given : collection of str
        Items ``FIELD=COLUMN:UNIT`` that are right as they stand.

    Returns
    -------
    str
        The option with its value, quoted for a shell: every field that is needed, and
        of the others those that a column may be. ``COLUMN`` stands where none may be.
    """
    items = {item.partition("=")[0]: item for item in given}
    taken = {item.partition("=")[2].partition(":")[0] for item in given}
    found: dict[str, str] = {}
    for field in _WORDS:
        if field in items or (given and field not in _NEEDED):
            continue
        name = _best(sample, field, [one for one in sample.names if one not in taken])
        if name is not None:
            taken.add(name)
        if name is not None or field in _NEEDED:
            found[field] = name or UNKNOWN
    units = _units(sample, found)
    for field, name in found.items():
        items[field] = f"{field}={name}" + (f":{units[field]}" if units[field] else "")
    return f'--columns "{",".join(items[one] for one in _ORDER if one in items)}"'


def words_of(name: str) -> list[str]:
    """Split ``startTime_us`` into its words, in small letters."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [one for one in re.split(r"[\W_]+", split.lower()) if one]


def _best(sample: Sample, field: str, names: Sequence[str]) -> str | None:
    fitting = [one for one in names if _may_be(field, one, sample.values.get(one, []))]
    # a name that is the word before one that holds it: cgroup before cgroup_id
    for word in _WORDS[field]:
        for name in fitting:
            if word == "".join(words_of(name)):
                return name
        for name in fitting:
            if word in words_of(name):
                return name
    if field == "op":
        for name in fitting:
            words = {one.lower() for one in sample.values.get(name, [])}
            if words and words <= OPERATIONS.keys():
                return name
    return None


def _may_be(field: str, name: str, values: Sequence[str]) -> bool:
    """Tell what surely is not: a pid is a number, a process's name is none."""
    if field == "time":
        return not _ENDS & set(words_of(name))
    numbers = bool(values) and all(re.fullmatch(r"\d+", one) for one in values)
    if field == "process":
        return not numbers
    return field != "pid" or numbers or not values


def _units(sample: Sample, columns: Mapping[str, str]) -> dict[str, str]:
    """Find the text behind each field's colon."""
    words = {field: words_of(name) for field, name in columns.items()}
    values = {field: sample.values.get(name, []) for field, name in columns.items()}
    units = dict.fromkeys(columns, "")
    units |= time_units(words, values)
    units |= size_units(words, values)
    if "op" in columns:
        units["op"] = operation_words(values["op"])
    return units
