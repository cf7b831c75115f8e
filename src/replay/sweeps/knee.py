"""Changes of the outcome along one key: between which values, and how surely."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from replay.sweeps.axes import Axis

#: How near the two values lie in the end, where there is no natural step.
SHARE: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Knee:
    """The value of a key at which conditions begin or cease to hold.

    Attributes
    ----------
    key : str
        Label of the number.
    others : dict of str to str
        Values of the other keys.
    conditions : tuple of str
        What is kept.
    holds, breaks : str or None
        Neighbouring values: the one keeps the conditions, the other does not. None if
        they hold nowhere or everywhere.
    smallest : bool
        Larger values hold; else smaller ones do.
    monotonic : bool
        The outcome changes once along the values looked at.
    looked_at : list of (str, bool)
        Values in order, and whether the conditions held.
    broken : list of (str, str, int)
        Condition, cgroup and measure at ``breaks``.
    """

    key: str
    others: dict[str, str]
    conditions: tuple[str, ...]
    holds: str | None
    breaks: str | None
    smallest: bool
    monotonic: bool
    looked_at: list[tuple[str, bool]]
    broken: list[tuple[str, str, int]]


class Search:
    """Bisects between two values of a grid; `next` asks for points until it is None.

    Parameters
    ----------
    axis : Axis
        With numbers.
    outcomes : sequence of (number or None, bool)
        The grid's values and whether the conditions held; None is ``max``.

    Attributes
    ----------
    outcomes : list of (number or None, bool)
        With those that were added, in the order of the numbers.
    """

    def __init__(
        self, axis: Axis, outcomes: Sequence[tuple[int | float | None, bool]]
    ) -> None:
        self._axis = axis
        self.outcomes = sorted(outcomes, key=_place)

    @property
    def change(self) -> int | None:
        """Row of ``outcomes`` before the last change; None: there is none."""
        held = [held for _, held in self.outcomes]
        changes = [at for at in range(len(held) - 1) if held[at] != held[at + 1]]
        return changes[-1] if changes else None

    @property
    def n_changes(self) -> int:
        """The number of changes of the outcome along the values."""
        held = [held for _, held in self.outcomes]
        return sum(a != b for a, b in pairwise(held))

    def next(self) -> int | float | None:
        """Return a number to look at next; None if the neighbours are near enough."""
        at = self.change
        if at is None:
            return None
        low, high = self.outcomes[at][0], self.outcomes[at + 1][0]
        if low is None or high is None:
            return None
        return between(self._axis, low, high)

    def add(self, number: int | float, held: bool) -> None:
        """Take the outcome of a number that was asked for."""
        self.outcomes = sorted([*self.outcomes, (number, held)], key=_place)


def between(axis: Axis, low: int | float, high: int | float) -> int | float | None:
    """Return a number halfway between two; None if they are near enough.

    Limits of memory are whole pages, counts whole numbers; rates and fractions are
    near enough within `SHARE` of the larger one.
    """
    if isinstance(low, int) and isinstance(high, int):
        step = axis.step
        first, last = low // step, high // step
        exact = step > 1 or not axis.is_rate
        if last - first <= (1 if exact else max(1, math.floor(SHARE * last))):
            return None
        return (first + last) // 2 * step
    if high - low <= SHARE * abs(high):
        return None
    return (low + high) / 2


def _place(outcome: tuple[int | float | None, bool]) -> float:
    return math.inf if outcome[0] is None else outcome[0]
