"""Recorded service: the traced driver's queueing, run backwards (docs/model.md)."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.engine._service import Services
from replay.engine.columns import Columns
from replay.engine.reference.service import services_of
from replay.engine.setup import Policy, ServiceModel, Setup
from support.engines import A, B, columns_of, request, setup_of, write
from support.strategies import columns_for, setups

RECORDED: dict[str, Any] = {"service": ServiceModel.RECORDED}


def services(setup: Setup, *rows: dict[str, Any]) -> list[int]:
    """Return the service of rows, having seen that engine and reference agree."""
    columns = columns_of(rows)
    found = services_of(setup, columns)
    assert filled(setup, columns, len(columns) or 1) == found
    return found


def filled(
    setup: Setup, columns: Columns, batch_rows: int, window: int = 1 << 20
) -> list[int]:
    """Return what the compiled module fills in, rows given in batches."""
    made = Services(setup, window)
    outs = []
    for start in range(0, len(columns), batch_rows):
        part = columns.take(slice(start, start + batch_rows))
        outs.append(np.full(len(part), -7, np.int64))
        n_settled = made.fill(part, outs[-1])
        # what is said to be settled does not change any more
        assert (np.concatenate(outs)[:n_settled] != -7).all()
    assert made.end() == len(columns)
    return [int(ns) for out in outs for ns in out]


def test_one_queue_is_undone_in_the_order_of_completion() -> None:
    # GIVEN one worker, whose second and third request completed the other way round
    setup = setup_of(**RECORDED, trace_policy=Policy.ROOT)
    rows = (
        write(0, A, complete_ns=100),
        write(10, A, complete_ns=150),
        write(20, B, complete_ns=120),
    )
    # THEN each took from the completion before its own: nobody comes back with none
    assert services(setup, *rows) == [100, 30, 20]


def test_what_shared_the_processors_had_its_part_of_the_time() -> None:
    # GIVEN a worker each that reads: a alone for 100 ns, then with b for 200 ns, then b
    # alone for 50 ns
    rows = (request(0, A, complete_ns=300), request(100, B, complete_ns=350))
    root = {**RECORDED, "policy": Policy.ROOT}
    # THEN on one processor each had half of what they shared
    assert services(setup_of(**root, processors=1), *rows) == [200, 150]
    # AND on two, or no end of them, all of it
    assert services(setup_of(**root, processors=2), *rows) == [300, 250]
    assert services(setup_of(**root), *rows) == [300, 250]
    # AND under the driver of the recording it stays in the times
    assert services(setup_of(**RECORDED, processors=1), *rows) == [300, 250]


def test_what_shared_the_lock_had_its_part_of_the_time() -> None:
    # GIVEN a worker each, and a lock that is handed over page by page: a writes alone
    # for 100 ns, then with b for 200 ns, then b alone for 50 ns
    setup = setup_of(**RECORDED, policy=Policy.ROOT)
    rows = (write(0, A, complete_ns=300), write(100, B, complete_ns=350))
    assert services(setup, *rows) == [200, 150]
    # AND a third of it with three of them at a time
    three = [write(0, who, complete_ns=300) for who in (0, A, B)]
    assert services(setup, *three) == [100, 100, 100]
    # AND who reads takes no lock
    rows = (request(0, A, complete_ns=300), write(0, B, complete_ns=300))
    assert services(setup, *rows) == [300, 300]


def test_a_workers_own_queue_does_not_share_the_lock_with_itself() -> None:
    # GIVEN two writes in one worker, beside one in another
    setup = setup_of(**RECORDED, policy=Policy.ROOT)
    rows = (
        write(0, A, complete_ns=100),
        write(0, A, complete_ns=200),
        write(0, B, complete_ns=200),
    )
    assert services(setup, *rows) == [50, 50, 100]


def test_a_lock_that_is_held_for_the_request_is_undone_one_after_the_other() -> None:
    setup = setup_of(
        **RECORDED, policy=Policy.ROOT, trace_lock_per_page=False, lock_per_page=False
    )
    rows = (write(0, A, complete_ns=300), write(100, B, complete_ns=350))
    assert services(setup, *rows) == [300, 50]


def test_under_the_same_driver_waits_for_the_lock_stay_in_the_recorded_time() -> None:
    rows = (write(0, A, complete_ns=300), write(100, B, complete_ns=350))
    assert services(setup_of(**RECORDED), *rows) == [300, 250]
    # AND not where workers cannot be made: that is another driver
    failing = setup_of(**RECORDED, alloc_fail_threshold=1 << 64)
    assert services(failing, *rows) == [200, 150]


def test_what_completed_at_one_moment_took_some_time_each() -> None:
    setup = setup_of(**RECORDED, trace_policy=Policy.ROOT)
    rows = (write(0, A, complete_ns=100), write(0, A, complete_ns=100))
    assert services(setup, *rows) == [100, 1]
    # AND what took none takes none
    assert services(setup, write(5, A, complete_ns=5)) == [0]


def test_a_request_that_is_open_for_ever_does_not_keep_the_others_waiting() -> None:
    # GIVEN a window of two rows, and a request that is open behind three others
    setup = setup_of(**RECORDED, trace_policy=Policy.ROOT)
    rows = [write(0, A, complete_ns=10_000)]
    rows += [write(100 * n, B, complete_ns=100 * n + 50) for n in range(1, 4)]
    columns = columns_of(rows)
    # THEN it is settled with what is known by then, as if the others came behind it
    assert services_of(setup, columns, 2)[0] == 10_000 - 150
    assert filled(setup, columns, 1, 2) == services_of(setup, columns, 2)
    with pytest.raises(ValueError, match="power of two"):
        Services(setup, 3)


@given(st.data())
def test_the_compiled_module_gives_what_the_reference_gives(
    data: st.DataObject,
) -> None:
    # GIVEN any setup and rows, in batches of any size, and any window
    setup = data.draw(setups(**RECORDED))
    columns = data.draw(columns_for(setup))
    batch_rows = data.draw(st.integers(1, 50))
    window = data.draw(st.sampled_from([1, 2, 8, 1 << 20]))
    found = services_of(setup, columns, window)
    assert filled(setup, columns, batch_rows, window) == found
    # THEN nothing that took time comes back with none
    for i, ns in enumerate(found):
        device = int(columns.device[i])
        if device < len(setup.devices) and setup.is_disk(device):
            continue  # it takes what its pipe takes
        begun = columns.issue_ns[i] if columns.issue_ns[i] >= 0 else columns.queue_ns[i]
        assert ns <= max(0, columns.complete_ns[i] - begun) or ns == -1
        if ns == 0:
            assert columns.complete_ns[i] <= begun
