"""Notes on ``io.max``."""

from collections.abc import Sequence

from replay.scenario.keys.load import Scenario
from replay.scenario.notes.effects import cgroup_effect_notes
from replay.scenario.setup.iomax import iomax_lines


def iomax_notes(scenario: Scenario, devices: Sequence[int]) -> list[str]:
    """Note the limits that have no effect in this replay, or perhaps too much.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    devices : sequence of int

    Returns
    -------
    list of str
    """
    lines = [(path, "io.max", device) for path, device, _ in iomax_lines(scenario)]
    return cgroup_effect_notes(scenario, devices, lines)
