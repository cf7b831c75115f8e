"""Recorded waits of which no other cgroup is known to be the reason.

What a request of a loop device waited between Q and D when it was recorded is no event
of the run. It counts as a wait behind its own cgroup, so that what is attributed sums
up to the stages.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.engine.raw import RAW_COLUMNS, Raw
from replay.engine.setup import ArrivalEvent, Resource, Setup, Stage


def add_own_waits(setup: Setup, raw: Raw) -> None:
    """Add to the table of interference what was recorded of waits for tags.

    Parameters
    ----------
    setup : Setup
    raw : Raw
        With the tables of latencies, histograms and interference; the last is changed.
    """
    if setup.event != ArrivalEvent.AS_QUEUED or Stage.TAG not in setup.prior_stages:
        return
    n = len(setup.parent) + 1  # and those that a lock does not tell apart
    wait_ns, count = np.zeros(n, np.int64), np.zeros(n, np.int64)
    # tables of integers
    latency: dict[str, Any] = raw["latency"]
    histograms: dict[str, Any] = raw["histograms"]
    of_tag = np.flatnonzero(latency["stage"] == Stage.TAG)
    np.add.at(wait_ns, latency["cgroup"][of_tag], latency["sum_ns"][of_tag])
    waited = (histograms["stage"] == Stage.TAG) & (histograms["bucket"] > 0)
    at = np.flatnonzero(waited)
    np.add.at(count, histograms["cgroup"][at], histograms["count"][at])
    known: dict[str, Any] = raw["interference"]
    replayed = np.flatnonzero(known["resource"] == Resource.TAG)
    np.subtract.at(wait_ns, known["waiting"][replayed], known["wait_ns"][replayed])
    np.subtract.at(count, known["waiting"][replayed], known["count"][replayed])
    own = np.flatnonzero(wait_ns > 0)
    if not len(own):
        return
    added: dict[str, NDArray[np.integer]] = {
        "waiting": own,
        "blocking": own,
        "resource": np.full(len(own), Resource.TAG),
        "wait_ns": wait_ns[own],
        "count": np.maximum(count[own], 1),
    }
    raw["interference"] = _summed(
        {
            name: np.concatenate([known[name], added[name].astype(dtype)])
            for name, dtype in RAW_COLUMNS["interference"].items()
        }
    )


def _summed(
    table: dict[str, NDArray[np.generic]],
) -> dict[str, NDArray[np.generic]]:
    """Sort rows by their keys, and add up those of one key."""
    keys = [table[name] for name in ("waiting", "blocking", "resource")]
    order = np.lexsort(keys[::-1])
    table = {name: values[order] for name, values in table.items()}
    keys = [key[order] for key in keys]
    new = np.ones(len(order), np.bool_)
    new[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    first = np.flatnonzero(new)
    return {
        name: np.add.reduceat(values, first)
        if name in ("wait_ns", "count")
        else values[first]
        for name, values in table.items()
    }
