"""One point of a sweep: a run of its own, in whichever process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from replay.results.conditions import Condition
from replay.results.measures import ALL, measures
from replay.results.sums import sums
from replay.runner.run import run
from replay.scenario.keys.load import Scenario
from replay.trace.convert import open_or_convert
from replay.trace.file.read import Trace

#: Kills of which a point keeps whom they met.
MOST_KILLS: Final = 5
#: Pairs of cgroups of which a point keeps how long one waited behind the other.
MOST_WAITS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A worker process's input for a point.

    Attributes
    ----------
    trace : str
        A trace file; its pages are mapped, and so shared by all processes.
    cgroups : str or None
        File of ids that names its cgroups.
    scenario : Scenario
    """

    trace: str
    cgroups: str | None
    scenario: Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point and what came of it.

    Attributes
    ----------
    values : tuple of str
        A value for each key, as ``--set`` takes it.
    numbers : tuple of int, float or None
        The number in each value; None for ``max`` and for words.
    refined : bool
        It was added to find a knee.
    table : pyarrow.Table or None
        Measures by cgroup and operation; None if the run was refused.
    counts : dict of str to int
        As ``run.json`` has them.
    notes : tuple of str
        Estimates and things not modelled.
    kills : tuple of (str, str, str)
        Task, its cgroup and the limit's cgroup of the first kills.
    waits : tuple of (str, str, int)
        Who waited, behind which other cgroup, and how long in ns: the longest first.
    error : str or None
        Why the run was refused.
    """

    values: tuple[str, ...]
    numbers: tuple[int | float | None, ...]
    refined: bool
    table: pa.Table | None = None
    counts: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    kills: tuple[tuple[str, str, str], ...] = ()
    waits: tuple[tuple[str, str, int], ...] = ()
    error: str | None = None
    # made when they are first asked for, and then kept
    _rows: list[Mapping[str, Any]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return the rows of all operations, one for each cgroup."""
        if self.table is not None and not self._rows:
            of_all = self.table.filter(pc.equal(self.table["op"], ALL))
            self._rows.extend(of_all.to_pylist())
        return self._rows

    def broken(self, conditions: Sequence[Condition]) -> list[tuple[str, str, int]]:
        """Find what does not hold: condition, cgroup and the measure's value.

        What was refused breaks every condition, for no cgroup.
        """
        if self.table is None:
            return [(condition.text, "", 0) for condition in conditions]
        return [
            (
                condition.text,
                row["cgroup"],
                row[condition.measure.column],
            )
            for condition in conditions
            for row in self.rows()
            if condition.concerns(str(row["cgroup"])) and not condition.holds(row)
        ]


def run_point(job: Job) -> dict[str, Any]:
    """Run a point.

    Parameters
    ----------
    job : Job

    Returns
    -------
    dict of str to Any
        Fields of `Point`.

    Raises
    ------
    ReplayError
        As `replay.run`.
    """
    # the other processors have points of their own
    result = run(_opened(job.trace, job.cgroups), job.scenario, threads=1)
    table = measures(result.tables, by_op=True)
    kills = result.kills.slice(0, MOST_KILLS).to_pylist()
    return {
        "table": table,
        "counts": result.info["counts"],
        "notes": tuple(result.info["notes"]),
        "kills": tuple(
            (one["task"], one["victim_cgroup"], one["limit_cgroup"]) for one in kills
        ),
        "waits": _waits_behind_others(result.interference),
    }


def _waits_behind_others(waits: pa.Table) -> tuple[tuple[str, str, int], ...]:
    """Return the pairs of different cgroups of which one waited longest."""
    others = waits.filter(pc.not_equal(waits["waiting"], waits["blocking"]))
    summed = sums(others, ["waiting", "blocking"], ["wait_ns"]).to_pylist()
    summed.sort(key=lambda row: (-row["wait_ns"], row["waiting"], row["blocking"]))
    return tuple(
        (row["waiting"], row["blocking"], row["wait_ns"])
        for row in summed[:MOST_WAITS]
        if row["wait_ns"]
    )


@lru_cache(maxsize=1)
def _opened(trace: str, cgroups: str | None) -> Trace:
    """Map a trace once for all points of a process."""
    return open_or_convert(trace, cgroups=cgroups, threads=1)
