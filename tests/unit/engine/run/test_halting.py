"""Compiled loops over many rows come back when a signal's handler raises."""

import signal
from collections.abc import Callable, Iterator
from types import FrameType

import numpy as np
import pytest
from numpy.typing import NDArray

from replay.common.errors import ModelError
from replay.engine._service import Services
from replay.engine.columns import NO_TASK, Columns
from replay.engine.setup import Policy, ServiceModel
from support.engines import setup_of

#: The loops take some 60 ms over them; the kernel looks at timers every 4 ms or so.
N_ROWS = 1_000_000


class Alarmed(Exception):
    """What the handler raises."""


@pytest.fixture
def alarm() -> Iterator[Callable[[], None]]:
    """Set a signal that comes once the process has worked for 4 ms from then on.

    Its own time, the kernel's for it too (new memory is much of that): so it comes in
    the middle of the work however busy the machine.
    """

    def handler(number: int, frame: FrameType | None) -> None:
        raise Alarmed

    def begin() -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.004)

    before = signal.signal(signal.SIGPROF, handler)
    yield begin
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


def all_open() -> tuple[Services, Columns, NDArray[np.int64]]:
    """Return rows that complete in the opposite of their order, when all are issued."""
    zeros = np.zeros(N_ROWS, np.uint32)
    times = np.arange(N_ROWS, dtype=np.int64)
    columns = Columns(
        row=times,
        queue_ns=times,
        issue_ns=times,
        complete_ns=3 * N_ROWS - times,
        sector=np.zeros(N_ROWS, np.uint64),
        nbytes=zeros,
        n_bios=zeros + np.uint32(1),
        op=np.ones(N_ROWS, np.int8),
        flags=np.zeros(N_ROWS, np.uint16),
        pid=np.ones(N_ROWS, np.int32),
        issuer=zeros,
        recorded=zeros,
        device=np.zeros(N_ROWS, np.uint16),
        task=np.full(N_ROWS, NO_TASK, np.int32),
    )
    setup = setup_of(service=ServiceModel.RECORDED, trace_policy=Policy.PER_CGROUP)
    return Services(setup), columns, np.empty(N_ROWS, np.int64)


def test_rows_that_are_taken_in_for_their_service(alarm: Callable[[], None]) -> None:
    services, columns, out = all_open()
    alarm()
    with pytest.raises(Alarmed):
        services.fill(columns, out)
    # THEN it was the compiled loop that was left, and it is not gone on with
    with pytest.raises(ModelError, match="interrupted"):
        services.end()


def test_rows_that_are_settled_at_the_end(alarm: Callable[[], None]) -> None:
    services, columns, out = all_open()
    services.fill(columns, out)
    alarm()
    with pytest.raises(Alarmed):
        services.end()
    with pytest.raises(ModelError, match="interrupted"):
        services.fill(columns, out)
