"""Sleeps while pages are charged: ``memory.high``, the reaper (model.md, Memory)."""

import pytest

from replay.engine.setup import Resource
from support.engines import ROOT, A, B, by_row, pick, replayed, setup_of, write

S = 10**9


@pytest.mark.parametrize(
    ("written", "events"),
    # With a page for the page tree's nodes: 1, 4, 5 and 6 batches of 64 pages, of which
    # 0, 3, 4 and 5 leave the cgroup above 100 pages. Two of these make an invocation
    # of 17 passes; one that is left over stays with the worker.
    [(60, 0), (250, 17), (314, 34), (378, 34)],
)
def test_17_high_events_for_every_128_pages_above(written: int, events: int) -> None:
    raw = replayed(setup_of(highs={A: 100}), write(0, pages=written))
    assert pick(raw, "memory", "high") == [0, events, 0]


def test_worker_sleeps_for_the_square_of_its_overage() -> None:
    # GIVEN 256 pages charged, 512 bytes a node, and a limit of 128: the invocation
    # comes with the batch that brings 256 pages; r = (256 - 128) / 128 = 1, so 128 r^2
    # = 128 s, clamped to 2 s; it begins at 1000 ns and ends with the 500th tick
    setup = setup_of(highs={A: 128})
    raw = replayed(setup, write(0, pages=250))
    assert by_row(raw, "memory_ns") == [2 * S - 1000]
    assert by_row(raw, "completion_ns") == [2 * S]
    waits = pick(raw, "interference", "waiting", "blocking", "resource", "wait_ns")
    assert waits == [(A, A, Resource.MEMORY, 2 * S - 1000)]


def test_small_overage_is_not_slept_for() -> None:
    # GIVEN 20,096 pages charged, 96 above the limit: 128 (96 / 20,000)^2 s = 2.9 ms,
    # and what is not more than 10 ms is not slept for
    raw = replayed(setup_of(highs={A: 20_000}), write(0, pages=20_040))
    assert by_row(raw, "memory_ns") == [0]
    assert pick(raw, "memory", "high") == [0, 1, 0]


def test_limit_of_an_ancestor_counts_and_blames_the_ancestor() -> None:
    parents = (-1, ROOT, A)
    raw = replayed(setup_of(parents, highs={A: 128}), write(0, B, pages=250))
    assert pick(raw, "memory", "high") == [0, 17, 0]
    waits = pick(raw, "interference", "waiting", "blocking", "resource")
    assert waits == [(B, A, Resource.MEMORY)]


def test_sleeper_holds_the_lock_that_is_taken_for_each_page() -> None:
    # GIVEN a sleeps from 1000 ns to the tick at 2 s; b, without a limit, wants the lock
    setup = setup_of(highs={A: 128})
    raw = replayed(
        setup,
        write(0, A, pages=250),
        write(5000, B, page=1000),
    )
    # THEN b waits for a, and is served behind it
    assert by_row(raw, "lock_ns") == [0, 2 * S - 5000]
    assert by_row(raw, "completion_ns") == [2 * S, 2 * S + 1000]
    waits = pick(raw, "interference", "waiting", "blocking", "resource", "wait_ns")
    assert (B, A, Resource.LOCK, 2 * S - 5000) in waits


def test_charge_that_kills_waits_two_seconds_for_the_reaper() -> None:
    # GIVEN a limit of 18 pages, 10 of them the task's; its first request takes 4 and
    # one for a node, its second, of 9 pages, finds room for 3
    setup = setup_of(limits={A: 18}, tasks=[(A, 10, 2)])
    raw = replayed(setup, write(0, pages=4, task=0), write(10, page=8, pages=9, task=0))
    # THEN the task is killed, but its I/O in flight pins 9 of its pages: the reaper
    # gives back one, 2 s later, and the rest of the request fails
    assert pick(raw, "kills", "time_ns") == [2000]
    assert by_row(raw, "memory_ns") == [0, 2 * S]
    assert pick(raw, "memory", "own_shmem") == [0, 8, 0]
    assert pick(raw, "errors", "errno", "count") == [(5, 1)]


def test_current_is_exact_and_peak_holds_the_stock() -> None:
    # GIVEN one page written: 64 are charged at once (docs/model.md, Memory)
    raw = replayed(setup_of(), write(0, page=1))
    # 1 page and a node of the page tree
    assert pick(raw, "memory", "current") == [2, 2, 0]
    assert pick(raw, "memory", "peak") == [64, 64, 0]


def test_stock_of_another_worker_is_drained_before_anybody_is_killed() -> None:
    # GIVEN a and b below p, whose limit of 100 pages b's stock of 63 nearly fills
    parents = (-1, ROOT, A, A)
    setup = setup_of(parents, limits={A: 100})
    raw = replayed(setup, write(0, 2, page=1), write(5000, 3, page=64, pages=60))
    # THEN a's writer finds room once it is drained: one `max`, no `oom`
    assert pick(raw, "memory", "max", "oom")[A] == (1, 0)
    assert pick(raw, "memory", "own_shmem") == [0, 0, 1, 60]
