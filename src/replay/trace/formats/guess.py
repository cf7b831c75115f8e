"""Guesses at a CSV's columns by their names and first rows, for messages alone.

A refusal names a ``--columns`` that the user can paste and mend, so it takes the names
that are there. A guess that is wrong costs a correction; a table read by one would
cost a wrong answer.
"""

import csv
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

from replay.trace.formats.base import complete_lines
from replay.trace.formats.guess_units import (
    NS_OF,
    TIME_WORDS,
    numbers_of,
    operation_words,
    size_units,
    time_units,
)
from replay.trace.formats.operations import COMPLETE, EVENT_WORDS, ISSUE, OPERATIONS

#: Field -> words that its column's name may hold, the surest first. What names a part
#: of a request's time or a process's number comes before what names the whole.
_WORDS: Final = {
    "response": (
        *("response", "latency", "lat", "duration", "elapsed", "rt", "svc", "service"),
        *("d2c", "q2c"),
    ),
    "pid": ("pid", "tgid", "processid", "tid"),
    "time": (
        *("timestamp", "time", "ts", "arrival", "start", "when", "date", "t"),
        # bpftrace's name of its clock
        "nsecs",
    ),
    "end": ("end", "complete", "completed", "completion", "finish", "done"),
    "offset": ("lba", "sector", "offset", "off", "block", "address", "addr", "pos"),
    "size": (
        *("size", "bytes", "nbytes", "length", "len", "sectors", "count", "blocks"),
        *("nblks", "nblk", "blks", "nsect", "nsectors", "nrsector", "nrsectors"),
    ),
    "op": (
        "op",
        "rw",
        "rwbs",
        "opcode",
        "operation",
        "type",
        "iotype",
        "kind",
        "action",
    ),
    "cgroup": (
        *("cgroup", "tenant", "volume", "container", "pod", "vm", "user", "job"),
        *("application", "app", "hostname", "host"),
    ),
    "device": ("device", "dev", "disk", "drive"),
    "process": (
        *("comm", "process", "processname", "proc", "task", "command", "cmd"),
        *("program", "exe"),
    ),
}
#: The order in which they are written.
_ORDER: Final = (
    *("time", "issue", "end", "offset", "size", "op", "response"),
    *("cgroup", "device", "pid", "process", "event", "id"),
)
#: Words of a column that tells requests apart.
_IDS: Final = {"id", "tag", "request", "req", "reqid", "requestid", "rq"}
_NEEDED: Final = ("time", "offset", "size", "op")
#: Of so many rows one may be older than the one before.
_MOST_BACK: Final = 3
#: A latency below is no matter for a short sample.
_SHORT_NS: Final = 1e9
_WITH_UNITS: Final = ("time", "response", "offset", "size")
#: Words of a column that holds when a request was done.
_ENDS: Final = {"end", "complete", "completed", "completion", "finish", "done"}
_NAME: Final = re.compile(r"[^\W\d][\w .()/\[\]-]{0,40}")
_NUMBER: Final = re.compile(r"-?\d+(\.\d*)?")
#: Words of a column that is a length of bytes or a place, never a time or a device.
_SIZES: Final = {
    *("size", "bytes", "nbytes", "length", "len", "sectors", "blocks", "nblks"),
    *(
        "nblk",
        "blks",
        "nsect",
        "nsectors",
        "offset",
        "lba",
        "sector",
        "addr",
        "address",
        "kib",
        "kb",
    ),
}
#: Columns of numbers in a table of requests: a time, and where.
_FEWEST: Final = 2
#: Lines that are looked at.
MOST_LINES: Final = 200
UNKNOWN: Final = "COLUMN"


class TableSample(Struct, frozen=True):
    """The first lines of a table.

    Attributes
    ----------
    names : list of str
        The header.
    values : dict of str to list of str
        What the first rows have in each column; empty where none was read.
    """

    names: list[str]
    values: Mapping[str, list[str]]


def read_sample(head: bytes, delimiters: Sequence[str]) -> TableSample | None:
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
    lines = _with_header(
        [line for line in text.removeprefix("\ufeff").splitlines() if line.strip()],
        delimiters,
    )[:MOST_LINES]
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
            return TableSample(names, values)
    return None


def _with_header(lines: Sequence[str], delimiters: Sequence[str]) -> list[str]:
    """Leave comments out, but one that is the header of the row below it."""
    for number, line in enumerate(lines):
        if line[0] == "#":
            continue
        above = lines[number - 1].lstrip("# ") if number else ""
        for delimiter in delimiters:
            names, row = fields_of(above, delimiter), fields_of(line, delimiter)
            if (
                len(names) == len(row) >= len(_NEEDED)
                and all(map(_NAME.fullmatch, names))
                and not all(map(_NAME.fullmatch, row))
            ):
                return [above, *(one for one in lines[number:] if one[0] != "#")]
        break
    return [line for line in lines if line[0] != "#"]


def fields_of(line: str, delimiter: str) -> list[str]:
    """Split a line; any number of blanks is one."""
    parts = line.split(None if delimiter == " " else delimiter)
    return [one.strip().strip('"') for one in parts]


def _are_numbers(values: Sequence[str]) -> bool:
    return bool(values) and all(map(_NUMBER.fullmatch, values))


def suggest_columns(sample: TableSample, given: Collection[str] = ()) -> str:
    """Write a ``--columns`` for a table.

    Parameters
    ----------
    sample : TableSample
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
        if field == "end" and "time" in found and found["time"] != UNKNOWN:
            continue
        if field in items or (given and field not in _NEEDED):
            continue
        name = _best(sample, field, [one for one in sample.names if one not in taken])
        if name is not None:
            taken.add(name)
        if name is not None or field in _NEEDED:
            found[field] = name or UNKNOWN
    if not given and (event := _event(sample, found)) is not None:
        # an issue and a completion are rows of their own
        for field in ("end", "response"):
            found.pop(field, None)
        found |= event
    if "end" in found and "response" in found:
        # when it was done, and how long it took: the beginning is known
        del found["time"]
    else:
        found.pop("end", None)
    units = _units(sample, found)
    _check(sample, found, units)
    for field, name in found.items():
        items[field] = f"{field}={name}" + (f":{units[field]}" if units[field] else "")
    return f'--columns "{",".join(items[one] for one in _ORDER if one in items)}"'


def _event(sample: TableSample, found: Mapping[str, str]) -> dict[str, str] | None:
    """Find the column that says what a row is, and one that tells requests apart."""
    free = [one for one in sample.names if one not in found.values()]
    for name in free:
        if _are_events(sample.values.get(name, [])):
            ids = [one for one in free if one != name and _IDS & {*words_of(one)}]
            return {"event": name, **({"id": ids[0]} if ids else {})}
    return None


def _are_events(values: Sequence[str]) -> bool:
    """Return True if some of the values say issue, the others completion."""
    kinds = {EVENT_WORDS.get(one.lower()) for one in values}
    return kinds == {ISSUE, COMPLETE}


def _check(sample: TableSample, found: dict[str, str], units: dict[str, str]) -> None:
    """Take back what the rows speak against: a latency longer than all of the time."""
    values = {field: numbers_of(sample.values.get(found[field], [])) for field in found}
    clock = next((one for one in ("time", "issue", "end") if one in found), None)
    if "response" not in found or clock is None or len(values[clock]) < _FEWEST:
        return
    lengths, moments = values["response"], values[clock]
    if not lengths or not moments:
        return
    span = (max(moments) - min(moments)) * NS_OF[units[clock]]
    middle = sorted(lengths)[len(lengths) // 2] * NS_OF[units["response"]]
    if min(lengths) < -1 or middle > max(span, _SHORT_NS):
        del found["response"], units["response"]


def words_of(name: str) -> list[str]:
    """Split ``startTime_us`` into its words, in small letters."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [one for one in re.split(r"[\W_]+", split.lower()) if one]


def _best(sample: TableSample, field: str, names: Sequence[str]) -> str | None:
    fitting = [one for one in names if _may_be(field, one, sample.values.get(one, []))]
    if field in ("time", "issue", "end"):
        # of all rows one time is better than none
        growing = [
            one
            for one in fitting
            if {*_WORDS[field]} & {*words_of(one), "".join(words_of(one))}
            and _grows(sample.values.get(one, []))
        ]
        fitting = growing or fitting
    if field == "response":
        # ticks tell less than what names its unit
        fitting.sort(key=lambda one: not TIME_WORDS.keys() & {*words_of(one)})
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
    words = {*words_of(name)}
    if field in ("time", "issue", "end", "response", "device") and _SIZES & words:
        return False
    if field == "device" and "time" in words:
        return False
    if field in ("time", "issue", "end"):
        return (field == "end") == bool(_ENDS & words) and _may_grow(values)
    if field == "op" and _are_events(values):
        return False
    numbers = bool(values) and all(re.fullmatch(r"\d+", one) for one in values)
    if field == "process":
        return not numbers
    return field != "pid" or numbers or not values


def _grows(values: Sequence[str]) -> bool:
    """Tell times by their rows: they differ, and hardly ever go back."""
    if len(values) < _FEWEST or not _are_numbers(values):
        return True
    numbers = numbers_of(values)
    return min(numbers) < max(numbers) and _may_grow(values)


def _may_grow(values: Sequence[str]) -> bool:
    """Tell what surely is no time: it goes back as often as not."""
    numbers = numbers_of(values)
    back = sum(1 for a, b in pairwise(numbers) if b < a)
    return back <= len(numbers) // _MOST_BACK


def _units(sample: TableSample, columns: Mapping[str, str]) -> dict[str, str]:
    """Find the text behind each field's colon."""
    words = {field: words_of(name) for field, name in columns.items()}
    values = {field: sample.values.get(name, []) for field, name in columns.items()}
    units = dict.fromkeys(columns, "")
    units |= time_units(words, values)
    units |= size_units(words, values)
    if "op" in columns:
        units["op"] = operation_words(values["op"])
    return units
