"""What is kept in ``traces/``: complete, small, and what the kernel recorded."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from replay.scenario.keys.load import Scenario

TRACES = Path(__file__).parents[1] / "traces"
NAMES = sorted(path.stem for path in TRACES.glob("*.toml"))


def test_folder_is_smaller_than_4_mb() -> None:
    files = [path for path in TRACES.rglob("*") if path.is_file()]
    kept = [path for path in files if "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in kept) < 4_000_000


def test_every_recording_has_a_scenario_and_every_scenario_a_recording() -> None:
    folders = {path.parent.name for path in TRACES.glob("*/expected.json")}
    assert folders == {*NAMES}
    assert len(NAMES) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_recording_is_complete(name: str) -> None:
    files = sorted(path.name for path in (TRACES / name).iterdir())
    devices = ["loop0", "loop1"] if name == "loop-on-loop" else ["loop0"]
    traces = [f"{device}.blktrace.{cpu}" for device in devices for cpu in (0, 1)]
    assert files == ["expected.json", "ids", *traces]


@pytest.mark.parametrize("name", NAMES)
def test_scenario_asks_a_question_and_is_valid(name: str) -> None:
    text = (TRACES / f"{name}.toml").read_text()
    question = re.match(r"((?:#.*\n)+)\[", text)
    assert question is not None
    assert "?" in question[1]
    Scenario.load(TRACES / f"{name}.toml")


@pytest.mark.parametrize("name", NAMES)
def test_readme_lists_the_recording_with_its_size(name: str) -> None:
    size = sum(path.stat().st_size for path in (TRACES / name).glob("*.blktrace.*"))
    (line,) = [
        line
        for line in (TRACES / "README.md").read_text().splitlines()
        if line.startswith(f"| `{name}` |")
    ]
    assert f"| {size:,} |" in line


@pytest.mark.parametrize("name", NAMES)
def test_recording_and_counters_are_the_kernel_s(
    name: str, ground_truth: Callable[[str], Path]
) -> None:
    recording = ground_truth(name)
    for path in (TRACES / name).glob("loop*"):
        assert path.read_bytes() == (recording / path.name).read_bytes()
    script = [sys.executable, str(TRACES / "expected.py"), str(recording)]
    made = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    assert json.loads(made) == json.loads((TRACES / name / "expected.json").read_text())
