"""The length of the timeline's intervals: the user's, or one that fits."""

import re
from decimal import Decimal
from typing import Final

from replay.common.errors import ModelError

_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
}
_TEXT: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ns|us|ms|s|min|h)")
#: What `parse_interval` makes of "auto": as long as a picture over time wants.
AUTO_NS: Final = -1
#: Intervals of a trace that "auto" makes, at most.
AUTO_INTERVALS: Final = 240
#: Longer than any trace.
_LONGEST: Final = 1 << 53
#: Intervals times cgroups of a timeline: some 100 MB, if all change in all of them.
MOST_CELLS: Final = 1 << 19


def parse_interval(text: str | int) -> int:
    """Read the length of an interval.

    Parameters
    ----------
    text : str or int
        A number and a unit, such as ``"1s"`` or ``"100ms"``, or ``"auto"``; an integer
        is ns.

    Returns
    -------
    int
        ns, at least 1; `AUTO_NS` for ``"auto"``.

    Raises
    ------
    ModelError
        It is something else.
    """
    if text == "auto":
        return AUTO_NS
    if isinstance(text, int):
        interval_ns = text
    else:
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise ModelError(
                f"interval: {text!r} is not a number and one of {', '.join(_UNITS)}, "
                "such as 1s or 100ms"
            )
        interval_ns = int(Decimal(match[1]) * _UNITS[match[2]])
    if not 1 <= interval_ns <= _LONGEST:
        raise ModelError(f"interval: {text!r} is not between 1 ns and 104 days")
    return interval_ns


def auto_interval(span_ns: int) -> int:
    """Return an interval with which a trace has 100 to 240 of them.

    Parameters
    ----------
    span_ns : int
        Of the trace.

    Returns
    -------
    int
        1, 2 or 5 times a power of ten, in ns.
    """
    least = -(-max(1, span_ns) // AUTO_INTERVALS)
    power: int = 10 ** (len(str(least)) - 1)
    return next(n * power for n in (1, 2, 5, 10) if n * power >= least)


def interval_text(interval_ns: int) -> str:
    """Write an interval as `parse_interval` reads it, in the largest whole unit."""
    unit, factor = max(
        (pair for pair in _UNITS.items() if interval_ns % pair[1] == 0),
        key=lambda pair: pair[1],
    )
    return f"{interval_ns // factor}{unit}"


def fit_interval(interval_ns: int, span_ns: int, n_cgroups: int) -> int:
    """Widen an interval until a trace's timeline fits.

    Parameters
    ----------
    interval_ns : int
    span_ns : int
        Of the trace.
    n_cgroups : int

    Returns
    -------
    int
        The interval, or the least of its doubles with which intervals times cgroups
        are at most `MOST_CELLS`.
    """
    while (span_ns // interval_ns + 1) * n_cgroups > MOST_CELLS:
        if interval_ns > span_ns:
            break
        interval_ns *= 2
    return interval_ns
