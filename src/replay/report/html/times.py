"""Pictures over time: memory, waits, requests, throughput."""

from typing import Any

from replay.report.html import rows
from replay.report.html.drawing import (
    NUMBER,
    SIGNALS,
    Drawing,
    Picture,
    ms_scale,
    number_text,
    time_axis,
)


def memory(drawing: Drawing) -> Picture | None:
    """Draw memory in use over time, with limits and kills."""
    values, limits, marks = [], [], []
    for name, result in drawing.results.items():
        values += [{"result": name, **row} for row in drawing.sums(name)]
        limits += [
            {"result": name, **row}
            for row in rows.memory_limits(result.info, drawing.shown.names)
        ]
        marks += [{"result": name, **row} for row in rows.kills(result)]
    most = max((row["mib"] for row in values), default=0)
    if not most:
        return None
    # a line along the axis says nothing
    used = {row["cgroup"] for row in values if row["mib"] >= most / 100}
    values = [row for row in values if row["cgroup"] in used]
    title = "Memory in use"
    if marks:
        first = marks[0]
        title = (
            f"{first['task']} in {first['cgroup']} is killed at "
            f"{first['time_s']:.2f} s, at the limit of {first['limit']}"
        )
    x = time_axis("start_s")
    y = {"type": "quantitative", "title": "memory in use (MiB)"}
    line = {
        "mark": {"type": "line", "interpolate": "step-after", "tooltip": True},
        "transform": drawing.fits("cgroup", time="start_s"),
        "encoding": {
            "x": x,
            "y": {"field": "mib", **y},
            "color": drawing.colour(),
            **drawing.by_result(),
        },
    }
    rule = {
        "data": {"values": limits},
        "transform": drawing.fits("cgroup"),
        "mark": {"type": "rule", "strokeDash": [2, 3], "tooltip": True},
        "encoding": {"y": {"field": "mib", **y}, "color": drawing.colour()},
    }
    label = {
        "data": {"values": limits},
        "transform": drawing.fits("cgroup"),
        "mark": {"type": "text", "align": "left", "dy": -6, "x": 4},
        "encoding": {
            "y": {"field": "mib", **y},
            "text": {"field": "limit"},
            "color": drawing.colour(),
        },
    }
    kill = {
        "data": {"values": marks},
        "transform": drawing.fits("cgroup", time="time_s"),
        "mark": {"type": "rule", "color": "#C00000", "strokeWidth": 2},
        "encoding": {
            "x": {**x, "field": "time_s"},
            "tooltip": [{"field": "task"}, {"field": "cgroup"}, {"field": "mib"}],
        },
    }
    layers = [line, *([rule, label] if limits else []), *([kill] if marks else [])]
    return Picture(
        name="memory",
        title=title,
        note="; ".join(
            note
            for note in (
                drawing.shown.cut,
                "red: a kill" if marks else "",
                f"{next(iter(drawing.results))} is dashed" if drawing.several else "",
            )
            if note
        ),
        spec=drawing.spec(values, layer=layers),
        table="timeline",
    )


def over_time(drawing: Drawing) -> Picture | None:
    """Draw time waited in each interval, stacked by stage; a brush picks times."""
    values = []
    for name in drawing.results:
        values += [{"result": name, **row} for row in drawing.stages(name)]
    if not values:
        return None
    spec = drawing.spec(
        values,
        transform=drawing.fits("cgroup"),
        # a space between would be wider than a bar on a phone
        mark={"type": "bar", "tooltip": True, "binSpacing": 0},
        encoding={
            "x": time_axis("start_s", bin={"binned": True}),
            "x2": {"field": "end_s"},
            "y": {
                "field": "wait_ms",
                "type": "quantitative",
                "aggregate": "sum",
                "title": "ms of its requests, by stage",
            },
            "color": drawing.stage_colour(values),
            "order": {"field": "order"},
        },
    )
    spec["params"] = [
        *SIGNALS,
        {"name": "brush", "select": {"type": "interval", "encodings": ["x"]}},
    ]
    return Picture(
        name="time",
        title="When requests waited",
        note="drag over a stretch of time to see only it in the other pictures; "
        "what a request waited is booked where it completes",
        spec=spec,
        table="timeline",
    )


def requests(drawing: Drawing) -> Picture | None:
    """Draw each request's latency at its arrival; many as a heat map."""
    points, cells = [], []
    for name, result in drawing.results.items():
        some, many = rows.request_points(result, drawing.shown)
        points += [{"result": name, **row} for row in some]
        cells += [{"result": name, **row} for row in many]
    if not points and not cells:
        return None
    y: dict[str, Any] = {
        "type": "quantitative",
        "title": "latency (ms)",
        "axis": {"format": NUMBER},
    }
    if cells:
        return Picture(
            name="requests",
            title="Latency over time",
            note="colour: requests; those that take no time lie at the bottom",
            spec=drawing.spec(
                [
                    {
                        **row,
                        "low_ms": max(row["low_ms"], 1e-5),
                        "high_ms": max(row["high_ms"], 1.8e-5),
                    }
                    for row in cells
                ],
                transform=drawing.fits("cgroup", time="from_s"),
                mark={"type": "rect", "tooltip": True},
                encoding={
                    "x": time_axis("from_s", "arrival,"),
                    "x2": {"field": "to_s"},
                    "y": {"field": "low_ms", "scale": {"type": "log"}, **y},
                    "y2": {"field": "high_ms"},
                    "color": {
                        "field": "count",
                        "type": "quantitative",
                        "aggregate": "sum",
                        "scale": {"type": "log", "scheme": "viridis"},
                    },
                },
            ),
            table="requests",
        )
    y |= ms_scale(row["ms"] for row in points)
    return Picture(
        name="requests",
        title="Each request's latency",
        note=drawing.shown.cut,
        spec=drawing.spec(
            points,
            transform=drawing.fits("cgroup", time="at_s"),
            mark={"type": "point", "filled": True, "size": 9, "opacity": 0.5},
            encoding={
                "x": time_axis("at_s", "arrival,"),
                "y": {"field": "ms", **y},
                "color": drawing.colour(),
                "tooltip": [
                    {"field": "cgroup"},
                    {"field": "ms", "title": "latency (ms)"},
                    {"field": "most", "title": "most of it in"},
                    {"field": "row", "title": "row of the trace"},
                ],
            },
        ),
        table="requests",
    )


def throughput(drawing: Drawing) -> Picture | None:
    """Draw MiB/s of I/O over time, by who pays, under the limits that hold it."""
    values, limits = [], []
    for name, result in drawing.results.items():
        values += [
            {"result": name, **row} for row in drawing.sums(name) if row["mib_s"]
        ]
        limits += [
            {"result": name, **row}
            for row in rows.io_limits(result.info, drawing.shown.names)
        ]
    if not values:
        return None
    top = max(values, key=lambda row: float(row["mib_s"]))
    y = {
        "field": "mib_s",
        "type": "quantitative",
        "title": "MiB/s read and written, by who pays",
    }
    line: dict[str, Any] = {
        "transform": drawing.fits("cgroup", time="start_s"),
        "mark": {"type": "line", "interpolate": "step-after", "tooltip": True},
        "encoding": {
            "x": time_axis("start_s"),
            "y": y,
            "color": drawing.colour(),
        },
    }
    rule: dict[str, Any] = {
        "data": {"values": limits},
        "transform": drawing.fits("cgroup"),
        "mark": {"type": "rule", "strokeDash": [2, 3], "tooltip": True},
        "encoding": {"y": y, "color": drawing.colour()},
    }
    if limits:
        line["encoding"] |= drawing.by_result()
        spec = drawing.spec(values, layer=[line, rule])
    else:
        spec = drawing.spec(values, **line)
    notes = [drawing.shown.cut, "dotted: io.max" if limits else ""]
    return Picture(
        name="throughput",
        title=f"I/O over time: up to {number_text(top['mib_s'])} MiB/s, paid by "
        f"{top['cgroup']}",
        note="; ".join(note for note in notes if note),
        spec=spec,
        table="timeline",
    )
