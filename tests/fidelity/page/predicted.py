"""Runs under a limit or another driver, predicted from runs without."""

import math
from collections.abc import Iterator
from typing import Any

import replay
from fidelity.page.bounds import Row, around, factor, off_by, within
from fidelity.page.lab import Lab
from fidelity.page.recording import recorded_means
from fidelity.page.tables import means, only

DIRECT: dict[str, Any] = {
    "trace": {"direct_io": True},
    "driver": {"direct_io": True},
    "backing": {"filesystem": "ext4", "device": "254:32"},
    # the total is from queue to completion, as a process sees it
    "arrivals": {"mode": "dependent", "event": "queue"},
}


def rows(lab: Lab) -> Iterator[Row]:
    """Yield what was predicted."""
    for predict, names in (
        (_io_max, ("direct-unlimited", "direct-iomax")),
        (_memory_high, ("high-unlimited", "tmpfs-high")),
        (_workers, ("workers-per-cgroup", "workers-root")),
    ):
        if lab.has(*names):
            yield from predict(lab)


def _io_max(lab: Lab) -> Iterator[Row]:
    name, counted = "direct-unlimited", "direct-iomax"
    limits = {"/b": {"io.max": "254:32 wbps=4194304"}}
    result = replay.run(lab[name].trace, DIRECT | {"cgroups": limits}, requests=True)
    for path, mean_off, rank_off in (("/b", 0.05, 0.10), ("/a", 0.25, None)):
        times = lab[counted].times_ns(path)
        found = only(result.latency, cgroup=path, stage="total")
        values = {"mean": (times.mean(), found["mean_ns"], mean_off)}
        if rank_off is not None:
            for rank in (50, 99):
                at = times[math.ceil(rank / 100 * len(times)) - 1]
                values[f"p{rank}"] = (at, found[f"p{rank}_ns"], rank_off)
        for measure, (kernel_ns, found_ns, off) in values.items():
            kernel = float(kernel_ns) / 1e6
            what = f"`io.max` on /b: {path}'s {measure}"
            ms = found_ns / 1e6
            yield Row(name, counted, what, "ms", kernel, ms, within(kernel, off))
    assert result.requests is not None
    mine = [row for row in result.requests.to_pylist() if row["issuer"] == "/b"]
    took = max(row["completion_ns"] for row in mine) - mine[0]["arrival_ns"]
    kernel = lab[counted].span_ns("/b") / 1e9
    what = "`io.max` on /b: its run time"
    yield Row(name, counted, what, "s", kernel, took / 1e9, within(kernel, 0.03))


def _memory_high(lab: Lab) -> Iterator[Row]:
    name, counted = "high-unlimited", "tmpfs-high"
    calibration = replay.calibrate(lab[name].trace)
    assert isinstance(calibration, replay.Calibration)
    fitted = calibration.lines["write"]
    service = {"base_ns": fitted.base_ns, "ns_per_byte": fitted.ns_per_byte}
    high = {"memory.high": "24M", "tasks": [{"comm": "dd", "rss": "1300K"}]}
    result = replay.run(
        lab[name].trace,
        {
            "service": {"model": "linear", "write": service},
            "arrivals": {"mode": "dependent"},
            "cgroups": {"/a": high},
        },
    )
    for path, what, low, high_s in (
        ("/a", "`memory.high` on /a: its writes' time", 15.2, 16.9),
        ("/b", "`memory.high` on /a: b's writes' time, behind a's lock", 14.2, 15.9),
    ):
        kernel = lab[counted].times_ns(path).sum() / 1e9
        found = only(result.latency, cgroup=path, stage="total")["sum_ns"] / 1e9
        bound = around(low, high_s, 0.12, "s")
        yield Row(name, counted, what, "s", kernel, found, bound)
    kernel = lab[counted].kernel()["/a"]["memory.events"]["high"]
    events = only(result.memory, cgroup="/a")["high"]
    what = "`memory.high` on /a: its `high` events"
    yield Row(name, counted, what, "", kernel, events, off_by(kernel, 51))


def _workers(lab: Lab) -> Iterator[Row]:
    recorded = {}
    for name in ("workers-per-cgroup", "workers-root"):
        taken = lab[name]
        result = replay.run(taken.trace, taken.scenario(), requests=True)
        recorded[name] = recorded_means(taken.trace, result)
    name, counted = "workers-per-cgroup", "workers-root"
    found = means(replay.run(lab[name].trace, lab[name].scenario_file))
    for path, off in (("/a", 0.30), ("/b", 0.40)):
        kernel = recorded[counted][path] / 1000
        what = f"through one worker: {path}'s mean"
        us = found[path] / 1000
        yield Row(name, counted, what, "us", kernel, us, within(kernel, off))
    name, counted = counted, name
    found = means(replay.run(lab[name].trace, lab[name].scenario_file))
    kernel = recorded[counted]["/a"] / 1000
    what = "through a worker each: /a's mean"
    us = found["/a"] / 1000
    yield Row(name, counted, what, "us", kernel, us, factor(kernel, 2.5))
