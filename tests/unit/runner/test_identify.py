"""A plain disk is identified from what a trace shows of it."""

import numpy as np
import pyarrow as pa
import pytest

from replay.engine.setup import Scheduler
from replay.runner.identify import IdentifiedDisk, identify, nonnegative, with_delay_of
from replay.trace.file.schema import OP_CODES

DISK = 254 << 20
US = 1000


def rows(*requests: tuple[int, int, int, int, int, int, str]) -> pa.RecordBatch:
    """Make rows of (queue, first issue, last issue, complete, sector, bytes, op)."""
    queue, first, last, complete, sector, nbytes, op = zip(*requests, strict=True)
    ops = [OP_CODES[one] for one in op]
    return pa.RecordBatch.from_pydict(
        {
            "queue_ns": pa.array(queue, pa.int64()),
            "issue_ns": pa.array(first, pa.int64()),
            "last_issue_ns": pa.array(last, pa.int64()),
            "complete_ns": pa.array(complete, pa.int64()),
            "device": pa.array([DISK] * len(op), pa.uint32()),
            "sector": pa.array(sector, pa.uint64()),
            "nbytes": pa.array(nbytes, pa.uint32()),
            "op": pa.array(ops, pa.int8()),
            "cgroup": pa.array([1] * len(op), pa.uint64()),
        }
    )


def one(batch: pa.RecordBatch) -> IdentifiedDisk:
    """Identify the only disk of some rows."""
    (found,) = identify([batch], [DISK])
    assert found is not None
    return found


def served(
    n: int, *, pipe_us: tuple[int, int] = (20, 50), delay_us: int = 10, depth: int = 4
) -> pa.RecordBatch:
    """Make bursts of requests that a pipe serves one after the other.

    Pages are of 1 to 8, and take 2 us each besides.
    """
    rng = np.random.default_rng(1)
    made, now = [], 0
    for burst in range(n):
        begin = now = burst * 10_000 * US
        for _ in range(1 + burst % depth):
            op = int(rng.integers(0, 2))
            pages = int(rng.integers(1, 9))
            now += (pipe_us[op] + 2 * pages) * US
            made.append(
                (
                    *(begin, begin + 3 * US, begin + 3 * US),
                    *(now + (3 + delay_us) * US, 0, pages * 4096),
                    ("read", "write")[op],
                )
            )
    return rows(*made)


def test_the_pipe_and_the_delay_of_a_disk_are_found_again() -> None:
    # GIVEN reads that take 20 us, writes that take 50, 2 us a page, and a delay of 10
    found = one(served(400))
    read_base, read_rate, _, write_base, write_rate, _, _ = found.pipe
    assert read_base == pytest.approx(20 * US, rel=0.02)
    assert write_base == pytest.approx(50 * US, rel=0.02)
    assert read_rate * 4096 / 2**20 == pytest.approx(2 * US, rel=0.05)
    assert write_rate * 4096 / 2**20 == pytest.approx(2 * US, rel=0.05)
    # the delay holds what passes before the driver has a request
    assert found.delay_ns == pytest.approx(13 * US, rel=0.05)
    assert found.explained > 0.999
    assert not found.together
    assert (found.descriptors, found.requeue_ns) == (0, 0)


def test_another_recording_tells_the_delay_as_well() -> None:
    # GIVEN a disk with a delay of 10 us, and of 30 when one ran alone
    found, beside = one(served(400)), served(200, delay_us=30, depth=1)
    with_both = with_delay_of(found, [beside])
    # THEN neither is the nearer one, and nothing else changes
    assert with_both is not None
    assert with_both.delay_ns == pytest.approx((13 + 33) / 2 * US, rel=0.05)
    assert with_both.pipe == found.pipe
    # AND too few requests tell nothing
    assert with_delay_of(found, [served(4, depth=1)]) is None


def test_what_moves_no_data_does_not_tell_the_delay() -> None:
    # GIVEN reads that overlap, and discards that are alone and take long
    reads = served(200)
    discards = rows(
        *(
            (at, at + US, at + US, at + 400 * US, 0, 1 << 20, "discard")
            for at in range(5_000 * US, 300 * 10_000 * US, 10_000 * US)
        )
    )
    order = pa.Table.from_batches([reads, discards]).sort_by("queue_ns")
    (batch,) = order.combine_chunks().to_batches()
    # THEN the delay is that of reads and writes
    assert one(batch).delay_ns == pytest.approx(13 * US, rel=0.10)


def test_a_ring_is_found_from_what_it_refused() -> None:
    # GIVEN requests of 16 pages: 18 descriptors each, 14 of them fit 256
    made = []
    for burst in range(20):
        begin = burst * 10_000 * US
        for i in range(16):
            refused = i >= 14
            last = begin + (620 * US if refused else i)
            done = begin + (1300 if refused else 600 + i) * US
            made.append((begin, begin + i, last, done, i * 800, 65536, "read"))
    found = one(rows(*made))
    assert (found.descriptors, found.n_refused) == (256, 40)
    assert found.agree == 1.0
    # the last of the others completed 7 us before they were issued again
    assert found.requeue_ns == 7 * US


def test_a_disk_that_answers_together_is_told_from_one_that_does_not() -> None:
    made = []
    for burst in range(50):
        begin = burst * 10_000 * US
        n = 2 + burst % 7
        done = begin + n * 50 * US
        made += [
            (begin, begin + i * US, begin + i * US, done + i * 100, i * 8, 4096, "read")
            for i in range(n)
        ]
    found = one(rows(*made))
    assert found.together
    assert found.pipe[0] + found.pipe[1] * 4096 // 2**20 <= 51 * US


def test_requests_that_overtake_others_are_told_as_mq_deadline() -> None:
    # GIVEN writes that wait, and a read that comes later and is issued between them
    made = []
    for burst in range(30):
        begin = burst * 10_000 * US
        for i in range(4):
            issue = begin + (500 + i * 100 if i else 1) * US
            done = issue + (90 if i else 590) * US
            made.append((begin, issue, issue, done, i * 8, 4096, "write"))
        read = begin + 550 * US
        made.append((begin + 50 * US, read, read, read + 40 * US, 800, 4096, "read"))
    assert one(rows(*made)).scheduler == Scheduler.DEADLINE
    assert one(served(100)).scheduler == Scheduler.NONE


def test_too_few_requests_tell_nothing() -> None:
    assert identify([served(2)], [DISK, DISK + 1]) == [None, None]


def test_least_squares_have_no_negative_numbers() -> None:
    terms = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    found, left = nonnegative(terms, np.array([30.0, 20.0, 10.0]))
    assert found[1] == 0
    assert found[0] > 0
    assert left > 0
