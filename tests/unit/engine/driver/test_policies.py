"""Policies that no loop driver has had: who serves, who pays (model.md, Dispatch)."""

from typing import Any

import numpy as np
import pytest

from replay.engine.setup import ArrivalEvent, Policy, Resource, ServiceModel
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

PAYERS = ("issuer", "payer", "wbytes", "charged_bytes")
BLAMED = ("waiting", "blocking", "resource", "wait_ns")
SERVED = ("cgroup", "commands", "busy_ns")


def synchronous(**fields: Any) -> Any:
    return setup_of(policy=Policy.SYNCHRONOUS, **fields)


def bound_to(cgroup: int, **fields: Any) -> Any:
    bound = np.array([cgroup], np.uint32)
    return setup_of(policy=Policy.INSTANCE, instance_cgroup=bound, **fields)


# --- synchronous


def test_a_thread_waits_for_its_own_requests_and_for_nobody_elses() -> None:
    # GIVEN two threads of a and one of b, reads of 1000 ns each
    raw = replayed(
        synchronous(),
        *(request(0, pid=7), request(100, pid=7)),
        *(request(200, pid=8), request(300, B, pid=9)),
    )
    # THEN the first thread's second waits for its first, the others for nothing
    assert by_row(raw, "dispatch_ns", "completion_ns") == [
        (0, 1000),
        (900, 2000),
        (0, 1200),
        (0, 1300),
    ]
    assert pick(raw, "interference", *BLAMED) == [(A, A, Resource.WORKER, 900)]
    # AND a thread is a server, but no worker of the driver
    assert pick(raw, "workers", *SERVED) == [(A, 2, 2000), (A, 1, 1000), (B, 1, 1000)]
    assert counted(raw, "workers_peak") == counted(raw, "css_refs") == 0


def test_a_thread_is_never_freed_as_an_idle_worker_is() -> None:
    raw = replayed(synchronous(), request(0), request(200 * SECOND))
    assert pick(raw, "workers", "commands", "reaped_ns") == [(2, -1)]


def test_a_caller_pays_from_its_own_memory_cgroup_not_from_its_blkcgs() -> None:
    # GIVEN io enabled for the root alone: the merged driver finds the memory cgroup
    # through the blkcg (drivers/block/loop.c:loop_queue_rq(), v6.1), the caller has its
    # own
    blkcg = np.array([ROOT, ROOT, ROOT], np.uint32)
    raw = replayed(synchronous(blkcg=blkcg), write(0))
    assert pick(raw, "charges", *PAYERS) == [(A, ROOT, 4096, 0), (A, A, 0, 4096)]
    merged = replayed(setup_of(blkcg=blkcg), write(0))
    assert pick(merged, "charges", *PAYERS) == [(A, ROOT, 4096, 4096)]


def test_root_pays_for_a_kernel_thread_and_for_a_flush() -> None:
    # GIVEN write-back: a kernel thread (9) that writes for a; it has no memory cgroup
    pids = np.array([9], np.int32)
    raw = replayed(
        synchronous(kernel_pids=pids),
        *(write(0, pid=9), write(0, page=1, pid=7), request(0, op="flush", pid=7)),
    )
    assert pick(raw, "charges", *PAYERS) == [(A, ROOT, 4096, 4096), (A, A, 4096, 4096)]


def test_without_processes_an_issuer_is_taken_for_one_thread() -> None:
    rows = [request(0, pid=0), request(100, pid=0), request(100, B, pid=0)]
    raw = replayed(synchronous(), *rows)
    assert by_row(raw, "dispatch_ns") == [0, 900, 0]


def test_threads_still_wait_for_the_files_lock() -> None:
    # GIVEN two threads that write, a lock held for the whole request
    raw = replayed(synchronous(lock_per_page=False), write(0), write(400, B))
    assert by_row(raw, "dispatch_ns", "lock_ns") == [(0, 0), (0, 600)]
    assert pick(raw, "interference", *BLAMED) == [(B, A, Resource.LOCK, 600)]


def test_recorded_service_of_a_thread_is_taken_after_its_last_completion() -> None:
    # GIVEN a trace taken under the policy: 0-100 and 10-160 of one thread, 20-120 of
    # another
    setup = synchronous(
        trace_policy=Policy.SYNCHRONOUS, service=ServiceModel.RECORDED, tmpfs=False
    )
    rows = [request(0), request(10, complete_ns=160), request(20, pid=7)]
    # THEN the second served for 60 ns, and all complete as they did
    raw = replayed(setup, *rows)
    assert by_row(raw, "device_ns", "completion_ns") == [
        (100, 100),
        (60, 160),
        (100, 120),
    ]


# --- instance


def test_an_instance_serves_one_by_one_and_its_cgroup_pays_for_all() -> None:
    # GIVEN a device that is bound to b
    raw = replayed(bound_to(B), write(0), write(100, page=1), write(100, B, page=2))
    # THEN all wait in one queue
    assert by_row(raw, "dispatch_ns") == [0, 900, 1900]
    assert pick(raw, "workers", *SERVED) == [(B, 3, 3000)]
    # AND b pays for a's pages and I/O
    assert pick(raw, "charges", *PAYERS) == [(A, B, 8192, 8192), (B, B, 4096, 4096)]
    assert raw["memory"]["own_shmem"].tolist() == [0, 0, 3]


def test_the_limit_of_an_instances_cgroup_stops_everybody() -> None:
    # GIVEN room for one page and its tree's node in b, and nobody to kill
    raw = replayed(bound_to(B, limits={B: 2}), write(0, page=0), write(10, page=9))
    assert by_row(raw, "error") == [0, 5]
    assert pick(raw, "errors", "cgroup", "errno") == [(A, 5)]


def test_every_device_has_a_cgroup_of_its_own() -> None:
    setup = setup_of(
        policy=Policy.INSTANCE,
        devices=np.array([7 << 20, 7 << 20 | 1], np.uint32),
        instance_cgroup=np.array([A, B], np.uint32),
    )
    raw = replayed(setup, write(0, ROOT), write(0, ROOT, device=1))
    assert pick(raw, "charges", "device", "payer") == [(0, A), (1, B)]


# --- pass-through


@pytest.mark.parametrize("op", ["read", "write", "discard", "flush"])
def test_a_bio_based_device_serves_nobody_one_after_the_other(op: str) -> None:
    # GIVEN three bios at once, seen to be queued and to complete but never issued
    setup = setup_of(
        policy=Policy.PASS_THROUGH, direct_io=True, tmpfs=False, backing_device=True
    )
    bios = {"issue_ns": -1, "n_bios": 1}
    rows = [request(0, A, op, **bios), request(0, A, op, **bios)]
    raw = replayed(setup, *rows, request(0, B, op, **bios))
    # THEN none waits, each issuer is charged below, and there is no worker
    assert by_row(raw, "completion_ns") == [1000] * 3
    assert not raw["interference"]["waiting"].tolist()
    assert pick(raw, "charges", "issuer", "payer") == [(A, A), (B, B)]
    assert raw["backing_io"]["cgroup"].tolist() == [A, B]
    assert not raw["workers"]["worker"].tolist()
    assert counted(raw, "unissued") == 0


def test_a_pass_through_trace_gives_its_own_latencies_back() -> None:
    setup = setup_of(
        policy=Policy.PASS_THROUGH,
        trace_policy=Policy.PASS_THROUGH,
        service=ServiceModel.RECORDED,
        event=ArrivalEvent.QUEUE,
        direct_io=True,
        trace_direct_io=True,
        tmpfs=False,
    )
    # GIVEN discards that overlapped below
    rows = [
        request(at, op="discard", issue_ns=-1, complete_ns=end)
        for at, end in ((0, 500), (10, 400), (20, 30))
    ]
    assert by_row(replayed(setup, *rows), "completion_ns") == [500, 400, 30]


# --- postings of the series


def one_at_a_time(**fields: Any) -> Any:
    return setup_of(max_active=np.array([1], np.uint32), tmpfs=False, **fields)


def test_of_a_limited_workqueue_one_worker_runs_until_it_has_no_command() -> None:
    # GIVEN v3 on loop1: a's two commands, b's two between them, 1000 ns each
    rows = [request(0), request(100, B), request(200), request(300, B)]
    raw = replayed(one_at_a_time(parallel=8), *rows)
    # THEN a's worker keeps its place for both of a's: 0-1000, 1000-2000, then b's
    assert by_row(raw, "dispatch_ns", "completion_ns") == [
        (0, 1000),
        (1900, 3000),
        (800, 2000),
        (2700, 4000),
    ]
    # AND b's first waited for a's worker, b's second for b's first
    assert pick(raw, "interference", *BLAMED) == [
        (A, A, Resource.WORKER, 800),
        (B, A, Resource.WORKER, 1900),
        (B, B, Resource.WORKER, 2700),
    ]


def test_a_worker_that_only_submits_leaves_its_place_at_once() -> None:
    rows = [write(0), write(0, B), write(1)]
    raw = replayed(one_at_a_time(direct_io=True), *rows)
    assert by_row(raw, "dispatch_ns") == [0, 0, 0]


def test_two_places_serve_two_cgroups() -> None:
    setup = setup_of((-1, 0, 0, 0), max_active=np.array([2], np.uint32), tmpfs=False)
    raw = replayed(setup, request(0, 1), request(0, 2), request(0, 3))
    assert by_row(raw, "dispatch_ns") == [0, 0, 1000]


def test_before_v14_the_roots_own_requests_have_a_worker_and_flushes_the_list() -> None:
    rows = [request(0, ROOT), request(0, ROOT, "flush")]
    old = replayed(setup_of(root_has_worker=True), *rows)
    assert by_row(old, "dispatch_ns", "worker") == [(0, 0), (0, 1)]
    # the root's css is not counted
    assert (counted(old, "css_refs"), counted(old, "allocations")) == (0, 1)
    merged = replayed(setup_of(), *rows)
    assert by_row(merged, "dispatch_ns", "worker") == [(0, 0), (1000, 0)]
    # AND it is freed as any other; the list's stays
    late = replayed(setup_of(root_has_worker=True), *rows, request(200 * SECOND))
    gone = 60 * SECOND + 1000
    assert pick(late, "workers", "reaped_ns") == [gone, -1, -1]


def test_without_an_idle_list_each_burst_asks_for_a_worker() -> None:
    # GIVEN two commands at once, and one later
    rows = [request(0), request(100), request(5000)]
    raw = replayed(setup_of(keeps_idle=False), *rows)
    assert (counted(raw, "allocations"), counted(raw, "workers_peak")) == (2, 1)
    # THEN the row sums both lives, and no reference is left
    assert pick(raw, "workers", "commands", "busy_ns", "idle_ns", "reaped_ns") == [
        (3, 3000, 0, 6000)
    ]
    assert counted(raw, "css_refs") == 0
    assert counted(replayed(setup_of(), *rows), "allocations") == 1


def test_v5_loses_a_reference_where_no_worker_can_be_made() -> None:
    fail = np.array([0, 1], np.int64)
    rows = [request(0), request(0, B), request(0, ROOT)]
    raw = replayed(setup_of(leaks_css=True, alloc_fail_rows=fail), *rows)
    assert counted(raw, "leaked_refs") == 2
    assert counted(replayed(setup_of(alloc_fail_rows=fail), *rows), "leaked_refs") == 0
