"""Let it run, charge back later: force, debt and delay (docs/model.md, Dispatch)."""

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from replay.engine.setup import BACKING_DEVICE, ArrivalMode, Policy, Setup
from replay.scenario.bind import bind
from replay.scenario.keys.load import Scenario
from support.engines import (
    ROOT,
    A,
    B,
    by_row,
    counted,
    pick,
    replayed,
    request,
    setup_of,
    write,
)
from support.traces import make_trace

US = 1000
HALF_MS = 500 * 137_438
PAID = ("issuer", "payer", "wbytes", "charged_bytes")


def owing(mode: ArrivalMode, *, modelled: bool = True) -> Setup:
    """Make a setup with direct I/O of which every page takes 500 us of the disk below.

    A period is 1 ms; an idle cgroup begins with half of it.
    """
    costs: dict[str, Any] = {
        "iocost_device": np.array([BACKING_DEVICE], np.int32),
        "iocost_coefficients": np.array([[HALF_MS, 0, 0] * 2]),
        "iocost_qos": np.array([[0, 0, 0, 0, 10**6, 10**6]]),
        "iocost_weight": np.array([[100, 100, 100]], np.uint32),
    }
    setup = setup_of(
        policy=Policy.BACKCHARGE,
        direct_io=True,
        tmpfs=False,
        backing_device=True,
        mode=mode,
    )
    return replace(setup, **costs) if modelled else setup


# --- memory


def test_pages_are_charged_beyond_the_limit_and_nobody_is_killed() -> None:
    # GIVEN room for two pages, and a task that could be killed
    setup = setup_of(
        policy=Policy.BACKCHARGE, limits={A: 2}, highs={A: 1}, tasks=[(A, 0, 1)]
    )
    raw = replayed(setup, write(0, pages=3, task=0))
    # THEN a has its three pages and one of their tree's node
    assert by_row(raw, "error", "memory_ns") == [(0, 0)]
    memory = {name: values[A] for name, values in raw["memory"].items()}
    assert (memory["own_shmem"], memory["current"]) == (3, 4)
    # AND each charge that did not fit is an event
    assert (memory["max"], memory["oom"], memory["high"]) == (2, 0, 0)
    assert not raw["kills"]["row"].tolist()
    # AND the I/O is the root's
    assert pick(raw, "charges", *PAID) == [(A, ROOT, 12288, 0), (A, A, 0, 12288)]


def test_one_queue_serves_everybody_as_the_root() -> None:
    setup = setup_of(policy=Policy.BACKCHARGE)
    raw = replayed(setup, write(0), write(100, B), request(200, op="flush"))
    assert by_row(raw, "dispatch_ns") == [0, 900, 1800]
    assert pick(raw, "workers", "cgroup", "commands") == [(ROOT, 3)]


# --- debt


def test_a_process_that_owes_sleeps_before_its_next_request() -> None:
    # GIVEN a process that writes 64 KiB, 8 ms of the disk, waits for it and thinks for
    # 100 ns
    rows = [write(0, pages=16), write(200, page=16, pages=16)]
    raw = replayed(owing(ArrivalMode.DEPENDENT), *rows)
    # THEN the write is done in 1 us, and a is 7.5 periods over its budget: it sleeps
    # for 250 us and (750 - 500) / 24500 of 249.75 ms
    delay_ns = (250 + 249_750 * 250 // 24_500) * US
    assert by_row(raw, "arrival_ns", "debt_ns", "completion_ns") == [
        (0, 0, 1000),
        (1100, delay_ns, 2100 + delay_ns),
    ]
    assert (counted(raw, "delays"), counted(raw, "delayed_ns")) == (1, delay_ns)
    # AND the root's io.stat has the I/O, a's has the usage
    assert raw["backing_io"]["cgroup"].tolist() == [ROOT]
    assert pick(raw, "cost", "cgroup", "usage_us") == [(A, 16_000)]


def test_with_recorded_arrivals_delays_are_counted_alone() -> None:
    rows = [write(0, pages=16), write(200, page=16, pages=16)]
    raw = replayed(owing(ArrivalMode.RECORDED), *rows)
    assert by_row(raw, "arrival_ns") == [0, 200]
    # 7.5 periods over at first, 15.5 then
    delays = [(250 + 249_750 * over // 24_500) * US for over in (250, 1050)]
    assert counted(raw, "delays") == 2
    assert counted(raw, "delayed_ns") == pytest.approx(sum(delays), rel=1e-3)


def test_who_owes_nothing_is_not_delayed() -> None:
    # GIVEN b's process beside a's, with a page each
    rows = [write(0, pages=16), request(0, B), request(200, B)]
    raw = replayed(owing(ArrivalMode.DEPENDENT), *rows)
    arrivals = dict(enumerate(by_row(raw, "arrival_ns")))
    assert arrivals[2] == 1100
    # AND a debt is paid in time: a page of half a ms, 10 s later, is free
    late = [write(0, pages=16), write(10**10, page=16)]
    paid = replayed(owing(ArrivalMode.DEPENDENT), *late)
    assert by_row(paid, "arrival_ns")[1] == 1000 + 10**10 - 100


def test_without_a_cost_model_nothing_is_owed() -> None:
    setup = owing(ArrivalMode.DEPENDENT, modelled=False)
    raw = replayed(setup, write(0, pages=16), write(200, page=16, pages=16))
    assert by_row(raw, "arrival_ns") == [0, 1100]
    assert counted(raw, "delays") == 0


# --- scenario


def notes_of(*overrides: str) -> list[str]:
    trace = make_trace()
    asked = ["driver.policy=backcharge", "trace.policy=per-cgroup", *overrides]
    told = Scenario.from_dict({}, overrides=asked)
    return [one for one in bind(told, trace).notes if "backcharge" in one]


def test_what_cannot_be_owed_or_delayed_is_noted() -> None:
    (note,) = notes_of()
    assert "only memory is charged back" in note
    below = [
        "driver.direct_io=true",
        "backing.device=254:32",
        "/io.cost.qos=254:32 enable=1",
    ]
    assert not notes_of(*below)
    recorded = notes_of(*below, "arrivals.mode=recorded")
    assert any("delays are counted" in note for note in recorded)
