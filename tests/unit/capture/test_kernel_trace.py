"""Recording by the kernel's own interface, with one that is made of files."""

import errno
import fcntl
import json
import os
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

import replay
from replay.capture.record import record
from replay.capture.recorders import interface as kernel_interface
from replay.capture.recorders import kernel_trace
from replay.capture.recorders.claims import Claims
from replay.capture.recorders.interface import SetUp, TraceInterface
from replay.capture.recorders.stop import Stop
from replay.common.errors import CaptureError
from support.machines import FakeMachine, children, make_machine

MIB = 1 << 20


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    (tmp_path / "machine").mkdir()
    return make_machine(tmp_path / "machine")


def untouched(fake: FakeMachine) -> bool:
    """Whether no trace is on, nothing is claimed, and the option is what it was."""
    return (
        fake.kernel.on == set()
        and list(fake.machine.claims.iterdir()) == []
        and children(str(fake.machine.claims)) == []
        and fake.option.read_text().strip() == "0"
    )


def test_devices_are_set_up_started_read_and_torn_down(
    fake: FakeMachine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    started = []

    def started_now() -> None:
        # all traces are on, with cgroup ids
        started.append((set(fake.kernel.on), fake.option.read_text()))

    found = record(
        ["loop0", "loop1"],
        out,
        seconds=0.1,
        buffer_kib=64,
        n_buffers=4,
        machine=fake.machine,
        on_start=started_now,
    )
    assert started == [({"loop0", "loop1"}, "1")]
    assert fake.kernel.asked[:4] == [
        *("set up loop0 65536 4", "set up loop1 65536 4", "start loop0", "start loop1"),
    ]
    assert fake.kernel.asked[-2:] == ["tear down loop0", "tear down loop1"]
    assert untouched(fake)
    # THEN there is a file for each CPU and device, and what was dropped is counted
    assert sorted(path.name for path in out.glob("*.blktrace.*")) == [
        f"loop{device}.blktrace.{cpu}" for device in (0, 1) for cpu in (0, 1)
    ]
    assert (found.n_files, found.dropped) == (4, 2)
    assert (out / "loop0.blktrace.0").stat().st_size > 0
    assert "/p/b" in (out / "scenario.toml").read_text()
    # AND it is read
    with replay.open_or_convert(out / "loop0") as trace:
        assert trace.n_rows == 10


def test_traced_by_another_program_is_refused_and_left_alone(
    fake: FakeMachine, tmp_path: Path
) -> None:
    fake.kernel.on.add("loop1")
    with pytest.raises(CaptureError, match="loop1: is traced already, by blktrace or"):
        record(["loop0", "loop1"], tmp_path / "out", machine=fake.machine)
    # its trace goes on, ours was ended
    assert fake.kernel.on == {"loop1"}
    assert "tear down loop1" not in fake.kernel.asked
    assert not (tmp_path / "out").exists()


def test_what_a_killed_recording_left_is_ended_and_told(
    fake: FakeMachine, tmp_path: Path
) -> None:
    # GIVEN a claim that nobody holds, and a trace that is on
    fake.machine.claims.mkdir()
    (fake.machine.claims / "loop0").write_text('{"pid": 1}')
    fake.kernel.on.add("loop0")
    told: list[str] = []
    record(
        ["loop0"],
        tmp_path / "out",
        seconds=0.05,
        machine=fake.machine,
        on_left=told.append,
    )
    assert told == ["loop0"]
    assert untouched(fake)


def test_claim_without_a_trace_is_no_news(fake: FakeMachine) -> None:
    fake.machine.claims.mkdir()
    (fake.machine.claims / "loop0").write_text("not JSON")
    device = fake.machine.device("loop0")
    with Claims(fake.machine, [device]) as claims:
        assert claims.ended == []
        held = json.loads((fake.machine.claims / "loop0").read_text())
        assert held == {"pid": os.getpid()}
        # WHEN another recording wants the device, and one more
        other = fake.machine.device("loop1")
        with (
            pytest.raises(CaptureError, match=rf"traces it \(process {os.getpid()}\)"),
            Claims(fake.machine, [other, device]),
        ):
            raise AssertionError
        # THEN the other device is free again
        with Claims(fake.machine, [other]):
            pass
    assert untouched(fake)


def test_option_is_what_it_was_when_the_last_recording_ends(fake: FakeMachine) -> None:
    first, second = (fake.machine.device(name) for name in ("loop0", "loop1"))
    with ExitStack() as earlier:
        earlier.enter_context(Claims(fake.machine, [first]))
        with Claims(fake.machine, [second]):
            # WHEN the recording that turned it on ends before another
            earlier.close()
            assert fake.option.read_text().strip() == "1"
        assert fake.option.read_text().strip() == "0"
    assert untouched(fake)


def test_option_that_a_killed_recording_left_on_is_what_it_was(
    fake: FakeMachine,
) -> None:
    # GIVEN a recording that was killed with its guard
    fake.machine.claims.mkdir()
    (fake.machine.claims / ".option").write_text("0")
    fake.option.write_text("1\n")
    with Claims(fake.machine, [fake.machine.device("loop0")]):
        assert fake.option.read_text().strip() == "1"
    assert untouched(fake)


def test_guard_that_still_undoes_is_waited_for(
    fake: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a claim of a process that is no more, whose guard is at work
    fake.machine.claims.mkdir()
    path = fake.machine.claims / "loop0"
    path.write_text('{"pid": 4194304}')
    held = os.open(path, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)

    def done(_: float) -> None:
        path.unlink()
        os.close(held)

    monkeypatch.setattr("time.sleep", done)
    with Claims(fake.machine, [fake.machine.device("loop0")]) as claims:
        # it was undone, and the new file is another
        assert claims.ended == []
        assert json.loads(path.read_text()) == {"pid": os.getpid()}
    monkeypatch.undo()
    assert untouched(fake)


def test_claims_that_cannot_be_written_are_told(fake: FakeMachine) -> None:
    fake.machine.claims.touch()
    with (
        pytest.raises(CaptureError, match="machine/run: cannot be read or written:"),
        Claims(fake.machine, [fake.machine.device("loop0")]),
    ):
        raise AssertionError
    assert fake.option.read_text().strip() == "0"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOTTY, "the kernel cannot trace it .* needs CONFIG_BLK_DEV_IO_TRACE"),
        (errno.ENOMEM, "a trace cannot be set up: Cannot allocate memory"),
    ],
)
def test_trace_that_cannot_be_set_up_is_told(
    fake: FakeMachine, tmp_path: Path, number: int, words: str
) -> None:
    fake.kernel.refuses = number
    with pytest.raises(CaptureError, match=words):
        record(["loop0"], tmp_path / "out", machine=fake.machine)
    assert untouched(fake)


def test_kernel_that_is_locked_down_is_told(
    fake: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: str | Path, flags: int, *others: int, **more: int) -> int:
        if Path(path).name.startswith("trace"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return real(path, flags, *others, **more)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(
        CaptureError, match=r"locked down, .* --with bpf needs no debug"
    ):
        record(["loop0"], tmp_path / "out", machine=fake.machine)
    monkeypatch.undo()
    assert untouched(fake)
    assert not (tmp_path / "out").exists()


def test_debugfs_without_the_traces_files_is_told(
    fake: FakeMachine, tmp_path: Path
) -> None:
    fake.kernel.cpus = 0
    with pytest.raises(CaptureError, match=r"loop0 has no files of the trace: mount"):
        record(["loop0"], tmp_path / "out", machine=fake.machine)
    assert untouched(fake)


def test_disk_that_is_full_ends_the_recording_and_keeps_what_is_there(
    fake: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "out"
    monkeypatch.setattr(kernel_trace, "_write", full)
    with pytest.raises(CaptureError, match="by itself: No space left on device; what"):
        record(["loop0"], out, machine=fake.machine)
    assert untouched(fake)
    assert (out / "ids").exists()


def test_stop_before_the_start_is_a_short_recording(
    fake: FakeMachine, tmp_path: Path
) -> None:
    stop = Stop()
    stop.requested = True
    found = record(["loop0"], tmp_path / "out", machine=fake.machine, stop=stop)
    # what was there when it began is written all the same
    assert found.nbytes > 0
    assert untouched(fake)


# -- a command that runs meanwhile


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -KILL $$"], 137),
    ],
)
def test_commands_end_is_the_recordings(
    fake: FakeMachine, tmp_path: Path, command: list[str], code: int
) -> None:
    out = tmp_path / "out"
    found = record(["loop0"], out, command=command, machine=fake.machine)
    assert found.command_code == code
    assert (out / "end" / "a").is_dir()
    assert untouched(fake)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["sleep", "1000"], 0),
        (["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.01; done"], 3),
    ],
)
def test_command_is_ended_with_the_time(
    fake: FakeMachine, tmp_path: Path, command: list[str], code: int
) -> None:
    found = record(
        ["loop0"],
        tmp_path / "out",
        seconds=0.2,
        command=command,
        machine=fake.machine,
    )
    # its own status, or none where our signal ended it
    assert (found.command_ended, found.command_code) == (True, code)


def test_command_that_cannot_be_started_leaves_nothing(
    fake: FakeMachine, tmp_path: Path
) -> None:
    command = [str(tmp_path / "no-such")]
    with pytest.raises(CaptureError, match="no-such: cannot be started: No such file"):
        record(["loop0"], tmp_path / "out", command=command, machine=fake.machine)
    assert untouched(fake)
    assert not (tmp_path / "out").exists()


# -- the ioctls themselves


class Kernel:
    """Answers ioctls as a kernel of some age does."""

    def __init__(self, refused: dict[int, int]) -> None:
        self.refused = refused
        self.asked: list[tuple[int, bytes]] = []

    def __call__(self, descriptor: int, number: int, given: bytearray) -> int:
        self.asked.append((number, bytes(given)))
        if number in self.refused:
            raise OSError(self.refused[number], "")
        given[:5] = b"loop0"
        return 0


SETUP, SETUP2 = 0xC0481273, 0xC0C0128E


def test_version_8_is_asked_for_first(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel({})
    monkeypatch.setattr(fcntl, "ioctl", kernel)
    assert TraceInterface().set_up(3, 1 << 20, 8) == SetUp("loop0", 8)
    ((number, given),) = kernel.asked
    # name, mask, bytes of a buffer, buffers, first and last sector, pid, flags
    assert number == SETUP2
    assert len(given) == 192
    assert struct.unpack_from("=64sQIIQQII", given)[1:] == (
        *((1 << 64) - 1, 1 << 20, 8),
        *(0, 0, 0, 0),
    )


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTTY])
def test_version_7_is_what_an_older_kernel_has(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    kernel = Kernel({SETUP2: number})
    monkeypatch.setattr(fcntl, "ioctl", kernel)
    assert TraceInterface().set_up(3, 1 << 16, 4) == SetUp("loop0", 7)
    (_, (asked, given)) = kernel.asked
    assert asked == SETUP
    assert len(given) == 72
    assert struct.unpack_from("@32sHIIQQI", given)[1:] == (0xFFFF, 1 << 16, 4, 0, 0, 0)


def test_busy_is_not_taken_for_an_older_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel({SETUP2: errno.EBUSY})
    monkeypatch.setattr(fcntl, "ioctl", kernel)
    with pytest.raises(OSError, match=str(errno.EBUSY)):
        TraceInterface().set_up(3, 1 << 16, 4)
    assert len(kernel.asked) == 1


def test_ioctls_have_the_kernels_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(fcntl, "ioctl", lambda _, number: asked.append(number))
    one = TraceInterface()
    for do in (one.start, one.stop, one.tear_down):
        do(3)
    # _IO(0x12, 116) to 118
    assert asked == [0x1274, 0x1275, 0x1276]
    assert asked[1:] == [
        kernel_interface.BLKTRACESTOP,
        kernel_interface.BLKTRACETEARDOWN,
    ]
