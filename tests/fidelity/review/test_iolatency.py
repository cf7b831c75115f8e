"""io.latency held against a kernel that has it (docs/model.md, Latency).

``small_kernel/`` holds two recordings of ``tests/lab/scenarios/io-latency.sh`` by the
small kernel of ``tests/lab/build_kernel.sh``, without a target and with TARGET=10000,
on a clock that counts instructions (``--icount``).
"""

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import replay

KEPT = Path(__file__).parent / "small_kernel"
DISK = "253:1"
SECOND = 10**9
#: The disk serves one request at a time in 2 ms; nr_requests is 64.
SCENARIO: dict[str, Any] = {
    "trace": {"devices": [DISK]},
    "arrivals": {"mode": "dependent"},
    "backing": {"nr_requests": 64},
    "service": {
        "model": "linear",
        "parallel": 1,
        "read": {"base_ns": 2_000_000, "ns_per_byte": 0},
    },
}
TARGET = {"cgroups": {"/a": {"io.latency": f"{DISK} target=10000"}}}


def fio_ms(name: str, job: str) -> float:
    """Return what a job of a recording saw: the mean from submission to completion."""
    with tarfile.open(KEPT / f"{name}.tar.xz") as archive:
        file = archive.extractfile(f"{name}/fio.{job}.json")
        assert file is not None
        text = file.read().decode()
    (found,) = json.loads(text[text.index("{") :])["jobs"]
    return float(found["read"]["clat_ns"]["mean"]) / 1e6


def replayed(**more: Any) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Predict from the recording without a target; each cgroup's arrivals and times."""
    trace = KEPT / "io-latency-base.tar.xz"
    requests = replay.run(trace, SCENARIO | more, requests=True).requests
    assert requests is not None
    issuer = np.array(requests["issuer"].to_pylist())
    arrival, done = (
        requests[name].to_numpy() for name in ("arrival_ns", "completion_ns")
    )
    return {
        path: (arrival[issuer == path], (done - arrival)[issuer == path])
        for path in ("/a", "/b")
    }


def by_second(arrival: NDArray[np.int64], took: NDArray[np.int64]) -> list[float]:
    """Return the mean of each second's requests, ms."""
    second = (arrival - arrival.min()) // SECOND
    return [float(took[second == one].mean()) / 1e6 for one in np.unique(second)]


def recorded_by_second(name: str, pid_of: str) -> list[float]:
    with replay.open_or_convert(KEPT / f"{name}.tar.xz") as trace:
        table = trace.table()
        paths = {one.path: one.id for one in trace.metadata.summary.cgroups}
    mine = np.asarray(table["cgroup"]) == paths[pid_of]
    queue, done = (np.asarray(table[n])[mine] for n in ("queue_ns", "complete_ns"))
    return by_second(queue, done - queue)


def test_without_a_target_both_are_as_recorded() -> None:
    found = replayed()
    for job in ("a", "b"):
        mean_ms = float(found[f"/{job}"][1].mean()) / 1e6
        assert mean_ms == pytest.approx(fio_ms("io-latency-base", job), rel=0.01)


def test_the_means_of_victim_and_aggressor_are_the_kernels() -> None:
    # GIVEN a recording without a target, WHEN a is given one of 10 ms
    found = replayed(**TARGET)
    # THEN both are as slow as the kernel made them
    for job in ("a", "b"):
        mean_ms = float(found[f"/{job}"][1].mean()) / 1e6
        assert mean_ms == pytest.approx(fio_ms("io-latency", job), rel=0.05)


def test_the_aggressor_is_cut_in_the_kernels_order() -> None:
    # GIVEN the first seconds, in which b's depth is halved again and again
    model = by_second(*replayed(**TARGET)["/a"])
    kernel = recorded_by_second("io-latency", "/a")
    # THEN a's times fall alike: by what stands ahead of it in the disk
    assert model[0] == pytest.approx(kernel[0], rel=0.15)
    assert model[1] == pytest.approx(kernel[1], rel=0.25)
    for seen in (model, kernel):
        assert seen[0] > 2 * seen[1] > 3 * seen[2]
        # AND it is held near the target then
        assert 7 < np.mean(seen[2:5]) < 14
    # AND nobody holds the victim back
    without = replayed()["/a"][1]
    assert replayed(**TARGET)["/a"][1][:100].mean() < without[:100].mean()
