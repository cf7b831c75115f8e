"""The cost model against numbers worked out by hand, from the kernel's rules."""

from typing import Any

import numpy as np
import pytest

from replay.engine.setup import BACKING_DEVICE, ArrivalEvent, Resource, Setup
from replay.scenario.setup.iocost import PROFILES, coefficients_of
from support.engines import ROOT, A, B, by_row, pick, replayed, request, setup_of, write

US, MS = 1000, 10**6
PER_US = 137_438
#: A request of a page costs half a millisecond of the device.
HALF_MS = 500 * PER_US


def costed(
    parents: tuple[int, ...] = (-1, ROOT, ROOT),
    weights: tuple[int, ...] = (100, 100, 300),
    place: int = BACKING_DEVICE,
    **fields: Any,
) -> Setup:
    """Make a setup with a device of which every page takes 500 us, and nothing else."""
    return setup_of(
        parents,
        **{
            "direct_io": True,
            "tmpfs": False,
            "iocost_device": np.array([place], np.int32),
            "iocost_coefficients": np.array([[HALF_MS, 0, 0] * 2]),
            "iocost_qos": np.array([[0, 0, 0, 0, 10**6, 10**6]]),
            "iocost_weight": np.array([weights], np.uint32),
            **fields,
        },
    )


@pytest.mark.parametrize(
    ("profile", "microseconds"),
    [
        # page, sequential and random in us, reads then writes: what autop[] of
        # block/blk-iocost.c, v6.1, comes to
        ("hdd", (23.54, 0.44, 2679, 23.00, 0.42, 2623)),
        ("ssd", (8.38, 103.6, 109.0, 9.57, 25.2, 36.0)),
        ("ssd-fast", (1.32, 0.06, 0, 2.35, 0, 0)),
    ],
)
def test_coefficients_of_the_kernels_own_models(
    profile: str, microseconds: tuple[float, ...]
) -> None:
    rates, _ = PROFILES[profile]
    found = [*coefficients_of(*rates[:3]), *coefficients_of(*rates[3:])]
    assert [one / PER_US for one in found] == pytest.approx(
        microseconds, rel=0.005, abs=0.006
    )


def test_a_lone_group_spends_half_a_period_and_then_waits_for_the_clock() -> None:
    # GIVEN three reads at once; a period is 1 ms, so the group begins with 500 us
    raw = replayed(costed(), request(0), request(0), request(0))
    # THEN the first goes at once; the others when 500 us more have come, and twice the
    # slack of 10 us: the second is 20 us late, so the third is short of 480 us
    waits = [backing + dispatch for backing, dispatch in waits_of(raw)]
    assert waits == [0, 520 * US, 1020 * US]
    # AND only the second waited in the worker while the third waited for the worker
    assert waits_of(raw)[2] == (500 * US, 520 * US)
    assert pick(raw, "cost", "cgroup", "usage_us") == [(A, 1500)]
    waited = pick(raw, "interference", "waiting", "blocking", "resource", "wait_ns")
    assert waited == [
        (A, A, Resource.WORKER, 520 * US),
        (A, A, Resource.THROTTLE, 1020 * US),
    ]


def waits_of(raw: Any) -> list[tuple[int, int]]:
    return [tuple(row) for row in by_row(raw, "backing_ns", "dispatch_ns")]


def test_two_groups_share_by_weight() -> None:
    # GIVEN 40 reads of each at once, weights 100 and 300
    rows = [request(0, cgroup, page=i) for i in range(40) for cgroup in (A, B)]
    raw = replayed(costed(), *rows)
    done: dict[int, list[int]] = {A: [], B: []}
    for issuer, completion in pick(raw, "requests", "issuer", "completion_ns"):
        done[issuer].append(completion)
    # THEN 40 of b take 40 * 500 us / (3/4); meanwhile a has had a third of that
    b_took = max(done[B])
    assert b_took == pytest.approx(40 * 500 * US * 4 / 3, rel=0.05)
    assert sum(at <= b_took for at in done[A]) == pytest.approx(40 / 3, abs=1.5)
    # AND together they take what the device takes
    assert max(done[A]) == pytest.approx(80 * 500 * US, rel=0.05)


def test_root_and_inner_groups_pay_nothing() -> None:
    # GIVEN a below the root and b below a, which is active when a's read comes
    setup = costed((-1, ROOT, A))
    rows = [request(0, B, page=i) for i in range(3)]
    raw = replayed(setup, *rows, request(10, A), request(10, ROOT))
    # THEN only b's cost anything
    assert pick(raw, "cost", "cgroup", "usage_us") == [(B, 1500)]
    assert by_row(raw, "backing_ns")[3:] == [0, 0]


def test_a_seek_costs_beyond_16_mib() -> None:
    # GIVEN a model where only random writes cost, 1 ms
    setup = costed(iocost_coefficients=np.array([[0, 0, 0, 1, 0, 1000 * PER_US]]))
    far = 4096 + 1
    pages = [0, 1, 2 + 4096, 3 + 4096 + far, 3 + 4096 + far + 1]
    rows = [write(i * 10**9, page=page) for i, page in enumerate(pages)]
    raw = replayed(setup, *rows)
    # THEN the fourth alone, and pages next to nothing
    assert pick(raw, "cost", "usage_us") == [1000]


def test_on_the_traced_device_the_issuer_waits_not_the_worker() -> None:
    setup = costed(place=0, event=ArrivalEvent.QUEUE, direct_io=False, tmpfs=True)
    raw = replayed(setup, request(0), request(0), request(0, B))
    # b's arrival changes a's share to a quarter, so it waits for more
    waits = by_row(raw, "throttle_ns")
    assert waits[0] == 0
    assert waits[1] > 520 * US
    assert set(by_row(raw, "backing_ns")) == {0}
    assert sorted(pick(raw, "cost", "cgroup", "device")) == [(A, 0), (B, 0)]


def test_discards_and_flushes_cost_nothing() -> None:
    raw = replayed(costed(), *(request(0, op=op) for op in ("discard", "flush")))
    assert pick(raw, "cost", "usage_us") == []


def test_a_saturated_device_is_slowed_down() -> None:
    # GIVEN a target of 1 us that half of the reads must keep, and reads of 10 us
    setup = costed(
        iocost_coefficients=np.array([[PER_US, 0, 0] * 2]),
        iocost_qos=np.array([[500_000, 1, 0, 0, 10_000, 10**6]]),
        read_base_ns=10 * US,
    )
    quick = costed(
        iocost_coefficients=np.array([[PER_US, 0, 0] * 2]), read_base_ns=10_000
    )
    rows = [request(i * 10**6, page=i) for i in range(400)]
    rows += [request(400 * 10**6, page=i) for i in range(400, 1200)]
    slow, fast = replayed(setup, *rows), replayed(quick, *rows)
    # THEN after some 50 periods the rate is far lower, and a burst takes longer
    assert end_of(slow) - 400 * 10**6 > 2 * (end_of(fast) - 400 * 10**6)


def end_of(raw: Any) -> int:
    return int(max(pick(raw, "requests", "completion_ns")))


def test_a_pause_ends_in_the_microsecond_in_which_it_began() -> None:
    # GIVEN a read in flight for just over 16 ms: a period went by untouched, so
    # none runs from 16 ms on
    setup = costed(
        iocost_coefficients=np.array([[PER_US, 0, 0] * 2]), read_base_ns=16 * MS + 100
    )
    # WHEN it completes in that very microsecond, and something comes later
    raw = replayed(setup, request(0), request(100 * MS, B))
    # THEN the model goes on
    assert pick(raw, "cost", "cgroup", "usage_us") == [(A, 1), (B, 1)]
