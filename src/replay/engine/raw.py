"""Results of the engine and the reference: plain columns with dense ids."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Table -> column -> array; rows sorted by the leading key columns.
Raw = dict[str, dict[str, NDArray[Any]]]

IO_COLUMNS: Final = ("rbytes", "wbytes", "rios", "wios", "dbytes", "dios")
IOCOST_COLUMNS: Final = ("usage_us", "wait_us", "indebt_us", "indelay_us")
#: Buckets of an octave in the histograms: SUB of ``structures/histogram.pxd``.
SUB_BUCKETS: Final = 64
PERCENTILES: Final = {"p50_ns": 500, "p90_ns": 900, "p99_ns": 990, "p999_ns": 999}

_IO = dict.fromkeys(IO_COLUMNS, np.int64)

#: dtype of every column, keys first.
RAW_COLUMNS: Final[dict[str, dict[str, type[np.generic]]]] = {
    "io": {"cgroup": np.uint32, "device": np.uint16, **_IO},
    "backing_io": {"cgroup": np.uint32, **_IO},
    "cost": {
        "cgroup": np.uint32,
        "device": np.int32,
        **dict.fromkeys(IOCOST_COLUMNS, np.int64),
    },
    "charges": {
        "device": np.uint16,
        "issuer": np.uint32,
        "payer": np.uint32,
        **_IO,
        "charged_bytes": np.int64,
        "uncharged_bytes": np.int64,
        "refused_bytes": np.int64,
    },
    "memory": dict.fromkeys(
        (
            *("own_shmem", "own_file", "own_kernel", "own_rss", "current", "peak"),
            *("low", "high", "max", "oom", "oom_kill", "oom_group_kill"),
            *("own_refaults", "own_activations"),
        ),
        np.int64,
    ),
    "latency": {
        "cgroup": np.uint32,
        "device": np.uint16,
        "op": np.uint8,
        "stage": np.uint8,
        **dict.fromkeys(("count", "sum_ns", "min_ns"), np.int64),
        **dict.fromkeys(PERCENTILES, np.int64),
        "max_ns": np.int64,
    },
    "histograms": {
        "cgroup": np.uint32,
        "device": np.uint16,
        "op": np.uint8,
        "stage": np.uint8,
        "bucket": np.uint32,
        "count": np.int64,
    },
    "interference": {
        "waiting": np.uint32,
        "blocking": np.uint32,
        "resource": np.uint8,
        "wait_ns": np.int64,
        "count": np.int64,
    },
    "workers": {
        "device": np.uint16,
        "worker": np.uint32,
        "cgroup": np.uint32,
        **dict.fromkeys(
            ("created_ns", "commands", "busy_ns", "idle_ns", "reaped_ns"), np.int64
        ),
    },
    "kills": {
        "time_ns": np.int64,
        "limit_cgroup": np.uint32,
        "victim_cgroup": np.uint32,
        "task": np.int32,
        "usage_bytes": np.int64,
        "row": np.int64,
    },
    "errors": {
        "cgroup": np.uint32,
        "errno": np.int32,
        "count": np.int64,
        "bytes": np.int64,
        "first_ns": np.int64,
    },
    "requests": {
        "row": np.int64,
        "arrival_ns": np.int64,
        "start_ns": np.int64,
        "completion_ns": np.int64,
        "issuer": np.uint32,
        "payer": np.uint32,
        "device": np.uint16,
        "worker": np.uint32,
        "error": np.int32,
        **dict.fromkeys(
            (
                *("throttle_ns", "queue_ns", "tag_ns", "dispatch_ns", "lock_ns"),
                *("memory_ns", "backing_ns", "debt_ns", "device_ns"),
            ),
            np.int64,
        ),
    },
}

#: What the timeline says of a cgroup in an interval, in the engine's order.
TIMELINE_CELLS: Final = (
    *IO_COLUMNS,
    *("charged_bytes", "uncharged_bytes", "refused_bytes", "usage_bytes", "requests"),
    *("throttle_ns", "queue_ns", "tag_ns", "dispatch_ns", "lock_ns", "memory_ns"),
    *("backing_ns", "debt_ns", "device_ns", "total_ns", "blocked_ns"),
    *("high", "max", "oom", "oom_kill"),
)
#: Only with ``Setup.interval_ns``.
RAW_COLUMNS["timeline"] = {
    "interval": np.int64,
    "cgroup": np.uint32,
    **dict.fromkeys(TIMELINE_CELLS, np.int64),
}

#: Scalars of a run, each an array of one int64.
COUNTS: Final = (
    "requests",
    "completed",
    "failed",
    "unfinished",
    "in_flight",
    "stopped",
    "read_only",
    "unissued",
    "other_devices",
    "workers_peak",
    "css_refs",
    "allocations",
    "leaked_refs",
    "delays",
    "delayed_ns",
    "end_ns",
)
