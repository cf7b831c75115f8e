"""Notes for the results' reader: estimates, and effects that are not modelled."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

import numpy as np

from replay.common.text import MOST_NOTES, capped
from replay.engine.setup import PAGE_BYTES, ArrivalEvent
from replay.scenario.binding.assign import AssignRule
from replay.scenario.binding.tree import Tree
from replay.scenario.keys.kernel import is_loop
from replay.scenario.keys.load import Scenario, key_value
from replay.scenario.keys.policies import MERGED, WITH_VARIANTS
from replay.scenario.keys.sizes import format_size
from replay.scenario.keys.table import CGROUP_KEYS
from replay.scenario.notes.absent import Absent
from replay.scenario.setup.make import arrival_event
from replay.trace.file.metadata import Summary
from replay.trace.file.processes import ProcessTable, is_kernel_thread

#: Names that a mistyped one is compared with; it costs some 10 us for each.
MOST_NAMES: Final = 1000
#: Said of a cgroup that there is not.
_IDLE: Final = "no request of the trace belongs to it or below it"


def scenario_notes(scenario: Scenario) -> list[str]:
    """Note what the sections ask for and the engine does not do.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.

    Returns
    -------
    list of str
    """
    driver, backing = scenario.driver, scenario.backing
    notes = []
    loops = {is_loop(device) for device in scenario.trace.devices or ()}
    if len(loops) == 2:
        notes.append(
            "trace.devices names loop devices and others: all are replayed as loop "
            "devices of one driver.direct_io and one backing.filesystem"
        )
    if arrival_event(scenario, scenario.trace.devices or ()) == ArrivalEvent.QUEUE:
        notes.append(
            "limits of the traced device are replayed: an estimate, requests keep "
            "their recorded merges; what they waited between Q and D does not count"
        )
    if backing.filesystem == "raw" and backing.size is not None:
        notes.append(
            f"backing.size = {format_size(backing.size)} has no effect: a raw device "
            "has no file system that could be full"
        )
    if (
        backing.filesystem != "tmpfs"
        and not driver.direct_io
        and scenario.service.model == "linear"
    ):
        notes.append(
            "service.model = linear: a read of cached pages takes as long as one of "
            "the disk"
        )
    return notes


def machine_notes(scenario: Scenario) -> list[str]:
    """Note what becomes of a kill where the machine itself is short of memory."""
    if scenario.machine.memory is None or scenario.driver.direct_io:
        return []
    return [
        "machine.memory: in the kernel a loop worker that runs short of it kills "
        "nobody, since it may do no I/O, but waits for a task that may; here the "
        "killer comes at once, so a kill may be early"
    ]


def policy_notes(given: Scenario, scenario: Scenario, summary: Summary) -> list[str]:
    """Note what a policy leaves out of the scenario, or finds in the trace.

    Parameters
    ----------
    given : Scenario
        As the user wrote it.
    scenario : Scenario
        With what the trace decides filled in.
    summary : Summary

    Returns
    -------
    list of str
    """
    driver = scenario.driver
    policy = driver.policy
    notes = []
    if scenario.driver.instance is not None and policy != "instance":
        notes.append("driver.instance has no effect: it is for policy instance")
    if scenario.driver.variant != MERGED.name and policy not in WITH_VARIANTS:
        notes.append(
            "driver.variant has no effect: it is for policies per-cgroup and enospc"
        )
    if given.driver.direct_io is False and policy == "pass-through":
        notes.append(
            "driver.direct_io = false has no effect: a pass-through device has no page "
            "cache of its own"
        )
    if policy == "backcharge":
        if not driver.direct_io or not owes_below(scenario):
            notes.append(
                "driver.policy = backcharge: only memory is charged back; I/O becomes "
                "debt with driver.direct_io and an io.cost.qos, enable=1, of "
                "backing.device"
            )
        elif scenario.arrivals.mode == "recorded":
            notes.append(
                "driver.policy = backcharge: delays are counted (counts.delayed_ns) "
                "and nobody sleeps, since requests come when they did; with "
                "arrivals.mode = dependent they are taken"
            )
    if policy == "synchronous":
        names = {name.name for one in summary.processes for name in one.names}
        kernel = sorted(name for name in names if name and is_kernel_thread(name))
        if kernel:
            notes.append(
                f"driver.policy = synchronous: the root pays for what {kernel[0]} "
                + (
                    f"and {len(kernel) - 1} more kernel threads issue"
                    if kernel[1:]
                    else "issues"
                )
                + ", write-back for example: they have no memory cgroup"
            )
        if summary.n_rows and not any(one.pid for one in summary.processes):
            notes.append(
                "driver.policy = synchronous: the trace names no process, so each "
                "issuing cgroup is taken for one thread"
            )
    return notes


def owes_below(scenario: Scenario) -> bool:
    """Return True if the device below has a cost model that is on."""
    device = scenario.backing.device
    return any(
        line == device and dict(settings).get("enable") == "1"
        for cgroup in scenario.cgroups
        for line, settings in cgroup.io_cost_qos
    )


def cgroup_notes(scenario: Scenario) -> list[str]:
    """Note limits that are hardly what was meant."""
    small = [
        f"{cgroup.path}: {name} = {value} is in bytes and less than a page, so {so}; "
        f'"{value}M" would be in MiB'
        for cgroup in scenario.cgroups
        for name, so in (
            ("memory.max", "nothing fits"),
            ("memory.high", "every charge is above it"),
        )
        if 0 < (value := key_value(cgroup, name) or 0) < PAGE_BYTES
    ]
    return capped(small, "more limits are less than a page")


def trace_notes(
    summary: Summary,
    assigns: Sequence[AssignRule],
    processes: ProcessTable,
    idle: Mapping[str, str],
) -> list[str]:
    """Note what the scenario says and the trace has nothing of.

    Parameters
    ----------
    summary : Summary
    assigns : sequence of AssignRule
        Compiled ``scenario.assign``.
    processes : ProcessTable
    idle : mapping of str to str
        Of `idle_cgroups`.

    Returns
    -------
    list of str
    """
    untagged = not any(cgroup.id and cgroup.n_requests for cgroup in summary.cgroups)
    notes = []
    if untagged and summary.n_rows and not assigns:
        loops = any(is_loop(one.device) for one in summary.devices if one.n_requests)
        served = ", and so is the worker that serves them" if loops else ""
        better = "record with the blk_cgroup option on"
        if summary.format == "csv":
            better = "name the column that says whose it is (cgroup=COLUMN)"
        notes.append(
            f"no request carries a cgroup id: all are the root's{served}; {better}, or "
            "name their cgroups by [[assign]]"
        )
    unqueued = summary.quality.unmatched.get("issue_without_queue", 0)
    if unqueued:
        notes.append(
            f"{unqueued:,} request{' was' if unqueued == 1 else 's were'} not seen to "
            "be queued: of such no bios are counted as ios"
        )
    known = [Absent(f"{path}: {text}") for path, text in idle.items()]
    notes += _vain_rules(summary, assigns, processes) if assigns else []
    return notes + capped(known, "more cgroups have no request of the trace")


def _vain_rules(
    summary: Summary, assigns: Sequence[AssignRule], processes: ProcessTable
) -> list[str]:
    """Note the rules that match no request of the trace."""
    traced = {process.pid for process in summary.processes}
    names = set(processes.segment_names)
    devices = {device.device for device in summary.devices}
    volumes = {device.volume for device in summary.devices if device.volume}
    vain = []
    for position, rule in enumerate(assigns):
        if (
            (
                rule.volume is not None
                and not any(fnmatchcase(name, rule.volume) for name in volumes)
            )
            or (rule.pid is not None and rule.pid not in traced)
            or (rule.device is not None and rule.device not in devices)
            or (
                rule.comm is not None
                and not any(fnmatchcase(name, rule.comm) for name in names)
            )
        ):
            vain.append(f"assign[{position}] matches no request of the trace")
    return capped(vain, "more rules of assign match no request of the trace")


def idle_cgroups(
    scenario: Scenario,
    tree: Tree,
    traced: Collection[int],
    assigns: Sequence[AssignRule],
) -> dict[str, str]:
    """Find cgroups of which something is said and that the trace has nothing of.

    Parameters
    ----------
    scenario : Scenario
    tree : Tree
    traced : collection of int
        Dense cgroups that the trace has requests of.
    assigns : sequence of AssignRule

    Returns
    -------
    dict of str to str
        Path to what is wrong with it and which other may be meant.
    """
    used = np.zeros(len(tree.names), dtype=np.bool_)
    used[[*traced, *(rule.cgroup for rule in assigns)]] = True
    for cgroup in scenario.cgroups:
        # a bystander
        used[tree.index[cgroup.path]] |= any(task.always for task in cgroup.tasks)
    busy = tree.above(used.tolist())
    near = [tree.names[cgroup] for cgroup in np.flatnonzero(used)[:MOST_NAMES]]
    near = [name for name in near if not name.startswith("id:")]
    idle = []
    for cgroup in scenario.cgroups:
        said = cgroup.tasks or any(
            key_value(cgroup, name) != key.default_value()
            for name, key in CGROUP_KEYS.items()
        )
        if said and not busy[tree.index[cgroup.path]]:
            idle.append(cgroup.path)
    text = _IDLE
    found = dict.fromkeys(idle, text)
    for path in idle[:MOST_NOTES]:
        if meant := difflib.get_close_matches(path, near, 1, 0.7):
            found[path] = f"{text}; did you mean {meant[0]}?"
    return found
