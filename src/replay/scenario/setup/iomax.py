"""The ``io.max`` lines of a scenario, as the engine's flat columns."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from replay.engine.setup import NO_LIMIT
from replay.scenario.binding.tree import Tree
from replay.scenario.keys.load import Scenario
from replay.scenario.setup.devices import place_of

#: Stands for all of a trace's devices where they are replayed as one.
ALL_AS_ONE: Final = 0

#: Names in an ``io.max`` line, and the column each belongs to.
RATES: Final = {
    "rbps": "iomax_rbps",
    "wbps": "iomax_wbps",
    "riops": "iomax_riops",
    "wiops": "iomax_wiops",
}
#: Larger rates than a device can have are none; it bounds the engine's products.
LARGEST_RATE: Final = 1 << 50


def flat_iomax(
    scenario: Scenario, tree: Tree, devices: Sequence[int]
) -> dict[str, Any]:
    """Lay out the limits of the devices that are replayed and of the one below.

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
        The ``iomax_*`` arrays of `replay.engine.setup.Setup`.
    """
    columns: dict[str, list[int]] = {name: [] for name in RATES.values()}
    cgroup: list[int] = []
    place: list[int] = []
    for path, device, rates in iomax_lines(scenario):
        at = place_of(scenario, devices, device)
        if at is None:
            continue
        cgroup.append(tree.index[path])
        place.append(at)
        for name, column in RATES.items():
            text = rates.get(name, "max")
            rate = NO_LIMIT if text == "max" else int(text)
            columns[column].append(NO_LIMIT if rate > LARGEST_RATE else rate)
    return {
        "iomax_cgroup": np.array(cgroup, np.uint32),
        "iomax_device": np.array(place, np.int32),
        **{name: np.array(values, np.int64) for name, values in columns.items()},
    }


def iomax_lines(scenario: Scenario) -> list[tuple[str, int, dict[str, str]]]:
    """Return each ``io.max`` line as (cgroup, device, rates)."""
    return [
        (cgroup.path, device, dict(rates))
        for cgroup in scenario.cgroups
        for device, rates in cgroup.io_max
    ]
