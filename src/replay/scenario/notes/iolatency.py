"""Notes on ``io.latency``."""

from collections.abc import Sequence

from replay.common.text import capped
from replay.scenario.keys.load import Scenario
from replay.scenario.notes.effects import cgroup_effect_notes
from replay.scenario.setup.iolatency import iolatency_targets


def iolatency_notes(scenario: Scenario, devices: Sequence[int]) -> list[str]:
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
    lines = [
        (path, "io.latency", device) for path, device, _ in iolatency_targets(scenario)
    ]
    notes = cgroup_effect_notes(scenario, devices, lines)
    return capped(notes, "more io.latency lines have no effect")
