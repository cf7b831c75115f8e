"""Which worker serves what, who pays, how long a worker lives (model.md, Dispatch)."""

import numpy as np
import pytest

from replay.engine.setup import Policy, Resource
from support.engines import (
    ROOT,
    SECOND,
    A,
    B,
    by_row,
    counted,
    pick,
    replayed,
    request,
    setup_of,
    write,
)

LIFE = ("cgroup", "created_ns", "commands", "busy_ns", "idle_ns", "reaped_ns")
PAYERS = ("issuer", "payer", "wbytes", "charged_bytes")


def test_a_cgroups_commands_are_served_one_by_one_and_another_cgroups_beside() -> None:
    # GIVEN two reads of a, and one of b while the first is served; 1000 ns each
    raw = replayed(setup_of(), request(0), request(100), request(100, B))
    # THEN a's second waits for a's first, and b's for nobody
    assert by_row(raw, "start_ns", "completion_ns", "dispatch_ns") == [
        (0, 1000, 0),
        (1000, 2000, 900),
        (100, 1100, 0),
    ]
    assert pick(raw, "interference", "waiting", "blocking", "resource", "wait_ns") == [
        (A, A, Resource.WORKER, 900)
    ]
    assert pick(raw, "workers", *LIFE) == [
        (A, 0, 2, 2000, 0, -1),
        (B, 100, 1, 1000, 900, -1),
    ]
    assert counted(raw, "workers_peak") == counted(raw, "css_refs") == 2


@pytest.mark.parametrize("policy", [Policy.ROOT, Policy.NAIVE])
def test_one_worker_for_all_serves_in_the_order_of_arrival(policy: Policy) -> None:
    # GIVEN the same through one worker: 0-1000, 1000-2000, 2000-3000
    raw = replayed(setup_of(policy=policy), request(0), request(100), request(100, B))
    assert by_row(raw, "dispatch_ns", "completion_ns") == [
        (0, 1000),
        (900, 2000),
        (1900, 3000),
    ]
    # THEN b waited 900 ns for a's first and 1000 ns for a's second
    assert pick(raw, "interference", "waiting", "blocking", "wait_ns", "count") == [
        (A, A, 900, 1),
        (B, A, 1900, 2),
    ]
    assert pick(raw, "workers", *LIFE) == [(ROOT, 0, 3, 3000, 0, -1)]
    assert counted(raw, "css_refs") == 0


@pytest.mark.parametrize(
    ("policy", "payer"),
    [(Policy.ROOT, ROOT), (Policy.NAIVE, A), (Policy.PER_CGROUP, A)],
)
def test_a_buffered_write_is_paid_for_by_root_or_by_its_issuer(
    policy: Policy, payer: int
) -> None:
    raw = replayed(setup_of(policy=policy), write(0))
    assert pick(raw, "charges", *PAYERS) == [(A, payer, 4096, 4096)]


def test_direct_io_under_root_is_still_the_issuers() -> None:
    # drivers/block/loop.c:loop_queue_rq(), v5.13: with direct I/O the old driver did
    # associate the block cgroup; a discard is synchronous and is not
    setup = setup_of(policy=Policy.ROOT, direct_io=True)
    raw = replayed(setup, write(0), request(0, op="discard"))
    assert pick(raw, "charges", "issuer", "payer", "wbytes", "dbytes") == [
        (A, ROOT, 0, 4096),
        (A, A, 4096, 0),
    ]


def test_an_idle_worker_goes_after_60_s_and_its_cgroup_gets_a_new_one() -> None:
    # GIVEN a's worker idle from 1000 ns on, WHEN a asks again after 200 s
    raw = replayed(setup_of(), request(0), request(200 * SECOND))
    # THEN the first went with the timer, 60 s after it became idle
    gone = 60 * SECOND + 1000
    assert pick(raw, "workers", *LIFE) == [
        (A, 0, 1, 1000, 60 * SECOND, gone),
        (A, 200 * SECOND, 1, 1000, 0, -1),
    ]
    assert by_row(raw, "worker") == [0, 1]
    assert (counted(raw, "css_refs"), counted(raw, "workers_peak")) == (1, 1)


def test_a_worker_that_idles_when_the_timer_runs_waits_for_the_next_one() -> None:
    # GIVEN a idle from 1000 ns on, b from 30 s and 1000 ns on, and a request much later
    raw = replayed(
        setup_of(), request(0), request(30 * SECOND, B), request(300 * SECOND, ROOT)
    )
    # THEN the timer of a frees a and, armed anew for 60 s, b 90 s after it became idle:
    # within [60 s, 120 s)
    reaped = dict(pick(raw, "workers", "cgroup", "reaped_ns"))
    assert reaped == {
        A: 60 * SECOND + 1000,
        B: 120 * SECOND + 1000,
        ROOT: -1,
    }
    assert counted(raw, "css_refs") == 0


def test_a_worker_that_was_used_again_is_not_freed_by_the_older_timer() -> None:
    # GIVEN a's second request 59 s after its first
    raw = replayed(
        setup_of(), request(0), request(59 * SECOND), request(300 * SECOND, ROOT)
    )
    # THEN one worker served both; the timer of 60 s leaves it, the next one takes it
    assert pick(raw, "workers", "cgroup", "commands", "reaped_ns") == [
        (A, 2, 120 * SECOND + 1000),
        (ROOT, 1, -1),
    ]


def test_the_last_ns_of_60_s_counts() -> None:
    # GIVEN b idle 1 ns after a: the timer of a comes 1 ns before b's 60 s are over
    raw = replayed(setup_of(), request(0), request(1, B), request(300 * SECOND, ROOT))
    reaped = dict(pick(raw, "workers", "cgroup", "reaped_ns"))
    assert reaped[B] - reaped[A] == 60 * SECOND


def test_the_root_worker_stays() -> None:
    raw = replayed(setup_of(), request(0, ROOT), request(500 * SECOND, ROOT))
    assert pick(raw, "workers", "cgroup", "commands", "reaped_ns") == [(ROOT, 2, -1)]


def test_without_memory_for_a_worker_the_root_serves_and_pays() -> None:
    # GIVEN the allocation for row 0 fails
    setup = setup_of(alloc_fail_rows=np.array([0], np.int64))
    raw = replayed(setup, write(0), write(5000, page=1))
    # THEN row 0 goes to the root list without its css: I/O and memory are the root's;
    # row 1 tries again
    workers = dict(enumerate(pick(raw, "workers", "cgroup")))
    assert [workers[one] for one in by_row(raw, "worker")] == [ROOT, A]
    assert pick(raw, "charges", *PAYERS) == [
        (A, ROOT, 4096, 4096),
        (A, A, 4096, 4096),
    ]
    assert pick(raw, "memory", "own_shmem") == [1, 1, 0]
    # AND io.stat of the loop device is the issuer's all the same
    assert pick(raw, "io", "cgroup", "wbytes") == [(A, 8192)]


def test_a_probability_of_one_never_makes_a_worker() -> None:
    raw = replayed(
        setup_of(alloc_fail_threshold=1 << 64), request(0), request(0, B), request(9)
    )
    assert pick(raw, "workers", "cgroup", "commands") == [(ROOT, 3)]
    assert counted(raw, "css_refs") == 0


def test_only_a_worker_that_is_to_be_made_can_fail() -> None:
    # GIVEN a failure asked for at row 1, when a's worker is there already
    setup = setup_of(alloc_fail_rows=np.array([1], np.int64))
    raw = replayed(setup, request(0), request(10))
    assert pick(raw, "workers", "cgroup", "commands") == [(A, 2)]


def test_a_flush_runs_on_the_root_worker_whoever_asked() -> None:
    # the flush request has no bio, so both css are empty (block/blk-flush.c, v6.1)
    raw = replayed(setup_of(), request(0), request(0, op="flush"))
    workers = dict(enumerate(pick(raw, "workers", "cgroup")))
    assert [workers[one] for one in by_row(raw, "worker")] == [A, ROOT]
    assert by_row(raw, "payer") == [A, ROOT]
    # ordered against root commands alone: it did not wait for a's read
    assert by_row(raw, "dispatch_ns") == [0, 0]


def test_an_empty_flush_bio_counts_for_its_issuer_and_never_enters_the_driver() -> None:
    # a write with 0 bytes, wios + 1 in the issuer (docs/model.md, Arrival)
    bio = request(0, op="flush", n_bios=1, issue_ns=-1)
    raw = replayed(setup_of(), bio)
    assert pick(raw, "io", "cgroup", "wbytes", "wios") == [(A, 0, 1)]
    assert (counted(raw, "requests"), counted(raw, "unissued")) == (0, 1)


def test_a_cgroup_without_the_io_controller_uses_its_parents_worker() -> None:
    # io on down to a, whose child b's tasks write; b pays nothing: cgroup_get_e_css()
    setup = setup_of((-1, ROOT, A), blkcg=np.array([ROOT, A, A], np.uint32))
    raw = replayed(setup, write(0, A), write(0, B, page=1))
    assert pick(raw, "workers", "cgroup", "commands") == [(A, 2)]
    assert pick(raw, "charges", *PAYERS) == [(A, A, 4096, 4096), (B, A, 4096, 4096)]
    assert pick(raw, "memory", "own_shmem") == [0, 2, 0]
    assert pick(raw, "io", "cgroup", "wbytes") == [(A, 8192)]


def test_a_cgroup_without_the_memory_controller_charges_its_ancestor() -> None:
    # the I/O is b's, the memory the nearest ancestor's: cgroup_get_e_css(), v6.1
    setup = setup_of((-1, ROOT, A), memory_css=np.array([ROOT, A, A], np.uint32))
    raw = replayed(setup, write(0, B))
    assert pick(raw, "charges", *PAYERS) == [(B, A, 0, 4096), (B, B, 4096, 0)]
    assert pick(raw, "memory", "own_shmem") == [0, 1, 0]


def test_each_device_has_workers_of_its_own() -> None:
    # a cgroup using k loop devices has k servers (docs/model.md, Dispatch)
    setup = setup_of(devices=np.array([7 << 20, 7 << 20 | 1], np.uint32))
    raw = replayed(setup, request(0), request(0, device=1))
    assert pick(raw, "workers", "device", "worker", "cgroup") == [(0, 0, A), (1, 0, A)]
    assert by_row(raw, "completion_ns") == [1000, 1000]
    assert counted(raw, "css_refs") == 2
