"""Random setups and request columns for the engine and the reference."""

from errno import EIO, ENOMEM, ENOSPC
from typing import Any

import numpy as np
from hypothesis import strategies as st
from msgspec import structs
from msgspec.structs import replace

from replay.engine.columns import FAILED, Columns
from replay.engine.setup import (
    ALL_PAGES,
    NO_LIMIT,
    NOT_REPLAYED,
    ArrivalEvent,
    ArrivalMode,
    Huge,
    HugeOrders,
    Mglru,
    Policy,
    ServiceModel,
    Setup,
)
from replay.engine.shortcuts import KNOWS, Shortcut
from replay.trace.file.schema import FLAGS

READ, WRITE, DISCARD, FLUSH, WRITE_ZEROES = range(5)
SECTORS_PER_PAGE = 8
#: Loop devices, and a disk beside one or before it.
DEVICES = (
    (7 << 20, 7 << 20 | 1),
    (7 << 20, 8 << 20),
    (8 << 20, 7 << 20),
)
#: Where requests fall: the first pages, an edge of a tree node, of a leaf, far away.
PLACES = (0, 1, 60, 63, 64, 500, 512, 4090, 1 << 20, (1 << 55) - 1)
#: How long recorded requests take: most of them less than 1 us, some as long as an idle
#: worker lives.
TOOK = st.one_of(
    *[st.integers(0, 500)] * 6,
    st.sampled_from([59, 60, 61, 119, 125, 200]).map(lambda s: s * 10**9),
)


@st.composite
def setups(draw: st.DrawFn, /, **fixed: Any) -> Setup:
    """Return a small cgroup tree with limits, tasks and any policy."""
    n = draw(st.integers(1, 6))
    parent = [-1] + [draw(st.integers(0, i - 1)) for i in range(1, n)]

    def nearest(has: list[bool]) -> list[int]:
        out: list[int] = []
        for i in range(n):
            out.append(i if i == 0 or has[i] else out[parent[i]])
        return out

    flags = st.lists(st.booleans(), min_size=n, max_size=n)
    limits = st.lists(
        st.sampled_from([NO_LIMIT, NO_LIMIT, 0, 1, 5, 70, 200]), min_size=n, max_size=n
    )
    limit = draw(limits)
    # the root has no memory.max, but there may be little memory in the machine
    limit[0] = draw(st.sampled_from([NO_LIMIT, NO_LIMIT, NO_LIMIT, 150]))
    n_tasks = draw(st.integers(0, 4))
    tasks = [
        (
            draw(st.integers(0, n - 1)),
            draw(st.sampled_from([0, 3, 20])),
            draw(st.integers(1, 12)),
            draw(st.sampled_from([False, False, True])),
            draw(st.sampled_from([0, 0, -1000, 1000, 500])),
            draw(st.sampled_from([False, False, True])),
        )
        for _ in range(n_tasks)
    ]
    n_devices = draw(st.integers(1, 2))
    limited = draw(
        st.lists(
            st.tuples(st.integers(0, n - 1), st.integers(-1, n_devices - 1)),
            max_size=4,
            unique=True,
        )
    )

    filesystem = draw(st.sampled_from(["tmpfs", "tmpfs", "cached", "cached", "none"]))

    def rates(values: list[int]) -> Any:
        some = st.sampled_from([NO_LIMIT, *values])
        return np.array([draw(some) for _ in limited], np.int64)

    def some_of(choices: list[int]) -> Any:
        if draw(st.booleans()):
            return np.zeros(0, np.int64)
        each = st.lists(st.sampled_from(choices), min_size=n, max_size=n)
        return np.array(draw(each), np.int64)

    values: dict[str, Any] = {
        "iomax_cgroup": np.array([cgroup for cgroup, _ in limited], np.uint32),
        "iomax_device": np.array([device for _, device in limited], np.int32),
        "iomax_rbps": rates([16, 40_960, 10**7]),
        "iomax_wbps": rates([1000, 65_536, 10**12]),
        "iomax_riops": rates([1, 33]),
        "iomax_wiops": rates([7, 1000]),
        "iomax_waits_for_io": draw(st.booleans()),
        "iomax_meta_debt": draw(st.booleans()),
        "iomax_keeps_slice": draw(st.booleans()),
        "iomax_two_queues": draw(st.booleans()),
        "iomax_splits_late": draw(st.sampled_from([False, False, True])),
        "iocost_flush_costs": draw(st.booleans()),
        "iocost_min_holds": draw(st.booleans()),
        "iocost_max_up": draw(st.booleans()),
        "hz": draw(st.sampled_from([100, 250, 1000])),
        "boot_ns": draw(st.sampled_from([0, 123_456_789])),
        "parent": np.array(parent, np.int32),
        "blkcg": np.array(nearest(draw(flags)), np.uint32),
        "memory_css": np.array(nearest(draw(flags)), np.uint32),
        "memory_max": np.array(limit, np.int64),
        "memory_high": np.array(
            draw(
                st.lists(
                    st.sampled_from([NO_LIMIT, NO_LIMIT, 0, 3, 100, 4000]),
                    min_size=n,
                    max_size=n,
                )
            ),
            np.int64,
        ),
        "memory_min": some_of([0, 0, 0, 20, 100, ALL_PAGES]),
        "memory_low": some_of([0, 0, 0, 30, 150, ALL_PAGES]),
        "recursive_protection": draw(st.booleans()),
        "oom_group": np.array(draw(flags), np.bool_),
        "short_writes": draw(st.sampled_from([False, False, True])),
        "devices": np.array(draw(st.sampled_from(DEVICES))[:n_devices], np.uint32),
        "policy": draw(st.sampled_from(Policy)),
        "trace_policy": draw(st.sampled_from(Policy)),
        "instance_cgroup": np.array(
            [draw(st.integers(0, n - 1)) for _ in range(n_devices)], np.uint32
        ),
        "max_active": np.array(
            [draw(st.sampled_from([0, 0, 1, 2])) for _ in range(n_devices)], np.uint32
        ),
        "root_has_worker": draw(st.booleans()),
        "keeps_idle": draw(st.sampled_from([True, True, False])),
        "leaks_css": draw(st.booleans()),
        "kernel_pids": np.array(draw(st.sampled_from([[], [2], [1, 3]])), np.int32),
        "direct_io": draw(st.booleans()),
        "trace_direct_io": draw(st.booleans()),
        "event": draw(st.sampled_from(ArrivalEvent)),
        "mode": draw(st.sampled_from(ArrivalMode)),
        "lock_per_page": draw(st.booleans()),
        "trace_lock_per_page": draw(st.booleans()),
        "tags": draw(st.sampled_from([1, 2, 128])),
        "alloc_fail_threshold": draw(st.sampled_from([0, 1 << 62, 1 << 63, 1 << 64])),
        "alloc_fail_seed": draw(st.integers(0, 5)),
        "alloc_fail_rows": np.array(draw(st.sampled_from([[], [0, 3], [1]])), "i8"),
        "tmpfs": filesystem == "tmpfs",
        "cached": filesystem == "cached",
        "laid_out": draw(st.booleans()),
        "readahead_pages": draw(st.sampled_from([0, 1, 8, 32, 32, 512])),
        "readahead_by_marks": draw(st.booleans()),
        "readahead_stops": draw(st.booleans()),
        "readahead_rounds": draw(st.booleans()),
        "large_folios": draw(st.booleans()),
        "share_floor": draw(st.booleans()),
        "file_pages": draw(st.sampled_from([NO_LIMIT, NO_LIMIT, 520])),
        "reclaim_lru": draw(st.sampled_from([False, False, True])),
        "mglru": draw(st.sampled_from([Mglru.NONE, *Mglru])),
        "dirty_background_ratio": draw(st.sampled_from([10, 10, 0, 3, 100])),
        "dirty_background_bytes": draw(st.sampled_from([0, 0, 1, 30_000, 10**12])),
        "dirty_ratio": draw(st.sampled_from([20, 20, 1, 100])),
        "dirty_bytes": draw(st.sampled_from([0, 0, 0, 8192, 10**6])),
        "dirty_expire_ns": draw(st.sampled_from([30, 30, 5, 7])) * 10**9,
        "dirty_writeback_ns": draw(st.sampled_from([5, 5, 0, 20])) * 10**9,
        "fs_pages": draw(st.sampled_from([NO_LIMIT, NO_LIMIT, 0, 3, 100])),
        "laid_out_by": draw(st.sampled_from([-1, -1, -1, n - 1])),
        "charge_batch": draw(st.sampled_from([64, 64, 32])),
        "stock_slots": draw(st.sampled_from([1, 1, 7])),
        "high_in_charge": draw(st.sampled_from([True, True, False])),
        "hole_reads_charge": draw(st.sampled_from([False, False, True])),
        "huge": draw(st.sampled_from([Huge.NEVER, Huge.NEVER, *Huge])),
        "huge_orders": draw(st.sampled_from(HugeOrders)),
        "refusals_count": draw(st.booleans()),
        "oom_kills": draw(st.sampled_from([True, True, True, False])),
        "write_errno": draw(st.sampled_from([EIO, ENOMEM])),
        "enospc_errno": draw(st.sampled_from([EIO, ENOSPC])),
        "journaled": draw(st.sampled_from([False, False, True])),
        "backing_device": draw(st.booleans()),
        "max_sectors": draw(st.sampled_from([2560, 2560, 8, 31, 254])),
        "interval_ns": draw(st.sampled_from([0, 1, 777, 5000, 40_000_000_000])),
        "service": draw(st.sampled_from(ServiceModel)),
        "read_base_ns": draw(st.sampled_from([0, 7, 7, 1000, 1000, 61 * 10**9])),
        "read_ns_per_byte": draw(st.sampled_from([0, 1 << 18, 3 << 20])),
        "read_random_ns": draw(st.sampled_from([0, 0, 900])),
        "write_random_ns": draw(st.sampled_from([0, 0, 1300])),
        "write_base_ns": draw(st.sampled_from([0, 11, 11, 5000, 5000, 65 * 10**9])),
        "write_ns_per_byte": draw(st.sampled_from([0, 333_333])),
        "parallel": draw(st.sampled_from([1, 2, 32])),
        "processors": draw(st.sampled_from([0, 0, 1, 2])),
        "task_cgroup": np.array([task[0] for task in tasks], np.uint32),
        "task_rss": np.array([task[1] for task in tasks], np.int64),
        "task_adj": np.array([task[4] for task in tasks], np.int64),
        "task_requests": np.array([task[2] for task in tasks], np.int64),
        "task_always": np.array([task[5] for task in tasks], np.bool_),
        "task_kernel": np.array([task[3] for task in tasks], np.bool_),
    }
    weights = st.lists(
        st.sampled_from([1, 100, 100, 300, 1000]), min_size=n, max_size=n
    )
    if draw(st.booleans()):
        values["bfq_weight"] = np.array(draw(weights), np.uint32)
    if n_devices == 2:
        values["nested"] = draw(st.sampled_from([-1, -1, 0, 1]))
    if values.get("nested", -1) < 0:
        values |= draw(disks(n_devices, has_weights="bfq_weight" in values))
    values |= draw(cost_models(n, n_devices))
    values |= draw(iolatency_targets(n, n_devices))
    return Setup(**(values | fixed))


@st.composite
def disks(draw: st.DrawFn, n_devices: int, *, has_weights: bool) -> dict[str, Any]:
    """Return plain disks whose queue is replayed, most often none."""
    if draw(st.sampled_from([True, True, False])):
        return {}
    kinds = st.sampled_from([-1, 0, 1, 1, 2 if has_weights else 1])
    base = st.sampled_from([0, 9, 300, 20_000])

    def each(values: Any, dtype: str) -> Any:
        return np.array([draw(values) for _ in range(n_devices)], dtype)

    rate, seek = st.sampled_from([0, 1 << 17]), st.sampled_from([0, 0, 400])
    return {
        "disk_scheduler": each(kinds, "i1"),
        "disk_pipe": each(st.tuples(base, rate, seek, base, rate, seek, base), "i8"),
        "disk_descriptors": each(st.sampled_from([0, 1, 3, 8, 256]), "i8"),
        "disk_requeue_ns": each(st.sampled_from([0, 0, 40]), "i8"),
        "disk_delay_ns": each(st.sampled_from([0, 0, 1, 700]), "i8"),
        "disk_together": each(st.booleans(), "?"),
    }


@st.composite
def cost_models(draw: st.DrawFn, n_cgroups: int, n_devices: int) -> dict[str, Any]:
    """Return cost models of a few devices, most often of none."""
    places = draw(
        st.sampled_from([[], [], [-1], [-1], [0], [n_devices - 1, -1], [-1, 0]])
    )

    def rows(*choices: list[int]) -> Any:
        one = st.tuples(*(st.sampled_from(values) for values in choices))
        rows = [draw(one) for _ in places]
        return np.array(rows, np.int64).reshape(len(places), len(choices))

    page, base = [1, 1_000, 1 << 18], [0, 1 << 20, 1 << 27]
    ppm, late = [0, 500_000, 950_000], [0, 300, 5000, 700_000]
    weights = st.lists(
        st.sampled_from([1, 30, 100, 100, 300]),
        min_size=n_cgroups,
        max_size=n_cgroups,
    )
    return {
        "iocost_device": np.array(places, np.int32),
        "iocost_coefficients": rows(page, base, base, page, base, base),
        "iocost_qos": rows(
            *(ppm, late, ppm, late),
            *([10_000, 500_000, 1_000_000], [1_000_000, 1_500_000, 100_000_000]),
        ),
        "iocost_weight": np.array([draw(weights) for _ in places], np.uint32).reshape(
            len(places), n_cgroups
        ),
    }


@st.composite
def iolatency_targets(
    draw: st.DrawFn, n_cgroups: int, n_devices: int
) -> dict[str, Any]:
    """Return targets on a few devices, most often on none."""
    places = draw(st.sampled_from([[], [], [-1], [-1], [0], [n_devices - 1, -1]]))
    targets = st.lists(
        st.sampled_from([0, 0, 1, 1000, 10**7, 10**9]),
        min_size=n_cgroups,
        max_size=n_cgroups,
    )
    return {
        "iolatency_device": np.array(places, np.int32),
        "iolatency_target": np.array([draw(targets) for _ in places], np.int64).reshape(
            len(places), n_cgroups
        ),
        "iolatency_requests": np.array(
            [draw(st.sampled_from([1, 4, 64])) for _ in places], np.int64
        ),
        "iolatency_rotates": np.array([draw(st.booleans()) for _ in places], np.bool_),
    }


@st.composite
def columns_for(draw: st.DrawFn, setup: Setup, max_rows: int = 40) -> Columns:
    """Return rows in the order of their arrival, as the setup's event wants them."""
    n = draw(st.integers(0, max_rows))
    n_cgroups, n_tasks = len(setup.parent), len(setup.task_cgroup)
    gap = st.sampled_from([0, 0, 1, 50, 1000, 30_000_000_000, 61_000_000_000])
    now, rows = 0, []
    for _ in range(n):
        now += draw(gap)
        unseen = draw(
            st.sampled_from(["none"] * 6 + ["queue", "issue", "complete", "driver"])
        )
        op = draw(
            st.sampled_from(
                [READ, READ, WRITE, WRITE, WRITE, DISCARD, FLUSH, WRITE_ZEROES]
            )
        )
        nbytes = draw(st.sampled_from([512, 4096, 4608, 20480, 300 * 4096, 700 * 4096]))
        issue = -1 if unseen in ("issue", "driver") else now
        queue = -1 if unseen == "queue" else max(0, now - draw(st.integers(0, 40)))
        recorded = draw(st.integers(0, n_cgroups - 1))
        rows.append(
            (
                -1,
                queue,
                issue,
                -1 if unseen in ("complete", "driver") else now + draw(TOOK),
                draw(st.sampled_from(PLACES)) * SECTORS_PER_PAGE
                + draw(st.sampled_from([0, 0, 0, 1, 7])),
                0 if op == FLUSH else nbytes,
                draw(st.integers(0, 3)),
                draw(st.sampled_from([0, 0, 1, FLAGS["meta"], FAILED])),
                op,
                draw(st.integers(0, 3)),
                draw(st.sampled_from([recorded, draw(st.integers(0, n_cgroups - 1))])),
                recorded,
                draw(
                    st.sampled_from([*range(len(setup.devices))] * 4 + [NOT_REPLAYED])
                ),
                draw(st.integers(-1, n_tasks - 1)),
            )
        )
    by_queue = setup.event == ArrivalEvent.QUEUE

    def arrival(row: tuple[int, ...]) -> int:
        first, second = (row[1], row[2]) if by_queue else (row[2], row[1])
        return first if first >= 0 else second

    rows.sort(key=arrival)
    dtypes = (
        "i8",
        "i8",
        "i8",
        "i8",
        "u8",
        "u4",
        "u4",
        "u2",
        "i1",
        "i4",
        "u4",
        "u4",
        "u2",
    )
    names = (
        *("row", "queue_ns", "issue_ns", "complete_ns", "sector", "nbytes"),
        *("n_bios", "flags", "op", "pid", "issuer", "recorded", "device", "task"),
    )
    values = {
        name: np.array([row[i] for row in rows], dtype)
        for i, (name, dtype) in enumerate(zip(names, (*dtypes, "i4"), strict=True))
    }
    values["row"] = np.arange(n, dtype=np.int64)
    return Columns(**values)


@st.composite
def runs(draw: st.DrawFn, /, **fixed: Any) -> tuple[Setup, Columns]:
    """Return a setup and rows for it."""
    setup = draw(setups(**fixed))
    return setup, draw(columns_for(setup))


#: Fields that make one rule, and are drawn freely together; others are one each.
FAMILIES: dict[str, tuple[str, ...]] = {
    "policy": ("policy", "trace_policy"),
    "filesystem": ("tmpfs", "cached"),
    "lock": ("lock_per_page", "trace_lock_per_page"),
    **{
        prefix: tuple(
            name
            for name in Setup.__struct_fields__
            if name.startswith(f"{prefix}_")
            and name not in ("iomax_waits_for_io", "iomax_meta_debt")
        )
        for prefix in ("disk", "iomax", "iocost", "iolatency", "task")
    },
}
_OF_FAMILY = {name for family in FAMILIES.values() for name in family}
#: Every rule that a setup may have: its fields, by a name.
RULES: dict[str, tuple[str, ...]] = FAMILIES | {
    name: (name,)
    for name in Setup.__struct_fields__
    if name not in _OF_FAMILY and name not in ("parent", "blkcg", "memory_css")
}


def plain(setup: Setup, shortcut: Shortcut) -> Setup:
    """Return a setup with what a shortcut does not know neutral: so it is open."""
    values: dict[str, Any] = {}
    knows = KNOWS[shortcut]
    for one in structs.fields(Setup):
        value = getattr(setup, one.name)
        if one.name not in knows:
            values[one.name] = (
                value[:0] if isinstance(value, np.ndarray) else one.default
            )
    for name in ("memory_max", "memory_high"):
        if name not in knows:
            values[name] = np.full(len(setup.parent), NO_LIMIT, np.int64)
    if setup.event == ArrivalEvent.QUEUE:
        values |= {"event": ArrivalEvent.AS_QUEUED}
    if shortcut == Shortcut.LEAN:
        values |= {
            "tmpfs": setup.tmpfs and not setup.cached,
            "trace_lock_per_page": setup.lock_per_page,
            "alloc_fail_threshold": 0,
            "alloc_fail_rows": setup.alloc_fail_rows[:0],
        }
    else:
        values |= {"direct_io": True}
    if knows["policy"].fits is not None:
        policy = Policy(setup.policy % (Policy.PER_CGROUP + 1))
        values |= {"policy": policy}
        if shortcut == Shortcut.LEAN:
            values |= {"trace_policy": policy}
    return replace(setup, **values)


def rules_that_close(shortcut: Shortcut) -> list[str]:
    """Return the rules that close a shortcut, for all or for some of their values."""
    knows = KNOWS[shortcut]
    return [
        rule
        for rule, names in RULES.items()
        if any(name not in knows or knows[name].fits is not None for name in names)
    ]


@st.composite
def near(draw: st.DrawFn, shortcut: Shortcut, rule: str | None = None) -> Setup:
    """Return a setup that opens a shortcut but for one rule, which is drawn freely.

    Drawn all at once, a setup that is closed by one rule alone hardly ever comes.
    """
    drawn = draw(setups())
    names = RULES[rule] if rule is not None else ()
    return replace(
        plain(drawn, shortcut), **{name: getattr(drawn, name) for name in names}
    )
