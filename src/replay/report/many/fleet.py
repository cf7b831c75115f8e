"""What a dataset's scenarios change: how many cgroups of how many traces, and whose."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow.compute as pc

from replay.common.plain import plain
from replay.common.text import count_text, time_text
from replay.dataset.plan import DEFAULT
from replay.dataset.read import Dataset
from replay.dataset.rows import RUNS
from replay.results.run_check import checked_info

Row = dict[str, Any]

#: What a scenario is called that changes nothing.
PLAIN: Final = (DEFAULT, "recorded")
#: Traces of which it is asked under which driver they were recorded.
_MOST_ASKED: Final = 200
#: A p99 that is further off than this factor has changed.
CHANGED: Final = 1.1
#: Rows of latencies up to which a summary in words looks at them.
MOST_ROWS: Final = 300_000
#: Scenarios of which a summary in words has a line.
_MOST_SIDES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one scenario changes against the base.

    Attributes
    ----------
    side, base : str
        Scenarios.
    n_cgroups, n_traces : int
        That have requests under both.
    longer, shorter : tuple of (int, int)
        Cgroups whose p99 is longer or shorter by more than `CHANGED`, and their traces.
    most : tuple of (str, str, int, int) or None
        Trace and cgroup of the p99 that changes most, ns under the base and here.
    kills : tuple of (int, int)
        Traces with a kill under the base and here.
    failed : tuple of (int, int)
        Traces with requests that fail.
    """

    side: str
    base: str
    n_cgroups: int
    n_traces: int
    longer: tuple[int, int]
    shorter: tuple[int, int]
    most: tuple[str, str, int, int] | None
    kills: tuple[int, int]
    failed: tuple[int, int]

    @property
    def n_changed(self) -> int:
        """Cgroups whose p99 changes."""
        return self.longer[0] + self.shorter[0]

    def text(self) -> str:
        """Say how many change and how, and then which changes most."""
        said = f"under {self.side}, against {self.base}: "
        if not self.n_cgroups:
            said += "no cgroup has requests under both"
        elif not self.n_changed:
            said += f"p99 of {self._all()} is within 10 %"
        else:
            said += f"of {self._all()}, p99 is " + ", ".join(
                f"{word} for {n:,} (in {count_text(n_traces, 'trace')})"
                for word, (n, n_traces) in (
                    ("longer", self.longer),
                    ("shorter", self.shorter),
                )
                if n
            )
        for what, (before, after) in (
            ("somebody is killed", self.kills),
            ("requests fail", self.failed),
        ):
            if before == after != 0:
                said += f"; {what} in {count_text(after, 'trace')} under both"
            elif before != after:
                said += (
                    f"; {what} in {count_text(after, 'trace')} instead of {before:,}"
                )
        if self.most is not None and self.n_changed:
            trace, cgroup, before, after = self.most
            said += (
                f"; most: {cgroup} of {trace}, {time_text(after)} instead "
                f"of {time_text(before)}"
            )
        return said

    def _all(self) -> str:
        return (
            f"{count_text(self.n_cgroups, 'cgroup')} in "
            f"{count_text(self.n_traces, 'trace')}"
        )


def scenario_names(pairs: Sequence[Row]) -> dict[tuple[str, str], str]:
    """Name scenarios by their policy, where that is all that they are told apart by.

    So it is where each trace has scenarios of its own, or one under several policies.
    """
    names = {row["scenario"] for row in pairs}
    policies = {row["policy"] for row in pairs}
    once = len({(row["trace"], row["policy"]) for row in pairs}) == len(pairs)
    suffixed = all(row["scenario"].endswith(f":{row['policy']}") for row in pairs)
    if once and len(policies) > 1 and (len(names) > len(policies) or suffixed):
        return {(row["trace"], row["scenario"]): row["policy"] for row in pairs}
    return {(row["trace"], row["scenario"]): row["scenario"] for row in pairs}


def ordered_sides(
    found: Dataset, pairs: Sequence[Row], named: Mapping[tuple[str, str], str]
) -> list[str]:
    """Return what scenarios are called, the base first.

    Parameters
    ----------
    found : Dataset
    pairs : sequence of dict
        Rows of its table ``runs`` that were replayed.
    named : mapping of (str, str) to str
        As of `scenario_names`.

    Returns
    -------
    list of str
        The base is the plain scenario (`PLAIN`); else the one that has most traces
        under the driver that they were recorded under; of several such ones that which
        was named first.
    """
    taken = _recorded_policies(found, pairs)
    hits: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    places: dict[str, int] = {}
    order = {name: at for at, name in enumerate(found.named)}
    for row in pairs:
        side = named[row["trace"], row["scenario"]]
        if row["trace"] in taken:
            totals[side] += 1
            hits[side] += row["policy"] == taken[row["trace"]]
        at = order.get(row["scenario"], len(order))
        places[side] = min(places.get(side, at), at)
    base = min(
        places,
        key=lambda side: (
            side not in PLAIN,
            -hits[side] / max(1, totals[side]),
            places[side],
        ),
    )
    return sorted(places, key=lambda side: (side != base, places[side]))


def _recorded_policies(found: Dataset, pairs: Sequence[Row]) -> dict[str, str]:
    """Tell of some traces under which driver each was recorded, as the runs took it."""
    traces = list(dict.fromkeys(row["trace"] for row in pairs))[:_MOST_ASKED]
    told = found.scan(
        RUNS,
        columns=["trace", "run"],
        chosen=pc.field("trace").isin(traces) & pc.field("run").is_valid(),
    )
    policies: dict[str, str] = {}
    for row in told.to_pylist():
        if row["trace"] not in policies:
            info = checked_info(row["run"])
            policies[row["trace"]] = info["scenario"]["trace"]["policy"]
    return policies


def main_times(found: Dataset, named: Mapping[tuple[str, str], str]) -> list[Row]:
    """Return p50 and p99 of each pair's cgroups, of their main operation.

    Parameters
    ----------
    found : Dataset
    named : mapping of (str, str) to str
        Of trace and scenario what the scenario is called.

    Returns
    -------
    list of dict
        ``trace``, ``side``, ``cgroup``, ``device``, ``op``, ``p50_ns``, ``p99_ns``.
    """
    kind = ["device", "op"]
    rows = found.scan(
        "latency",
        columns=["trace", "scenario", "cgroup", *kind, "count", "p50_ns", "p99_ns"],
        chosen=pc.field("stage") == "total",
    ).to_pylist()
    counts: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        counts[row["trace"], row["cgroup"], row["device"], row["op"]] += row["count"]
    # the same one under every scenario: reads are not compared with writes
    main: dict[tuple[str, str], tuple[str, str]] = {}
    for (trace, cgroup, *of), _ in counts.most_common():
        main.setdefault((trace, cgroup), (of[0], of[1]))
    return [
        {**row, "side": named[row["trace"], row["scenario"]]}
        for row in rows
        if main[row["trace"], row["cgroup"]] == (row["device"], row["op"])
        and (row["trace"], row["scenario"]) in named
    ]


def changes(
    pairs: Sequence[Row],
    named: Mapping[tuple[str, str], str],
    times: Iterable[Row],
    sides: Sequence[str],
) -> list[Change]:
    """Compare every scenario with the base.

    Parameters
    ----------
    pairs : sequence of dict
        Rows of the dataset's table ``runs`` that were replayed.
    named : mapping of (str, str) to str
        As of `scenario_names`.
    times : iterable of dict
        As of `main_times`.
    sides : sequence of str
        As of `ordered_sides`.

    Returns
    -------
    list of Change
        One for each scenario but the base, in order.
    """
    p99: dict[str, dict[tuple[str, str], int]] = {side: {} for side in sides}
    for row in times:
        if row["p99_ns"]:
            p99[row["side"]][row["trace"], row["cgroup"]] = row["p99_ns"]
    hit: dict[str, Counter[str]] = {side: Counter() for side in sides}
    for row in pairs:
        side = named[row["trace"], row["scenario"]]
        for column in ("kills", "failed"):
            hit[side][column] += bool(row[column])
    found = []
    for side in sides[1:]:
        base = p99[sides[0]]
        both = [who for who in p99[side] if who in base]
        ratio = {who: p99[side][who] / base[who] for who in both}
        longer = [who for who in both if ratio[who] > CHANGED]
        shorter = [who for who in both if ratio[who] < 1 / CHANGED]
        most = max(
            both, key=lambda who: (max(ratio[who], 1 / ratio[who]), who), default=None
        )
        found.append(
            Change(
                side=side,
                base=sides[0],
                n_cgroups=len(both),
                n_traces=len({trace for trace, _ in both}),
                longer=(len(longer), len({trace for trace, _ in longer})),
                shorter=(len(shorter), len({trace for trace, _ in shorter})),
                most=None if most is None else (*most, base[most], p99[side][most]),
                kills=(hit[sides[0]]["kills"], hit[side]["kills"]),
                failed=(hit[sides[0]]["failed"], hit[side]["failed"]),
            )
        )
    return found


def fleet_text(found: Dataset) -> str:
    """Say in words what the scenarios change.

    Parameters
    ----------
    found : Dataset

    Returns
    -------
    str
        A line for each scenario but the base, under a heading; empty where there is
        one scenario.
    """
    pairs = [row for row in found.runs.to_pylist() if row["status"] == "ok"]
    named = scenario_names(pairs)
    if len(set(named.values())) < 2:
        return ""
    lines = ["What the scenarios change (p99 of each cgroup's main operation)"]
    if found.tables["latency"].count_rows() > MOST_ROWS:
        return "\n".join([*lines, "  too many cgroups to look at here: replay compare"])
    sides = ordered_sides(found, pairs, named)
    told = changes(pairs, named, main_times(found, named), sides)
    lines += [f"  {plain(one.text())}" for one in told[:_MOST_SIDES]]
    if len(told) > _MOST_SIDES:
        lines.append(f"  … and {count_text(len(told) - _MOST_SIDES, 'more scenario')}")
    return "\n".join(lines)
