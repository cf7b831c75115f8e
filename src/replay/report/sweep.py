"""A sweep for a person: the answer first, then the points."""

import re
from collections.abc import Collection, Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from replay.common.text import count_text, plain, size_text, time_text
from replay.report.limits import limit_name
from replay.results.conditions import parse_condition
from replay.results.measures import BYTES, NS
from replay.sweeps.knee import Knee
from replay.sweeps.points import Point
from replay.sweeps.sweep import Sweep

#: Points that are listed; all of them are in the table that -o writes.
TOP_POINTS = 40
#: What a smallest memory.max is of.
LEFT_OUT = (
    "of the pages that the trace's I/O charges and the rss that the scenario gives: "
    "what else the service holds, and the page cache above the loop device, come on top"
)
#: What stands beside each point.
_COLUMNS = "Sums over all cgroups, and the p99 of the slowest"


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
        parts += [Text(), *_knee(knee, _errors(found, knee))]
    parts += [Text(), _bold(_COLUMNS), _points(found)]
    parts += _victims(found.points)
    refused = [point for point in found.points if point.error is not None]
    if refused:
        parts.append(Text("\nRefused", style="bold"))
        parts += [
            _line(f"{', '.join(point.values)}: {point.error}") for point in refused
        ]
    notes = point_notes(found)
    if notes:
        parts.append(Text("\nEstimates and losses", style="bold"))
        parts += [_line(note) for note in notes]
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
    """
    told: dict[str, list[Point]] = {}
    for point in found.points:
        for note in dict.fromkeys(point.notes):
            told.setdefault(note, []).append(point)
    done = [point for point in found.points if point.error is None]
    return [
        note if len(points) == len(done) else f"{note} ({_which(found, points)})"
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
            return f"The {which} {knee.key} with {kept} is {knee.holds}{where}"
    if found.knees:
        kept = " and ".join(found.knees[0].conditions)
        held = found.knees[0].looked_at[0][1]
        return (
            f"{kept} holds at {'every' if held else 'no'} value of {found.knees[0].key}"
        )
    keys = " and ".join(axis.key for axis in found.axes)
    return f"What {count_text(len(found.points), 'value')} of {keys} come to"


def _errors(found: Sweep, knee: Knee) -> set[int]:
    """Return how many requests failed, along a key."""
    return {
        sum(int(str(row["errors"])) for row in point.rows())
        for point in found.points
        if all(
            knee.others.get(axis.key, value) == value
            for axis, value in zip(found.axes, point.values, strict=True)
        )
    }


def _knee(knee: Knee, errors: Collection[int]) -> Iterable[RenderableType]:
    kept = " and ".join(knee.conditions)
    where = ", ".join(f"{key} = {value}" for key, value in knee.others.items())
    head = f"{where}: " if where else ""
    values = [value for value, _ in knee.looked_at]
    held = knee.looked_at[0][1]
    if knee.holds is None or knee.breaks is None:
        said = "holds at every value" if held else "holds at no value"
        yield _bold(f"{head}{kept} {said} of {knee.key}")
        yield _line(f"looked at {_some(values)}")
        if held and knee.conditions == ("kills=0",) and len(errors) > 1:
            yield _line(
                "nobody is killed, but requests fail: --keep errors=0 finds from "
                "where on none does"
            )
        return
    which = "smallest" if knee.smallest else "largest"
    yield _bold(f"{head}{which} {knee.key} with {kept}: {knee.holds}{_plainly(knee)}")
    broken = ", ".join(_broken(*one) for one in knee.broken[:3])
    more = f" and {len(knee.broken) - 3} more" if len(knee.broken) > 3 else ""
    yield _line(f"{knee.breaks}: {broken}{more}")
    if knee.key.endswith("memory.max"):
        yield _line(LEFT_OUT)
    if not knee.monotonic:
        yield _line("The outcome changes more than once:")
        for value, outcome in knee.looked_at:
            yield _line(f"  {value}: {'holds' if outcome else 'does not hold'}")


def _plainly(knee: Knee) -> str:
    """Say a number of bytes as people do, where it is a long one."""
    number = re.search(r"(\d{4,})([KMG]?)$", knee.holds or "")
    if number is None or not knee.key.endswith(("bps", "memory.max", "memory.high")):
        return ""
    scale = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}[number[2]]
    each = "/s" if knee.key.endswith("bps") else ""
    return f" ({size_text(int(number[1]) * scale)}{each})"


def _some(values: list[str]) -> str:
    if len(values) <= 6:
        return ", ".join(values)
    return f"{', '.join(values[:3])} … {values[-1]} ({len(values)} values)"


def _broken(text: str, cgroup: str, value: int) -> str:
    if not cgroup:
        return f"{text}: the run is refused"
    measure = parse_condition(text).measure
    if measure.unit == NS:
        shown = time_text(value)
    else:
        shown = size_text(value) if measure.unit == BYTES else count_text(value)
    return f"{measure.name} {shown} in {cgroup}"


def _points(found: Sweep) -> RenderableType:
    """List the points: sums over the cgroups, and the worst one's p99."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    keys = [axis.key for axis in found.axes]
    short = [key.rpartition("/")[2] for key in keys]
    # the line above names them in full
    for key in short if len(set(short)) == len(keys) else keys:
        table.add_column(plain(key), overflow="fold")
    for name in ("kills", "errors", "charged", "waited", "worst p99"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("of", overflow="fold")
    ranked = sorted(found.points, key=_Key(found))
    for point in ranked[:TOP_POINTS]:
        table.add_row(*(Text(plain(value)) for value in point.values), *_sums(point))
    parts: list[RenderableType] = [Padding(table, (0, 0, 0, 2), expand=False)]
    if len(ranked) > TOP_POINTS:
        parts.append(_line(f"… and {len(ranked) - TOP_POINTS:,} more"))
    return Group(*parts)


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
        yield _line(f"{_some(values)}: {said or 'nobody'}")


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


def _sums(point: Point) -> list[str | Text]:
    rows = point.rows()
    if not rows:
        return ["-", "-", "-", "-", "refused", ""]
    total = {
        name: sum(int(str(row[name])) for row in rows)
        for name in ("kills", "errors", "charged_bytes", "wait_ns")
    }
    timed = [row for row in rows if row["p99_ns"] is not None]
    worst = max(timed, key=lambda row: int(str(row["p99_ns"])), default=None)
    return [
        count_text(total["kills"]),
        count_text(total["errors"]),
        size_text(total["charged_bytes"]),
        time_text(total["wait_ns"]),
        "-" if worst is None else time_text(int(str(worst["p99_ns"]))),
        Text("" if worst is None else plain(str(worst["cgroup"]))),
    ]


def _bold(text: str) -> Text:
    return Text(plain(text), style="bold")


def _line(text: str) -> RenderableType:
    return Padding(Text(plain(text), overflow="fold"), (0, 0, 0, 2), expand=False)
