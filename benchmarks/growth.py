"""Measure how time and memory grow with the work.

    python -m benchmarks.growth [--quick] [--write]

Replays generated trace files whose requests, cgroups, devices or distinct pages grow,
each with a new process. A line is fitted to each: `off` is how far the worst point lies
from it. --write makes docs/growth.md, and its plot docs/growth.svg (which needs altair
and vl-convert).
"""

import argparse
import datetime
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.machine import describe
from benchmarks.measure import compile_modules, peak_of, replay
from benchmarks.shape import SMALL_SIZES, Shape
from benchmarks.traces import rows_of

TOP: Final = Path(__file__).parents[1]
PAGE: Final = TOP / "docs" / "growth.md"
PLOT: Final = TOP / "docs" / "growth.svg"
REPEATS: Final = 3


@dataclass(frozen=True, slots=True)
class Point:
    """One replay.

    Attributes
    ----------
    axis : str
        What grows.
    amount : int
    seconds : float
        Least processors' time.
    megabytes : float
        Most anonymous memory.
    """

    axis: str
    amount: int
    seconds: float
    megabytes: float


def _shape(
    requests: int, *, cgroups: int = 10, devices: int = 1, pages: int = 1 << 18
) -> Shape:
    """Return random writes of 4 KiB to a file on tmpfs."""
    return Shape(
        requests=requests,
        cgroups=cgroups,
        devices=devices,
        pages=pages,
        processes=1,
        sizes=SMALL_SIZES,
        merges=0,
        reads=0,
        discards=0,
    )


@dataclass(frozen=True, slots=True)
class Axis:
    """What grows, and by how much.

    Attributes
    ----------
    name : str
    amounts : sequence of int
    shape : callable
        Of the amount and of the requests of a trace.
    """

    name: str
    amounts: Sequence[int]
    shape: Callable[[int, int], Shape]


AXES: Final = (
    Axis(
        "requests",
        (500_000, 1_000_000, 2_000_000, 3_000_000, 4_000_000),
        lambda amount, _: _shape(amount),
    ),
    Axis(
        "cgroups",
        (10, 25_000, 50_000, 75_000, 100_000),
        lambda amount, requests: _shape(requests, cgroups=amount),
    ),
    Axis(
        "devices",
        (1, 16, 32, 48, 64),
        lambda amount, requests: _shape(requests, devices=amount),
    ),
    Axis(
        "distinct pages",
        (1 << 18, 1 << 20, 1 << 21, 3 << 20, 1 << 22),
        lambda amount, _: _shape(amount, pages=amount * 2),
    ),
)


def measure(root: Path, scratch: Path, *, quick: bool) -> list[Point]:
    """Replay every trace.

    Parameters
    ----------
    root : Path
        Where generated traces are kept.
    scratch : Path
        For results.
    quick : bool
        A tenth of the requests, once each.

    Returns
    -------
    list of Point
    """
    points = []
    for axis in AXES:
        for given in axis.amounts:
            part = 10 if quick and axis.name in ("requests", "distinct pages") else 1
            amount = given // part
            shape = axis.shape(amount, 100_000 if quick else 1_000_000)
            trace = rows_of(root, shape)
            command = replay("run", trace, "-q", "-o", scratch / "out", "--overwrite")
            found = [peak_of(command) for _ in range(1 if quick else REPEATS)]
            seconds = min(spent.cpu for spent, _ in found)
            peak = max(peak for _, peak in found)
            points.append(Point(axis.name, amount, seconds, peak / 1e6))
            print(f"{axis.name} {amount:,}: {seconds:.2f} s", file=sys.stderr)
    return points


def line(points: Sequence[Point], what: str) -> tuple[float, float]:
    """Fit a straight line.

    Parameters
    ----------
    points : sequence of Point
        Of one axis.
    what : str
        ``seconds`` or ``megabytes``.

    Returns
    -------
    tuple of (float, float)
        Its slope, and how far the worst point lies off it, as a part of the largest.
    """
    x = np.array([point.amount for point in points], float)
    y = np.array([getattr(point, what) for point in points])
    slope, begin = np.polyfit(x, y, 1)
    return float(slope), float(np.abs(y - slope * x - begin).max() / y.max())


def page(points: Sequence[Point], command: str) -> str:
    """Lay the measurements out.

    Parameters
    ----------
    points : sequence of Point
    command : str
        That made them.

    Returns
    -------
    str
        Markdown.
    """
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    lines = [
        "# Cost as work grows\n",
        f"Made on {today} by `{command}`: `replay run` of trace files,",
        "processors' time (Python's start and the tables' writing in it) and most",
        "anonymous memory. Random writes of 4 KiB to a file on tmpfs by 10 cgroups,",
        "unless these grow; every page is charged at its first touch.\n",
        "![time and memory against requests, cgroups, devices and pages](growth.svg)\n",
        *(f"- {name}: {text}" for name, text in describe().items()),
        "",
        "| what grows | amount | time | memory |",
        "|---|---:|---:|---:|",
        *(
            f"| {one.axis} | {one.amount:,} | {one.seconds:.2f} s | "
            f"{one.megabytes:.0f} MB |"
            for one in points
        ),
        "",
        "A straight line fitted to each; *off* is how far the worst point lies from",
        "it, as a part of the largest value.\n",
        "| what grows | time of each | off | memory of each | off |",
        "|---|---:|---:|---:|---:|",
        *_fits(points),
        "",
    ]
    return "\n".join(lines)


def _fits(points: Sequence[Point]) -> Iterable[str]:
    for axis in AXES:
        of_it = [point for point in points if point.axis == axis.name]
        time, time_off = line(of_it, "seconds")
        memory, memory_off = line(of_it, "megabytes")
        yield (
            f"| {axis.name} | {time * 1e9:,.0f} ns | {time_off:.0%} | "
            f"{memory * 1e6:,.0f} B | {memory_off:.0%} |"
        )


def plot(points: Sequence[Point], path: Path) -> None:
    """Draw time and memory against each axis.

    Parameters
    ----------
    points : sequence of Point
    path : Path
        An SVG.
    """
    import altair

    rows = [
        {"axis": one.axis, "amount": one.amount, "what": what, "value": value}
        for one in points
        for what, value in (
            ("processors' time, s", one.seconds),
            ("anonymous memory, MB", one.megabytes),
        )
    ]

    def chart(what: str, axis: str) -> Any:
        mine = [row for row in rows if (row["what"], row["axis"]) == (what, axis)]
        scale = altair.Scale(zero=True)
        return (
            altair.Chart({"values": mine}, width=180, height=140)
            .mark_line(point=True)
            .encode(
                x=altair.X("amount:Q", title=axis, axis=altair.Axis(tickCount=4)),
                y=altair.Y("value:Q", title=what, scale=scale),
            )
        )

    names = [axis.name for axis in AXES]
    whats = ("processors' time, s", "anonymous memory, MB")
    charts = [altair.hconcat(*(chart(what, name) for name in names)) for what in whats]
    altair.vconcat(*charts).configure(background="white").save(str(path))


def main() -> None:
    """Measure, print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth, once each")
    parser.add_argument("--write", action="store_true", help="docs/growth.md and .svg")
    parser.add_argument("--directory", type=Path, default=TOP / "build" / "benchmarks")
    chosen = parser.parse_args()
    compile_modules()
    chosen.directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen.directory) as scratch:
        points = measure(chosen.directory, Path(scratch), quick=chosen.quick)
    words = ["python", "-m", "benchmarks.growth", *sys.argv[1:]]
    text = page(points, " ".join(words))
    if chosen.write:
        PAGE.write_text(text)
        plot(points, PLOT)
    else:
        print(text)


if __name__ == "__main__":
    main()
