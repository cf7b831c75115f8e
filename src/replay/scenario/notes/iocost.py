"""Notes on ``io.cost.model``, ``io.cost.qos`` and ``io.weight``."""

from collections.abc import Sequence

from replay.common.text import capped
from replay.scenario.keys.load import Scenario
from replay.scenario.notes.effects import effect_notes
from replay.scenario.setup.iocost import enabled_devices, root_lines
from replay.trace.file.schema import device_text


def iocost_notes(scenario: Scenario, devices: Sequence[int]) -> list[str]:
    """Note what has no effect in this replay, or perhaps too much.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    devices : sequence of int

    Returns
    -------
    list of str
    """
    enabled = enabled_devices(scenario)
    notes = effect_notes(scenario, devices, (("io.cost", device) for device in enabled))
    for device, _ in root_lines(scenario, "io_cost_model"):
        if device not in enabled:
            notes.append(
                f"io.cost.model of {device_text(device)} has no effect: its "
                "io.cost.qos does not say enable=1"
            )
    idle = [
        f"{cgroup.path}: io.weight has no effect: no device's io.cost.qos says enable=1"
        for cgroup in scenario.cgroups
        if cgroup.io_weight != ((None, 100),) and not enabled
    ]
    return notes + capped(idle, "more cgroups have an io.weight of no effect")
