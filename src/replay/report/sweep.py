"""A sweep for a person: the answer first, then the points."""

from collections.abc import Collection, Iterable, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from replay.common.plain import plain
from replay.common.text import count_text, time_text
from replay.report.limits import limit_name
from replay.report.many.kernels import ALIKE, kernel_steps
from replay.report.many.points import measure_text, points_table, value_text
from replay.report.text import indented
from replay.results.conditions import parse_condition
from replay.sweeps.knee import Knee
from replay.sweeps.points import Point
from replay.sweeps.sweep import Sweep

#: What a smallest memory.max is of.
LEFT_OUT = (
    "of the pages that the trace's I/O charges and the rss that the scenario gives: "
    "what else the service holds, and the page cache above the loop device, come on top"
)


def sweep_page(found: Sweep) -> RenderableType:
    """Say where the outcome changes, and what came of each point.

    Parameters
    ----------
    found : Sweep

    Returns
    -------
    RenderableType
    """
    n_added = sum(point.refined for point in found.points)
    n_grid = len(found.points) - n_added
    keys = ", ".join(axis.key for axis in found.axes)
    text = f"{count_text(n_grid, 'point')} of {keys}"
    if n_added:
        text += f", {n_added} more to find where it changes"
    parts: list[RenderableType] = [Text(plain(text))]
    for knee in found.knees:
        parts += [Text(), *_knee(found, knee, _errors(found, knee))]
    said = difference_text(found)
    if said:
        parts += [Text(), _bold(said)]
    if steps := kernel_steps(found):
        parts.append(Text("\nFrom kernel to kernel", style="bold"))
    for step in steps:
        parts.append(indented(step.text()))
        if step.changed:
            parts += [indented(f"  {line}") for line in step.rule_lines()]
    ranked = sorted(found.points, key=_Key(found))
    parts += [Text(), *points_table(found, ranked)]
    parts += _victims(found.points)
    refused = [point for point in found.points if point.error is not None]
    if refused:
        parts.append(Text("\nRefused", style="bold"))
        parts += [
            indented(f"{', '.join(point.values)}: {point.error}") for point in refused
        ]
    notes = point_notes(found)
    if notes:
        parts.append(Text("\nEstimates and losses", style="bold"))
        parts += [indented(note) for note in notes]
    return Group(*parts)


def point_notes(found: Sweep) -> list[str]:
    """Return what the points told of themselves, each with how many of them did.

    Parameters
    ----------
    found : Sweep

    Returns
    -------
    list of str
        Of a key of words the values are named: what holds for one does not for another.
        A note keeps its kind.
    """
    told: dict[str, list[Point]] = {}
    for point in found.points:
        for note in dict.fromkeys(point.notes):
            told.setdefault(note, []).append(point)
    done = [point for point in found.points if point.error is None]
    return [
        note
        if len(points) == len(done)
        else type(note)(f"{note} (matters for {_which(found, points)})")
        for note, points in told.items()
    ]


def _which(found: Sweep, points: list[Point]) -> str:
    said = f"{len(points):,} of {count_text(len(found.points), 'point')}"
    for at, axis in enumerate(found.axes):
        values = list(dict.fromkeys(point.values[at] for point in points))
        if not axis.numbers and len(values) < len(axis.values):
            said += f": {axis.key} = {', '.join(values[:4])}"
    return said


def answer_text(found: Sweep) -> str:
    """Say in one sentence where the outcome changes.

    Parameters
    ----------
    found : Sweep

    Returns
    -------
    str
    """
    for knee in found.knees:
        if knee.holds is not None and knee.breaks is not None:
            kept = " and ".join(knee.conditions)
            which = "smallest" if knee.smallest else "largest"
            where = "".join(f", {key} = {value}" for key, value in knee.others.items())
            shown = knee_value(found, knee, knee.holds)
            return f"The {which} {knee.key} with {kept} is {shown}{where}"
    if found.knees:
        knee = found.knees[0]
        kept = " and ".join(knee.conditions)
        held = knee.looked_at[0][1]
        first, last = (knee_value(found, knee, knee.looked_at[at][0]) for at in (0, -1))
        return (
            f"{kept} holds at {'every' if held else 'no'} value of {knee.key}, "
            f"{first} to {last}"
        )
    return difference_text(found)


def knee_value(found: Sweep, knee: Knee, value: str) -> str:
    """Say a value along a knee's key as people do."""
    for at, axis in enumerate(found.axes):
        if (axis.label or axis.key) == knee.key:
            for point in found.points:
                if point.values[at] == value:
                    return value_text(axis, value, point.numbers[at])
    return value


def difference_text(found: Sweep) -> str:
    """Say in one sentence what the points differ in; where a knee says it, nothing.

    Parameters
    ----------
    found : Sweep

    Returns
    -------
    str
        Who is stopped at which of them, or whose requests are slowed most, or who
        pays; empty if a condition was looked for.
    """
    if found.knees:
        return ""
    done = [point for point in found.points if point.error is None]
    return (
        _stopped(found, done)
        or _slowed(found, done)
        or _paying(found, done)
        or f"No value of {_keys(found)} changes who is stopped, how long requests take "
        "or who pays"
    )


def _keys(found: Sweep) -> str:
    return " and ".join(axis.key for axis in found.axes)


def _named(found: Sweep, points: Sequence[Point]) -> str:
    """Name points by their values; of many the first ones."""
    names = [
        " with ".join(
            value_text(axis, value, number)
            if len(found.axes) == 1
            else f"{axis.key} = {value_text(axis, value, number)}"
            for axis, value, number in zip(
                found.axes, point.values, point.numbers, strict=True
            )
        )
        for point in points
    ]
    if len(names) > 4:
        names = [*names[:3], f"{len(names) - 3} more"]
    *some, last = names
    return f"{', '.join(some)} and {last}" if some else last


def _stopped(found: Sweep, done: Sequence[Point]) -> str:
    """Say where somebody is killed or a request fails, if that differs."""
    for measure, word in (("kills", "is killed"), ("errors", "has requests that fail")):
        sums = [sum(row[measure] for row in point.rows()) for point in done]
        hit = [point for point, n in zip(done, sums, strict=True) if n]
        free = [point for point, n in zip(done, sums, strict=True) if not n]
        if hit and free:
            worst = max(
                (row for point in hit for row in point.rows()),
                key=lambda row: row[measure],
            )
            task = (
                f"{hit[0].kills[0][0]} in "
                if measure == "kills" and hit[0].kills
                else ""
            )
            who = hit[0].kills[0][1] if task else worst["cgroup"]
            return (
                f"{task}{who} {word} under {_named(found, hit)}, not under "
                f"{_named(found, free)}"
            )
    return ""


def _slowed(found: Sweep, done: Sequence[Point]) -> str:
    """Say whose p99 differs most between the points."""
    by_name: dict[str, list[tuple[int, int]]] = {}
    for at, point in enumerate(done):
        for row in point.rows():
            if row["p99_ns"] is not None:
                times = by_name.setdefault(row["cgroup"], [])
                times.append((max(1, row["p99_ns"]), at))
    ratio, name = max(
        ((max(times)[0] / min(times)[0], name) for name, times in by_name.items()),
        default=(1.0, ""),
    )
    if ratio < ALIKE:
        return ""
    times = by_name[name]
    told = [
        (end, [at for ns, at in times if max(ns, end) < ALIKE * min(ns, end)])
        for end in (min(times)[0], max(times)[0])
    ]
    text = ", ".join(
        f"{time_text(end)} under {_named(found, [done[at] for at in places])}"
        for end, places in told
    )
    at_an_end = {at for _, places in told for at in places}
    between = [(ns, done[at]) for ns, at in times if at not in at_an_end]
    if len(between) == 1:
        ((ns, point),) = between
        text += f", {time_text(ns)} under {_named(found, [point])}"
    elif between:
        text += f", in between under {_named(found, [point for _, point in between])}"
    return f"p99 of {name}: {text}"


def _paying(found: Sweep, done: Sequence[Point]) -> str:
    """Say who is charged for memory or I/O, if that differs."""
    for measure, what in (("charged_bytes", "memory"), ("io_bytes", "I/O")):
        payers: dict[tuple[str, ...], list[Point]] = {}
        for point in done:
            paying = tuple(row["cgroup"] for row in point.rows() if row[measure])
            payers.setdefault(paying, []).append(point)
        if len(payers) > 1:
            return ", ".join(
                f"{_some(list(names)) or 'nobody'} is charged for {what} under "
                f"{_named(found, points)}"
                for names, points in list(payers.items())[:3]
            )
    return ""


def _errors(found: Sweep, knee: Knee) -> set[int]:
    """Return how many requests failed, along a key."""
    return {
        sum(row["errors"] for row in point.rows())
        for point in found.points
        if all(
            knee.others.get(axis.key, value) == value
            for axis, value in zip(found.axes, point.values, strict=True)
        )
    }


def _knee(
    found: Sweep, knee: Knee, errors: Collection[int]
) -> Iterable[RenderableType]:
    kept = " and ".join(knee.conditions)
    where = ", ".join(f"{key} = {value}" for key, value in knee.others.items())
    head = f"{where}: " if where else ""
    values = [value for value, _ in knee.looked_at]
    held = knee.looked_at[0][1]
    if knee.holds is None or knee.breaks is None:
        said = "holds at every value" if held else "holds at no value"
        yield _bold(f"{head}{kept} {said} of {knee.key}")
        shown = [knee_value(found, knee, value) for value in values]
        yield indented(f"looked at {_some(shown)}")
        if held and knee.conditions == ("kills=0",) and len(errors) > 1:
            yield indented(
                "nobody is killed, but requests fail: --keep errors=0 finds from "
                "where on none does"
            )
        return
    which = "smallest" if knee.smallest else "largest"
    yield _bold(
        f"{head}{which} {knee.key} with {kept}: {_both(found, knee, knee.holds)}"
    )
    broken = ", ".join(_broken(*one) for one in knee.broken[:3])
    more = f" and {len(knee.broken) - 3} more" if len(knee.broken) > 3 else ""
    yield indented(f"{_both(found, knee, knee.breaks)}: {broken}{more}")
    if knee.key.endswith("memory.max"):
        yield indented(LEFT_OUT)
    if not knee.monotonic:
        yield indented("The outcome changes more than once:")
        for value, outcome in knee.looked_at:
            said = knee_value(found, knee, value)
            yield indented(f"  {said}: {'holds' if outcome else 'does not hold'}")


def _both(found: Sweep, knee: Knee, value: str) -> str:
    """Say a value as people do, and as ``--set`` takes it."""
    shown = knee_value(found, knee, value)
    return shown if value in shown else f"{value} ({shown})"


def _some(values: list[str]) -> str:
    if len(values) <= 6:
        return ", ".join(values)
    return f"{', '.join(values[:3])} … {values[-1]} ({len(values)} values)"


def _broken(text: str, cgroup: str, value: int) -> str:
    if not cgroup:
        return f"{text}: the run is refused"
    measure = parse_condition(text).measure
    return f"{measure.name} {measure_text(measure, value)} in {cgroup}"


def _victims(points: list[Point]) -> Iterable[RenderableType]:
    """Tell who was killed first, where that is not the same one at all points."""
    met: dict[tuple[tuple[str, str, str], ...], list[str]] = {}
    for point in points:
        if point.error is None:
            met.setdefault(point.kills, []).append(", ".join(point.values))
    if len({kills[0] for kills in met if kills}) < 2:
        return
    yield Text("\nWho was killed first", style="bold")
    for kills, values in met.items():
        said = ", then ".join(
            f"{task} in {cgroup} ({limit_name(limit)})" for task, cgroup, limit in kills
        )
        yield indented(f"{_some(values)}: {said or 'nobody'}")


class _Key:
    """Orders points as the grid does, added ones between their neighbours."""

    def __init__(self, found: Sweep) -> None:
        self._places = [
            {value: place for place, value in enumerate(axis.values)}
            for axis in found.axes
        ]
        self._falling = [
            bool(numbers) and numbers != sorted(numbers)
            for axis in found.axes
            for numbers in [[n for n in axis.numbers if n is not None]]
        ]
        self._numeric = [bool(axis.numbers) for axis in found.axes]

    def __call__(self, point: Point) -> tuple[float, ...]:
        keys: list[float] = []
        for at, (value, number) in enumerate(
            zip(point.values, point.numbers, strict=True)
        ):
            if self._numeric[at]:
                place = float("inf") if number is None else float(number)
                keys.append(-place if self._falling[at] else place)
            else:
                keys.append(self._places[at][value])
        return tuple(keys)


def _bold(text: str) -> Text:
    return Text(plain(text), style="bold")
