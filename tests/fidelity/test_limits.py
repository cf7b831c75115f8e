"""Limited runs predicted from recordings without the limit, against the kernel's own.

Bounds are those that the rules reach without fitting; what is recorded under emulation
has a spread of its own (`shared`'s README gives it).
"""

from typing import Any

import numpy as np
import pytest

import replay
from fidelity.page.lab import Lab
from fidelity.page.predicted import DIRECT
from fidelity.page.tables import matching, only


def linear(base_ns: int, ns_per_byte: float) -> dict[str, Any]:
    """Return a service that is the same for reads and writes."""
    one = {"base_ns": base_ns, "ns_per_byte": ns_per_byte}
    return {"model": "linear", "read": one, "write": one}


def test_io_max_is_predicted_from_the_run_without_it(lab: Lab) -> None:
    # GIVEN the same jobs recorded without and with b's limit of 4 MiB/s
    unlimited, limited = lab["direct-unlimited"], lab["direct-iomax"]
    scenario = DIRECT | {"cgroups": {"/b": {"io.max": "254:32 wbps=4194304"}}}
    # WHEN the one without is replayed with it
    result = replay.run(unlimited.trace, scenario, requests=True)
    # THEN b's latencies and run time are the kernel's
    for path, mean_off, rank_off in (("/b", 0.05, 0.10), ("/a", 0.25, None)):
        kernel = limited.times_ns(path)
        found = only(result.latency, cgroup=path, stage="total")
        assert found["mean_ns"] == pytest.approx(kernel.mean(), rel=mean_off)
        if rank_off is not None:
            for name, rank in (("p50_ns", 0.5), ("p99_ns", 0.99)):
                exact = kernel[int(np.ceil(rank * len(kernel))) - 1]
                assert found[name] == pytest.approx(exact, rel=rank_off)
    assert result.requests is not None
    mine = [row for row in result.requests.to_pylist() if row["issuer"] == "/b"]
    took_ns = max(row["completion_ns"] for row in mine) - mine[0]["arrival_ns"]
    assert took_ns == pytest.approx(6.2e9, rel=0.03)
    # AND the wait is for b's own limit
    wait = only(result.interference, waiting="/b", resource="throttle")
    assert wait["blocking"] == "/b"
    # AND nobody waits for the other: what lies between Q and D is each one's own
    for row in result.interference.to_pylist():
        assert row["waiting"] == row["blocking"]


def test_policy_enospc_answers_the_seeds_question(lab: Lab) -> None:
    # GIVEN the cover letter's writer under its limit, and Chinner's answer to it
    scenario = {
        "driver": {"policy": "enospc"},
        "trace": {"policy": "per-cgroup"},
        "cgroups": {"/test.slice": {"memory.max": "64M"}},
    }
    result = replay.run(lab["seed-unlimited"].trace, scenario)
    # THEN nobody is killed and the writer gets ENOSPC; here it writes on and on
    assert result.kills.num_rows == 0
    (error,) = matching(result.errors, cgroup="/test.slice")
    assert error["errno"] == 28
    found = only(result.memory, cgroup="/test.slice")
    assert found["current"] == found["peak"] == 64 << 20
    assert (found["oom"], found["oom_kill"]) == (0, 0)
    assert found["max"] == 18 * error["count"]


def test_memory_high_counts_17_events_for_every_128_pages(lab: Lab) -> None:
    # GIVEN dd alone, 20 MiB over a memory.high of 12 MiB; its own memory is 1.3 MiB
    # (`memory.peak` less what it wrote and the stock)
    taken = lab["high-alone"]
    scenario = {
        "service": linear(1_000_000, 5),
        "cgroups": {
            "/a": {"memory.high": "12M", "tasks": [{"comm": "dd", "rss": "1300K"}]}
        },
    }
    result = replay.run(taken.trace, scenario)
    found = only(result.memory, cgroup="/a")
    kernel = taken.kernel()["/a"]["memory.events"]
    assert found["high"] == kernel["high"] == 323
    # AND it slept as long as the kernel's writer took, but for the copying
    slept = only(result.latency, cgroup="/a", stage="memory", op="write")
    total_ns = taken.times_ns("/a").sum()
    assert slept["mean_ns"] * slept["count"] == pytest.approx(total_ns, rel=0.05)


def test_sleep_of_one_stalls_the_other_behind_the_lock(lab: Lab) -> None:
    # GIVEN a's writer with a memory.high of 24 MiB and b's without, predicted from the
    # run without a limit; the kernel's own spread is 15.2-16.9 s and 14.2-15.9 s
    taken = lab["high-unlimited"]
    scenario = {
        "service": linear(500_000, 8),
        "arrivals": {"mode": "dependent"},
        "cgroups": {
            "/a": {"memory.high": "24M", "tasks": [{"comm": "dd", "rss": "1300K"}]}
        },
    }
    result = replay.run(taken.trace, scenario)
    totals = {
        path: found["mean_ns"] * found["count"] / 1e9
        for path in ("/a", "/b")
        for found in [only(result.latency, cgroup=path, stage="total")]
    }
    assert 15.2 * 0.88 <= totals["/a"] <= 16.9 * 1.12
    assert 14.2 * 0.88 <= totals["/b"] <= 15.9 * 1.12
    # AND b waits for a on the lock, almost all of the time
    wait = only(result.interference, waiting="/b", blocking="/a", resource="lock")
    assert wait["wait_ns"] >= 0.95 * totals["/b"] * 1e9
    assert abs(only(result.memory, cgroup="/a")["high"] - 204) <= 51
