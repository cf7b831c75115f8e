"""What the policies' definitions imply of one another, whatever the requests."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from replay.engine.columns import Columns
from replay.engine.raw import Raw
from replay.engine.setup import (
    BACKING_DEVICE,
    ArrivalEvent,
    ArrivalMode,
    Policy,
    ServiceModel,
    Setup,
)
from support.engines import difference, run_engine, run_reference
from support.strategies import DISCARD, FLUSH, columns_for, setups

NONE: dict[str, Any] = {
    name: np.zeros(0, dtype)
    for name, dtype in {
        "iomax_cgroup": np.uint32,
        "iomax_device": np.int32,
        **dict.fromkeys(
            ("iomax_rbps", "iomax_wbps", "iomax_riops", "iomax_wiops"),
            np.int64,
        ),
        "task_cgroup": np.uint32,
        "task_rss": np.int64,
        "task_adj": np.int64,
        "task_requests": np.int64,
        "task_always": np.bool_,
        "task_kernel": np.bool_,
    }.items()
}
NO_COSTS: dict[str, Any] = {
    "iocost_device": np.zeros(0, np.int32),
    "iocost_coefficients": np.zeros((0, 6), np.int64),
    "iocost_qos": np.zeros((0, 6), np.int64),
    "iolatency_device": np.zeros(0, np.int32),
    "iolatency_requests": np.zeros(0, np.int64),
    "iolatency_rotates": np.zeros(0, np.bool_),
}


@st.composite
def direct_runs(draw: st.DrawFn, /) -> tuple[Setup, Columns]:
    """Return direct I/O without limits, each process in one cgroup, and no flushes.

    A workqueue that runs one worker at a time serves in another order: none is here.
    """
    setup = draw(
        setups(
            direct_io=True,
            nested=-1,
            tmpfs=True,
            service=ServiceModel.LINEAR,
            event=ArrivalEvent.ISSUE,
            mode=ArrivalMode.RECORDED,
            max_active=np.zeros(0, np.uint32),
            alloc_fail_threshold=0,
            alloc_fail_rows=np.zeros(0, np.int64),
            **NONE,
            **NO_COSTS,
        )
    )
    setup = replace(
        setup,
        blkcg=np.arange(len(setup.parent), dtype=np.uint32),
        iocost_weight=np.zeros((0, len(setup.parent)), np.uint32),
        iolatency_target=np.zeros((0, len(setup.parent)), np.int64),
    )
    columns = draw(columns_for(setup))
    pid = columns.issuer.astype(np.int32) * 8 + columns.pid
    op = np.where(columns.op == FLUSH, DISCARD, columns.op).astype(np.int8)
    return setup, replace(columns, pid=pid, op=op)


def ends(setup: Setup, columns: Columns, policy: Policy) -> NDArray[np.int64]:
    """Return when each request was done, in the order of the rows."""
    raw: Raw = run_engine(replace(setup, policy=policy), columns)
    order = np.argsort(raw["requests"]["row"])
    end: NDArray[np.int64] = raw["requests"]["completion_ns"][order].astype(np.int64)
    return end


@given(direct_runs())
def test_more_servers_never_let_anybody_wait_longer(
    run: tuple[Setup, Columns],
) -> None:
    # GIVEN direct I/O, where a server is held by discards alone
    found = {policy: ends(*run, policy) for policy in Policy}
    # THEN no request is later with a server for each thread than for each cgroup, with
    # one for each cgroup than with one for all, and with none at all than with any
    assert (found[Policy.PASS_THROUGH] <= found[Policy.SYNCHRONOUS]).all()
    assert (found[Policy.SYNCHRONOUS] <= found[Policy.PER_CGROUP]).all()
    assert (found[Policy.PER_CGROUP] <= found[Policy.NAIVE]).all()
    # AND one queue is one queue, whoever pays
    assert (found[Policy.NAIVE] == found[Policy.ROOT]).all()
    assert (found[Policy.NAIVE] == found[Policy.INSTANCE]).all()
    assert (found[Policy.NAIVE] == found[Policy.BACKCHARGE]).all()


@given(st.data(), st.integers(10, 10**5))
def test_debts_and_delays_are_the_references(data: st.DataObject, page_us: int) -> None:
    # GIVEN a disk below of which a page takes so long that cgroups come to owe
    no_limits = NONE | NO_COSTS
    setup = data.draw(
        setups(policy=Policy.BACKCHARGE, direct_io=True, nested=-1, **no_limits)
    )
    setup = replace(
        setup,
        blkcg=np.arange(len(setup.parent), dtype=np.uint32),
        iocost_device=np.array([BACKING_DEVICE], np.int32),
        iocost_coefficients=np.array([[page_us * 137_438, 0, 0] * 2]),
        iocost_qos=np.array([[0, 0, 0, 0, 10**6, 10**6]]),
        iocost_weight=np.full((1, len(setup.parent)), 100, np.uint32),
        iolatency_target=np.zeros((0, len(setup.parent)), np.int64),
    )
    columns = data.draw(columns_for(setup))
    raw = run_engine(setup, columns)
    assert difference(run_reference(setup, columns), raw) is None
    # THEN nobody waits below, and with recorded arrivals all come when they came
    assert not raw["requests"]["backing_ns"].any()
    if setup.mode == ArrivalMode.RECORDED and setup.event == ArrivalEvent.ISSUE:
        issue, queue = columns.issue_ns, columns.queue_ns
        came = np.where(issue < 0, queue, issue)[raw["requests"]["row"]]
        assert (raw["requests"]["arrival_ns"] == came).all()
