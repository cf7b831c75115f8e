"""``io.bfq.weight`` and the scheduler of the disk below, as the engine's column.

Source: block/bfq-cgroup.c:bfq_io_set_weight(), bfq_io_set_device_weight(), v6.1.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.scenario.binding.tree import Tree
from replay.scenario.keys.load import Scenario
from replay.scenario.setup.disk import shares_by_weight

DEFAULT: Final = ((None, 100),)


def bfq_weights(scenario: Scenario, tree: Tree) -> NDArray[np.uint32]:
    """Lay out every cgroup's weight on the device below, or the disk, if it runs bfq.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    tree : Tree

    Returns
    -------
    ndarray of uint32, shape (n_cgroups,) or (0,)
    """
    device = scenario.backing.device
    if shares_by_weight(scenario):
        replayed = scenario.trace.devices or ()
        device = replayed[0] if len(replayed) == 1 else None
    elif scenario.backing.scheduler != "bfq":
        return np.zeros(0, np.uint32)
    weight = np.full(len(tree.names), 100, np.uint32)
    for cgroup in scenario.cgroups:
        given = dict(cgroup.io_bfq_weight)
        weight[tree.index[cgroup.path]] = given.get(device, given[None])
    return weight
