"""A sweep over kernels: which rules differ between neighbours, and what they do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from replay.common.text import count_text, time_text
from replay.scenario.keys.kernel import KernelVersion, parse_kernel
from replay.scenario.keys.kernel_rules import RULES, Rule, text_of

if TYPE_CHECKING:
    from replay.sweeps.sweep import Sweep

Rows = Sequence[Mapping[str, Any]]

KERNEL: Final = "driver.kernel"
#: Times that are nearer than this factor are called the same.
ALIKE: Final = 1.02


@dataclass(frozen=True, slots=True)
class KernelStep:
    """What changes from one kernel of a sweep to the next.

    Attributes
    ----------
    before, after : str
        Versions as they were given.
    changed : list of str
        What differs; empty where nothing does.
    rules : list of Rule
        That differ between the two, of those that can act here.
    """

    before: str
    after: str
    changed: list[str]
    rules: list[Rule]

    def text(self) -> str:
        """Say in a line what changes."""
        said = ", ".join(self.changed) or "the same"
        many = count_text(len(self.rules), "rule")
        differ = "differs" if len(self.rules) == 1 else "differ"
        return f"{self.before} to {self.after}: {said}; {many} {differ} that can act"

    def rule_lines(self) -> list[str]:
        """Say of each rule since when it is there, and what held before."""
        return [
            f"{text_of(one.since)}: before, {one.before}; then: {one.after}"
            for one in self.rules
        ]


def kernel_steps(found: "Sweep") -> list[KernelStep]:
    """Find what changes from each kernel of a sweep to the next, and by which rules.

    Parameters
    ----------
    found : Sweep

    Returns
    -------
    list of KernelStep
        One for each two neighbours, in the order of their versions; none where another
        key than ``driver.kernel`` is varied.
    """
    if [axis.key for axis in found.axes] != [KERNEL]:
        return []
    points = sorted(
        (parse_kernel(point.values[0]), at, point)
        for at, point in enumerate(found.points)
        if point.error is None
    )
    return [
        KernelStep(
            one.values[0],
            other.values[0],
            list(_changed(one.rows(), other.rows())),
            _between(before, after, found.areas),
        )
        for (before, _, one), (after, _, other) in pairwise(points)
    ]


def rules_table(steps: Sequence[KernelStep]) -> pa.Table:
    """Lay the rules out that differ between neighbours, with their sources."""
    columns = ("from", "to", "since", "before", "from then on", "source")
    rows = [
        (step.before, step.after, text_of(one.since), one.before, one.after, one.source)
        for step in steps
        for one in step.rules
    ]
    return pa.table(
        {
            name: pa.array([row[at] for row in rows], pa.string())
            for at, name in enumerate(columns)
        }
    )


def _between(
    before: KernelVersion, after: KernelVersion, areas: frozenset[str]
) -> list[Rule]:
    return [
        rule
        for rule in sorted(RULES, key=lambda rule: rule.since)
        if rule.area in areas and rule.holds(before) != rule.holds(after)
    ]


def _changed(before: Rows, after: Rows) -> Iterator[str]:
    """Say what differs: who is stopped, who pays, and the p99 that changes most."""
    for name, what in (("kills", "tasks killed"), ("errors", "requests that fail")):
        one, other = (sum(row[name] for row in rows) for rows in (before, after))
        if one != other:
            yield f"{what} {one:,} -> {other:,}"
    for name, what in (("charged_bytes", "memory"), ("io_bytes", "I/O")):
        one, other = (
            {row["cgroup"] for row in rows if row[name]} for rows in (before, after)
        )
        if one != other:
            yield f"{_named(other)} charged for {what} instead of {_named(one)}"
            break
    times = {row["cgroup"]: row["p99_ns"] for row in before}
    found = [
        (max(one, other) / max(1, min(one, other)), row["cgroup"], one, other)
        for row in after
        if (other := row["p99_ns"]) and (one := times.get(row["cgroup"]))
    ]
    if found and max(found)[0] >= ALIKE:
        _, cgroup, one, other = max(found)
        yield f"p99 of {cgroup} {time_text(one)} -> {time_text(other)}"


def _named(cgroups: set[str]) -> str:
    names = sorted(cgroups)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (", ".join(names[:3]) + more) or "nobody"
