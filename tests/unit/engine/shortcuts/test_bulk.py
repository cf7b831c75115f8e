"""Direct I/O that is counted in bulk: the tables must not show it."""

from typing import Any

import numpy as np
import pytest

from replay.engine.columns import NO_TASK, Columns
from replay.engine.setup import Policy, ServiceModel
from support.engines import (
    SECOND,
    difference,
    run_engine,
    run_reference,
    setup_of,
    write,
)
from support.engines import columns_of as rows_of

N_ROWS = 5000
N_DEVICES = 2
READ, WRITE, DISCARD, FLUSH = range(4)


def columns_of(n_cgroups: int, *, gap_ns: int) -> Columns:
    """Return rows of random cgroups; most wait for nothing, some are odd in a way."""
    random = np.random.Generator(np.random.PCG64(n_cgroups))

    def few(n: int) -> Any:
        return random.integers(0, N_ROWS, n)

    step = random.integers(0, 2000, N_ROWS)
    # a silence in which workers are freed, and one in which only some are
    step[few(3)] += gap_ns
    step[few(6)] += gap_ns // 2
    issue = np.cumsum(step)
    issue.sort()
    took = random.integers(0, 1 << random.integers(1, 20, N_ROWS))
    took[few(50)] = 0
    took[few(20)] = 1 << 33
    complete = issue + took
    complete[few(50)] = -1
    n_bios = random.integers(1, 4, N_ROWS)
    n_bios[few(20)] = 1 << 17
    op = random.integers(READ, WRITE + 1, N_ROWS)
    op[few(60)] = DISCARD
    op[few(60)] = FLUSH
    issuer = random.integers(0, n_cgroups, N_ROWS).astype(np.uint32)
    return Columns(
        row=np.arange(N_ROWS, dtype=np.int64),
        queue_ns=issue - random.integers(0, 2, N_ROWS),
        issue_ns=issue,
        complete_ns=complete,
        sector=random.integers(0, 1 << 14, N_ROWS).astype(np.uint64),
        nbytes=random.integers(1, 64, N_ROWS).astype(np.uint32) * 512,
        n_bios=n_bios.astype(np.uint32),
        op=op.astype(np.int8),
        flags=np.zeros(N_ROWS, np.uint16),
        pid=issuer.astype(np.int32),
        issuer=issuer,
        recorded=issuer,
        device=random.integers(0, N_DEVICES, N_ROWS).astype(np.uint16),
        task=np.full(N_ROWS, NO_TASK, np.int32),
    )


@pytest.mark.parametrize("n_cgroups", [3, 900])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"policy": Policy.ROOT},
        {"policy": Policy.NAIVE, "backing_device": True},
        {"backing_device": True, "max_sectors": 40},
        {"root_has_worker": True},
        {"keeps_idle": False},
        {"alloc_fail_threshold": 1 << 60},
        {"max_active": np.full(N_DEVICES, 2, np.uint32)},
    ],
    ids=lambda fields: ", ".join(fields) or "as merged",
)
def test_bulk_counts_as_the_reference_does(
    n_cgroups: int, fields: dict[str, Any]
) -> None:
    # GIVEN cgroups of which some share a block cgroup, and so a worker
    values = {"policy": Policy.PER_CGROUP, "service": ServiceModel.RECORDED} | fields
    setup = setup_of(
        [-1, *[0] * (n_cgroups - 1)],
        direct_io=True,
        devices=np.arange(N_DEVICES, dtype=np.uint32) + (7 << 20),
        blkcg=np.maximum(np.arange(n_cgroups) // 2 * 2, 0).astype(np.uint32),
        **values,
    )
    columns = columns_of(n_cgroups, gap_ns=70_000_000_000)
    # THEN every table is the same
    found = run_engine(setup, columns, 3000)
    assert difference(run_reference(setup, columns), found) is None


def test_counts_of_32_bits_are_told_before_they_are_full() -> None:
    # GIVEN counts that are full after so few requests
    setup = setup_of(
        [-1, 0, 0],
        policy=Policy.PER_CGROUP,
        service=ServiceModel.RECORDED,
        direct_io=True,
        devices=np.arange(N_DEVICES, dtype=np.uint32) + (7 << 20),
    )
    columns = columns_of(3, gap_ns=1000)
    found = run_engine(setup, columns, tell_after=1500)
    # THEN nothing of them is lost
    assert difference(run_reference(setup, columns), found) is None


@pytest.mark.parametrize("last_s", [59, 60, 61, 119, 120, 121, 300])
def test_workers_are_freed_while_the_last_request_is_under_way(last_s: int) -> None:
    # GIVEN a worker that idles, AND a last request that ends long after it was counted
    setup = setup_of(
        policy=Policy.PER_CGROUP, service=ServiceModel.RECORDED, direct_io=True
    )
    columns = rows_of([write(0), write(1, complete_ns=last_s * SECOND)])
    # WHEN it is replayed with and without a row for every request
    found = run_engine(setup, columns)
    # THEN the timer has looked for idle workers until the very end
    assert difference(run_reference(setup, columns), found) is None
    assert found["workers"]["reaped_ns"].tolist() == [
        120 * SECOND if last_s > 120 else -1
    ]
