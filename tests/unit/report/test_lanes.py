"""Lanes of workers, and how many requests are in flight."""

from itertools import pairwise
from pathlib import Path

import pytest

import replay
from replay.report.html.depth import in_flight
from replay.report.html.rows import ShownCgroups
from replay.report.lanes import has_lanes, lanes_of

TRACES = Path(__file__).parents[3] / "traces"


def test_a_worker_is_at_one_command_at_a_time() -> None:
    # GIVEN requests of two cgroups, each with its worker
    result = replay.run(TRACES / "workers-per-cgroup", requests=True)
    assert result.requests is not None
    rows = result.requests.to_pylist()
    # WHEN they are put into lanes
    lanes = lanes_of(rows)
    # THEN each request is in one, and none begins before the one ahead of it has ended
    assert sum(len(served) for served in lanes.values()) == len(rows)
    for served in lanes.values():
        assert len({one.row["worker"] for one in served}) == 1
        assert all(one.row["start_ns"] <= one.end_ns for one in served)
        assert all(a.end_ns <= b.row["start_ns"] for a, b in pairwise(served))


def test_workers_that_only_submit_have_no_lanes() -> None:
    assert has_lanes(replay.run(TRACES / "workers-root"))
    direct = TRACES / "direct-bfq"
    assert not has_lanes(replay.run(direct, direct.with_suffix(".toml")))


def test_a_request_that_no_worker_served_is_in_no_lane() -> None:
    row = {"device": "254:0", "worker": None, "start_ns": 5, "completion_ns": 9}
    assert lanes_of([row]) == {}


def test_requests_in_flight_times_time_is_the_time_that_they_took() -> None:
    # GIVEN a result with a row for each request
    result = replay.run(TRACES / "workers-per-cgroup", requests=True)
    # WHEN those in flight are averaged over intervals
    found = in_flight(result, ShownCgroups(["/a", "/b"]))
    # THEN a mean over all of them, times the run, is the sum of latencies
    end_ns = result.info["counts"]["end_ns"]
    totals = {
        row["cgroup"]: row["sum_ns"]
        for row in result.latency.to_pylist()
        if row["stage"] == "total" and row["count"]
    }
    for name in ("/a", "/b"):
        means = [row["in_flight"] for row in found if row["cgroup"] == name]
        assert sum(means) / len(means) * end_ns == pytest.approx(totals[name], rel=1e-9)
