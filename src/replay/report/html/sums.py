"""Pictures of a whole run: who waits, how long, who pays."""

from typing import Final

from replay.common.text import share_text, time_text
from replay.report.html import rows
from replay.report.html.colours import GREY, TIME_SHAPES
from replay.report.html.drawing import NUMBER, SCHEMA, SIGNALS, Drawing, Picture, Spec

#: Waits of a cgroup behind itself: in a picture of who is in whose way they have no
#: colour of the scale, which they would use up.
_OWN: Final[Spec] = {"color": GREY, "opacity": 0.3}
_IS_OWN: Final = "datum.waiting === datum.blocking"


def waits(drawing: Drawing) -> Picture | None:
    """Draw who waited behind whom, and for what (seconds, summed)."""
    values = drawing.gather(rows.waits)
    if not values:
        return None
    most = max(values, key=lambda row: row["wait_s"])
    others = [row for row in values if row["waiting"] != row["blocking"]]
    if others:
        most = max(others, key=lambda row: row["wait_s"])
    behind = "itself" if most["waiting"] == most["blocking"] else most["blocking"]
    title = (
        f"{most['waiting']} waits {time_text(round(most['wait_s'] * 1e9))} behind "
        f"{behind}, for the {most['resource']}"
    )
    place = {"type": "nominal", "axis": {"labelLimit": 180, "labelAngle": 0}}
    base = {
        "x": {"field": "blocking", "title": "behind whom", **place},
        "y": {"field": "waiting", "title": "who waits", **place},
    }
    rect: Spec = {"type": "rect", "cursor": "pointer"}
    tooltip = [
        {"field": name, "type": kind, "title": title_}
        for name, kind, title_ in (
            ("waiting", "nominal", "who waits"),
            ("blocking", "nominal", "behind whom"),
            ("resource", "nominal", "for"),
            ("wait_s", "quantitative", "s"),
            ("count", "quantitative", "waits"),
        )
    ]
    largest = max((row["wait_s"] for row in others), default=0.0)
    layers: list[Spec] = []
    if others:
        layers.append(
            {
                "transform": [{"filter": f"!({_IS_OWN})"}],
                "mark": rect,
                "encoding": {
                    **base,
                    "color": {
                        "field": "wait_s",
                        "type": "quantitative",
                        "title": "s waited",
                        "scale": {
                            "scheme": "oranges",
                            "type": "sqrt",
                            "domain": [0, largest],
                        },
                    },
                    "tooltip": tooltip,
                },
            }
        )
    note = drawing.shown.cut
    if len(others) < len(values):
        layers.append(
            {
                "transform": [{"filter": _IS_OWN}],
                "mark": {**rect, **_OWN},
                "encoding": {**base, "tooltip": tooltip},
            }
        )
        own = "colours: behind others; grey: behind its own requests"
        note = f"{note}; {own}" if note else own
    # over a colour of the scale a text is white or dark; over grey it is the page's
    for filtered, colour in (
        (
            f"!({_IS_OWN})",
            {
                "color": {
                    "condition": {
                        "test": f"datum.wait_s > {0.45 * largest}",
                        "value": "white",
                    },
                    "value": "#222",
                }
            },
        ),
        (_IS_OWN, {}),
    ):
        layers.append(
            {
                "transform": [{"filter": filtered}],
                "mark": {"type": "text", "fontSize": 12},
                "encoding": {**base, "text": {"field": "took"}, **colour},
            }
        )
    panels = dict.fromkeys(
        (row["result"], row["resource"]) if drawing.several else row["resource"]
        for row in values
    )
    size = 60 * len({row["waiting"] for row in values})
    field = "resource"
    if drawing.several:
        field = "panel"
        values = [
            {**row, "panel": f"{row['result']}: {row['resource']}"} for row in values
        ]
    return Picture(
        name="waits",
        title=title,
        note=note,
        spec={
            "$schema": SCHEMA,
            "params": SIGNALS,
            "data": {"values": values},
            "transform": drawing.fits("waiting", "blocking"),
            "facet": {"field": field, "type": "nominal", "title": None},
            "columns": 1 if len(panels) == 1 else 2,
            "spec": {
                "width": 560 if len(panels) == 1 else 260,
                "height": max(90, min(420, size)),
                "layer": layers,
            },
        },
        table="interference",
    )


def latency(drawing: Drawing) -> Picture | None:
    """Draw the share of requests that take longer than a time."""
    values = drawing.gather(rows.distributions)
    if not values:
        return None
    marks = drawing.gather(rows.quantiles)
    quantiles = list(dict.fromkeys(row["quantile"] for row in marks))
    first = next(iter(drawing.results))
    slow = max(
        (row for row in marks if row["quantile"] == "p99" and row["count"] >= 100),
        key=lambda row: row["time_ms"],
        default=None,
    )
    title = "How long requests take"
    if slow is not None:
        which = f" of {slow['result']}" if drawing.several else ""
        title = (
            f"One request in 100 of {slow['cgroup']}{which} takes "
            f"{time_text(round(slow['time_ms'] * 1e6))} or longer"
        )
    x = {
        "field": "time_ms",
        "type": "quantitative",
        "title": "time from arrival to completion (ms)",
        "scale": {"type": "log", "nice": False},
        "axis": {"format": NUMBER},
    }
    y = {
        "field": "longer",
        "type": "quantitative",
        "title": "share of requests that take longer",
        "scale": {"type": "log", "domainMax": 1},
        "axis": {"format": NUMBER},
    }
    line: Spec = {
        "mark": {"type": "line", "interpolate": "step-after", "tooltip": True},
        "transform": drawing.fits("cgroup"),
        "encoding": {
            "x": x,
            "y": y,
            "color": drawing.colour(),
            **drawing.by_result(),
        },
    }
    point = {
        "data": {"values": marks},
        "transform": drawing.fits("cgroup"),
        "mark": {"type": "point", "filled": True, "size": 60, "tooltip": True},
        "encoding": {
            "x": x,
            "y": y,
            "color": drawing.colour(),
            "shape": {
                "field": "quantile",
                "type": "nominal",
                "title": None,
                "scale": {
                    "domain": quantiles,
                    "range": [TIME_SHAPES[name] for name in quantiles],
                },
                "legend": {"orient": "top"},
            },
        },
    }
    notes = [drawing.shown.cut] if drawing.shown.cut else []
    if drawing.several:
        notes.append(f"{first} is dashed")
    for name, result in drawing.results.items():
        of = f" of {name}" if drawing.several else ""
        notes += [
            f"{share_text(round(share * 1000), 1000)} of {cgroup}'s requests{of} "
            "take no time at all, which no device does"
            for cgroup, share in rows.timeless(result, drawing.shown).items()
            if share >= 0.01
        ]
    return Picture(
        name="latency",
        title=title,
        note="; ".join(notes),
        spec=drawing.spec(values, layer=[line, point]),
        table="latency",
    )


def stages(drawing: Drawing) -> Picture | None:
    """Draw where a mean request of each cgroup spends its time."""
    values = drawing.gather(rows.stage_means)
    if not values:
        return None
    waited = [row for row in values if row["stage"] != "device"] or values
    most = max(waited, key=lambda row: row["sum_s"])
    took = time_text(round(most["mean_ms"] * 1e6))
    return Picture(
        name="stages",
        title=f"A request of {most['cgroup']} spends {took} in {most['stage']}, in the "
        "mean",
        note="means; the picture above has p50 and p99",
        spec=drawing.spec(
            values,
            transform=drawing.fits("cgroup"),
            height={"step": 26},
            mark={"type": "bar", "tooltip": True},
            encoding={
                "y": {
                    "field": "cgroup",
                    "type": "nominal",
                    "title": None,
                    "sort": drawing.shown.names,
                    "axis": {"labelLimit": 180},
                },
                "x": {
                    "field": "mean_ms",
                    "type": "quantitative",
                    "title": "mean time of a request (ms), by stage",
                },
                "color": drawing.stage_colour(values),
                "order": {"field": "order"},
            },
        ),
        table="latency",
    )


def payers(drawing: Drawing) -> Picture | None:
    """Draw who pays for whose I/O; nothing where all pay for their own."""
    values = drawing.gather(rows.payers)
    foreign = [row for row in values if row["issuer"] != row["payer"]]
    if not foreign:
        return None
    most = max(foreign, key=lambda row: row["mib"] + row["memory_mib"])
    return Picture(
        name="payers",
        title=f"{most['payer']} pays for {most['issuer']}'s I/O",
        note=drawing.shown.cut,
        spec=drawing.spec(
            values,
            transform=drawing.fits("issuer", "payer"),
            height={"step": 26},
            mark={"type": "bar", "tooltip": True},
            encoding={
                "y": {
                    "field": "issuer",
                    "type": "nominal",
                    "title": "whose I/O",
                    "sort": drawing.shown.names,
                    "axis": {"labelLimit": 180},
                },
                "x": {
                    "field": "mib",
                    "type": "quantitative",
                    "title": "MiB of I/O, coloured by who pays",
                },
                "color": drawing.colour("payer", "who pays"),
                "tooltip": [
                    {"field": "issuer"},
                    {"field": "payer"},
                    {"field": "mib", "title": "MiB of I/O"},
                    {"field": "memory_mib", "title": "MiB of memory"},
                ],
            },
        ),
        table="charges",
    )
