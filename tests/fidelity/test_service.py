"""Recorded service, request by request (docs/model.md, Service)."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import replay
from fidelity.page.lab import Lab
from fidelity.page.recording import SavedCapture
from fidelity.page.tables import means, only
from support.recordings import SLEPT, STEADY


def rows_of(result: replay.Result, *names: str) -> list[NDArray[np.int64]]:
    assert result.requests is not None
    done = result.requests.filter(result.requests["completion_ns"].is_valid())
    return [done[name].to_numpy(zero_copy_only=False) for name in names]


@pytest.mark.parametrize("name", [*STEADY, *SLEPT])
def test_no_row_that_took_time_takes_none_under_any_driver(lab: Lab, name: str) -> None:
    # GIVEN any recording
    taken = lab[name]
    table = taken.trace.table()
    issue = np.asarray(table["issue_ns"])
    issue = np.where(issue < 0, np.asarray(table["queue_ns"]), issue)
    took = np.asarray(table["complete_ns"]) - issue
    for policy in ("per-cgroup", "root", "synchronous"):
        scenario = taken.scenario()
        scenario["driver"] = {**scenario.get("driver", {}), "policy": policy}
        # WHEN it is replayed, under its own driver or another
        result = replay.run(taken.trace, scenario, requests=True)
        rows, device_ns = rows_of(result, "row", "device_ns")
        # THEN whoever took time when recorded takes some, and no more than that
        assert (device_ns[took[rows] > 0] > 0).all()
        assert (device_ns <= np.maximum(took[rows], 0)).all()


def test_one_worker_gives_a_the_distribution_that_the_kernel_showed(lab: Lab) -> None:
    def times_of_a(taken: SavedCapture, scenario: Any) -> NDArray[np.int64]:
        result = replay.run(taken.trace, scenario, requests=True)
        issuer, arrival, done = rows_of(result, "issuer", "arrival_ns", "completion_ns")
        return np.sort((done - arrival)[issuer == "/a"])

    # GIVEN a worker each, as recorded, WHEN replayed through the root's one worker
    taken, through_one = lab["workers-per-cgroup"], lab["workers-root"]
    found = times_of_a(taken, taken.scenario_file)
    # THEN a's times are spread as those that were recorded so
    kernel = times_of_a(through_one, through_one.scenario())
    assert len(found) == len(kernel) == 3000
    assert found[0] > 10_000
    for share in (0.9, 0.99):
        at = int(share * len(found))
        assert found[at] == pytest.approx(kernel[at], rel=0.30)
    assert found.mean() == pytest.approx(kernel.mean(), rel=0.10)


def test_who_is_alone_is_as_fast_as_the_processors_let_it_be(lab: Lab) -> None:
    def alone(name: str) -> pd.DataFrame:
        # a's requests while b has none, which is first or last
        rows = lab[name].trace.table().to_pandas()
        small = rows.nbytes == 4096
        mine, others = rows[small].copy(), rows[~small]
        mine["took"] = mine.complete_ns - mine.issue_ns
        mine["own"] = mine.queue_ns - mine.complete_ns.shift()
        begin, end = others.queue_ns.min(), others.complete_ns.max()
        return mine[(mine.complete_ns < begin) | (mine.queue_ns > end)]

    # GIVEN a's requests that found nobody before them, in both recordings
    each, through_one = alone("workers-per-cgroup"), alone("workers-root")
    near, far = (through_one[through_one.cpu == cpu] for cpu in (1, 0))
    # THEN they are nearly all of a's through one worker, so that its median is theirs
    assert len(through_one) > 0.9 * 3000
    # AND there they take one of two times, as does a's own time between them, which no
    # driver has a part in: on which processor it runs tells which
    for name in ("took", "own"):
        assert far[name].median() > 2 * near[name].median()
        # of which the recording with a worker each knows the first alone
        assert each[name].median() == pytest.approx(near[name].median(), rel=0.15)
    assert set(each.cpu) == {0}
    # AND that is what is predicted
    taken = lab["workers-per-cgroup"]
    found = only(
        replay.run(taken.trace, taken.scenario_file).latency,
        cgroup="/a",
        stage="total",
        op="write",
    )
    assert found["p50_ns"] == pytest.approx(near.took.median(), rel=0.15)


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("workers-per-cgroup", "workers-root"),
        ("workers-root", "workers-per-cgroup"),
    ],
)
def test_one_worker_and_one_each_are_predicted_from_each_other(
    lab: Lab, name: str, counted: str
) -> None:
    # GIVEN a recording of one and of the other, on two processors
    taken, other = lab[name], lab[counted]
    kernel = means(replay.run(other.trace, other.scenario()))
    # WHEN either is predicted from the other
    found = means(
        replay.run(taken.trace, taken.scenario_file, overrides=["machine.cpus=2"])
    )
    # THEN both cgroups' means are what the kernel showed
    for path in ("/a", "/b"):
        assert found[path] == pytest.approx(kernel[path], rel=0.15)


def test_every_policy_gives_plausible_times(lab: Lab) -> None:
    # GIVEN small writes of a beside large ones of b, a worker each
    taken = lab["workers-per-cgroup"]

    def mean_us(**driver: object) -> float:
        scenario = taken.scenario() | {"driver": driver}
        return means(replay.run(taken.trace, scenario))["/a"] / 1000

    each = mean_us(policy="per-cgroup")
    # WHEN each thread serves its own, THEN they share the file's lock as before
    assert mean_us(policy="synchronous") == pytest.approx(each, rel=0.5)
    # AND where no worker can be made the root's serves all: as under root
    failing = mean_us(policy="per-cgroup", alloc_fail={"probability": 1.0})
    root = mean_us(policy="root")
    assert failing == pytest.approx(root, rel=0.01)
    assert root > 2 * each
    for policy in ("naive", "backcharge"):
        assert mean_us(policy=policy) == pytest.approx(root, rel=0.01)
