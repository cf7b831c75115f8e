"""Engine and reference over so many cgroups and rows that tables grow and sort."""

from typing import Any

import numpy as np
import pytest

from replay.engine.columns import NO_TASK, Columns
from replay.engine.setup import ArrivalEvent, Policy, ServiceModel
from support.engines import difference, run_engine, run_reference, setup_of

N_ROWS = 6000


def columns_of(n_cgroups: int) -> Columns:
    """Return reads and writes at random places, by random cgroups."""
    random = np.random.Generator(np.random.PCG64(n_cgroups))
    issue = np.sort(random.integers(0, N_ROWS * 400, N_ROWS))
    issuer = random.integers(0, n_cgroups, N_ROWS).astype(np.uint32)
    return Columns(
        row=np.arange(N_ROWS, dtype=np.int64),
        queue_ns=issue,
        issue_ns=issue,
        complete_ns=issue + random.integers(0, 1 << random.integers(1, 20), N_ROWS),
        sector=random.integers(0, 1 << 14, N_ROWS).astype(np.uint64),
        nbytes=random.integers(1, 64, N_ROWS).astype(np.uint32) * 512,
        n_bios=np.ones(N_ROWS, np.uint32),
        op=random.integers(0, 2, N_ROWS).astype(np.int8),
        flags=np.zeros(N_ROWS, np.uint16),
        pid=issuer.astype(np.int32),
        issuer=issuer,
        recorded=issuer,
        device=random.integers(0, 2, N_ROWS).astype(np.uint16),
        task=np.full(N_ROWS, NO_TASK, np.int32),
    )


@pytest.mark.parametrize("n_cgroups", [3, 700])
@pytest.mark.parametrize(
    "fields",
    [
        {"direct_io": True, "service": ServiceModel.RECORDED},
        {"tmpfs": True, "service": ServiceModel.RECORDED},
        {"tmpfs": True, "lock_per_page": True, "event": ArrivalEvent.QUEUE, "tags": 9},
    ],
    ids=["direct", "tmpfs", "all stages"],
)
def test_engine_agrees_with_the_reference_over_many(
    n_cgroups: int, fields: dict[str, Any]
) -> None:
    # GIVEN cgroups whose histograms do not all lie near each other, and more values
    # than are counted at once
    setup = setup_of(
        [-1, *[0] * (n_cgroups - 1)],
        policy=Policy.PER_CGROUP,
        devices=np.array([7 << 20, (7 << 20) + 1], np.uint32),
        **fields,
    )
    columns = columns_of(n_cgroups)
    # THEN every table is the same
    found = run_engine(setup, columns, 1000)
    assert difference(run_reference(setup, columns), found) is None
