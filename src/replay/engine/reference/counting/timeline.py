"""What each cgroup paid, held and waited in each interval."""

from collections import Counter
from typing import TYPE_CHECKING

from replay.engine.raw import IO_COLUMNS, TIMELINE_CELLS
from replay.engine.setup import PAGE_BYTES, Stage

if TYPE_CHECKING:
    from replay.engine.reference.run.loop import Reference

Cells = dict[int, Counter[str]]


class Timeline:
    """An interval's part of what is counted: the difference of two looks at it."""

    def __init__(self, interval_ns: int, n_cgroups: int) -> None:
        self.interval_ns = interval_ns
        self.index = 0
        self.before: Cells = {cgroup: Counter() for cgroup in range(n_cgroups)}
        self.rows: list[tuple[int, ...]] = []

    def passes(self, run: "Reference", now: int) -> None:
        """Let time pass: intervals that end by now are written down."""
        if self.interval_ns and now // self.interval_ns > self.index:
            self.cut(run)
            self.index = now // self.interval_ns

    def cut(self, run: "Reference") -> None:
        """Write the present interval down: every cgroup of which something changed."""
        found = look(run)
        for cgroup, cells in found.items():
            before = self.before[cgroup]
            if any(cells[name] != before[name] for name in TIMELINE_CELLS):
                part = {name: cells[name] - before[name] for name in TIMELINE_CELLS}
                part["usage_bytes"] = cells["usage_bytes"]
                self.rows.append((self.index, cgroup, *part.values()))
        self.before = found


def look(run: "Reference") -> Cells:
    """Return everything counted so far, by cgroup.

    I/O and memory by who pays; times by who waited, as in ``latency``; ``blocked_ns``
    by who was waited for; memory in use and events with descendants, as the kernel
    shows them, but without stocks.
    """
    cells: Cells = {cgroup: Counter() for cgroup in range(len(run.setup.parent))}
    for (_, _, payer), io in run.out.charges.items():
        for name in IO_COLUMNS:
            cells[payer][name] += io[name]
    charges = run.memory.charges
    for name, counter in (
        ("charged_bytes", charges.charged),
        ("uncharged_bytes", charges.uncharged),
        ("refused_bytes", charges.refused),
    ):
        for (_, _, payer), nbytes in counter.items():
            cells[payer][name] += nbytes
    for (issuer, _, _, stage), histogram in run.out.latency.items():
        cells[issuer][f"{Stage(stage).name.lower()}_ns"] += histogram.sum
        if stage == Stage.TOTAL:
            cells[issuer]["requests"] += histogram.count
    for (_, blocking, _), wait_ns in run.interference.wait_ns.items():
        if blocking in cells:  # not those that a shared lock does not tell apart
            cells[blocking]["blocked_ns"] += wait_ns
    for cgroup, group in enumerate(run.memory.groups):
        cells[cgroup]["usage_bytes"] = group.usage * PAGE_BYTES
        cells[cgroup]["high"] = group.high_events
        cells[cgroup]["max"] = group.max_events
        cells[cgroup]["oom"] = group.oom
        cells[cgroup]["oom_kill"] = group.oom_kill
    for stock in run.memory.stocks.values():
        for cgroup in run.memory.chain(stock.cgroup):
            cells[cgroup]["usage_bytes"] -= stock.pages * PAGE_BYTES
    return cells
