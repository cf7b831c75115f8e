"""The meaning of ``--vary KEY=VALUES``: the values of a key, in order.

/test.slice/memory.max=32M,48M,64M              a list
/test.slice/memory.max=16M..512M*1.25           each 1.25 times the one before
/test.slice/memory.max=16M..64M+8M              each 8M more
driver.policy=root,per-cgroup                   words
/a/io.max=254:32 wbps=1M..64M*2                 a number inside a text
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from replay.common.errors import ScenarioError
from replay.engine.setup import PAGE_BYTES
from replay.scenario.keys.sizes import format_size, parse_size

#: More values of a key, or points in all, are taken for a slip.
MOST: Final = 100_000

_NUMBER: Final = r"(?:\d+(?:\.\d+)?[KMGTPEkmgtpe]?)"
_RANGE: Final = re.compile(
    rf"(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER})(?P<step>[*+]{_NUMBER})?"
)
#: A number that stands alone: not a part of a name or of a device's major:minor.
_ALONE: Final = re.compile(rf"(?<![\w.:]){_NUMBER}(?![\w.:])")
#: Keys that count whole pages, by their last part.
_IN_PAGES: Final = (
    *("memory.max", "memory.high", "memory.low", "memory.min"),
    *("backing.size", "machine.memory"),
)

#: Keys that name versions: 6.6 comes before 6.12.
_VERSIONS: Final = ("driver.kernel", "trace.kernel")


@dataclass(frozen=True, slots=True)
class Axis:
    """One key and the values that it takes.

    Attributes
    ----------
    key : str
        As ``--set`` takes it.
    values : tuple of str
        As ``--set`` takes them, in the order given.
    numbers : tuple of int, float or None
        What a number in each value is; None for ``max``. Empty if the values are words.
    label : str
        Name of the number: the key, with the word before it where it stands in a text.
    before, after : str
        What stands around the number.
    """

    key: str
    values: tuple[str, ...]
    numbers: tuple[int | float | None, ...] = ()
    label: str = ""
    before: str = ""
    after: str = ""

    @property
    def step(self) -> int:
        """The unit of numbers: a page of 4096 bytes, or 1."""
        return PAGE_BYTES if self.key.endswith(_IN_PAGES) else 1

    @property
    def is_limit(self) -> bool:
        """Whether it is ``memory.max`` of a cgroup."""
        return self.key.startswith("/") and self.key.endswith("/memory.max")

    @property
    def is_rate(self) -> bool:
        """Whether the number is a rate of ``io.max``."""
        return self.label.endswith(("bps", "iops"))

    def text(self, number: int | float) -> str:
        """Write a number as a value of the key."""
        return f"{self.before}{_shown(number, self.step)}{self.after}"

    def override(self, value: str) -> str:
        """Write a value as ``--set`` takes it."""
        return f"{self.key}={value}"


def parse_axis(text: str) -> Axis:
    """Understand ``KEY=VALUES``.

    Parameters
    ----------
    text : str
        Values have a comma between them, unless it stands in brackets, braces or
        quotes. One of them may hold a range, ``LOW..HIGH*FACTOR`` or
        ``LOW..HIGH+STEP``; both ends belong to it.

    Returns
    -------
    Axis

    Raises
    ------
    ScenarioError
        It is no such text, has no end, or gives a value twice.
    """
    key, equals, given = text.partition("=")
    key = key.strip()
    if not equals or not key or not given.strip():
        raise ScenarioError(
            f"--vary {text!r}: is not KEY=VALUES, as in /a/memory.max=32M,64M or "
            "driver.policy=root,per-cgroup"
        )
    values = _values(f"--vary {text!r}", given, Axis(key, ()).step)
    return _with_numbers(Axis(key, tuple(values)))


def parse_sizes(option: str, text: str) -> list[int]:
    """Understand sizes: one, several, or ranges of whole pages.

    Parameters
    ----------
    option : str
        What the user gave them to, such as ``--limits``.
    text : str
        ``64M``, ``32M,64M``, ``16M..1G*2``.

    Returns
    -------
    list of int
        Bytes, in the order given.

    Raises
    ------
    ScenarioError
        One is no size, a range has no end, or a size is there twice.
    """
    said = f"{option} {text!r}"
    sizes = [int(_number(said, one)) for one in _values(said, text, PAGE_BYTES)]
    if twice := [size for size, n in Counter(sizes).items() if n > 1]:
        raise ScenarioError(f"{said}: {format_size(twice[0])} is there twice")
    return sizes


def points(axes: Sequence[Axis], *, in_step: bool = False) -> list[tuple[str, ...]]:
    """Combine the values of several keys.

    Parameters
    ----------
    axes : sequence of Axis
    in_step : bool
        Take the first values of all keys, then the second ones, instead of every
        combination.

    Returns
    -------
    list of tuple of str
        A value of each key; of a grid the last key's changes first.

    Raises
    ------
    ScenarioError
        A key is varied twice, there are too many points, or lists in step differ in
        length.
    """
    keys = [axis.key for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise ScenarioError(
                f"--vary {key}: is there twice: put the values together"
            )
    if in_step:
        lengths = {len(axis.values) for axis in axes}
        if len(lengths) > 1:
            told = ", ".join(f"{axis.key} {len(axis.values)}" for axis in axes)
            raise ScenarioError(
                f"--zip: the keys have different numbers of values: {told}"
            )
        return list(zip(*(axis.values for axis in axes), strict=True))
    n_points = 1
    for axis in axes:
        n_points *= len(axis.values)
    if n_points > MOST:
        raise ScenarioError(f"--vary: {n_points:,} points; at most {MOST:,}")
    return list(itertools.product(*(axis.values for axis in axes)))


def _split(text: str) -> Iterator[str]:
    """Split at commas outside of brackets, braces and quotes."""
    depth, quote, start = 0, "", 0
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and depth == 0:
            yield text[start:at].strip()
            start = at + 1
    yield text[start:].strip()


def _values(said: str, given: str, step: int) -> list[str]:
    """Give all values of a list; errors begin with what was said."""
    values: list[str] = []
    for item in _split(given):
        values += _expanded(said, item, step)
        if len(values) > MOST:
            raise ScenarioError(f"{said}: more than {MOST:,} values")
    if twice := [value for value, n in Counter(values).items() if n > 1]:
        raise ScenarioError(f"{said}: {twice[0]} is there twice")
    return values


def _expanded(said: str, item: str, step: int) -> Iterator[str]:
    """Give the values of an item: itself, or those of its range."""
    if not item:
        raise ScenarioError(f"{said}: a value is empty")
    if ".." not in item:
        yield item
        return
    found = _RANGE.search(item)
    if found is None or found["step"] is None or _RANGE.search(item, found.end()):
        raise ScenarioError(
            f"{said}: {item!r} is not a range such as 16M..512M*1.25 or 16M..64M+8M"
        )
    low, high = (_number(said, found[name]) for name in ("low", "high"))
    by, change = found["step"][0], _number(said, found["step"][1:])
    whole = all(number.denominator == 1 for number in (low, high)) and not (
        by == "+" and change.denominator != 1
    )
    if low > high or (by == "*" and (change <= 1 or low <= 0)) or change <= 0:
        raise ScenarioError(
            f"{said}: {item!r} has no end: it goes up, from more than 0 by a "
            "factor above 1, or by a step above 0"
        )
    if by == "+":
        n_steps = float((high - low) / change)
    else:
        n_steps = math.log(high / low) / math.log1p(float(change - 1))
    if n_steps > MOST:
        raise ScenarioError(f"{said}: more than {MOST:,} values")
    written: list[str] = []
    number = low
    while number < high:
        shown = _shown(_rounded(number, whole, step), step)
        if shown not in written[-1:]:
            written.append(shown)
        number = number * change if by == "*" else number + change
        if by == "*":
            # exact powers grow without end
            number = Fraction(round(number * 2**20), 2**20)
    last = _shown(_rounded(high, whole, 1), step)
    for shown in (*written, *([last] if last not in written[-1:] else [])):
        yield f"{item[: found.start()]}{shown}{item[found.end() :]}"


def _shown(number: int | float, step: int) -> str:
    """Write a number; only sizes have units, ``io.max`` shows digits alone."""
    if isinstance(number, float):
        return repr(number)
    return format_size(number) if step > 1 else str(number)


def _rounded(number: Fraction, whole: bool, step: int) -> int | float:
    if not whole:
        return float(number)
    return int(number) // step * step if number >= step else int(number)


def _number(said: str, shown: str) -> Fraction:
    try:
        if "." in shown:
            unit = shown[-1] if shown[-1].isalpha() else ""
            return Fraction(shown.removesuffix(unit)) * parse_size(f"1{unit}")
        return Fraction(parse_size(shown))
    except ValueError as error:
        raise ScenarioError(f"{said}: {shown!r} {error}") from None


def _with_numbers(axis: Axis) -> Axis:
    """Find the number in which the values differ, if that is all."""
    if len(axis.values) < 2 or axis.key.endswith(_VERSIONS):
        return axis
    parts: list[tuple[list[str], list[str]]] = []
    for value in axis.values:
        if value == "max":
            continue
        parts.append((_ALONE.split(value), _ALONE.findall(value)))
    if not parts or any(words != parts[0][0] for words, _ in parts):
        return axis
    words, first = parts[0]
    places = [
        at
        for at in range(len(first))
        if any(numbers[at] != first[at] for _, numbers in parts)
    ]
    if len(parts) == 1:
        places = [0] if words == ["", ""] else []
    if len(places) != 1 or ("max" in axis.values and words != ["", ""]):
        return axis
    (place,) = places
    before = (
        "".join(
            word + number
            for word, number in zip(words[:place], first[:place], strict=True)
        )
        + words[place]
    )
    after = words[place + 1] + "".join(
        number + word
        for number, word in zip(first[place + 1 :], words[place + 2 :], strict=True)
    )
    texts = iter([numbers[place] for _, numbers in parts])
    numbers = tuple(
        None if value == "max" else _plain(next(texts)) for value in axis.values
    )
    name = re.search(r"(\w+)\s*=\s*$", before)
    label = axis.key if name is None else f"{axis.key} {name[1]}"
    found = Axis(axis.key, axis.values, numbers, label, before, after)
    if not before and not after:
        return found
    # units are for the person who types, not for the file
    written = tuple(found.text(number) for number in numbers if number is not None)
    return replace(found, values=written)


def _plain(shown: str) -> int | float:
    number = _number("", shown)
    return int(number) if "." not in shown or number.denominator == 1 else float(number)
