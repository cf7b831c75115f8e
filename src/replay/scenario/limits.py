"""The ``io.max`` lines of a scenario, as the engine's flat columns."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from replay.engine.setup import BACKING_DEVICE, NO_LIMIT
from replay.scenario.instances import other_payer
from replay.scenario.load import Scenario
from replay.scenario.tree import Tree
from replay.trace.schema import device_text

#: Stands for all of a trace's devices where they are replayed as one.
ALL_AS_ONE: Final = 0

#: Names in an ``io.max`` line, and the column each belongs to.
RATES: Final = {
    "rbps": "throttle_rbps",
    "wbps": "throttle_wbps",
    "riops": "throttle_riops",
    "wiops": "throttle_wiops",
}
#: Larger rates than a device can have are none; it bounds the engine's products.
LARGEST_RATE: Final = 1 << 50


def flat_limits(
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
        The ``throttle_*`` arrays of `replay.engine.setup.Setup`.
    """
    columns: dict[str, list[int]] = {name: [] for name in RATES.values()}
    cgroup: list[int] = []
    place: list[int] = []
    for path, device, rates in _lines(scenario):
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
        "throttle_cgroup": np.array(cgroup, np.uint32),
        "throttle_device": np.array(place, np.int32),
        **{name: np.array(values, np.int64) for name, values in columns.items()},
    }


def limit_notes(scenario: Scenario, devices: Sequence[int]) -> list[str]:
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
    lines = [(path, "io.max", device) for path, device, _ in _lines(scenario)]
    return cgroup_effect_notes(scenario, devices, lines)


def cgroup_effect_notes(
    scenario: Scenario, devices: Sequence[int], lines: Sequence[tuple[str, str, int]]
) -> list[str]:
    """Tell which lines of cgroups have no effect, or that another cgroup pays instead.

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


def effect_notes(
    scenario: Scenario, devices: Sequence[int], lines: Iterable[tuple[str, int]]
) -> list[str]:
    """Tell which devices' lines have no effect in this replay, or perhaps too much.

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
        text = f"{line} has no effect: it is neither replayed nor backing.device"
        if list(devices) == [ALL_AS_ONE]:
            text += (
                "; all devices are replayed as one: name those to replay, such as "
                f"--set 'trace.devices=[\"{device_text(device)}\"]'"
            )
        return text
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


def _lines(scenario: Scenario) -> list[tuple[str, int, dict[str, str]]]:
    return [
        (cgroup.path, device, dict(rates))
        for cgroup in scenario.cgroups
        for device, rates in cgroup.io_max
    ]


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
