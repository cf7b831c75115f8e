"""A loop device on a loop device: requests go on in another worker."""

from typing import Any

import numpy as np
import pytest

from replay.common.errors import ScenarioError
from replay.engine.raw import Raw
from replay.engine.setup import NO_LIMIT, NOT_REPLAYED, Policy, Setup
from replay.scenario.bind import bind
from replay.scenario.keys.load import Scenario
from replay.trace.file.schema import device_number
from support.engines import (
    ROOT,
    A,
    B,
    Row,
    by_row,
    counted,
    pick,
    replayed,
    request,
    setup_of,
    write,
)
from support.traces import DISK, FakeTrace, make_trace

MS = 10**6
OUTER, INNER = 0, 1


def nested(**fields: Any) -> Setup:
    """Make 7:0 on 7:1, which lies on tmpfs; a request's service is 1000 ns there."""
    return setup_of(
        **{
            "devices": np.array([7 << 20, 7 << 20 | 1], np.uint32),
            "nested": INNER,
            "lock_per_page": False,
            **fields,
        }
    )


def on(raw: Raw, device: int, *names: str) -> list[Any]:
    """Return columns of the rows of requests on a device, in the order of the rows."""
    order = np.argsort(raw["requests"]["row"], kind="stable")
    found = pick(raw, "requests", *names)
    devices = raw["requests"]["device"]
    return [found[position] for position in order if devices[position] == device]


def test_outer_workers_submit_and_inner_ones_serve() -> None:
    # GIVEN two writes of a and one of b at once, the inner file locked for a request
    rows = [write(0, pages=4), write(0, page=8, pages=4), write(0, B, page=20)]
    raw = replayed(nested(), *rows)
    # THEN above nobody waits; below a's second waits for a's worker, then behind b for
    # the lock
    assert on(raw, OUTER, "dispatch_ns", "device_ns") == [
        (0, 1000),
        (0, 3000),
        (0, 2000),
    ]
    names = ("dispatch_ns", "lock_ns", "device_ns", "issuer", "payer")
    assert on(raw, INNER, *names) == [
        (0, 0, 1000, A, A),
        (1000, 1000, 1000, A, A),
        (0, 1000, 1000, B, B),
    ]
    # AND pages are charged once, I/O on both devices
    assert pick(raw, "memory", "own_shmem") == [0, 8, 1]
    assert pick(raw, "io", "cgroup", "device", "wios", "wbytes") == [
        (A, OUTER, 2, 32768),
        (A, INNER, 2, 32768),
        (B, OUTER, 1, 4096),
        (B, INNER, 1, 4096),
    ]
    assert pick(raw, "workers", "device", "cgroup", "commands", "busy_ns") == [
        (OUTER, A, 2, 0),
        (OUTER, B, 1, 0),
        (INNER, A, 2, 3000),
        (INNER, B, 1, 2000),
    ]
    # AND who waited for whom stands below, by resource (worker 1, lock 2)
    assert pick(raw, "interference", "waiting", "blocking", "resource", "wait_ns") == [
        (A, A, 1, 1000),
        (A, B, 2, 1000),
        (B, A, 2, 1000),
    ]
    assert counted(raw, "completed") == 3


def test_the_payer_above_is_the_issuer_below() -> None:
    # GIVEN that no worker can be made: the root serves and pays on both devices
    raw = replayed(nested(alloc_fail_threshold=1 << 64), write(0))
    assert on(raw, OUTER, "issuer", "payer") == [(A, ROOT)]
    assert on(raw, INNER, "issuer", "payer") == [(ROOT, ROOT)]
    assert pick(raw, "memory", "own_shmem") == [1, 0, 0]
    # AND under policy root direct I/O was the issuer's, memory the root's
    raw = replayed(nested(policy=Policy.ROOT), write(0))
    assert on(raw, INNER, "issuer", "payer") == [(A, ROOT)]
    assert pick(raw, "memory", "own_shmem") == [1, 0, 0]


def test_a_flush_holds_the_worker_above_until_it_is_done_below() -> None:
    # GIVEN a write of the root that flushes wait behind, on the root's inner worker
    rows = [write(0, ROOT), request(0, A, "flush"), request(0, B, "flush")]
    raw = replayed(nested(), *rows)
    # THEN the second flush waits for the first above, the first for the write below
    assert on(raw, OUTER, "dispatch_ns", "device_ns") == [
        (0, 1000),
        (0, 2000),
        (2000, 1000),
    ]
    assert on(raw, INNER, "dispatch_ns") == [0, 1000, 0]


def test_a_discard_goes_no_further() -> None:
    rows = [write(0, pages=4), request(5000, A, "discard", pages=4)]
    raw = replayed(nested(), *rows)
    assert pick(raw, "memory", "own_shmem") == [0, 4, 0]
    assert on(raw, INNER, "row") == [0]
    assert on(raw, OUTER, "device_ns") == [1000, 1000]


def test_a_limit_below_fails_the_request_above_once() -> None:
    # GIVEN that a may have two pages (and there is nobody to kill)
    raw = replayed(nested(limits={A: 2}), write(0, pages=4), write(0, B))
    # THEN it is one request that failed
    assert counted(raw, "failed") == 1
    assert pick(raw, "errors", "cgroup", "errno", "count", "bytes") == [
        (A, 5, 1, 16384)
    ]
    assert on(raw, OUTER, "error") == [5, 0]


def test_limits_of_the_inner_device_hold_whatever_the_event() -> None:
    # GIVEN 10 writes a second on the inner device for a: one a slice of 100 ms
    none = np.array([NO_LIMIT])
    setup = nested(
        iomax_cgroup=np.array([A], np.uint32),
        iomax_device=np.array([INNER], np.int32),
        iomax_rbps=none,
        iomax_wbps=none,
        iomax_riops=none,
        iomax_wiops=np.array([10]),
    )
    raw = replayed(setup, write(0), write(0, page=5))
    # THEN the second waits there, and above that is time of the device
    assert on(raw, INNER, "throttle_ns") == [0, 100 * MS]
    assert on(raw, OUTER, "throttle_ns", "device_ns") == [
        (0, 1000),
        (0, 100 * MS + 1000),
    ]


def test_the_inner_device_has_its_tags() -> None:
    rows: list[Row] = [write(0, issuer, page=issuer) for issuer in (A, B)]
    raw = replayed(nested(tags=1), *rows)
    assert on(raw, INNER, "tag_ns") == [0, 1000]
    assert on(raw, OUTER, "tag_ns") == [0, 0]


def test_a_disk_below_is_the_inner_device_s() -> None:
    # GIVEN direct I/O on both, and a disk with one place
    setup = nested(direct_io=True, tmpfs=False, parallel=1, backing_device=True)
    raw = replayed(setup, write(0), write(0, page=9), write(0, B))
    # THEN the disk serves one after the other, and is charged once
    assert on(raw, OUTER, "device_ns") == [1000, 2000, 3000]
    assert pick(raw, "backing_io", "cgroup", "wios") == [(A, 2), (B, 1)]


def test_files_of_two_outer_devices_share_no_page() -> None:
    setup = nested(
        devices=np.array([7 << 20, 7 << 20 | 1, 7 << 20 | 2], np.uint32), nested=0
    )
    raw = replayed(setup, write(0, device=1), write(0, B, device=2))
    assert pick(raw, "memory", "own_shmem") == [0, 1, 1]


def test_what_comes_to_the_inner_device_itself_is_served_there_too() -> None:
    # GIVEN a write to the outer device, and one to the inner at the same time
    raw = replayed(nested(), write(0), write(0, page=9, device=INNER))
    # THEN they are served in order of their rows
    assert on(raw, INNER, "dispatch_ns") == [0, 1000]
    assert counted(raw, "requests") == counted(raw, "completed") == 2
    assert sorted(by_row(raw, "row")) == [0, 0, 1]


# -- the scenario ---------------------------------------------------------------------

LOOP0, LOOP1 = device_number("7:0"), device_number("7:1")
NAMES = {1: [(0, "kworker/u8:1")], 2: [(0, "jbd2/loop1-8")], 3: [(0, "fio")], 4: []}


def both() -> FakeTrace:
    rows = [{"device": LOOP0, "pid": 3}]
    rows += [{"device": LOOP1, "pid": pid} for pid in (1, 2, 3, 4)]
    return make_trace(rows, names=NAMES)


def test_rows_that_loop_workers_issued_are_made_by_the_replay() -> None:
    trace = both()
    binding = bind(Scenario.from_dict({"backing": {"loop": "7:1"}}), trace)
    # THEN those of the journal and of fio are the inner device's own
    found = binding.resolver.resolve(trace.rows[0]).device_idx.tolist()
    assert found == [OUTER, NOT_REPLAYED, INNER, INNER, NOT_REPLAYED]
    assert binding.setup.nested == INNER
    assert "backing.loop = 7:1: what loop workers issued" in "\n".join(binding.notes)


def test_the_inner_device_need_not_be_in_the_trace_nor_be_named() -> None:
    trace = make_trace([{"device": LOOP0}])
    binding = bind(Scenario.from_dict({"backing": {"loop": "7:4"}}), trace)
    assert (binding.device_names, binding.setup.nested) == (["7:0", "7:4"], 1)
    # GIVEN that it is, and left out: nothing of it is replayed
    trace = both()
    scenario = {"backing": {"loop": "7:1"}, "trace": {"devices": ["7:0"]}}
    binding = bind(Scenario.from_dict(scenario), trace)
    found = binding.resolver.resolve(trace.rows[0]).device_idx.tolist()
    assert found == [OUTER, *[NOT_REPLAYED] * 4]


@pytest.mark.parametrize(
    ("scenario", "rows", "message"),
    [
        ({"backing": {"loop": "254:32"}}, [{}], "254:32 is not a loop device"),
        ({"backing": {"loop": "7:0"}}, [{}], "no other loop device is replayed"),
        ({"backing": {"loop": "7:1"}}, [{"device": DISK}], "no other loop device"),
        (
            {"backing": {"loop": "7:1"}, "driver": {"policy": "pass-through"}},
            [{}],
            "pass-through has no loop devices",
        ),
        ({"backing": {"device": "7:0"}}, [{}], "name it as backing.loop"),
    ],
)
def test_what_cannot_be_nested_is_refused(
    scenario: dict[str, Any], rows: list[Row], message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        bind(Scenario.from_dict(scenario), make_trace(rows))
