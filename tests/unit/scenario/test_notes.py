"""What a binding tells about estimates and what is not modelled."""

from typing import Any

import pytest
from msgspec.structs import replace

from replay.scenario.bind import bind
from replay.scenario.keys.load import Scenario
from support.traces import DISK, LOOP, FakeTrace, make_trace


def notes_of(
    trace: FakeTrace, scenario: dict[str, Any] | None = None, *overrides: str
) -> list[str]:
    # a named file system: without one much that is asked gives a note (test_assumed.py)
    named = ("backing.filesystem=tmpfs", *overrides)
    made = Scenario.from_dict(scenario or {}, overrides=named)
    return bind(made, trace).notes


def test_scenario_that_is_modelled_has_no_notes() -> None:
    assert notes_of(make_trace()) == []


def test_limit_that_says_nothing_is_not_noted() -> None:
    overrides = [
        "/test.slice/memory.high=max",
        "/test.slice/memory.low=0",
        "/test.slice/io.weight=default 100",
        "/test.slice/io.max=",
        # a loop worker cannot swap: the limit changes nothing
        "/test.slice/memory.swap.max=0",
        "machine.cpus=2",
    ]
    assert notes_of(make_trace(), {}, *overrides) == []


#: With the linear model: a device that was measured, and arrivals that wait for it.
OF_A_USER = ["service.write.base_ns=9000", "arrivals.mode=dependent"]


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        (["/test.slice/io.max=7:0 wbps=5"], "estimate"),
        (["driver.kernel=6.12.50"], "6.12.50"),
        (
            ["backing.filesystem=ext4", "service.model=linear", *OF_A_USER],
            "cached pages",
        ),
        (["backing.filesystem=raw", "backing.size=1G"], "backing.size = 1G"),
        (["driver.policy=root"], "trace.policy is not given"),
        (["/test.slice/io.max=8:0 wbps=5"], "neither replayed nor backing.device"),
        (
            ["/test.slice/io.max=7:0 wbps=5", "arrivals.event=issue"],
            "--set arrivals.event=queue",
        ),
        (
            ["/test.slice/io.max=8:0 wbps=5", "backing.device=8:0"],
            "below the page cache of tmpfs is no device",
        ),
        (
            [
                "/test.slice/io.max=8:0 wbps=5",
                "backing.device=8:0",
                "backing.filesystem=ext4",
            ],
            "it holds direct I/O alone",
        ),
        (["/tset.slice/memory.max=64M"], "did you mean /test.slice?"),
        (
            ["/test.slice/memory.high=64"],
            "/test.slice: memory.high = 64 is in bytes and less than a page, so "
            'every charge is above it; "64M" would be in MiB',
        ),
        (["/test.slice/id=23", "/other/id=24"], "/other: no request"),
        (['assign=[{pid=5,cgroup="/a"}]'], "assign[0] matches no request"),
        (['assign=[{comm="java",cgroup="/a"}]'], "assign[0] matches no request"),
        (['assign=[{device="8:0",cgroup="/a"}]'], "assign[0] matches no request"),
        (['assign=[{volume="v",cgroup="/a"}]'], "assign[0] matches no request"),
    ],
)
def test_estimate_or_vain_entry_is_noted(overrides: list[str], word: str) -> None:
    (note,) = notes_of(make_trace(), {}, *overrides)
    assert word in note


def test_page_cache_needs_no_note() -> None:
    assert notes_of(make_trace(), {}, "backing.filesystem=ext4") == []


def test_direct_io_on_ext4_needs_no_note() -> None:
    overrides = ["backing.filesystem=ext4", "driver.direct_io=true"]
    assert notes_of(make_trace(), {}, *overrides) == []


def test_loop_and_other_devices_together_are_noted() -> None:
    trace = make_trace([{"device": DISK}, {"device": LOOP}])
    (note,) = notes_of(trace, {}, "trace.devices=7:0,254:32")
    assert "loop devices and others" in note


def test_trace_without_any_id_is_noted_until_rules_help() -> None:
    trace = make_trace([{"cgroup": 0}])
    (note,) = notes_of(trace)
    assert (
        "no request carries a cgroup id: all are the root's, and so is the worker"
        in note
    )
    (note,) = notes_of(make_trace([{"cgroup": 0, "device": DISK}]))
    assert "no request carries a cgroup id: all are the root's; record" in note
    assert notes_of(trace, {"assign": [{"pid": 143, "cgroup": "/a"}]}) == []


def test_thousands_of_cgroups_do_not_make_thousands_of_notes() -> None:
    # GIVEN what a live tree would give: cgroups the trace knows nothing of
    cgroups = {f"/c{number}": {"memory": {"low": "1M"}} for number in range(3000)}
    notes = notes_of(make_trace(), {"cgroups": cgroups})
    # THEN the first are named and the others counted
    assert len(notes) == 6
    assert notes[5] == "2995 more cgroups have no request of the trace"


def test_cgroup_of_which_nothing_is_said_may_be_idle() -> None:
    cgroups = {"/idle": {"memory": {"max": "max"}}, "/more/idle": {}}
    assert notes_of(make_trace(), {"cgroups": cgroups}) == []


def test_requests_whose_queueing_was_not_recorded_are_noted() -> None:
    trace = make_trace()
    summary = trace.metadata.summary
    quality = replace(summary.quality, unmatched={"issue_without_queue": 1168})
    trace.metadata = replace(trace.metadata, summary=replace(summary, quality=quality))
    (note,) = notes_of(trace)
    assert note.startswith("1,168 requests were not seen to be queued")


def test_weight_without_a_cost_model_is_noted() -> None:
    (note,) = notes_of(make_trace(), {}, "/test.slice/io.weight=200")
    assert note == (
        "/test.slice: io.weight has no effect: no device's io.cost.qos says enable=1"
    )


def test_cost_model_without_effect_is_noted() -> None:
    notes = notes_of(
        make_trace(),
        {},
        "/io.cost.qos=8:0 enable=1",
        "/io.cost.model=9:0 rbps=1",
        "/test.slice/io.weight=200",
    )
    assert notes == [
        "io.cost of 8:0 has no effect: it is neither replayed nor backing.device",
        "io.cost.model of 9:0 has no effect: its io.cost.qos does not say enable=1",
    ]


#: A limit of /b on the disk below, with direct I/O.
BELOW = [
    *("trace.direct_io=true", "driver.direct_io=true", "backing.filesystem=ext4"),
    *("backing.device=254:32", "/b/io.max=254:32 wiops=40"),
]


@pytest.mark.parametrize(
    ("policy", "payer"),
    [
        (["driver.policy=backcharge"], "/"),
        (["driver.policy=instance", "driver.instance=/a"], "/a"),
        (["driver.policy=instance", "driver.instance=/b/c"], None),
        (["driver.policy=instance", "driver.instance=/bc"], "/bc"),
        (["driver.policy=instance", 'driver.instance={"7:0"="/b"}'], None),
        (["driver.policy=root"], None),
        (["driver.policy=per-cgroup"], None),
    ],
)
def test_limit_of_who_does_not_pay_has_nothing_to_limit(
    policy: list[str], payer: str | None
) -> None:
    trace = make_trace([{"cgroup": 59}], paths={1: "/", 59: "/b"})
    found = notes_of(trace, {}, *BELOW, *policy, "trace.policy=per-cgroup")
    said = [note for note in found if note.startswith("/b: io.max of 254:32 ")]
    if payer is None:
        (note,) = said
        assert "comes on top of the recorded times" in note
        return
    assert said == [
        f"/b: io.max of 254:32 has nothing to limit: {payer} is charged for its I/O "
        f"there ({policy[0].replace('=', ' = ')})"
    ]
    # AND a limit of the traced device is no matter of who pays below
    queued = [*BELOW[:4], "arrivals.event=queue", "/b/io.max=7:0 wiops=40", *policy]
    assert not any("to limit" in note for note in notes_of(trace, {}, *queued))


@pytest.mark.parametrize(
    ("keys", "charged"),
    [
        (["driver.policy=root"], True),
        (["driver.policy=root", "backing.filesystem=raw"], True),
        (["driver.policy=root", "backing.laid_out_by=/b"], False),
        (["driver.policy=per-cgroup"], False),
    ],
)
def test_limit_below_a_page_cache_that_the_root_fills_has_nothing_to_limit(
    keys: list[str], charged: bool
) -> None:
    trace = make_trace([{"cgroup": 59}], paths={1: "/", 59: "/b"})
    buffered = ["backing.filesystem=ext4", *BELOW[3:], "trace.policy=per-cgroup"]
    found = notes_of(trace, {}, "driver.direct_io=false", *buffered, *keys)
    (note,) = [note for note in found if note.startswith("/b: io.max of 254:32 ")]
    assert ("has nothing to limit: / is charged for its I/O" in note) == charged
    assert ("it holds direct I/O alone" in note) != charged


def test_latency_target_of_who_does_not_pay_has_nothing_to_limit() -> None:
    trace = make_trace([{"cgroup": 59}], paths={1: "/", 59: "/b"})
    keys = [*BELOW[:4], "/b/io.latency=254:32 target=9", "driver.policy=backcharge"]
    found = notes_of(trace, {}, *keys)
    assert any("/b: io.latency of 254:32 has nothing to limit" in one for one in found)
