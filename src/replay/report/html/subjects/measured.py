"""How the measures of a sweep are drawn: names, units."""

from collections.abc import Collection, Sequence
from typing import Final

from replay.report.html.drawing import Spec, ms_scale
from replay.report.html.rows import MOST_CGROUPS, Row
from replay.results.measures import BYTES, COUNT, MEASURES, NS

#: Measures that have a picture, if any cgroup has some of them.
PANELS: Final = (
    *("kills", "errors", "p99_ns", "mean_ns", "wait_others_ns", "charged_bytes"),
)
UNITS: Final = {NS: ("ms", 1e6), BYTES: ("MiB", 2**20), COUNT: ("", 1)}
SHORT: Final = {
    "kills": "tasks killed",
    "errors": "requests that failed",
    "p99_ns": "p99 of the requests' time",
    "mean_ns": "mean of the requests' time",
    "charged_bytes": "memory charged",
    "wait_others_ns": "waited behind others, all requests",
}


def named(name: str) -> str:
    """Return what a measure is called where a title begins with it.

    Parameters
    ----------
    name : str
        Its column.

    Returns
    -------
    str
    """
    text = short(name)
    return text if text.startswith("p99") else text[0].upper() + text[1:]


def short(name: str) -> str:
    """Return what a measure is called on an axis."""
    return SHORT.get(name, MEASURES[name].text)


def cut(n_all: int) -> str:
    """Say which cgroups a picture shows, where it does not show all."""
    if n_all <= MOST_CGROUPS:
        return ""
    return f"{MOST_CGROUPS} of {n_all} cgroups: those that have most of it"


def measure_axis(name: str, values: Sequence[Row]) -> Spec:
    """Describe a measure's axis: whole numbers of counts, a logarithm of times."""
    measure = MEASURES[name]
    unit, _ = UNITS[measure.unit]
    y: Spec = {
        "field": "value",
        "type": "quantitative",
        "title": f"{short(name)} ({unit})" if unit else short(name),
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


def changes_most(
    values: Sequence[Row], name: str, asked: Collection[str | None] = ()
) -> tuple[Row, Row] | None:
    """Find whose measure changes most along the values of a key.

    Parameters
    ----------
    values : sequence of dict
        ``cgroup`` and ``value``, in the order of the key's values.
    name : str
        Column of the measure: of times the one that grows by the largest factor, of
        others by most.
    asked : collection of str or None
        Cgroups that come before all others.

    Returns
    -------
    tuple of dict and dict, or None
        Its first rows with the least and the most; None where there are no rows.
    """
    ends: dict[str, tuple[Row, Row]] = {}
    for row in values:
        low, high = ends.get(row["cgroup"], (row, row))
        if row["value"] < low["value"]:
            low = row
        if row["value"] > high["value"]:
            high = row
        ends[row["cgroup"]] = low, high

    def change(cgroup: str) -> tuple[bool, float, str]:
        least, most = (row["value"] for row in ends[cgroup])
        if MEASURES[name].unit == NS:
            return cgroup in asked, most / max(least, 1e-9), cgroup
        return cgroup in asked, most - least, cgroup

    return ends[max(ends, key=change)] if ends else None
