"""Dependent arrivals on a short way: streams know when their requests end."""

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from replay.engine.columns import Columns
from replay.engine.setup import ArrivalEvent, ArrivalMode, Policy, ServiceModel, Setup
from replay.engine.shortcuts import Shortcut, shortcut_of
from support.engines import (
    SECOND,
    B,
    Row,
    columns_of,
    counted,
    difference,
    request,
    run_engine,
    run_reference,
    setup_of,
    write,
)

#: What opens each shortcut.
POLICY = {Shortcut.BULK: Policy.PER_CGROUP, Shortcut.EARLY: Policy.SYNCHRONOUS}


def followed(shortcut: Shortcut, **fields: Any) -> Setup:
    """Return a setup of dependent arrivals for which a shortcut is open."""
    values: dict[str, Any] = {
        "policy": POLICY[shortcut],
        "service": ServiceModel.RECORDED,
        "direct_io": True,
        "mode": ArrivalMode.DEPENDENT,
        "event": ArrivalEvent.AS_QUEUED,
        "read_base_ns": 0,
        "write_base_ns": 0,
    }
    setup = setup_of(**(values | fields))
    assert shortcut_of(setup, requests=False) is shortcut
    return setup


def agree(setup: Setup, columns: Columns, batch_rows: int = 1 << 16) -> bool:
    """Return True if the engine, on either way, gives the reference's tables."""
    found = run_engine(setup, columns, batch_rows)
    return difference(found, run_reference(setup, columns)) is None


def busy(seed: int, n_rows: int, ops: tuple[str, ...]) -> Columns:
    """Return rows of three processes, many in flight, some long in the queue."""
    random = np.random.Generator(np.random.PCG64(seed))
    rows: list[Row] = []
    at = 0
    for _ in range(n_rows):
        at += int(random.integers(0, 60))
        issue = at + int(random.choice([0, 0, 5, 300]))
        rows.append(
            request(
                at,
                int(random.integers(1, 3)),
                str(random.choice(ops)),
                pid=100 + int(random.integers(0, 3)),
                page=int(random.integers(0, 50)),
                issue_ns=issue,
                complete_ns=issue + int(random.integers(0, 1500)),
            )
        )
    return columns_of(rows)


@pytest.mark.parametrize("shortcut", POLICY, ids=lambda one: one.name)
@pytest.mark.parametrize(
    "ops", [("read", "write"), ("read", "write", "write", "flush", "discard")]
)
@pytest.mark.parametrize("seed", [1, 2])
def test_streams_with_many_requests_in_flight_give_the_tables_of_the_reference(
    shortcut: Shortcut, ops: tuple[str, ...], seed: int
) -> None:
    columns = busy(seed, 300, ops)
    for event in (ArrivalEvent.ISSUE, ArrivalEvent.AS_QUEUED):
        assert agree(followed(shortcut, event=event), columns, batch_rows=64)


@pytest.mark.parametrize("shortcut", POLICY, ids=lambda one: one.name)
@pytest.mark.parametrize(
    "odd",
    [
        write(10_000, issue_ns=-1),
        write(10_000, issue_ns=-1, complete_ns=-1),
        write(10_000, complete_ns=-1),
        write(10_000, complete_ns=10_000 + (1 << 32) + 7),
        request(10_000, op="flush"),
        request(10_000, op="discard", complete_ns=40_000),
        write(10_000, pages=3),
    ],
    ids=["unissued", "unseen", "unfinished", "long", "flush", "discard", "split"],
)
def test_odd_row_of_a_stream_gives_the_tables_of_the_reference(
    shortcut: Shortcut, odd: Row
) -> None:
    # GIVEN a stream of three in flight, with an odd row in its middle
    rows = [write(i * 50, complete_ns=i * 50 + 120) for i in range(20)]
    rows += [odd, *(write(10_500 + i * 50, page=i) for i in range(9))]
    assert agree(followed(shortcut, max_sectors=16), columns_of(rows))


@pytest.mark.parametrize("shortcut", POLICY, ids=lambda one: one.name)
@pytest.mark.parametrize("lost", ["write", "flush"])
def test_row_that_never_came_to_the_driver_does_not_stop_its_process(
    shortcut: Shortcut, lost: str
) -> None:
    # GIVEN a process with one request in flight, whose first was neither issued nor
    # seen to complete (of a flush: an empty bio)
    odd = request(0, op=lost, n_bios=1, issue_ns=-1, complete_ns=-1)
    columns = columns_of([odd, *(write(1000 * i) for i in range(1, 6))])
    for setup in (followed(shortcut), replace(followed(shortcut), direct_io=False)):
        # THEN all that it queued later is replayed
        raw = run_engine(setup, columns)
        assert difference(raw, run_reference(setup, columns)) is None
        assert (counted(raw, "requests"), counted(raw, "unissued")) == (5, 1)


@pytest.mark.parametrize("wait_s", [30, 61, 130, 200])
def test_worker_is_freed_between_queue_and_issue(wait_s: int) -> None:
    # GIVEN a row that is queued while its worker idles, and issued much later
    late = 2 * SECOND + wait_s * SECOND
    rows = [
        write(0),
        write(SECOND),
        write(2 * SECOND, issue_ns=late, complete_ns=late + 100),
        write(3 * SECOND, B),
        write(90 * SECOND, B),
        write(300 * SECOND),
        write(300 * SECOND, B),
    ]
    for event in (ArrivalEvent.ISSUE, ArrivalEvent.AS_QUEUED):
        setup = followed(Shortcut.BULK, event=event, backing_device=True)
        assert agree(setup, columns_of(rows))


def test_row_is_queued_behind_a_discard_and_issued_after_another_one() -> None:
    # GIVEN rows of one cgroup that wait for its worker, which a discard keeps
    rows = [
        write(0),
        request(100, op="discard", issue_ns=900, complete_ns=2000, pid=7),
        write(200, issue_ns=1000, complete_ns=1100),
        write(300, issue_ns=400, complete_ns=500, pid=8),
        write(2500),
    ]
    assert agree(followed(Shortcut.BULK), columns_of(rows))
