"""The page of a dataset: traces and scenarios, and each trace's cgroups."""

from collections import Counter, defaultdict
from typing import Final

import pyarrow.compute as pc

from replay.common.text import count_text
from replay.dataset.read import Dataset
from replay.report.html.drawing import Canvas, Picture, Spec, number_text
from replay.report.html.page import Content, PageTable, Told
from replay.report.html.rows import Row, ShownCgroups
from replay.report.html.subjects.sides import MOST_SIDES, times_picture

#: Traces of a heat map, and rows of the picture behind it.
MOST_TRACES: Final = 60
MOST_SCENARIOS: Final = 24
MOST_TIMES: Final = 4000
_BUTTONS: Final = 24


def dataset_content(found: Dataset) -> Content:
    """Gather what the page of a dataset holds.

    Parameters
    ----------
    found : Dataset

    Returns
    -------
    Content
    """
    runs = found.runs
    rows = runs.to_pylist()
    notes = Counter(note for row in rows for note in set(row["notes"] or ()))
    drawn = _pictures(found)
    traces = list(dict.fromkeys(row["trace"] for row in rows))
    canvas = Canvas(ShownCgroups(traces, most=_BUTTONS))
    n_failed = sum(row["status"] != "ok" for row in rows)
    failed = f", {n_failed} failed" if n_failed else ""
    return Content(
        title=drawn[0].title
        if drawn
        else "The dataset holds no pair that was replayed",
        told=[
            Told(
                text=f"{count_text(len(rows), 'pair')} of "
                f"{count_text(len(traces), 'trace')} in {found.root.text}{failed}",
                notes=[
                    f"{note} ({count_text(n, 'pair')})"
                    for note, n in notes.most_common(8)
                ],
            )
        ],
        pictures=drawn,
        tables=[
            PageTable(
                name="runs",
                title="runs",
                about="A row for each pair.",
                table=runs.drop_columns(["notes"]),
                where="; all of them stand in the dataset's table 'runs'",
            )
        ],
        colours={name: canvas.colours[name] for name in canvas.shown.names},
        provenance={},
    )


def _pictures(found: Dataset) -> list[Picture]:
    """Draw pairs against the first scenario; then the trace that is picked there."""
    pairs = [row for row in found.runs.to_pylist() if row["status"] == "ok"]
    if not pairs:
        return []
    named = _scenario_names(pairs)
    times = _times(found, named)
    traces = list(dict.fromkeys(row["trace"] for row in pairs))
    sides = list(dict.fromkeys(named[row["trace"], row["scenario"]] for row in pairs))
    canvas = Canvas(ShownCgroups(traces, most=MOST_TRACES))
    drawn = [_map(pairs, named, times, canvas, sides)]
    told_apart = sides[:MOST_SIDES]
    values = [
        row
        for row in times
        if row["trace"] in canvas.shown.names and row["side"] in told_apart
    ]
    if values:
        cut = values[:MOST_TIMES]
        note = (
            "of each cgroup's main operation; pick a trace above: its cgroups alone "
            "are shown"
        )
        if len(cut) < len(values):
            note += f"; the first {len(cut):,} of {len(values):,} times"
        if len(told_apart) < len(sides):
            note += f"; the first {MOST_SIDES} of {len(sides)} scenarios"
        picture = times_picture(
            canvas,
            cut,
            title="Each trace's cgroups under each scenario",
            note=note,
            table="runs",
            sides=told_apart,
            by="who",
        )
        picture.spec["height"] = {"step": 24, "for": "position"}
        picture.spec["layer"] = [
            {**layer, "transform": canvas.fits("trace")}
            for layer in picture.spec["layer"]
        ]
        drawn.append(picture)
    return drawn


def _scenario_names(pairs: list[Row]) -> dict[tuple[str, str], str]:
    """Name scenarios by their policy, where each trace has scenarios of its own."""
    names = {row["scenario"] for row in pairs}
    policies = {row["policy"] for row in pairs}
    once = len({(row["trace"], row["policy"]) for row in pairs}) == len(pairs)
    if once and len(names) > len(policies) > 1:
        return {(row["trace"], row["scenario"]): row["policy"] for row in pairs}
    return {(row["trace"], row["scenario"]): row["scenario"] for row in pairs}


def _times(found: Dataset, named: dict[tuple[str, str], str]) -> list[Row]:
    """Return p50 and p99 of each pair's cgroups, of their main operation."""
    kind = ["device", "op"]
    rows = found.scan(
        "latency",
        columns=["trace", "scenario", "cgroup", *kind, "count", "p50_ns", "p99_ns"],
        chosen=pc.field("stage") == "total",
    ).to_pylist()
    counts: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        counts[row["trace"], row["cgroup"], row["device"], row["op"]] += row["count"]
    # the same one under every scenario: reads are not compared with writes
    main: dict[tuple[str, str], tuple[str, str]] = {}
    for (trace, cgroup, *of), _ in counts.most_common():
        main.setdefault((trace, cgroup), (of[0], of[1]))
    best = {
        (row["trace"], row["scenario"], row["cgroup"]): row
        for row in rows
        if main[row["trace"], row["cgroup"]] == (row["device"], row["op"])
    }
    return [
        {
            "trace": trace,
            "side": named[trace, scenario],
            "cgroup": cgroup,
            "who": f"{trace} {cgroup}",
            "of": f"{row['op']}s of {row['device']}",
            "quantile": label,
            "ms": row[column] / 1e6,
        }
        for (trace, scenario, cgroup), row in best.items()
        for label, column in (("p50", "p50_ns"), ("p99", "p99_ns"))
        if row[column] > 0 and (trace, scenario) in named
    ]


def _map(
    pairs: list[Row],
    named: dict[tuple[str, str], str],
    times: list[Row],
    canvas: Canvas,
    sides: list[str],
) -> Picture:
    worst: defaultdict[tuple[str, str], float] = defaultdict(float)
    for row in times:
        if row["quantile"] == "p99":
            key = (row["trace"], row["side"])
            worst[key] = max(worst[key], row["ms"])
    base = sides[0]
    cells: list[Row] = []
    for row in pairs:
        trace, side = row["trace"], named[row["trace"], row["scenario"]]
        if trace not in canvas.shown.names or side not in sides[:MOST_SCENARIOS]:
            continue
        mine, first = worst.get((trace, side)), worst.get((trace, base))
        signs = [
            *([f"† {row['kills']}"] if row["kills"] else []),
            *([f"✗ {row['failed']}"] if row["failed"] else []),
        ]
        cells.append(
            {
                "trace": trace,
                "scenario": side,
                "ratio": mine / first if mine and first else None,
                "p99_ms": mine,
                "kills": row["kills"],
                "failed": row["failed"],
                "text": " ".join(signs),
            }
        )
    drawn = [cell for cell in cells if cell["ratio"]]
    furthest = max([1.1, *(max(cell["ratio"], 1 / cell["ratio"]) for cell in drawn)])
    n_kills = sum(1 for cell in cells if cell["kills"])
    title = f"{count_text(n_kills, 'pair')} of {len(cells):,} with a kill"
    if drawn:
        top = max(drawn, key=lambda cell: max(cell["ratio"], 1 / cell["ratio"]))
        factor = number_text(max(top["ratio"], 1 / top["ratio"]))
        title = (
            f"{top['trace']}: p99 is {factor} times "
            f"{'longer' if top['ratio'] > 1 else 'shorter'} under {top['scenario']} "
            f"than under {base}; kills in {n_kills} of {len(cells):,} pairs"
        )
    place = {"type": "nominal", "axis": {"labelLimit": 200, "labelAngle": 0}}
    encoding: Spec = {
        "x": {"field": "scenario", "title": None, "sort": sides, **place},
        "y": {"field": "trace", "title": None, "sort": canvas.shown.names, **place},
    }
    tooltip = [
        {"field": name}
        for name in ("trace", "scenario", "p99_ms", "ratio", "kills", "failed")
    ]
    note = (
        f"colour: p99 of the slowest cgroup over that under {base}; † tasks killed, "
        "✗ requests that failed; a click picks a trace"
    )
    if canvas.shown.n_more:
        n_shown = len(canvas.shown.names)
        note += f"; {n_shown} of {n_shown + canvas.shown.n_more} traces"
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "cursor": "pointer"},
            "encoding": {
                **encoding,
                "tooltip": tooltip,
                "color": {
                    "field": "ratio",
                    "type": "quantitative",
                    "title": "times",
                    # as far to one side as to the other: a colour is a factor
                    "scale": {
                        "type": "log",
                        "scheme": "purpleorange",
                        "reverse": True,
                        "domain": [1 / furthest, furthest],
                    },
                },
            },
        },
        {
            "mark": {"type": "text", "fontSize": 12, "color": "#111"},
            "encoding": {**encoding, "text": {"field": "text"}},
        },
    ]
    return Picture(
        name="pairs",
        title=title,
        note=note,
        spec=canvas.spec(cells, layer=layers, height={"step": 24}),
        table="runs",
    )
