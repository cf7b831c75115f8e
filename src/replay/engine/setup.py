"""The engine's input: flat numbers made from a scenario and a trace.

`Setup` is the only thing that crosses from the scenario to the engine and to the
reference; both read the same fields, so both can be compared.
"""

from enum import IntEnum
from typing import Final

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

PAGE_BYTES: Final = 4096
NO_LIMIT: Final = -1
#: A protection without end: more pages than any machine has.
ALL_PAGES: Final = 1 << 50
#: ``ns_per_byte`` is kept as an integer of 2**-20 ns, so that results do not depend on
#: floating point.
NS_PER_BYTE_SHIFT: Final = 20
#: ``device_idx`` of a row whose device is not replayed.
NOT_REPLAYED: Final = 0xFFFF


#: Major number of loop devices. Source: include/uapi/linux/major.h.
LOOP_MAJOR: Final = 7
#: ``iomax_device`` of a limit on the disk below.
BACKING_DEVICE: Final = -1


class Policy(IntEnum):
    """Who serves a command and who pays for it."""

    ROOT = 0
    NAIVE = 1
    PER_CGROUP = 2
    SYNCHRONOUS = 3
    INSTANCE = 4
    PASS_THROUGH = 5
    BACKCHARGE = 6


class ArrivalEvent(IntEnum):
    """The trace event at which a request arrives.

    With ``QUEUE`` limits and tags of the traced device are replayed. With ``AS_QUEUED``
    what lies between Q and the last D is as recorded: a request enters the driver at
    its last D, and the time from its Q counts as a wait.
    """

    ISSUE = 0
    QUEUE = 1
    AS_QUEUED = 2


class ArrivalMode(IntEnum):
    """Whether arrivals keep the recorded clock or follow completions."""

    RECORDED = 0
    DEPENDENT = 1


class ServiceModel(IntEnum):
    """The source of the time in the device."""

    RECORDED = 0
    LINEAR = 1


class Scheduler(IntEnum):
    """The order in which a plain disk is issued requests."""

    NONE = 0
    DEADLINE = 1
    BFQ = 2


class Huge(IntEnum):
    """``huge=`` of a tmpfs mount."""

    NEVER = 0
    ALWAYS = 1
    WITHIN_SIZE = 2


class Mglru(IntEnum):
    """The multi-generational LRU: its rules as a version of the kernel has them."""

    NONE = 0
    V6_12 = 1
    V6_14 = 2
    V7_2 = 3


class HugeOrders(IntEnum):
    """The largest size of a tmpfs file's new pages.

    2 MiB or a page; by the length of the write; 2 MiB, or the largest that fits.
    """

    LARGEST = 0
    WRITE = 1
    FITTING = 2


class Stage(IntEnum):
    """Stops of a request, in the kernel's order; ``TOTAL`` is their sum."""

    THROTTLE = 0
    QUEUE = 1
    TAG = 2
    DISPATCH = 3
    LOCK = 4
    MEMORY = 5
    BACKING = 6
    DEBT = 7
    DEVICE = 8
    TOTAL = 9


class Resource(IntEnum):
    """A resource that a request can wait for behind another one."""

    TAG = 0
    WORKER = 1
    LOCK = 2
    DEVICE = 3
    THROTTLE = 4
    MEMORY = 5
    QUEUE = 6


class Setup(Struct, frozen=True, kw_only=True):
    """Everything the engine knows of a scenario; dense ids, integers only.

    Attributes
    ----------
    parent : ndarray of int32, shape (n_cgroups,)
        Parent of each cgroup; cgroup 0 is the root (parent -1); parents come first.
    blkcg : ndarray of uint32, shape (n_cgroups,)
        Nearest cgroup, itself included, that has the io controller.
    memory_css : ndarray of uint32, shape (n_cgroups,)
        Nearest cgroup, itself included, that has the memory controller.
    memory_max : ndarray of int64, shape (n_cgroups,)
        ``memory.max`` in pages, `NO_LIMIT` for none; of the root the machine's memory.
    memory_high : ndarray of int64, shape (n_cgroups,)
        ``memory.high`` in pages, `NO_LIMIT` for none.
    memory_min, memory_low : ndarray of int64, shape (n_cgroups,) or (0,)
        Protection in pages, `ALL_PAGES` for ``max``; empty: none has any.
    oom_group : ndarray of bool, shape (n_cgroups,) or (0,)
        ``memory.oom.group``; empty: none has it.
    recursive_protection : bool
        The hierarchy is mounted with ``memory_recursiveprot``.
    journaled : bool
        A file system with a journal lies on the devices: where a write of META fails it
        turns read-only, and nothing but reads comes any more.
    devices : ndarray of uint32, shape (n_devices,)
        Traced device numbers that are replayed.
    nested : int
        Position of the loop device on which all others lie, which use direct I/O then;
        what the setup says of the backing file and its I/O is that device's. -1: none.
    policy, trace_policy : Policy
        What is asked, and what the trace was taken under.
    direct_io, trace_direct_io : bool
        Whether the loop device uses direct I/O, likewise.
    instance_cgroup : ndarray of uint32, shape (n_devices,)
        Cgroup that each device is bound to; empty but for policy `INSTANCE`.
    max_active : ndarray of uint32, shape (n_devices,)
        Workers of each device that run at once, 0 for no limit; empty for none at all.
    root_has_worker : bool
        The root cgroup's own requests get a worker as any other's (before v14).
    keeps_idle : bool
        A worker without commands waits for some; else it is freed at once (v1, v2).
    leaks_css : bool
        Where no worker can be made the memory css of the request is lost (v5).
    kernel_pids : ndarray of int32, sorted
        Kernel threads that issue; empty but for policy `SYNCHRONOUS`.
    event : ArrivalEvent
    mode : ArrivalMode
    lock_per_page : bool
        The backing file's lock is taken for every page (6.1) and not for the request.
    trace_lock_per_page : bool
        Likewise, when the trace was taken.
    tags : int
        Requests that a device's tag set holds (128).
    alloc_fail_threshold : int
        A worker allocation fails if a 64-bit draw is below this.
    alloc_fail_seed : int
        Seed of the draws.
    alloc_fail_rows : ndarray of int64, sorted
        Rows whose allocation fails whatever the draw says.
    tmpfs : bool
        The backing file lies on tmpfs: pages are charged at first touch.
    cached : bool
        The backing file lies on a disk file system, or is a raw device: without direct
        I/O its pages go through the page cache. Never with ``tmpfs``.
    laid_out : bool
        Every page of a cached file is on the disk from the start.
    readahead_pages : int
        Largest readahead window, 0 for none.
    readahead_by_marks : bool
        A page with the mark alone moves the window on (6.11).
    readahead_stops : bool
        Readahead stops at a page that cannot be charged (6.9).
    readahead_rounds : bool
        What a mark reads ends at a power of two that grows (6.17).
    large_folios : bool
        The file system below takes folios of several pages (ext4 from 6.16 on).
    share_floor : bool
        Who writes back has an eighth of what is left at least (6.14).
    file_pages : int
        Pages of a cached file, where readahead ends; `NO_LIMIT` for unknown.
    reclaim_lru : bool
        A charge that meets a limit drops the oldest page of the cache, one for one, and
        pages alone are charged; else what the kernel does.
    mglru : Mglru
        Pages are reclaimed from generations, not from an inactive and an active list.
    dirty_background_ratio, dirty_background_bytes, dirty_ratio, dirty_bytes : int
        ``vm.dirty_*``: above what the flusher threads write back, and what caps that;
        percent, or bytes if not 0.
    dirty_expire_ns, dirty_writeback_ns : int
        How long pages may be dirty, and how often that is looked at; 0: never.
    fs_pages : int
        Size of the file system in pages, `NO_LIMIT` for none.
    laid_out_by : int
        Cgroup that owns every page from the start, or -1 for a sparse file. Of a cached
        file it is the cgroup that its write-back is charged to, -1 for who dirties it
        first.
    max_sectors : int
        Sectors of the largest read or write of the device below, 8 or more: what is
        longer is split there.
    backing_device : bool
        A disk below is named: its ``io.stat`` is wanted.
    charge_batch : int
        Pages that are charged at once (32 before 6.1).
    stock_slots : int
        Cgroups whose pages a CPU holds charged in advance (7 from 6.16 on).
    high_in_charge : bool
        A worker above ``memory.high`` reclaims and sleeps (from 5.18 on).
    hole_reads_charge : bool
        Reading a hole of a tmpfs file allocates its pages (before 5.18).
    huge : Huge
        What a tmpfs file's new pages come in.
    huge_orders : HugeOrders
        Which sizes that can be, by the kernel's version.
    refusals_count : bool
        A huge page that is refused without reclaim is one `max` (from 7.3 on).
    oom_kills : bool
        A charge that meets ``memory.max`` may kill; else its request fails at once.
    write_errno : int
        What the writer sees if no page can be charged (EIO up to 6.14).
    enospc_errno : int
        What the writer sees if the file system is full (EIO up to 6.14).
    short_writes : bool
        A write that fails after its first bytes is reported as done (from 6.15 on).
    iomax_cgroup : ndarray of uint32, shape (n_iomax,)
        Cgroups with an ``io.max`` line, one entry for each device.
    iomax_device : ndarray of int32, shape (n_iomax,)
        Position in ``devices``, or `BACKING_DEVICE`.
    iomax_rbps, iomax_wbps, iomax_riops, iomax_wiops : ndarray of int64
        Its limits a second, `NO_LIMIT` for none; shape (n_iomax,).
    iomax_waits_for_io : bool
        The wait for an I/O is at least its share of a second (6.12).
    iomax_meta_debt : bool
        META I/O passes and counts against what comes later (6.12).
    iomax_keeps_slice : bool
        What is forgotten of ``io.max`` leaves a slice's credit (6.15).
    iomax_two_queues : bool
        Who has waited for bytes waits for I/Os then (6.16).
    iomax_splits_late : bool
        What is left of a split bio is not held, and counts at the next check (5.17).
    iocost_device : ndarray of int32, shape (n_iocosts,)
        Devices with ``io.cost.qos enable=1``: position in ``devices``, or
        `BACKING_DEVICE`; each once.
    iocost_coefficients : ndarray of int64, shape (n_iocosts, 6)
        What a page, a sequential and a random read cost, then writes: 2**37 a second of
        the device.
    iocost_qos : ndarray of int64, shape (n_iocosts, 6)
        Share of reads (ppm) that must be in time and which (us), the same of writes,
        least and most vrate (ppm).
    iocost_weight : ndarray of uint32, shape (n_iocosts, n_cgroups)
        ``io.weight`` of each cgroup there, 1 to 10000.
    iocost_flush_costs : bool
        A flush that a bio asks for costs a write of a page (up to 6.1).
    iocost_min_holds : bool
        Least vrate holds where requests wait for a place, too (not in 5.10).
    iocost_max_up : bool
        Most vrate is rounded up (from 6.8 on).
    iolatency_device : ndarray of int32, shape (n_iolatencies,)
        Devices with an ``io.latency`` target: position in ``devices``, or
        `BACKING_DEVICE`; each once.
    iolatency_target : ndarray of int64, shape (n_iolatencies, n_cgroups)
        Targets in ns, 0 for none.
    iolatency_requests : ndarray of int64, shape (n_iolatencies,)
        Requests of the device's queue (``nr_requests``).
    iolatency_rotates : ndarray of bool, shape (n_iolatencies,)
        It is a disk that turns: the mean counts.
    bfq_weight : ndarray of uint32, shape (n_cgroups,) or (0,)
        ``io.bfq.weight``, 1 to 1000, of a disk below that runs bfq; empty: it does not.
    disk_scheduler : ndarray of int8, shape (n_devices,) or (0,)
        `Scheduler` of each device that is a plain disk whose queue is replayed, -1 for
        others; empty: none is. Counts with direct I/O alone, and without ``nested``.
        Such a disk serves one request at a time; no worker holds its requests.
    disk_pipe : ndarray of int64, shape (n_devices, 7) or (0, 7)
        How long a request occupies it: base ns, 2**-20 ns a byte, and ns more if it is
        random, of reads, then of writes; ns of all others.
    disk_descriptors : ndarray of int64, shape (n_devices,) or (0,)
        What its ring holds, 0 for no end of it.
    disk_requeue_ns : ndarray of int64, shape (n_devices,) or (0,)
        From a completion until what was refused is issued again.
    disk_delay_ns : ndarray of int64, shape (n_devices,) or (0,)
        What every request takes besides, which occupies nothing.
    disk_together : ndarray of bool, shape (n_devices,) or (0,)
        It answers when it has served all that it has.
    hz : int
        Jiffies a second.
    boot_ns : int
        Monotonic time of the trace's start: it sets the phase of the jiffies.
    service : ServiceModel
    read_base_ns, write_base_ns : int
    read_ns_per_byte, write_ns_per_byte : int
        In 2**-20 ns; linear only.
    read_random_ns, write_random_ns : int
        Added where a request is far from its cgroup's last one; linear only.
    parallel : int
        Requests that the device serves at once; linear only.
    processors : int
        That copy for a file on tmpfs, one request each: all but writes that share its
        lock; 0: no bound.
    interval_ns : int
        Length of the timeline's intervals, 0 for no timeline.
    task_cgroup : ndarray of uint32, shape (n_tasks,)
        Cgroup that each task's memory is charged to.
    task_rss : ndarray of int64, shape (n_tasks,)
        Pages.
    task_adj : ndarray of int64, shape (n_tasks,) or (0,)
        ``oom_score_adj``, -1000 to 1000; empty: all 0.
    task_requests : ndarray of int64, shape (n_tasks,)
        Rows of the trace that are the task's: it lives from the first to the last.
    task_always : ndarray of bool, shape (n_tasks,) or (0,)
        The task lives from before the trace to behind its end; empty: none does.
    task_kernel : ndarray of bool, shape (n_tasks,)
        The "task" is a kernel thread that issues for the cgroup: never killed, but its
        requests stop when no other task of the cgroup lives.
    """

    parent: NDArray[np.int32]
    blkcg: NDArray[np.uint32]
    memory_css: NDArray[np.uint32]
    memory_max: NDArray[np.int64]
    memory_high: NDArray[np.int64]
    devices: NDArray[np.uint32]
    nested: int = -1
    policy: Policy = Policy.PER_CGROUP
    trace_policy: Policy = Policy.PER_CGROUP
    direct_io: bool = False
    trace_direct_io: bool = False
    instance_cgroup: NDArray[np.uint32] = field(
        default_factory=lambda: np.zeros(0, np.uint32)
    )
    max_active: NDArray[np.uint32] = field(
        default_factory=lambda: np.zeros(0, np.uint32)
    )
    root_has_worker: bool = False
    keeps_idle: bool = True
    leaks_css: bool = False
    kernel_pids: NDArray[np.int32] = field(
        default_factory=lambda: np.zeros(0, np.int32)
    )
    event: ArrivalEvent = ArrivalEvent.ISSUE
    mode: ArrivalMode = ArrivalMode.RECORDED
    lock_per_page: bool = True
    trace_lock_per_page: bool = True
    tags: int = 128
    alloc_fail_threshold: int = 0
    alloc_fail_seed: int = 1
    alloc_fail_rows: NDArray[np.int64]
    tmpfs: bool = True
    cached: bool = False
    laid_out: bool = False
    readahead_pages: int = 32
    readahead_by_marks: bool = False
    readahead_stops: bool = False
    readahead_rounds: bool = False
    large_folios: bool = False
    share_floor: bool = False
    file_pages: int = NO_LIMIT
    reclaim_lru: bool = False
    mglru: Mglru = Mglru.NONE
    dirty_background_ratio: int = 10
    dirty_background_bytes: int = 0
    dirty_ratio: int = 20
    dirty_bytes: int = 0
    dirty_expire_ns: int = 30 * 10**9
    dirty_writeback_ns: int = 5 * 10**9
    fs_pages: int = NO_LIMIT
    laid_out_by: int = -1
    max_sectors: int = 2560
    backing_device: bool = False
    charge_batch: int = 64
    stock_slots: int = 1
    high_in_charge: bool = True
    hole_reads_charge: bool = False
    huge: Huge = Huge.NEVER
    huge_orders: HugeOrders = HugeOrders.LARGEST
    refusals_count: bool = False
    oom_kills: bool = True
    write_errno: int = 5
    enospc_errno: int = 5
    short_writes: bool = False
    memory_min: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    memory_low: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    oom_group: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    recursive_protection: bool = True
    journaled: bool = False
    task_adj: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    task_always: NDArray[np.bool_] = field(
        default_factory=lambda: np.zeros(0, np.bool_)
    )
    iomax_cgroup: NDArray[np.uint32] = field(
        default_factory=lambda: np.zeros(0, np.uint32)
    )
    iomax_device: NDArray[np.int32] = field(
        default_factory=lambda: np.zeros(0, np.int32)
    )
    iomax_rbps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    iomax_wbps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    iomax_riops: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(0, np.int64)
    )
    iomax_wiops: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(0, np.int64)
    )
    iomax_waits_for_io: bool = False
    iomax_meta_debt: bool = False
    iomax_keeps_slice: bool = False
    iomax_two_queues: bool = False
    iomax_splits_late: bool = False
    iocost_flush_costs: bool = False
    iocost_min_holds: bool = True
    iocost_max_up: bool = False
    iocost_device: NDArray[np.int32] = field(
        default_factory=lambda: np.zeros(0, np.int32)
    )
    iocost_coefficients: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((0, 6), np.int64)
    )
    iocost_qos: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((0, 6), np.int64)
    )
    iocost_weight: NDArray[np.uint32] = field(
        default_factory=lambda: np.zeros((0, 0), np.uint32)
    )
    iolatency_device: NDArray[np.int32] = field(
        default_factory=lambda: np.zeros(0, np.int32)
    )
    iolatency_target: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((0, 0), np.int64)
    )
    iolatency_requests: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(0, np.int64)
    )
    iolatency_rotates: NDArray[np.bool_] = field(
        default_factory=lambda: np.zeros(0, np.bool_)
    )
    bfq_weight: NDArray[np.uint32] = field(
        default_factory=lambda: np.zeros(0, np.uint32)
    )
    disk_scheduler: NDArray[np.int8] = field(
        default_factory=lambda: np.zeros(0, np.int8)
    )
    disk_pipe: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((0, 7), np.int64)
    )
    disk_descriptors: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(0, np.int64)
    )
    disk_requeue_ns: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(0, np.int64)
    )
    disk_delay_ns: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(0, np.int64)
    )
    disk_together: NDArray[np.bool_] = field(
        default_factory=lambda: np.zeros(0, np.bool_)
    )
    hz: int = 250
    boot_ns: int = 0
    service: ServiceModel = ServiceModel.RECORDED
    read_base_ns: int = 0
    read_ns_per_byte: int = 0
    read_random_ns: int = 0
    write_base_ns: int = 0
    write_ns_per_byte: int = 0
    write_random_ns: int = 0
    parallel: int = 32
    processors: int = 0
    interval_ns: int = 0
    task_cgroup: NDArray[np.uint32]
    task_rss: NDArray[np.int64]
    task_requests: NDArray[np.int64]
    task_kernel: NDArray[np.bool_]

    def is_disk(self, device: int) -> bool:
        """Return True if a device is a plain disk whose queue is replayed.

        None is where I/O goes through a file's page cache, or to another device.

        Parameters
        ----------
        device : int
            Its position.

        Returns
        -------
        bool
        """
        return (
            len(self.disk_scheduler) > 0
            and bool(self.disk_scheduler[device] >= 0)
            and self.direct_io
            and self.nested < 0
        )

    @property
    def prior_stages(self) -> list[Stage]:
        """Stage of each device's recorded waits between Q and D, ``AS_QUEUED`` alone.

        A loop device has no scheduler and is never full: what waits has no tag.
        """
        return [Stage.TAG if loop else Stage.QUEUE for loop in self.are_loops]

    @property
    def are_loops(self) -> list[bool]:
        """Whether each device is a loop device; no other has workers that wait."""
        return [device >> 20 == LOOP_MAJOR for device in self.devices.tolist()]

    @property
    def same_driver(self) -> bool:
        """Whether the replay asks for the driver that the trace was taken with.

        Not with a limit on the workers that run at once, which no kernel had; nor where
        workers cannot be made, or the file's lock is another one.
        """
        taken = (self.trace_policy, self.trace_direct_io)
        return (
            (self.policy, self.direct_io) == taken
            and not self.max_active.any()
            and not self.alloc_fail_threshold
            and not len(self.alloc_fail_rows)
            and (self.direct_io or self.lock_per_page == self.trace_lock_per_page)
        )

    @property
    def traced_lock(self) -> str:
        """The traced driver's file lock that is undone: shared, exclusive or none.

        Under the same driver waits for it stay in the recorded times.
        """
        if self.trace_direct_io or self.same_driver:
            return "none"
        return "shared" if self.trace_lock_per_page and self.tmpfs else "exclusive"

    @property
    def has_places(self) -> bool:
        """Whether a request waits for a place to be served, of the disk or a processor.

        Under the recorded driver waits for processors are in the recorded times.
        """
        linear = self.service == ServiceModel.LINEAR
        if not self.tmpfs:
            return linear
        copies = self.processors > 0 and not self.direct_io
        return copies and (linear or not self.same_driver)

    @property
    def lock_is_parallel(self) -> bool:
        """Whether the file's lock holds others up for what the replay adds alone.

        That is sleeps for limits: what was waited for it when the trace was taken is in
        the recorded times.
        """
        return self.service == ServiceModel.RECORDED and self.same_driver

    @property
    def may_sleep(self) -> bool:
        """Whether a request may sleep for a limit on memory."""
        limits = (self.memory_max >= 0).any() or (self.memory_high >= 0).any()
        return bool(limits) and (self.tmpfs or self.cached) and not self.direct_io
