"""The picture of requests explained: the slowest of each cgroup, stage by stage."""

from replay.common.text import moment_text, time_text
from replay.report.explain import ExplainedRequest, explain
from replay.report.html.drawing import NUMBER, Drawing, Picture, Spec
from replay.report.html.rows import Row

#: Bars of the picture; 'replay why' tells more.
_MOST = 8


def slowest(drawing: Drawing) -> Picture | None:
    """Draw the slowest request of each cgroup as a bar of its stages."""
    values: list[Row] = []
    worst: tuple[int, str] = (0, "")
    for name, result in drawing.results.items():
        found = explain(result, most=_MOST).requests or []
        for request in found:
            values += [{"result": name, **row} for row in _bars(request)]
            waited = [one for one in request.stages if one.stage != "device"]
            most = max(waited, key=lambda one: one.time_ns, default=None)
            if most is not None and request.total_ns:
                text = (
                    f"The slowest request of {request.issuer} takes "
                    f"{time_text(request.total_ns)}, {time_text(most.time_ns)} of it "
                    f"{most.text}"
                )
                worst = max(worst, (most.time_ns, text))
    if not values:
        return None
    x: Spec = {
        "field": "from_ms",
        "type": "quantitative",
        "title": "time since its arrival (ms)",
        "axis": {"format": NUMBER},
    }
    return Picture(
        name="why",
        title=worst[1] or "The slowest request of each cgroup",
        note="the slowest request of each cgroup; hover for what each stage waited "
        "for, and what would have removed it; 'replay why' tells it in words",
        spec=drawing.spec(
            values,
            transform=drawing.fits("cgroup"),
            height={"step": 26},
            mark={"type": "bar"},
            encoding={
                "y": {
                    "field": "request",
                    "type": "nominal",
                    "title": None,
                    "sort": {"field": "total_ms", "order": "descending"},
                    "axis": {"labelLimit": 220},
                },
                "x": x,
                "x2": {"field": "to_ms"},
                "color": drawing.stage_colour(values),
                "tooltip": [
                    {"field": "what", "title": "request"},
                    {"field": "stage"},
                    {"field": "time_ms", "title": "ms"},
                    {"field": "why", "title": "waited"},
                    {"field": "remedy", "title": "without it"},
                ],
            },
        ),
        table="interference",
    )


def _bars(request: ExplainedRequest) -> list[Row]:
    found: list[Row] = []
    at = 0
    when = moment_text(request.arrival_ns or 0)
    for one in request.stages:
        found.append(
            {
                "cgroup": request.issuer,
                "request": f"{request.issuer} row {request.row}",
                "what": f"{request.op} of {request.nbytes:,} B at {when}",
                "stage": one.stage,
                "from_ms": at / 1e6,
                "to_ms": (at + one.time_ns) / 1e6,
                "time_ms": one.time_ns / 1e6,
                "total_ms": (request.total_ns or 0) / 1e6,
                "why": one.text,
                "remedy": "; ".join(request.remedies),
            }
        )
        at += one.time_ns
    return found
