"""A sweep of two keys: a heat map, with the frontier of what is kept."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from replay.report.html.drawing import Canvas, Picture, Spec
from replay.report.html.rows import Row
from replay.report.html.subjects.measured import UNITS, named
from replay.results.conditions import parse_condition
from replay.results.measures import MEASURES, NS

if TYPE_CHECKING:
    from replay.sweeps.sweep import Sweep


def heat_map(
    found: "Sweep", name: str, values: Sequence[Row], canvas: Canvas
) -> Iterator[Picture]:
    """Draw two keys: sums of counts, the worst of times; an outline where it holds.

    Parameters
    ----------
    found : Sweep
        Of two keys.
    name : str
        Column of a measure.
    values : sequence of dict
        ``values`` of a point, ``cgroup`` and ``value``.
    canvas : Canvas

    Yields
    ------
    Picture
        None where nothing was measured.
    """
    one, other = found.axes
    worst: dict[tuple[str, ...], Row] = {}
    times = MEASURES[name].unit == NS and name != "wait_others_ns"
    for row in values:
        known = worst.get(row["values"])
        if known is None:
            worst[row["values"]] = dict(row)
        elif times and row["value"] > known["value"]:
            known |= {"value": row["value"], "cgroup": row["cgroup"]}
        elif not times:
            known["value"] += row["value"]
            known["cgroup"] = "all"
    kept = _kept(found)
    cells = [
        {
            "x": point.values[0],
            "y": point.values[1],
            "value": worst[point.values]["value"],
            "of": worst[point.values]["cgroup"],
            "holds": kept.get(point.values),
        }
        for point in found.points
        if point.values in worst and not point.refined
    ]
    if not cells:
        return
    unit, _ = UNITS[MEASURES[name].unit]
    place = {"type": "ordinal", "axis": {"labelAngle": 0, "labelLimit": 140}}
    base: Spec = {
        "x": {"field": "x", "title": one.key, "sort": list(one.values), **place},
        "y": {
            "field": "y",
            "title": other.key,
            "sort": list(reversed(other.values))
            if other.numbers
            else list(other.values),
            **place,
        },
    }
    largest = max(cell["value"] for cell in cells) or 1
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "tooltip": True},
            "encoding": {
                **base,
                "color": {
                    "field": "value",
                    "type": "quantitative",
                    "title": unit or None,
                    "scale": {"scheme": "oranges", "type": "sqrt", "domainMin": 0},
                },
            },
        },
        {
            "mark": {"type": "text"},
            "encoding": {
                **base,
                "text": {"field": "value", "type": "quantitative", "format": ",.4~r"},
                "color": {
                    "condition": {
                        "test": f"datum.value > {0.45 * largest}",
                        "value": "white",
                    },
                    "value": "#222",
                },
            },
        },
    ]
    note = "sums over the cgroups" if not times else "of the slowest cgroup"
    if any(cell["holds"] for cell in cells) and not all(
        cell["holds"] for cell in cells
    ):
        conditions = " and ".join(found.knees[0].conditions)
        note += f"; outlined: {conditions} holds, so the frontier is the outline's edge"
        layers.insert(
            1,
            {
                "transform": [{"filter": "datum.holds"}],
                "mark": {
                    "type": "rect",
                    "filled": False,
                    "stroke": "#0072B2",
                    "strokeWidth": 3,
                },
                "encoding": base,
            },
        )
    yield Picture(
        name=MEASURES[name].name,
        title=f"{named(name)}{f' ({unit})' if unit else ''}, by two keys",
        note=note,
        spec=canvas.spec(cells, layer=layers, height={"step": 34}),
        table="points",
    )


def _kept(found: "Sweep") -> dict[tuple[str, ...], bool]:
    """Tell of each point whether it keeps the conditions."""
    if not found.knees:
        return {}
    conditions = [parse_condition(text) for text in found.knees[0].conditions]
    return {point.values: not point.broken(conditions) for point in found.points}
