"""``io.latency`` against numbers worked out by hand, from the kernel's rules."""

from typing import Any

import numpy as np

from replay.engine.setup import BACKING_DEVICE, ArrivalEvent, Resource, Setup
from replay.scenario.binding.tree import build_tree
from replay.scenario.keys.load import Scenario
from replay.scenario.setup.iolatency import flat_iolatency
from replay.trace.file.schema import FLAGS
from support.engines import ROOT, A, B, by_row, pick, replayed, request, setup_of

MS, SECOND = 10**6, 10**9
META = FLAGS["meta"]


def targeted(
    targets: tuple[int, ...] = (0, MS, 0),
    parents: tuple[int, ...] = (-1, ROOT, ROOT),
    **fields: Any,
) -> Setup:
    """Make a disk of 8 requests below, reads of 10 ms, and a target of 1 ms for a."""
    return setup_of(
        parents,
        **{
            "direct_io": True,
            "tmpfs": False,
            "read_base_ns": 10 * MS,
            "iolatency_device": np.array([BACKING_DEVICE], np.int32),
            "iolatency_target": np.array([targets]),
            "iolatency_requests": np.array([8]),
            "iolatency_rotates": np.array([False]),
            **fields,
        },
    )


def burst(at: int, cgroup: int, n: int, **fields: Any) -> list[Any]:
    return [request(at, cgroup, page=i, **fields) for i in range(n)]


def waits(raw: Any) -> list[int]:
    """Return what each row waited below, in its worker or behind it."""
    return [sum(row) for row in by_row(raw, "backing_ns", "dispatch_ns")]


def test_a_miss_halves_the_depth_of_those_without_a_target() -> None:
    # GIVEN a that misses its target in a window of 100 ms, which its second read ends
    rows = [request(0), request(100 * MS)]
    # WHEN b has six reads after that
    raw = replayed(targeted(), *rows, *burst(200 * MS, B, 6))
    # THEN b's depth is 8 / 2 = 4: two of them wait for the end of the first ones
    assert waits(raw)[2:] == [0, 0, 0, 0, 10 * MS, 10 * MS]
    # AND the wait is for b's own depth; the last one waited for the worker alone
    waited = pick(raw, "interference", "waiting", "blocking", "resource", "wait_ns")
    assert (B, B, Resource.THROTTLE, 10 * MS) in waited
    assert {row[0] for row in waited} == {B}


def test_nobody_is_held_while_the_target_is_kept() -> None:
    rows = [request(0), request(100 * MS), *burst(200 * MS, B, 20)]
    kept = replayed(targeted((0, 11 * MS, 0)), *rows)
    assert set(waits(kept)) == {0}


def test_a_disk_that_turns_goes_by_the_mean() -> None:
    # GIVEN one late read of 13: that is a miss by 10 % of 13, at least 1
    rows = [*burst(0, A, 12), request(100 * MS, op="write"), *burst(200 * MS, B, 6)]
    late: dict[str, Any] = {"write_base_ns": 10 * MS, "read_base_ns": MS // 10}
    ssd = replayed(targeted(**late), *rows)
    assert waits(ssd)[-1] > 0
    # AND not by the mean, 0.86 ms
    turns = targeted(**late, iolatency_rotates=np.array([True]))
    assert set(waits(replayed(turns, *rows))) == {0}


def test_at_most_two_steps_a_second_and_then_depth_one() -> None:
    # GIVEN a that misses every 100 ms for 3 s; the cookie falls every 500 ms by 2
    rows = [request(i * 100 * MS) for i in range(31)]
    # b looks on now and then, so that it follows each step: 4, 2, 1
    rows += [request(600 * MS, B), request(1200 * MS, B), request(1800 * MS, B)]
    rows += burst(3100 * MS, B, 4)
    rows.sort(key=lambda row: row["queue_ns"])
    raw = replayed(targeted(), *rows)
    # THEN b is served one at a time
    assert waits(raw)[-4:] == [0, 10 * MS, 20 * MS, 30 * MS]


def test_who_has_a_smaller_target_is_never_held() -> None:
    # GIVEN b with a target smaller than a's, which a may not hold
    rows = [request(0), request(100 * MS), *burst(200 * MS, B, 20)]
    assert set(waits(replayed(targeted((0, MS, MS // 2)), *rows))) == {0}
    # AND with a larger one only if it did more than 5 % of the I/O: it did none
    assert set(waits(replayed(targeted((0, MS, 20 * MS)), *rows))) == {0}


def test_held_siblings_are_let_go_when_the_owner_is_gone() -> None:
    # GIVEN b held at depth 4 since 110 ms; nobody scales for 5 s, then 1 step of
    # max(1, 8 / 16) a second, from 2 below, while b issues now and then
    rows = [request(0), request(100 * MS), *burst(200 * MS, B, 6)]
    rows += [request(second * SECOND, B) for second in range(1, 20)]
    raw = replayed(targeted(), *rows, *burst(20 * SECOND, B, 20))
    assert waits(raw)[7] > 0
    assert set(waits(raw)[-20:]) == {0}


def test_every_level_has_places_of_its_own() -> None:
    # GIVEN a, and b with a child that issues: b is held, and with it the child
    setup = targeted((0, MS, 0, 0), (-1, ROOT, ROOT, B))
    child = 3
    rows = [request(0), request(100 * MS), *burst(200 * MS, child, 6)]
    raw = replayed(setup, *rows)
    assert waits(raw)[2:] == [0, 0, 0, 0, 10 * MS, 10 * MS]
    # THEN it waits for b, whose depth it is
    waited = pick(raw, "interference", "waiting", "blocking", "resource", "wait_ns")
    assert (child, B, Resource.THROTTLE, 10 * MS) in waited


def test_meta_takes_a_place_without_waiting() -> None:
    above: dict[str, Any] = {
        "iolatency_device": np.array([0], np.int32),
        "event": ArrivalEvent.QUEUE,
    }
    rows = [request(0), request(100 * MS), *burst(200 * MS, B, 4)]
    raw = replayed(
        targeted(**above), *rows, request(200 * MS, B, flags=META), request(200 * MS, B)
    )
    assert by_row(raw, "throttle_ns")[-2:] == [0, 10 * MS]


def test_lines_of_a_scenario() -> None:
    scenario = Scenario.from_dict(
        {
            "backing": {"device": "254:32", "nr_requests": 64},
            "cgroups": {
                "/a": {"io.latency": "254:32 target=75\n7:0 target=5"},
                "/b": {"io.latency": "254:32 target=max\n8:0 target=9"},
            },
        }
    )
    found = flat_iolatency(scenario, build_tree(["/a", "/b"]), [7 << 20])
    assert found["iolatency_device"].tolist() == [0, BACKING_DEVICE]
    assert found["iolatency_target"].tolist() == [[0, 5000, 0], [0, 75_000, 0]]
    assert found["iolatency_requests"].tolist() == [128, 64]
    assert found["iolatency_rotates"].tolist() == [False, False]
