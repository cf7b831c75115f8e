"""Fit a scenario to a trace: its ids, processes and devices become the engine's."""

from dataclasses import replace
from typing import Final

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from replay.common.errors import ScenarioError, TraceError
from replay.common.lookup import Lookup
from replay.common.text import capped
from replay.engine.setup import NOT_REPLAYED, Setup
from replay.scenario.binding.assign import Assigner, AssignRule
from replay.scenario.binding.differences import slower_by
from replay.scenario.binding.instances import instance_paths
from replay.scenario.binding.layers import DeviceStack, below_of, layer_notes
from replay.scenario.binding.nested import nested_rows, with_nested
from replay.scenario.binding.resolve import NO_CGROUP, Resolver
from replay.scenario.binding.tasks import BoundTask, TaskList, count_pairs, make_tasks
from replay.scenario.binding.tree import Tree, are_plain, build_tree
from replay.scenario.keys.kernel import KernelVersion, is_loop, kernel_in
from replay.scenario.keys.kernel_rules import (
    DEFAULT_KERNEL,
    policy_of,
)
from replay.scenario.keys.load import Scenario
from replay.scenario.keys.paths import ROOT, check_path
from replay.scenario.notes.bfq import bfq_notes
from replay.scenario.notes.defaults import assumed_notes
from replay.scenario.notes.effects import controller_notes
from replay.scenario.notes.iocost import iocost_notes
from replay.scenario.notes.iolatency import iolatency_notes
from replay.scenario.notes.iomax import iomax_notes
from replay.scenario.notes.kernel import kernel_notes, lost_notes
from replay.scenario.notes.nested import nested_notes
from replay.scenario.notes.recorded import kernel_io_notes, recorded_notes
from replay.scenario.notes.scenario import (
    cgroup_notes,
    idle_cgroups,
    machine_notes,
    policy_notes,
    scenario_notes,
    trace_notes,
)
from replay.scenario.setup.iomax import ALL_AS_ONE
from replay.scenario.setup.make import FlatCgroups, make_setup
from replay.scenario.setup.page_cache import disk_notes, disk_of_version
from replay.scenario.setup.tmpfs import check_direct_io
from replay.trace.file.metadata import Summary
from replay.trace.file.processes import ProcessTable, has_journal
from replay.trace.file.schema import device_text
from replay.trace.rows import Rows

#: What a loop device takes at once: 2560 sectors. Source: drivers/block/loop.c:
#: loop_add(), v6.1; write-zeroes alone may be longer.
LOOP_BYTES: Final = 2560 * 512
#: The root's id if the trace names no path "/": the hierarchy's first inode.
ROOT_ID: Final = 1
#: Name of the one device that several are taken for.
ALL_DEVICES: Final = "all"
PASS_THROUGH: Final = "pass-through"
#: The driver's policy since, and before that root.
MERGED: Final = "per-cgroup"


class Binding(Struct, frozen=True, kw_only=True):
    """A scenario fitted to a trace.

    Attributes
    ----------
    setup : Setup
        What the engine is told.
    scenario : Scenario
        With what the trace decided filled in.
    resolver : Resolver
        Turns the trace's rows into the engine's terms.
    cgroup_names : list of str
        Path of each dense cgroup, or ``"id:N"``; the first is ``"/"``.
    cgroup_ids : ndarray of uint64, shape (n_ids,), sorted
        Ids that the trace may carry; 0, "no cgroup", is among them.
    cgroup_of_id : ndarray of uint32, shape (n_ids,)
        Their dense cgroups.
    device_names : list of str
        Name of each of ``Setup.devices``, such as ``"7:0"``.
    one_device : bool
        Every device is taken as one: the trace has no loop device and none is named.
    backing_device : int or None
        ``major << 20 | minor`` of the disk below, if one is named.
    assigns : list of AssignRule
        In order; the first match wins.
    tasks : list of BoundTask
        As in ``Setup.task_*``.
    idle : dict of str to str
        Cgroups that the scenario says something of and the trace has nothing of: by
        path, what is wrong with it.
    disks : list of bool
        Which of ``Setup.devices`` are plain disks whose queue is replayed;
        ``Setup.disk_*`` are for `replay.runner.disks` to fill in.
    notes : list of str
        Estimates, assumptions and what is not modelled, one line each.
    zeroes_above : int
        A write of more bytes is a write-zeroes, which the trace does not tell; 0: none.
    """

    setup: Setup
    scenario: Scenario
    resolver: Resolver
    cgroup_names: list[str]
    cgroup_ids: NDArray[np.uint64]
    cgroup_of_id: NDArray[np.uint32]
    device_names: list[str]
    one_device: bool
    backing_device: int | None
    assigns: list[AssignRule]
    tasks: list[BoundTask]
    idle: dict[str, str]
    disks: list[bool]
    notes: list[str]
    zeroes_above: int = 0

    @property
    def task_names(self) -> list[str]:
        """Name of each task."""
        return [task.name for task in self.tasks]


def bind(scenario: Scenario, trace: Rows) -> Binding:
    """Fit a scenario to a trace.

    Parameters
    ----------
    scenario : Scenario
    trace : Rows
        An opened trace. The rows are read only to count what tasks issue, and only if
        there are memory limits or tasks.

    Returns
    -------
    Binding

    Raises
    ------
    ScenarioError
        It does not fit: a device that the trace does not hold, for example.
    """
    try:
        return _bind(scenario, trace)
    except OverflowError as error:
        raise TraceError(f"the trace's metadata is damaged: {error}") from None


def _bind(scenario: Scenario, trace: Rows) -> Binding:
    summary = trace.metadata.summary
    stack = DeviceStack.of(summary)
    replayed, one_device = _devices(scenario, summary, stack)
    devices = with_nested(scenario, replayed, one=one_device)
    _check_backing(scenario, devices, one_device=one_device)
    counts_once = bool(stack.layers) and scenario.trace.devices is None
    recorded = kernel_in(trace.metadata.kernel or "")
    given, scenario = scenario, _decided(scenario, devices, stack, recorded, summary)
    check_direct_io(scenario, devices)
    notes = kernel_notes(given, scenario, recorded, devices)
    notes += lost_notes(trace.metadata, given.trace.kernel)
    notes += disk_notes(given, scenario)
    notes += assumed_notes(given, scenario, summary, devices)
    notes += scenario_notes(scenario)
    notes += machine_notes(scenario)
    notes += policy_notes(given, scenario, summary)
    path_of_id = _paths(scenario, summary, notes)
    unknown = {cgroup.id for cgroup in summary.cgroups} - path_of_id.keys()
    tree = build_tree(
        [
            *path_of_id.values(),
            *(cgroup.path for cgroup in scenario.cgroups),
            *(rule.cgroup for rule in scenario.assign),
            *({scenario.backing.laid_out_by} - {"none"}),
            *instance_paths(scenario),
        ],
        unknown,
    )
    dense = dict(
        zip(path_of_id, map(tree.index.__getitem__, path_of_id.values()), strict=True)
    )
    dense |= {id_: tree.index[f"id:{id_}"] for id_ in unknown}
    cgroup_ids = np.fromiter(dense, np.uint64, len(dense))
    by_id = np.argsort(cgroup_ids, kind="stable")
    cgroup_ids = cgroup_ids[by_id]
    cgroup_of_id = np.fromiter(dense.values(), np.uint32, len(dense))[by_id]
    assigns = [
        AssignRule(
            pid=rule.pid,
            comm=rule.comm,
            device=rule.device,
            volume=rule.volume,
            cgroup=tree.index[rule.cgroup],
        )
        for rule in scenario.assign
    ]
    named = [
        *(rule.pid for rule in assigns),
        *(task.pid for cgroup in scenario.cgroups for task in cgroup.tasks),
    ]
    processes = ProcessTable(
        summary.processes, (pid for pid in named if pid is not None)
    )
    volumes = {
        device.device: device.volume
        for device in summary.devices
        if device.volume is not None
    }
    resolver = Resolver(
        cgroups=Lookup(cgroup_ids, cgroup_of_id, NO_CGROUP),
        devices=None if one_device else _positions(devices),
        nested=nested_rows(scenario, devices, replayed, processes),
        processes=processes,
        assigner=Assigner(assigns, processes, volumes) if assigns else None,
        n_cgroups=len(tree.names),
        counts_once=counts_once,
    )
    if counts_once:
        notes += capped(layer_notes(stack), "more layers")
    notes += cgroup_notes(scenario)
    idle = {}
    traced = [dense[one.id] for one in summary.cgroups if one.n_requests]
    if scenario.cgroups:
        idle = idle_cgroups(scenario, tree, traced, assigns)
    notes += trace_notes(summary, assigns, processes, idle)
    cgroups = FlatCgroups.make(scenario, tree)
    if scenario.driver.policy != "root":
        own = np.arange(len(tree.names), dtype=np.uint32)
        # the worker's memory css is found through the blkcg
        memory = np.where(cgroups.blkcg == own, cgroups.memory_css, own)
        nearest = {"io": cgroups.blkcg, "memory": memory}
        notes += capped(
            controller_notes(tree.names, traced, nearest), "more of controllers"
        )
    tasks: list[BoundTask] = []
    found = _tasks(trace, scenario, tree, cgroups, resolver, processes)
    if found is not None:
        tasks = found.tasks
        resolver = structs.replace(resolver, tasks=found.lookup)
        notes += found.notes
    if one_device and len(devices) != 1:
        names = [ALL_DEVICES]
        devices = [ALL_AS_ONE]
    else:
        names = [device_text(device) for device in devices]
    if unknown and not path_of_id.keys() - {0, ROOT_ID}:
        notes.append(
            f"{len(unknown)} cgroup{' has' if len(unknown) == 1 else 's have'} an id "
            "but no path: name them by --cgroups, a file of lines 'id path'"
        )
    notes += capped(iomax_notes(scenario, devices), "more notes on lines of io.max")
    notes += iocost_notes(scenario, devices)
    notes += iolatency_notes(scenario, devices)
    notes += recorded_notes(scenario)
    notes += kernel_io_notes(scenario, summary, devices)
    notes += bfq_notes(scenario)
    notes += nested_notes(scenario, summary, devices)
    return Binding(
        setup=make_setup(
            scenario, tree, cgroups, devices, tasks, processes, summary.start_ns
        ),
        scenario=scenario,
        resolver=resolver,
        cgroup_names=tree.names,
        cgroup_ids=cgroup_ids,
        cgroup_of_id=cgroup_of_id,
        device_names=names,
        one_device=one_device,
        backing_device=scenario.backing.device,
        assigns=assigns,
        tasks=tasks,
        idle=idle,
        disks=_disks(scenario, devices),
        notes=notes,
        zeroes_above=LOOP_BYTES if trace.metadata.record_version == 7 else 0,
    )


def _devices(
    scenario: Scenario, summary: Summary, stack: DeviceStack
) -> tuple[list[int], bool]:
    """Find the devices to replay, and whether they are taken as one."""
    present = sorted({device.device for device in summary.devices})
    if scenario.trace.devices is not None:
        for device in scenario.trace.devices:
            if device not in present:
                there = ", ".join(map(device_text, present[:20])) or "none"
                raise ScenarioError(
                    f"{scenario.source}: trace.devices: {device_text(device)} is not "
                    f"in the trace, which has {there}"
                )
        devices = list(scenario.trace.devices)
    else:
        devices = [device for device in present if is_loop(device)]
        if not devices:
            return [one for one in present if one not in stack.whole], True
    if len(devices) >= NOT_REPLAYED:
        raise ScenarioError(
            f"{scenario.source}: trace.devices: {len(devices)} devices are more than "
            f"{NOT_REPLAYED - 1}; name fewer"
        )
    return devices, False


def _check_backing(scenario: Scenario, devices: list[int], *, one_device: bool) -> None:
    """Refuse a device below that is replayed itself: it would be counted twice."""
    below = scenario.backing.device
    if below is None or below not in devices:
        return
    name = device_text(below)
    if one_device and len(devices) != 1:
        # they go by one name, which is not that of the device below
        return
    hint = ""
    if is_loop(below):
        hint = "; if the other loop devices lie on it, name it as backing.loop"
    raise ScenarioError(
        f"{scenario.source}: backing.device: {name} is one of the replayed devices; "
        f"name the disk below them, or leave it out of trace.devices{hint}"
    )


def _positions(devices: list[int]) -> Lookup:
    """Find a device's position in the sorted list of those that are replayed."""
    return Lookup(
        np.array(devices, dtype=np.uint64),
        np.arange(len(devices), dtype=np.uint16),
        NOT_REPLAYED,
    )


def _decided(
    scenario: Scenario,
    devices: list[int],
    stack: DeviceStack,
    recorded: KernelVersion | None,
    summary: Summary,
) -> Scenario:
    """Fill in what the trace decides."""
    loop = any(is_loop(device) for device in devices)
    driver, trace, backing = scenario.driver, scenario.trace, scenario.backing
    taken = trace.kernel or recorded
    kernel = driver.kernel or taken or DEFAULT_KERNEL
    driver = structs.replace(
        driver,
        kernel=kernel,
        policy=driver.policy or policy_of(kernel),
    )
    # what is no loop device had no worker that its requests waited for
    traced_direct = None if loop else True
    loop = loop and driver.policy != PASS_THROUGH
    if driver.direct_io is None or driver.policy == PASS_THROUGH:
        driver = structs.replace(driver, direct_io=not loop)
    if backing.filesystem is None:
        # before 6.6 tmpfs takes no direct I/O
        usual = "ext4" if driver.direct_io else "tmpfs"
        backing = structs.replace(backing, filesystem=usual if loop else "raw")
    if backing.device is None and stack.layers:
        below = below_of(stack, scenario, devices)
        backing = structs.replace(backing, device=below)
    backing = disk_of_version(backing, kernel)
    trace = structs.replace(
        trace,
        # a fact of the recording: never what is asked
        policy=trace.policy or (MERGED if taken is None else policy_of(taken)),
        direct_io=next(
            one
            for one in (trace.direct_io, traced_direct, driver.direct_io)
            if one is not None
        ),
        kernel=taken or kernel,
        devices=tuple(devices),
        journal=has_journal(summary) if trace.journal is None else trace.journal,
    )
    decided = replace(scenario, trace=trace, driver=driver, backing=backing)
    slower = slower_by(decided, devices)
    arrivals, service = scenario.arrivals, scenario.service
    if service.model == "auto":
        is_disk = _is_one_disk(decided, devices) and any("io." in one for one in slower)
        model = "device" if is_disk else "recorded"
        service = structs.replace(service, model=model)
    if arrivals.mode == "auto":
        mode = "dependent" if slower else "recorded"
        arrivals = structs.replace(arrivals, mode=mode)
    return replace(decided, arrivals=arrivals, service=service)


def _is_one_disk(scenario: Scenario, devices: list[int]) -> bool:
    """Return True if one plain disk is replayed, with all that waits ahead of it."""
    return (
        len(devices) == 1
        and not is_loop(devices[0])
        and bool(scenario.driver.direct_io)
        and bool(scenario.trace.direct_io)
        and scenario.arrivals.event == "queue"
        and scenario.arrivals.mode != "recorded"
        and scenario.driver.policy != PASS_THROUGH
    )


def _disks(scenario: Scenario, devices: list[int]) -> list[bool]:
    """Return a mask of the devices that are plain disks whose queue is replayed."""
    if scenario.service.model != "device":
        return [False] * len(devices)
    if devices == [ALL_AS_ONE]:
        raise ScenarioError(
            f"{scenario.source}: service.model = device: the trace has several "
            "devices, each with a queue of its own: name them, as in trace.devices = "
            '["254:0", "254:16"]'
        )
    disks = [not is_loop(device) for device in devices]
    if scenario.backing.loop is not None or not any(disks):
        raise ScenarioError(
            f"{scenario.source}: service.model = device is of plain disks, and "
            f"{', '.join(map(device_text, devices))} is none: leave it out"
        )
    return disks


def _paths(scenario: Scenario, summary: Summary, notes: list[str]) -> dict[int, str]:
    """Find the path of every id: the scenario's word counts before the trace's."""
    told = {
        one.id: one.path for one in summary.cgroups if one.id and one.path is not None
    }
    paths = {0: ROOT}
    if are_plain(list(told.values())):
        paths |= told
    else:
        for id_, path in told.items():
            try:
                paths[id_] = check_path(path)
            except ValueError as error:
                notes.append(f"id:{id_}: the trace's path for it {error}: not used")
    for entry in scenario.cgroups:
        if entry.id is None:
            continue
        known = paths.get(entry.id, entry.path)
        if known != entry.path:
            notes.append(f"{entry.path}: id {entry.id} is {known} in the trace")
        paths[entry.id] = entry.path
    if ROOT not in list(paths.values())[1:]:
        paths.setdefault(ROOT_ID, ROOT)
    return paths


def _tasks(
    trace: Rows,
    scenario: Scenario,
    tree: Tree,
    cgroups: FlatCgroups,
    resolver: Resolver,
    processes: ProcessTable,
) -> TaskList | None:
    """Find the tasks; None, without reading the trace, if nothing needs them."""
    listed = {
        tree.index[cgroup.path]: cgroup.tasks
        for cgroup in scenario.cgroups
        if cgroup.tasks
    }
    if not listed and not cgroups.limited.any():
        return None
    wanted = cgroups.limited.copy()
    for cgroup in listed:
        wanted[[cgroup, cgroups.blkcg[cgroup]]] = True
    n_keys = (len(processes.pids) + 1) * len(tree.names)
    return make_tasks(
        count_pairs(trace.batches(), resolver, wanted, n_keys),
        listed=listed,
        limited=cgroups.limited,
        blkcg=cgroups.blkcg,
        processes=processes,
        tree=tree,
    )
