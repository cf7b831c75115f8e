"""Pictures of a sweep over words, such as policies: without order, without steps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from replay.common.text import time_text
from replay.report.html.colours import TIME_SHAPES
from replay.report.html.drawing import SCHEMA, SIGNALS, Canvas, Picture, Spec
from replay.report.html.rows import MOST_CGROUPS, Row
from replay.report.html.subjects.measured import (
    UNITS,
    changes_most,
    cut,
    measure_axis,
    named,
    short,
)
from replay.report.many.points import measure_text
from replay.results.measures import COUNT, MEASURES, NS

if TYPE_CHECKING:
    from replay.sweeps.axes import Axis
    from replay.sweeps.sweep import Sweep

#: Pairs of cgroups of whose waits there is a line.
_MOST_PAIRS: Final = 12
#: Different counts that a title tells.
_MOST_COUNTS: Final = 4
#: Times that stand beside each other; a mean alone says little.
_TIMES: Final = {"p50_ns": "p50", "mean_ns": "mean", "p99_ns": "p99"}


def word_pictures(
    found: "Sweep",
    axis: "Axis",
    by_panel: Mapping[str, Sequence[Row]],
    tops: Mapping[str, Sequence[str]],
    canvas: Canvas,
) -> list[Picture]:
    """Draw what each word comes to.

    Parameters
    ----------
    found : Sweep
    axis : Axis
        Its key.
    by_panel : mapping of str to sequence of dict
        Rows of each measure that has a picture.
    tops : mapping of str to sequence of str
        The cgroups that have most of it.
    canvas : Canvas

    Returns
    -------
    list of Picture
        Mean, p50 and p99 in one picture, and who waited behind whom.
    """
    single = len(found.axes) == 1
    drawn = []
    for name, values in by_panel.items():
        if single and name == "mean_ns":
            continue
        if single and name == "wait_others_ns":
            drawn += _waits(found, axis)
        elif single and name == "p99_ns":
            drawn.append(_times(found, axis, tops[name], canvas))
        else:
            drawn.append(_dots(axis, name, values, tops[name], canvas))
    return drawn


def _by_word(axis: "Axis") -> Spec:
    return {
        "field": "at",
        "type": "nominal",
        "title": axis.key,
        "sort": list(axis.values),
        "axis": {"labelAngle": 0, "labelLimit": 160},
    }


def _times(found: "Sweep", axis: "Axis", top: Sequence[str], canvas: Canvas) -> Picture:
    """Draw p50, mean and p99 of each cgroup under each word."""
    shown = top[:MOST_CGROUPS]
    values: list[Row] = [
        {
            "at": point.values[0],
            "cgroup": row["cgroup"],
            "time": label,
            "value": row[column] / UNITS[NS][1],
            "took": time_text(row[column]),
        }
        for point in found.points
        for row in point.rows()
        if row["cgroup"] in shown
        for column, label in _TIMES.items()
        if row[column] is not None
    ]
    y = measure_axis("p99_ns", values) | {"title": "time of a request (ms)"}
    return Picture(
        name="p99",
        title=_title(axis, "p99_ns", [row for row in values if row["time"] == "p99"]),
        note=cut(len(top)),
        spec=canvas.spec(
            values,
            transform=canvas.fits("cgroup"),
            mark={"type": "point", "filled": True, "size": 70},
            encoding={
                "x": _by_word(axis),
                "xOffset": {"field": "cgroup", "type": "nominal"},
                "y": y,
                "color": canvas.colour(),
                "shape": {
                    "field": "time",
                    "type": "nominal",
                    "title": None,
                    "sort": list(_TIMES.values()),
                    "scale": {
                        "domain": list(_TIMES.values()),
                        "range": [TIME_SHAPES[name] for name in _TIMES.values()],
                    },
                    "legend": {"orient": "top"},
                },
                "tooltip": [
                    {"field": "at", "title": axis.key},
                    {"field": "cgroup"},
                    {"field": "time"},
                    {"field": "took", "title": "of a request"},
                ],
            },
        ),
        table="points",
    )


def _title(axis: "Axis", name: str, values: Sequence[Row]) -> str:
    """Say whose measure differs most, and where it is least and most."""
    measure = MEASURES[name]
    factor = UNITS[measure.unit][1]
    if measure.unit == COUNT:
        return _counted(axis, name, values)
    ends = changes_most(values, name)
    if ends is None:
        return f"{named(name)}, by {axis.key}"
    cgroup = ends[0]["cgroup"]
    texts = {
        row["at"]: measure_text(measure, round(row["value"] * factor))
        for row in values
        if row["cgroup"] == cgroup
    }
    low, high = (texts[row["at"]] for row in ends)
    head = f"{named(name)}: of {cgroup} {low}"
    if low == high:
        return f"{head} under every {axis.key}"
    under = [", ".join(at for at in texts if texts[at] == end) for end in (low, high)]
    return f"{head} under {under[0]}; {high} under {under[1]}"


def _counted(axis: "Axis", name: str, values: Sequence[Row]) -> str:
    """Say how often under which words, all cgroups together."""
    if len({row.get("others") for row in values}) > 1:
        return f"{named(name)}, by {axis.key}"
    sums: Counter[str] = Counter()
    for row in values:
        sums[row["at"]] += row["value"]
    words: dict[float, list[str]] = {}
    for at, count in sorted(sums.items(), key=lambda one: -one[1]):
        words.setdefault(count, []).append(at)
    told = [
        f"{f'{count:,.0f}' if count else 'none'} under {', '.join(under)}"
        for count, under in list(words.items())[:_MOST_COUNTS]
    ]
    return f"{named(name)}: {'; '.join(told)}"


def _waits(found: "Sweep", axis: "Axis") -> list[Picture]:
    """Draw who waited behind which other cgroup under each word."""
    sums: Counter[tuple[str, str]] = Counter()
    by_point: list[tuple[str, dict[tuple[str, str], int]]] = []
    for point in found.points:
        if point.error is None:
            waits = {(a, b): ns for a, b, ns in point.waits}
            by_point.append((point.values[0], waits))
            for pair, ns in waits.items():
                sums[pair] = max(sums[pair], ns)
    pairs = [pair for pair, _ in sums.most_common(_MOST_PAIRS)]
    if not pairs:
        return []
    values: list[dict[str, Any]] = [
        {
            "at": at,
            "waiting": pair[0],
            "blocking": pair[1],
            "pair": f"{pair[0]} behind {pair[1]}",
            "wait_s": waits.get(pair, 0) / 1e9,
            "took": time_text(waits[pair]) if waits.get(pair) else "nothing",
        }
        for at, waits in by_point
        for pair in pairs
    ]
    first = {at: waits.get(pairs[0], 0) for at, waits in by_point}
    free = [at for at, ns in first.items() if not ns]
    most = max(first, key=lambda at: first[at])
    waiting, blocking = pairs[0]
    title = f"{waiting} waits {time_text(first[most])} behind {blocking} under {most}"
    if free:
        title += f", not at all under {', '.join(free)}"
    largest = max(row["wait_s"] for row in values)
    place: Spec = {
        "x": _by_word(axis),
        "y": {
            "field": "pair",
            "type": "nominal",
            "title": None,
            "sort": [f"{one} behind {other}" for one, other in pairs],
            "axis": {"labelLimit": 260},
        },
    }
    cells: Spec = {
        "mark": {"type": "rect", "tooltip": True},
        "encoding": {
            **place,
            "color": {
                "field": "wait_s",
                "type": "quantitative",
                "title": "s waited",
                "scale": {"scheme": "oranges", "type": "sqrt", "domainMin": 0},
            },
        },
    }
    text: Spec = {
        "mark": {"type": "text"},
        "encoding": {
            **place,
            "text": {"field": "took"},
            "color": {
                "condition": {
                    "test": f"datum.wait_s > {0.45 * largest}",
                    "value": "white",
                },
                "value": "#222",
            },
        },
    }
    note = "waits of all requests behind those of another cgroup, summed"
    if len(sums) > len(pairs):
        note += f"; {len(pairs)} of {len(sums)} pairs: those that wait longest"
    fits = (
        "picked === null || datum['waiting'] === picked || datum['blocking'] === picked"
    )
    return [
        Picture(
            name="wait_others",
            title=title,
            note=note,
            spec={
                "$schema": SCHEMA,
                "params": SIGNALS,
                "data": {"values": values},
                "transform": [{"filter": fits}],
                "width": "container",
                "height": {"step": 34},
                "layer": [cells, text],
            },
            table="points",
        )
    ]


def _dots(
    axis: "Axis",
    name: str,
    values: Sequence[Row],
    top: Sequence[str],
    canvas: Canvas,
) -> Picture:
    """Draw a dot for each cgroup under each word."""
    drawn = [row for row in values if row["cgroup"] in top[:MOST_CGROUPS]]
    encoding: Spec = {
        "x": _by_word(axis),
        "y": measure_axis(name, drawn),
        "color": canvas.colour(),
        "xOffset": {"field": "cgroup", "type": "nominal"},
        "tooltip": [
            {"field": "at", "title": axis.key},
            {"field": "cgroup"},
            {"field": "value", "title": short(name)},
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
        title=_title(axis, name, drawn),
        note=cut(len(top)),
        spec=canvas.spec(
            drawn,
            transform=canvas.fits("cgroup"),
            mark={"type": "point", "filled": True, "size": 70},
            encoding=encoding,
        ),
        table="points",
    )
