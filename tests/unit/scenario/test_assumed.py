"""What a replay takes for granted, and says where the answer depends on it."""

import pytest

from replay.scenario.bind import bind
from replay.scenario.keys.load import Scenario
from support.traces import DISK, LOOP, FakeTrace, make_trace

TWO = [{"cgroup": 23}, {"cgroup": 59}]
PATHS = {1: "/", 23: "/a", 59: "/b"}


def notes_of(trace: FakeTrace, *overrides: str) -> list[str]:
    return bind(Scenario.from_dict({}, overrides=overrides), trace).notes


@pytest.mark.parametrize(
    "overrides",
    [
        ["/test.slice/memory.max=64M"],
        ["/test.slice/memory.high=64M"],
        ["driver.policy=root", "trace.policy=per-cgroup"],
    ],
)
def test_file_system_is_said_to_be_assumed_where_the_answer_depends_on_it(
    overrides: list[str],
) -> None:
    found = notes_of(make_trace(), *overrides)
    assert any(note.startswith("backing.filesystem is not given") for note in found)
    # AND not if it is given, nor if nothing is asked
    named = notes_of(make_trace(), *overrides, "backing.filesystem=tmpfs")
    assert not any(note.startswith("backing.filesystem") for note in named)
    assert notes_of(make_trace()) == []


def test_disk_in_the_same_trace_is_named_as_a_candidate() -> None:
    (note,) = notes_of(make_trace([{"device": LOOP}, {"device": DISK}]))
    assert "254:32 is in the trace, too: the disk below?" in note


def test_device_that_is_no_loop_device_has_no_driver_to_change() -> None:
    trace = make_trace([{"device": DISK}])
    found = notes_of(trace, "driver.policy=root", "trace.policy=root")
    assert "254:32 is not a loop device: driver policies" in found[0]
    assert notes_of(trace) == []


def test_waits_that_would_pile_up_are_noted() -> None:
    trace = make_trace(TWO, paths=PATHS)
    root = ["driver.policy=root", "trace.policy=per-cgroup", "driver.direct_io=false"]
    root.append("backing.filesystem=tmpfs")
    recorded = "arrivals.mode=recorded"
    (note,) = notes_of(trace, *root, recorded)
    assert "arrivals.mode = recorded, though driver.policy = root" in note
    # unless nobody asks for recorded arrivals
    assert notes_of(trace, *root) == []
    # AND where nobody says what the trace was recorded under
    del root[1]
    assert any("waits pile up" in note for note in notes_of(trace, *root, recorded))
    # AND behind a limit or a slower device, be it of one cgroup alone
    for slower in (
        ["arrivals.event=queue", "/test.slice/io.max=7:0 wbps=4096"],
        ["service.model=linear"],
    ):
        found = notes_of(make_trace(), *slower, recorded)
        assert any("waits pile up" in one for one in found)


def test_a_device_that_nobody_measured_is_said_to_be_made_up() -> None:
    linear = ["service.model=linear", "arrivals.mode=dependent"]
    (note,) = notes_of(make_trace(), *linear)
    assert "a device is made up that takes 120 us and 0.5 ns a byte for a write" in note
    assert notes_of(make_trace(), *linear, "service.read.base_ns=80000") == []


def test_limit_of_the_disk_may_lie_in_the_recorded_times_already() -> None:
    direct = ["driver.direct_io=true", "backing.device=254:32"]
    limit = ["/test.slice/io.max=254:32 wbps=1048576", "backing.filesystem=ext4"]
    (note,) = notes_of(make_trace(), *direct, *limit)
    assert "it counts twice" in note
    linear = [
        "service.model=linear",
        "service.read.base_ns=1",
        "arrivals.mode=dependent",
    ]
    assert notes_of(make_trace(), *direct, *limit, *linear) == []


def test_ids_without_any_path_are_noted() -> None:
    (note,) = notes_of(make_trace(TWO, paths={}))
    assert note.startswith("2 cgroups have an id but no path: name them by --cgroups")


#: /b is held back on the traced device.
HELD = [
    *("arrivals.event=queue", "arrivals.mode=dependent", "backing.filesystem=tmpfs"),
    "/b/io.max=7:0 wbps=1M",
]


def test_others_beside_who_is_held_back_keep_what_they_took_in_the_trace() -> None:
    trace = make_trace(TWO, paths=PATHS)

    def found(*overrides: str) -> list[str]:
        return [n for n in notes_of(trace, *overrides) if n.startswith("io.max: ")]

    # GIVEN workers that ran side by side, replayed as they were
    (note,) = found(*HELD)
    assert "waits for the backing file's lock included, so they look slower" in note
    # WHEN one worker is to serve them, what each took alone is not known
    other = ["driver.policy=root", "trace.policy=per-cgroup"]
    (note,) = found(*HELD, *other)
    assert "looks faster than it would be" in note
    # AND with direct I/O the device's own queue is inside, whatever the policy
    direct = ["driver.direct_io=true", "trace.direct_io=true"]
    direct.append("backing.filesystem=ext4")
    for more in ([], other):
        (note,) = found(*HELD, *direct, *more)
        assert "waits for the device included" in note
    # THEN nothing is said where one queue served one after the other
    assert found(*HELD, "driver.policy=root", "trace.policy=root") == []
    # AND nothing without a limit that acts, nor of made-up times, nor of one cgroup
    assert found("arrivals.event=issue", *HELD[1:]) == []
    assert found(*HELD[:3]) == []
    assert found(*HELD, "service.model=linear") == []
    alone = make_trace(TWO[:1], paths={1: "/", 23: "/b"})
    assert not any(n.startswith("io.max: ") for n in notes_of(alone, *HELD))
