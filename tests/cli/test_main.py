"""The group: imported lazily, one line for what is refused, exit codes as said."""

import signal
import subprocess
import sys
import types

import click
import pytest
from click.testing import CliRunner

from replay.cli import main
from replay.errors import TraceError
from replay.version import VERSION


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
        "main._leave = lambda: None\n"
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


def test_a_termination_unwinds_and_exits_with_143() -> None:
    # GIVEN the command in the middle of its work
    code = (
        "import sys, types, click, signal\n"
        "from replay.cli import main\n"
        "@click.command('wait')\n"
        "def wait():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        signal.pause()\n"
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
