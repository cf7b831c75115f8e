"""What may pass a limit and pays later, and what a request of several bios counts."""

from typing import Any

import numpy as np

from replay.engine.setup import NO_LIMIT, ArrivalEvent, ArrivalMode, Setup
from replay.trace.file.schema import FLAGS
from support.engines import ROOT, A, B, by_row, pick, replayed, request, setup_of

US, MS = 10**3, 10**6
PER_US = 137_438
META = FLAGS["meta"]


def costed(**fields: Any) -> Setup:
    """Make a traced device of which every page takes 500 us."""
    return setup_of(
        **{
            "direct_io": True,
            "tmpfs": False,
            "event": ArrivalEvent.QUEUE,
            "iocost_device": np.array([0], np.int32),
            "iocost_coefficients": np.array([[500 * PER_US, 0, 0] * 2]),
            "iocost_qos": np.array([[0, 0, 0, 0, 10**6, 10**6]]),
            "iocost_weight": np.array([[100, 100, 100]], np.uint32),
            **fields,
        }
    )


def test_meta_goes_at_once_and_is_owed() -> None:
    # GIVEN a read that uses the budget up, a META one, and one more
    raw = replayed(costed(), request(0), request(0, flags=META), request(0))
    first, meta, last = by_row(raw, "throttle_ns")
    # THEN META does not wait; the last one waits until the debt is paid at the end of
    # the period, 8 ms (a timer of one tick of 4 ms fires with the second)
    assert (first, meta) == (0, 0)
    assert 500 * US < last <= 8 * MS
    assert pick(raw, "cost", "cgroup", "usage_us", "indebt_us") == [
        (A, 1500, last // US)
    ]
    # AND below the driver it is the worker's I/O, which is not META
    below = costed(iocost_device=np.array([-1], np.int32))
    raw = replayed(below, request(0), request(0, flags=META))
    assert by_row(raw, "backing_ns") == [0, 520 * US]


def test_debt_delays_the_process_and_no_kernel_thread() -> None:
    # GIVEN 14 META reads of one process at once: the 12th makes its group owe 5.5
    # periods of 1 ms, 50 points above the 500 % where delays begin
    rows = [request(0, flags=META, page=i) for i in range(14)]
    setup = costed(mode=ArrivalMode.DEPENDENT)
    delay = (250 + 249_750 * 50 // 24_500) * US
    # THEN the process sleeps that long ahead of the 13th; by then less is owed, but a
    # delay only halves by the second
    raw = replayed(setup, *rows)
    assert by_row(raw, "debt_ns") == [0] * 12 + [delay, delay]
    assert by_row(raw, "arrival_ns") == [0] * 13 + [delay]
    starts = by_row(raw, "start_ns")
    assert starts[12:] == [delay, 2 * delay]
    # AND a thread of the kernel never returns to be delayed
    thread = costed(
        mode=ArrivalMode.DEPENDENT, kernel_pids=np.array([rows[0]["pid"]], np.int32)
    )
    assert by_row(replayed(thread, *rows), "arrival_ns") == [0] * 14


def limited(**fields: Any) -> Setup:
    """Make a limit of 10 reads a second on the traced device for a."""
    none = np.array([NO_LIMIT])
    return setup_of(
        **{
            "event": ArrivalEvent.QUEUE,
            "iomax_cgroup": np.array([A], np.uint32),
            "iomax_device": np.array([0], np.int32),
            "iomax_rbps": none,
            "iomax_wbps": none,
            "iomax_riops": np.array([10]),
            "iomax_wiops": none,
            **fields,
        }
    )


def test_each_bio_of_a_request_counts_for_io_max() -> None:
    # GIVEN one I/O in a slice of 100 ms, and a request that merged three bios
    rows = [request(0, n_bios=3), request(0, B, n_bios=3)]
    # THEN it waits for the third slice to begin
    assert by_row(replayed(limited(), *rows), "throttle_ns") == [200 * MS, 0]
    # AND below the driver the worker makes one bio of it
    below = limited(iomax_device=np.array([-1], np.int32), direct_io=True, tmpfs=False)
    raw = replayed(below, *rows)
    assert by_row(raw, "throttle_ns", "backing_ns") == [(0, 0), (0, 0)]


def test_meta_passes_io_max_from_6_12_on_and_later_ones_pay() -> None:
    rows = [request(0), request(0, flags=META), request(1)]
    # GIVEN the kernel before, THEN META waits as others do
    before = by_row(replayed(limited(), *rows), "throttle_ns")
    assert before[1] > 0
    # AND since: it passes, and the next one waits for its slice too
    since = by_row(replayed(limited(iomax_meta_debt=True), *rows), "throttle_ns")
    assert since[:2] == [0, 0]
    assert since[2] > 100 * MS
    assert ROOT not in pick(replayed(limited(), *rows), "interference", "waiting")
