"""What is kept beside a trace: cgroups that come and go, version 1, the machine."""

import json
import os
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

import replay
from replay.capture.cgroup_events import CgroupEvents, Move
from replay.capture.facts import recorded_facts
from replay.capture.gap import shares
from replay.capture.host import machine_facts, ticks_per_second
from replay.capture.machine import BPF, IoTree
from replay.capture.record import record
from replay.capture.recorders.bpf import Traced, program_text, traced
from replay.capture.saved import read_tree
from replay.common.errors import ScenarioError
from replay.dataset.places import Place
from replay.dataset.sources import find_sources
from replay.dataset.tasks import Conversion, Preparation, PrepareJob, prepare
from replay.scenario.keys.load import Recipe, Scenario
from support.machines import FakeMachine, make_machine

EVENTS = """\
           mkdir-301     [000] .....   100.000001: cgroup_mkdir: root=0 id=77 level=1 path=/short
           mkdir-302     [001] .....   100.000002: cgroup_mkdir: root=4 id=78 level=1 path=/other
              sh-303     [001] d..2.   100.000123: cgroup_attach_task: dst_root=0 dst_id=77 dst_level=1 dst_path=/short pid=303 comm=a b
              sh-303     [001] d..2.   100.000124: cgroup_attach_task: dst_root=4 dst_id=78 dst_level=1 dst_path=/other pid=303 comm=a b
              mv-304     [001] .....   100.000200: cgroup_rename: root=0 id=77 level=1 path=/named
"""  # fmt: skip  # noqa: E501


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    (tmp_path / "machine").mkdir()
    return make_machine(tmp_path / "machine")


def tracefs(top: Path, text: str, pid: str) -> Path:
    """Make a tracefs whose instance of a process has something to tell."""
    place = top / "instances" / f"replay-{pid}"
    for name in ("cgroup_mkdir", "cgroup_rename", "cgroup_attach_task"):
        (place / "events" / "cgroup" / name).mkdir(parents=True)
    (place / "trace_pipe").write_text(text)
    return place


def events(
    top: Path, text: str, monkeypatch: pytest.MonkeyPatch, root: int = 0
) -> CgroupEvents:
    """Read what the kernel tells once."""
    place = tracefs(top, text, "1")
    monkeypatch.setattr("replay.capture.cgroup_events.lives", lambda _: True)
    monkeypatch.setattr("os.getpid", lambda: 1)
    # it would be refused if it were there
    monkeypatch.setattr(Path, "mkdir", lambda path: None)
    with CgroupEvents(top, root) as found:
        assert found.works
        enabled = place / "events" / "cgroup" / "cgroup_mkdir" / "enable"
        assert enabled.read_text() == "1"
        assert (place / "trace_clock").read_text() == "mono"
    assert (place / "events" / "enable").read_text() == "0"
    return found


def test_cgroups_and_moves_are_those_of_the_hierarchy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = events(tmp_path, EVENTS, monkeypatch)
    assert found.ids == {77: "/named"}
    assert found.moves == [Move(100_000_123_000, 303, 77, "a b")]


def test_other_hierarchy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = events(tmp_path, EVENTS, monkeypatch, root=4)
    assert found.ids == {78: "/other"}


def test_without_tracefs_the_tree_is_searched(tmp_path: Path) -> None:
    with CgroupEvents(tmp_path, 0) as found:
        assert not found.works
        found.read()
    assert found.ids == {}


def test_instances_of_killed_recordings_are_removed(tmp_path: Path) -> None:
    # GIVEN an instance of a process that is no more, and one of init's
    for pid in ("4194304", "1"):
        (tmp_path / "instances" / f"replay-{pid}").mkdir(parents=True)
    with CgroupEvents(tmp_path, 0):
        pass
    left = {path.name for path in (tmp_path / "instances").iterdir()}
    assert left == {"replay-1", f"replay-{os.getpid()}"}


# -- hosts of version 1


def of_version_1(fake: FakeMachine) -> Path:
    """Make the machine one with blkio and memory of version 1; return blkio."""
    shutil.rmtree(fake.cgroups)
    for name, text in {
        "blkio/v/w/blkio.throttle.write_bps_device": "7:0 1048576\n",
        "blkio/v/w/blkio.throttle.read_iops_device": "7:0 100\n7:1 200\n",
        "blkio/v/w/blkio.throttle.io_service_bytes": "7:0 Read 0\n7:0 Write 9\n"
        "7:0 Sync 9\nTotal 9\n",
        "blkio/v/w/blkio.throttle.io_serviced_recursive": "7:0 Write 2\nTotal 2\n",
        "memory/v/w/memory.limit_in_bytes": "33554432\n",
        "memory/v/memory.limit_in_bytes": "9223372036854771712\n",
        "unified/cgroup.controllers": "cpu\n",
        "unified/u/cgroup.controllers": "cpu\n",
    }.items():
        path = fake.cgroups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    top = fake.cgroups
    (fake.machine.proc / "self" / "mountinfo").write_text(
        f"2 1 0:30 / {top}/blkio rw - cgroup cgroup rw,blkio\n"
        f"3 1 0:31 / {top}/memory rw - cgroup cgroup rw,memory\n"
        f"4 1 0:32 / {top}/unified rw - cgroup2 cgroup2 rw\n"
    )
    (fake.machine.proc / "self" / "cgroup").write_text(
        "7:blkio:/\n4:memory:/x\n1:name=systemd:/\n0::/\n"
    )
    return fake.cgroups / "blkio"


def test_blkios_ids_paths_and_limits_are_kept_as_of_version_2(
    fake: FakeMachine, tmp_path: Path
) -> None:
    blkio = of_version_1(fake)
    tree = fake.machine.io_tree()
    assert tree == IoTree(1, blkio, 7, fake.cgroups / "memory")
    out = tmp_path / "out"
    record(["loop0"], out, seconds=0.05, machine=fake.machine)
    number = (blkio / "v" / "w").stat().st_ino
    assert f"{number} /v/w\n" in (out / "ids").read_text()
    found = read_tree(out)
    assert list(found) == ["/", "/v", "/v/w"]
    assert found["/v"].files["memory.max"] == "max\n"
    assert found["/v/w"].files["io.stat"] == "7:0 rbytes=0 wbytes=9 wios=2\n"
    scenario = Scenario.load(out / "scenario.toml")
    (leaf,) = (one for one in scenario.cgroups if one.path == "/v/w")
    assert leaf.memory_max == 32 << 20
    assert dict(leaf.io_max) == {
        7 << 20: (("wbps", "1048576"), ("riops", "100")),
        7 << 20 | 1: (("riops", "200"),),
    }
    (doubt, *_) = fake.machine.doubts(["loop0"], out)
    assert "cgroups of version 1 control block I/O here" in doubt


def test_bpftrace_knows_the_ids_of_version_2_only(fake: FakeMachine) -> None:
    of_version_1(fake)
    unified = fake.cgroups / "unified"
    assert fake.machine.io_tree(BPF) == IoTree(2, unified)
    # WHEN version 2 has the io controller, a trace's ids are its own
    (unified / "cgroup.controllers").write_text("cpu io\n")
    assert fake.machine.io_tree() == IoTree(2, unified)


# -- the machine


def test_machine_is_described_by_what_can_be_read(fake: FakeMachine) -> None:
    sys, proc = fake.machine.sys, fake.machine.proc
    for name, text in {
        "class/block/loop0/queue/scheduler": "[none] bfq\n",
        "class/block/loop0/queue/rotational": "1\n",
        "class/block/loop0/dev": "7:0\n",
        "kernel/mm/lru_gen/enabled": "0x0007\n",
    }.items():
        (sys / name).parent.mkdir(parents=True, exist_ok=True)
        (sys / name).write_text(text)
    (proc / "sys" / "vm").mkdir(parents=True)
    (proc / "sys" / "vm" / "dirty_ratio").write_text("20\n")
    (proc / "meminfo").write_text("MemTotal:   1024 kB\n")
    with (proc / "self" / "mountinfo").open("a") as file:
        file.write("4 1 0:39 / /mnt/a\\040b rw - tmpfs tmpfs rw,size=1k\n")
        file.write("5 1 0:40 / /mnt/a\\040b rw - tmpfs tmpfs rw,size=64k,huge=always\n")
    text = machine_facts([fake.machine.device("loop0")], sys=sys, proc=proc)
    found = tomllib.loads(text)
    assert found["hz"] in (100, 250, 300, 1000)
    assert found["hz"] == ticks_per_second()
    assert (found["memory"], found["dirty"]) == (1 << 20, {"dirty_ratio": 20})
    assert found["mm"] == {"lru_gen/enabled": "0x0007"}
    assert found["disks"] == {
        "loop0": {"dev": "7:0", "scheduler": "[none] bfq", "rotational": 1}
    }
    assert found["tmpfs"] == {
        "/mnt/a b": {"rw": 1, "size": "64k", "huge": "always"},
    }


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


# -- bpftrace


def test_program_has_all_events_of_the_devices() -> None:
    text = program_text([Traced(7 << 20, 7 << 20), Traced(254 << 20 | 16, 254 << 20)])
    lines = text.splitlines()
    assert len(lines) == 21
    assert sum(f"/args->dev == {7 << 20}/" in line for line in lines) == 10
    assert text.count(": 254,16 %llx,%llx ") == 6
    assert text.count("cgroup >> 32") == 12


def test_partition_is_its_disks_sectors_under_its_own_number(
    fake: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN sda1, of 1000 sectors from 2048 on, and sda
    machine = fake.machine
    disk = machine.sys / "devices" / "sda"
    classes = machine.sys / "class" / "block"
    classes.mkdir(parents=True)
    for place, texts in {
        disk: {"dev": "8:0\n"},
        disk / "sda1": {"dev": "8:1\n", "start": "2048\n", "size": "1000\n"},
    }.items():
        place.mkdir(parents=True)
        (classes / place.name).symlink_to(place)
        for name, text in texts.items():
            (place / name).write_text(text)
    numbers = {"sda": 8 << 20, "sda1": 8 << 20 | 1}
    monkeypatch.setattr(type(machine), "number", lambda _, path: numbers[path.name])
    # THEN tracepoints, which know disks alone, are asked for the disk's sectors
    assert traced(Path("/dev/sda"), machine) == Traced(8 << 20, 8 << 20)
    part = traced(Path("/dev/sda1"), machine)
    assert part == Traced(8 << 20 | 1, 8 << 20, 2048, 3048)
    first = program_text([part]).splitlines()[1]
    assert (
        f"/args->dev == {8 << 20} && (args->sector == 0 || "
        "(args->sector >= 2048 && args->sector < 3048))/ { printf(" in first
    )
    assert ": 8,1 %llx,%llx Q %s " in first


def test_recording_by_bpftrace_is_read_as_the_tracer_blk_prints(
    fake: FakeMachine, tmp_path: Path
) -> None:
    # GIVEN a bpftrace that prints what one printed on Linux 6.18
    program = fake.top / "bin" / "bpftrace"
    printed = (
        "# tracer: blk\n"
        "a b-301 [000] ..... 100.000000001: 7,0 17,0 Q WS 8 + 8 [a b]\n"
        "a b-301 [000] ..... 100.000001001: 7,0 17,0 G WS 8 + 8 [a b]\n"
        "kworker/0:1-30 [000] ..... 100.000002001: 7,0 D WS 8 + 8 [kworker/0:1]\n"
        "swapper/1-0 [001] ..... 100.000005001: 7,0 C WS 8 + 8 [0]\n"
        "Lost 12 events\n"
    )
    (fake.top / "printed").write_text(printed)
    program.write_text(f"#!/bin/sh\ncat {fake.top}/printed; exec sleep 1000\n")
    program.chmod(0o755)
    machine = replace(fake.machine, bpftrace=str(program))
    out = tmp_path / "out"
    found = record(["loop0"], out, seconds=0.2, machine=machine, how=BPF)
    assert (found.dropped, found.n_files) == (12, 1)
    # THEN the request is there with its cgroup and times
    with replay.open_or_convert(out) as trace:
        (row,) = trace.table().to_pylist()
        assert (row["cgroup"], row["pid"], row["nbytes"]) == (0x17, 301, 4096)
        assert row["complete_ns"] - row["queue_ns"] == 5000
        assert row["issue_ns"] - row["queue_ns"] == 2001 - 1
        # AND what was lost is told
        assert trace.metadata.summary.quality.lost == {"0": 12}


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
