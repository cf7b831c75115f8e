"""Which shortcut through the event loop a run may take: none, unless a table says so.

A shortcut gives the tables of the event loop in a fraction of its time, since there is
much that it need not look at. `KNOWS` says what each has been taught. A field of
`Setup` that is not in the table must be neutral: its default, an empty array, or
nothing but `NO_LIMIT`. So a new rule, which is a new field, closes every shortcut until
somebody adds the field to the table and says why it may have other values. The tests'
random setups compare each shortcut with the reference; ``make mutants`` shows that they
would notice each field that is missing there.
"""

from collections.abc import Callable
from enum import IntEnum
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec import structs

from replay.engine.setup import NO_LIMIT, ArrivalEvent, Policy, Setup

#: Most entries of a table by device and cgroup: 16 MiB, of which the used is touched.
MAX_TABLE: Final = 1 << 22


class Shortcut(IntEnum):
    """The way in which the engine computes its tables."""

    #: Every request by its events.
    NONE = 0
    #: Buffered I/O whose end is known when it arrives: it is counted then, without an
    #: event (``shortcuts/lean.pxd``).
    LEAN = 1
    #: Direct I/O whose completion changes nothing for others: it is counted when it is
    #: served, without an event for its end.
    EARLY = 2
    #: `EARLY`, and where it finds its worker idle it is logged and counted in bulk
    #: (``shortcuts/bulk.pxd``).
    BULK = 3


class Known(NamedTuple):
    """A shortcut's knowledge of a field.

    Attributes
    ----------
    why : str
        Why the shortcut gives the tables of the event loop whatever the field says.
    fits : callable or None
        Returns True if it does for a setup; None: it always does.
    """

    why: str
    fits: Callable[[Setup], bool] | None = None


def _known(why: str, *names: str) -> dict[str, Known]:
    return dict.fromkeys(names, Known(why))


#: What every shortcut looks up as the event loop does, or what neither looks at.
_ALL: Final = {
    **_known("dense ids", "parent", "blkcg", "memory_css", "devices"),
    **_known(
        "the event loop's own function makes the workers",
        *("root_has_worker", "leaks_css"),
        *("alloc_fail_threshold", "alloc_fail_seed", "alloc_fail_rows"),
    ),
    **_known(
        "of arrivals by queue events, which are not neutral",
        "tags",
    ),
    **_known(
        "of the linear model, which is not neutral",
        *("read_base_ns", "read_ns_per_byte", "read_random_ns"),
        *("write_base_ns", "write_ns_per_byte", "write_random_ns"),
        *("parallel", "bfq_weight"),
    ),
    **_known(
        "nobody waits for one under the recorded driver, or without pages",
        "processors",
    ),
    **_known(
        "of policies that do not fit, or that choose the worker as the event loop does",
        *("instance_cgroup", "kernel_pids"),
    ),
    **_known(
        "of io.max: it holds nobody, or as in the event loop",
        *("iomax_waits_for_io", "iomax_meta_debt", "hz", "boot_ns"),
        *("iomax_keeps_slice", "iomax_two_queues", "iomax_splits_late"),
    ),
    **_known(
        "of io.weight, which is not neutral",
        *("iocost_flush_costs", "iocost_min_holds", "iocost_max_up"),
    ),
    **_known(
        "pages are charged by the event loop's own functions, or none is",
        *("charge_batch", "stock_slots", "high_in_charge"),
        *("huge_orders", "refusals_count"),
    ),
    **_known(
        "of a page cache, which does not fit or which direct I/O does not use",
        *("laid_out", "readahead_pages", "file_pages", "reclaim_lru", "mglru"),
        *("readahead_by_marks", "readahead_stops", "readahead_rounds"),
        *("large_folios", "share_floor"),
        *("dirty_background_ratio", "dirty_background_bytes"),
        *("dirty_ratio", "dirty_bytes", "dirty_expire_ns", "dirty_writeback_ns"),
    ),
    **_known(
        "of a charge that reclaims, kills or fails: no charge meets a limit",
        *("memory_min", "memory_low", "recursive_protection", "oom_group"),
        *("oom_kills", "short_writes", "write_errno", "enospc_errno"),
    ),
    **_known("no request fails, so no journal is aborted", "journaled"),
    **_known("a page is counted to who has it from the start", "laid_out_by"),
    **_known(
        "no lock is taken: of direct I/O, or as recorded",
        *("lock_per_page", "trace_lock_per_page"),
    ),
    "event": Known(
        "what lies between Q and D is a difference of two columns",
        lambda setup: setup.event != ArrivalEvent.QUEUE,
    ),
    **_known(
        "what goes below is counted as by the event loop",
        *("backing_device", "max_sectors"),
    ),
}

_DISK: Final = (
    *("disk_scheduler", "disk_pipe", "disk_descriptors"),
    *("disk_requeue_ns", "disk_delay_ns", "disk_together"),
)

_EARLY: Final = _ALL | {
    **_known("requests of a plain disk go by their events", *_DISK),
    "direct_io": Known(
        "its end frees no place that anybody waits for", lambda setup: setup.direct_io
    ),
    "mode": Known("a stream that waits for its end knows when that is"),
    **_known("it touches no page", "tmpfs", "cached", "fs_pages"),
    **_known("it touches no page", "huge", "hole_reads_charge"),
    **_known("it touches no page that is charged", "memory_max", "memory_high"),
    **_known(
        "what was recorded sets the service, which stands in the row",
        *("trace_policy", "trace_direct_io"),
    ),
    **_known("who serves and pays is known when it is served", "policy"),
    **_known("a worker that waits for its turn has not served yet", "max_active"),
    **_known("a worker is freed when it has submitted", "keeps_idle"),
    **_known(
        "what io.max holds has not been served yet",
        *("iomax_cgroup", "iomax_device"),
        *("iomax_rbps", "iomax_wbps", "iomax_riops", "iomax_wiops"),
    ),
    **_known(
        "a row of a task goes by its events",
        *("task_cgroup", "task_rss", "task_adj", "task_requests", "task_kernel"),
        "task_always",
    ),
}


def _driver_fits(setup: Setup) -> bool:
    return setup.policy <= Policy.PER_CGROUP


#: By shortcut: what it knows of each field.
KNOWS: Final[dict[Shortcut, dict[str, Known]]] = {
    Shortcut.LEAN: _ALL
    | {
        "policy": Known("the loop driver's own workers", _driver_fits),
        "trace_policy": Known(
            "under the recorded driver no request waits for the file's lock",
            lambda setup: setup.policy == setup.trace_policy,
        ),
        "trace_lock_per_page": Known(
            "nor where it is the same lock",
            lambda setup: setup.lock_per_page == setup.trace_lock_per_page,
        ),
        "alloc_fail_threshold": Known(
            "nor where each cgroup has its worker, as in the recording",
            lambda setup: not setup.alloc_fail_threshold,
        ),
        "alloc_fail_rows": Known(
            "likewise", lambda setup: not len(setup.alloc_fail_rows)
        ),
        **_known("who touches a page first is found in their order", "tmpfs"),
        **_known(
            "only queue events hold buffered I/O above the driver, nothing does below",
            *("iomax_cgroup", "iomax_device"),
            *("iomax_rbps", "iomax_wbps", "iomax_riops", "iomax_wiops"),
            *("iocost_device", "iocost_coefficients", "iocost_qos", "iocost_weight"),
            *("iolatency_device", "iolatency_target"),
            *("iolatency_requests", "iolatency_rotates"),
        ),
        **_known("no device is a plain disk with buffered I/O", *_DISK),
    },
    Shortcut.EARLY: _EARLY,
    Shortcut.BULK: {
        name: known
        for name, known in _EARLY.items()
        if not name.startswith("iomax_")
        # how limits hold, of which there is none
        or name in ("iomax_waits_for_io", "iomax_meta_debt", "iomax_keeps_slice")
        or name in ("iomax_two_queues", "iomax_splits_late")
        if name not in ("max_active", "keeps_idle")
    }
    | {
        "policy": Known("the loop driver's own workers", _driver_fits),
        "devices": Known(
            "a table by device and cgroup says which accounts are ready",
            lambda setup: has_tables(setup),
        ),
    },
}


@cache
def _defaults(kind: type[Setup]) -> dict[str, Any]:
    return {
        one.name: one.default
        for one in structs.fields(kind)
        if isinstance(one.default, int)
    }


def is_neutral(setup: Setup, name: str) -> bool:
    """Return True if a field of a setup says nothing that the event loop need look at.

    Parameters
    ----------
    setup : Setup
    name : str

    Returns
    -------
    bool
        It has its default, or is an array that is empty or holds `NO_LIMIT` alone.
    """
    value = getattr(setup, name)
    if isinstance(value, np.ndarray):
        return value.size == 0 or bool((value == NO_LIMIT).all())
    defaults = _defaults(type(setup))
    return name in defaults and bool(value == defaults[name])


def closed_by(shortcut: Shortcut, setup: Setup) -> str | None:
    """Return the first field of a setup that closes a shortcut.

    Parameters
    ----------
    shortcut : Shortcut
        Any but `Shortcut.NONE`.
    setup : Setup

    Returns
    -------
    str or None
        The field's name; None: the shortcut is open.
    """
    knows = KNOWS[shortcut]
    for name in setup.__struct_fields__:
        known = knows.get(name)
        if known is None:
            if not is_neutral(setup, name):
                return name
        elif known.fits is not None and not known.fits(setup):
            return name
    return None


def shortcut_of(setup: Setup, *, requests: bool) -> Shortcut:
    """Return the fastest shortcut that a run may take.

    Parameters
    ----------
    setup : Setup
    requests : bool
        A row is asked for of every request: they go by their events then.

    Returns
    -------
    Shortcut
        `Shortcut.NONE` wherever a field says something that no shortcut knows.
    """
    if requests:
        return Shortcut.NONE
    for shortcut in (Shortcut.LEAN, Shortcut.BULK, Shortcut.EARLY):
        if closed_by(shortcut, setup) is None:
            return shortcut
    return Shortcut.NONE


def has_tables(setup: Setup) -> bool:
    """Return True if accounts and workers stand in tables by device and cgroup.

    Parameters
    ----------
    setup : Setup

    Returns
    -------
    bool
        False: there would be more entries than `MAX_TABLE`, so they stand in hash maps.
    """
    return len(setup.parent) * len(setup.devices) <= MAX_TABLE
