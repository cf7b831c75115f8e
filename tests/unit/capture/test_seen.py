"""What is kept beside a trace: cgroups that come and go, version 1, the machine."""

import os
import shutil
import tomllib
from pathlib import Path

import pytest

from replay.capture.cgroup_events import CgroupEvents, Move
from replay.capture.host import machine_facts, ticks_per_second
from replay.capture.machine import BPF, IoTree
from replay.capture.record import record
from replay.capture.saved import read_tree
from replay.scenario.keys.load import Scenario
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
