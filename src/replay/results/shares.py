"""Shares of the device, by cgroup, while all of them want more."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from replay.results.arrays import coded
from replay.results.kinds import MOST_SUMMED

#: Keys of a cgroup under which a device is shared, and lets nothing go to waste.
WEIGHTS: Final = ("io.weight", "io.bfq.weight")
_CONTROLLERS: Final = ("io.cost.qos", "io.latency")
#: A weight that nobody has set.
USUAL_WEIGHT: Final = 100
#: A cgroup of fewer requests wants nothing for long: mount, udev.
LEAST_REQUESTS: Final = 20


def shares_of(
    tables: Mapping[str, pa.Table], info: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Share what a device did, where weights or latencies share it.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
        Of a result.
    info : mapping
        As ``run.json`` has it.

    Returns
    -------
    list of dict
        As `shares` gives; empty where nothing shares the device, where the run was not
        asked for its requests, or where these are more than `MOST_SUMMED`.
    """
    cgroups = info["scenario"].get("cgroups")
    if "requests" not in tables or not isinstance(cgroups, dict):
        return []
    if info["counts"]["requests"] > MOST_SUMMED:
        return []
    shared = any(
        any(keys.get(name) for name in _CONTROLLERS)
        or any(keys.get(name, USUAL_WEIGHT) != USUAL_WEIGHT for name in WEIGHTS)
        for keys in cgroups.values()
    )
    return shares(tables["requests"]) if shared else []


def shares(requests: pa.Table) -> list[dict[str, Any]]:
    """Share what the device that served longest did while all cgroups had requests.

    Parameters
    ----------
    requests : pyarrow.Table
        As of `Result.requests`.

    Returns
    -------
    list of dict
        ``cgroup from_ns to_ns requests bytes time_ns`` of what completed between the
        last cgroup's first arrival and the first one's last completion, by name. Empty
        if fewer than two wanted anything, or never at once.
    """
    import pyarrow.compute as pc

    seen = pc.and_(
        requests["completion_ns"].is_valid(), requests["arrival_ns"].is_valid()
    )
    done = requests.filter(seen)
    if not done.num_rows:
        return []
    device = coded(done["device"])
    busiest = np.bincount(device.codes, weights=done["device_ns"].to_numpy()).argmax()
    done = done.filter(pa.array(device.codes == busiest))
    issuer = coded(done["issuer"])
    arrival, completion, nbytes, time_ns = (
        done[name].to_numpy()
        for name in ("arrival_ns", "completion_ns", "nbytes", "device_ns")
    )
    order = np.argsort(issuer.codes, kind="stable")
    counts = np.bincount(issuer.codes, minlength=len(issuer.words))
    rows_of = np.split(order, np.cumsum(counts)[:-1])
    mine = {
        name: rows
        for name, rows in zip(issuer.words, rows_of, strict=True)
        if len(rows) >= LEAST_REQUESTS
    }
    if len(mine) < 2:
        return []
    begin = max(int(arrival[rows].min()) for rows in mine.values())
    end = min(int(completion[rows].max()) for rows in mine.values())
    if begin >= end:
        return []
    found = []
    for name in sorted(mine):
        rows = mine[name]
        rows = rows[(completion[rows] > begin) & (completion[rows] <= end)]
        found.append(
            {
                "cgroup": name,
                "from_ns": begin,
                "to_ns": end,
                "requests": len(rows),
                "bytes": int(nbytes[rows].sum()),
                "time_ns": int(time_ns[rows].sum()),
            }
        )
    return found
