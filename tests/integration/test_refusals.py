"""What is refused: one line on stderr, exit code 1 or 2, and nothing half-written."""

import json
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from replay.cli.main import cli
from support.recordings import TRACES

SEED = TRACES / "seed-oom-direct"
SCENARIO = TRACES / "seed-oom-direct.toml"


def call(*arguments: str | Path, at: Path) -> Result:
    """Call the command in a directory."""
    with chdir(at):
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def assert_refused(done: Result, *words: str) -> None:
    """One line that says what is wrong; an exit code that says that it is."""
    # anything but SystemExit would have been a traceback
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Where the command runs; inputs lie elsewhere."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def commands(source: Path) -> list[list[str | Path]]:
    """The two commands that read a trace and write something."""
    return [
        ["convert", source, "-o", "out"],
        ["run", source, "-s", SCENARIO, "-o", "out"],
    ]


@pytest.mark.parametrize("command", [0, 1])
def test_missing_input(work: Path, command: int) -> None:
    missing = work.parent / "absent"
    done = call(*commands(missing)[command], at=work)
    assert_refused(done, str(missing))
    assert files(work) == {}


@pytest.mark.parametrize("command", [0, 1])
def test_wrong_magic(work: Path, command: int) -> None:
    wrong = work.parent / "loop0.blktrace.0"
    wrong.write_bytes(b"not a trace at all" * 100)
    done = call(*commands(wrong)[command], at=work)
    assert_refused(done, str(wrong), "byte 0", "magic")
    assert files(work) == {}


@pytest.mark.parametrize("command", [0, 1])
def test_empty_file(work: Path, command: int) -> None:
    empty = work.parent / "loop0.blktrace.0"
    empty.touch()
    assert_refused(call(*commands(empty)[command], at=work), str(empty))
    assert files(work) == {}


@pytest.mark.parametrize("kept", [100, 10_000, -9, -100])
def test_truncated_trace_file(work: Path, kept: int) -> None:
    # GIVEN a trace file that lost its end
    whole = work.parent / "whole.arrow"
    assert call("convert", SEED, "-o", whole, at=work).exit_code == 0
    cut = work.parent / "cut.arrow"
    cut.write_bytes(whole.read_bytes()[:kept])
    # THEN neither command that opens it takes it
    assert_refused(call("run", cut, "-o", "out", at=work), str(cut))
    assert_refused(call("info", cut, at=work), str(cut))
    assert files(work) == {}


def test_truncated_recording_is_read_as_far_as_it_goes_and_the_rest_counted(
    work: Path,
) -> None:
    # docs/info.md: a damaged trace gives what can be read plus a count, or a refusal
    whole = (SEED / "loop0.blktrace.0").read_bytes()
    cut = work.parent / "loop0.blktrace.0"
    cut.write_bytes(whole[:-20])
    done = call("run", cut, "-o", "out", "-q", at=work)
    assert done.exit_code == 0, done.stderr
    quality = json.loads((work / "out" / "run.json").read_text())["quality"]
    # blktrace's records are 48 bytes and their payload: at most one is cut
    assert 0 < quality["truncated_bytes"] < 100


def test_recording_of_half_a_record_is_refused(work: Path) -> None:
    cut = work.parent / "loop0.blktrace.0"
    cut.write_bytes((SEED / "loop0.blktrace.0").read_bytes()[:20])
    assert_refused(call("run", cut, "-o", "out", at=work), str(cut))
    assert files(work) == {}


def test_unknown_scenario_key(work: Path) -> None:
    wrong = work.parent / "wrong.toml"
    wrong.write_text('[driver]\npolcy = "root"\n')
    done = call("run", SEED, "-s", wrong, "-o", "out", at=work)
    assert_refused(done, str(wrong), "driver.polcy", "driver.policy")
    assert files(work) == {}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("driver.polcy=root", ("driver.polcy", "driver.policy")),
        ("driver.policy=rot", ("driver.policy", "root")),
        ("/test.slice/memory.mx=64M", ("memory.mx", "memory.max")),
        ("/test.slice/memory.max=64Q", ("memory.max", "64Q")),
    ],
)
def test_unknown_key_or_value_that_is_set(
    work: Path, setting: str, words: tuple[str, ...]
) -> None:
    done = call("run", SEED, "--set", setting, "-o", "out", at=work)
    assert_refused(done, *words)
    assert files(work) == {}


def test_missing_scenario(work: Path) -> None:
    done = call("run", SEED, "-s", "absent.toml", "-o", "out", at=work)
    # a path that an option names is click's to check, or ours
    assert done.exit_code in (1, 2)
    assert done.stdout == ""
    assert "absent.toml" in done.stderr
    assert files(work) == {}


def test_output_that_exists_is_kept_as_it_was(work: Path) -> None:
    # GIVEN a trace file and a result
    assert call("convert", SEED, "-o", "t.arrow", "-q", at=work).exit_code == 0
    assert call("run", "t.arrow", "-o", "out", "-q", at=work).exit_code == 0
    before = files(work)
    # WHEN both are to be written again
    for command in (
        ("convert", SEED, "-o", "t.arrow"),
        ("run", "t.arrow", "-s", SCENARIO, "-o", "out"),
    ):
        # THEN they are not
        assert_refused(call(*command, at=work), "--overwrite")
        assert files(work) == before


@pytest.mark.parametrize("command", [0, 1])
def test_output_without_a_place(work: Path, command: int) -> None:
    arguments = [*commands(SEED)[command][:-1], "absent/out"]
    assert_refused(call(*arguments, at=work), "absent")
    assert files(work) == {}


def test_refusal_while_replaying_leaves_the_older_result(work: Path) -> None:
    # GIVEN a result, and a trace file with a byte changed in the middle of its rows
    assert call("convert", SEED, "-o", "t.arrow", "-q", at=work).exit_code == 0
    assert call("run", "t.arrow", "-o", "out", "-q", at=work).exit_code == 0
    (work / "t.arrow").write_bytes(b"\0" * 64 + (work / "t.arrow").read_bytes()[64:])
    before = files(work)
    # WHEN the result is to be replaced by that trace's
    done = call("run", "t.arrow", "-o", "out", "--overwrite", at=work)
    # THEN the older one stays
    assert_refused(done, "t.arrow")
    assert files(work) == before


def test_wrong_usage_is_exit_code_2(work: Path) -> None:
    done = call("run", at=work)
    assert done.exit_code == 2
    assert "Usage:" in done.stderr


def test_the_whole_command_refuses_in_one_line_too(work: Path) -> None:
    # the interpreter's own exit included: no warning, no traceback, no second line
    command = "from replay.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "run", "absent", "-o", "out"],
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: absent")
    assert done.stderr.count("\n") == 1
    assert files(work) == {}
