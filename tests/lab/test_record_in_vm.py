"""`replay record --with blktrace` on a real kernel, and a replay of it here."""

from pathlib import Path

import pytest

import replay
from lab.virtual_machine import VirtualMachine
from replay.scenario.keys.load import Scenario

MIB = 1 << 20
CGROUPS = ["/", "/a", "/p", "/p/b"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recorded(machine: VirtualMachine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the guest's script left, after one boot."""
    output = tmp_path_factory.mktemp("record") / "out"
    machine.run((Path(__file__).parent / "record.sh").read_text(), output)
    return output


def after(recorded: Path, name: str) -> list[int]:
    """Exit code, the option's value, and how many blktraces still ran."""
    return [int(word) for word in (recorded / f"{name}.after").read_text().split()]


def said(recorded: Path, name: str) -> list[str]:
    return (recorded / f"{name}.err").read_text().splitlines()


def io_stat(path: Path, device: str) -> dict[str, int]:
    """A cgroup's counters for a device, as the kernel wrote them."""
    for line in path.read_text().splitlines():
        name, *pairs = line.split()
        if name == device:
            values = (pair.split("=") for pair in pairs)
            return {key: int(value) for key, value in values if value.isdecimal()}
    return {}


def test_interrupt_ends_it_cleanly(recorded: Path) -> None:
    assert after(recorded, "interrupted") == [0, 0, 0]
    first, last, share, after_it = said(recorded, "interrupted")
    assert first == "Recording loop0 into interrupted: Ctrl-C stops"
    assert last.startswith("interrupted: ")
    assert last.endswith(" in 2 trace files, 5 cgroups")
    assert share.startswith("7:0: the trace holds 100.0% of the bytes that io.stat")
    assert after_it == "Next: replay info interrupted; replay run interrupted"


def test_sigterm_ends_it_cleanly_and_an_option_that_was_on_stays_on(
    recorded: Path,
) -> None:
    assert after(recorded, "terminated") == [0, 1, 0]
    assert sorted(path.name for path in (recorded / "terminated").glob("*.0")) == [
        "loop1.blktrace.0",
        "vdc.blktrace.0",
    ]


def test_killed_it_leaves_neither_blktrace_nor_the_option_nor_a_busy_device(
    recorded: Path,
) -> None:
    assert after(recorded, "killed")[1:] == [0, 0]
    assert len(said(recorded, "killed")) == 1
    assert (recorded / "killed" / "loop0.blktrace.0").exists()
    assert after(recorded, "again") == [0, 0, 0]


def test_device_that_is_traced_already_is_refused(recorded: Path) -> None:
    assert after(recorded, "busy") == [1, 0, 0]
    (line,) = said(recorded, "busy")
    assert line.startswith("Error: blktrace did not start: BLKTRACESETUP")
    assert line.endswith("busy: it is traced already; blktrace -k -d DEV ends that")
    assert not (recorded / "busy").exists()


def test_what_is_missing_is_told_one_line_each(recorded: Path) -> None:
    assert after(recorded, "missing") == [1]
    assert [line.split(": ")[1] for line in said(recorded, "missing")] == [
        *("tracefs", "debugfs", "cgroups", "loop9", "/dev/null"),
    ]


def test_live_tree_and_recording_give_the_same_cgroups(recorded: Path) -> None:
    live = Scenario.load(recorded / "live.toml")
    found = Scenario.load(recorded / "interrupted" / "scenario.toml")
    for scenario in (live, found):
        root, a, p, b = scenario.cgroups
        assert [one.path for one in scenario.cgroups] == CGROUPS
        assert (root.id, a.memory_max, p.memory_max) == (1, None, 64 * MIB)
        assert p.memory_swap_max == 0
        assert b.io_weight == ((None, 300),)
        assert dict(dict(b.io_max)[7 << 20])["wbps"] == "104857600"
        assert [task.comm for task in b.tasks] == ["sleep"]
    assert "oom_score_adj = 500" in (recorded / "live.toml").read_text()
    # what the machine was, too
    assert found.trace.policy == "per-cgroup"
    assert str(found.trace.kernel).startswith("6.1.")
    assert found.driver.direct_io is False
    assert (found.backing.filesystem, found.backing.size) == ("tmpfs", 64 * MIB)


def test_trace_carries_the_cgroups_and_a_replay_gives_the_kernels_counters(
    recorded: Path, tmp_path: Path
) -> None:
    place = recorded / "interrupted"
    # WHEN converted
    with replay.convert(place, tmp_path / "trace.arrow") as trace:
        cgroups = trace.metadata.summary.cgroups
        # THEN every request has its cgroup's path, also the one that came and went
        paths = {one.path: one.nbytes for one in cgroups if one.n_requests}
        assert paths == {"/a": 8 * MIB, "/p/b": 4 * MIB, "/late": MIB}
        quality = trace.metadata.summary.quality
        assert (quality.lost, quality.unmatched, quality.unfinished) == ({}, {}, 0)
    # AND a replay charges what the kernel's own counters say
    result = replay.run(tmp_path / "trace.arrow", place / "scenario.toml")
    counted = {row["cgroup"]: row for row in result.io_stat.to_pylist()}
    for path, name in (("/a", "a"), ("/p/b", "p__b")):
        kernel = io_stat(place / "end" / name / "io.stat", "7:0")
        assert kernel["wbytes"] == paths[path]
        assert {key: counted[path][key] for key in kernel} == kernel
    # the pages of tmpfs are theirs who touched them first
    own = {row["cgroup"]: row["own_shmem"] for row in result.memory.to_pylist()}
    for path, name in (("/a", "a"), ("/p/b", "p__b")):
        text = (place / "end" / name / "memory.stat").read_text()
        stat = dict(line.split() for line in text.splitlines())
        assert int(stat["shmem"]) == own[path] == paths[path]


def test_direct_io_on_a_disk_is_recorded_above_and_below(
    recorded: Path, tmp_path: Path
) -> None:
    place = recorded / "terminated"
    scenario = Scenario.load(place / "scenario.toml")
    assert scenario.driver.direct_io is True
    assert scenario.backing.filesystem == "ext4"
    assert scenario.backing.device == 254 << 20 | 32
    with replay.convert(place, tmp_path / "trace.arrow") as trace:
        table = trace.table().to_pylist()
    for device in (7 << 20 | 1, 254 << 20 | 32):
        rows = [row for row in table if row["device"] == device]
        assert sum(row["nbytes"] for row in rows if row["cgroup"] > 1) == 3 * MIB
    result = replay.run(tmp_path / "trace.arrow", place / "scenario.toml")
    assert {
        row["issuer"]: (row["payer"], row["wbytes"])
        for row in result.charges.to_pylist()
    } == {"/a": ("/a", 2 * MIB), "/p/b": ("/p/b", MIB)}
