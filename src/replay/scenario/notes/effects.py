"""Notes on limits and controllers that change nothing here."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.engine.setup import BACKING_DEVICE
from replay.scenario.binding.instances import other_payer
from replay.scenario.keys.load import Scenario
from replay.scenario.notes.absent import Absent
from replay.scenario.setup.devices import place_of
from replay.scenario.setup.iomax import ALL_AS_ONE
from replay.trace.file.schema import device_text

#: Said of a device that there is not.
ABSENT: Final = "it is neither replayed nor backing.device"
#: What a cgroup is charged for where it has the controller. The driver looks for the
#: memory css of the blkcg: drivers/block/loop.c:loop_queue_rq(), v5.14.
_CHARGED: Final = {"io": "its I/O and pages", "memory": "its pages"}


def cgroup_effect_notes(
    scenario: Scenario, devices: Sequence[int], lines: Sequence[tuple[str, str, int]]
) -> list[str]:
    """Return the notes on cgroups' lines without effect, or that another one pays for.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    devices : sequence of int
        Those that are replayed.
    lines : sequence of (str, str, int)
        Path, interface file and device, ``major << 20 | minor``.

    Returns
    -------
    list of str
    """
    notes, others = [], []
    for path, name, device in lines:
        payer = other_payer(scenario, path)
        if payer is None or device != scenario.backing.device:
            others.append((f"{path}: {name}", device))
            continue
        notes.append(
            f"{path}: {name} of {device_text(device)} has nothing to limit: {payer} is "
            f"charged for its I/O there (driver.policy = {scenario.driver.policy})"
        )
    return [*notes, *effect_notes(scenario, devices, others)]


def controller_notes(
    names: Sequence[str],
    traced: Iterable[int],
    nearest: Mapping[str, NDArray[np.uint32]],
) -> list[str]:
    """Return the notes on cgroups for which a controller is off: another one pays.

    Parameters
    ----------
    names : sequence of str
        Paths of the cgroups.
    traced : iterable of int
        Those that have requests.
    nearest : mapping of str to ndarray of uint32, shape (n_cgroups,)
        By controller, ``io`` and ``memory``: of each cgroup the nearest that has it.

    Returns
    -------
    list of str
    """
    notes = []
    for controller, payers in nearest.items():
        off: dict[int, list[str]] = {}
        for cgroup in traced:
            if payers[cgroup] != cgroup:
                off.setdefault(int(payers[cgroup]), []).append(names[cgroup])
        for payer, cgroups in off.items():
            some = ", ".join(cgroups[:3])
            more = f" and {len(cgroups) - 3:,} more" if len(cgroups) > 3 else ""
            notes.append(
                f"the {controller} controller is off for {some}{more}: {names[payer]}, "
                f"the nearest above that has it, is charged for {_CHARGED[controller]}"
            )
    return notes


def effect_notes(
    scenario: Scenario, devices: Sequence[int], lines: Iterable[tuple[str, int]]
) -> list[str]:
    """Return the notes on devices' lines without effect here, or perhaps too much.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    devices : sequence of int
        Those that are replayed.
    lines : iterable of (str, int)
        What each is, and the device that it is for, ``major << 20 | minor``.

    Returns
    -------
    list of str
        Nothing of those of which there is nothing to say.
    """
    found = (
        _effect_note(scenario, devices, device, f"{line} of {device_text(device)}")
        for line, device in lines
    )
    return [note for note in found if note is not None]


def _effect_note(
    scenario: Scenario, devices: Sequence[int], device: int, line: str
) -> str | None:
    at = place_of(scenario, devices, device)
    if at is None:
        text = f"{line} has no effect: {ABSENT}"
        if list(devices) == [ALL_AS_ONE]:
            text += (
                "; all devices are replayed as one: name those to replay, such as "
                f"--set 'trace.devices=[\"{device_text(device)}\"]'"
            )
        return Absent(text)
    if at == BACKING_DEVICE and not scenario.driver.direct_io:
        if scenario.backing.filesystem == "tmpfs":
            return f"{line} has no effect: below the page cache of tmpfs is no device"
        return (
            f"{line} has no effect: it holds direct I/O alone (driver.direct_io); what "
            "goes on below the page cache is counted, not held back"
        )
    if device == scenario.backing.loop:
        return None  # it holds what comes from the devices above
    if at != BACKING_DEVICE and scenario.arrivals.event == "issue":
        return (
            f"{line} has no effect: requests arrive behind it; it acts with "
            "--set arrivals.event=queue"
        )
    if at == BACKING_DEVICE and scenario.service.model == "recorded":
        return (
            f"{line} comes on top of the recorded times: if it was in force when the "
            "trace was taken, it counts twice; not with service.model = linear"
        )
    return None
