"""Waits behind others, held against the stages that they were spent in."""

from collections import Counter

import replay

#: Where a wait is charged, and the stages that are such waits.
STAGES_OF = {
    # of a plain disk, too, what a request that met nobody takes there is for a tag
    "tag": ("queue", "tag"),
    "worker": ("dispatch",),
    "lock": ("lock",),
    "memory": ("memory",),
    "throttle": ("throttle", "backing", "debt"),
    "device": ("device",),
}
Sums = Counter[tuple[str, str]]


def waits_of(result: replay.Result) -> Sums:
    """Sum what cgroups waited, by cgroup and resource as `STAGES_OF` has them."""
    waits: Sums = Counter()
    for row in result.interference.to_pylist():
        resource = "tag" if row["resource"] == "queue" else row["resource"]
        waits[row["waiting"], resource] += row["wait_ns"]
    return waits


def waits_that_are_off(result: replay.Result) -> dict[tuple[str, str], tuple[int, int]]:
    """Compare what cgroups waited, resource by resource, with their requests' stages.

    Parameters
    ----------
    result : Result

    Returns
    -------
    dict
        By cgroup and resource: what it waited for others, and what its stages hold, ns,
        where these differ; of the device, which also serves, where it is more.
    """
    stages: Sums = Counter()
    for row in result.latency.to_pylist():
        for resource, names in STAGES_OF.items():
            if row["stage"] in names:
                stages[row["cgroup"], resource] += row["sum_ns"]
    waits = waits_of(result)
    return {
        key: (waits[key], stages[key])
        for key in {*stages, *waits}
        if waits[key] > stages[key]
        or (key[1] != "device" and waits[key] != stages[key])
    }
