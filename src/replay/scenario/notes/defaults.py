"""Notes on defaults that the answer depends on."""

from collections.abc import Sequence

from replay.scenario.binding.differences import slower_by
from replay.scenario.keys.kernel import is_loop
from replay.scenario.keys.load import Scenario
from replay.scenario.keys.policies import ONE_QUEUE
from replay.trace.file.metadata import Summary
from replay.trace.file.schema import device_text


def assumed_notes(
    given: Scenario, scenario: Scenario, summary: Summary, devices: Sequence[int]
) -> list[str]:
    """Note defaults on which the answer to what is asked depends.

    Parameters
    ----------
    given : Scenario
        As the user wrote it.
    scenario : Scenario
        With what the trace decides filled in.
    summary : Summary
    devices : sequence of int
        Those that are replayed, ``major << 20 | minor``.

    Returns
    -------
    list of str
    """
    notes = []
    assert scenario.trace.kernel is not None
    loops = [device for device in devices if is_loop(device)]
    passes = given.driver.policy == "pass-through" and not loops
    if (
        given.trace.policy is None
        and loops
        and scenario.driver.policy not in (None, scenario.trace.policy)
    ):
        known = scenario.trace.policy == "root" or given.trace.kernel is not None
        notes.append(
            "trace.policy is not given: the trace is taken to be recorded under "
            f"{scenario.trace.policy}, the driver of "
            + (
                f"trace.kernel = {scenario.trace.kernel}"
                if known
                else "Linux 5.14 and later; say root for an earlier one"
            )
        )
    limited = any(cgroup.memory_max is not None for cgroup in scenario.cgroups)
    nobody = not any(cgroup.tasks for cgroup in scenario.cgroups) and not any(
        one.pid for one in summary.processes
    )
    if limited and nobody and summary.n_rows and not scenario.driver.direct_io:
        notes.append(
            "the trace names no process and the scenario no tasks: nobody can be "
            "killed at memory.max, so what does not fit fails"
        )
    disks = [one.device for one in summary.devices if not is_loop(one.device)]
    asks = scenario.driver.policy != "per-cgroup" or any(
        cgroup.memory_max is not None or cgroup.memory_high is not None
        for cgroup in scenario.cgroups
    )
    if loops and given.backing.filesystem is None and (asks or disks):
        below = ""
        if disks and given.backing.device is None:
            below = f"; {device_text(disks[0])} is in the trace, too: the disk below?"
        notes.append(
            f"backing.filesystem is not given: a file on {scenario.backing.filesystem} "
            "is assumed, and all that "
            f"is said of memory depends on it (driver.direct_io likewise){below}"
        )
    direct = scenario.driver.direct_io
    if devices and not loops and asks and not passes:
        name = device_text(devices[0])
        if direct:
            notes.append(
                f"{name} is not a loop device: driver policies and memory limits "
                f"change nothing there; {as_loop_device(given)}"
            )
        elif given.backing.filesystem is None:
            notes.append(
                f"{name} is not a loop device and backing.filesystem is not given: the "
                "page cache of a raw device is assumed; --set backing.filesystem=tmpfs "
                "for a file on tmpfs, ext4 for one on a disk"
            )
    several = sum(one.n_requests > 0 for one in summary.cgroups if one.id) > 1
    slower = slower_by(scenario, devices)
    if scenario.arrivals.mode == "recorded" and slower:
        notes.append(
            f"arrivals.mode = recorded, though {_some(slower)} may slow requests: they "
            "come when they did, so waits pile up and more of them fail than a process "
            "has in flight; with auto or dependent each process waits for its own"
        )
    if scenario.service.model == "linear":
        notes += _made_up_notes(scenario)
    elif (
        several
        and scenario.service.model != "device"
        and _holds_back(scenario, devices)
    ):
        notes += _side_by_side_notes(scenario)
    return notes


def _some(keys: Sequence[str]) -> str:
    """Name the first of some keys, and how many more there are."""
    more = f" and {len(keys) - 1} more" if keys[1:] else ""
    return keys[0] + more


def _holds_back(scenario: Scenario, devices: Sequence[int]) -> bool:
    """Return True if an ``io.max`` acts on a device that is replayed."""
    return scenario.arrivals.event == "queue" and any(
        device in devices and device != scenario.backing.device
        for cgroup in scenario.cgroups
        for device, _ in cgroup.io_max
    )


def _side_by_side_notes(scenario: Scenario) -> list[str]:
    """Note what others' recorded times hold of those who are held back now.

    One queue served one after the other: there what each took alone is known.
    """
    trace, driver = scenario.trace, scenario.driver
    if trace.policy in ONE_QUEUE and not trace.direct_io:
        return []
    same = (trace.policy, trace.direct_io) == (driver.policy, driver.direct_io)
    if same or trace.direct_io:
        where = "the device" if trace.direct_io else "the backing file's lock"
        return [
            "io.max: others keep the times that they took beside who is held back now, "
            f"waits for {where} included, so they look slower than they would be; not "
            "with service.model = linear"
        ]
    return [
        "io.max: of requests that ran side by side in the trace only what one took "
        "longer than the other counts as its time, so who is left alone now looks "
        "faster than it would be; not with service.model = linear"
    ]


def _made_up_notes(scenario: Scenario) -> list[str]:
    """Note that nobody said how long the linear model's device takes."""
    service, made_up = scenario.service, Scenario.from_dict({}).service
    if (service.read, service.write) != (made_up.read, made_up.write):
        return []
    write = made_up.write
    return [
        "service.read and service.write are not given: a device is made up that "
        f"takes {write.base_ns // 1000} us and {write.ns_per_byte:g} ns a byte for "
        "a write; replay calibrate fits one to a trace, replay keys service lists "
        "what to say"
    ]


def as_loop_device(given: Scenario) -> str:
    """Say how any device's trace is replayed as if it were a loop device's.

    Parameters
    ----------
    given : Scenario
        As the user wrote it: what it says need not be said again.

    Returns
    -------
    str
        With the options to paste.
    """
    words = []
    if given.driver.direct_io is not False:
        words.append("--set driver.direct_io=false")
    if given.backing.filesystem is None:
        words.append("--set backing.filesystem=tmpfs")
        which = " whose file lies on tmpfs (ext4: on a disk, with a page cache)"
    else:
        which = f" whose file lies on {given.backing.filesystem}"
    return f"to replay it as a loop device{which} add {' '.join(words)}"
