"""``replay doctor``: what a machine can record, and why not."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from replay.capture.doctor import examine
from replay.cli.main import cli
from replay.common.version import VERSION
from support.machines import make_machine


def test_a_machine_that_lacks_nothing_can_record(tmp_path: Path) -> None:
    found = examine(make_machine(tmp_path).machine)
    ways = {one.name: one.missing for one in found.recording}
    assert ways["replay record"] == ()
    assert found.doubts == ()


def test_what_is_missing_is_named_with_what_to_do(tmp_path: Path) -> None:
    # GIVEN a machine whose tracing option is not there
    fake = make_machine(tmp_path)
    fake.option.unlink()
    # WHEN it is looked at
    found = examine(fake.machine)
    # THEN it is said why it cannot be recorded
    (why,) = found.recording[0].missing
    assert "the kernel must be 4.14 or later" in why


def test_the_command_prints_a_line_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(cli, ["doctor"])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"replay {VERSION}, python 3.")
    assert [line for line in lines if line.startswith("  replay record: ")]
    told = json.loads(CliRunner().invoke(cli, ["doctor", "--json"]).stdout)
    assert told["versions"]["replay"] == VERSION
    # AND where a library is not installed the way to it is named
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'cgroup-replay[plots]'" in examine().extras[0].missing[0]
