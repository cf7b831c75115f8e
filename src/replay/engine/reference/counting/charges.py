"""What the reference counts, and its results as columns."""

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from replay.engine.raw import COUNTS, IO_COLUMNS, PERCENTILES, RAW_COLUMNS, Raw
from replay.engine.reference.charging.tmpfs import Memory
from replay.engine.reference.driver.nested import is_outer
from replay.engine.reference.memcg.tasks import ceil_pages
from replay.engine.reference.state.requests import Request
from replay.engine.reference.state.split_counts import ios_below
from replay.engine.reference.structures.histogram import Histogram
from replay.engine.setup import PAGE_BYTES, Policy, Setup, Stage
from replay.trace.file.schema import OP_CODES

if TYPE_CHECKING:
    from replay.engine.reference.run.loop import Reference

READ, DISCARD = OP_CODES["read"], OP_CODES["discard"]


def io_columns(op: int) -> tuple[str, str]:
    """Return the columns of ``io.stat`` that an operation counts in.

    Source: block/blk-cgroup.c:blk_cgroup_io_type(), v6.1: discards apart, all else
    that is not a read is a write.
    """
    direction = {READ: "r", DISCARD: "d"}.get(op, "w")
    return direction + "bytes", direction + "ios"


class Tables:
    """Counters by key; `raw` sorts them into columns."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.counts: Counter[str] = Counter()
        self.io: defaultdict[tuple[int, int], Counter[str]] = defaultdict(Counter)
        self.backing: defaultdict[tuple[int], Counter[str]] = defaultdict(Counter)
        self.charges: defaultdict[tuple[int, int, int], Counter[str]] = defaultdict(
            Counter
        )
        self.latency: defaultdict[tuple[int, int, int, int], Histogram] = defaultdict(
            Histogram
        )
        self.errors: dict[tuple[int, int], list[int]] = {}
        self.requests: list[tuple[int, ...]] = []

    def issued(self, request: Request) -> None:
        """Count what the issuer submitted, as ``io.stat`` of the traced device does."""
        cgroup = int(self.setup.blkcg[request.issuer])
        add_io(self.io[cgroup, request.device], request)

    def charged(self, request: Request) -> None:
        """Count in whose name the driver does the request's I/O."""
        key = (request.device, request.issuer, request.io_payer)
        add_io(self.charges[key], request)
        direct = self.setup.direct_io and not is_outer(self.setup, request)
        if self.setup.backing_device and direct:
            nbytes, ios = io_columns(request.op)
            self.backing[request.io_payer,][nbytes] += request.nbytes
            self.backing[request.io_payer,][ios] += ios_below(self.setup, request)

    def completed(self, request: Request, now: int) -> None:
        """Count a request that the driver is done with."""
        if request.error:
            self.counts["failed"] += 1
            entry = self.errors.setdefault((request.issuer, request.error), [0, 0, now])
            entry[0] += 1
            entry[1] += request.nbytes
        elif request.known:
            self.counts["completed"] += 1
        else:
            self.counts["unfinished"] += 1
        self.took(request, now)

    def took(self, request: Request, now: int) -> None:
        """Count how long a request took on a device."""
        stages = stages_of(request, now)
        if request.known:
            for stage, wait_ns in stages.items():
                key = (request.issuer, request.device, request.op, int(stage))
                self.latency[key].add(wait_ns)
        self.requests.append(
            (
                request.row,
                request.arrival_ns,
                request.start_ns,
                now if request.known else -1,
                request.issuer,
                request.io_payer,
                request.device,
                request.worker,
                request.error,
                *(stages[stage] for stage in Stage if stage != Stage.TOTAL),
            )
        )

    def raw(self, run: "Reference") -> Raw:
        """Return all tables, rows sorted by their keys."""
        memory = run.memory
        for issuer, lost in memory.lost.items():
            self.errors[issuer, 0] = lost
        if memory.cache is not None:
            for device in range(len(self.setup.devices)):
                memory.cache.sync(device)
            if self.setup.backing_device:
                self.backing = memory.cache.backing
        memory.drain_below(0)  # `current` is exact: without what is in stock
        for name, counter in (
            ("charged_bytes", memory.charges.charged),
            ("uncharged_bytes", memory.charges.uncharged),
            ("refused_bytes", memory.charges.refused),
        ):
            for key, nbytes in counter.items():
                self.charges[key][name] += nbytes
        self.counts["in_flight"] = len(run.flying)
        self.counts["workers_peak"] = run.dispatcher.workers_peak
        self.counts["css_refs"] = sum(run.dispatcher.css_refs)
        self.counts["allocations"] = run.dispatcher.attempts
        self.counts["leaked_refs"] = run.dispatcher.leaked_refs
        self.counts["end_ns"] = run.end_ns
        raw = {
            "io": keyed("io", self.io, IO_COLUMNS),
            "backing_io": keyed(
                "backing_io",
                used(self.backing),
                IO_COLUMNS,
            ),
            "cost": columns("cost", sorted(run.controllers.iocost.rows())),
            "charges": keyed(
                "charges",
                used(self.charges),
                (*IO_COLUMNS, "charged_bytes", "uncharged_bytes", "refused_bytes"),
            ),
            "memory": columns("memory", memory_rows(memory)),
            "latency": columns("latency", latency_rows(self.latency)),
            "histograms": columns("histograms", histogram_rows(self.latency)),
            "interference": columns(
                "interference",
                [
                    (*key, wait_ns, run.interference.count[key])
                    for key, wait_ns in sorted(run.interference.wait_ns.items())
                ],
            ),
            "workers": columns("workers", worker_rows(run)),
            "kills": columns(
                "kills",
                [
                    (
                        *(kill.time_ns, kill.limit_cgroup, kill.victim_cgroup),
                        *(kill.task, kill.usage_pages * PAGE_BYTES, kill.row),
                    )
                    for kill in memory.kills
                ],
            ),
            "errors": columns(
                "errors", [(*key, *entry) for key, entry in sorted(self.errors.items())]
            ),
            "requests": columns("requests", self.requests),
        }
        if run.setup.interval_ns:
            raw["timeline"] = columns("timeline", run.timeline.rows)
        raw["counts"] = {
            name: np.array([self.counts[name]], np.int64) for name in COUNTS
        }
        return raw


def add_io(counter: Counter[str], request: Request) -> None:
    """Count a request's bytes and bios."""
    nbytes, ios = io_columns(request.op)
    counter[nbytes] += request.nbytes
    counter[ios] += request.n_bios


def stages_of(request: Request, now: int) -> dict[Stage, int]:
    """Return a completed request's time in every stage; they sum to the total."""
    return {
        Stage.THROTTLE: request.queued_ns - request.arrival_ns,
        Stage.QUEUE: request.tag_ns - request.queued_ns,
        Stage.TAG: request.dispatch_ns - request.tag_ns,
        Stage.DISPATCH: request.start_ns - request.dispatch_ns,
        Stage.LOCK: request.lock_ns - request.start_ns,
        Stage.MEMORY: request.memory_ns,
        Stage.BACKING: request.device_ns - request.lock_ns,
        Stage.DEVICE: request.served_ns - request.device_ns,
        Stage.TOTAL: now - request.arrival_ns,
    }


def memory_rows(memory: Memory) -> list[tuple[int, ...]]:
    """Return a row for every cgroup."""
    return [
        (
            *(group.shmem, group.file, ceil_pages(group.kernel_bytes), group.rss),
            *(
                group.usage,
                group.peak,
                group.low_events,
                group.high_events,
                group.max_events,
            ),
            *(group.oom, group.oom_kill, group.oom_group_kill),
            *(read_again.refaults, read_again.activations),
        )
        for group, read_again in zip(
            memory.groups, memory.reclaim.workingset.counts, strict=True
        )
    ]


def latency_rows(
    latency: dict[tuple[int, int, int, int], Histogram],
) -> list[tuple[int, ...]]:
    """Return a row for every histogram."""
    return [
        (
            *(*key, one.count, one.sum, one.min),
            *(one.percentile(rank) for rank in PERCENTILES.values()),
            one.max,
        )
        for key, one in sorted(latency.items())
    ]


def histogram_rows(
    latency: dict[tuple[int, int, int, int], Histogram],
) -> list[tuple[int, ...]]:
    """Return a row for every bucket that holds values."""
    return [
        (*key, bucket, count)
        for key, one in sorted(latency.items())
        for bucket, count in sorted(one.buckets.items())
    ]


def worker_rows(run: "Reference") -> list[tuple[int, ...]]:
    """Return a row for every worker that was ever made."""
    rows: list[tuple[int, ...]] = []
    if run.setup.policy == Policy.PASS_THROUGH:
        return rows  # there are none: the bio goes on in its caller's context
    for index, device in enumerate(run.dispatcher.devices):
        for one in device.workers:
            end = one.reaped_ns if one.reaped_ns >= 0 else run.end_ns
            idle_ns = end - one.created_ns - one.busy_ns
            if one.may_idle and not run.setup.keeps_idle:
                idle_ns = 0  # it lives only while it has commands
            rows.append(
                (
                    *(index, one.index, one.cgroup, one.created_ns),
                    *(one.commands, one.busy_ns, idle_ns, one.reaped_ns),
                )
            )
    return rows


def used(counters: dict[Any, Counter[str]]) -> dict[Any, Counter[str]]:
    """Return the counters in which anything was counted."""
    return {key: counter for key, counter in counters.items() if any(counter.values())}


def keyed(table: str, counters: dict[Any, Counter[str]], names: tuple[str, ...]) -> Any:
    """Return counters by key as columns."""
    return columns(
        table,
        [
            (*key, *(counter[name] for name in names))
            for key, counter in sorted(counters.items())
        ],
    )


def columns(table: str, rows: list[tuple[int, ...]]) -> Any:
    """Return rows as the columns of a table."""
    return {
        name: np.array([row[i] for row in rows], dtype)
        for i, (name, dtype) in enumerate(RAW_COLUMNS[table].items())
    }
