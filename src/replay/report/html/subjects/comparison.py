"""The page of comparisons: what changed for whom, from the base to the others."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from replay.common.text import count_text, size_text, time_text
from replay.report.compare import comparison
from replay.report.html.drawing import Canvas, Picture
from replay.report.html.page import Content, PageTable, Told
from replay.report.html.pictures import pictures as result_pictures
from replay.report.html.rows import Row, ShownCgroups
from replay.report.html.subjects.sides import sums_picture, times_picture
from replay.report.text import render_text
from replay.results.compare import Comparison
from replay.results.result import Result

_QUANTILES: Final = (("p50", "p50_ns"), ("p99", "p99_ns"))
#: Measures that have bars where they differ: column, name, unit, what one of it is.
_SUMS: Final = (
    ("kills", "kills", "tasks killed", 1),
    ("errors", "errors", "requests that failed", 1),
    ("wait_others_ns", "waits_others", "seconds waited behind others", 10**9),
    ("charged_bytes", "charged", "MiB of memory charged", 2**20),
    ("io_bytes", "io", "MiB of I/O paid", 2**20),
)


def comparison_content(
    found: Sequence[Comparison], results: Mapping[str, Result] | None = None
) -> Content:
    """Gather what the page of comparisons holds.

    Parameters
    ----------
    found : sequence of Comparison
        Of one base; at least one.
    results : mapping of str to Result or None
        What was compared, for their own pictures.

    Returns
    -------
    Content
    """
    drawn, canvas = _pictures(found)
    base = found[0].names[0]
    title = _answer(found)
    more = result_pictures(results) if results else []
    return Content(
        title=title,
        told=[
            Told(
                text=f"{one.names[1]} against {base}",
                notes=[*one.notes, *one.told[1]],
                words=render_text(comparison(one), width=100),
            )
            for one in found
        ],
        pictures=[*drawn, *more],
        tables=[
            PageTable(
                name=name,
                title=name if len(found) == 1 else f"{name}: {one.names[1]}",
                about="base, other, and other - base",
                table=table,
            )
            for one in found
            for name, table in {"measures": one.measures, **one.tables}.items()
        ],
        colours={name: canvas.colours[name] for name in canvas.shown.names},
        provenance={
            f"keys in which {one.names[1]} differs from {base}": {
                key: list(values) for key, values in one.scenario.items()
            }
            for one in found
        },
    )


def _pictures(found: Sequence[Comparison]) -> tuple[list[Picture], Canvas]:
    rows = [one.measures.to_pylist() for one in found]
    weight: dict[str, int] = {}
    for table in rows:
        for row in table:
            size = max((row["requests_base"] or 0), (row["requests_other"] or 0))
            weight[row["cgroup"]] = max(weight.get(row["cgroup"], 0), size)
    names = sorted(weight, key=lambda name: -weight[name])
    canvas = Canvas(ShownCgroups(names))
    sides = [found[0].names[0], *(one.names[1] for one in found)]
    drawn = []
    if values := _times(rows, sides, canvas.shown):
        drawn.append(
            times_picture(
                canvas,
                values,
                title="p50 and p99 of each cgroup",
                note=_cut(canvas.shown),
                table="measures",
                sides=sides,
            )
        )
    for column, name, unit, one in _SUMS:
        values = _sums(rows, sides, canvas.shown, column, one)
        some = {row["cgroup"] for row in values if row["value"]}
        values = [row for row in values if row["cgroup"] in some]
        if len({(row["cgroup"], row["value"]) for row in values}) > len(
            {row["cgroup"] for row in values}
        ):
            drawn.append(
                sums_picture(
                    canvas,
                    values,
                    name=name,
                    title=unit[0].upper() + unit[1:],
                    unit=unit,
                    table="measures",
                    sides=sides,
                )
            )
    return drawn, canvas


def _cut(shown: ShownCgroups) -> str:
    if not shown.n_more:
        return ""
    return f"{len(shown.names)} of {len(shown.names) + shown.n_more} cgroups"


def _values(
    rows: Sequence[Sequence[Row]], sides: Sequence[str], column: str
) -> list[tuple[str, str, Any]]:
    """Return cgroup, side and measure; the base once."""
    found = [(row["cgroup"], sides[0], row[f"{column}_base"]) for row in rows[0]]
    for side, table in zip(sides[1:], rows, strict=True):
        found += [(row["cgroup"], side, row[f"{column}_other"]) for row in table]
    return found


def _times(
    rows: Sequence[Sequence[Row]], sides: Sequence[str], shown: ShownCgroups
) -> list[Row]:
    return [
        {"cgroup": cgroup, "side": side, "quantile": label, "ms": value / 1e6}
        for label, column in _QUANTILES
        for cgroup, side, value in _values(rows, sides, column)
        if value and cgroup in shown.names
    ]


def _sums(
    rows: Sequence[Sequence[Row]],
    sides: Sequence[str],
    shown: ShownCgroups,
    column: str,
    one: int,
) -> list[Row]:
    return [
        {"cgroup": cgroup, "side": side, "value": (value or 0) / one}
        for cgroup, side, value in _values(rows, sides, column)
        if cgroup in shown.names
    ]


def _answer(found: Sequence[Comparison]) -> str:
    """Say what changed most, by ratio: kills first, then p99, then who pays."""
    several = len(found) > 1
    best: tuple[float, str] = (0.0, "")
    for one in found:
        where = f" under {one.names[1]}" if several else ""
        for row in one.measures.to_pylist():
            if row["kills_diff"]:
                killed = count_text(row["kills_base"], "task")
                return (
                    f"{row['cgroup']}: {killed} killed under {one.names[0]}, "
                    f"{row['kills_other']} under {one.names[1]}"
                )
            base, other = row["p99_ns_base"], row["p99_ns_other"]
            if base and other:
                factor = max(base / other, other / base)
                text = (
                    f"{row['cgroup']}'s p99 goes from {time_text(base)} to "
                    f"{time_text(other)}{where}"
                )
                best = max(best, (factor, text))
    if best[0] > 1.01:
        return best[1]
    for one in found:
        for row in one.measures.to_pylist():
            if row["io_bytes_diff"]:
                return (
                    f"{row['cgroup']} pays for {size_text(row['io_bytes_other'])} of "
                    f"I/O, {size_text(row['io_bytes_base'])} before"
                )
    return "Nothing that is drawn differs"
