"""Requests at the ends of 64 bits: what the engine refuses, and what it bears."""

import numpy as np
import pytest

from replay.common.errors import ModelError
from replay.engine.setup import (
    NO_LIMIT,
    ArrivalEvent,
    ArrivalMode,
    Policy,
    ServiceModel,
    Setup,
)
from support.engines import (
    PAGE,
    A,
    columns_of,
    pick,
    replayed,
    request,
    run_engine,
    setup_of,
    write,
)

LONGEST = (1 << 53) - 1
IN_208_DAYS = "a request would wait until more than 208 days"


def limited(bps: int) -> Setup:
    """Make a setup with ``wbps`` for a on the traced device."""
    none = np.array([NO_LIMIT], np.int64)
    return setup_of(
        event=ArrivalEvent.QUEUE,
        iomax_cgroup=np.array([A], np.uint32),
        iomax_device=np.array([0], np.int32),
        iomax_rbps=none,
        iomax_wbps=np.array([bps], np.int64),
        iomax_riops=none,
        iomax_wiops=none,
    )


@pytest.mark.parametrize("n_writers", [8, 64])
def test_long_writes_that_share_the_lock_end_the_run_and_do_not_hang_it(
    n_writers: int,
) -> None:
    # GIVEN 26 days of work for each of many writers: together far beyond 208
    setup = setup_of(range(-1, n_writers), write_base_ns=LONGEST >> 1)
    setup.parent[1:] = 0
    rows = [write(0, issuer, page=issuer) for issuer in range(1, n_writers + 1)]
    # THEN that is refused in words
    with pytest.raises(ModelError, match=IN_208_DAYS):
        run_engine(setup, columns_of(rows))


@pytest.mark.parametrize("mode", list(ArrivalMode))
def test_a_queue_of_long_requests_is_refused_before_times_overflow(
    mode: ArrivalMode,
) -> None:
    setup = setup_of(policy=Policy.ROOT, read_base_ns=LONGEST, mode=mode)
    with pytest.raises(ModelError, match=IN_208_DAYS):
        run_engine(setup, columns_of([request(row) for row in range(1100)]))


def test_a_limit_that_holds_a_request_for_years_is_refused() -> None:
    # GIVEN a byte a second, and 2 GiB
    with pytest.raises(ModelError, match=IN_208_DAYS):
        run_engine(limited(1), columns_of([write(0, pages=1 << 19)]))


def test_a_limit_that_holds_a_request_for_an_hour_is_not() -> None:
    raw = run_engine(limited(1), columns_of([write(0), write(1)]))
    assert raw["counts"]["completed"].tolist() == [2]


@pytest.mark.parametrize("mode", list(ArrivalMode))
@pytest.mark.parametrize("column", ["queue_ns", "issue_ns", "complete_ns"])
def test_a_row_of_more_than_104_days_is_named(column: str, mode: ArrivalMode) -> None:
    late = request(LONGEST) | {column: LONGEST + 1}
    if column == "queue_ns":
        late["issue_ns"] = LONGEST + 1
    rows = [request(0), late]
    with pytest.raises(ModelError, match="row 1: a time of more than 104 days"):
        run_engine(setup_of(mode=mode), columns_of(rows))


@pytest.mark.parametrize("laid_out_by", [-1, A])
def test_a_discard_behind_the_last_whole_page_frees_what_lies_there(
    laid_out_by: int,
) -> None:
    # GIVEN a write and a discard from the last sector that 64 bits hold
    last = (1 << 64) - 1
    setup = setup_of(laid_out_by=laid_out_by)
    raw = replayed(
        setup,
        write(0, A, pages=2, sector=last),
        request(9, A, "discard", pages=2, sector=last),
    )
    # THEN the one page that lies wholly inside is given back, and soon
    assert pick(raw, "charges", "uncharged_bytes") == [PAGE]


def test_waits_whose_sum_has_no_room_are_refused() -> None:
    # GIVEN 600 requests of 104 days at once, by direct I/O: 2**62.2 ns in sum
    setup = setup_of(
        direct_io=True, trace_direct_io=True, service=ServiceModel.RECORDED
    )
    rows = [request(0, complete_ns=LONGEST) for _ in range(600)]
    with pytest.raises(ModelError, match="146 years in sum"):
        run_engine(setup, columns_of(rows))
