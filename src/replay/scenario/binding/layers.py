"""Layers of a stack in one trace: dm or md above, and the disk below.

A request that a traced device passed down to another one is in the trace twice. It
counts once, on the device above, unless the scenario names the devices.
"""

from collections.abc import Sequence

from msgspec import Struct

from replay.common.text import time_text
from replay.scenario.keys.load import Scenario
from replay.trace.file.metadata import Layer, Summary
from replay.trace.file.schema import device_text


class DeviceStack(Struct, frozen=True):
    """Devices of a trace whose requests are another device's again.

    Attributes
    ----------
    layers : tuple of Layer
        Of which both devices are in the trace.
    whole : frozenset of int
        Devices whose requests were all passed down to them.
    """

    layers: tuple[Layer, ...]
    whole: frozenset[int]

    @classmethod
    def of(cls, summary: Summary) -> "DeviceStack":
        """Find the layers of a trace."""
        n_requests = {one.device: one.n_requests for one in summary.devices}
        layers = tuple(
            one
            for one in summary.stack
            if n_requests.get(one.above) and n_requests.get(one.below)
        )
        passed: dict[int, int] = {}
        for one in layers:
            passed[one.below] = passed.get(one.below, 0) + one.n_requests
        whole = frozenset(
            device for device, n in passed.items() if n >= n_requests[device]
        )
        return cls(layers, whole)


def below_of(
    stack: DeviceStack, scenario: Scenario, devices: Sequence[int]
) -> int | None:
    """Find the device below those that are replayed, if nobody named one.

    Parameters
    ----------
    stack : DeviceStack
    scenario : Scenario
    devices : sequence of int
        Those that are replayed.

    Returns
    -------
    int or None
        Of several one below the other: that on which a limit stands, else the lowest.
    """
    below = {one.below for one in stack.layers} - set(devices)
    if not below:
        return None
    limited = {
        device
        for cgroup in scenario.cgroups
        for device, _ in (*cgroup.io_max, *cgroup.io_latency, *cgroup.io_cost_qos)
    }
    above = {one.above for one in stack.layers}
    for among in (below & limited, below - above):
        if len(among) == 1:
            return among.pop()
    return None


def layer_notes(stack: DeviceStack) -> list[str]:
    """Say which layers there are, and how long requests took in each."""
    return [
        f"{device_text(one.below)} lies below {device_text(one.above)}: "
        f"of its requests {one.n_requests:,} are the same I/O, counted once"
        + (
            f"; there they took {time_text(one.took_ns // one.n_done)} on average"
            if one.n_done
            else ""
        )
        for one in stack.layers
    ]
