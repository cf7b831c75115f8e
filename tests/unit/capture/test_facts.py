"""What lies beside a trace is where replays of it begin."""

import json
import os
import shutil
import tomllib
from pathlib import Path

import pytest

import replay
from replay.capture.facts import recorded_facts
from replay.capture.gap import shares
from replay.capture.host import ticks_per_second
from replay.capture.record import record
from replay.common.errors import ScenarioError
from replay.dataset.places import Place
from replay.dataset.sources import find_sources
from replay.dataset.tasks import Conversion, Preparation, PrepareJob, prepare
from replay.scenario.keys.load import Recipe
from support.machines import FakeMachine, make_machine


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    (tmp_path / "machine").mkdir()
    return make_machine(tmp_path / "machine")


def test_capture_answers_for_itself(fake: FakeMachine, tmp_path: Path) -> None:
    # GIVEN a recording under a limit, of a loop device that is direct
    file = tmp_path / "backing"
    file.touch()
    place = fake.machine.sys / "block" / "loop0" / "loop"
    place.mkdir(parents=True)
    (place / "backing_file").write_text(f"{file}\n")
    (place / "dio").write_text("1\n")
    out = tmp_path / "out"
    record(["loop0"], out, seconds=0.05, machine=fake.machine)
    (out / "ids").write_text("23 /a\n")
    # WHEN it is run with nothing else
    result = replay.run(out)
    scenario = result.info["scenario"]
    # THEN the limit explains what was recorded, and is not applied again
    assert scenario["cgroups"]["/a"]["recorded.memory.max"] == "64M"
    assert scenario["cgroups"]["/a"]["memory.max"] == "max"
    assert scenario["driver"]["direct_io"] is True
    assert scenario["machine"]["hz"] == ticks_per_second()
    (note,) = (one for one in result.info["notes"] if one.startswith("facts of"))
    assert "/a memory.max: what they did is in the recorded times" in note
    # AND a scenario that asks for another value gets that
    result = replay.run(out, overrides=["/a/memory.max=8M", "driver.direct_io=false"])
    scenario = result.info["scenario"]
    assert scenario["cgroups"]["/a"]["memory.max"] == "8M"
    assert scenario["driver"]["direct_io"] is False
    assert not any(one.startswith("facts of") for one in result.info["notes"])


def test_facts_of_a_file_in_a_recording_and_of_none(
    fake: FakeMachine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    record(["loop0"], out, seconds=0.05, machine=fake.machine)
    for given in (out / "loop0", [out / "loop0.blktrace.0"]):
        scenario = replay.run(given).info["scenario"]
        assert scenario["cgroups"]["/a"]["recorded.memory.max"] == "64M"
    # what is damaged says nothing
    (out / "begin" / "machine.toml").write_text("hz = [")
    assert replay.run(out).info["scenario"]["machine"]["hz"] == 250
    shutil.rmtree(out / "begin")
    shutil.rmtree(out / "end")
    assert replay.run(out).info["scenario"]["cgroups"] == {}


def test_share_of_what_the_kernel_counted(fake: FakeMachine, tmp_path: Path) -> None:
    # GIVEN counters of a recording of ten writes of 4 KiB, by io.stat and by the disk
    out = tmp_path / "out"
    record(["loop0"], out, seconds=0.05, machine=fake.machine)
    for part, nbytes in (("begin", 8192), ("end", 8192 + 40960)):
        text = f'[disks."loop0"]\ndev = "7:0"\nstat = "0 0 0 0 1 0 {nbytes // 512} '
        (out / part / "machine.toml").write_text(text + '0 0 0 0 0 0 0 0 0 0"\n')
    with replay.open_or_convert(out) as rows:
        (share,) = shares(rows)
    assert (share.device, share.part, share.counter) == (7 << 20, 1, "the disk's stat")
    # io.stat, where it is there, is of cgroups
    for part, nbytes in (("begin", 0), ("end", 81920)):
        (out / part / "a" / "io.stat").write_text(
            f"7:0 rbytes=0 wbytes={nbytes} rios=0 wios=1 dbytes=0 dios=0\n"
        )
    with replay.open_or_convert(out) as rows:
        (share,) = shares(rows)
    assert str(share) == (
        "7:0: the trace holds 50.0% of the bytes that io.stat counted (40.0 KiB of "
        "80.0 KiB)"
    )
    # but where cgroups are gone with what they did, as with version 1, by the disk
    (out / "end" / "a" / "io.stat").write_text("7:0 rbytes=0 wbytes=20480\n")
    with replay.open_or_convert(out) as rows:
        (share,) = shares(rows)
    assert (share.part, share.counter) == (1, "the disk's stat")


def test_sweeps_and_curves_begin_with_the_same_facts(
    fake: FakeMachine, tmp_path: Path
) -> None:
    # GIVEN a recording of a loop device that is direct, and on a disk
    file = tmp_path / "backing"
    file.touch()
    place = fake.machine.sys / "block" / "loop0" / "loop"
    place.mkdir(parents=True)
    (place / "backing_file").write_text(f"{file}\n")
    (place / "dio").write_text("1\n")
    number = file.stat().st_dev
    with (fake.machine.proc / "self" / "mountinfo").open("a") as mountinfo:
        device = f"{os.major(number)}:{os.minor(number)}"
        mountinfo.write(f"9 1 {device} / /x rw - xfs /dev/sdb rw\n")
    out = tmp_path / "out"
    record(["loop0"], out, seconds=0.05, machine=fake.machine)
    (out / "ids").write_text("23 /a\n")
    # THEN there are no pages to charge for, unless a scenario says so
    with pytest.raises(ScenarioError, match="direct"):
        replay.curve(out)
    assert replay.curve(out, overrides=["driver.direct_io=false"])
    found = replay.sweep(out, vary=["service.parallel=1,2"], jobs=1)
    assert len(found.points) == 2


def test_batches_begin_with_the_same_facts(fake: FakeMachine, tmp_path: Path) -> None:
    # GIVEN a recording under a limit
    out = tmp_path / "in" / "out"
    out.parent.mkdir()
    record(["loop0"], out, seconds=0.05, machine=fake.machine)
    alone = replay.run(out).info
    data = tmp_path / "dataset"
    # WHEN it is replayed in a batch
    done = replay.batch([out.parent], output=data, jobs=1)
    assert (done.replayed, done.failures) == (1, [])
    (row,) = replay.open_dataset(data).table("runs").to_pylist()
    assert json.loads(row["run"])["scenario"] == alone["scenario"]
    assert row["notes"] == alone["notes"]
    # THEN what did not change is kept, and what was said of it is a part of it
    assert replay.batch([out.parent], output=data, jobs=1).kept == 1
    (out / "end" / "a" / "memory.max").write_text("33554432\n")
    done = replay.batch([out.parent], output=data, jobs=1)
    assert done.again == {"their trace changed": 1}
    (row,) = replay.open_dataset(data).table("runs").to_pylist()
    found = json.loads(row["run"])["scenario"]["cgroups"]["/a"]
    assert found["recorded.memory.max"] == "32M"


def test_recording_elsewhere_is_prepared_with_its_facts(
    fake: FakeMachine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    record(["loop0"], out, seconds=0.05, machine=fake.machine)
    top = Place.of("mock://store/fleet/out")
    for path in sorted(out.rglob("*")):
        if path.is_file():
            file = top / path.relative_to(out).as_posix()
            system, inside = file.system()
            system.create_dir(inside.rpartition("/")[0])
            file.write(path.read_bytes())
    (source,) = find_sources(str(top))
    (tmp_path / "traces").mkdir()
    job = PrepareJob(
        items=[Preparation(source=source, known=None, settled=False)],
        conversion=Conversion.of(None, None, None),
        traces=Place.of(tmp_path / "traces"),
    )
    ((made,), _) = prepare(job)
    assert made.error == ""
    assert made.facts == recorded_facts(out) != {}


def test_scenario_that_does_not_go_with_the_facts_fails_its_pair(
    fake: FakeMachine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    fake.cgroup("/a", {"cgroup.controllers": "memory\n"})
    record(["loop0"], out, seconds=0.05, machine=fake.machine)
    scenario = tmp_path / "s.toml"
    scenario.write_text('[cgroups."/a"]\n"io.weight" = 300\n')
    (failure,) = replay.batch([out], scenario, output=tmp_path / "d", jobs=1).failures
    with pytest.raises(ScenarioError) as refused:
        replay.run(out, scenario)
    assert failure.error == str(refused.value)
    assert "/a" in failure.error


def test_calibration_begins_with_the_same_facts(
    fake: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def calibrated(trace: object, recipe: Recipe, *_: object) -> None:
        seen.append(recipe.scenario())

    monkeypatch.setattr("replay.calibration.model._calibrate", calibrated)
    out = tmp_path / "out"
    record(["loop0"], out, seconds=0.05, machine=fake.machine)
    replay.calibrate(out)
    (found,) = seen
    (limited,) = (one for one in found.cgroups if one.path == "/a")
    assert limited.recorded_memory_max == 64 << 20
    assert found.machine.hz == ticks_per_second()


def test_counters_are_those_beside_the_trace_that_is_named(
    fake: FakeMachine, tmp_path: Path
) -> None:
    # GIVEN a trace file that was converted from a recording of this machine
    out = tmp_path / "out"
    record(["loop0"], out, seconds=0.05, machine=fake.machine)
    for part, nbytes in (("begin", 0), ("end", 81920)):
        (out / part / "a" / "io.stat").write_text(f"7:0 wbytes={nbytes}\n")
    replay.convert(out, tmp_path / "t.arrow").close()
    replay.convert(out, out / "t.arrow").close()
    (tmp_path / "other").mkdir()
    shutil.copytree(out / "end", tmp_path / "other" / "end")
    shutil.copy(out / "t.arrow", tmp_path / "other")

    def told(path: Path) -> bool:
        with replay.open_trace(path) as rows:
            return bool(shares(rows))

    # THEN it is held against what lies beside it, if that is of the same recording
    assert told(out / "t.arrow")
    assert not told(tmp_path / "t.arrow")
    assert not told(tmp_path / "other" / "t.arrow")


def test_tasks_that_were_moved_are_told_and_listed_where_they_were_last(
    fake: FakeMachine, tmp_path: Path
) -> None:
    # GIVEN a process that is moved while it is recorded
    def move() -> None:
        (fake.cgroups / "p" / "b" / "cgroup.procs").write_text("42\n")
        (fake.cgroups / "a" / "cgroup.procs").write_text("41\n")

    out = tmp_path / "out"
    record(["loop0"], out, seconds=0.05, machine=fake.machine, on_start=move)
    scenario = tomllib.loads((out / "scenario.toml").read_text())["cgroups"]
    assert [one["rss"] for one in scenario["/p/b"]["tasks"]] == ["1M"]
    assert [one["rss"] for one in scenario["/a"]["tasks"]] == ["2M"]
    number = (fake.cgroups / "a").stat().st_ino
    (out / "moves").write_text(f"5 41 {number} java\n6 x 1 y\n7 12 1 sh\n8 12\n")
    note = (
        "2 tasks changed cgroup while it was recorded, such as java (41), last in /a: "
        "each request is of the cgroup that its task was in then"
    )
    assert note in replay.run(out).info["notes"]


@pytest.mark.parametrize(
    "text",
    [
        'hz = "x"\ncpus = -1\n[loops]\na = 1\n[dirty]\ndirty_ratio = 9e9\n',
        "loops = 3\ndirty = []\n",
        '[loops."l"]\nfile = "a\\u001b[2Jb"\ndirect_io = 1\nfilesystem = 7\n',
        "\x00",
    ],
)
def test_facts_that_are_none_say_nothing(
    fake: FakeMachine, tmp_path: Path, text: str
) -> None:
    out = tmp_path / "out"
    record(["loop0"], out, seconds=0.05, machine=fake.machine)
    (out / "begin" / "machine.toml").write_text(text)
    (out / "begin" / "odd").mkdir()
    (out / "begin" / "odd" / "path").write_text("/a/../b\n")
    (out / "begin" / "odd" / "memory.max").write_text("4096\n")
    scenario = replay.run(out).info["scenario"]
    assert scenario["machine"]["hz"] == 250
    assert "/a/../b" not in scenario["cgroups"]
    assert scenario["cgroups"]["/a"]["recorded.memory.max"] == "64M"


@pytest.mark.parametrize(
    ("queues", "expected"),
    [
        ({"sda": ("none [mq-deadline] kyber", 2000)}, ("mq-deadline", True)),
        ({"sda": ("[kyber]", 0)}, ("kyber", False)),
        # below a loop device, whose own queue is no disk's
        ({"loop0": ("[none]", 0), "vda": ("[bfq] none", 0)}, ("bfq", False)),
        # two disks that differ, a scheduler of another kernel, nothing
        ({"sda": ("[bfq]", 0), "sdb": ("[none]", 2000)}, (None, None)),
        ({"sda": ("none [adios]", "?")}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_queues_of_the_disks_are_facts(
    tmp_path: Path,
    queues: dict[str, tuple[str, int | str]],
    expected: tuple[str | None, bool | None],
) -> None:
    # GIVEN what `record` saved of the disks
    (tmp_path / "begin").mkdir()
    lines = [
        f'[disks."{name}"]\nscheduler = "{scheduler}"\nwbt_lat_usec = {usec!r}\n'
        for name, (scheduler, usec) in queues.items()
    ]
    (tmp_path / "begin" / "machine.toml").write_text("\n".join(["hz = 250", *lines]))
    # THEN what they have in common is what a replay begins with
    trace = recorded_facts(tmp_path).get("trace", {})
    assert (trace.get("scheduler"), trace.get("wbt")) == expected


@pytest.mark.parametrize(
    ("lines", "reclaim"),
    [
        (["[mm]", '"lru_gen/enabled" = "0x0007"'], "mglru"),
        # what is on besides matters only with the lowest bit
        (["[mm]", '"lru_gen/enabled" = "0x0006"'], "classic"),
        (["[mm]", '"lru_gen/enabled" = "on"'], None),
        ([], None),
    ],
)
def test_multi_generational_lru_is_a_fact(
    tmp_path: Path, lines: list[str], reclaim: str | None
) -> None:
    (tmp_path / "begin").mkdir()
    (tmp_path / "begin" / "machine.toml").write_text("\n".join(["hz = 250", *lines]))
    assert recorded_facts(tmp_path).get("backing", {}).get("reclaim") == reclaim
