"""Notes on what recorded times hold, and on whose I/O a limit holds besides."""

from collections.abc import Sequence
from typing import Final

from replay.scenario.keys.load import Scenario
from replay.trace.file.metadata import Summary
from replay.trace.file.processes import is_kernel_thread

#: Limits that a note names.
_SHOWN: Final = 5


def recorded_notes(scenario: Scenario) -> list[str]:
    """Note sleeps for a limit that lie in the recorded times.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.

    Returns
    -------
    list of str
    """
    notes = _facts(scenario)
    if scenario.service.model == "linear" or scenario.trace.direct_io:
        return notes
    for cgroup in scenario.cgroups:
        if cgroup.recorded_memory_high is not None:
            same = cgroup.memory_high == cgroup.recorded_memory_high
            more = "; those of the replay come on top" if same else ""
            notes.append(
                f"{cgroup.path}/recorded.memory.high: what was slept for it lies in "
                f"the recorded times and cannot be told from service{more}"
            )
        if cgroup.recorded_memory_max is not None:
            notes.append(
                f"{cgroup.path}/recorded.memory.max: what was waited for a killed "
                "task's memory lies in the recorded times"
            )
    return notes


def _facts(scenario: Scenario) -> list[str]:
    """Name the limits that held when the trace was taken and are not applied now."""
    held = [
        f"{cgroup.path} {name}"
        for cgroup in scenario.cgroups
        for name, recorded, applied in (
            ("memory.max", cgroup.recorded_memory_max, cgroup.memory_max),
            ("memory.high", cgroup.recorded_memory_high, cgroup.memory_high),
            ("io.max", cgroup.recorded_io_max or None, cgroup.io_max or None),
        )
        if recorded is not None and applied is None
    ]
    if not held:
        return []
    more = f" and {len(held) - _SHOWN} more" if len(held) > _SHOWN else ""
    return [
        f"facts of the recording: {', '.join(held[:_SHOWN])}{more}: what they did is "
        "in the recorded times, and they are not applied again (a scenario that names "
        "a limit applies that)"
    ]


def kernel_io_notes(
    scenario: Scenario, summary: Summary, devices: Sequence[int]
) -> list[str]:
    """Note that a limit holds what kernel threads issue for its cgroup, too.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    summary : Summary
    devices : sequence of int
        Those that are replayed.

    Returns
    -------
    list of str
    """
    acting = {*devices, scenario.backing.device}
    limited = [
        cgroup.path
        for cgroup in scenario.cgroups
        if any(device in acting for device, _ in (*cgroup.io_max, *cgroup.io_latency))
    ]
    names = sorted(
        {
            one.names[-1].name
            for one in summary.processes
            if one.n_requests and one.names and is_kernel_thread(one.names[-1].name)
        }
    )
    if not limited or not names or scenario.arrivals.event == "issue":
        return []
    threads = names[0] + (f" and {len(names) - 1} more" if names[1:] else "")
    return [
        f"kernel threads issue in this trace ({threads}): what they write for "
        f"{limited[0]}, its journal or write-back, is held by its limit too; who waits "
        "for them (a commit that others share, dirty pages) is not known"
    ]
