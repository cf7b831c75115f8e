"""Requests that are counted as they arrive: the tables must not show it."""

from typing import Any

import numpy as np
import pytest

from replay.engine.columns import NO_TASK, Columns
from replay.engine.setup import Policy, ServiceModel, Setup
from support.engines import columns_of as rows_of
from support.engines import difference, run_engine, run_reference, setup_of, write

N_ROWS = 4000
N_DEVICES = 2
READ, WRITE, DISCARD, FLUSH = range(4)
SECOND = 10**9


def columns_of(n_cgroups: int, *, step_ns: int, discards: int) -> Columns:
    """Return rows of random cgroups, of which some queue and some find none waiting."""
    random = np.random.Generator(np.random.PCG64([n_cgroups, step_ns, discards]))

    def few(n: int) -> Any:
        return random.integers(0, N_ROWS, n)

    step = random.integers(0, step_ns, N_ROWS)
    # silences in which no worker, some and all have idled for a minute
    step[few(3)] += 29 * SECOND
    step[few(3)] += 59 * SECOND
    step[few(3)] += 130 * SECOND
    issue = np.cumsum(step)
    took = random.integers(0, 1 << random.integers(1, 16, N_ROWS))
    took[few(5)] = 70 * SECOND
    complete = issue + took
    complete[few(50)] = -1
    op = random.integers(READ, WRITE + 1, N_ROWS)
    op[few(discards)] = DISCARD
    op[few(20)] = FLUSH
    issuer = random.integers(0, n_cgroups, N_ROWS).astype(np.uint32)
    unseen = few(20)
    queue = issue - random.integers(0, 2, N_ROWS)
    queue[unseen] = issue[unseen]
    seen = issue.copy()
    seen[unseen] = -1
    return Columns(
        row=np.arange(N_ROWS, dtype=np.int64),
        queue_ns=queue,
        issue_ns=seen,
        complete_ns=complete,
        sector=random.integers(0, 1 << 13, N_ROWS).astype(np.uint64),
        nbytes=random.integers(1, 200, N_ROWS).astype(np.uint32) * 512,
        n_bios=random.integers(0, 4, N_ROWS).astype(np.uint32),
        op=op.astype(np.int8),
        flags=np.zeros(N_ROWS, np.uint16),
        pid=issuer.astype(np.int32),
        issuer=issuer,
        recorded=issuer,
        device=random.integers(0, N_DEVICES, N_ROWS).astype(np.uint16),
        task=np.full(N_ROWS, NO_TASK, np.int32),
    )


def setup_for(n_cgroups: int, policy: Policy, **fields: Any) -> Setup:
    """Return a setup of a tmpfs without limits; the last cgroups share a worker."""
    parents = [-1, *[0] * (n_cgroups - 1)]
    blkcg = np.arange(n_cgroups, dtype=np.uint32)
    blkcg[-2:] = max(0, n_cgroups - 3)
    return setup_of(
        parents,
        policy=policy,
        trace_policy=policy,
        service=ServiceModel.RECORDED,
        devices=np.array([7 << 20, 7 << 20 | 1], np.uint32),
        blkcg=blkcg,
        **fields,
    )


@pytest.mark.parametrize("discards", [0, 12, 600])
@pytest.mark.parametrize("step_ns", [1, 2000, 200_000_000])
@pytest.mark.parametrize("policy", [Policy.ROOT, Policy.NAIVE, Policy.PER_CGROUP])
def test_requests_counted_as_they_arrive_give_the_tables_of_events(
    policy: Policy, step_ns: int, discards: int
) -> None:
    # GIVEN writes that queue or do not, pages freed often or never, and silences
    setup = setup_for(7, policy)
    columns = columns_of(7, step_ns=step_ns, discards=discards)
    # WHEN the engine counts them as they arrive, and the reference by its events
    expected = run_reference(setup, columns)
    # THEN all tables are the same, and however the rows are cut into batches
    for batch_rows in (1 << 16, 333):
        assert difference(expected, run_engine(setup, columns, batch_rows)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"tmpfs": False},
        {"laid_out_by": 2},
        {"alloc_fail_threshold": 1 << 62},
        {"root_has_worker": True},
    ],
    ids=["pages of nobody", "laid out", "no workers at times", "root's own worker"],
)
def test_what_changes_who_serves_or_pays_changes_nothing_of_that(
    fields: dict[str, Any],
) -> None:
    setup = setup_for(90, Policy.PER_CGROUP, **fields)
    columns = columns_of(90, step_ns=3000, discards=12)
    found = run_engine(setup, columns, 1000)
    assert difference(run_reference(setup, columns), found) is None


@pytest.mark.parametrize("discards", [0, 12])
@pytest.mark.parametrize("step_ns", [2000, 200_000_000])
@pytest.mark.parametrize("policy", [Policy.ROOT, Policy.PER_CGROUP])
def test_a_trace_without_cgroups_is_counted_as_it_arrives_too(
    policy: Policy, step_ns: int, discards: int
) -> None:
    # GIVEN the root alone, whose pages are nobody's stock and whose worker never idles
    setup = setup_for(1, policy)
    columns = columns_of(1, step_ns=step_ns, discards=discards)
    # THEN it waits behind itself, and pays, as by the reference's events
    found = run_engine(setup, columns, 1000)
    assert difference(run_reference(setup, columns), found) is None


def test_a_file_of_more_leaves_than_the_caches_hold_changes_nothing() -> None:
    # GIVEN writes all over 32 GiB, of which most lie where nobody touched a page before
    setup = setup_for(7, Policy.PER_CGROUP)
    columns = columns_of(7, step_ns=2000, discards=12)
    random = np.random.Generator(np.random.PCG64(1))
    columns.sector[:] = random.integers(0, 1 << 26, len(columns.sector))
    columns.op[:] = np.where(columns.op == READ, WRITE, columns.op)
    for device in range(N_DEVICES):
        # more than PREFETCH_LEAVES of 2 MiB, each 4096 sectors
        leaves = np.unique(columns.sector[columns.device == device] >> 12)
        assert len(leaves) > 1500
    found = run_engine(setup, columns)
    assert difference(run_reference(setup, columns), found) is None


@pytest.mark.parametrize("n_cgroups", [7, 90])
def test_counts_of_32_bits_are_told_before_they_are_full(n_cgroups: int) -> None:
    # GIVEN counts that are full after so few requests, and workers with long queues
    setup = setup_for(n_cgroups, Policy.PER_CGROUP)
    columns = columns_of(n_cgroups, step_ns=100, discards=12)
    found = run_engine(setup, columns, tell_after=600)
    # THEN nothing of them is lost
    assert difference(run_reference(setup, columns), found) is None


@pytest.mark.parametrize("n_first", range(0, 18, 3))
def test_a_queue_grows_while_its_count_wraps_around(n_first: int) -> None:
    # GIVEN some commands one by one, then many at once: workers begin to count 16 ahead
    # of the end of 32 bits, so their rings grow across it
    setup = setup_of(policy=Policy.PER_CGROUP, service=ServiceModel.RECORDED)
    alone = [write(i * 1000, complete_ns=i * 1000 + 10) for i in range(n_first)]
    burst = [write(50_000, complete_ns=50_100 + i * 100) for i in range(60)]
    columns = rows_of([*alone, *burst])
    found = run_engine(setup, columns)
    # THEN each waited for all before it
    assert difference(run_reference(setup, columns), found) is None
    assert found["interference"]["count"].tolist() == [60 * 59 // 2]
