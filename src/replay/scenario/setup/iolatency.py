"""``io.latency`` lines of a scenario as the engine's flat columns.

Source: block/blk-iolatency.c:iolatency_set_limit(), v6.1.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from replay.scenario.binding.tree import Tree
from replay.scenario.keys.kernel import is_loop
from replay.scenario.keys.load import Scenario
from replay.scenario.setup.devices import place_of

NS_PER_US: Final = 1000
#: Requests of a loop device's queue: its tags.
LOOP_REQUESTS: Final = 128


def flat_iolatency(
    scenario: Scenario, tree: Tree, devices: Sequence[int]
) -> dict[str, Any]:
    """Lay out the targets of the devices that are replayed and of the one below.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    tree : Tree
    devices : sequence of int
        Those that are replayed, ``major << 20 | minor``.

    Returns
    -------
    dict of str to ndarray
        The ``iolatency_*`` arrays of `replay.engine.setup.Setup`.
    """
    targets = iolatency_targets(scenario)
    found = {
        device: place
        for device in sorted({device for _, device, _ in targets})
        if (place := place_of(scenario, devices, device)) is not None
    }
    rows = {device: row for row, device in enumerate(found)}
    target = np.zeros((len(found), len(tree.names)), np.int64)
    for path, device, target_us in targets:
        if device in rows:
            target[rows[device], tree.index[path]] = target_us * NS_PER_US
    requests = [
        LOOP_REQUESTS if is_loop(device) else scenario.backing.nr_requests
        for device in found
    ]
    rotates = scenario.backing.cost_profile == "hdd"
    return {
        "iolatency_device": np.array(list(found.values()), np.int32),
        "iolatency_target": target,
        "iolatency_requests": np.array(requests, np.int64),
        "iolatency_rotates": np.full(len(found), rotates),
    }


def iolatency_targets(scenario: Scenario) -> list[tuple[str, int, int]]:
    """Return path, device and target (us) of every line that sets one."""
    return [
        (cgroup.path, device, int(text))
        for cgroup in scenario.cgroups
        for device, pairs in cgroup.io_latency
        if (text := dict(pairs).get("target", "max")) not in ("max", "0")
    ]
