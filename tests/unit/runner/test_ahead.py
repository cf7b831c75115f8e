"""Who was ahead on a plain disk, of what was recorded."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from replay.engine.setup import Resource
from replay.runner.ahead import MOST_WAITING, charges

QUEUE, DEVICE, TAG = int(Resource.QUEUE), int(Resource.DEVICE), int(Resource.TAG)
A, B = 1, 2


def told(*requests: tuple[int, int, int, int]) -> dict[tuple[int, int, int], int]:
    """Return who waited behind whom; requests are (issuer, queue, issue, complete)."""
    who, queue, issue, complete = (
        np.array(values, np.int64) for values in zip(*requests, strict=True)
    )
    return {
        (waiting, blocking, resource): ns
        for waiting, blocking, resource, ns, _ in charges(
            who, queue, issue, complete, others=9
        )
    }


def test_waits_in_the_queue_and_in_the_device_are_charged_to_who_completes() -> None:
    # GIVEN b's request in the device until 100, a's queued at 10 and issued at 100
    assert told((B, 0, 0, 100), (A, 10, 100, 150)) == {(A, B, QUEUE): 90}
    # AND one that was issued at once behind it: it waits in the device
    assert told((B, 0, 0, 100), (A, 10, 10, 150)) == {(A, B, DEVICE): 90}


def test_a_wait_is_shared_by_all_that_complete_meanwhile() -> None:
    found = told((B, 0, 0, 40), (A, 0, 0, 60), (A, 10, 60, 70))
    assert found == {(A, B, QUEUE): 30, (A, A, QUEUE): 20, (A, B, DEVICE): 40}


def test_who_meets_nobody_waits_for_nobody() -> None:
    # GIVEN two requests of a, the second queued when the first is done
    found = told((A, 0, 7, 40), (A, 40, 49, 60))
    # THEN what passes until they are issued is their own, before the driver
    assert found == {(A, A, TAG): 7 + 9}
    # AND where b's is there still, a waits behind it
    found = told((B, 0, 0, 45), (A, 40, 49, 60))
    assert found == {(A, B, QUEUE): 5, (A, A, QUEUE): 4}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 80),
            st.integers(0, 2**53),
            st.integers(0, 2**40),
            st.integers(0, 2**40),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_waits_sum_to_the_time_before_the_issue(
    requests: list[tuple[int, int, int, int]],
) -> None:
    # GIVEN any requests (issuer, queue, then how long to issue and to completion)
    columns = [
        np.array(values, np.int64)
        for values in zip(
            *((i, q, q + wait, q + wait + took) for i, q, wait, took in requests),
            strict=True,
        )
    ]
    who, queue, issue, complete = columns
    found = list(charges(who, queue, issue, complete, others=100))
    # THEN what waited in the queue, or met nobody, is all of the time from Q to D
    queued = [ns for _, _, resource, ns, _ in found if resource in (QUEUE, TAG)]
    assert sum(queued) == int((columns[2] - columns[1]).sum())
    # AND nobody waits longer in the device than it is there
    in_device = sum(ns for _, _, resource, ns, _ in found if resource == DEVICE)
    assert in_device <= int((columns[3] - columns[2]).sum())
    assert all(count > 0 for *_, count in found)
    assert len({waiting for waiting, *_ in found}) <= MOST_WAITING + 1
