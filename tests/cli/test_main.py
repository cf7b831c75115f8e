"""The group: imported lazily, one line for what is refused, exit codes as said."""

import errno
import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import types
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import replay
from replay.cli import main
from replay.common.errors import TraceError
from replay.common.version import VERSION
from support.blktrace import write_set, writes


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module that holds a command ``trouble``, known to the group."""
    module = types.ModuleType("trouble_module")
    monkeypatch.setitem(sys.modules, "trouble_module", module)
    monkeypatch.setitem(main.COMMANDS, "trouble", ("trouble_module", "Make trouble."))
    return module


def raising(error: BaseException) -> click.Command:
    @click.command("trouble")
    def trouble() -> None:
        raise error

    return trouble


def test_help_lists_the_commands_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from replay.cli.main import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "heavy = {'pyarrow', 'numpy', 'rich', 'msgspec'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in ("convert", "info", "run", "compare"):
        assert f"\n  {name} " in done.stdout


def test_the_command_line_does_not_wait_for_pandas() -> None:
    # GIVEN an environment that has pandas, as the tests' has
    # WHEN a command makes an Arrow array of a list, where pyarrow asks for pandas
    code = (
        "import sys; from replay.cli import main\n"
        "main._leave = lambda code: None\n"
        "sys.argv[1:] = ['formats']\n"
        "try: main.main()\n"
        "except SystemExit as end: assert not end.code\n"
        "import pyarrow; pyarrow.array([1])\n"
        "sys.exit('pandas' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    # THEN it was not imported, and nothing failed
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", main.COMMANDS)
def test_each_command_has_help(runner: CliRunner, name: str) -> None:
    result = runner.invoke(main.cli, [name, "-h"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: cli {name} ")


def test_the_version_is_told(runner: CliRunner) -> None:
    result = runner.invoke(main.cli, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"replay, version {VERSION}\n")


@pytest.mark.parametrize("arguments", [["unknown"], ["--unknown"], ["convert"]])
def test_wrong_usage_exits_with_2(runner: CliRunner, arguments: list[str]) -> None:
    result = runner.invoke(main.cli, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage: " in result.stderr


def test_a_command_that_is_mistyped_is_named(runner: CliRunner) -> None:
    result = runner.invoke(main.cli, ["rnu", "trace"])
    assert result.exit_code == 2
    assert result.stderr.endswith("No such command 'rnu'. Did you mean 'run'?\n")
    assert "mean" not in runner.invoke(main.cli, ["xyzzy"]).stderr


def test_a_refusal_is_one_line_on_stderr(
    runner: CliRunner, command: types.ModuleType
) -> None:
    # GIVEN a file whose name holds a line break and an escape sequence
    error = TraceError("a\nb\x1b[31m: byte 0: is not a trace file")
    command.trouble = raising(error)  # type: ignore[attr-defined]
    # WHEN a command refuses it
    result = runner.invoke(main.cli, ["trouble"])
    # THEN one plain line says so
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "Error: a\\nb\\x1b[31m: byte 0: is not a trace file\n"


def test_an_interrupt_exits_with_130(
    runner: CliRunner, command: types.ModuleType
) -> None:
    command.trouble = raising(KeyboardInterrupt())  # type: ignore[attr-defined]
    result = runner.invoke(main.cli, ["trouble"])
    assert result.exit_code == 130
    assert result.stderr == "Interrupted: nothing was written.\n"


RUN = "from replay.cli.main import main; main()"


@pytest.mark.parametrize("arguments", [["keys"], ["--help"], ["run", "--help"]])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_an_output_that_cannot_be_written_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", RUN, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    said = "Error: cannot write the output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_a_reader_that_has_gone_is_no_error() -> None:
    # GIVEN a pipe that nobody reads any more
    reading, writing = os.pipe()
    os.close(reading)
    # WHEN a command writes to it
    with os.fdopen(writing, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-c", RUN, "keys"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    # THEN it ends without a word
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("arguments", [["run"], ["info"], ["info", "--json"]], ids=str)
def test_a_closed_stream_takes_nothing_and_stops_nothing(
    tmp_path: Path, arguments: list[str], closed: tuple[int, ...]
) -> None:
    # GIVEN a process that is started without a standard stream
    write_set(tmp_path, "loop0", cpu0=writes(3))
    closing = " ".join(f"{number}>&-" for number in closed)
    if arguments == ["run"]:
        arguments = ["run", "-o", str(tmp_path / "out")]
    # WHEN it opens files, which get the lowest numbers that are free
    done = subprocess.run(
        [
            *("sh", "-c", f'exec "$@" {closing}', "sh", sys.executable, "-c", RUN),
            *(*arguments, str(tmp_path / "loop0")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    # THEN all is done, and said where it can be
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (done.stdout == "") is (1 in closed)
    if "-o" in arguments:
        assert replay.open_results(tmp_path / "out").info["counts"]["requests"] == 3


def test_nothing_can_be_read_from_a_closed_standard_input() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-c", RUN, "run", "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    said = "Error: -: standard input is closed: name a file\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_message_that_cannot_be_written_costs_no_result(tmp_path: Path) -> None:
    write_set(tmp_path, "loop0", cpu0=writes(3))
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", RUN, "run", str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
        )
    assert done.returncode == 0
    assert "3 requests" in done.stdout


def test_a_terminal_of_few_characters_sees_the_report(tmp_path: Path) -> None:
    # GIVEN a terminal, and a locale without the characters of a report
    write_set(tmp_path, "loop0", cpu0=writes(3))
    terminal, child = pty.openpty()
    code = subprocess.run(
        [sys.executable, "-c", RUN, "info", str(tmp_path)],
        stdout=child,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "TERM": "xterm"},
        text=True,
        check=False,
    )
    os.close(child)
    shown = os.read(terminal, 1 << 16).decode("ascii")
    os.close(terminal)
    # THEN it is shown with what the locale has
    assert code.returncode == 0, code.stderr
    assert "3 requests" in shown


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EIO, "Input/output error", "a\nb"), "a\\nb: Input/output error"),
        (MemoryError(), "not enough memory"),
        (
            UnicodeEncodeError("utf-8", "dir/\udcff", 4, 5, "surrogates not allowed"),
            "'dir/\\udcff': this name is not in the locale's encoding or not UTF-8: "
            "rename it, or set LC_ALL=C.UTF-8",
        ),
    ],
)
def test_what_the_system_refuses_is_one_line(
    runner: CliRunner, command: types.ModuleType, error: Exception, said: str
) -> None:
    command.trouble = raising(error)  # type: ignore[attr-defined]
    result = runner.invoke(main.cli, ["trouble"])
    assert (result.exit_code, result.stderr) == (1, f"Error: {said}\n")


def test_a_trace_whose_name_is_no_text_is_read_and_named(
    top: Path, tmp_path: Path
) -> None:
    # GIVEN a recording in a directory whose name is not UTF-8
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/tr\xff \xc3\xa4")
    shutil.copytree(top / "traces" / "seed-unlimited", folder)
    # WHEN it is used, in a locale that has not the rest of the name either
    for locale in ({}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        for arguments in (
            ["run", folder, "-o", "out", "--overwrite"],
            ["info", folder],
        ):
            done = subprocess.run(
                [sys.executable, "-c", RUN, *map(os.fsencode, arguments)],
                cwd=tmp_path,
                env={**os.environ, **locale},
                capture_output=True,
                check=False,
            )
            # THEN it is, and it is named by what can be printed
            assert done.returncode == 0, done.stderr
        info = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))
        assert info["trace"]["path"].endswith("/tr\\xff ä")


@pytest.mark.parametrize(
    ("words", "completed"), [("replay ru", "run"), ("replay run --int", "--interval")]
)
def test_the_shell_completes_commands_and_options(words: str, completed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        env={
            **os.environ,
            "_REPLAY_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"plain,{completed}\n", done.stderr


@pytest.mark.parametrize("name", main.COMMANDS)
def test_examples_of_the_help_are_understood(name: str) -> None:
    # GIVEN a command's examples
    command = main.cli.get_command(click.Context(main.cli), name)
    assert command is not None
    for line in (command.epilog or "").splitlines()[2:]:
        _, called, *arguments = shlex.split(line.partition(" > ")[0])
        # THEN they call it, by options that it has
        assert called == name
        command.make_context(name, arguments)


def test_a_termination_unwinds_and_exits_with_143() -> None:
    # GIVEN the command in the middle of its work
    code = (
        "import sys, time, types, click\n"
        "from replay.cli import main\n"
        "@click.command('wait')\n"
        "def wait():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        # not signal.pause(): a signal just before it would be waited for again
        "        while True:\n"
        "            time.sleep(0.01)\n"
        "    finally:\n"
        "        print('cleaned', flush=True)\n"
        "sys.modules['wait_module'] = types.SimpleNamespace(wait=wait)\n"
        "main.COMMANDS['wait'] = ('wait_module', '')\n"
        "sys.argv = ['replay', 'wait']\n"
        "main.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        # WHEN it is terminated
        process.send_signal(signal.SIGTERM)
        # THEN what it holds is cleaned up
        assert process.stdout.read() == "cleaned\n"
    assert process.returncode == 143
