"""A small raw result made by hand, as the engine would hand it over.

`/test.slice` wrote 256 KiB to 7:0 that `/` paid for, `/test.slice/b` waited for it and
was killed; the root's memory holds the pages. Device 7:1 is replayed and saw nothing.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from replay.engine.raw import IO_COLUMNS, IOCOST_COLUMNS, Raw
from replay.engine.reference.structures.histogram import bucket_of, midpoint_of
from replay.engine.setup import Stage
from replay.results.result import Result
from replay.results.run_info import run_info
from replay.results.sink import ResultSink
from replay.results.tables import STAGE_NAMES, Names, RecordedRequests
from replay.trace.file.metadata import Device, Metadata, Quality, SourceFile, Summary

MS = 1_000_000
KIB = 1024
CGROUPS = ("/", "/test.slice", "/test.slice/b", "id:77")

_TYPES: dict[str, type[np.generic]] = {
    **dict.fromkeys(["cgroup", "issuer", "payer", "waiting", "blocking"], np.uint32),
    **dict.fromkeys(["limit_cgroup", "victim_cgroup", "worker"], np.uint32),
    **dict.fromkeys(["task", "errno", "error"], np.int32),
    **dict.fromkeys(["op", "stage", "resource"], np.uint8),
    "device": np.uint16,
    "bucket": np.uint32,
}


def columns(names: str, *rows: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Lay rows out as the engine's columns."""
    table: dict[str, np.ndarray] = {}
    for position, name in enumerate(names.split()):
        values = [row[position] for row in rows]
        table[name] = np.array(values, _TYPES.get(name, np.int64))
    return table


IO = " ".join(IO_COLUMNS)
COST = " ".join(IOCOST_COLUMNS)
CHARGES = f"device issuer payer {IO} charged_bytes uncharged_bytes refused_bytes"
LATENCY = (
    "cgroup device op stage count sum_ns min_ns p50_ns p90_ns p99_ns p999_ns max_ns"
)
HISTOGRAMS = "cgroup device op stage bucket count"
MEMORY = (
    "own_shmem own_file own_kernel own_rss current peak "
    "low high max oom oom_kill oom_group_kill own_refaults own_activations"
)
REQUESTS = (
    "row arrival_ns start_ns completion_ns issuer payer device worker error "
    + " ".join(f"{stage}_ns" for stage in STAGE_NAMES)
)


def latency(cgroup: int, op: int, stage: int, times_ms: list[int]) -> tuple[int, ...]:
    """Make a latency row of a few times, as the engine does."""
    times = sorted(time * MS for time in times_ms)
    n = len(times)
    at = [-(-n * thousandths // 1000) - 1 for thousandths in (500, 900, 990, 999)]
    ranks = [midpoint_of(bucket_of(times[rank])) for rank in at]
    return (cgroup, 0, op, stage, n, sum(times), times[0], *ranks, times[-1])


DISPATCH, DEVICE, TOTAL = Stage.DISPATCH, Stage.DEVICE, Stage.TOTAL
#: Times in ms by cgroup, operation and stage.
TIMES: dict[tuple[int, int, int], list[int]] = {
    (1, 1, DISPATCH): [0, 1],
    (1, 1, DEVICE): [2, 3],
    (1, 1, TOTAL): [2, 4],
    (2, 0, DISPATCH): [9],
    (2, 0, DEVICE): [1],
    (2, 0, TOTAL): [10],
    (2, 1, DISPATCH): [30],
    (2, 1, DEVICE): [2],
    (2, 1, TOTAL): [32],
}


def buckets(cgroup: int, op: int, stage: int, times_ms: list[int]) -> list[Any]:
    """Make the rows of a histogram of a few times."""
    counts = Counter(bucket_of(time * MS) for time in times_ms)
    return [(cgroup, 0, op, stage, bucket, counts[bucket]) for bucket in sorted(counts)]


def timed(times: dict[tuple[int, int, int], list[int]]) -> dict[str, Any]:
    """Make the tables ``latency`` and ``histograms``."""
    return {
        "latency": columns(LATENCY, *(latency(*key, ms) for key, ms in times.items())),
        "histograms": columns(
            HISTOGRAMS, *(row for key, ms in times.items() for row in buckets(*key, ms))
        ),
    }


def names(**changes: Any) -> Names:
    values: dict[str, Any] = {
        "cgroups": CGROUPS,
        "parents": np.array([-1, 0, 1, 0], np.int32),
        "devices": ("7:0", "7:1"),
        "tasks": ("dd", "java"),
    }
    return Names(**{**values, **changes})


def raw_result() -> dict[str, dict[str, np.ndarray]]:
    return {
        "io": columns(
            f"cgroup device {IO}",
            (1, 0, 0, 256 * KIB, 0, 4, 0, 0),
            (2, 0, 64 * KIB, 128 * KIB, 1, 2, 4 * KIB, 1),
        ),
        "backing_io": columns(f"cgroup {IO}"),
        "cost": columns(f"cgroup device {COST}"),
        "charges": columns(
            CHARGES,
            (0, 1, 0, 0, 256 * KIB, 0, 4, 0, 0, 200 * KIB, 4 * KIB, 0),
            (0, 2, 2, 64 * KIB, 128 * KIB, 1, 2, 4 * KIB, 1, 64 * KIB, 0, 4 * KIB),
        ),
        "memory": columns(
            MEMORY,
            (50, 1, 2, 0, 90, 120, 0, 0, 0, 0, 0, 0, 0, 0),
            (0, 0, 0, 4, 33, 64, 0, 0, 18, 1, 1, 0, 0, 0),
            (16, 3, 1, 5, 25, 64, 0, 0, 18, 1, 1, 0, 7, 2),
            (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        ),
        **timed(TIMES),
        "interference": columns(
            "waiting blocking resource wait_ns count",
            (1, 1, 1, 1 * MS, 1),
            (2, 1, 1, 38 * MS, 2),
            (2, 2, 1, 1 * MS, 1),
        ),
        "workers": columns(
            "device worker cgroup created_ns commands busy_ns idle_ns reaped_ns",
            (0, 0, 0, 0, 4, 8 * MS, 92 * MS, -1),
            (0, 1, 2, 5 * MS, 1, 1 * MS, 60 * MS, 66 * MS),
        ),
        "kills": columns(
            "time_ns limit_cgroup victim_cgroup task usage_bytes row",
            (1_230 * MS, 1, 2, 0, 64 * 4096, 17),
        ),
        "errors": columns("cgroup errno count bytes first_ns", (2, 5, 1, 65536, MS)),
    }


def raw_requests(n_rows: int) -> dict[str, np.ndarray]:
    """Make rows of which every third never started."""
    row = np.arange(n_rows)
    started = row % 3 != 2
    table = {
        "row": row,
        "arrival_ns": row * 10,
        "start_ns": np.where(started, row * 10 + 3, -1),
        "completion_ns": np.where(started, row * 10 + 9, -1),
        "issuer": row % 4,
        "payer": row % 2,
        "device": row * 0,
        "worker": row % 2,
        "error": np.where(row % 5 == 0, -5, 0),
        **{f"{stage}_ns": row + i for i, stage in enumerate(STAGE_NAMES)},
    }
    return {
        name: values.astype(_TYPES.get(name, np.int64))
        for name, values in table.items()
    }


class Recording:
    """What a trace has of `raw_requests`: reads of 4 KiB, every other by ``dd``."""

    processes = ("dd",)

    def __call__(self, rows: np.ndarray) -> RecordedRequests:
        return RecordedRequests(
            op=np.zeros(len(rows), np.int8),
            sector=(rows * 8).astype(np.uint64),
            nbytes=np.full(len(rows), 4096, np.uint32),
            pid=(rows % 3).astype(np.int32),
            process=(-(rows % 2)).astype(np.int32),
            kind=(rows % 4).astype(np.int8),
        )


def metadata() -> Metadata:
    return Metadata(
        schema_version=1,
        writer="replay test",
        sources=[SourceFile(path="loop0.blktrace.0", nbytes=480)],
        summary=Summary(
            start_ns=5,
            end_ns=2_000 * MS + 5,
            wall_clock_ns=None,
            n_rows=8,
            devices=[Device(device=7 << 20, n_requests=8)],
            cgroups=[],
            processes=[],
            messages=[],
            quality=Quality(records=30, lost={"0": 2}),
        ),
    )


def info(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "version": "0.1.0",
        "trace": Path("seed.arrow"),
        "metadata": metadata(),
        "devices": ["7:0", "7:1"],
        "scenario": {"driver": {"policy": "root"}, "machine": {"cpus": 2}},
        "notes": ["the page cache of /dev/loop0 is not in the trace"],
        "counts": columns("requests completed failed workers_peak", (4, 3, 1, 2)),
        "timings": {"engine_s": 0.001, "total_s": 0.002},
    }
    return run_info(**{**values, **changes})


def result(raw: Raw | None = None, **changes: Any) -> Result:
    with ResultSink(names()) as sink:
        return sink.finish(raw or raw_result(), info(**changes))


def per_cgroup() -> Result:
    """Make another policy's result: /test.slice pays, b waits less, java dies too."""
    raw = raw_result()
    raw["charges"]["payer"][0] = 1
    raw["memory"]["own_shmem"][:2] = [0, 50]
    raw["interference"]["wait_ns"][1] = 8 * MS
    raw |= timed({**TIMES, (2, 1, TOTAL): [2]})
    raw["kills"] = {name: v.repeat(2) for name, v in raw["kills"].items()}
    raw["kills"]["task"][1] = 1
    return result(raw, scenario={"driver": {"policy": "per-cgroup"}})
