"""Recording on a machine of files: what is kept, how it ends, what it leaves alone."""

import os
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

import replay
from replay.capture import seen_cgroups
from replay.capture.machine import BLKTRACE, Machine
from replay.capture.record import record
from replay.capture.recorders import blktrace
from replay.capture.recorders.stop import Stop, stop_on_signals
from replay.capture.saved import read_tree, save_tree
from replay.common.errors import CaptureError, OutputError
from replay.scenario.writing.found_tree import Tree
from support.machines import FakeMachine, children, make_machine


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    (tmp_path / "machine").mkdir()
    return make_machine(tmp_path / "machine")


def untouched(fake: FakeMachine, option: str = "0") -> bool:
    """Whether the option is what it was, and nothing that was started runs."""
    return (
        fake.option.read_text().strip() == option
        and children(str(fake.top / "bin")) == []
        and children(str(fake.option)) == []
    )


def test_recording_holds_traces_ids_trees_and_a_scenario(
    fake: FakeMachine, tmp_path: Path
) -> None:
    # GIVEN limits and counters that change while it runs
    out = tmp_path / "out"

    def change() -> None:
        (fake.cgroups / "a" / "memory.current").write_text("8192\n")
        fake.cgroup("/new", {"memory.high": "4096\n"})

    # WHEN recorded for a moment
    found = record(
        ["loop0", str(fake.machine.dev / "loop1"), "loop0"],
        out,
        seconds=0.2,
        buffer_kib=64,
        n_buffers=4,
        machine=fake.machine,
        how=BLKTRACE,
        on_start=change,
    )
    # THEN blktrace was asked for each device once, with the option on, and stopped
    loops = [str(fake.machine.dev / name) for name in ("loop0", "loop1")]
    assert fake.journal() == [
        f"-b 64 -n 4 -D {out} -d {loops[0]} -d {loops[1]}",
        "option 1",
        f"signal {signal.SIGINT:d}",
    ]
    assert untouched(fake)
    # AND all lies beside the traces
    assert sorted(path.name for path in out.iterdir()) == [
        *("begin", "blktrace.log", "end", "ids", "kernel"),
        *("loop0.blktrace.0", "loop1.blktrace.0", "scenario.toml"),
    ]
    assert (out / "begin" / "a" / "memory.current").read_text() == "4096\n"
    assert (out / "end" / "a" / "memory.current").read_text() == "8192\n"
    assert (out / "end" / "a" / "memory.max").read_text() == "67108864\n"
    assert not (out / "begin" / "new").exists()
    assert found.n_files == 2
    assert found.nbytes == sum(file.stat().st_size for file in out.glob("loop*"))
    assert (found.n_cgroups, found.dropped) == (5, 2)
    # AND it reads back as the tree that it was
    assert list(read_tree(out)) == ["/", "/a", "/new", "/p", "/p/b"]
    assert read_tree(out)["/a"].id == (fake.cgroups / "a").stat().st_ino


def test_recording_replays_under_its_own_scenario(
    fake: FakeMachine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    record(["loop0"], out, seconds=0.1, machine=fake.machine, how=BLKTRACE)
    # GIVEN the id that the pretended blktrace writes is /a's
    (out / "ids").write_text("23 /a\n")
    with replay.open_or_convert(out) as trace:
        assert [one.path for one in trace.metadata.summary.cgroups] == ["/a"]
    scenario = (out / "scenario.toml").read_text()
    own = (fake.cgroups / "a").stat().st_ino
    (out / "scenario.toml").write_text(scenario.replace(f"= {own}\n", "= 23\n"))
    result = replay.run(out, out / "scenario.toml")
    assert result.info["counts"]["requests"] == 10
    assert result.charges["payer"].to_pylist() == ["/a"]


def test_cgroup_that_comes_and_goes_meanwhile_is_named(
    fake: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen_cgroups, "_SEARCH_S", 0.05)
    ids = []

    def come_and_go() -> None:
        ids.append(fake.cgroup("/short"))
        timer = threading.Timer(0.5, shutil.rmtree, [fake.cgroups / "short"])
        timer.start()

    out = tmp_path / "out"
    record(
        ["loop0"],
        out,
        seconds=1,
        machine=fake.machine,
        how=BLKTRACE,
        on_start=come_and_go,
    )
    assert f"{ids[0]} /short\n" in (out / "ids").read_text()
    assert not (out / "end" / "short").exists()


def test_option_that_was_on_stays_on(fake: FakeMachine, tmp_path: Path) -> None:
    fake.option.write_text("1\n")
    record(["loop0"], tmp_path / "out", seconds=0.1, machine=fake.machine, how=BLKTRACE)
    assert untouched(fake, "1")


def test_loop_devices_are_described_in_the_scenario(
    fake: FakeMachine, tmp_path: Path
) -> None:
    # GIVEN loop0 over a file of a file system that mountinfo knows
    file = tmp_path / "backing"
    file.touch()
    place = fake.machine.sys / "block" / "loop0" / "loop"
    place.mkdir(parents=True)
    (place / "backing_file").write_text(f"{file}\n")
    (place / "dio").write_text("1\n")
    number = file.stat().st_dev
    with (fake.machine.proc / "self" / "mountinfo").open("a") as mountinfo:
        major, minor = os.major(number), os.minor(number)
        mountinfo.write(f"9 1 {major}:{minor} / /x rw - xfs /dev/sdb rw\n")
    record(
        ["loop0", "loop1"],
        tmp_path / "out",
        seconds=0.1,
        machine=fake.machine,
        how=BLKTRACE,
    )
    text = (tmp_path / "out" / "scenario.toml").read_text()
    assert f"# loop0: {file} on xfs, direct\n" in text
    assert "\n[driver]\nkernel = " in text
    scenario = replay.Scenario.load(tmp_path / "out" / "scenario.toml")
    assert scenario.driver.direct_io is True
    assert scenario.backing.filesystem == "ext4"


@pytest.mark.parametrize("n_missing", [1, 6])
def test_everything_that_is_missing_is_told_at_once(
    tmp_path: Path, n_missing: int
) -> None:
    # GIVEN a machine with nothing, or one whose user is not root
    fake = make_machine(tmp_path)
    machine = replace(fake.machine, user=lambda: 1000)
    if n_missing > 1:
        top = tmp_path / "bare"
        machine = Machine(
            cgroups=top / "cgroup",
            tracefs=(top / "tracing",),
            debugfs=top / "debug",
            dev=top / "dev",
            proc=top / "proc",
            blktrace="blktrace-that-is-nowhere",
            user=lambda: 1000,
        )
    with pytest.raises(CaptureError) as caught:
        record(["loop0"], tmp_path / "out", machine=machine, how=BLKTRACE)
    lines = caught.value.lines
    subjects = [line.partition(":")[0] for line in lines]
    assert (
        subjects
        == [
            *("root", "blktrace-that-is-nowhere", "tracefs", "debugfs"),
            *("cgroups", "loop0"),
        ][:n_missing]
    )
    assert not any("\n" in line for line in lines)
    assert not (tmp_path / "out").exists()
    assert fake.journal() == []


def spoilt(fake: FakeMachine, how: str) -> str:
    """Spoil one thing; return the refusal."""
    tracing = fake.top / "tracing"
    if how == "option":
        (tracing / "options" / "blk_cgroup").unlink()
    elif how == "tracer":
        (tracing / "current_tracer").write_text("blk\n")
    elif how == "cgroups":
        shutil.rmtree(fake.cgroups)
    elif how == "device":
        (fake.machine.dev / "null").touch()
    name = "null" if how == "device" else "loop0"
    (line,) = fake.machine.missing([name])
    return line


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("option", "CONFIG_BLK_CGROUP"),
        ("tracer", "echo nop >"),
        ("cgroups", "cgroups: not mounted: mount -t cgroup2"),
        ("device", "null: is not a block device"),
    ],
)
def test_what_is_not_as_it_must_be_is_told_with_what_to_do(
    fake: FakeMachine, how: str, words: str
) -> None:
    assert words in spoilt(fake, how)


def test_doubts_about_the_ids_and_the_place_are_told(fake: FakeMachine) -> None:
    machine, out = fake.machine, fake.top / "not" / "yet"
    assert machine.doubts(["loop0"], out) == []
    (fake.cgroups / "cgroup.subtree_control").write_text("memory\n")
    (line,) = machine.doubts(["loop0"], out)
    assert "every request will carry the root's id: echo +io >" in line
    (fake.cgroups / "cgroup.controllers").write_text("memory\n")
    (line,) = machine.doubts(["loop0"], out)
    assert "the trace's ids are not of this tree" in line


def test_device_that_is_traced_already_is_refused_and_nothing_is_left(
    fake: FakeMachine, tmp_path: Path
) -> None:
    fake.blktrace("busy")
    kept = tmp_path / "kept"
    kept.mkdir()
    for out in (tmp_path / "out", kept):
        with pytest.raises(CaptureError, match=r"already; blktrace -k"):
            record(["loop0"], out, machine=fake.machine, how=BLKTRACE)
    assert untouched(fake)
    assert not (tmp_path / "out").exists()
    assert list(kept.iterdir()) == []


def test_program_that_cannot_be_started_is_refused(
    fake: FakeMachine, tmp_path: Path
) -> None:
    Path(fake.machine.blktrace).write_bytes(b"\x7fELF")
    with pytest.raises(CaptureError, match="blktrace: cannot be started: Exec format"):
        record(["loop0"], tmp_path / "out", machine=fake.machine, how=BLKTRACE)
    assert untouched(fake)
    assert not (tmp_path / "out").exists()


def test_blktrace_that_stops_by_itself_is_told_and_its_files_kept(
    fake: FakeMachine, tmp_path: Path
) -> None:
    fake.blktrace("dies")
    out = tmp_path / "out"
    with pytest.raises(CaptureError, match="stopped by itself: no space left; what"):
        record(["loop0"], out, machine=fake.machine, how=BLKTRACE)
    assert untouched(fake)
    assert (out / "loop0.blktrace.0").stat().st_size
    assert (out / "end" / "a").is_dir()
    assert (out / "scenario.toml").exists()


def test_blktrace_that_does_not_stop_is_killed_and_its_trace_ended(
    fake: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.blktrace("deaf")
    monkeypatch.setattr(blktrace, "_PATIENCE_S", 0.5)
    with pytest.raises(CaptureError, match="stopped by itself"):
        record(
            ["loop0"], tmp_path / "out", seconds=0.1, machine=fake.machine, how=BLKTRACE
        )
    assert fake.journal()[-3:] == [
        f"signal {signal.SIGINT:d}",
        f"signal {signal.SIGTERM:d}",
        f"-k -d {fake.machine.dev / 'loop0'}",
    ]
    assert untouched(fake)


def test_blktrace_that_opens_no_file_for_long_is_waited_for_in_vain(
    fake: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.blktrace("slow")
    monkeypatch.setattr(blktrace, "_PATIENCE_S", 0.3)
    found = record(
        ["loop0"], tmp_path / "out", seconds=0.1, machine=fake.machine, how=BLKTRACE
    )
    assert found.n_files == 0
    assert untouched(fake)


@pytest.mark.parametrize("part", ["begin", "end"])
def test_disk_that_is_full_ends_the_recording_cleanly(
    fake: FakeMachine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
) -> None:
    def full(tree: Tree, place: Path) -> None:
        if place.name == part:
            raise OSError(28, "No space left on device")
        save_tree(tree, place)

    monkeypatch.setattr(seen_cgroups, "save_tree", full)
    with pytest.raises(OutputError, match="No space left on device; what is there"):
        record(
            ["loop0"], tmp_path / "out", seconds=0.1, machine=fake.machine, how=BLKTRACE
        )
    assert untouched(fake)
    assert any(path.name.startswith("loop0") for path in tmp_path.rglob("*")) or (
        part == "begin"
    )


def test_exception_in_the_midst_stops_blktrace_and_restores_the_option(
    fake: FakeMachine, tmp_path: Path
) -> None:
    def interrupt() -> None:
        assert fake.option.read_text() == "1"
        assert children(fake.machine.blktrace)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(
            ["loop0"],
            tmp_path / "out",
            machine=fake.machine,
            how=BLKTRACE,
            on_start=interrupt,
        )
    assert untouched(fake)
    assert fake.journal()[-1] == f"signal {signal.SIGINT:d}"


def test_directory_that_is_not_empty_or_cannot_be_made_is_refused(
    fake: FakeMachine, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for out, words in [
        (tmp_path / "full", "is not empty"),
        (tmp_path / "full" / "x", "is not a directory"),
        (tmp_path / "no" / "such", "cannot be made: No such file"),
    ]:
        with pytest.raises(OutputError, match=words):
            record(["loop0"], out, machine=fake.machine, how=BLKTRACE)
    assert fake.journal() == []


def test_option_that_cannot_be_read_is_refused(
    fake: FakeMachine, tmp_path: Path
) -> None:
    fake.option.unlink()
    fake.option.mkdir()
    with pytest.raises(CaptureError, match="blk_cgroup: cannot be read or written: Is"):
        record(["loop0"], tmp_path / "out", machine=fake.machine)
    assert not (tmp_path / "out").exists()


def test_blktrace_gets_nothing_of_our_environment(
    fake: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "another-users.so"))
    seen = tmp_path / "seen"
    program = Path(fake.machine.blktrace)
    program.write_text(f"#!/bin/sh\nenv > {seen}\nexit 1\n")
    with pytest.raises(CaptureError, match="blktrace did not start: exit code 1"):
        record(["loop0"], tmp_path / "out", machine=fake.machine, how=BLKTRACE)
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert names <= {"PATH", "LC_ALL", "PWD", "_", "SHLVL", "OLDPWD"}


def test_signal_that_is_ignored_stays_so() -> None:
    # GIVEN what `nohup` began
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.requested
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_blktrace_is_interrupted_where_a_shell_ignores_that_in_its_background(
    fake: FakeMachine, tmp_path: Path
) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        program = Path(fake.machine.blktrace)
        program.write_text(
            "#!/bin/sh\ntouch $6/loop0.blktrace.0\nexec sleep 1000\n", "utf-8"
        )
        record(
            ["loop0"], tmp_path / "out", seconds=0.1, machine=fake.machine, how=BLKTRACE
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert untouched(fake)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_asks_to_stop_and_the_handler_is_restored(number: int) -> None:
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested
    assert signal.getsignal(number) is before


def test_stop_before_the_start_is_a_short_recording(
    fake: FakeMachine, tmp_path: Path
) -> None:
    stop = Stop()
    stop.requested = True
    found = record(
        ["loop0"], tmp_path / "out", machine=fake.machine, how=BLKTRACE, stop=stop
    )
    assert found.n_cgroups == 4
    assert untouched(fake)
