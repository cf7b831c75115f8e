"""A picture of how many requests are in flight over time."""

from collections import defaultdict
from typing import Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from replay.report.facts import began_ns
from replay.report.html.drawing import Drawing, Picture, number_text, time_axis
from replay.report.html.rows import Row, ShownCgroups
from replay.results.arrays import coded
from replay.results.result import Result
from replay.results.stored import parts_of

#: Intervals of the picture.
_CELLS: Final = 160


def depth(drawing: Drawing) -> Picture | None:
    """Draw the mean number of requests between arrival and completion, by cgroup."""
    values = drawing.gather(in_flight)
    if not any(row["in_flight"] for row in values):
        return None
    top = max(values, key=lambda row: float(row["in_flight"]))
    return Picture(
        name="depth",
        title=f"{top['cgroup']} has up to {number_text(top['in_flight'])} in flight",
        note="requests between arrival and completion, in the mean of each interval",
        spec=drawing.spec(
            values,
            transform=drawing.fits("cgroup", time="start_s"),
            mark={"type": "line", "interpolate": "step-after", "tooltip": True},
            encoding={
                "x": time_axis("start_s"),
                "y": {
                    "field": "in_flight",
                    "type": "quantitative",
                    "title": "requests in flight",
                },
                "color": drawing.colour(),
            },
        ),
        table="requests",
    )


def in_flight(result: Result, shown: ShownCgroups) -> list[Row]:
    """Return the mean number of requests in flight, by interval and cgroup.

    Parameters
    ----------
    result : Result
        With a row for each request; without there is nothing to return.
    shown : ShownCgroups

    Returns
    -------
    list of dict
        ``start_s``, ``cgroup``, ``in_flight``: means over each interval, of requests
        that completed.
    """
    if "requests" not in result.tables:
        return []
    began = began_ns(result)
    lasts_ns = max(1, int(result.info["counts"]["end_ns"]) - began)
    edges = np.linspace(0, lasts_ns, _CELLS + 1)
    # of each cgroup the time that its requests were in flight up to each edge
    spent: defaultdict[str, NDArray[np.float64]] = defaultdict(
        lambda: np.zeros(_CELLS + 1)
    )
    columns = ["arrival_ns", "completion_ns", "issuer"]
    for part in parts_of(result.tables, "requests", columns):
        done = part.filter(
            pc.and_(pc.is_valid(part["completion_ns"]), pc.is_valid(part["arrival_ns"]))
        )
        issuers = coded(done["issuer"])
        n_names = len(issuers.words)
        arrival, completion = (
            done[name].to_numpy() - began for name in ("arrival_ns", "completion_ns")
        )
        until = _until(arrival, issuers.codes, n_names, edges)
        until -= _until(completion, issuers.codes, n_names, edges)
        for name, times in zip(issuers.words, until, strict=True):
            spent[shown(name)] += times
    return [
        {
            "start_s": (began + float(edges[at])) / 1e9,
            "cgroup": name,
            "in_flight": float(time_ns) / (lasts_ns / _CELLS),
        }
        for name, until in spent.items()
        for at, time_ns in enumerate(np.diff(until).tolist())
    ]


def _until(
    moments: NDArray[np.int64],
    codes: NDArray[np.int64],
    n_codes: int,
    edges: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the time from each moment to each edge behind it, summed by code."""
    ahead = np.minimum((moments / edges[1]).astype(np.int64) + 1, len(edges))
    key = codes * (len(edges) + 1) + ahead
    shape = (n_codes, len(edges) + 1)
    n = np.bincount(key, minlength=shape[0] * shape[1]).reshape(shape)
    sums = np.bincount(key, moments, shape[0] * shape[1]).reshape(shape)
    found: NDArray[np.float64] = (
        n.cumsum(axis=1)[:, :-1] * edges - sums.cumsum(axis=1)[:, :-1]
    )
    return found
