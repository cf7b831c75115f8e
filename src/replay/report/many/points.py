"""The points of a sweep for a person: what each comes to, cgroup by cgroup."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from replay.common.plain import plain
from replay.common.text import count_text, size_text, time_text
from replay.report.text import indented
from replay.results.conditions import Condition, parse_condition
from replay.results.measures import BYTES, MEASURES, NS, Measure

if TYPE_CHECKING:
    from rich.console import RenderableType

    from replay.sweeps.axes import Axis
    from replay.sweeps.points import Point
    from replay.sweeps.sweep import Sweep

#: Rows that are listed; all of them are in the table that -o writes.
TOP_ROWS: Final = 60
#: Cgroups that are told of each point.
TOP_CGROUPS: Final = 4
#: Names of columns, where they are not those of the measures.
_NAMES: Final = {
    "charged_bytes": "charged",
    "io_bytes": "I/O paid",
    "wait_others_ns": "waited behind others",
}
#: Always there, or where somebody has some.
_ALWAYS: Final = ("kills", "errors", "mean_ns", "p99_ns", "wait_others_ns")


def people_size(n_bytes: int | float) -> str:
    """Show bytes with four digits: neighbours of a bisection differ by a hundredth."""
    value = float(n_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.4g} {unit}"


def value_text(
    axis: "Axis", value: str, number: int | float | None, *, short: bool = False
) -> str:
    """Show a key's value as people say it.

    Parameters
    ----------
    axis : Axis
    value : str
        As ``--set`` takes it.
    number : int, float or None
        The number in it.
    short : bool
        Of a long size give what ``--set`` takes alone.

    Returns
    -------
    str
        A rate as ``200 MiB/s``, a size as it was given; of a long one both.
    """
    if number is None:
        return value
    if axis.label.endswith("bps"):
        return f"{people_size(number)}/s"
    if axis.step > 1 and len(value) > 5 and not short:
        return f"{value} ({people_size(number)})"
    return str(number) if axis.before or axis.after else value


def measure_text(measure: Measure, value: Any) -> str:
    """Show a measure's value in its unit; "-" for none."""
    if value is None:
        return "-"
    if measure.unit == NS:
        return time_text(int(value))
    return size_text(int(value)) if measure.unit == BYTES else count_text(int(value))


def kept_conditions(found: "Sweep") -> list[Condition]:
    """Return what is to be kept, each once."""
    texts = dict.fromkeys(text for knee in found.knees for text in knee.conditions)
    return [parse_condition(text) for text in texts]


def kept_measures(found: "Sweep") -> list[str]:
    """Return the columns of what is to be kept."""
    return list(dict.fromkeys(one.measure.column for one in kept_conditions(found)))


def told_cgroups(found: "Sweep") -> list[str]:
    """Rank the cgroups: those asked for, those that are stopped, those that change.

    Parameters
    ----------
    found : Sweep

    Returns
    -------
    list of str
        All that do something; the first are told.
    """
    asked = {condition.cgroup for condition in kept_conditions(found)}
    hurt: Counter[str] = Counter()
    times: dict[str, list[int]] = {}
    busy: dict[str, int] = {}
    for point in found.points:
        for row in point.rows():
            name = row["cgroup"]
            hurt[name] += row["kills"] + row["errors"]
            number = row["requests"]
            busy[name] = max(busy.get(name, 0), number)
            if row["p99_ns"] is not None:
                times.setdefault(name, []).append(row["p99_ns"])
            elif any(row[one] for one in ("charged_bytes", "io_bytes")):
                times.setdefault(name, [])
    spread = {
        name: max(values) / max(1, min(values)) if values else 0.0
        for name, values in times.items()
    }
    names = [name for name in busy if name in times or hurt[name] or name in asked]
    return sorted(
        names,
        key=lambda name: (
            name not in asked,
            not hurt[name],
            -spread.get(name, 0.0),
            -busy[name],
            name,
        ),
    )


def points_table(
    found: "Sweep", ranked: Sequence["Point"]
) -> Iterable["RenderableType"]:
    """List what the points come to.

    Parameters
    ----------
    found : Sweep
    ranked : sequence of Point
        In the order in which they are told.

    Yields
    ------
    RenderableType
        Heading, table, and what is cut.
    """
    cgroups = told_cgroups(found)
    shown = cgroups[:TOP_CGROUPS]
    columns = _columns(found, shown)
    heading = "What each point comes to, by cgroup"
    yield Text(heading, style="bold")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in _headers(found):
        table.add_column(plain(name), overflow="fold")
    table.add_column("cgroup", overflow="fold")
    for column in columns:
        left = column == "wait_others_ns"
        name = _NAMES.get(column, MEASURES[column].name)
        table.add_column(name, justify="left" if left else "right", no_wrap=not left)
    rows = _rows(found, ranked, shown, columns)
    for row in rows[:TOP_ROWS]:
        table.add_row(*(Text(plain(cell)) for cell in row))
    yield Padding(table, (0, 0, 0, 2), expand=False)
    if len(rows) > TOP_ROWS:
        yield indented(f"… and {len(rows) - TOP_ROWS:,} more rows: -o writes all")
    if len(cgroups) > len(shown):
        yield indented(
            f"{len(shown)} of {len(cgroups):,} cgroups: those that are stopped, then "
            "those whose p99 changes most; -o writes all"
        )


def _headers(found: "Sweep") -> list[str]:
    keys = [axis.label or axis.key for axis in found.axes]
    short = [key.rpartition("/")[2] for key in keys]
    # the first line names them in full
    return short if len(set(short)) == len(keys) else keys


def _columns(found: "Sweep", shown: Sequence[str]) -> list[str]:
    """Choose the measures: of memory and I/O paid only what differs or is there."""
    seen: dict[str, dict[str, set[Any]]] = {}
    for point in found.points:
        for row in point.rows():
            if row["cgroup"] in shown:
                for name in ("charged_bytes", "io_bytes"):
                    by_cgroup = seen.setdefault(name, {})
                    by_cgroup.setdefault(row["cgroup"], set()).add(row[name])
    names = ["kills", "errors"]
    if any(values - {0} for values in seen.get("charged_bytes", {}).values()):
        names.append("charged_bytes")
    if any(len(values) > 1 for values in seen.get("io_bytes", {}).values()):
        names.append("io_bytes")
    names += ["mean_ns", "p99_ns"]
    names += [name for name in kept_measures(found) if name not in (*names, *_ALWAYS)]
    return [*names, "wait_others_ns"]


def _rows(
    found: "Sweep",
    ranked: Sequence["Point"],
    shown: Sequence[str],
    columns: Sequence[str],
) -> list[list[str]]:
    """Make the rows; neighbours along a number that come to the same are one."""
    alike = len(found.axes) == 1 and bool(found.axes[0].numbers)
    groups: list[tuple[list[Point], list[list[str]]]] = []
    for point in ranked:
        cells = _cells(point, shown, columns)
        if alike and groups and groups[-1][1] == cells:
            groups[-1][0].append(point)
        else:
            groups.append(([point], cells))
    rows = []
    for points, lines in groups:
        first, last = _values(found, points[0]), _values(found, points[-1])
        if len(points) > 1:
            first = [f"{first[0]} to {last[0]} ({len(points)} points)"]
        empty = [""] * len(first)
        rows += [
            [*(first if at == 0 else empty), *cells] for at, cells in enumerate(lines)
        ]
    return rows


def _values(found: "Sweep", point: "Point") -> list[str]:
    return [
        value_text(axis, value, number, short=True)
        for axis, value, number in zip(
            found.axes, point.values, point.numbers, strict=True
        )
    ]


def _cells(
    point: "Point", shown: Sequence[str], columns: Sequence[str]
) -> list[list[str]]:
    """Return a line for each cgroup of a point."""
    by_name = {row["cgroup"]: row for row in point.rows()}
    if not by_name:
        return [["refused", *([""] * len(columns))]]
    behind: dict[str, list[str]] = {}
    for waiting, blocking, _ in point.waits:
        behind.setdefault(waiting, []).append(blocking)
    lines = []
    for name in shown:
        row = by_name.get(name)
        if row is None or (len(shown) > 1 and not any(row[one] for one in columns)):
            continue
        cells = [name]
        for column in columns:
            text = measure_text(MEASURES[column], row[column])
            if column == "wait_others_ns":
                text = _behind(text, row[column], behind.get(name, []))
            cells.append(text)
        lines.append(cells)
    return lines or [["nobody did anything", *([""] * len(columns))]]


def _behind(text: str, value: Any, whom: Sequence[str]) -> str:
    """Add behind whom, the longest first."""
    if not value:
        return "-"
    if not whom:
        return text
    return f"{text}, {'most ' if len(whom) > 1 else ''}behind {whom[0]}"
