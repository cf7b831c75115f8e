"""Which cgroup each device is bound to under the policy ``instance``."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from replay.common.errors import ScenarioError
from replay.scenario.binding.tree import Tree
from replay.scenario.keys.load import Scenario
from replay.scenario.keys.paths import ROOT
from replay.trace.file.schema import device_text


def instance_paths(scenario: Scenario) -> list[str]:
    """Return the paths that ``driver.instance`` names."""
    return [path for _, path in scenario.driver.instance or ()]


def other_payer(scenario: Scenario, path: str) -> str | None:
    """Name who pays on the device below for all that a cgroup causes there.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    path : str
        Of the cgroup.

    Returns
    -------
    str or None
        None if the cgroup, or one below it, may pay for some of it itself: of buffered
        I/O the inode's owner pays, which is who dirtied its pages, or the one who laid
        the file out.
    """
    driver, backing = scenario.driver, scenario.backing
    if not driver.direct_io:
        below = backing.filesystem != "tmpfs" and backing.laid_out_by == "none"
        return ROOT if driver.policy == "root" and below else None
    if driver.policy == "backcharge":
        return ROOT
    paths = instance_paths(scenario)
    if driver.policy != "instance" or not paths:
        return None
    if any(f"{bound}/".startswith(f"{path}/") for bound in paths):
        return None
    return " or ".join(dict.fromkeys(paths))


def instance_cgroups(
    scenario: Scenario, tree: Tree, devices: Sequence[int]
) -> NDArray[np.uint32]:
    """Find the cgroup of each device.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    tree : Tree
        It holds `instance_paths`.
    devices : sequence of int
        Those that are replayed, ``major << 20 | minor``; of a trace whose devices are
        taken as one, 0.

    Returns
    -------
    ndarray of uint32, shape (n_devices,)
        Empty with another policy.

    Raises
    ------
    ScenarioError
        The policy is ``instance`` and a device is bound to no cgroup.
    """
    if scenario.driver.policy != "instance":
        return np.empty(0, dtype=np.uint32)
    key = f"{scenario.source}: driver.instance"
    bound = dict(scenario.driver.instance or ())
    if not bound:
        raise ScenarioError(
            f"{key}: must be given with policy instance: the cgroup that pays, such as "
            '"/a"'
        )
    unbound = [device for device in devices if not {device, None} & bound.keys()]
    if unbound:
        name = device_text(unbound[0]) if unbound[0] else "all devices, taken as one,"
        raise ScenarioError(f"{key}: {name} is bound to no cgroup: name one")
    paths = [bound.get(device) or bound[None] for device in devices]
    return np.array([tree.index[path] for path in paths], dtype=np.uint32)
