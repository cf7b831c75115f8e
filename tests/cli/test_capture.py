"""``replay cgroups`` and ``replay record`` as commands."""

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from replay.cli import record
from replay.cli.main import cli
from replay.scenario.keys.load import Scenario
from support.machines import make_machine
from support.recordings import SLEPT, STEADY


def test_cgroups_writes_a_scenario_on_stdout(runner: CliRunner, tmp_path: Path) -> None:
    fake = make_machine(tmp_path)
    done = runner.invoke(cli, ["cgroups", str(fake.cgroups)])
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"# Cgroups of {fake.cgroups}\n")
    scenario = Scenario.from_dict(tomllib.loads(done.stdout))
    assert [one.path for one in scenario.cgroups] == ["/", "/a", "/p", "/p/b"]
    assert scenario.cgroups[1].memory_max == 64 << 20


def test_cgroups_of_every_recording_of_the_lab_load_as_a_scenario(
    runner: CliRunner, recording: Callable[[str], Path], tmp_path: Path
) -> None:
    places = [recording(name) for name in (*SLEPT, *STEADY)]
    for place in places:
        done = runner.invoke(cli, ["cgroups", str(place)])
        assert done.exit_code == 0, done.stderr
        (tmp_path / "s.toml").write_text(done.stdout)
        scenario = Scenario.load(tmp_path / "s.toml")
        named = {line.split()[1] for line in (place / "ids").read_text().splitlines()}
        assert {one.path for one in scenario.cgroups} == named


def test_cgroups_of_this_machine_load_if_there_are_any(runner: CliRunner) -> None:
    top = Path("/sys/fs/cgroup")
    if not (top / "cgroup.controllers").is_file():
        top = top / "unified"
    if not (top / "cgroup.controllers").is_file():
        pytest.skip("no cgroup v2 is mounted")
    done = runner.invoke(cli, ["cgroups", str(top)])
    assert done.exit_code == 0, done.stderr
    scenario = Scenario.from_dict(tomllib.loads(done.stdout))
    assert scenario.cgroups[0].id == top.stat().st_ino


def test_cgroups_refuses_in_one_line(runner: CliRunner, tmp_path: Path) -> None:
    done = runner.invoke(cli, ["cgroups", str(tmp_path / "nope")])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"Error: {tmp_path / 'nope'}: no such directory\n"


def test_record_says_what_is_missing_one_line_each(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = make_machine(tmp_path / "machine")
    Path(fake.machine.blktrace).unlink()
    monkeypatch.setattr(record, "Machine", lambda: fake.machine)
    done = runner.invoke(cli, ["record", "loop0", "sda", "--with", "blktrace"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: {fake.machine.blktrace}: not installed: the package blktrace of the "
        "distribution has it; without --with nothing needs to be installed\n"
        f"Error: sda: no such device: {fake.machine.dev / 'sda'} is not there\n"
    )


def test_record_names_its_directory_after_the_time(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = make_machine(tmp_path / "machine")
    monkeypatch.setattr(record, "Machine", lambda: fake.machine)
    monkeypatch.chdir(tmp_path)
    done = runner.invoke(cli, ["record", "loop0", "--seconds", "0.1", "-q"])
    assert (done.exit_code, done.output) == (0, "")
    (made,) = tmp_path.glob("replay-*-*")
    assert (made / "loop0.blktrace.0").exists()


@pytest.mark.parametrize(
    "arguments",
    [[], ["loop0", "--seconds", "0"], ["loop0", "--buffers", "1"]],
)
def test_wrong_usage_of_record_is_exit_code_2(
    runner: CliRunner, arguments: list[str]
) -> None:
    done = runner.invoke(cli, ["record", *arguments])
    assert done.exit_code == 2
    assert "Usage:" in done.stderr


def test_capture_needs_no_library_but_click() -> None:
    # it is started where something is to be recorded right now
    code = (
        "import sys, replay.cli.record, replay.cli.cgroups\n"
        "heavy = {'pyarrow', 'numpy', 'rich', 'msgspec'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
