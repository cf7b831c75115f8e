"""Time in the device, tags, dependent arrivals (docs/model.md, Service and Arrival)."""

import numpy as np
import pytest

from replay.engine.dependence import infer_streams
from replay.engine.setup import (
    ArrivalEvent,
    ArrivalMode,
    Policy,
    Resource,
    ServiceModel,
)
from support.engines import (
    A,
    B,
    by_row,
    columns_of,
    counted,
    pick,
    replayed,
    request,
    setup_of,
    write,
)

WAITS = ("waiting", "blocking", "resource", "wait_ns")


# -- service --------------------------------------------------------------------------


def test_linear_service_is_a_base_and_a_rate_rounded_down() -> None:
    # GIVEN 90,000 ns and 0.3 ns a byte, which is 314,573 * 2**-20
    setup = setup_of(
        read_base_ns=90_000,
        read_ns_per_byte=314_573,
        write_base_ns=7,
        write_ns_per_byte=3 << 20,
    )
    raw = replayed(
        setup,
        request(0, A),
        write(10**6, B, nbytes=512),
        request(2 * 10**6, 0, "flush"),
    )
    # THEN 4096 B are 1228.8 ns; a write has numbers of its own; a flush has no bytes
    assert by_row(raw, "device_ns") == [91_228, 7 + 3 * 512, 7]


def test_random_requests_take_longer_those_in_order_or_near_do_not() -> None:
    # GIVEN 1 us a read, 50 us more where it is far from the cgroup's last request
    setup = setup_of(read_base_ns=1000, read_random_ns=50_000, write_base_ns=1000)
    far = 4096 * 8
    raw = replayed(
        setup,
        request(0, A, sector=10**6),  # nothing came before
        request(10**6, A, sector=10**6 + 8),  # goes on
        request(2 * 10**6, B, sector=0),  # another cgroup's first
        request(3 * 10**6, A, sector=10**6 + 16 + far),  # as far as is near
        request(4 * 10**6, A, sector=10**6 + 24 - 1),  # farther, backwards
        request(5 * 10**6, A, "flush"),  # has no place
        write(6 * 10**6, B, sector=8 + far + 1),  # far, but writes seek for nothing
    )
    assert by_row(raw, "device_ns") == [1000, 1000, 1000, 1000, 51_000, 1000, 1000]


def test_a_disk_serves_so_many_at_once_and_the_rest_waits_in_the_device() -> None:
    # GIVEN a disk that serves one request at a time, asked by two workers
    setup = setup_of(tmpfs=False, parallel=1)
    raw = replayed(setup, request(0, A), request(300, B))
    assert by_row(raw, "completion_ns", "device_ns", "dispatch_ns") == [
        (1000, 1000, 0),
        (2000, 1700, 0),
    ]
    assert pick(raw, "interference", *WAITS) == [(B, A, Resource.DEVICE, 700)]
    # GIVEN two at a time, THEN nobody waits
    raw = replayed(setup_of(tmpfs=False, parallel=2), request(0, A), request(300, B))
    assert pick(raw, "interference", *WAITS) == []


def test_so_many_processors_serve_a_file_in_memory_at_once() -> None:
    # GIVEN reads of two cgroups on tmpfs, a worker each, and one processor for both
    reads = request(0, A), request(300, B)
    raw = replayed(setup_of(processors=1), *reads)
    # THEN the second waits for it, in the device
    assert by_row(raw, "completion_ns", "device_ns") == [(1000, 1000), (2000, 1700)]
    assert pick(raw, "interference", *WAITS) == [(B, A, Resource.DEVICE, 700)]
    # AND with two, or no end of them, nobody waits
    for processors in (0, 2):
        raw = replayed(setup_of(processors=processors), *reads)
        assert by_row(raw, "completion_ns") == [1000, 1300]
    # AND writers, who hand the file's lock over page by page, have no more than one
    setup = setup_of(processors=1)
    shared = replayed(setup, write(0, A), write(0, B))
    assert by_row(shared, "completion_ns") == by_row(
        replayed(setup_of(), write(0, A), write(0, B)), "completion_ns"
    )


def test_with_direct_io_the_worker_only_submits() -> None:
    # GIVEN three reads of a at once, on a disk that serves two
    setup = setup_of(tmpfs=False, parallel=2, direct_io=True)
    raw = replayed(setup, *(request(0, A) for _ in range(3)))
    # THEN none waits for the worker
    assert by_row(raw, "dispatch_ns") == [0, 0, 0]
    assert by_row(raw, "completion_ns") == [1000, 1000, 2000]
    assert pick(raw, "workers", "commands", "busy_ns") == [(3, 0)]


#: a: 0-100 and, behind it, 10-150; b: 20-120.
RECORDED = (
    request(0, A, complete_ns=100),
    request(10, A, complete_ns=150),
    request(20, B, complete_ns=120),
)


def test_recorded_service_under_the_same_driver_leaves_out_the_workers_queue() -> None:
    # GIVEN a trace taken with a worker each, THEN a's second began at 100
    raw = replayed(setup_of(service=ServiceModel.RECORDED), *RECORDED)
    assert by_row(raw, "device_ns", "dispatch_ns") == [(100, 0), (50, 90), (100, 0)]
    # AND everything completes when it did
    assert by_row(raw, "completion_ns") == [100, 150, 120]


@pytest.mark.parametrize("trace_policy", [Policy.ROOT, Policy.NAIVE])
def test_recorded_service_under_another_driver_leaves_out_all_earlier_ones(
    trace_policy: Policy,
) -> None:
    # GIVEN one worker when recorded: b was done before a's second
    setup = setup_of(service=ServiceModel.RECORDED, trace_policy=trace_policy)
    raw = replayed(setup, *RECORDED)
    assert by_row(raw, "device_ns") == [100, 30, 20]


def test_recorded_service_of_direct_io_is_all_from_issue_to_completion() -> None:
    setup = setup_of(
        service=ServiceModel.RECORDED,
        tmpfs=False,
        direct_io=True,
        trace_direct_io=True,
    )
    raw = replayed(setup, *RECORDED)
    assert by_row(raw, "device_ns", "completion_ns") == [
        (100, 100),
        (140, 150),
        (100, 120),
    ]


def test_a_request_without_a_completion_takes_no_time_and_has_no_latency() -> None:
    raw = replayed(
        setup_of(service=ServiceModel.RECORDED),
        request(0, A, complete_ns=-1),
        request(5, A, complete_ns=25),
    )
    assert (counted(raw, "unfinished"), counted(raw, "completed")) == (1, 1)
    assert by_row(raw, "completion_ns") == [-1, 25]
    assert set(pick(raw, "latency", "count")) == {1}
    # what it submitted counts
    assert pick(raw, "io", "rios") == [2]


# -- tags -----------------------------------------------------------------------------


def test_a_request_waits_for_one_of_the_devices_tags() -> None:
    # GIVEN one tag, arrivals when queued
    setup = setup_of(event=ArrivalEvent.QUEUE, tags=1)
    raw = replayed(setup, request(0, A), request(100, B), request(200, A))
    # THEN each waits for all before it, whoever's worker would be free
    assert by_row(raw, "tag_ns", "dispatch_ns", "completion_ns") == [
        (0, 0, 1000),
        (900, 0, 2000),
        (1800, 0, 3000),
    ]
    # AND b's wait is a's doing, a's a's own for 800 ns and b's for 1000
    assert pick(raw, "interference", *WAITS) == [
        (A, A, Resource.TAG, 800),
        (A, B, Resource.TAG, 1000),
        (B, A, Resource.TAG, 900),
    ]


def test_arrivals_at_their_issue_have_their_tag_already() -> None:
    setup = setup_of(event=ArrivalEvent.ISSUE, tags=1)
    raw = replayed(setup, request(0, A), request(100, B))
    assert by_row(raw, "tag_ns", "completion_ns") == [(0, 1000), (0, 1100)]


def test_each_device_has_its_own_tags() -> None:
    devices = np.array([7 << 20, 7 << 20 | 1], np.uint32)
    setup = setup_of(event=ArrivalEvent.QUEUE, tags=1, devices=devices)
    raw = replayed(setup, request(0, A), request(0, A, device=1))
    assert by_row(raw, "tag_ns") == [0, 0]


# -- dependent arrivals ---------------------------------------------------------------

#: One process, two requests at a time. The third is queued 30 ns after the first
#: completion, the fourth 5 ns after the second.
DEPTH_2 = (
    request(0, A, complete_ns=100),
    request(10, A, complete_ns=210),
    request(130, A, complete_ns=300),
    request(215, A, complete_ns=400),
)


def test_depth_and_think_times_are_read_from_the_trace() -> None:
    streams = infer_streams([columns_of(DEPTH_2)])
    assert streams.depth.tolist() == [2]
    # the second has no completion to wait for: its predecessor alone
    assert streams.think_ns.tolist() == [0, 10, 30, 5]


def test_a_completion_that_others_overtook_counts_when_it_was() -> None:
    # GIVEN two at a time; the second is overtaken by the third and by the fourth
    rows = (
        request(0, A, complete_ns=100),
        request(0, A, complete_ns=500),
        request(110, A, complete_ns=200),
        request(220, A, complete_ns=300),
        request(305, A, complete_ns=600),
        request(540, A, complete_ns=700),
    )
    streams = infer_streams([columns_of(rows)])
    assert streams.depth.tolist() == [2]
    # THEN the last one waited for the second one's completion
    assert streams.think_ns.tolist() == [0, 0, 10, 20, 5, 40]


@pytest.mark.parametrize("event", list(ArrivalEvent))
def test_at_depth_2_each_request_waits_for_the_completion_before_the_last(
    event: ArrivalEvent,
) -> None:
    # GIVEN the same process on a driver that takes 1000 ns a request
    setup = setup_of(mode=ArrivalMode.DEPENDENT, event=event)
    raw = replayed(setup, *DEPTH_2)
    # THEN the third arrives 30 ns after the first completion, at 1000, the fourth 5 ns
    # after the second, at 2000; the worker serves them one by one
    assert by_row(raw, "arrival_ns", "start_ns", "completion_ns") == [
        (0, 0, 1000),
        (10, 1000, 2000),
        (1030, 2000, 3000),
        (2005, 3000, 4000),
    ]


def test_whichever_request_completes_releases_the_next() -> None:
    # GIVEN the second request of two done before the first, in the trace and, being a
    # small read beside a large one, in the replay
    setup = setup_of(
        mode=ArrivalMode.DEPENDENT,
        direct_io=True,
        read_base_ns=0,
        read_ns_per_byte=1 << 20,
    )
    raw = replayed(
        setup,
        request(0, A, nbytes=8192, complete_ns=300),
        request(0, A, nbytes=512, complete_ns=100),
        request(120, A, nbytes=512, complete_ns=400),
    )
    # THEN the third follows the small one, 20 ns after its completion at 512
    assert by_row(raw, "arrival_ns", "completion_ns") == [
        (0, 8192),
        (0, 512),
        (532, 1044),
    ]


def test_a_process_that_waited_for_nothing_keeps_its_pace() -> None:
    # GIVEN three requests in flight at once in the trace
    setup = setup_of(mode=ArrivalMode.DEPENDENT)
    raw = replayed(setup, *(request(40 * i, A, complete_ns=500) for i in range(3)))
    assert by_row(raw, "arrival_ns") == [0, 40, 80]


def test_a_faster_driver_brings_later_requests_forward() -> None:
    # GIVEN one request at a time, 1000 ns each when recorded, 50 ns of thought between
    setup = setup_of(mode=ArrivalMode.DEPENDENT, read_base_ns=10)
    rows = [request(1050 * i, A, complete_ns=1050 * i + 1000) for i in range(4)]
    raw = replayed(setup, *rows)
    assert by_row(raw, "arrival_ns") == [0, 60, 120, 180]
    # WHEN arrivals are recorded ones, THEN the clock holds
    raw = replayed(setup_of(read_base_ns=10), *rows)
    assert by_row(raw, "arrival_ns") == [0, 1050, 2100, 3150]


def test_another_process_does_not_hold_one_back() -> None:
    setup = setup_of(mode=ArrivalMode.DEPENDENT, policy=Policy.NAIVE)
    raw = replayed(
        setup,
        request(0, A, complete_ns=100),
        request(5, B, complete_ns=200),
        request(110, A, complete_ns=300),
    )
    # a's second follows a's first (at 1000, 10 ns of thought), not b's
    assert by_row(raw, "arrival_ns") == [0, 5, 1010]


def test_the_time_from_queue_to_issue_is_kept() -> None:
    # GIVEN 7 ns between, WHEN requests arrive at their issue
    setup = setup_of(mode=ArrivalMode.DEPENDENT, event=ArrivalEvent.ISSUE)
    raw = replayed(
        setup,
        request(0, A, issue_ns=7, complete_ns=100),
        request(150, A, issue_ns=157, complete_ns=250),
    )
    # THEN the second is queued 50 ns after 1007 and arrives 7 ns later
    assert by_row(raw, "arrival_ns") == [7, 1064]


def test_a_killed_tasks_requests_do_not_hold_back_its_stream() -> None:
    # GIVEN a depth of 1 and a kill at the first request
    setup = setup_of(
        mode=ArrivalMode.DEPENDENT, limits={A: 1}, tasks=[(A, 0, 3)], write_base_ns=9
    )
    raw = replayed(setup, *(write(200 * i, A, pages=2, task=0) for i in range(3)))
    # THEN the others are stopped, all of them, and counted, though no completion
    # releases the third
    assert (counted(raw, "failed"), counted(raw, "stopped")) == (1, 2)


def test_rows_of_other_devices_are_counted_with_dependent_arrivals_too() -> None:
    rows = (request(0, A), request(10, A, device=0xFFFF))
    for mode in ArrivalMode:
        raw = replayed(setup_of(mode=mode), *rows)
        assert counted(raw, "other_devices") == 1
