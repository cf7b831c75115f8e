"""Shares of the device, by cgroup, while all of them want more."""

from typing import Any, Final

import numpy as np
import pyarrow as pa

from replay.results.arrays import coded

#: A cgroup of fewer requests wants nothing for long: mount, udev.
LEAST_REQUESTS: Final = 20


def shares(requests: pa.Table) -> list[dict[str, Any]]:
    """Share what a device did while all cgroups had requests.

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
    done = requests.filter(requests["completion_ns"].is_valid())
    issuer = coded(done["issuer"])
    arrival, completion, nbytes, time_ns = (
        done[name].fill_null(0).to_numpy()
        for name in ("arrival_ns", "completion_ns", "nbytes", "device_ns")
    )
    mine = {
        name: np.flatnonzero(issuer.codes == code)
        for code, name in enumerate(issuer.words)
    }
    mine = {name: rows for name, rows in mine.items() if len(rows) >= LEAST_REQUESTS}
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
