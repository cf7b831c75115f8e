"""Pictures of times and sums that are compared: a base, and others beside it."""

from collections.abc import Sequence
from typing import Final

from replay.report.html.colours import TIME_COLOURS
from replay.report.html.drawing import NUMBER, Canvas, Picture, Spec
from replay.report.html.rows import Row

#: Colours of sides: the base is hollow, and what it is compared with is not.
_SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "cross")
#: Sides that a picture tells apart.
MOST_SIDES: Final = len(_SHAPES)


def times_picture(
    canvas: Canvas,
    values: Sequence[Row],
    *,
    title: str,
    note: str,
    table: str,
    sides: Sequence[str],
    by: str = "cgroup",
) -> Picture:
    """Draw p50 and p99 of each cgroup, a mark for each side, a line between them.

    Parameters
    ----------
    canvas : Canvas
    values : sequence of dict
        ``cgroup`` (or ``by``), ``side``, ``quantile`` (of `TIME_COLOURS`) and ``ms``,
        above 0.
    title, note, table : str
        As of `Picture`.
    sides : sequence of str
        The base first.
    by : str
        The column of which there is a line for each.

    Returns
    -------
    Picture
    """
    names = list(dict.fromkeys(row[by] for row in values))
    there = {row["quantile"] for row in values}
    quantiles = [name for name in TIME_COLOURS if name in there]
    y: Spec = {
        "field": by,
        "type": "nominal",
        "title": None,
        "sort": names,
        "axis": {"labelLimit": 180},
    }
    x: Spec = {
        "field": "ms",
        "type": "quantitative",
        "title": "time from arrival to completion (ms)",
        "scale": {"type": "log", "nice": True},
        "axis": {"format": NUMBER},
    }
    offset: Spec = {"field": "quantile", "type": "nominal", "sort": quantiles}
    line: Spec = {
        "transform": canvas.fits(by),
        "mark": {"type": "line", "color": "#9a9a9a"},
        "encoding": {
            "x": x,
            "y": y,
            "yOffset": offset,
            "detail": [{"field": by}, {"field": "quantile"}],
        },
    }
    point: Spec = {
        "transform": canvas.fits(by),
        "mark": {"type": "point", "filled": True, "size": 75, "opacity": 0.9},
        "encoding": {
            "x": x,
            "y": y,
            "yOffset": offset,
            "shape": {
                "field": "side",
                "type": "nominal",
                "title": None,
                "sort": list(sides),
                "scale": {"domain": list(sides), "range": list(_SHAPES[: len(sides)])},
                "legend": {"orient": "bottom", "columns": 3, "labelLimit": 240},
            },
            "color": {
                "field": "quantile",
                "type": "nominal",
                "title": None,
                "sort": quantiles,
                "scale": {
                    "domain": quantiles,
                    "range": [TIME_COLOURS[name] for name in quantiles],
                },
                "legend": {"orient": "bottom"},
            },
            "tooltip": [
                {"field": by},
                {"field": "side"},
                {"field": "quantile"},
                *([{"field": "of"}] if any("of" in row for row in values) else []),
                {"field": "ms", "format": ",.4~g"},
            ],
        },
    }
    return Picture(
        name="times",
        title=title,
        note=note,
        spec=canvas.spec(
            values, layer=[line, point], height={"step": 40, "for": "position"}
        ),
        table=table,
    )


def sums_picture(
    canvas: Canvas,
    values: Sequence[Row],
    *,
    name: str,
    title: str,
    unit: str,
    table: str,
    sides: Sequence[str],
) -> Picture:
    """Draw a sum of each cgroup as bars, one for each side.

    Parameters
    ----------
    canvas, title, table, sides
        As of `times_picture`.
    values : sequence of dict
        ``cgroup``, ``side`` and ``value``.
    name : str
        Of the picture.
    unit : str
        The axis's title.

    Returns
    -------
    Picture
    """
    whole = all(float(row["value"]).is_integer() for row in values)
    x: Spec = {"field": "value", "type": "quantitative", "title": unit}
    if whole:
        most = max(int(row["value"]) for row in values)
        x["axis"] = {"values": list(range(0, most + 1, max(1, -(-most // 6))))}
    return Picture(
        name=name,
        title=title,
        note="",
        spec=canvas.spec(
            values,
            transform=canvas.fits("cgroup"),
            height={"step": 34, "for": "position"},
            mark={"type": "bar", "tooltip": True},
            encoding={
                "y": {
                    "field": "cgroup",
                    "type": "nominal",
                    "title": None,
                    "sort": canvas.shown.names,
                    "axis": {"labelLimit": 180},
                },
                "yOffset": {"field": "side", "type": "nominal", "sort": list(sides)},
                "x": x,
                "color": {
                    "field": "side",
                    "type": "nominal",
                    "title": None,
                    "sort": list(sides),
                    "scale": {
                        "domain": list(sides),
                        "range": [
                            "#9a9a9a",
                            "#0072B2",
                            "#D55E00",
                            "#009E73",
                            "#CC79A7",
                        ][: len(sides)],
                    },
                    "legend": {"orient": "bottom", "columns": 3, "labelLimit": 240},
                },
            },
        ),
        table=table,
    )
