"""Devices that a setup has entries for."""

from collections.abc import Sequence

from replay.engine.setup import BACKING_DEVICE
from replay.scenario.keys.load import Scenario


def place_of(scenario: Scenario, devices: Sequence[int], device: int) -> int | None:
    """Find a device: its position, `BACKING_DEVICE`, or None if it has no part.

    Parameters
    ----------
    scenario : Scenario
    devices : sequence of int
        Those that are replayed.
    device : int
        ``major << 20 | minor``.

    Returns
    -------
    int or None
    """
    if device == scenario.backing.device:
        return BACKING_DEVICE
    return list(devices).index(device) if device in devices else None
