"""The engine's flat parameters, made of a scenario's values."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from replay.engine.setup import (
    ALL_PAGES,
    NO_LIMIT,
    NS_PER_BYTE_SHIFT,
    ArrivalEvent,
    ArrivalMode,
    ServiceModel,
    Setup,
)
from replay.scenario.binding.instances import instance_cgroups
from replay.scenario.binding.tasks import BoundTask
from replay.scenario.binding.tree import Tree
from replay.scenario.keys.kernel import EIO, ENOMEM, ENOSPC, is_loop
from replay.scenario.keys.kernel_rules import (
    CHARGES_64,
    HIGH_IN_CHARGE,
    IOCOST_EMPTY_FREE,
    IOCOST_MAX_UP,
    IOCOST_MIN_HOLDS,
    IOMAX_HOLDS_SPLITS,
    IOMAX_KEEPS_SLICE,
    IOMAX_META_DEBT,
    IOMAX_TWO_QUEUES,
    IOMAX_WAITS_FOR_IO,
    REPARENTS_LRU,
    REQUEST_AT_ONCE,
    STOCK_OF_7,
)
from replay.scenario.keys.load import Scenario
from replay.scenario.keys.paths import ROOT
from replay.scenario.keys.policies import (
    BY_NAME,
    MERGED,
    VARIANT_BY_NAME,
    WITH_VARIANTS,
)
from replay.scenario.keys.sizes import limit_pages, whole_pages
from replay.scenario.keys.values import limits_by_device
from replay.scenario.setup.bfq import bfq_weights
from replay.scenario.setup.iocost import enabled_devices, flat_iocost
from replay.scenario.setup.iolatency import flat_iolatency
from replay.scenario.setup.iomax import flat_iomax
from replay.scenario.setup.page_cache import flat_page_cache, mglru_of
from replay.scenario.setup.tmpfs import copies_direct_io, flat_tmpfs
from replay.trace.file.processes import ProcessTable, is_kernel_thread

#: Requests that a loop device's tag set holds.
#: Source: drivers/block/loop.c, loop_add(), v6.1.
TAGS: Final = 128
#: A bio-based device has none: more than there can be requests in flight.
NO_TAGS: Final = 2**31
#: Most workers of one workqueue. Source: include/linux/workqueue.h, WQ_MAX_ACTIVE.
MOST_ACTIVE: Final = 512
MINOR_MASK: Final = (1 << 20) - 1
NS_PER_S: Final = 10**9
NS_PER_CENTISECOND: Final = 10**7


class FlatCgroups(Struct, frozen=True, kw_only=True):
    """Controllers and limits of every cgroup.

    Attributes
    ----------
    blkcg, memory_css : ndarray of uint32, shape (n_cgroups,)
        Nearest cgroup, itself included, with the io or the memory controller.
    memory_max : ndarray of int64, shape (n_cgroups,)
        Pages, `NO_LIMIT` for none.
    memory_high : ndarray of int64, shape (n_cgroups,)
        Likewise.
    memory_owner : ndarray of uint32, shape (n_cgroups,)
        As ``memory_css``, but before 7.2 dead cgroups count: they keep what was
        charged to them.
    memory_min, memory_low : ndarray of int64, shape (n_cgroups,)
        Pages, `ALL_PAGES` for ``max``.
    oom_group : ndarray of bool, shape (n_cgroups,)
    limited : ndarray of bool, shape (n_cgroups,)
        A hard memory limit stands on it or above it.
    """

    blkcg: NDArray[np.uint32]
    memory_css: NDArray[np.uint32]
    memory_max: NDArray[np.int64]
    memory_high: NDArray[np.int64]
    memory_owner: NDArray[np.uint32]
    memory_min: NDArray[np.int64]
    memory_low: NDArray[np.int64]
    oom_group: NDArray[np.bool_]
    limited: NDArray[np.bool_]

    @classmethod
    def make(cls, scenario: Scenario, tree: Tree) -> "FlatCgroups":
        """Lay the scenario's cgroups out over a tree that holds them all."""
        memory = _enabled(scenario, tree, "memory")
        online = np.ones(len(tree.names), dtype=np.bool_)
        memory_max = np.full(len(tree.names), NO_LIMIT, dtype=np.int64)
        memory_high = memory_max.copy()
        memory_min = np.zeros(len(tree.names), dtype=np.int64)
        memory_low = memory_min.copy()
        oom_group = np.zeros(len(tree.names), dtype=np.bool_)
        memory_max[0] = limit_pages(scenario.machine.memory)
        for cgroup in scenario.cgroups:
            at = tree.index[cgroup.path]
            online[at] = bool(cgroup.online)
            if cgroup.path == ROOT:
                continue
            memory_min[at] = _protection(cgroup.memory_min)
            memory_low[at] = _protection(cgroup.memory_low)
            oom_group[at] = cgroup.memory_oom_group
            memory_max[tree.index[cgroup.path]] = limit_pages(cgroup.memory_max)
            memory_high[tree.index[cgroup.path]] = limit_pages(cgroup.memory_high)
        kernel = scenario.driver.kernel
        assert kernel is not None
        keeps = memory & online if REPARENTS_LRU.holds(kernel) else memory
        return cls(
            blkcg=tree.nearest(_enabled(scenario, tree, "io") & online),
            memory_css=tree.nearest(memory & online),
            memory_owner=tree.nearest(keeps),
            memory_min=memory_min,
            memory_low=memory_low,
            oom_group=oom_group,
            memory_max=memory_max,
            memory_high=memory_high,
            limited=tree.below(memory_max != NO_LIMIT),
        )


def _enabled(scenario: Scenario, tree: Tree, controller: str) -> NDArray[np.bool_]:
    """Tell for each cgroup whether a controller is enabled, as `enabled_controllers`.

    An id without a path stands below the root and has what the root has.
    """
    says = np.zeros(len(tree.names), dtype=np.bool_)
    enabled = np.ones(len(tree.names), dtype=np.bool_)
    for cgroup in scenario.cgroups:
        if cgroup.path != ROOT and cgroup.controllers is not None:
            at = tree.index[cgroup.path]
            says[at] = True
            enabled[at] = controller in cgroup.controllers
    says[0] = True
    return enabled[tree.nearest(says)]


def make_setup(
    scenario: Scenario,
    tree: Tree,
    cgroups: FlatCgroups,
    devices: Sequence[int],
    tasks: Sequence[BoundTask],
    processes: ProcessTable,
    start_ns: int,
) -> Setup:
    """Make what the engine is told.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    tree : Tree
    cgroups : FlatCgroups
    devices : sequence of int
    tasks : sequence of BoundTask
    processes : ProcessTable
    start_ns : int
        Monotonic time of the trace's start. A second is a whole number of slices of
        ``io.max``, so what is beyond a second says nothing of their phase.

    Returns
    -------
    Setup
    """
    driver, backing, service = scenario.driver, scenario.backing, scenario.service
    tmpfs = backing.filesystem == "tmpfs"
    assert driver.kernel is not None
    assert driver.policy is not None
    kernel = driver.kernel
    copies = copies_direct_io(scenario, devices)
    # direct I/O is one call on every kernel
    at_once = copies or REQUEST_AT_ONCE.holds(kernel)
    true_errno = at_once
    owner = -1
    if backing.laid_out_by != "none":
        owner = int(cgroups.memory_owner[tree.index[backing.laid_out_by]])
    size, quota = whole_pages(backing.size), whole_pages(backing.quota)
    by_quota = quota != NO_LIMIT and not 0 <= size <= quota
    if by_quota:
        size = quota
    return Setup(
        parent=tree.parent,
        blkcg=cgroups.blkcg,
        memory_css=cgroups.memory_css,
        memory_max=cgroups.memory_max,
        memory_high=cgroups.memory_high,
        memory_min=cgroups.memory_min,
        memory_low=cgroups.memory_low,
        oom_group=cgroups.oom_group,
        journaled=bool(scenario.trace.journal) and _may_fail(scenario, cgroups),
        recursive_protection=scenario.machine.memory_recursiveprot,
        devices=np.array(devices, dtype=np.uint32),
        nested=-1 if backing.loop is None else list(devices).index(backing.loop),
        policy=BY_NAME[driver.policy].engine,
        trace_policy=BY_NAME[str(scenario.trace.policy)].engine,
        instance_cgroup=instance_cgroups(scenario, tree, devices),
        **_variant(scenario, devices),
        kernel_pids=_kernel_pids(scenario, processes),
        direct_io=bool(driver.direct_io) and not copies,
        trace_direct_io=bool(scenario.trace.direct_io) and not copies,
        event=arrival_event(scenario, devices),
        mode=ArrivalMode[scenario.arrivals.mode.upper()],
        lock_per_page=not at_once,
        trace_lock_per_page=not REQUEST_AT_ONCE.holds(scenario.trace.kernel or kernel),
        tags=NO_TAGS if driver.policy == "pass-through" else TAGS,
        # 2**64 for a probability of 1: no 64-bit draw is that large
        alloc_fail_threshold=math.floor(driver.alloc_fail.probability * 2**64),
        alloc_fail_seed=driver.alloc_fail.seed,
        alloc_fail_rows=np.array(driver.alloc_fail.requests, dtype=np.int64),
        tmpfs=tmpfs,
        cached=not tmpfs,
        laid_out=owner >= 0 or backing.filesystem == "raw",
        **flat_page_cache(scenario),
        file_pages=whole_pages(backing.file_size),
        reclaim_lru=backing.reclaim == "lru",
        mglru=mglru_of(scenario),
        **_dirty(scenario),
        **flat_tmpfs(scenario),
        charge_batch=64 if CHARGES_64.holds(kernel) else 32,
        stock_slots=7 if STOCK_OF_7.holds(kernel) else 1,
        high_in_charge=HIGH_IN_CHARGE.holds(kernel),
        max_sectors=_decided_of(backing.max_sectors_kb) * 2,
        fs_pages=NO_LIMIT if backing.filesystem == "raw" else size,
        laid_out_by=owner,
        backing_device=backing.device is not None,
        oom_kills=driver.policy != "enospc",
        write_errno=_write_errno(driver.policy, true_errno),
        # a quota's EDQUOT is EIO to the writer, whatever the kernel
        enospc_errno=ENOSPC if true_errno and not by_quota else EIO,
        short_writes=true_errno and driver.errors == "kernel",
        **flat_iomax(scenario, tree, devices),
        **flat_iocost(scenario, tree, devices),
        **flat_iolatency(scenario, tree, devices),
        bfq_weight=bfq_weights(scenario, tree),
        iomax_waits_for_io=IOMAX_WAITS_FOR_IO.holds(kernel),
        iomax_meta_debt=IOMAX_META_DEBT.holds(kernel),
        iomax_keeps_slice=IOMAX_KEEPS_SLICE.holds(kernel),
        iomax_two_queues=IOMAX_TWO_QUEUES.holds(kernel),
        iomax_splits_late=not IOMAX_HOLDS_SPLITS.holds(kernel),
        iocost_flush_costs=not IOCOST_EMPTY_FREE.holds(kernel),
        iocost_min_holds=IOCOST_MIN_HOLDS.holds(kernel),
        iocost_max_up=IOCOST_MAX_UP.holds(kernel),
        hz=scenario.machine.hz,
        boot_ns=start_ns % NS_PER_S,
        service=(
            ServiceModel.LINEAR if service.model == "linear" else ServiceModel.RECORDED
        ),
        read_base_ns=service.read.base_ns,
        read_ns_per_byte=_fixed_point(service.read.ns_per_byte),
        read_random_ns=service.read.random_ns,
        write_base_ns=service.write.base_ns,
        write_ns_per_byte=_fixed_point(service.write.ns_per_byte),
        write_random_ns=service.write.random_ns,
        parallel=service.parallel,
        processors=scenario.machine.cpus or 0,
        task_cgroup=cgroups.memory_owner[[task.cgroup for task in tasks]]
        if tasks
        else np.empty(0, dtype=np.uint32),
        task_rss=np.array([task.rss_pages for task in tasks], dtype=np.int64),
        task_adj=np.array([task.oom_score_adj for task in tasks], dtype=np.int64),
        task_requests=np.array([task.n_requests for task in tasks], dtype=np.int64),
        task_always=np.array([task.always for task in tasks], dtype=np.bool_),
        task_kernel=np.array([task.kernel for task in tasks], dtype=np.bool_),
    )


def _may_fail(scenario: Scenario, cgroups: FlatCgroups) -> bool:
    """Return True if a write may fail that did not when it was recorded."""
    sizes = (scenario.backing.size, scenario.backing.quota)
    return not scenario.driver.direct_io and (
        any(size is not None for size in sizes) or bool(cgroups.limited.any())
    )


def arrival_event(scenario: Scenario, devices: Sequence[int]) -> ArrivalEvent:
    """Return at which event requests arrive.

    Where nothing acts ahead of the driver, what lies between Q and D is as recorded.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    devices : sequence of int

    Returns
    -------
    ArrivalEvent
    """
    if scenario.arrivals.event == "issue":
        return ArrivalEvent.ISSUE
    if scenario.service.model == "device":
        return ArrivalEvent.QUEUE  # the disk's own queue is replayed
    own = {*devices} - {scenario.backing.device, scenario.backing.loop}
    limited = {*enabled_devices(scenario)}
    for cgroup in scenario.cgroups:
        limited |= limits_by_device(cgroup.io_max).keys()
        limited |= limits_by_device(cgroup.io_latency).keys()
        # a limit that is lifted: its waits, which were recorded, are not to stay
        lifted = limits_by_device(cgroup.recorded_io_max).keys()
        limited |= lifted & dict(cgroup.io_max).keys()
    acts = own & limited
    return ArrivalEvent.QUEUE if acts else ArrivalEvent.AS_QUEUED


def _variant(scenario: Scenario, devices: Sequence[int]) -> dict[str, Any]:
    """Return what a version of 5.14's patches changes."""
    row = VARIANT_BY_NAME[scenario.driver.variant]
    if scenario.driver.policy not in WITH_VARIANTS:
        row = MERGED
    # alloc_workqueue() got the device's number in place of max_active; 0 is the default
    most = [
        min(device & MINOR_MASK, MOST_ACTIVE)
        if row.limits_active and is_loop(device)
        else 0
        for device in devices
    ]
    return {
        "max_active": np.array(most if any(most) else [], dtype=np.uint32),
        "root_has_worker": row.root_has_worker,
        "keeps_idle": row.keeps_idle,
        "leaks_css": row.leaks_css,
    }


def _kernel_pids(scenario: Scenario, processes: ProcessTable) -> NDArray[np.int32]:
    """Find the kernel threads that issue, where it matters who they are.

    A pid whose name is not known is taken for a user's process.
    """
    if scenario.driver.policy != "synchronous" and not enabled_devices(scenario):
        return np.empty(0, dtype=np.int32)
    return np.array(
        [
            pid
            for pid, names in zip(
                processes.pids.tolist(), processes.pid_names, strict=False
            )
            if any(is_kernel_thread(name) for name in names)
        ],
        dtype=np.int32,
    )


def _protection(nbytes: int | None) -> int:
    """Return the pages of ``memory.min`` or ``memory.low``."""
    pages = limit_pages(nbytes)
    return ALL_PAGES if pages == NO_LIMIT else pages


def _dirty(scenario: Scenario) -> dict[str, Any]:
    """Return the fields of ``vm.dirty_*``."""
    machine = scenario.machine
    return {
        "dirty_background_ratio": machine.dirty_background_ratio,
        "dirty_background_bytes": machine.dirty_background_bytes,
        "dirty_ratio": machine.dirty_ratio,
        "dirty_bytes": machine.dirty_bytes,
        "dirty_expire_ns": machine.dirty_expire_centisecs * NS_PER_CENTISECOND,
        "dirty_writeback_ns": machine.dirty_writeback_centisecs * NS_PER_CENTISECOND,
    }


def _write_errno(policy: str, true_errno: bool) -> int:
    """Return what the writer sees where no page can be charged."""
    if policy == "enospc":
        return ENOSPC
    return ENOMEM if true_errno else EIO


def _fixed_point(ns_per_byte: float) -> int:
    """Return the nearest whole number of 2**-20 ns."""
    return math.floor(ns_per_byte * (1 << NS_PER_BYTE_SHIFT) + 0.5)


def _decided_of(value: int | None) -> int:
    """Return what binding has filled in."""
    assert value is not None
    return value
