"""The page of a sweep: what every value of a key comes to, as steps."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from replay.common.text import count_text, size_text
from replay.report.html.drawing import (
    NUMBER,
    Canvas,
    Picture,
    Spec,
    ms_scale,
    number_text,
)
from replay.report.html.page import Content, PageTable, Told
from replay.report.html.rows import MOST_CGROUPS, Row, ShownCgroups
from replay.report.html.subjects.grid import heat_map
from replay.report.html.subjects.measured import PANELS, SHORT, UNITS, named
from replay.report.sweep import answer_text, point_notes, sweep_page
from replay.report.text import render_text
from replay.results.measures import COUNT, MEASURES, NS

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
            )
        ],
        pictures=drawn,
        tables=[
            PageTable(
                name="points",
                title="points",
                about="A row for each point, cgroup and operation ('all': of all).",
                table=found.table(),
                where="; all of them: replay sweep -o TABLE.parquet",
            )
        ],
        colours={name: canvas.colours[name] for name in canvas.shown.names},
        provenance={
            "keys and values": {axis.key: list(axis.values) for axis in found.axes}
        },
    )


def _pictures(found: "Sweep") -> tuple[list[Picture], Canvas]:
    axis = drawn_along(found)
    by_panel = {name: list(_rows(found, axis, name)) for name in PANELS}
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
    else:
        pictures = [
            _steps(found, axis, name, values, tops[name], canvas)
            if axis.numbers
            else _words(axis, name, values, tops[name], canvas)
            for name, values in by_panel.items()
        ]
    return pictures, canvas


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


def _cut(n_all: int) -> str:
    if n_all <= MOST_CGROUPS:
        return ""
    return f"{MOST_CGROUPS} of {n_all} cgroups: those that have most of it"


def _in_mib(axis: "Axis") -> bool:
    return axis.step > 1 or axis.label.endswith("bps")


def _x(axis: "Axis", number: float) -> float:
    return number / 2**20 if _in_mib(axis) else number


def _axis_title(axis: "Axis") -> str:
    if axis.step > 1:
        return f"{axis.label} (MiB)"
    return f"{axis.label} (MiB/s)" if _in_mib(axis) else axis.label


def _y(name: str, values: Sequence[Row]) -> Spec:
    """Describe a measure's axis: whole numbers of counts, a logarithm of times."""
    measure = MEASURES[name]
    unit, _ = UNITS[measure.unit]
    y: Spec = {
        "field": "value",
        "type": "quantitative",
        "title": f"{SHORT[name]} ({unit})" if unit else SHORT[name],
    }
    found = [row["value"] for row in values]
    if measure.unit == COUNT:
        most = round(max(found, default=1))
        ticks = range(0, most + 1, max(1, -(-most // 5)))
        y["axis"] = {"values": list(ticks), "format": ",d"}
        y["scale"] = {"domain": [0, max(most, 1)], "nice": False}
    elif measure.unit == NS:
        y |= ms_scale(found)
    return y


def _title(found: "Sweep", axis: "Axis", name: str, values: Sequence[Row]) -> str:
    """Say what the picture shows, with its least and most."""
    unit, _ = UNITS[MEASURES[name].unit]
    sums: Counter[str] = Counter()
    for row in values:
        sums[f"{row['at']}\n{row['others']}"] += row["value"]
    shown = [row["value"] for row in values if row["value"] is not None]
    if MEASURES[name].unit == COUNT:
        low, high = min(sums.values()), max(sums.values())
        spread = f"{low:,.0f} to {high:,.0f}" if low != high else f"{low:,.0f}"
    else:
        low, high = min(shown), max(shown)
        spread = f"{number_text(low)} to {number_text(high)} {unit}"
    return f"{named(name)}, by {axis.label or axis.key}: {spread}"


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
    encoding: Spec = {"x": x, "y": _y(name, drawn), "color": canvas.colour()}
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
        {"field": "value", "title": SHORT[name]},
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
    layers = [*_knees(found, axis, x), line, points]
    notes = [_cut(len(top))]
    if any(row["x"] is None for row in values):
        notes.append("values without a number ('max') stand in the table alone")
    if any(knee.holds is not None for knee in found.knees):
        notes.append("grey: between what breaks the condition and what keeps it")
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
    for knee in found.knees:
        held = numbers.get(knee.holds or "")
        broke = numbers.get(knee.breaks or "")
        if knee.key != axis.label or held is None or broke is None:
            continue
        where = "".join(f", {key} = {value}" for key, value in knee.others.items())
        shown = size_text(held) if isinstance(held, int) and _in_mib(axis) else held
        bands.append(
            {
                "from": _x(axis, min(held, broke)),
                "to": _x(axis, max(held, broke)),
                "x": _x(axis, held),
                "text": f"{' and '.join(knee.conditions)}: {shown}{where}",
            }
        )
    if not bands:
        return []
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
                "align": "left",
                "baseline": "top",
                "dx": 5,
                "y": 3,
                "color": "#7a7a7a",
            },
            "encoding": {"x": {**x, "field": "x"}, "text": {"field": "text"}},
        },
    ]


def _words(
    axis: "Axis",
    name: str,
    values: Sequence[Row],
    top: Sequence[str],
    canvas: Canvas,
) -> Picture:
    """Draw a dot for each cgroup under each word: policies, say."""
    drawn = [row for row in values if row["cgroup"] in top[:MOST_CGROUPS]]
    order = list(axis.values)
    x: Spec = {
        "field": "at",
        "type": "nominal",
        "title": axis.key,
        "sort": order,
        "axis": {"labelAngle": 0, "labelLimit": 160},
    }
    encoding: Spec = {
        "x": x,
        "y": _y(name, drawn),
        "color": canvas.colour(),
        "xOffset": {"field": "cgroup", "type": "nominal"},
        "tooltip": [
            {"field": "at", "title": axis.key},
            {"field": "cgroup"},
            {"field": "value", "title": SHORT[name]},
            {"field": "others"},
        ],
    }
    if len({row["others"] for row in drawn}) > 1:
        encoding["shape"] = {
            "field": "others",
            "type": "nominal",
            "title": None,
            "legend": {"orient": "top", "columns": 1, "labelLimit": 400},
        }
    return Picture(
        name=MEASURES[name].name,
        title=f"{named(name)}, by {axis.key}",
        note=_cut(len(top)),
        spec=canvas.spec(
            drawn,
            transform=canvas.fits("cgroup"),
            mark={"type": "point", "filled": True, "size": 70},
            encoding=encoding,
        ),
        table="points",
    )
