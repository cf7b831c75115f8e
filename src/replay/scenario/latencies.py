"""``io.latency`` lines of a scenario as the engine's flat columns.

Source: block/blk-iolatency.c:iolatency_set_limit(), v6.1.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from replay.scenario.kernel import is_loop
from replay.scenario.limits import cgroup_effect_notes, place_of
from replay.scenario.load import Scenario
from replay.scenario.notes import capped
from replay.scenario.tree import Tree

NS_PER_US: Final = 1000
#: Requests of a loop device's queue: its tags.
LOOP_REQUESTS: Final = 128


def flat_latencies(
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
        The ``latency_*`` arrays of `replay.engine.setup.Setup`.
    """
    targets = _targets(scenario)
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
        "latency_device": np.array(list(found.values()), np.int32),
        "latency_target": target,
        "latency_requests": np.array(requests, np.int64),
        "latency_rotates": np.full(len(found), rotates),
    }


def latency_notes(scenario: Scenario, devices: Sequence[int]) -> list[str]:
    """Note the targets that have no effect in this replay, or perhaps too much.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    devices : sequence of int

    Returns
    -------
    list of str
    """
    lines = [(path, "io.latency", device) for path, device, _ in _targets(scenario)]
    notes = cgroup_effect_notes(scenario, devices, lines)
    return capped(notes, "more io.latency lines have no effect")


def _targets(scenario: Scenario) -> list[tuple[str, int, int]]:
    """Return path, device and target (us) of every line that sets one."""
    return [
        (cgroup.path, device, int(text))
        for cgroup in scenario.cgroups
        for device, pairs in cgroup.io_latency
        if (text := dict(pairs).get("target", "max")) not in ("max", "0")
    ]
