"""Who owns which page, what a limit does, who is killed (model.md, Memory, Kills)."""

import numpy as np
import pytest

from replay.engine.setup import Policy
from support.engines import (
    PAGE,
    ROOT,
    A,
    B,
    C,
    by_row,
    counted,
    pick,
    replayed,
    request,
    setup_of,
    write,
)

S = 10**9
EIO, ENOSPC = 5, 28
EVENTS = ("max", "oom", "oom_kill")
#: /p, and below it /p/a and /p/b.
P, PA, PB = A, B, C
TREE = (-1, ROOT, P, P)


def nodes_of(n_pages: int) -> int:
    """Nodes of 64 slots above pages 0 … n - 1, at every level."""
    nodes = 0
    while n_pages > 1:
        n_pages = -(-n_pages // 64)
        nodes += n_pages
    return nodes


# -- pages and their tree -------------------------------------------------------------


def test_first_touch_pays_and_rewriting_is_free() -> None:
    # GIVEN a writes pages 0-3, b pages 2-5, a all of them
    raw = replayed(
        setup_of(),
        write(0, A, pages=4),
        write(2000, B, page=2, pages=4),
        write(4000, A, pages=6),
    )
    assert pick(raw, "memory", "own_shmem") == [0, 4, 2]
    assert pick(raw, "charges", "issuer", "payer", "charged_bytes") == [
        (A, A, 4 * PAGE),
        (B, B, 2 * PAGE),
    ]


def test_pages_are_touched_when_they_are_served_not_when_they_are_asked_for() -> None:
    # GIVEN a asks first for page 0, but behind another of its requests; b is served
    # first (policy per-cgroup, reads take no lock)
    raw = replayed(
        setup_of(lock_per_page=False, write_ns_per_byte=1 << 20),
        request(0, A),
        write(10, A),
        write(20, B, nbytes=512),
    )
    assert by_row(raw, "completion_ns") == [1000, 6628, 1532]
    assert pick(raw, "memory", "own_shmem") == [0, 0, 1]


def test_reading_a_hole_charges_nothing() -> None:
    raw = replayed(setup_of(), request(0, pages=100))
    assert pick(raw, "memory", "current") == [0, 0, 0]
    assert pick(raw, "charges", "charged_bytes", "rbytes") == [(0, 100 * PAGE)]


def test_a_write_touches_every_page_that_it_overlaps() -> None:
    # GIVEN 512 B, and 4 KiB that begin in the middle of a page
    raw = replayed(
        setup_of(), write(0, sector=1, nbytes=512), write(2000, sector=20, nbytes=PAGE)
    )
    assert pick(raw, "memory", "own_shmem") == [0, 1 + 2, 0]


@pytest.mark.parametrize("op", ["discard", "write_zeroes"])
def test_a_hole_gives_the_pages_back_to_their_owners(op: str) -> None:
    # GIVEN a's pages 0-3 and b's 4-5, WHEN b frees all of it
    raw = replayed(
        setup_of(),
        write(0, A, pages=4),
        write(2000, B, page=4, pages=2),
        request(4000, B, op, pages=6),
    )
    # THEN nothing is charged to anybody, the tree included
    assert pick(raw, "memory", "current") == [0, 0, 0]
    assert pick(raw, "charges", "issuer", "payer", "uncharged_bytes") == [
        (A, A, 0),
        (B, A, 4 * PAGE),
        (B, B, 2 * PAGE),
    ]


def test_a_hole_frees_whole_pages_only() -> None:
    # GIVEN pages 0-3, WHEN from the middle of page 0 to the middle of page 3 is freed
    raw = replayed(
        setup_of(),
        write(0, pages=4),
        request(2000, op="discard", sector=4, nbytes=3 * PAGE),
    )
    # THEN pages 1 and 2 go; the others are zeroed in part
    assert pick(raw, "memory", "own_shmem") == [0, 2, 0]
    assert sum(pick(raw, "charges", "uncharged_bytes")) == 2 * PAGE


@pytest.mark.parametrize("n_pages", [1, 2, 64, 65, 512, 4096, 4097, 65_536])
def test_the_page_tree_costs_584_bytes_a_node_at_every_level(n_pages: int) -> None:
    # 256 MiB take 1024 + 16 + 1 nodes: 607,944 B, charged as 149 pages
    raw = replayed(setup_of(), write(0, pages=n_pages))
    kernel = -(-nodes_of(n_pages) * 584 // PAGE)
    assert pick(raw, "memory", "own_kernel") == [0, kernel, 0]
    assert pick(raw, "memory", "current")[A] == n_pages + kernel
    if n_pages == 65_536:
        assert kernel == 149


def test_nodes_are_paid_for_by_who_needed_them_first() -> None:
    # GIVEN page 0 of a, which needs no node, and page 64 of b: a level of two nodes and
    # one above them, for which b pays even where a's page is below
    raw = replayed(setup_of(), write(0, A), write(2000, B, page=64))
    assert pick(raw, "memory", "own_kernel") == [0, 0, 1]
    # GIVEN one node after another, THEN the 8th is the first beyond a page of memory
    setup = setup_of()
    for n_more, kernel in ((4, 1), (5, 2)):
        pages = [
            write(0),
            *(write(5000 * i, page=64 * i) for i in range(1, n_more + 2)),
        ]
        assert pick(replayed(setup, *pages), "memory", "own_kernel")[A] == kernel


def test_the_tree_shrinks_with_its_pages() -> None:
    # GIVEN pages 0 and 64 (3 nodes), WHEN page 64 goes, THEN page 0 stands alone again
    raw = replayed(
        setup_of(),
        write(0),
        write(2000, page=64),
        request(4000, op="discard", page=64),
    )
    assert pick(raw, "memory", "own_kernel", "own_shmem")[A] == (0, 1)


def test_a_file_laid_out_before_is_its_owners() -> None:
    # GIVEN every page there already, and root's; a writes 2 MiB
    raw = replayed(setup_of(laid_out_by=ROOT), write(0, pages=512))
    assert pick(raw, "memory", "own_shmem") == [512, 0, 0]
    assert pick(raw, "charges", "charged_bytes") == [0]


def test_direct_io_and_a_disk_touch_no_page_of_tmpfs() -> None:
    for setup in (setup_of(direct_io=True), setup_of(tmpfs=False)):
        raw = replayed(setup, write(0))
        assert pick(raw, "memory", "current") == [0, 0, 0]


# -- limits ---------------------------------------------------------------------------


def test_a_charge_that_nothing_can_make_room_for_fails_after_18_max_and_1_oom() -> None:
    # GIVEN room for 5 pages and nobody to kill: pages 0-3 and a node
    raw = replayed(setup_of(limits={A: 5}), write(0, pages=10))
    assert pick(raw, "memory", "own_shmem", "own_kernel", *EVENTS)[A] == (
        4,
        1,
        18,
        1,
        0,
    )
    # THEN the request is EIO, what was charged stays, the other 6 pages are refused
    assert by_row(raw, "error") == [EIO]
    assert pick(raw, "charges", "charged_bytes", "refused_bytes") == [
        (4 * PAGE, 6 * PAGE)
    ]
    assert pick(raw, "errors", "cgroup", "errno", "count", "bytes", "first_ns") == [
        (A, EIO, 1, 10 * PAGE, 1000)
    ]
    assert counted(raw, "failed") == 1


def test_every_failing_request_meets_the_limit_anew() -> None:
    raw = replayed(
        setup_of(limits={A: 1}), *(write(2000 * i, page=i) for i in range(4))
    )
    assert by_row(raw, "error") == [0, EIO, EIO, EIO]
    assert pick(raw, "memory", *EVENTS)[A] == (3 * 18, 3, 0)


def test_pages_that_are_there_already_can_be_rewritten_at_the_limit() -> None:
    raw = replayed(setup_of(limits={A: 1}), write(0), write(2000), request(4000))
    assert by_row(raw, "error") == [0, 0, 0]
    assert pick(raw, "memory", *EVENTS)[A] == (0, 0, 0)


def test_a_limit_of_the_parent_counts_there_and_not_below() -> None:
    # GIVEN 3 pages for /p: a's page 0, then b's page 1 with a node; then b again
    raw = replayed(
        setup_of(TREE, limits={P: 3}),
        write(0, PA),
        write(2000, PB, page=1),
        write(4000, PB, page=2),
    )
    assert by_row(raw, "error") == [0, 0, EIO]
    assert pick(raw, "memory", *EVENTS) == [(0, 0, 0), (18, 1, 0), *[(0, 0, 0)] * 2]
    assert pick(raw, "memory", "current", "peak") == [(3, 3), (3, 3), (1, 1), (2, 2)]


def test_an_event_below_counts_in_every_ancestor_but_the_root() -> None:
    raw = replayed(setup_of(TREE, limits={PA: 0}), write(0, PA))
    assert pick(raw, "memory", *EVENTS) == [
        (0, 0, 0),
        (18, 1, 0),
        (18, 1, 0),
        (0, 0, 0),
    ]


def test_the_root_pays_without_a_limit_under_root() -> None:
    raw = replayed(setup_of(limits={A: 0}, policy=Policy.ROOT), write(0, pages=10))
    assert by_row(raw, "error") == [0]
    assert pick(raw, "memory", "own_shmem") == [10, 0, 0]


def test_a_full_file_system_is_enospc_and_no_matter_of_memory() -> None:
    # GIVEN 4 pages in all
    setup = setup_of(fs_pages=4, enospc_errno=ENOSPC)
    # WHEN 6 are written, 2 given back, and those 2 written again elsewhere
    raw = replayed(
        setup,
        write(0, pages=6),
        request(2000, op="discard", pages=2),
        write(4000, page=8, pages=2),
        write(6000, page=10),
    )
    # THEN 4 fit, then 2, and no limit was met
    assert by_row(raw, "error") == [ENOSPC, 0, 0, ENOSPC]
    assert pick(raw, "memory", "own_shmem", *EVENTS)[A] == (4, 0, 0, 0)
    assert pick(raw, "charges", "refused_bytes") == [3 * PAGE]


# -- kills ----------------------------------------------------------------------------


def test_what_direct_io_in_flight_pins_is_not_given_back() -> None:
    # GIVEN 8 pages, of which the task's rss takes 3: pages 0-3 and a node fit
    setup = setup_of(limits={A: 8}, tasks=[(A, 3, 1)])
    raw = replayed(setup, write(0, pages=10, task=0))
    # THEN page 4 kills the task, whose 3 pages are the buffer of the request in flight
    # (docs/model.md, Kills); a second round, of 17, finds nobody and the request fails
    assert pick(raw, "memory", *EVENTS)[A] == (18 + 17, 2, 1)
    assert by_row(raw, "error") == [EIO]
    assert pick(raw, "memory", "own_shmem", "own_kernel")[A] == (4, 1)
    # AND with the request its buffer goes
    assert pick(raw, "memory", "own_rss", "current", "peak")[A] == (0, 5, 8)
    assert pick(
        raw, "kills", "time_ns", "limit_cgroup", "victim_cgroup", "task", "row"
    ) == [(1000, A, A, 0, 0)]
    assert pick(raw, "kills", "usage_bytes") == [8 * PAGE]


def test_what_is_not_pinned_is_given_back_and_the_write_goes_on() -> None:
    # GIVEN the same rss, of a task of the other child, with nothing in flight
    setup = setup_of(TREE, limits={P: 8}, tasks=[(PB, 3, 2)])
    raw = replayed(
        setup,
        request(0, PB, task=0),
        write(2000, PA, pages=7),
        request(9000, PB, task=0),
    )
    # THEN one round is enough; 7 pages and a node fill the limit
    assert by_row(raw, "error") == [0, 0]
    assert pick(raw, "memory", *EVENTS) == [
        (0, 0, 0),
        (18, 1, 1),
        (0, 0, 0),
        (0, 0, 1),
    ]
    assert pick(raw, "memory", "current")[P] == 8
    # AND the killed task's later request is never issued
    assert counted(raw, "stopped") == 1


def test_a_part_of_the_memory_is_pinned_where_less_is_in_flight() -> None:
    # GIVEN rss of 6 of 8 pages, a write of 4 in flight: pages 0 and 1 with a node are
    # too much by 1
    setup = setup_of(limits={A: 8}, tasks=[(A, 6, 1)])
    raw = replayed(setup, write(0, pages=4, task=0))
    # THEN 2 of the 6 come back: room for page 1 with its node and page 2, no more
    assert pick(raw, "memory", *EVENTS)[A] == (18 + 18, 2, 1)
    assert pick(raw, "memory", "own_shmem", "current")[A] == (3, 4)


def test_the_largest_task_dies_and_of_equals_the_later() -> None:
    # GIVEN tasks of 5, 7 and 7 pages that live when the limit is met
    tasks = [(A, 5, 2), (A, 7, 2), (A, 7, 2)]
    raw = replayed(
        setup_of(limits={A: 20}, tasks=tasks),
        *(request(i, task=i) for i in range(3)),
        write(5000, pages=2),
        *(request(9000 + i, task=i) for i in range(3)),
    )
    assert pick(raw, "kills", "task") == [2]
    assert counted(raw, "stopped") == 1


@pytest.mark.parametrize("case", ["not begun", "ended", "elsewhere", "kernel thread"])
def test_who_cannot_be_killed(case: str) -> None:
    # GIVEN one task, and a write over a's limit that is not its own
    cgroup = B if case == "elsewhere" else A
    n_requests = 1 if case == "ended" else 2
    kernel = [0] if case == "kernel thread" else []
    setup = setup_of(
        limits={A: 1}, tasks=[(cgroup, 0, n_requests)], kernel_tasks=kernel
    )
    first, last = request(0, cgroup, task=0), request(9000, cgroup, task=0)
    own = {"not begun": [last, {**last, "queue_ns": 9001, "issue_ns": 9001}]}
    before = [] if case == "not begun" else [first]
    after = own.get(case, [] if case == "ended" else [last])
    raw = replayed(setup, *before, write(4000, pages=3), *after)
    # THEN nobody is, and the write fails
    assert pick(raw, "kills", "task") == []
    assert pick(raw, "errors", "errno") == [EIO]
    assert counted(raw, "stopped") == 0


def test_what_was_queued_before_a_kill_is_served() -> None:
    # GIVEN a kill at 1000 ns: of one task's requests one is queued before it, two after
    setup = setup_of(limits={A: 1}, tasks=[(A, 0, 4)])
    raw = replayed(
        setup,
        write(0, pages=2, task=0),
        request(1000, task=0),
        request(1001, task=0),
        request(2000, task=0),
    )
    assert pick(raw, "kills", "time_ns") == [1000]
    # the task waits for its own I/O, so the charge waits 2 s for the reaper
    assert by_row(raw, "completion_ns") == [2 * S + 1000, 2 * S + 2000]
    assert counted(raw, "stopped") == 2
    # AND what was not issued counts nowhere as I/O
    assert pick(raw, "io", "rios", "wios") == [(1, 1)]


def test_policy_enospc_fails_the_request_where_it_would_have_killed() -> None:
    # GIVEN a task in a cgroup of 4 pages, and a policy that kills nobody
    setup = setup_of(
        limits={A: 4}, tasks=[(A, 0, 1)], oom_kills=False, write_errno=ENOSPC
    )
    raw = replayed(setup, write(0, pages=8, task=0))
    # THEN all failing tries count, no OOM does, and what was charged stays
    assert pick(raw, "memory", *EVENTS)[A] == (18, 0, 0)
    assert pick(raw, "kills", "task") == []
    assert pick(raw, "errors", "errno", "count") == [(ENOSPC, 1)]
    # 3 pages and their node
    assert pick(raw, "memory", "own_shmem")[A] == 3


def test_writeback_for_a_killed_task_stops_when_nobody_else_lives() -> None:
    # GIVEN a task of a with a kernel thread that writes for it (docs/model.md, Kills)
    tasks = [(A, 0, 2), (A, 0, 3)]
    rows = [
        request(0, task=0),
        write(10, pages=2, task=1),
        write(5000, page=8, task=1),
        request(6000, task=0),
        write(7000, page=9, task=1),
    ]
    setup = setup_of(limits={A: 1}, tasks=tasks, kernel_tasks=[1])
    raw = replayed(setup, *rows)
    # THEN the kill of the task stops the kernel thread's later requests too
    assert pick(raw, "kills", "task") == [0]
    assert (counted(raw, "requests"), counted(raw, "stopped")) == (2, 3)


def test_writeback_goes_on_while_another_task_of_the_cgroup_lives() -> None:
    # GIVEN the same beside a smaller task, which lives on
    tasks = [(A, 1, 2), (A, 0, 3), (A, 0, 2)]
    setup = setup_of(limits={A: 2}, tasks=tasks, kernel_tasks=[1])
    raw = replayed(
        setup,
        request(0, task=0),
        request(0, task=2),
        write(2500, task=1),
        write(5000, page=1, task=1, nbytes=512),
        request(6500, task=0),
        request(7000, task=1),
        request(8000, task=2),
    )
    # THEN only the killed task's own request is stopped; a failing charge kills again,
    # and there the smaller one was the last
    assert pick(raw, "kills", "task") == [0, 2]
    assert counted(raw, "stopped") == 3
    roomier = replayed(
        setup_of(limits={A: 3}, tasks=tasks, kernel_tasks=[1]),
        request(0, task=0),
        request(0, task=2),
        write(2500, task=1),
        write(5000, page=1, task=1, nbytes=512),
        request(6500, task=0),
        request(7000, task=1),
        request(8000, task=2),
    )
    assert pick(roomier, "kills", "task") == [0]
    assert counted(roomier, "stopped") == 1
    assert pick(roomier, "memory", "own_shmem", "own_kernel")[A] == (2, 1)


def test_a_task_is_charged_from_its_first_to_its_last_request() -> None:
    setup = setup_of(tasks=[(A, 50, 2)])
    raw = replayed(setup, request(0, task=0), request(5000, task=0))
    assert pick(raw, "memory", "own_rss", "current", "peak")[A] == (0, 0, 50)
    # GIVEN it has a request more than the trace shows of it, it lives on
    setup = setup_of(tasks=[(A, 50, 3)])
    raw = replayed(setup, request(0, task=0), request(5000, task=0))
    assert pick(raw, "memory", "own_rss", "current")[A] == (50, 50)
    # AND its cgroup is the one that the setup names, whoever pays for its I/O
    assert np.array_equal(setup.task_cgroup, [A])
