"""The OOM killer's choice among many tasks: the reference looks at each of them."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from support.engines import pick, replayed, request, setup_of, write

S = 10**9


@given(st.integers(0, 2**32))
def test_the_same_are_killed_in_the_same_order(seed: int) -> None:
    # GIVEN some forty tasks in a tree of limits, of few scores so that there are ties
    draw = random.Random(seed)
    parents = (-1, *(draw.randrange(max(1, i)) for i in range(1, 12)))
    cgroups = [draw.randrange(12) for _ in range(40)]
    tasks = [(cgroup, draw.randrange(4), 3) for cgroup in cgroups]
    setup = setup_of(
        parents,
        limits={i: draw.randrange(1, 60) for i in range(1, 12) if draw.random() < 0.6},
        tasks=tasks,
        kernel_tasks=draw.sample(range(40), 3),
        task_adj=np.array([draw.choice([0, 0, 0, 300, -200, -1000]) for _ in tasks]),
        oom_group=np.array([draw.random() < 0.2 for _ in parents]),
        write_base_ns=draw.choice([1000, 3 * S]),
    )
    rows = []
    for at in range(90):
        task = draw.randrange(40)
        rows.append(
            write(at * S // 2, cgroups[task], task=task, page=at * 9, pages=9, pid=task)
        )
    # THEN engine and reference kill the same ones (`replayed` compares every table)
    replayed(setup, *rows)


def test_a_group_kill_takes_all_of_it_and_only_that() -> None:
    # GIVEN a limit on 1, oom.group on 2: tasks of 2 and 3, which lies below 2, and of 4
    setup = setup_of(
        (-1, 0, 1, 2, 1),
        limits={1: 10},
        tasks=[(4, 1, 9), (2, 3, 9), (3, 1, 9), (4, 1, 9), (3, 1, 9)],
        oom_group=np.array([False, False, True, False, False]),
    )
    rows = [request(i, (4, 2, 3, 4, 3)[i], "read", task=i) for i in range(5)]
    raw = replayed(setup, *rows, write(S, 4, pages=12, task=0))
    assert pick(raw, "kills", "task")[:3] == [1, 2, 4]
