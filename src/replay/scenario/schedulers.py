"""``io.bfq.weight`` and the scheduler of the disk below, as the engine's column.

Source: block/bfq-cgroup.c:bfq_io_set_weight(), bfq_io_set_device_weight(), v6.1.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.scenario.load import Scenario
from replay.scenario.notes import capped
from replay.scenario.tree import Tree

DEFAULT: Final = ((None, 100),)


def bfq_weights(scenario: Scenario, tree: Tree) -> NDArray[np.uint32]:
    """Lay out every cgroup's weight on the device below, if that runs bfq.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    tree : Tree

    Returns
    -------
    ndarray of uint32, shape (n_cgroups,) or (0,)
    """
    if scenario.backing.scheduler != "bfq":
        return np.zeros(0, np.uint32)
    weight = np.full(len(tree.names), 100, np.uint32)
    for cgroup in scenario.cgroups:
        given = dict(cgroup.io_bfq_weight)
        weight[tree.index[cgroup.path]] = given.get(
            scenario.backing.device, given[None]
        )
    return weight


def scheduler_notes(scenario: Scenario) -> list[str]:
    """Note what has no effect in this replay.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.

    Returns
    -------
    list of str
    """
    backing = scenario.backing
    if backing.scheduler == "bfq":
        if backing.filesystem == "tmpfs":
            why = "a tmpfs has no disk below"
        elif scenario.service.model == "recorded":
            why = (
                "nobody waits for a place on the disk with the recorded times; take "
                "service.model = linear"
            )
        else:
            return []
        return [f"backing.scheduler = bfq has no effect: {why}"]
    idle = [
        f"{cgroup.path}: io.bfq.weight has no effect: backing.scheduler is not bfq"
        for cgroup in scenario.cgroups
        if cgroup.io_bfq_weight != DEFAULT
    ]
    return capped(idle, "more cgroups have an io.bfq.weight of no effect")
