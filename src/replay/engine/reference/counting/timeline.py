"""Charges, memory and waits of each cgroup in each interval."""

from collections import Counter
from collections.abc import Callable

from replay.engine.raw import TIMELINE_CELLS

Cells = dict[int, Counter[str]]
#: Returns everything counted so far, by cgroup.
Look = Callable[[], Cells]


class Timeline:
    """An interval's part of what is counted: the difference of two looks at it."""

    def __init__(self, interval_ns: int, n_cgroups: int) -> None:
        self.interval_ns = interval_ns
        self.index = 0
        self.before: Cells = {cgroup: Counter() for cgroup in range(n_cgroups)}
        self.rows: list[tuple[int, ...]] = []

    def passes(self, now: int, look: Look) -> None:
        """Let time pass: intervals that end by now are written down."""
        if self.interval_ns and now // self.interval_ns > self.index:
            self.cut(look)
            self.index = now // self.interval_ns

    def cut(self, look: Look) -> None:
        """Write the present interval down: every cgroup of which something changed."""
        found = look()
        for cgroup, cells in found.items():
            before = self.before[cgroup]
            if any(cells[name] != before[name] for name in TIMELINE_CELLS):
                part = {name: cells[name] - before[name] for name in TIMELINE_CELLS}
                part["usage_bytes"] = cells["usage_bytes"]
                self.rows.append((self.index, cgroup, *part.values()))
        self.before = found
