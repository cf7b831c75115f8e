"""Units and words of operation that a CSV's columns may have, for messages alone."""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from replay.trace.formats.operations import OPERATIONS, kernel_operation

#: Word in a column's name -> unit, of times and of sizes.
TIME_WORDS: Final = {
    **{"s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s"},
    **{"ms": "ms", "msec": "ms", "msecs": "ms", "millis": "ms", "milliseconds": "ms"},
    **{"us": "us", "usec": "us", "usecs": "us", "micros": "us", "microseconds": "us"},
    **{"ns": "ns", "nsec": "ns", "nsecs": "ns", "nanos": "ns", "nanoseconds": "ns"},
}
_SIZE_WORDS: Final = {
    **{"lba": "sectors", "sector": "sectors", "sectors": "sectors"},
    **{"nblks": "sectors", "nblk": "sectors", "blks": "sectors"},
    **{"nsect": "sectors", "nsectors": "sectors"},
    **{"kib": "KiB", "kb": "KiB", "b": "B", "bytes": "B", "nbytes": "B"},
}
#: ns of each unit of time, and the digits behind the point that it takes.
_SCALES: Final = {"s": (10**9, 9), "ms": (10**6, 6), "us": (10**3, 3), "ns": (1, 0)}
#: ns of each unit.
NS_OF: Final = {unit: scale for unit, (scale, _) in _SCALES.items()}
#: Seconds since 1970 of a clock that tells the date: 2001 to 2128.
_EPOCH_S: Final = (1e9, 5e9)
#: The time that responses are near, and integers of a clock from each other.
_USUAL_NS: Final = 1e6
#: Longest mean time, in s, between the rows of a clock that shows fractions of seconds.
_LONG_S: Final = 10.0
_SECTOR: Final = 512
_DATE: Final = re.compile(r"\d{4}[-/]\d\d?[-/]\d\d?|\d\d?:\d\d")
_NUMBER: Final = re.compile(r"-?\d+(?:\.(\d*))?(?:[eE]([+-]?\d{1,2}))?")


def time_units(
    words: Mapping[str, Sequence[str]], values: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Guess the units of times and of ``response``.

    Parameters
    ----------
    words : mapping
        Those of each field's column, ``["start", "ms"]``.
    values : mapping
        What its first rows hold.

    Returns
    -------
    dict of str to str
        By field, of those that are there.
    """
    units = {}
    guesses = {
        **dict.fromkeys(("time", "issue", "end"), _clock_unit),
        "response": _response_unit,
    }
    for field, guess in guesses.items():
        if field in words:
            named = [TIME_WORDS[one] for one in words[field] if one in TIME_WORDS]
            units[field] = named[0] if named else guess(values[field])
    return units


def _clock_unit(values: Sequence[str]) -> str:
    """Guess by the date if there is one, by a fraction, by how far rows are apart."""
    numbers, n_digits = _numbers(values)
    if not numbers:
        return "date" if any(map(_DATE.match, values)) else "us"
    for unit, (scale, _) in _SCALES.items():
        low, high = (bound * 1e9 / scale for bound in _EPOCH_S)
        if low <= numbers[0] < high:
            return unit
    gaps = sorted(abs(b - a) for a, b in pairwise(numbers) if a != b)
    mean = sum(gaps) / len(gaps) if gaps else 0.0
    if n_digits:
        # who writes fractions mostly writes seconds
        return _nearest(mean, n_digits) if mean > _LONG_S else "s"
    return _nearest(mean, n_digits) if mean else "us"


def _response_unit(values: Sequence[str]) -> str:
    """Guess by the middle one: most requests take about a millisecond."""
    numbers, n_digits = _numbers(values)
    some = sorted(one for one in numbers if one)
    return _nearest(some[len(some) // 2], n_digits) if some else "us"


def _nearest(value: float, n_digits: int) -> str:
    """Find the unit by which a value is nearest to a millisecond."""
    fitting = {
        unit: abs(math.log(value * scale / _USUAL_NS))
        for unit, (scale, most) in _SCALES.items()
        if n_digits <= most or unit == "s"
    }
    return min(fitting, key=lambda unit: fitting[unit])


def numbers_of(values: Sequence[str]) -> list[float]:
    """Return those of the values that are numbers."""
    return _numbers(values)[0]


def _numbers(values: Sequence[str]) -> tuple[list[float], int]:
    """Return the values, and the most digits that one has behind the point."""
    matches = [match for one in values if (match := _NUMBER.fullmatch(one))]
    digits = [len(one[1] or "") - int(one[2] or 0) for one in matches]
    return [float(one[0]) for one in matches], max([0, *digits])


def size_units(
    words: Mapping[str, Sequence[str]], values: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Guess the units of ``offset`` and ``size``.

    Parameters
    ----------
    words, values : mapping
        As of `time_units`.

    Returns
    -------
    dict of str to str
        By field, of those that are there.
    """
    units = {}
    for field in ("size", "offset"):
        if field in words:
            named = [_SIZE_WORDS[one] for one in words[field] if one in _SIZE_WORDS]
            if not named and field == "offset" and "file" in words[field]:
                # places in a file are of any byte
                named = ["B"]
            units[field] = named[0] if named else _by_values(field, values[field])
    return units


def _by_values(field: str, values: Sequence[str]) -> str:
    """Guess by what a block device can be asked for: whole sectors."""
    # no number that is longer is a place or a length
    numbers = [int(one) for one in values if re.fullmatch(r"[0-9]{1,20}", one)]
    some = [one for one in numbers if one]
    if not some or all(one % _SECTOR == 0 for one in some):
        return "B"
    if field == "offset":
        return "sectors"
    # a request of less than a sector there is none
    if max(some) >= 1 << 20:
        return "B"
    for unit, every in (("sectors", 8), ("KiB", 4)):
        if all(one % every == 0 for one in some):
            return unit
    return "sectors" if max(some) < _SECTOR else "B"


def operation_words(values: Sequence[str]) -> str:
    """Say what the words of an operation mean that are not known.

    Parameters
    ----------
    values : sequence of str

    Returns
    -------
    str
        Such as ``0=read/1=write``; empty where they are known, or all too strange.
    """
    words = list(dict.fromkeys(one.lower() for one in values))
    if all(word in OPERATIONS for word in words) or all(map(kernel_operation, values)):
        return ""
    if set(words) <= {"0", "1"}:
        return "0=read/1=write"
    meant = {word: _meant(word) for word in words}
    if len(words) > len(OPERATIONS) or not all(meant.values()):
        return ""
    return "/".join(f"{word}={name}" for word, name in meant.items())


def _meant(word: str) -> str | None:
    if not re.fullmatch(r"[a-z][\w-]*", word):
        return None
    known = OPERATIONS.get(word)
    names = ("read", "write", "discard", "flush")
    return known or next((one for one in names if word[0] == one[0]), None)
