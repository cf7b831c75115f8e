"""Every rule that differs between kernels: from which version on, and who says so.

The one table that replays, docs/kernels.md and `replay keys` go by. Releases were
bounded by reading Linux 5.10.223, 5.15.215, 5.17-rc5, 5.19.0, 6.0-rc1, 6.1.192, 6.8.1,
6.12.117, 6.14.0, 6.18.35, 6.19.0, 7.2.12 and 7.3.4: a rule is not in `absent` and is in
`present`. In between `since` is the best guess, and results say so.
"""

from dataclasses import dataclass
from typing import Final

from replay.scenario.keys.kernel import KernelVersion

Release = tuple[int, int]

#: The oldest and the newest kernel whose rules were read.
OLDEST: Final[Release] = (5, 10)
NEWEST: Final[Release] = (7, 3)


def text_of(release: Release) -> str:
    """Write a release: ``6.1``."""
    return ".".join(map(str, release))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule that holds from a version on.

    Attributes
    ----------
    name : str
    area : str
        What a replay must do for it to matter: ``driver``, ``memory``, ``tmpfs``,
        ``huge``, ``cache``, ``throttle``, ``iocost`` or ``trace``.
    since : tuple of int
        First release with it.
    absent, present : tuple of int
        Last release that was read and has it not, first that was read and has it.
    backports : tuple of KernelVersion
        Stable releases that have it from this patch level on.
    maybe : tuple of tuple of int
        Stable releases older than `since` that may have it.
    before, after : str
        What holds up to then, and from then on.
    source : str
        Kernel file and functions.
    """

    name: str
    area: str
    since: Release
    absent: Release
    present: Release
    before: str
    after: str
    source: str
    backports: tuple[KernelVersion, ...] = ()
    maybe: tuple[Release, ...] = ()

    def holds(self, kernel: KernelVersion) -> bool:
        """Return True if a kernel has it, as far as is known."""
        return kernel.release >= self.since or self._is_backport(kernel)

    def is_uncertain(self, kernel: KernelVersion) -> bool:
        """Return True if a kernel lies where nobody looked."""
        if kernel.takes_later_changes:
            return kernel.release < self.since
        if self._is_backport(kernel):
            return False
        stable = kernel.patch > 0 or kernel.has_unknown_patch
        if stable and kernel.release in self.maybe:
            return True
        return self.absent < kernel.release < self.present

    def _is_backport(self, kernel: KernelVersion) -> bool:
        return any(
            kernel.release == one.release and kernel.patch >= one.patch
            for one in self.backports
        )

    @property
    def bound(self) -> str:
        """Between which releases it came, for the docs."""
        return f"{text_of(self.absent)} < X <= {text_of(self.present)}"


WORKER_PER_CGROUP: Final = Rule(
    name="worker_per_cgroup",
    area="driver",
    since=(5, 14),
    absent=(5, 13),
    present=(5, 14),
    before="one kernel thread serves a loop device, and the root pays for all that is "
    "buffered: policy root",
    after="a worker for each cgroup, which pays: policy per-cgroup",
    source="drivers/block/loop.c:loop_queue_work(), loop_queue_rq()",
)
REQUEST_AT_ONCE: Final = Rule(
    name="request_at_once",
    area="driver",
    since=(6, 15),
    absent=(6, 14),
    present=(6, 15),
    backports=(KernelVersion(6, 12, 117),),
    maybe=((6, 12), (6, 14)),
    before="a buffered request is a call for each page: the file's lock is taken for "
    "each, and every failed write is EIO",
    after="it is one call: the lock is held for the request, the writer sees ENOSPC or "
    "ENOMEM, and a write that fails behind its first byte is reported as done",
    source="drivers/block/loop.c:lo_write_simple(), lo_rw_aio(), lo_complete_rq()",
)
HOLES_READ_FREE: Final = Rule(
    name="holes_read_free",
    area="tmpfs",
    since=(5, 18),
    absent=(5, 17),
    present=(5, 19),
    before="a worker that reads a hole of a tmpfs file allocates and charges its pages",
    after="it reads zeroes, and nothing is charged",
    source="mm/shmem.c:shmem_file_read_iter()",
)
IOMAX_WAITS_FOR_IO: Final = Rule(
    name="iomax_waits_for_io",
    area="throttle",
    since=(6, 12),
    absent=(6, 8),
    present=(6, 12),
    before="who waits for an I/O of io.max waits until the slice's end",
    after="it waits for its share of a second at least",
    source="block/blk-throttle.c:tg_within_iops_limit()",
)
IOMAX_META_DEBT: Final = Rule(
    name="iomax_meta_debt",
    area="throttle",
    since=(6, 12),
    absent=(6, 8),
    present=(6, 12),
    before="metadata waits for io.max as all else",
    after="metadata passes io.max, and counts against what comes later",
    source="block/blk-throttle.c:__blk_throtl_bio()",
)
HIGH_IN_CHARGE: Final = Rule(
    name="high_in_charge",
    area="memory",
    since=(5, 18),
    absent=(5, 17),
    present=(5, 19),
    before="memory.high holds who returns to user mode, which no loop worker does",
    after="who charges above memory.high reclaims and sleeps there, a loop worker too",
    source="mm/memcontrol.c:try_charge_memcg(), mem_cgroup_handle_over_high()",
)
CHARGES_64: Final = Rule(
    name="charges_64",
    area="memory",
    since=(6, 1),
    absent=(6, 0),
    present=(6, 1),
    before="32 pages are charged at once",
    after="64 pages are charged at once",
    source="include/linux/memcontrol.h:MEMCG_CHARGE_BATCH",
)
STOCK_OF_7: Final = Rule(
    name="stock_of_7",
    area="memory",
    since=(6, 16),
    absent=(6, 14),
    present=(6, 18),
    before="a CPU holds pages charged in advance for one cgroup",
    after="a CPU holds pages charged in advance for 7 cgroups",
    source="mm/memcontrol.c:refill_stock(), NR_MEMCG_STOCK",
)
REFUSALS_COUNT: Final = Rule(
    name="refusals_count",
    area="memory",
    since=(7, 3),
    absent=(7, 2),
    present=(7, 3),
    before="a charge that is refused without reclaim (a huge page's) counts nowhere",
    after="it is one `max`",
    source="mm/memcontrol.c:try_charge_memcg()",
)
REPARENTS_LRU: Final = Rule(
    name="reparents_lru",
    area="memory",
    since=(7, 2),
    absent=(6, 19),
    present=(7, 2),
    before="pages of a removed cgroup stay its own",
    after="pages of a removed cgroup become its parent's",
    source="mm/memcontrol.c:memcg_reparent_objcgs()",
)
TMPFS_DIRECT: Final = Rule(
    name="tmpfs_direct",
    area="tmpfs",
    since=(6, 6),
    absent=(6, 1),
    present=(6, 8),
    before="a file on tmpfs refuses direct I/O",
    after="it takes direct I/O, and copies as without: a request is one call, pages "
    "are charged to the issuer",
    source="mm/shmem.c:shmem_file_open(), shmem_file_write_iter()",
)
HUGE_BY_WRITE: Final = Rule(
    name="huge_by_write",
    area="huge",
    since=(6, 14),
    absent=(6, 12),
    present=(6, 14),
    before="with huge= new pages of tmpfs come in 2 MiB, or one by one",
    after="they are as large as the write that makes them",
    source="mm/shmem.c:shmem_mapping_size_orders()",
)
HUGE_FITTING: Final = Rule(
    name="huge_fitting",
    area="huge",
    since=(6, 18),
    absent=(6, 14),
    present=(6, 18),
    before="with huge= new pages of tmpfs are as large as the write that makes them",
    after="they come in 2 MiB, or in the largest that fits between those that are "
    "there",
    source="mm/shmem.c:shmem_huge_global_enabled(), shmem_suitable_orders()",
)
IOMAX_KEEPS_SLICE: Final = Rule(
    name="iomax_keeps_slice",
    area="throttle",
    since=(6, 15),
    absent=(6, 14),
    present=(6, 18),
    before="io.max forgets all slices that are over",
    after="io.max keeps the last slice's credit for who comes late or pauses",
    source="block/blk-throttle.c:throtl_trim_slice()",
)
IOMAX_TWO_QUEUES: Final = Rule(
    name="iomax_two_queues",
    area="throttle",
    since=(6, 16),
    absent=(6, 14),
    present=(6, 18),
    before="io.max holds a bio for the longer of its waits for bytes and for I/Os",
    after="it waits for bytes and then for I/Os, in two queues",
    source="block/blk-throttle.c:throtl_qnode_add_bio(), tg_within_limit()",
)
IOMAX_HOLDS_SPLITS: Final = Rule(
    name="iomax_holds_splits",
    area="throttle",
    since=(5, 18),
    absent=(5, 17),
    present=(5, 19),
    before="parts of a split bio are not held by io.max, and count as I/Os later",
    after="each part of a split bio is an I/O that io.max may hold",
    source="block/blk-throttle.c:blk_throtl_charge_bio_split(), __blk_throtl_bio()",
)
IOCOST_MIN_HOLDS: Final = Rule(
    name="iocost_min_holds",
    area="iocost",
    since=(5, 14),
    absent=(5, 10),
    present=(5, 17),
    before="io.cost.qos's min does not hold while requests wait for a place",
    after="io.cost.qos's min always holds",
    source="block/blk-iocost.c:ioc_timer_fn(), ioc_adjust_base_vrate()",
)
IOCOST_EMPTY_FREE: Final = Rule(
    name="iocost_empty_free",
    area="iocost",
    since=(6, 5),
    absent=(6, 1),
    present=(6, 8),
    before="a flush that a bio asks for costs a write of a page",
    after="it is free",
    source="block/blk-iocost.c:calc_vtime_cost_builtin()",
)
IOCOST_MAX_UP: Final = Rule(
    name="iocost_max_up",
    area="iocost",
    since=(6, 5),
    absent=(6, 1),
    present=(6, 8),
    before="io.cost.qos's max is rounded down",
    after="io.cost.qos's max is rounded up",
    source="block/blk-iocost.c:ioc_refresh_params_disk()",
)
READAHEAD_STOPS: Final = Rule(
    name="readahead_stops",
    area="cache",
    since=(6, 9),
    absent=(6, 8),
    present=(6, 12),
    before="readahead leaves a page out that cannot be charged",
    after="readahead stops at a page that cannot be charged",
    source="mm/readahead.c:page_cache_ra_unbounded()",
)
READAHEAD_BY_MARKS: Final = Rule(
    name="readahead_by_marks",
    area="cache",
    since=(6, 11),
    absent=(6, 8),
    present=(6, 12),
    before="a miss where a window ends, or at its mark, is the next window",
    after="a page with the mark alone moves the window on; a plain miss begins anew",
    source="mm/readahead.c:page_cache_sync_ra(), page_cache_async_ra()",
)
READAHEAD_ROUNDS: Final = Rule(
    name="readahead_rounds",
    area="cache",
    since=(6, 17),
    absent=(6, 14),
    present=(6, 18),
    before="a window that a mark begins ends where it would",
    after="its end is rounded down to a power of two that grows with every window",
    source="mm/readahead.c:page_cache_async_ra()",
)
DISK_DEFAULTS: Final = Rule(
    name="disk_defaults",
    area="cache",
    since=(6, 17),
    absent=(6, 14),
    present=(6, 18),
    before="a disk reads ahead 128K and takes 1280 KiB at once",
    after="it takes 4096 KiB at once, and reads ahead twice that if it rotates",
    source="block/blk-settings.c:blk_apply_bdi_limits(), BLK_DEF_MAX_SECTORS_CAP",
)
EXT4_LARGE_FOLIOS: Final = Rule(
    name="ext4_large_folios",
    area="cache",
    since=(6, 16),
    absent=(6, 14),
    present=(6, 18),
    before="pages of ext4's files are cached one by one",
    after="readahead makes folios of several pages, each charged at once; its windows "
    "end with them",
    source="fs/ext4/inode.c:ext4_set_inode_mapping_order(), "
    "mm/readahead.c:page_cache_ra_order()",
)
#: A choice of the kernel's configuration: Debian has it on since then, and off in 6.1.
MGLRU_IS_USUAL: Final = Rule(
    name="mglru_is_usual",
    area="cache",
    since=(6, 12),
    absent=(6, 1),
    present=(6, 12),
    before="page cache is reclaimed from an inactive and an active list",
    after="kernels are built with the multi-generational LRU on",
    source="mm/vmscan.c:lru_gen_shrink_lruvec(), CONFIG_LRU_GEN_ENABLED",
)
HAS_MGLRU: Final = Rule(
    name="has_mglru",
    area="cache",
    since=(6, 1),
    absent=(6, 0),
    present=(6, 1),
    before="there is no multi-generational LRU, whatever is asked for",
    after="it is there, by the rules of 6.12 up to 6.13",
    source="mm/vmscan.c:lru_gen_shrink_lruvec()",
)
MGLRU_COUNTS_FIRST: Final = Rule(
    name="mglru_counts_first",
    area="cache",
    since=(6, 14),
    absent=(6, 12),
    present=(6, 14),
    before="a page read twice is of the working set, then its reads count; a new page "
    "begins in the oldest generation; a refault counts in the same oldest generation",
    after="reads count first, then a page is of the working set; one that was read "
    "begins a generation later; a refault counts for four generations",
    source="mm/swap.c:folio_inc_refs(), lru_gen_inc_refs(), "
    "include/linux/mm_inline.h:lru_gen_folio_seq(), "
    "mm/workingset.c:lru_gen_test_recent()",
)
MGLRU_SCANS_SHARE: Final = Rule(
    name="mglru_scans_share",
    area="cache",
    since=(7, 2),
    absent=(6, 19),
    present=(7, 2),
    before="the multi-generational LRU drops 64 pages at a time",
    after="it looks at no more pages than the priority's share",
    source="mm/vmscan.c:get_nr_to_scan(), should_run_aging(), scan_folios()",
)
SHARE_FLOOR: Final = Rule(
    name="share_floor",
    area="cache",
    since=(6, 14),
    absent=(6, 12),
    present=(6, 14),
    before="who has written nothing back yet is written at the first look",
    after="an eighth of what is left of the threshold is everybody's share at least",
    source="mm/page-writeback.c:__wb_calc_thresh()",
)
V7_DROPS_FUA: Final = Rule(
    name="v7_drops_fua",
    area="trace",
    since=(6, 19),
    absent=(6, 18),
    present=(6, 19),
    before="records of version 7 hold all, write-zeroes as writes",
    after="records of version 7 lack FUA writes and write-zeroes; version 8 has them",
    source="kernel/trace/blktrace.c:__blk_add_trace()",
)
#: Whose rules hold where nobody says which kernel it is.
DEFAULT_KERNEL: Final = KernelVersion(6, 1)
RULES: Final[tuple[Rule, ...]] = (
    WORKER_PER_CGROUP,
    REQUEST_AT_ONCE,
    HIGH_IN_CHARGE,
    CHARGES_64,
    STOCK_OF_7,
    REPARENTS_LRU,
    REFUSALS_COUNT,
    HOLES_READ_FREE,
    TMPFS_DIRECT,
    HUGE_BY_WRITE,
    HUGE_FITTING,
    READAHEAD_STOPS,
    READAHEAD_BY_MARKS,
    READAHEAD_ROUNDS,
    DISK_DEFAULTS,
    EXT4_LARGE_FOLIOS,
    MGLRU_IS_USUAL,
    HAS_MGLRU,
    MGLRU_COUNTS_FIRST,
    MGLRU_SCANS_SHARE,
    SHARE_FLOOR,
    IOMAX_WAITS_FOR_IO,
    IOMAX_META_DEBT,
    IOMAX_HOLDS_SPLITS,
    IOMAX_KEEPS_SLICE,
    IOMAX_TWO_QUEUES,
    IOCOST_MIN_HOLDS,
    IOCOST_EMPTY_FREE,
    IOCOST_MAX_UP,
    V7_DROPS_FUA,
)


def policy_of(kernel: KernelVersion) -> str:
    """Return the policy of a kernel's own driver."""
    return "per-cgroup" if WORKER_PER_CGROUP.holds(kernel) else "root"
