"""`replay record` as a process of its own that is interrupted or killed."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.machines import children

#: Records on a machine of files until it is stopped; says when it runs.
PROGRAM = """\
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from click.testing import CliRunner
from support import machines
from replay.cli import main, record
machine = machines.make_machine(Path({top!r}))
machine.blktrace({how!r})
record.Machine = lambda: machine.machine
sys.argv = ["replay", "record", "loop0", "-o", {out!r}, "--with", {recorder!r}]
main.main()
"""


@pytest.fixture
def recorder(
    tmp_path: Path,
) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts `replay record` in a process of its own, and waits until it records."""

    def start(how: str, recorder: str = "blktrace") -> "subprocess.Popen[str]":
        (tmp_path / "machine").mkdir()
        path = [str(Path(__file__).parents[1]), *sys.path]
        code = PROGRAM.format(
            path=path,
            top=str(tmp_path / "machine"),
            how=how,
            recorder=recorder,
            out=str(tmp_path / "out"),
        )
        child = subprocess.Popen(
            [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True
        )
        assert child.stderr is not None
        first = child.stderr.readline()
        assert first.startswith("Recording loop0 into")
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        end = f"kill {child.pid}" if ignored else "Ctrl-C"
        assert first.endswith(f": {end} stops\n")
        return child

    return start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_command_as_its_end_would(
    recorder: Callable[..., "subprocess.Popen[str]"], tmp_path: Path, number: int
) -> None:
    child = recorder("slow to stop")
    option = tmp_path / "machine" / "tracing" / "options" / "blk_cgroup"
    assert option.read_text() == "1"
    child.send_signal(number)
    # impatience changes nothing
    time.sleep(0.05)
    child.send_signal(number)
    _, said = child.communicate(timeout=20)
    assert child.returncode == 0
    assert "2 events were dropped for want of buffers" in said
    assert "in 1 trace file, 4 cgroups" in said
    # what to do with it is the last line
    out = tmp_path / "out"
    assert said.splitlines()[-1] == f"Next: replay info {out}; replay run {out}"
    assert option.read_text().strip() == "0"
    assert children(str(tmp_path / "machine" / "bin")) == []
    assert (tmp_path / "out" / "scenario.toml").exists()


def test_recording_that_ignores_ctrl_c_says_what_stops_it(
    recorder: Callable[..., "subprocess.Popen[str]"],
) -> None:
    # GIVEN a recording that a shell began in the background
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = recorder("slow to stop")
    finally:
        signal.signal(signal.SIGINT, before)
    # WHEN it gets what a terminal would send, it goes on
    child.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.3)
    # and what its first line told ends it
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=20)
    assert child.returncode == 0


def test_command_that_is_killed_takes_blktrace_and_the_option_with_it(
    recorder: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    # WHEN nothing can be done any more
    child = recorder("good")
    child.kill()
    child.communicate()
    # THEN blktrace is asked to stop all the same, and the option restored
    option = tmp_path / "machine" / "tracing" / "options" / "blk_cgroup"
    deadline = time.monotonic() + 10
    program = str(tmp_path / "machine" / "bin")
    while time.monotonic() < deadline and (
        children(program) or option.read_text() != "0"
    ):
        time.sleep(0.05)
    assert children(program) == []
    assert option.read_text() == "0"
    # AND what there was at the begin is named
    assert "/p/b" in (tmp_path / "out" / "ids").read_text()


def test_what_is_killed_while_the_kernel_records_is_undone_by_its_guard(
    recorder: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    child = recorder("good", recorder="kernel")
    machine = tmp_path / "machine"
    claim, option = machine / "run" / "loop0", machine / "tracing/options/blk_cgroup"
    assert json.loads(claim.read_text()) == {"pid": child.pid}
    assert option.read_text() == "1"
    child.kill()
    child.communicate()
    # THEN the claim is gone, which is undone last, and the option is what it was
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and (claim.exists() or option.read_text() != "0"):
        time.sleep(0.05)
    assert not claim.exists()
    assert option.read_text() == "0"
    # AND no guard is left
    assert children(str(claim)) == []
