"""Sizes, times and names as text for a person; one place for all reports."""

import errno
import json
import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

_SIZES: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_TIMES: Final = (("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000))
#: Moments before it are shown in milliseconds.
_SHORT_NS: Final = 100_000_000
#: Notes of one sort, of a scenario that may list thousands of cgroups.
MOST_NOTES: Final = 5


def size_text(n_bytes: int) -> str:
    """Show a number of bytes, for example ``64.0 MiB``.

    Parameters
    ----------
    n_bytes : int
        Bytes; may be negative.

    Returns
    -------
    str
        One decimal, a power of 1024; whole bytes below 1 KiB.
    """
    if abs(n_bytes) < 1024:
        return f"{n_bytes} B"
    value = float(n_bytes)
    for unit in _SIZES:
        value /= 1024
        # 1023.95 would round to 1024.0 of its unit
        if abs(value) < 1023.95 or unit == _SIZES[-1]:
            break
    return f"{value:.1f} {unit}"


def time_text(time_ns: int) -> str:
    """Show a duration, for example ``12.3 ms``.

    Parameters
    ----------
    time_ns : int
        Nanoseconds; may be negative.

    Returns
    -------
    str
        Three significant digits; whole seconds from 1000 s on.
    """
    if abs(time_ns) < 1000:
        return f"{time_ns} ns"
    text = ""
    for unit, factor in _TIMES:
        value = time_ns / factor
        digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
        text = f"{value:,.{digits}f} {unit}"
        if abs(value) < 999.5:
            break
    return text


#: Moments below are told in us.
_TINY_NS: Final = 10_000


def moment_text(time_ns: int) -> str:
    """Show a time since the trace's start, for example ``t=1.23s`` or ``t=4.56ms``."""
    if 0 < time_ns < _TINY_NS:
        return f"t={time_ns / 1e3:.3g}us"
    if 0 < time_ns < _SHORT_NS:
        return f"t={time_ns / 1e6:.3g}ms"
    return f"t={time_ns / 1e9:.2f}s"


def count_text(count: int, noun: str = "") -> str:
    """Show a count, for example ``1,234`` or, with a noun, ``1 request``."""
    if not noun:
        return f"{count:,}"
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def share_text(part: int, whole: int) -> str:
    """Show a share in whole per cent, rounded down: all alone is ``100 %``."""
    if whole <= 0:
        return "0 %"
    percent = 100 * part // whole
    return "<1 %" if part > 0 and percent == 0 else f"{percent} %"


def errno_text(code: int) -> str:
    """Show an errno by its name, for example ``EIO``; 0 is a silent loss."""
    if not code:
        return "reported as done but cut short (data loss)"
    return errno.errorcode.get(code, f"errno {code}")


def json_text(value: object) -> str:
    r"""Write JSON that a terminal shows as it is: what moves its cursor is escaped.

    Letters of all languages stay; control characters, and those that turn the order of
    others around, become ``\u001b``.
    """
    return plain_json(json.dumps(value, ensure_ascii=False))


def plain_json(text: str) -> str:
    """Escape what a terminal must not see in JSON, of one line or of several."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1]
        for char in text
    )


def path_text(path: str | PurePath) -> str:
    r"""Name a path by text that can be printed and stored.

    A file's name is bytes: what of it is not UTF-8 is shown as ``\xff``. A path that
    the locale's encoding has not read comes out as it would with UTF-8.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def capped(notes: Sequence[str], more: str) -> list[str]:
    """Keep the first notes of one sort and count the others.

    Parameters
    ----------
    notes : sequence of str
    more : str
        What the others are; their number goes before it.

    Returns
    -------
    list of str
        At most `MOST_NOTES` and one.
    """
    rest = len(notes) - MOST_NOTES
    return [*notes[:MOST_NOTES], *([f"{rest} {more}"] if rest > 0 else [])]
