"""A trace under a grid of scenarios, in parallel, and the knees between its points."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replay.capture.facts import recorded_facts
from replay.common.errors import ReplayError, ScenarioError
from replay.common.shown import Shown
from replay.common.temporary import temporary_directory
from replay.common.text import path_text
from replay.parallel.jobs import Runner
from replay.parallel.pool import Pool
from replay.results.conditions import Condition, parse_condition
from replay.scenario.bind import bind
from replay.scenario.keys.load import Recipe, Scenario
from replay.scenario.notes.kernel import asked_areas
from replay.scenario.overrides import check_overrides
from replay.sweeps.axes import Axis, parse_axis, points
from replay.sweeps.knee import Knee, Search
from replay.sweeps.points import Job, Point, run_point
from replay.trace.convert import convert, open_or_convert
from replay.trace.file.filters import Filters
from replay.trace.file.read import Progress, Trace, is_arrow
from replay.trace.file.write import write_copy
from replay.trace.formats.options import FormatOptions

if TYPE_CHECKING:
    import pyarrow as pa

#: What a memory.max is expected to keep, if nothing else is asked for.
NO_KILLS = "kills=0"

_Numbers = tuple[int | float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep(Shown):
    """The outcome of a sweep.

    Attributes
    ----------
    axes : tuple of Axis
        The keys and their values.
    points : list of Point
        Of the grid in its order, then those that were added to find knees.
    knees : list of Knee
        One for each combination of the other keys' values, if anything is to be kept.
    trace, scenario : str
        What they are called; empty where they have no name.
    areas : frozenset of str
        Where a kernel is varied: the areas of its rules that can act here, as of
        `replay.scenario.keys.kernel_rules.Rule`.
    """

    axes: tuple[Axis, ...]
    points: list[Point]
    knees: list[Knee]
    trace: str = ""
    scenario: str = ""
    areas: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        keys = ", ".join(axis.key for axis in self.axes)
        return f"<Sweep of {keys}: {len(self.points)} points, {len(self.knees)} knees>"

    def table(self) -> "pa.Table":
        """Return all measures as one table: see `replay.sweeps.table`."""
        from replay.sweeps.table import long_table

        return long_table(self)

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the table as a Parquet file.

        Raises
        ------
        OutputError
            The file exists already, or cannot be written.
        """
        from replay.sweeps.table import write_table

        write_table(self, path, overwrite=overwrite)

    def to_json(self) -> str:
        """Say axes, points and knees in JSON."""
        from replay.sweeps.table import as_json

        return as_json(self)


def sweep(
    trace: Trace | str | Path | Sequence[str | Path],
    scenario: Mapping[str, Any] | str | Path | None = None,
    *,
    vary: Sequence[str],
    keep: Sequence[str] = (),
    along: str | None = None,
    in_step: bool = False,
    overrides: Sequence[str] = (),
    assign: str | Path | None = None,
    cgroups: str | Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
    format: str | FormatOptions | None = None,
    filters: Filters | None = None,
) -> Sweep:
    """Replay a trace under every combination of some keys' values.

    Parameters
    ----------
    trace : Trace, path or sequence of paths
        An opened trace, a trace file, or anything that `convert` reads: it is converted
        once.
    scenario : mapping, path or None
        The base.
    vary : sequence of str
        ``KEY=VALUES``; see `replay.sweeps.axes.parse_axis`.
    keep : sequence of str
        Conditions (`replay.results.conditions.parse_condition`) that a run must keep:
        the value where they begin or cease to hold is found by bisection. By default
        ``kills=0`` if a cgroup's ``memory.max`` is varied, else none.
    along : str or None
        The key along which to look for it; by default the only one with numbers, or
        the only ``memory.max``.
    in_step : bool
        Take the values of all keys in step, not every combination.
    overrides : sequence of str
        ``KEY=VALUE`` for every point.
    assign, cgroups, format, filters
        As `replay.run`.
    jobs : int or None
        Processes; by default one for each processor.
    progress : callable or None
        Told of points done and points in all.

    Returns
    -------
    Sweep
        The same for any number of jobs.

    Raises
    ------
    TraceError
        The trace cannot be read.
    ScenarioError
        A key or value is not valid, or does not fit the trace.
    ConditionError
        A condition cannot be understood, or names a cgroup that there is not.
    """
    axes = tuple(parse_axis(text) for text in vary)
    if not axes:
        raise ScenarioError("nothing to vary: give --vary KEY=VALUES")
    grid = points(axes, in_step=in_step)
    axis = _searched(axes, along, bool(keep), in_step)
    kept = list(keep) or ([NO_KILLS] if axis is not None and axis.is_limit else [])
    conditions = tuple(parse_condition(text) for text in kept)
    facts = {} if isinstance(trace, Trace) else recorded_facts(trace)
    recipe = Recipe(given=scenario, assign=assign, facts=facts)
    base = _Base(recipe, tuple(overrides))
    scenarios = {values: base.at(axes, values) for values in grid}
    with ExitStack() as stack:
        path, ids = _trace_file(stack, trace, cgroups, format, filters)
        areas = _check_axes(axes, [grid[0], grid[-1]], scenarios, path, ids)
        pool = stack.enter_context(Pool(jobs))
        work = _Work(pool, axes, path, ids, progress)
        done = work.run(
            [(values, _numbers(axes, values)) for values in grid], scenarios
        )
        _check_cgroups(conditions, done)
        knees: list[Knee] = []
        added: list[Point] = []
        if axis is not None and conditions:
            knees, added = _knees(axes, axis, conditions, done, base, work)
    return Sweep(
        axes=axes,
        points=[*done, *added],
        knees=knees,
        trace=_name(trace),
        scenario=_name(scenario),
        areas=areas,
    )


def _name(given: Any) -> str:
    """Return what a trace or a scenario is called, if it is given by its path."""
    if isinstance(given, Trace):
        given = given.path
    if isinstance(given, str | Path):
        return path_text(given)
    if isinstance(given, Sequence):
        return ", ".join(path_text(one) for one in given)
    return ""


def _check_axes(
    axes: Sequence[Axis],
    ends: Sequence[tuple[str, ...]],
    scenarios: Mapping[tuple[str, ...], Scenario],
    trace: str,
    cgroups: str | None,
) -> frozenset[str]:
    """Refuse to vary what is said of a cgroup that does nothing in the trace.

    Returns
    -------
    frozenset of str
        Areas of the rules that can act at the ends, where a kernel is varied.
    """
    overrides = [axis.override(v) for axis, v in zip(axes, ends[0], strict=True)]
    with open_or_convert(trace, cgroups=cgroups) as opened:
        first = bind(scenarios[ends[0]], opened)
        check_overrides(overrides, first, option="--vary")
        if all(axis.key != "driver.kernel" for axis in axes):
            return frozenset()
        bound = [first, *(bind(scenarios[one], opened) for one in ends[1:])]
    return frozenset().union(*(asked_areas(one.scenario) for one in bound))


class _Base:
    """The base scenario, to which points add their values."""

    def __init__(self, recipe: Recipe, overrides: tuple[str, ...]) -> None:
        self._recipe = recipe
        self._overrides = overrides

    def at(self, axes: Sequence[Axis], values: Sequence[str]) -> Scenario:
        """Make the scenario of a point."""
        mine = [axis.override(v) for axis, v in zip(axes, values, strict=True)]
        try:
            return self._recipe.scenario([*self._overrides, *mine])
        except ScenarioError as error:
            raise ScenarioError(_as_varied(str(error), mine)) from None


def _as_varied(said: str, mine: Sequence[str]) -> str:
    """Name the option that a value was given to: it is read as --set reads its own."""
    for one in mine:
        if said.startswith(f"--set {one}:"):
            return said.replace("--set", "--vary", 1)
    return said


class _Work:
    """Runs points; tells how far it is."""

    def __init__(
        self,
        runner: Runner,
        axes: tuple[Axis, ...],
        trace: str,
        cgroups: str | None,
        progress: Progress | None,
    ) -> None:
        self._runner = runner
        self._axes = axes
        self._trace = trace
        self._cgroups = cgroups
        self._progress = progress
        self._n_given = 0
        self._n_done = 0

    def run(
        self,
        wanted: Sequence[tuple[tuple[str, ...], _Numbers]],
        scenarios: Mapping[tuple[str, ...], Scenario],
        *,
        refined: bool = False,
    ) -> list[Point]:
        """Run points; return them in the order given."""
        for number, (values, _) in enumerate(wanted):
            job = Job(
                trace=self._trace, cgroups=self._cgroups, scenario=scenarios[values]
            )
            self._runner.submit(number, run_point, job)
        self._n_given += len(wanted)
        done: dict[int, Point] = {}
        while self._runner.pending:
            outcome = self._runner.next()
            values, numbers = wanted[outcome.tag]
            if outcome.error is None:
                done[outcome.tag] = Point(
                    values=values, numbers=numbers, refined=refined, **outcome.value
                )
            elif isinstance(outcome.error, ReplayError):
                done[outcome.tag] = Point(
                    values=values,
                    numbers=numbers,
                    refined=refined,
                    error=_as_varied(
                        str(outcome.error),
                        [
                            axis.override(value)
                            for axis, value in zip(self._axes, values, strict=True)
                        ],
                    ),
                )
            else:
                raise outcome.error
            self._n_done += 1
            if self._progress is not None:
                self._progress(self._n_done, self._n_given)
        return [done[number] for number in range(len(wanted))]


def _knees(
    axes: tuple[Axis, ...],
    axis: Axis,
    conditions: tuple[Condition, ...],
    done: Sequence[Point],
    base: _Base,
    work: _Work,
) -> tuple[list[Knee], list[Point]]:
    """Bisect for each combination of the other keys' values, all at the same time."""
    place = axes.index(axis)
    groups: dict[tuple[str, ...], list[Point]] = {}
    for point in done:
        others = point.values[:place] + point.values[place + 1 :]
        groups.setdefault(others, []).append(point)
    searches = {
        others: Search(
            axis,
            [(one.numbers[place], not one.broken(conditions)) for one in group],
        )
        for others, group in groups.items()
    }
    added: list[Point] = []
    while True:
        asked = {
            others: number
            for others, search in searches.items()
            if (number := search.next()) is not None
        }
        if not asked:
            break
        wanted = []
        for others, number in asked.items():
            values = (*others[:place], axis.text(number), *others[place:])
            numbers = list(groups[others][0].numbers)
            numbers[place] = number
            wanted.append((values, tuple(numbers)))
        scenarios = {values: base.at(axes, values) for values, _ in wanted}
        ran = work.run(wanted, scenarios, refined=True)
        for (others, number), point in zip(asked.items(), ran, strict=True):
            searches[others].add(number, not point.broken(conditions))
            groups[others].append(point)
        added += ran
    keys = [one.key for one in axes if one is not axis]
    return [
        _knee(
            axis, place, conditions, dict(zip(keys, others, strict=True)), search, group
        )
        for (others, search), group in zip(
            searches.items(), groups.values(), strict=True
        )
    ], added


def _knee(
    axis: Axis,
    place: int,
    conditions: tuple[Condition, ...],
    others: dict[str, str],
    search: Search,
    group: Sequence[Point],
) -> Knee:
    by_number = {point.numbers[place]: point for point in group}
    looked_at = [
        (by_number[number].values[place], held) for number, held in search.outcomes
    ]
    at = search.change
    holds = breaks = None
    broken: list[tuple[str, str, int]] = []
    smallest = True
    if at is not None:
        smallest = looked_at[at + 1][1]
        inside, outside = (at + 1, at) if smallest else (at, at + 1)
        holds, breaks = looked_at[inside][0], looked_at[outside][0]
        broken = by_number[search.outcomes[outside][0]].broken(conditions)
    return Knee(
        key=axis.label,
        others=others,
        conditions=tuple(condition.text for condition in conditions),
        holds=holds,
        breaks=breaks,
        smallest=smallest,
        monotonic=search.n_changes <= 1,
        looked_at=looked_at,
        broken=broken,
    )


def _searched(
    axes: Sequence[Axis], along: str | None, wanted: bool, in_step: bool
) -> Axis | None:
    """Choose the key along which to look for knees."""
    numeric = [axis for axis in axes if axis.numbers]
    if in_step:
        if wanted or along is not None:
            raise ScenarioError("--keep: looks along one key: leave --zip away")
        return None
    if along is not None:
        chosen = [axis for axis in numeric if along in (axis.key, axis.label)]
        if not chosen:
            raise ScenarioError(
                f"--along {along}: is no --vary with two numbers or more"
            )
        return chosen[0]
    if not wanted or len(numeric) > 1:
        limits = [axis for axis in numeric if axis.is_limit]
        if len(limits) == 1 or not wanted:
            return limits[0] if len(limits) == 1 else None
    if len(numeric) != 1:
        what = "several keys" if numeric else "no key"
        raise ScenarioError(
            f"--keep: {what} with numbers to look along: give --along KEY"
        )
    return numeric[0]


def _numbers(axes: Sequence[Axis], values: Sequence[str]) -> _Numbers:
    return tuple(
        dict(zip(axis.values, axis.numbers, strict=True))[value]
        if axis.numbers
        else None
        for axis, value in zip(axes, values, strict=True)
    )


def _check_cgroups(conditions: Sequence[Condition], done: Sequence[Point]) -> None:
    names = {row["cgroup"] for point in done for row in point.rows()}
    for condition in conditions:
        if names and condition.cgroup is not None and condition.cgroup not in names:
            raise ScenarioError(
                f"--keep {condition.text!r}: no cgroup {condition.cgroup!r} in the "
                "trace or the scenario"
            )


def _trace_file(
    stack: ExitStack,
    trace: Trace | str | Path | Sequence[str | Path],
    cgroups: str | Path | None,
    format: str | FormatOptions | None,
    filters: Filters | None,
) -> tuple[str, str | None]:
    """Return a file that workers can map, and the names of its cgroups if beside it."""
    if isinstance(trace, Trace):
        # it may be of a recording, and its file without a name
        place = stack.enter_context(temporary_directory()).path / "trace.arrow"
        write_copy(trace, place)
        trace = place
    inputs = [trace] if isinstance(trace, (str, Path)) else list(trace)
    if len(inputs) == 1 and is_arrow(inputs[0]) and not filters:
        return str(inputs[0]), None if cgroups is None else str(cgroups)
    directory = stack.enter_context(temporary_directory())
    path = directory.path / "trace.arrow"
    convert(inputs, path, cgroups=cgroups, format=format, filters=filters).close()
    return str(path), None
