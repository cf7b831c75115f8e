"""A plain disk: who waits in its queue, for its ring, in its pipe, and behind whom."""

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from replay.engine.raw import Raw
from replay.engine.setup import ArrivalEvent, Resource, Scheduler, Setup
from support.engines import (
    A,
    B,
    Row,
    by_row,
    columns_of,
    pick,
    replayed,
    request,
    run_engine,
    setup_of,
)

US = 1000
PAGE = 4096


def disk(
    scheduler: Scheduler = Scheduler.NONE,
    *,
    descriptors: int = 0,
    requeue_ns: int = 0,
    delay_ns: int = 0,
    together: bool = False,
    pipe: tuple[int, ...] = (US, 0, 0, US, 0, 0, US),
    **fields: Any,
) -> Setup:
    """Make a disk whose requests take 1 us each."""
    return setup_of(
        (-1, 0, 0),
        direct_io=True,
        trace_direct_io=True,
        tmpfs=False,
        event=ArrivalEvent.QUEUE,
        disk_scheduler=np.array([scheduler], np.int8),
        disk_pipe=np.array([pipe], np.int64),
        disk_descriptors=np.array([descriptors], np.int64),
        disk_requeue_ns=np.array([requeue_ns], np.int64),
        disk_delay_ns=np.array([delay_ns], np.int64),
        disk_together=np.array([together], np.bool_),
        **fields,
    )


def at(time: int, sector: int, issuer: int = A, op: str = "write", n: int = 1) -> Row:
    """Make a request of n pages that is queued at a time."""
    return request(
        time, issuer, op, queue_ns=time, sector=sector, nbytes=n * PAGE, n_bios=1
    )


def order(raw: Raw) -> list[int]:
    """Return the rows in the order of their completion."""
    rows = pick(raw, "requests", "completion_ns", "row")
    return [row for _, row in sorted(rows)]


def waits(raw: Raw) -> dict[tuple[int, int, str], int]:
    """Return who waited behind whom for what, ns."""
    return {
        (waiting, blocking, Resource(resource).name.lower()): ns
        for waiting, blocking, resource, ns in zip(
            *(
                pick(raw, "interference", name)
                for name in ("waiting", "blocking", "resource", "wait_ns")
            ),
            strict=True,
        )
    }


def test_a_pipe_serves_one_after_the_other_and_answers_after_a_delay() -> None:
    # GIVEN three requests at once that take 1 us each, and 500 ns that occupy nothing
    raw = replayed(disk(delay_ns=500), at(0, 0), at(0, 8, B), at(0, 16))
    # THEN each ends 1 us after the one before it
    assert by_row(raw, "completion_ns") == [1500, 2500, 3500]
    # AND b waited for a, and a for both
    assert waits(raw) == {
        (B, A, "device"): 1000,
        (A, A, "device"): 1000,
        (A, B, "device"): 1000,
    }
    assert by_row(raw, "queue_ns") == [0, 0, 0]


def test_a_disk_that_answers_together_does_so_once_it_is_idle() -> None:
    raw = replayed(disk(together=True, delay_ns=500), at(0, 0), at(0, 8, B), at(0, 16))
    assert by_row(raw, "completion_ns") == [3500] * 3
    # the first waits for those behind it, too
    assert waits(raw)[A, B, "device"] == 2 * US
    assert sum(waits(raw).values()) == sum(by_row(raw, "device_ns")) - 3 * 1500


def test_a_full_ring_refuses_until_something_completes() -> None:
    # GIVEN a ring of 8 descriptors; a request of 4 pages takes 6
    raw = replayed(
        disk(descriptors=8, requeue_ns=300), at(0, 0, A, n=4), at(0, 64, B, n=4)
    )
    # THEN b is issued 300 ns after a completes, whatever else there is room for
    assert by_row(raw, "queue_ns") == [0, 1300]
    assert by_row(raw, "completion_ns") == [1000, 2300]
    assert waits(raw) == {(B, A, "queue"): 1300}


def test_a_request_larger_than_the_ring_fills_it() -> None:
    raw = replayed(disk(descriptors=8), at(0, 0, n=512), at(0, 8192))
    assert by_row(raw, "completion_ns") == [1000, 2000]


def test_mq_deadline_lets_sixteen_writes_go_between_two_reads() -> None:
    # GIVEN a ring with room for one request of a page, and 40 writes behind the first
    setup = disk(Scheduler.DEADLINE, descriptors=3)
    rows = [at(0, 8 * i, B) for i in range(40)]
    # a read that comes when the first write is in the device and the second refused
    reads = [at(500, 4096, A, "read")]
    done = order(replayed(setup, *rows, *reads))
    # THEN it waits for the end of the batch: 16 writes, and those that had left the
    # scheduler at once, before anything was refused
    assert done.index(40) in (16, 17)


def test_reads_pass_writes_that_wait_but_not_more_than_twice() -> None:
    setup = disk(Scheduler.DEADLINE, descriptors=3)
    # GIVEN 60 writes, and reads at falling sectors: each is a batch of its own, and the
    # next comes while it is served
    writes = [at(0, 8 * i, B) for i in range(60)]
    reads = [at(500 + US * i, 8 * (1000 - i), A, "read") for i in range(50)]
    done = order(replayed(setup, *writes, *reads))
    # THEN after two of them the writes that stood back have their turn
    kinds = "".join("r" if row >= 60 else "w" for row in done)
    assert "w" * 16 + "rr" + "w" * 16 + "rr" + "w" in kinds


def test_writes_go_by_sector_whatever_their_order() -> None:
    setup = disk(Scheduler.DEADLINE, descriptors=3)
    rows = [at(0, 0), at(0, 40), at(1, 800), at(1, 1600), at(1, 80)]
    done = order(replayed(setup, *rows))
    assert done == [0, 1, 4, 2, 3]


def test_bfq_serves_by_weight_what_waits_in_the_queue() -> None:
    weights = np.array([100, 100, 300], np.uint32)
    setup = disk(Scheduler.BFQ, descriptors=3, bfq_weight=weights)
    rows = [at(0, 8 * i, A if i % 2 else B) for i in range(80)]
    done = order(replayed(setup, *rows))
    share = [row % 2 == 0 for row in done[4:40]]
    # b's weight is three times a's
    assert sum(share) == pytest.approx(27, abs=3)


def test_other_operations_take_their_own_time() -> None:
    pipe = (US, 0, 0, 2 * US, 0, 0, 7 * US)
    raw = replayed(
        disk(pipe=pipe), at(0, 0, op="read"), at(10_000, 0), at(20_000, 0, op="discard")
    )
    assert by_row(raw, "device_ns") == [US, 2 * US, 7 * US]


def test_setups_that_do_not_fit_are_refused() -> None:
    for name, values, what in (
        ("requeue_ns", np.zeros(2, np.int64), "differ in length"),
        ("scheduler", np.array([7], np.int8), "scheduler"),
        ("scheduler", np.array([2], np.int8), "weights"),
        ("delay_ns", np.array([-1]), "below 0"),
        ("descriptors", np.array([-1]), "descriptors"),
    ):
        with pytest.raises(ValueError, match=what):
            run_engine(replace(disk(), **{f"disk_{name}": values}), columns_of([]))
