"""What is aimed at, and what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.cases.registry import SIZES
from benchmarks.measure import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A case, what it is held against, and how good it must be.

    Attributes
    ----------
    what : str
    case : str
    peer : str
        Case that takes so many times as long; without one it is a rate or a size.
    least : float
        Least ratio, or least million a second.
    most_bytes : float
        Most memory instead; 0 for none.
    beside : tuple of (str, str, str)
        Ratios that are shown and not judged: what is other, case and peer.
    """

    what: str
    case: str
    peer: str = ""
    least: float = 0
    most_bytes: float = 0
    beside: tuple[tuple[str, str, str], ...] = ()


GOALS: Final = (
    *(
        Goal(
            what=f"trace files to result tables, {words}, {cores}, against "
            "`blkparse -d` and `btt`, 40 million events",
            case=f"run.records-untagged{mode}{more}.{max(SIZES)}",
            peer=f"peer.blkparse-btt.{max(SIZES)}",
            least=least,
            beside=tuple(
                (
                    f"{events // 10**6} M",
                    f"run.records-untagged{mode}{more}.{events}",
                    f"peer.blkparse-btt.{events}",
                )
                for events in SIZES[:-1]
            ),
        )
        for mode, words in (
            ("-direct", "direct I/O (latencies and charges; `btt` tells latencies)"),
            ("", "tmpfs (every page of 64 GiB accounted for, too)"),
        )
        for more, cores, least in (("", "one core", 25), ("-2-threads", "two", 40))
    ),
    Goal(
        what="convert, against `blkparse -d`",
        case="convert.untagged",
        peer="peer.blkparse",
        least=8,
    ),
    Goal(
        what="convert from cold files, output synced, against `cp`",
        case="convert.cold",
        peer="peer.cp",
        least=1,
    ),
    Goal(
        what="engine, per-cgroup, direct I/O",
        case="engine.direct.per-cgroup",
        least=20,
    ),
    Goal(
        what="engine, per-cgroup, tmpfs of 1 GiB",
        case="engine.tmpfs-1GiB.per-cgroup",
        least=20,
    ),
    Goal(
        what="engine, tmpfs of 1 GiB, against libCacheSim's LRU",
        case="engine.tmpfs-1GiB.per-cgroup",
        peer="peer.libcachesim",
        least=1,
    ),
    *(
        Goal(
            what=f"engine, all stages on, {what}",
            case=f"engine.all-stages.{case}",
            least=4,
        )
        for what, case in (
            ("tmpfs", "tmpfs"),
            ("direct I/O", "direct"),
            ("page cache", "page-cache"),
            ("tmpfs, 15 times what is served", "overloaded"),
        )
    ),
    Goal(
        what="100,000 cgroups against 10, direct I/O: at most twice the time",
        case="engine.direct.per-cgroup.100000-cgroups",
        peer="engine.direct.per-cgroup",
        least=0.5,
    ),
    Goal(
        what="100,000 cgroups against 10, tmpfs of 1 GiB: at most twice the time",
        case="engine.tmpfs-1GiB.per-cgroup.100000-cgroups",
        peer="engine.tmpfs-1GiB.per-cgroup",
        least=0.5,
    ),
    *(
        Goal(
            what=f"anonymous memory, {command} of {events:,} events, 1,000 cgroups",
            case=f"memory.{command}.{events}",
            most_bytes=300e6,
        )
        for command in ("convert", "run")
        for events in (1_000_000, 10_000_000, 100_000_000)
    ),
    Goal(
        what="`replay --help` against `python -c 'import click'`: at most 1.3 times",
        case="start.help",
        peer="start.click",
        least=1 / 1.3,
    ),
)


def goals(results: Sequence[Result]) -> str:
    """Lay out the goals whose cases were measured.

    Parameters
    ----------
    results : sequence of Result

    Returns
    -------
    str
        A Markdown table, or nothing if no goal was measured.
    """
    by_name = {result.case: result for result in results}
    lines = []
    for goal in GOALS:
        result = by_name.get(goal.case)
        if result is None or (goal.peer and goal.peer not in by_name):
            continue
        found, wanted, reached = _measured(goal, result, by_name.get(goal.peer))
        if goal.beside:
            found += _beside(goal, by_name)
        lines.append(f"| {goal.what} | {wanted} | {found} | {_word(reached)} |")
    if not lines:
        return ""
    return "\n".join(
        ["| goal | wanted | measured | |", "|---|---:|---:|---|", *lines, ""]
    )


def _beside(goal: Goal, by_name: dict[str, Result]) -> str:
    """Show the ratio of the processors' times, and other sizes, each with its own."""
    shown = [f"CPU: {_cpu_ratio(by_name[goal.case], by_name[goal.peer]):.1f} x"]
    for what, case, peer in goal.beside:
        if case in by_name and peer in by_name:
            pair = by_name[case], by_name[peer]
            shown.append(
                f"{what}: {_ratio(*pair):.1f} x, CPU {_cpu_ratio(*pair):.1f} x"
            )
    return f" ({'; '.join(shown)})"


def _cpu_ratio(result: Result, peer: Result) -> float:
    return peer.ns(peer.cpu) / result.ns(result.cpu)


def _ratio(result: Result, peer: Result) -> float:
    return peer.ns(peer.median) / result.ns(result.median)


def _word(reached: bool) -> str:
    return "reached" if reached else "**not reached**"


def _measured(goal: Goal, result: Result, peer: Result | None) -> tuple[str, str, bool]:
    """Return what was found and wanted, and whether it is reached."""
    if goal.most_bytes:
        found = result.bytes_peak
        wanted = f"{goal.most_bytes / 1e6:.0f} MB"
        return f"{found / 1e6:.0f} MB", f"under {wanted}", found < goal.most_bytes
    if peer is not None:
        ratio = _ratio(result, peer)
        return f"{ratio:.2f} x", f"{goal.least:.2g} x", ratio >= goal.least
    rate = 1e3 / result.ns(result.median)
    return f"{rate:.1f} M/s", f"{goal.least:g} M/s", rate >= goal.least
