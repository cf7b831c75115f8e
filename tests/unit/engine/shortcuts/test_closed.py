"""What a shortcut would get wrong if the gate did not close it for a rule.

Random setups hardly ever show these: each is a case in which the rule acts. They fail
if the rule is taken from the gate, which is what `guard.mutants` does.
"""

from typing import Any

import numpy as np
import pytest

from replay.engine._engine import Engine
from replay.engine.columns import Columns
from replay.engine.setup import (
    BACKING_DEVICE,
    NO_LIMIT,
    ArrivalEvent,
    ArrivalMode,
    Policy,
    ServiceModel,
    Setup,
)
from replay.engine.shortcuts import MAX_TABLE, Shortcut, closed_by
from support.engines import (
    A,
    B,
    columns_of,
    difference,
    request,
    run_engine,
    run_reference,
    setup_of,
    write,
)
from support.strategies import RULES

MS = 1_000_000
#: What opens each shortcut.
OPEN: dict[Shortcut, dict[str, Any]] = {
    Shortcut.LEAN: {"policy": Policy.PER_CGROUP, "tmpfs": True},
    Shortcut.EARLY: {"policy": Policy.PASS_THROUGH, "direct_io": True, "tmpfs": False},
    Shortcut.BULK: {"policy": Policy.PER_CGROUP, "direct_io": True, "tmpfs": False},
}


def opened(shortcut: Shortcut, parents: tuple[int, ...], **fields: Any) -> Setup:
    values = {"service": ServiceModel.RECORDED, "read_base_ns": 0, "write_base_ns": 0}
    return setup_of(parents, **(values | OPEN[shortcut] | fields))


def high() -> tuple[Setup, Columns]:
    """Return writes above ``memory.high``, whose worker sleeps."""
    setup = opened(Shortcut.LEAN, (-1, 0, 0), highs={A: 3})
    rows = [write(i * 1000, page=i * 700, nbytes=700 * 4096) for i in range(6)]
    return setup, columns_of(rows)


def full() -> tuple[Setup, Columns]:
    """Return writes above ``memory.max``, which fail where there is nobody to kill."""
    setup = opened(Shortcut.LEAN, (-1, 0, 0), limits={A: 3})
    return setup, columns_of([write(i * 1000, page=i) for i in range(6)])


def recorded_directly() -> tuple[Setup, Columns]:
    """Return writes recorded side by side, which now wait for the file's lock."""
    setup = opened(
        Shortcut.LEAN,
        (-1, 0, 0),
        trace_policy=Policy.PER_CGROUP,
        trace_direct_io=True,
    )
    rows = [
        write(i * 1000, (A, B)[i % 2], page=i, complete_ns=i * 1000 + 5 * MS)
        for i in range(6)
    ]
    return setup, columns_of(rows)


def holes() -> tuple[Setup, Columns]:
    """Return reads of holes on a kernel that allocates and charges their pages."""
    setup = opened(Shortcut.LEAN, (-1, 0, 0), hole_reads_charge=True)
    return setup, columns_of([request(i * 1000, page=i) for i in range(6)])


def linear() -> tuple[Setup, Columns]:
    """Return writes whose service is a model's, not the recorded one."""
    setup = opened(
        Shortcut.LEAN, (-1, 0, 0), service=ServiceModel.LINEAR, write_base_ns=5000
    )
    return setup, columns_of([write(i * 1000, (A, B)[i % 2], page=i) for i in range(6)])


def nested(shortcut: Shortcut) -> tuple[Setup, Columns]:
    """Return reads of a loop device on a loop device: they pass through both."""
    setup = opened(
        shortcut, (-1, 0, 0), nested=0, devices=np.array([7 << 20, 1], np.uint32)
    )
    rows = [request(i * 1000, (A, B)[i % 2], device=i % 2, page=i) for i in range(8)]
    return setup, columns_of(rows)


def limited() -> tuple[Setup, Columns]:
    """Return reads that ``io.max`` of the backing device holds."""
    setup = opened(
        Shortcut.BULK,
        (-1, 0, 0),
        iomax_cgroup=np.array([A], np.uint32),
        iomax_device=np.array([BACKING_DEVICE], np.int32),
        iomax_rbps=np.array([1 << 20]),
        **{
            f"iomax_{kind}": np.array([NO_LIMIT]) for kind in ("wbps", "riops", "wiops")
        },
    )
    return setup, columns_of(
        [request(i * 1000, A, page=i * 4, pages=4) for i in range(8)]
    )


def few_tags() -> tuple[Setup, Columns]:
    """Return reads that arrive when they were queued, and wait for the one tag."""
    setup = opened(Shortcut.BULK, (-1, 0, 0), event=ArrivalEvent.QUEUE, tags=1)
    rows = [
        request(i * 1000, page=i, issue_ns=i * 1000 + MS, complete_ns=i * 1000 + 2 * MS)
        for i in range(8)
    ]
    return setup, columns_of(rows)


def no_workers() -> tuple[Setup, Columns]:
    """Return writes at once of which some run on the root's worker: the lock shows."""
    setup = opened(
        Shortcut.LEAN, (-1, 0, 0), alloc_fail_rows=np.array([0, 3], np.int64)
    )
    rows = [
        write(i * 1000, (A, B)[i % 2], page=i, complete_ns=i * 1000 + 5 * MS)
        for i in range(6)
    ]
    return setup, columns_of(rows)


def target(shortcut: Shortcut) -> tuple[Setup, Columns]:
    """Return reads of A that miss its target, so that B's depth is halved."""
    setup = opened(
        shortcut,
        (-1, 0, 0),
        iolatency_device=np.array([BACKING_DEVICE], np.int32),
        iolatency_target=np.array([[0, MS, 0]]),
        iolatency_requests=np.array([8]),
        iolatency_rotates=np.array([False]),
    )
    times = [(0, A), (100 * MS, A), *((200 * MS, B) for _ in range(6))]
    return setup, columns_of(
        [request(at, who, complete_ns=at + 10 * MS) for at, who in times]
    )


def few_workers() -> tuple[Setup, Columns]:
    """Return a discard that keeps the one worker that may run from serving another."""
    setup = opened(Shortcut.BULK, (-1, 0, 0), max_active=np.array([1], np.uint32))
    rows = [
        request(0, A),
        request(1000, B),
        request(2000, A, "discard", complete_ns=10 * MS),
    ]
    return setup, columns_of([*rows, *(request(3000 + i, B) for i in range(3))])


def threads() -> tuple[Setup, Columns]:
    """Return rows of several processes of one cgroup, each served in its own name."""
    setup = opened(
        Shortcut.BULK,
        (-1, 0, 0),
        policy=Policy.SYNCHRONOUS,
        kernel_pids=np.array([2], np.int32),
        backing_device=True,
    )
    pids = (101, 2, 103)
    return setup, columns_of(
        [request(i * 1000, A, pid=pids[i % 3], page=i) for i in range(12)]
    )


def many() -> tuple[Setup, Columns]:
    """Return more pairs of cgroup and device than there is a table of."""
    n = 1 << 11
    devices = np.arange(MAX_TABLE // n + 1, dtype=np.uint32)
    setup = opened(Shortcut.BULK, (-1, *[0] * (n - 1)), devices=devices)
    return setup, columns_of([request(i * 1000, 1 + i % 3) for i in range(9)])


CASES = {
    (Shortcut.LEAN, "memory_max"): full,
    (Shortcut.LEAN, "memory_high"): high,
    (Shortcut.LEAN, "trace_direct_io"): recorded_directly,
    (Shortcut.LEAN, "hole_reads_charge"): holes,
    (Shortcut.LEAN, "service"): linear,
    (Shortcut.LEAN, "alloc_fail_rows"): no_workers,
    (Shortcut.EARLY, "iolatency"): lambda: target(Shortcut.EARLY),
    (Shortcut.EARLY, "nested"): lambda: nested(Shortcut.EARLY),
    (Shortcut.BULK, "nested"): lambda: nested(Shortcut.BULK),
    (Shortcut.BULK, "iomax"): limited,
    (Shortcut.BULK, "event"): few_tags,
    (Shortcut.BULK, "iolatency"): lambda: target(Shortcut.BULK),
    (Shortcut.BULK, "max_active"): few_workers,
    (Shortcut.BULK, "policy"): threads,
    (Shortcut.BULK, "devices"): many,
}


@pytest.mark.parametrize(
    ("shortcut", "rule"), CASES, ids=[f"{one.name}-{rule}" for one, rule in CASES]
)
def test_engine_and_reference_agree_where_a_rule_acts(
    shortcut: Shortcut, rule: str
) -> None:
    # GIVEN a setup that opens a shortcut but for one rule
    setup, columns = CASES[shortcut, rule]()
    assert closed_by(shortcut, setup) in (*RULES[rule], None)
    # THEN without rows of requests the tables are the same, and the reference's too
    found = difference(run_engine(setup, columns), run_reference(setup, columns))
    assert found is None


@pytest.mark.parametrize("rule", ["LEAN-mode"])
def test_dependent_arrivals_are_not_said_to_be_lean(rule: str) -> None:
    # GIVEN a setup that opens the lean way but for its arrivals, which go by events
    setup = opened(Shortcut.LEAN, (-1, 0, 0), mode=ArrivalMode.DEPENDENT)
    # THEN the engine says so
    assert Engine(setup).shortcut == Shortcut.NONE
