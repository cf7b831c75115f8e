"""Replayed latencies against recorded ones, under the same driver and another."""

from collections.abc import Callable

import pytest

import replay
from fidelity.page.lab import Lab
from fidelity.page.recording import recorded_means
from fidelity.page.tables import matching, means, only
from support.recordings import SLEPT, STEADY, ratios

#: Replayed under its own driver, a trace returns its recorded latencies (docs/model.md,
#: Service).
BOUND = {"recorded": 0.02, "dependent": 0.05}


@pytest.mark.parametrize("mode", BOUND)
@pytest.mark.parametrize("name", STEADY)
def test_under_its_own_driver_a_trace_returns_its_latencies(
    lab: Lab, name: str, mode: str
) -> None:
    taken = lab[name]
    scenario = taken.scenario() | {"arrivals": {"mode": mode}}
    result = replay.run(taken.trace, scenario, requests=True)
    off = ratios(means(result), recorded_means(taken.trace, result))
    assert off
    assert all(abs(part) <= BOUND[mode] for part in off.values()), off
    counts = result.info["counts"]
    assert counts["requests"] == counts["completed"]


@pytest.mark.parametrize("mode", BOUND)
@pytest.mark.parametrize("name", SLEPT)
def test_sleeps_inside_the_recorded_times_come_back_as_service(
    lab: Lab, name: str, mode: str
) -> None:
    # docs/model.md (Service) promises nothing here: a limit's sleeps lie in service. So
    # they are replayed as they were, limit or not, and the means hold none the less.
    taken = lab[name]
    scenario = taken.scenario() | {"arrivals": {"mode": mode}}
    result = replay.run(taken.trace, scenario, requests=True)
    off = ratios(means(result), recorded_means(taken.trace, result))
    assert all(abs(part) <= BOUND[mode] for part in off.values()), off


@pytest.fixture
def recorded_a(lab: Lab) -> Callable[[str], float]:
    """small-a's recorded mean from queueing to completion, ns."""

    def mean(name: str) -> float:
        taken = lab[name]
        result = replay.run(taken.trace, taken.scenario(), requests=True)
        assert only(result.latency, cgroup="/a", stage="total")["count"] == 3000
        return recorded_means(taken.trace, result)["/a"]

    return mean


def test_one_worker_for_both_costs_a_what_the_kernel_showed(
    lab: Lab,
    recorded_a: Callable[[str], float],
    record_property: Callable[[str, object], None],
) -> None:
    # GIVEN a worker each, as recorded, WHEN replayed through the root's one worker
    taken = lab["workers-per-cgroup"]
    result = replay.run(taken.trace, taken.scenario_file)
    assert result.info["scenario"]["driver"]["policy"] == "root"
    assert result.info["scenario"]["arrivals"]["mode"] == "dependent"
    # THEN small-a takes what the same jobs took through one worker
    off = means(result)["/a"] / recorded_a("workers-root") - 1
    record_property("per_cgroup_to_root", f"{off:+.1%}")
    assert abs(off) <= 0.30
    # AND it waits for b, on the worker, for nearly all of it
    waits = matching(result.interference, waiting="/a")
    # (between Q and D behind nobody)
    waits = [row for row in waits if row["resource"] != "tag"]
    assert {(row["blocking"], row["resource"]) for row in waits} == {("/b", "worker")}
    dispatch = only(result.latency, cgroup="/a", stage="dispatch")
    total = only(result.latency, cgroup="/a", stage="total")
    # the table's mean is rounded down
    assert 0 <= waits[0]["wait_ns"] - 3000 * dispatch["mean_ns"] < 3000
    assert dispatch["mean_ns"] > 0.7 * total["mean_ns"]
    assert {row["cgroup"] for row in result.workers.to_pylist()} == {"/"}


def test_a_worker_each_gives_a_its_latency_back(
    lab: Lab,
    recorded_a: Callable[[str], float],
    record_property: Callable[[str, object], None],
) -> None:
    # GIVEN one worker for both, as recorded, WHEN replayed with a worker each
    taken = lab["workers-root"]
    result = replay.run(taken.trace, taken.scenario_file)
    # THEN small-a takes about what it took with its own; the lock's share in recorded
    # service cannot be told apart, hence a factor and not per cent
    ratio = means(result)["/a"] / recorded_a("workers-per-cgroup")
    record_property("root_to_per_cgroup", f"{ratio - 1:+.1%}")
    assert 1 / 2.5 <= ratio <= 2.5
    # AND what it still waits for is the file's lock, which both writers take
    waits = {
        (row["blocking"], row["resource"])
        for row in matching(result.interference, waiting="/a")
        if row["resource"] != "tag"  # between Q and D, behind nobody
    }
    assert waits == {("/b", "lock")}
    # docs/model.md, Lock: taken page by page, so both lose the same
    a = only(result.interference, waiting="/a", resource="lock")
    b = only(result.interference, waiting="/b", resource="lock")
    assert (a["blocking"], b["blocking"]) == ("/b", "/a")
    assert a["wait_ns"] == b["wait_ns"]
