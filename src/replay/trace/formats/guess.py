"""What a CSV's columns may be, by their names: for messages, never for reading.

A refusal names a ``--columns`` that the user can paste and mend, so it takes the names
that are there. A guess that is wrong costs a correction; a table read by one would
cost a wrong answer.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final

#: Field -> words that its column's name may hold, the surest first.
_WORDS: Final = {
    "time": ("timestamp", "time", "ts", "arrival", "start", "when", "date"),
    "offset": ("offset", "off", "lba", "sector", "block", "address", "addr", "pos"),
    "size": ("size", "bytes", "nbytes", "length", "len", "sectors", "count", "blocks"),
    "op": ("op", "rw", "opcode", "operation", "type", "iotype", "kind", "action"),
    "response": ("response", "latency", "duration", "elapsed"),
    "cgroup": (
        *("cgroup", "tenant", "volume", "container", "pod", "vm", "user", "job"),
        *("hostname", "host"),
    ),
}
_NEEDED: Final = ("time", "offset", "size", "op")
_UNITS: Final = {
    **{"time": "us", "response": "us", "offset": "B", "size": "B"},
}
#: Word in a column's name -> unit, of times and of sizes.
_TIME_WORDS: Final = {
    **{"s": "s", "sec": "s", "seconds": "s", "ms": "ms", "us": "us", "usec": "us"},
    **{"ns": "ns", "nsec": "ns"},
}
_SIZE_WORDS: Final = {
    **{"lba": "sectors", "sector": "sectors", "sectors": "sectors", "kib": "KiB"},
    **{"kb": "KiB"},
}
UNKNOWN: Final = "COLUMN"


def suggest_columns(names: Sequence[str], given: Collection[str] = ()) -> str:
    """Write a ``--columns`` for a header.

    Parameters
    ----------
    names : sequence of str
        The columns.
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
    for field, words in _WORDS.items():
        if field in items or (given and field not in _NEEDED):
            continue
        name = _best([one for one in names if one not in taken], words)
        if name is None and field not in _NEEDED:
            continue
        taken.add(name or "")
        unit = _unit(field, name or "")
        items[field] = f"{field}={name or UNKNOWN}{unit}"
    ordered = dict.fromkeys((*_WORDS, *items))
    text = ",".join(items[field] for field in ordered if field in items)
    return f'--columns "{text}"'


def looks_like_header(line: str, delimiters: Sequence[str]) -> list[str]:
    """Split what may be a CSV's header.

    Parameters
    ----------
    line : str
    delimiters : sequence of str
        Tried in turn.

    Returns
    -------
    list of str
        Four names or more, none of them a number and no two the same; else empty.
    """
    for delimiter in delimiters:
        names = [one.strip().strip('"') for one in line.split(delimiter)]
        if (
            len(names) >= len(_NEEDED)
            and len(set(names)) == len(names)
            and all(re.fullmatch(r"[^\W\d][\w .()/\[\]-]{0,40}", one) for one in names)
        ):
            return names
    return []


def _words(name: str) -> list[str]:
    """Split ``startTime_us`` into its words, in small letters."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [one for one in re.split(r"[\W_]+", split.lower()) if one]


def _best(names: Sequence[str], words: Sequence[str]) -> str | None:
    for word in words:
        for name in names:
            if word in _words(name) or word == "".join(_words(name)):
                return name
    return None


def _unit(field: str, name: str) -> str:
    if field not in _UNITS:
        return ""
    known = _TIME_WORDS if field in ("time", "response") else _SIZE_WORDS
    found = [known[word] for word in _words(name) if word in known]
    return f":{found[0] if found else _UNITS[field]}"
