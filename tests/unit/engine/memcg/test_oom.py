"""Whom the OOM killer takes, and what memory.min and memory.low keep (model.md)."""

from typing import Any

import numpy as np
import pytest

from replay.engine.reference.memcg.protection import effective_protection
from replay.engine.setup import Setup
from support.engines import (
    PAGE,
    ROOT,
    A,
    B,
    C,
    pick,
    replayed,
    request,
    setup_of,
    write,
)

S = 10**9
EIO, ENOSPC = 5, 28
#: /p, and below it /p/a and /p/b.
P, PA, PB = A, B, C
TREE = (-1, ROOT, P, P)
TASKS = ((PA, 100, 1), (PA, 200, 1), (PB, 300, 1))


def killed(adj: list[int], **fields: Any) -> Any:
    """Replay three tasks below a limit that the last one's write meets."""
    setup = setup_of(
        TREE, limits={P: 1000}, tasks=TASKS, task_adj=np.array(adj, np.int64), **fields
    )
    rows = [
        request(0, PA, task=0),
        request(1, PA, task=1, complete_ns=5 * S),
        write(2 * S, PB, pages=600, task=2, complete_ns=3 * S),
    ]
    rows[0]["complete_ns"] = 6 * S
    return replayed(setup, *rows)


@pytest.mark.parametrize(
    ("adj", "victim"),
    [
        ([0, 0, 0], 2),
        # a thousandth of the limit is a page: 100 + 250 against 300
        ([250, 0, 0], 0),
        ([0, 101, 0], 1),
        # of equals the last
        ([0, 100, 0], 2),
        ([0, 0, -1000], 1),
        ([0, -150, -1000], 0),
    ],
)
def test_victim_has_the_highest_score(adj: list[int], victim: int) -> None:
    # GIVEN tasks of 100, 200 and 300 pages that all live when /p's 1000 are met
    service = {"read_base_ns": 9 * S, "policy": 2}
    raw = killed(adj, **service)
    assert pick(raw, "kills", "task")[0] == victim


def test_nobody_is_killed_whom_oom_score_adj_keeps() -> None:
    raw = killed([-1000, -1000, -1000], read_base_ns=9 * S)
    assert pick(raw, "kills", "task") == []
    assert pick(raw, "errors", "errno") == [EIO]


def test_oom_group_takes_all_below_the_highest_that_has_it() -> None:
    # GIVEN /p/a with memory.oom.group, and its second task the highest score
    group = np.array([False, False, True, False])
    raw = killed([0, 500, 0], read_base_ns=9 * S, oom_group=group)
    assert pick(raw, "kills", "task")[:2] == [1, 0]
    # THEN the victim counts twice (oom_kill_process(), v6.1: 3 for 2 tasks)
    assert pick(raw, "memory", "oom_kill", "oom_group_kill")[PA] == (3, 1)
    assert pick(raw, "memory", "oom_kill", "oom_group_kill")[P] == (3, 1)
    assert pick(raw, "memory", "oom_kill", "oom_group_kill")[PB] == (0, 0)
    # AND with the flag in /p all go, not beyond the limit's cgroup
    group = np.array([True, True, True, False])
    raw = killed([0, 500, 0], read_base_ns=9 * S, oom_group=group)
    assert pick(raw, "kills", "task") == [1, 0, 2]
    assert pick(raw, "memory", "oom_kill", "oom_group_kill")[P] == (4, 1)


def test_machine_s_memory_is_met_by_all_together_and_counts_in_no_events() -> None:
    # GIVEN 100 pages in the machine; a's task holds 60, b writes 60
    setup = setup_of(limits={ROOT: 100}, tasks=((A, 60, 1),), read_base_ns=9 * S)
    raw = replayed(
        setup,
        request(0, A, task=0, complete_ns=20 * S),
        write(S, B, pages=60),
    )
    # THEN the task goes, whose cgroup has no limit, once its read is done or 2 s later
    assert pick(raw, "kills", "limit_cgroup", "victim_cgroup") == [(ROOT, A)]
    assert pick(raw, "memory", "max", "oom", "oom_kill") == [
        (0, 0, 0),
        (0, 0, 1),
        (0, 0, 0),
    ]
    assert pick(raw, "memory", "own_shmem")[B] == 60
    # AND the root's own writes meet it as well
    raw = replayed(setup_of(limits={ROOT: 10}), write(0, ROOT, pages=12))
    assert pick(raw, "errors", "errno") == [EIO]


def test_a_bystander_lives_through_the_trace_and_can_be_killed() -> None:
    # GIVEN 100 pages in the machine, of which a task that issues nothing holds 60, and
    # b's own 10
    tasks = ((A, 60, 0), (B, 10, 2))
    always = np.array([True, False])
    setup = setup_of(limits={ROOT: 100}, tasks=tasks, task_always=always)
    raw = replayed(
        setup,
        write(S, B, pages=20, task=1),
        write(2 * S, B, pages=60, task=1, sector=1 << 20),
    )
    # THEN its memory counts before the first request and goes at the kill, at once
    assert pick(raw, "kills", "task", "victim_cgroup") == [(0, A)]
    assert pick(raw, "errors", "errno") == []
    assert pick(raw, "memory", "own_shmem")[B] == 80
    # AND where there is room it holds it to the end
    setup = setup_of(tasks=tasks, task_always=always, limits={ROOT: 1000})
    raw = replayed(setup, write(S, B, pages=20, task=1))
    assert pick(raw, "memory", "current", "peak")[A] == (60, 60)


@pytest.mark.parametrize("cached", [False, True])
def test_write_that_fails_behind_its_first_page_is_lost_in_silence(
    cached: bool,
) -> None:
    # GIVEN 6.15 and a full file system after 3 pages
    fields: dict[str, Any] = {"tmpfs": not cached, "cached": cached, "fs_pages": 3}
    setup = setup_of(short_writes=True, enospc_errno=ENOSPC, **fields)
    first = write(0, A, pages=2)
    raw = replayed(setup, first, write(S, A, page=2, pages=4), write(2 * S, A, page=9))
    # THEN the second is reported as done, 3 pages short; the third fails
    assert pick(raw, "errors", "errno", "count", "bytes") == [
        (0, 1, 3 * PAGE),
        (ENOSPC, 1, PAGE),
    ]
    assert pick(raw, "counts", "completed", "failed") == [(2, 1)]
    # AND strictly it fails as well
    raw = replayed(setup_of(enospc_errno=ENOSPC, **fields), write(0, A, pages=4), first)
    assert pick(raw, "errors", "errno", "count", "bytes") == [(ENOSPC, 1, 4 * PAGE)]


# -- protection -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "parent_usage", "setting", "parent", "siblings", "protected"),
    [
        (50, 100, 80, 100, 50, 50),
        # siblings claim twice what the parent has: half of each
        (80, 200, 80, 80, 160, 40),
        # 20 of the parent's 100 are not claimed: shared by what is not protected
        (100, 200, 40, 100, 80, 40 + 20 * 60 // 120),
    ],
)
def test_effective_protection(
    usage: int,
    parent_usage: int,
    setting: int,
    parent: int,
    siblings: int,
    protected: int,
) -> None:
    arguments = (usage, parent_usage, setting, parent, siblings)
    assert effective_protection(*arguments, recursive=True) == protected


def filled(n_a: int, n_b: int, **fields: Any) -> Any:
    """Let /p/a read, then /p/b, below /p's limit of 200 pages."""
    setup: Setup = setup_of(
        TREE,
        limits={P: 200},
        tmpfs=False,
        cached=True,
        laid_out=True,
        readahead_pages=0,
        **fields,
    )
    reads = [request(i * 2000, PA, "read", page=2 * i) for i in range(n_a)]
    reads += [request(S + i * 2000, PB, "read", page=4096 + i) for i in range(n_b)]
    return replayed(setup, *reads)


def protected(cgroup: int, pages: int) -> Any:
    return np.array([pages if i == cgroup else 0 for i in range(4)], np.int64)


def test_min_keeps_a_cgroup_s_cache_and_the_reader_pays() -> None:
    # GIVEN a with 100 pages, its stock and all of it protected; b wants 300 more
    free = filled(100, 300)
    kept = filled(100, 300, memory_min=protected(PA, 130))
    # THEN without protection a loses pages, with it b alone
    assert pick(free, "memory", "own_file")[PA] < 100
    assert pick(kept, "memory", "own_file")[PA] == 100
    assert pick(kept, "memory", "low")[PA] == 0
    assert pick(kept, "errors", "errno") == []


def test_low_holds_as_long_as_there_is_something_else() -> None:
    kept = filled(100, 300, memory_low=protected(PA, 130))
    assert pick(kept, "memory", "own_file", "low")[PA] == (100, 0)
    # GIVEN a has nearly all, THEN b's first pages take from a all the same: `low`
    taken = filled(198, 10, memory_low=protected(PA, 300))
    assert pick(taken, "memory", "low")[PA] > 0
    assert pick(taken, "memory", "low")[P] == pick(taken, "memory", "low")[PA]
    assert pick(taken, "errors", "errno") == []


def test_min_of_all_leaves_nothing_to_reclaim() -> None:
    # GIVEN a with 198 pages, and 2 for the nodes of its pages, under min
    failed = filled(198, 10, memory_min=protected(PA, 300))
    assert pick(failed, "memory", "own_file")[PA] == 198
    assert pick(failed, "errors", "errno", "count") == [(EIO, 10)]
