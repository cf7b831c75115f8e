"""The page of a sweep: what every value of a key comes to, as steps."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from replay.common.text import count_text
from replay.report.html.drawing import (
    NUMBER,
    Canvas,
    Picture,
    Spec,
)
from replay.report.html.page import Content, PageTable, Told
from replay.report.html.rows import MOST_CGROUPS, Row, ShownCgroups
from replay.report.html.subjects.grid import heat_map
from replay.report.html.subjects.measured import (
    PANELS,
    UNITS,
    changes_most,
    cut,
    measure_axis,
    named,
    short,
)
from replay.report.html.subjects.words import word_pictures
from replay.report.many.kernels import kernel_steps, rules_table
from replay.report.many.points import (
    kept_conditions,
    kept_measures,
    measure_text,
)
from replay.report.sweep import answer_text, knee_value, point_notes, sweep_page
from replay.report.text import render_text
from replay.results.measures import COUNT, MEASURES

if TYPE_CHECKING:
    from replay.sweeps.axes import Axis
    from replay.sweeps.sweep import Sweep

#: Values further apart than this factor are drawn on a logarithmic axis.
_WIDE: Final = 8


def sweep_content(found: "Sweep") -> Content:
    """Gather what the page of a sweep holds.

    Parameters
    ----------
    found : Sweep

    Returns
    -------
    Content
    """
    drawn, canvas = _pictures(found)
    steps = kernel_steps(found)
    rules = []
    if steps:
        rules.append(
            PageTable(
                name="rules",
                title="rules",
                about="Rules that differ between neighbours and can act here.",
                table=rules_table(steps),
            )
        )
    keys = ", ".join(axis.key for axis in found.axes)
    told = f"{count_text(len(found.points), 'point')} of {keys}"
    if found.trace:
        told += f": {found.trace} under {found.scenario or 'the default scenario'}"
    return Content(
        title=answer_text(found),
        told=[
            Told(
                text=told,
                notes=point_notes(found),
                words=render_text(sweep_page(found), width=100),
            ),
            *(
                Told(
                    text=step.text(),
                    words="\n".join(step.rule_lines()),
                    label="Which rules",
                )
                for step in steps
            ),
        ],
        pictures=drawn,
        tables=[
            PageTable(
                name="points",
                title="points",
                about="A row for each point, cgroup and operation ('all': of all).",
                table=found.table(),
                where="; all of them: replay sweep -o TABLE.parquet",
            ),
            *rules,
        ],
        colours={name: canvas.colours[name] for name in canvas.shown.names},
        provenance={
            "keys and values": {axis.key: list(axis.values) for axis in found.axes}
        },
    )


def _pictures(found: "Sweep") -> tuple[list[Picture], Canvas]:
    axis = drawn_along(found)
    panels = dict.fromkeys((*PANELS, *kept_measures(found)))
    by_panel = {name: list(_rows(found, axis, name)) for name in panels}
    by_panel = {
        name: values
        for name, values in by_panel.items()
        if any(row["value"] for row in values)
    }
    tops = {name: _largest(values) for name, values in by_panel.items()}
    # the first of each panel, then the second of each: all of them have a colour
    names = dict.fromkeys(
        top[i] for i in range(MOST_CGROUPS) for top in tops.values() if i < len(top)
    )
    canvas = Canvas(ShownCgroups(list(names), most=len(names)))
    if _is_grid(found):
        pictures = [
            picture
            for name in by_panel
            for picture in heat_map(found, name, by_panel[name], canvas)
        ]
    elif not axis.numbers:
        pictures = word_pictures(found, axis, by_panel, tops, canvas)
    else:
        pictures = [
            _steps(found, axis, name, values, tops[name], canvas)
            for name, values in by_panel.items()
        ]
    return _asked_first(found, pictures), canvas


def _asked_first(found: "Sweep", pictures: list[Picture]) -> list[Picture]:
    """Put the picture of what is to be kept first."""
    asked = {MEASURES[column].name for column in kept_measures(found)}
    return sorted(pictures, key=lambda one: one.name not in asked)


def drawn_along(found: "Sweep") -> "Axis":
    """Return the key whose values are drawn: the one along which a knee was sought."""
    searched = {knee.key for knee in found.knees}
    numeric = [axis for axis in found.axes if axis.numbers]
    for axis in numeric:
        if axis.label in searched:
            return axis
    return numeric[0] if numeric else found.axes[0]


def _is_grid(found: "Sweep") -> bool:
    """Return True if two keys have every combination of several values each."""
    if len(found.axes) != 2:
        return False
    places = {point.values for point in found.points if not point.refined}
    sizes = [len({values[at] for values in places}) for at in (0, 1)]
    return min(sizes) > 1 and len(places) == sizes[0] * sizes[1]


def _rows(found: "Sweep", axis: "Axis", name: str) -> Iterator[Row]:
    """Lay one measure out, in the units of the picture's axes."""
    place = found.axes.index(axis)
    factor = UNITS[MEASURES[name].unit][1]
    for point in found.points:
        number = point.numbers[place] if axis.numbers else None
        others = ", ".join(
            f"{one.key} = {value}"
            for at, (one, value) in enumerate(
                zip(found.axes, point.values, strict=True)
            )
            if at != place
        )
        for row in point.rows():
            value: Any = row[name]
            if value is None:
                continue
            yield {
                "x": None if number is None else _x(axis, number),
                "at": point.values[place],
                "values": point.values,
                "others": others,
                "cgroup": row["cgroup"],
                "value": value / factor,
            }


def _largest(values: Sequence[Row]) -> list[str]:
    """Return the cgroups that have most of a measure, those with any."""
    most: Counter[str] = Counter()
    for row in values:
        most[row["cgroup"]] = max(most[row["cgroup"]], row["value"])
    return [name for name, value in most.most_common() if value]


def _in_mib(axis: "Axis") -> bool:
    return axis.step > 1 or axis.label.endswith("bps")


def _x(axis: "Axis", number: float) -> float:
    return number / 2**20 if _in_mib(axis) else number


def _axis_title(axis: "Axis") -> str:
    if axis.step > 1:
        return f"{axis.label} (MiB)"
    return f"{axis.label} (MiB/s)" if _in_mib(axis) else axis.label


def _title(found: "Sweep", axis: "Axis", name: str, values: Sequence[Row]) -> str:
    """Say whose measure changes how, along the values; of counts their sums."""
    measure = MEASURES[name]
    _, factor = UNITS[measure.unit]
    by = axis.label or axis.key
    if measure.unit == COUNT:
        sums: Counter[str] = Counter()
        for row in values:
            sums[f"{row['at']}\n{row['others']}"] += row["value"]
        low, high = min(sums.values()), max(sums.values())
        spread = f"{low:,.0f} to {high:,.0f}" if low != high else f"{low:,.0f}"
        return f"{named(name)}, by {by}: {spread}"
    asked = {
        condition.cgroup
        for condition in kept_conditions(found)
        if condition.measure.column == name
    }
    ends = changes_most(values, name, asked)
    assert ends is not None, "a panel without rows is not drawn"
    least, most = (measure_text(measure, round(row["value"] * factor)) for row in ends)
    spread = least if least == most else f"{least} to {most}"
    return f"{named(name)}, by {by}: of {ends[0]['cgroup']} {spread}"


def _bounds(found: "Sweep", name: str, y: Spec) -> list[Spec]:
    """Draw a line at the value that a condition on this measure names."""
    values = [
        {
            "value": float(condition.value) / UNITS[condition.measure.unit][1],
            "text": condition.text,
        }
        for condition in kept_conditions(found)
        if condition.measure.column == name
    ]
    if not values:
        return []
    data: Spec = {"data": {"values": values}}
    red = "#b00020"
    return [
        {
            **data,
            "mark": {"type": "rule", "color": red, "strokeDash": [6, 3]},
            "encoding": {"y": y, "tooltip": [{"field": "text", "title": "to keep"}]},
        },
        {
            **data,
            "mark": {
                **{"type": "text", "align": "left", "baseline": "bottom"},
                **{"x": 6, "dy": -3, "color": red},
            },
            "encoding": {"y": y, "text": {"field": "text"}},
        },
    ]


def _steps(
    found: "Sweep",
    axis: "Axis",
    name: str,
    values: Sequence[Row],
    top: Sequence[str],
    canvas: Canvas,
) -> Picture:
    """Draw steps: an outcome holds until the next value that was looked at."""
    drawn = [
        row
        for row in values
        if row["x"] is not None and row["cgroup"] in top[:MOST_CGROUPS]
    ]
    numbers = [row["x"] for row in drawn] or [1]
    wide = min(numbers) > 0 and max(numbers) / min(numbers) > _WIDE
    x: Spec = {
        "field": "x",
        "type": "quantitative",
        "title": _axis_title(axis),
        "scale": {"type": "log" if wide else "linear", "nice": False, "zero": False},
        "axis": {"format": NUMBER},
    }
    several = len({row["others"] for row in drawn}) > 1
    y = measure_axis(name, drawn)
    encoding: Spec = {"x": x, "y": y, "color": canvas.colour()}
    if several:
        encoding["strokeDash"] = {
            "field": "others",
            "type": "nominal",
            "title": None,
            "legend": {"orient": "top", "columns": 1, "labelLimit": 400},
        }
    tooltip = [
        {"field": "at", "title": axis.key},
        {"field": "cgroup"},
        {"field": "value", "title": short(name)},
        *([{"field": "others"}] if several else []),
    ]
    line: Spec = {
        "transform": canvas.fits("cgroup"),
        "mark": {"type": "line", "interpolate": "step-after"},
        "encoding": encoding,
    }
    points: Spec = {
        "transform": canvas.fits("cgroup"),
        "mark": {"type": "point", "filled": True, "size": 35},
        "encoding": {
            **{key: one for key, one in encoding.items() if key != "strokeDash"},
            "tooltip": tooltip,
        },
    }
    layers = [*_knees(found, axis, x), *_bounds(found, name, y), line, points]
    notes = [cut(len(top))]
    if any(row["x"] is None for row in values):
        notes.append("values without a number ('max') stand in the table alone")
    if any(knee.holds is not None for knee in found.knees):
        notes.append("grey: between what breaks the condition and what keeps it")
    if any(one.measure.column == name for one in kept_conditions(found)):
        notes.append("red, dashed: what is to be kept")
    return Picture(
        name=MEASURES[name].name,
        title=_title(found, axis, name, values),
        note="; ".join(note for note in notes if note),
        spec=canvas.spec(drawn, layer=layers),
        table="points",
    )


def _knees(found: "Sweep", axis: "Axis", x: Spec) -> list[Spec]:
    """Draw a band between the values of which one breaks and one keeps a condition."""
    place = found.axes.index(axis)
    numbers = {
        point.values[place]: point.numbers[place]
        for point in found.points
        if axis.numbers
    }
    bands = []
    helds = []
    for knee in found.knees:
        held = numbers.get(knee.holds or "")
        broke = numbers.get(knee.breaks or "")
        if knee.key != axis.label or held is None or broke is None:
            continue
        where = "".join(f", {key} = {value}" for key, value in knee.others.items())
        which = "smallest" if knee.smallest else "largest"
        shown = knee_value(found, knee, knee.holds or "")
        helds.append(held)
        bands.append(
            {
                "from": _x(axis, min(held, broke)),
                "to": _x(axis, max(held, broke)),
                "x": _x(axis, held),
                "text": f"{which} that keeps {' and '.join(knee.conditions)}: "
                f"{shown}{where}",
            }
        )
    if not bands:
        return []
    # the words stand where there is room for them
    middle = _middle([number for number in numbers.values() if number is not None])
    left = all(held <= middle for held in helds)
    text = [{"field": "text", "title": "the condition holds to here, or from here"}]
    return [
        {
            "data": {"values": bands},
            "mark": {"type": "rect", "color": "#9a9a9a", "opacity": 0.45},
            "encoding": {
                "x": {**x, "field": "from"},
                "x2": {"field": "to"},
                "tooltip": text,
            },
        },
        {
            "data": {"values": bands},
            "mark": {"type": "rule", "color": "#7a7a7a", "strokeDash": [4, 3]},
            "encoding": {"x": {**x, "field": "x"}, "tooltip": text},
        },
        {
            "data": {"values": bands},
            "mark": {
                "type": "text",
                "align": "left" if left else "right",
                "baseline": "top",
                "dx": 5 if left else -5,
                "y": 3,
                "color": "#7a7a7a",
            },
            "encoding": {"x": {**x, "field": "x"}, "text": {"field": "text"}},
        },
    ]


def _middle(numbers: Sequence[float]) -> float:
    """Return the number in the middle of an axis."""
    low, high = min(numbers), max(numbers)
    wide = low > 0 and high / low > _WIDE
    return math.sqrt(low * high) if wide else (low + high) / 2
