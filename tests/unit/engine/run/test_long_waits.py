"""A limit that takes days: as many events as there is work, whatever the time."""

from typing import Any

import numpy as np
import pytest

from replay.common.errors import ModelError
from replay.engine._engine import Engine
from replay.engine._service import Services
from replay.engine.setup import NO_LIMIT, ArrivalEvent, Setup
from support.engines import A, B, by_row, columns_of, replayed, request, setup_of, write

S = 10**9
DAY = 86_400 * S


def limited(**limits: int) -> Setup:
    """Make a setup with limits for A on the traced device, tmpfs and linear service."""
    rates = ("rbps", "wbps", "riops", "wiops")
    fields: dict[str, Any] = {
        f"iomax_{one}": np.array([limits.get(one, NO_LIMIT)], np.int64) for one in rates
    }
    return setup_of(
        event=ArrivalEvent.QUEUE,
        iomax_cgroup=np.array([A], np.uint32),
        iomax_device=np.array([0], np.int32),
        **fields,
    )


def events(setup: Setup, rows: list[dict[str, Any]]) -> int:
    """Count the engine's events."""
    columns = columns_of(rows)
    services, engine = Services(setup), Engine(setup, False)
    service = np.empty(len(columns), np.int64)
    services.fill(columns, service)
    services.end()
    engine.feed(columns, service)
    n = 1
    while engine.advance(1):
        n += 1
    return n


@pytest.mark.parametrize("op", ["read", "write"])
def test_one_byte_a_second_is_one_wait_a_request(op: str) -> None:
    # GIVEN 40 requests of 4 KiB under 1 B/s: 1.9 days; b is not limited
    rows = [request(i * 1000, A, op, page=i) for i in range(40)]
    rows += [write(S + i, B, page=100 + i) for i in range(10)]
    setup = limited(**{f"{op[0]}bps": 1})
    done = by_row(replayed(setup, *rows), "completion_ns")
    assert 1.8 * DAY < done[39] < 2 * DAY
    assert max(done[40:]) < 2 * S
    # THEN a timer, a completion and an arrival each, and a few of idle workers
    assert events(setup, rows) < 4 * len(rows) + 10


def test_ios_wait_slice_by_slice_as_on_6_1_and_no_longer_than_their_number() -> None:
    # GIVEN 20 requests of 50 bios under 1 I/O a second: 1,000 s in slices of 100 ms
    rows = [write(i * 1000, A, page=i, n_bios=50) for i in range(20)]
    setup = limited(wiops=1)
    done = by_row(replayed(setup, *rows), "completion_ns")
    assert 900 * S < done[19] < 1100 * S
    assert events(setup, rows) < 11 * 1000


def test_a_wait_beyond_what_time_holds_is_refused_at_once() -> None:
    rows = [write(i * 1000, A, page=i, pages=1024) for i in range(80)]
    with pytest.raises(ModelError, match="wait"):
        events(limited(wbps=1), rows)
