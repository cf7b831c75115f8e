"""Latencies of many requests, counted a full log at a time: no way there shows."""

import random

import pytest

from replay.engine.setup import ArrivalEvent
from support.engines import (
    columns_of,
    counted,
    difference,
    request,
    run_engine,
    run_reference,
    setup_of,
)

N_REQUESTS = 3000
#: More of them than one part of a log is sorted for.
N_CGROUPS = 100


@pytest.mark.parametrize("n_late", [5, N_CGROUPS])
@pytest.mark.parametrize("interval_ns", [0, 900_000])
def test_latencies_of_many_requests_are_those_of_the_reference(
    n_late: int, interval_ns: int
) -> None:
    # GIVEN requests of few cgroups and then of few or many, of which many wait
    # and some are of other operations than reads and writes
    dice = random.Random(1)
    rows = []
    for i in range(N_REQUESTS):
        issuer = dice.randint(1, 5 if i < N_REQUESTS // 2 else n_late)
        op = dice.choice(["read", "write", "write", "write", "discard", "flush"])
        rows.append(request(i * 1000, issuer, op, page=dice.randrange(500)))
    setup = setup_of(
        [-1, *[0] * N_CGROUPS],
        event=ArrivalEvent.QUEUE,
        tags=8,
        tmpfs=True,
        lock_per_page=True,
        write_base_ns=1300,
        interval_ns=interval_ns,
    )
    # WHEN both replay them
    found = run_reference(setup, columns_of(rows))
    # THEN they say the same
    assert difference(found, run_engine(setup, columns_of(rows))) is None
    assert counted(found, "completed") == N_REQUESTS
