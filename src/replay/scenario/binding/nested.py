"""Loop devices on a loop device: ``backing.loop``."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from replay.common.errors import ScenarioError
from replay.engine.setup import NOT_REPLAYED
from replay.scenario.keys.kernel import is_loop
from replay.scenario.keys.load import Scenario
from replay.trace.file.processes import ProcessTable, is_kernel_thread
from replay.trace.file.schema import device_text

KEY = "backing.loop"


class Nested(Struct, frozen=True):
    """Bios of a trace that the replay makes itself: those of the devices above.

    Attributes
    ----------
    position : int
        Of the device below in ``Setup.devices``.
    own_pids : ndarray of int64, sorted
        Processes whose requests of it are its own.
    """

    position: int
    own_pids: NDArray[np.int64]

    def drop(self, device_idx: NDArray[np.uint16], pid: NDArray[np.int32]) -> None:
        """Leave out the rows that come from the devices above.

        Parameters
        ----------
        device_idx : ndarray of uint16, shape (n,)
            Changed in place.
        pid : ndarray of int32, shape (n,)
        """
        theirs = device_idx == self.position
        theirs &= ~np.isin(pid, self.own_pids)
        device_idx[theirs] = NOT_REPLAYED


def with_nested(scenario: Scenario, devices: list[int], *, one: bool) -> list[int]:
    """Add the device below to those that are replayed.

    Parameters
    ----------
    scenario : Scenario
    devices : list of int
    one : bool
        All devices are taken as one.

    Returns
    -------
    list of int
        Sorted.

    Raises
    ------
    ScenarioError
        It is no loop device, or nothing lies on it.
    """
    below = scenario.backing.loop
    if below is None:
        return devices
    where = f"{scenario.source}: {KEY}: {device_text(below)}"
    if not is_loop(below):
        raise ScenarioError(
            f"{where} is not a loop device (7:N); a disk below is backing.device"
        )
    if scenario.driver.policy == "pass-through":
        raise ScenarioError(f"{where}: policy pass-through has no loop devices")
    above = [device for device in devices if device != below]
    if one or not above or not all(map(is_loop, above)):
        raise ScenarioError(
            f"{where}: no other loop device is replayed that could lie on it; name "
            "it in trace.devices"
        )
    return sorted([*above, below])


def nested_rows(
    scenario: Scenario,
    devices: Sequence[int],
    named: Sequence[int],
    processes: ProcessTable,
) -> Nested | None:
    """Find the rows of the trace that the replay makes itself.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    devices : sequence of int
        With the device below.
    named : sequence of int
        Devices whose rows are replayed.
    processes : ProcessTable

    Returns
    -------
    Nested or None
    """
    below = scenario.backing.loop
    if below is None:
        return None
    own = [
        pid
        for pid, names in zip(
            processes.pids.tolist(), processes.pid_names, strict=False
        )
        if below in named and names and not any(map(is_worker, names))
    ]
    return Nested(list(devices).index(below), np.array(sorted(own), np.int64))


def is_worker(name: str) -> bool:
    """Return True if a process may be a worker of a loop device.

    Parameters
    ----------
    name : str
        As the trace gives it; empty if unknown.

    Returns
    -------
    bool
        True for an unknown name too.
    """
    return not name or (is_kernel_thread(name) and name.startswith(("kworker", "loop")))
