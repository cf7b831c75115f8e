"""A picture of the workers: what each was at, and when it was idle."""

from typing import Final

import pyarrow.compute as pc

from replay.report.html.drawing import Drawing, Picture, time_axis
from replay.report.html.rows import Row, ShownCgroups
from replay.report.lanes import Served, has_lanes, lanes_of
from replay.results.result import Result
from replay.results.stored import parts_of

#: Commands of a picture, and workers that it has room for.
MOST_COMMANDS: Final = 3000
_MOST_WORKERS: Final = 24
#: So many commands are told apart by a border.
_BORDERED: Final = 300
_COLUMNS: Final = (
    *("row", "device", "op", "issuer", "worker"),
    *("start_ns", "completion_ns", "dispatch_ns"),
)


def lanes(drawing: Drawing) -> Picture | None:
    """Draw what each worker served, as slices of time coloured by issuer."""
    values: list[Row] = []
    notes = ["a gap: the worker is idle"]
    for name, result in drawing.results.items():
        rows, cut = _first_commands(result)
        served = lanes_of(rows)
        values += [{"result": name, **row} for row in _slices(served, drawing.shown)]
        if cut:
            notes.append(
                f"the first {MOST_COMMANDS:,} commands: 'replay export --to perfetto' "
                "has all"
            )
        if len(served) > _MOST_WORKERS:
            notes.append(f"{_MOST_WORKERS} of {len(served):,} workers")
    if not values:
        return None
    first = min(row["from_s"] for row in values)
    last = max(row["to_s"] for row in values)
    workers = len({(row["result"], row["worker"]) for row in values})
    busy = sum(row["to_s"] - row["from_s"] for row in values)
    share = busy / max(workers * (last - first), 1e-12)
    # commands of one cgroup that follow each other; of many a border would be all
    edge = {"stroke": "white", "strokeWidth": 1} if len(values) <= _BORDERED else {}
    return Picture(
        name="lanes",
        title=f"Workers are busy {share:.0%} of the time that is shown",
        note="; ".join(dict.fromkeys(notes)),
        spec=drawing.spec(
            values,
            transform=drawing.fits("cgroup", time="from_s"),
            height={"step": 22},
            mark={"type": "bar", "height": 16, **edge},
            encoding={
                "x": time_axis("from_s"),
                "x2": {"field": "to_s"},
                "y": {
                    "field": "worker",
                    "type": "nominal",
                    "title": None,
                    "sort": list(dict.fromkeys(row["worker"] for row in values)),
                },
                "color": drawing.colour(),
                "tooltip": [
                    {"field": name, "type": "nominal"}
                    for name in ("row", "op", "cgroup")
                ]
                + [
                    {"field": "from_s", "type": "quantitative", "format": ".6f"},
                    {"field": "to_s", "type": "quantitative", "format": ".6f"},
                ],
            },
        ),
        table="requests",
    )


def _first_commands(result: Result) -> tuple[list[Row], bool]:
    """Return the first commands of workers, and whether there are more."""
    rows: list[Row] = []
    if "requests" not in result.tables or not has_lanes(result):
        return rows, False
    for part in parts_of(result.tables, "requests", list(_COLUMNS)):
        served = part.filter(
            pc.and_(pc.is_valid(part["completion_ns"]), pc.is_valid(part["worker"]))
        )
        # rows come in order of completion, part by part
        rows += served.slice(0, MOST_COMMANDS + 1).to_pylist()
        if len(rows) > MOST_COMMANDS:
            return rows[:MOST_COMMANDS], True
    return rows, False


def _slices(
    served: dict[tuple[str, int], list[Served]], shown: ShownCgroups
) -> list[Row]:
    return [
        {
            "worker": f"worker {number} of {device}",
            "from_s": one.row["start_ns"] / 1e9,
            "to_s": one.end_ns / 1e9,
            "cgroup": shown(one.row["issuer"]),
            "op": one.row["op"],
            "row": one.row["row"],
        }
        for (device, number), commands in list(served.items())[:_MOST_WORKERS]
        for one in commands
    ]
