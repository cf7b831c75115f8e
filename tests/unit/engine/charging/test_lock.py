"""The backing file's lock, taken for each page or for the request (model.md, Lock)."""

import pytest

from replay.engine.setup import Policy, Resource, ServiceModel
from support.engines import (
    ROOT,
    A,
    B,
    C,
    by_row,
    pick,
    replayed,
    request,
    setup_of,
    write,
)

WAITS = ("waiting", "blocking", "wait_ns")


def test_two_equal_writers_each_take_twice_as_long() -> None:
    # GIVEN two writes of 1000 ns that begin together, the lock changing hands
    raw = replayed(setup_of(), write(0, A), write(0, B, page=9))
    # THEN both are done after 2000 ns, and each blames the other for 1000
    assert by_row(raw, "completion_ns", "lock_ns", "device_ns") == [
        (2000, 1000, 1000),
        (2000, 1000, 1000),
    ]
    assert pick(raw, "interference", *WAITS, "resource") == [
        (A, B, 1000, Resource.LOCK),
        (B, A, 1000, Resource.LOCK),
    ]


def test_a_later_writer_shares_what_is_left() -> None:
    # GIVEN the second writer 500 ns later: by then the first has half of its work done,
    # shares 1000 ns for the other half, and the second has 500 ns left for itself
    raw = replayed(setup_of(), write(0, A), write(500, B, page=9))
    assert by_row(raw, "completion_ns", "lock_ns") == [(1500, 500), (2000, 500)]
    assert pick(raw, "interference", *WAITS) == [(A, B, 500), (B, A, 500)]


def test_a_small_writer_waits_as_long_again_as_it_works() -> None:
    # GIVEN a's 1000 ns beside b's 9000: 1 ns a page
    setup = setup_of(write_base_ns=0, write_ns_per_byte=256)  # 2**-12 ns a byte
    raw = replayed(setup, write(0, A, pages=1000), write(0, B, page=2000, pages=9000))
    # THEN a is done at 2000; b lost those 1000 ns too and is done at 10,000
    assert by_row(raw, "completion_ns", "lock_ns") == [(2000, 1000), (10_000, 1000)]
    assert pick(raw, "interference", *WAITS) == [(A, B, 1000), (B, A, 1000)]


def test_three_writers_each_lose_a_third_to_each_of_the_others() -> None:
    raw = replayed(
        setup_of((-1, 0, 0, 0)), write(0, A), write(0, B, page=9), write(0, C, page=18)
    )
    assert by_row(raw, "completion_ns", "lock_ns") == [(3000, 2000)] * 3
    waits = {(one, other): ns for one, other, ns in pick(raw, "interference", *WAITS)}
    assert waits == {
        (one, other): 1000 for one in (A, B, C) for other in (A, B, C) if one != other
    }


def test_held_for_the_request_the_lock_is_first_come_first_served() -> None:
    # GIVEN the lock of 6.15: one call for the whole request
    raw = replayed(setup_of(lock_per_page=False), write(0, A), write(500, B, page=9))
    # THEN the second waits for the first to end, and the first for nobody
    assert by_row(raw, "completion_ns", "lock_ns") == [(1000, 0), (2000, 500)]
    assert pick(raw, "interference", *WAITS) == [(B, A, 500)]


def test_the_order_of_arrival_at_the_lock_counts() -> None:
    # GIVEN a's second write behind its first on the worker, b's between them
    raw = replayed(
        setup_of(lock_per_page=False),
        write(0, A),
        write(100, A, page=1),
        write(200, B, page=9),
    )
    # THEN b, which waited for the lock when a's second had not come to it yet, is next
    assert by_row(raw, "completion_ns", "dispatch_ns", "lock_ns") == [
        (1000, 0, 0),
        (3000, 900, 1000),
        (2000, 0, 800),
    ]


@pytest.mark.parametrize("per_page", [True, False])
def test_reads_do_not_take_the_lock(per_page: bool) -> None:
    setup = setup_of(lock_per_page=per_page)
    raw = replayed(setup, request(0, A), request(0, B), write(0, 0))
    assert by_row(raw, "completion_ns", "lock_ns") == [(1000, 0)] * 3
    assert pick(raw, "interference", *WAITS) == []


@pytest.mark.parametrize("op", ["discard", "write_zeroes"])
def test_holes_take_the_lock_as_writes_do(op: str) -> None:
    raw = replayed(setup_of(), write(0, A), request(0, B, op))
    assert by_row(raw, "lock_ns") == [1000, 1000]


def test_direct_io_takes_no_lock() -> None:
    raw = replayed(setup_of(direct_io=True), write(0, A), write(0, B, page=9))
    assert by_row(raw, "completion_ns") == [1000, 1000]


@pytest.mark.parametrize(
    ("trace_policy", "service_ns"),
    [(Policy.PER_CGROUP, [100, 100]), (Policy.NAIVE, [100, 1])],
)
def test_recorded_service_under_its_own_driver_holds_the_lock_already(
    trace_policy: Policy, service_ns: list[int]
) -> None:
    # GIVEN two writes recorded together, 100 ns each, WHEN replayed as recorded or not
    setup = setup_of(service=ServiceModel.RECORDED, trace_policy=trace_policy)
    raw = replayed(setup, write(0, A), write(0, B, page=9))
    # THEN under the same driver each keeps its 100 ns, waits inside; under another one
    # the first's 100 ns are all that the file was busy (docs/model.md, Service)
    assert by_row(raw, "device_ns") == service_ns
    waits = 0 if trace_policy == Policy.PER_CGROUP else 1
    assert by_row(raw, "lock_ns") == [waits, waits]


def test_a_sleep_holds_the_lock_whatever_the_service_is() -> None:
    # GIVEN a at its memory.high of no page, and b beside it, as recorded by this driver
    setup = setup_of(service=ServiceModel.RECORDED, highs={A: 0})
    raw = replayed(setup, write(0, A, pages=70), write(50, B, page=99))
    # THEN a sleeps with the lock, and b is done with its 100 ns that much later
    (slept,) = {ns for ns in by_row(raw, "memory_ns") if ns}
    assert by_row(raw, "lock_ns") == [0, slept]
    assert by_row(raw, "device_ns") == [100, 100]
    assert (B, A, slept) in pick(raw, "interference", *WAITS)


def test_of_many_sharers_64_are_told_apart() -> None:
    # GIVEN 67 cgroups that write 1000 ns at once: all are done after 67 us
    n = 67
    setup = setup_of([-1] + [ROOT] * n)
    rows = [write(0, issuer, page=9 * issuer) for issuer in range(1, n + 1)]
    raw = replayed(setup, *rows)
    assert by_row(raw, "completion_ns") == [n * 1000] * n
    # THEN each waits 1000 ns for each of the others; the last three do so as one, for
    # one another too
    others = n + 1
    waits = {
        (one, other): (ns, count)
        for one, other, ns, count in pick(raw, "interference", *WAITS, "count")
    }
    told_apart = range(1, 65)
    expected = {
        (one, other): (1000, 1)
        for one in told_apart
        for other in told_apart
        if one != other
    }
    expected |= {(one, others): (3000, 3) for one in told_apart}
    expected |= {(others, one): (3000, 3) for one in told_apart}
    assert waits == expected | {(others, others): (6000, 6)}


def test_who_comes_when_a_place_is_free_again_is_told_apart() -> None:
    # GIVEN 65 cgroups, the first done long before the others, and one that comes then
    n = 66
    setup = setup_of([-1] + [ROOT] * n, write_base_ns=0, write_ns_per_byte=256)
    rows = [
        write(0, issuer, page=1000 * issuer, pages=1 if issuer == 1 else 500)
        for issuer in range(1, n)
    ]
    raw = replayed(setup, *rows, write(66, n, page=0, pages=1))
    # THEN it is told apart from the one that has come too late
    others = n + 1
    waits = {(one, other): ns for one, other, ns in pick(raw, "interference", *WAITS)}
    assert waits[n, 2] == waits[2, n] == waits[n, others] == waits[others, n] == 1
    assert (others, others) not in waits
    assert sum(waits.values()) == sum(by_row(raw, "lock_ns"))


def test_a_cgroups_own_writers_wait_for_each_other() -> None:
    raw = replayed(
        setup_of(policy=Policy.SYNCHRONOUS),
        *(write(0, A, page=9 * i, pid=i + 1) for i in range(3)),
        write(0, B, page=99, pid=9),
    )
    assert pick(raw, "interference", *WAITS, "count") == [
        (A, A, 6000, 6),
        (A, B, 3000, 3),
        (B, A, 3000, 3),
    ]
