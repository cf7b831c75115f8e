"""The page of a dataset: traces and scenarios, and each trace's cgroups."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from replay.common.text import count_text
from replay.dataset.read import Dataset
from replay.report.html.drawing import Canvas, Picture, Spec
from replay.report.html.page import Content, PageTable, Told
from replay.report.html.rows import Row, ShownCgroups
from replay.report.html.subjects.sides import MOST_SIDES, times_picture
from replay.report.many.fleet import (
    CHANGED,
    Change,
    changes,
    main_times,
    ordered_sides,
    scenario_names,
)

#: Traces of a heat map, and rows of the picture behind it.
MOST_TRACES: Final = 60
MOST_SCENARIOS: Final = 24
MOST_TIMES: Final = 4000
_BUTTONS: Final = 24
_MOST_NOTES: Final = 20


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
    drawn, headline = _pictures(found)
    traces = list(dict.fromkeys(row["trace"] for row in rows))
    canvas = Canvas(ShownCgroups(traces, most=_BUTTONS))
    n_failed = sum(row["status"] != "ok" for row in rows)
    failed = f", {n_failed} failed" if n_failed else ""
    return Content(
        title=headline,
        told=[
            Told(
                text=f"{count_text(len(rows), 'pair')} of "
                f"{count_text(len(traces), 'trace')} in {found.root.text}{failed}",
                notes=[
                    f"{note} ({count_text(n, 'pair')})"
                    for note, n in notes.most_common(_MOST_NOTES)
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


def _pictures(found: Dataset) -> tuple[list[Picture], str]:
    """Draw pairs against the base; then the trace that is picked there."""
    pairs = [row for row in found.runs.to_pylist() if row["status"] == "ok"]
    if not pairs:
        return [], "The dataset holds no pair that was replayed"
    named = scenario_names(pairs)
    main = main_times(found, named)
    times = _drawn(main)
    traces = list(dict.fromkeys(row["trace"] for row in pairs))
    sides = ordered_sides(found, pairs, named)
    canvas = Canvas(ShownCgroups(traces, most=MOST_TRACES))
    # a base alone changes nothing
    drawn = [_map(pairs, named, main, canvas, sides)] if len(sides) > 1 else []
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
    return drawn, _headline(pairs, changes(pairs, named, main, sides))


def _drawn(times: Iterable[Row]) -> list[Row]:
    """Lay times out for the picture of a trace's cgroups."""
    return [
        {
            "trace": row["trace"],
            "side": row["side"],
            "cgroup": row["cgroup"],
            "who": f"{row['trace']} {row['cgroup']}",
            "of": f"{row['op']}s of {row['device']}",
            "quantile": label,
            "ms": row[column] / 1e6,
        }
        for row in times
        for label, column in (("p50", "p50_ns"), ("p99", "p99_ns"))
        if row[column] > 0
    ]


def _headline(pairs: list[Row], told: list[Change]) -> str:
    """Say of the scenario that changes most how many cgroups it does, and how."""
    if not told:
        n_kills = sum(1 for row in pairs if row["kills"])
        return f"{count_text(n_kills, 'pair')} of {len(pairs):,} with a kill"
    most = max(told, key=lambda one: one.n_changed)
    text = most.text()
    if len(told) > 1:
        text += f" ({len(told) - 1} more scenarios below)"
    return text[0].upper() + text[1:]


def _instead(before: int | None, here: int) -> str:
    """Say a number, and which one it was under the base if that was another."""
    return f"{here:,}" if before in (None, here) else f"{before:,} → {here:,}"


def _map(
    pairs: list[Row],
    named: dict[tuple[str, str], str],
    times: list[Row],
    canvas: Canvas,
    sides: list[str],
) -> Picture:
    p99: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for row in times:
        if row["p99_ns"]:
            p99[row["trace"], row["side"]][row["cgroup"]] = row["p99_ns"]
    base, *others = sides
    others = others[: MOST_SCENARIOS - 1]
    cells: list[Row] = []
    at_base = {
        row["trace"]: row
        for row in pairs
        if named[row["trace"], row["scenario"]] == base
    }
    for row in pairs:
        trace, side = row["trace"], named[row["trace"], row["scenario"]]
        if trace not in canvas.shown.names or side not in others:
            continue
        mine, first = p99[trace, side], p99[trace, base]
        ratios = {name: mine[name] / first[name] for name in mine if name in first}
        most = max(
            ratios,
            key=lambda name: (max(ratios[name], 1 / ratios[name]), name),
            default=None,
        )
        changed = sum(max(ratio, 1 / ratio) > CHANGED for ratio in ratios.values())
        before = at_base.get(trace, {})
        signs = [
            f"{sign} {_instead(before.get(what), row[what])}"
            for sign, what in (("†", "kills"), ("✗", "failed"))
            if row[what] or before.get(what)
        ]
        cells.append(
            {
                "trace": trace,
                "scenario": side,
                "ratio": None if most is None else ratios[most],
                # not "cgroup": a click is to pick the trace
                "changes_most": most,
                "p99_ms": None if most is None else mine[most] / 1e6,
                "base_ms": None if most is None else first[most] / 1e6,
                "changed": f"{changed} of {len(ratios)}",
                "kills": row["kills"],
                "failed": row["failed"],
                "base_kills": before.get("kills"),
                "base_failed": before.get("failed"),
                "text": " ".join(signs),
            }
        )
    drawn = [cell for cell in cells if cell["ratio"]]
    furthest = max([1.1, *(max(cell["ratio"], 1 / cell["ratio"]) for cell in drawn)])
    title = f"Of each trace the cgroup whose p99 changes most, against {base}"
    place = {"type": "nominal", "axis": {"labelLimit": 200, "labelAngle": 0}}
    encoding: Spec = {
        "x": {"field": "scenario", "title": None, "sort": others, **place},
        "y": {"field": "trace", "title": None, "sort": canvas.shown.names, **place},
    }
    tooltip = [
        {"field": name, "title": title_}
        for name, title_ in (
            ("trace", "trace"),
            ("scenario", "scenario"),
            ("changed", "cgroups whose p99 changes"),
            ("changes_most", "most that of"),
            ("ratio", "times"),
            ("p99_ms", "p99 (ms)"),
            ("base_ms", f"under {base} (ms)"),
            ("kills", "kills"),
            ("base_kills", f"kills under {base}"),
            ("failed", "requests that fail"),
            ("base_failed", f"requests that fail under {base}"),
        )
    ]
    note = (
        f"colour: p99 over that under {base}, of the cgroup whose changes most; "
        f"† tasks killed, ✗ requests that failed, under {base} → here; a click picks a "
        "trace"
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
