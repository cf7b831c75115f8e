"""All counts of a run, as raw tables and as a timeline's cells."""

from collections import Counter
from typing import Any

import numpy as np

from replay.engine.raw import COUNTS, IO_COLUMNS, PERCENTILES, RAW_COLUMNS, Raw
from replay.engine.reference.charging.tmpfs import Memory
from replay.engine.reference.controllers.iocost import Iocost
from replay.engine.reference.counting.charges import Tables
from replay.engine.reference.counting.timeline import Cells, Timeline
from replay.engine.reference.counting.waits import Interference
from replay.engine.reference.driver.workers import Dispatcher
from replay.engine.reference.memcg.tasks import ceil_pages
from replay.engine.reference.state.run import Run
from replay.engine.reference.structures.histogram import Histogram
from replay.engine.setup import PAGE_BYTES, Policy, Stage


def raw_tables(
    run: Run,
    out: Tables,
    memory: Memory,
    dispatcher: Dispatcher,
    iocost: Iocost,
    interference: Interference,
    timeline: Timeline,
) -> Raw:
    """Return all tables, rows sorted by their keys."""
    for issuer, lost in memory.lost.items():
        out.errors[issuer, 0] = lost
    if memory.cache is not None:
        for device in range(len(run.setup.devices)):
            memory.cache.sync(device)
        if run.setup.backing_device:
            out.backing = memory.cache.backing
    memory.drain_below(0)  # `current` is exact: without what is in stock
    for name, counter in (
        ("charged_bytes", memory.charges.charged),
        ("uncharged_bytes", memory.charges.uncharged),
        ("refused_bytes", memory.charges.refused),
    ):
        for key, nbytes in counter.items():
            out.charges[key][name] += nbytes
    out.counts["in_flight"] = len(run.flying)
    out.counts["workers_peak"] = dispatcher.workers_peak
    out.counts["css_refs"] = sum(dispatcher.css_refs)
    out.counts["allocations"] = dispatcher.attempts
    out.counts["leaked_refs"] = dispatcher.leaked_refs
    out.counts["end_ns"] = run.end_ns
    raw = {
        "io": keyed("io", out.io, IO_COLUMNS),
        "backing_io": keyed(
            "backing_io",
            used(out.backing),
            IO_COLUMNS,
        ),
        "cost": columns("cost", sorted(iocost.rows())),
        "charges": keyed(
            "charges",
            used(out.charges),
            (*IO_COLUMNS, "charged_bytes", "uncharged_bytes", "refused_bytes"),
        ),
        "memory": columns("memory", memory_rows(memory)),
        "latency": columns("latency", latency_rows(out.latency)),
        "histograms": columns("histograms", histogram_rows(out.latency)),
        "interference": columns(
            "interference",
            [
                (*key, wait_ns, interference.count[key])
                for key, wait_ns in sorted(interference.wait_ns.items())
            ],
        ),
        "workers": columns("workers", worker_rows(run, dispatcher)),
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
            "errors", [(*key, *entry) for key, entry in sorted(out.errors.items())]
        ),
        "requests": columns("requests", out.requests),
    }
    if run.setup.interval_ns:
        raw["timeline"] = columns("timeline", timeline.rows)
    raw["counts"] = {name: np.array([out.counts[name]], np.int64) for name in COUNTS}
    return raw


def look(out: Tables, memory: Memory, interference: Interference) -> Cells:
    """Return everything counted so far, by cgroup.

    I/O and memory by who pays; times by who waited, as in ``latency``; ``blocked_ns``
    by who was waited for; memory in use and events with descendants, as the kernel
    shows them, but without stocks.
    """
    cells: Cells = {cgroup: Counter() for cgroup in range(len(out.setup.parent))}
    for (_, _, payer), io in out.charges.items():
        for name in IO_COLUMNS:
            cells[payer][name] += io[name]
    charges = memory.charges
    for name, counter in (
        ("charged_bytes", charges.charged),
        ("uncharged_bytes", charges.uncharged),
        ("refused_bytes", charges.refused),
    ):
        for (_, _, payer), nbytes in counter.items():
            cells[payer][name] += nbytes
    for (issuer, _, _, stage), histogram in out.latency.items():
        cells[issuer][f"{Stage(stage).name.lower()}_ns"] += histogram.sum
        if stage == Stage.TOTAL:
            cells[issuer]["requests"] += histogram.count
    for (_, blocking, _), wait_ns in interference.wait_ns.items():
        if blocking in cells:  # not those that a shared lock does not tell apart
            cells[blocking]["blocked_ns"] += wait_ns
    for cgroup, group in enumerate(memory.groups):
        cells[cgroup]["usage_bytes"] = group.usage * PAGE_BYTES
        cells[cgroup]["high"] = group.high_events
        cells[cgroup]["max"] = group.max_events
        cells[cgroup]["oom"] = group.oom
        cells[cgroup]["oom_kill"] = group.oom_kill
    for stock in memory.stocks.values():
        for owner, pages in filter(None, stock.slots):
            for cgroup in memory.chain(owner):
                cells[cgroup]["usage_bytes"] -= pages * PAGE_BYTES
    return cells


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


def worker_rows(run: Run, dispatcher: Dispatcher) -> list[tuple[int, ...]]:
    """Return a row for every worker that was ever made."""
    rows: list[tuple[int, ...]] = []
    if run.setup.policy == Policy.PASS_THROUGH:
        return rows  # there are none: the bio goes on in its caller's context
    for index, device in enumerate(dispatcher.devices):
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
    if not rows:
        return {name: np.zeros(0, dtype) for name, dtype in RAW_COLUMNS[table].items()}
    return {
        name: np.array([row[i] for row in rows], dtype)
        for i, (name, dtype) in enumerate(RAW_COLUMNS[table].items())
    }
