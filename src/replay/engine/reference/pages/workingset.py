"""Evicted pages that are read again: how far back they were dropped.

Source: mm/workingset.c:workingset_eviction(), workingset_refault(),
workingset_activation(), workingset_age_nonresident(), v6.1.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replay.engine.reference.memcg.tasks import Tasks


@dataclass(frozen=True, slots=True)
class Shadow:
    """An evicted page's shadow entry: the cgroup reclaimed, and its age then."""

    over: int
    age: int


@dataclass
class Refaults:
    """A cgroup's refaults, and its activations among them; own, in pages."""

    refaults: int = 0
    activations: int = 0


class Workingset:
    """The age of every cgroup: pages of it and its descendants dropped or activated."""

    def __init__(self, tasks: "Tasks") -> None:
        self.tasks = tasks
        self.ages = [0] * len(tasks.parent)
        self.counts = [Refaults() for _ in tasks.parent]

    def age(self, cgroup: int) -> None:
        """Count a page that was dropped or became active, here and above."""
        for one in self.tasks.chain(cgroup):
            self.ages[one] += 1

    def shadow(self, over: int) -> Shadow:
        """Drop a page by the reclaim of a cgroup; return what stays."""
        shadow = Shadow(over, self.ages[over])
        self.age(over)
        return shadow

    def refault(self, shadow: Shadow, payer: int, n_active: int) -> bool:
        """Count a refault; return True if the page goes straight to the active list.

        It does if its refault distance (evictions and activations in the evicting
        cgroup since) is at most that cgroup's active list (`n_active`, with
        descendants).
        """
        self.counts[payer].refaults += 1
        if self.ages[shadow.over] - shadow.age > n_active:
            return False
        self.age(payer)
        self.counts[payer].activations += 1
        return True
