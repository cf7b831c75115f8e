"""What arrivals were taken to depend on is told, process by process."""

from pathlib import Path

import numpy as np

import replay
from replay.engine.dependence import Streams
from replay.results.dependence import MOST, dependence
from replay.trace.file.metadata import Process, ProcessName

TRACES = Path(__file__).parents[4] / "traces"


def test_depth_and_think_time_of_each_process_are_told() -> None:
    # GIVEN a process with two requests in flight at most, and one without a name
    streams = Streams(
        order=np.arange(7),
        think_ns=np.array([5, 10, 20, 30, 0, 1, 1]),
        needs=np.array([-1, 0, 1, 2, -4, -3, -2]),
        starts=np.ones(7, np.uint32),
        start=np.array([0, 4, 7]),
        depth=np.array([2, 5]),
        pid=np.array([100, 200], np.int32),
        device=np.array([0, 1], np.uint16),
    )
    names = [ProcessName(time_ns=0, name="sh"), ProcessName(time_ns=9, name="dd")]
    processes = [Process(pid=100, names=names, n_requests=4)]
    found = dependence(streams, processes, ["7:0", "7:1"])
    # THEN the one with most requests comes first, by its last name; all but its first
    # two requests wait for a completion; its idle time before the first does not count
    assert found == {
        "processes": [
            {
                "device": "7:0",
                "pid": 100,
                "process": "dd",
                "requests": 4,
                "depth": 2,
                "released": 2,
                "think_mean_ns": 20,
            },
            {
                "device": "7:1",
                "pid": 200,
                "process": None,
                "requests": 3,
                "depth": 5,
                "released": 0,
                "think_mean_ns": 1,
            },
        ],
        "left_out": 0,
    }


def test_of_very_many_processes_those_with_most_requests_are_told() -> None:
    n = MOST + 3
    streams = Streams(
        order=np.arange(n + 1),
        think_ns=np.zeros(n + 1, np.int64),
        needs=np.zeros(n + 1, np.int64),
        starts=np.ones(n + 1, np.uint32),
        start=np.append(np.arange(n), n + 1),
        depth=np.ones(n, np.int64),
        pid=np.arange(n, dtype=np.int32),
        device=np.zeros(n, np.uint16),
    )
    found = dependence(streams, [], ["7:0"])
    assert len(found["processes"]) == MOST
    assert found["left_out"] == 3
    assert found["processes"][0]["pid"] == n - 1


def test_a_dependent_run_says_so_and_a_recorded_one_has_nothing_to_say() -> None:
    trace = TRACES / "high-unlimited"
    result = replay.run(trace, {"arrivals": {"mode": "dependent"}})
    (first, *_) = result.info["dependence"]["processes"]
    assert (first["process"], first["device"], first["depth"]) == ("dd", "7:0", 1)
    line = (
        f"dd ({first['pid']}) on 7:0: {first['requests']} requests, at most 1 at once"
    )
    assert line in result.summary()
    assert replay.run(trace).info["dependence"] is None
