"""The fuzzer that learns, for a moment; `make fuzz SURFACE=...` runs it longer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import replay

HERE = Path(__file__).parent
SURFACES = (
    *("decoder", "model", "text", "columns", "arrow", "scenario", "set", "result"),
    *("table", "dataset", "capture"),
)
SECONDS = os.environ.get("REPLAY_FUZZ_SECONDS", "2")


@pytest.fixture(scope="session")
def built(top: Path) -> Path:
    """The fuzzer's module, compiled with what it fuzzes."""
    pytest.importorskip("Cython")
    done = subprocess.run(
        [sys.executable, str(HERE / "build.py")], check=False, capture_output=True
    )
    if done.returncode:
        # a compiler without trace-pc
        pytest.skip(done.stderr.decode()[-200:])
    return top / "build" / "fuzz"


@pytest.mark.parametrize("surface", SURFACES)
def test_nothing_is_found_in_a_moment(built: Path, surface: str) -> None:
    command = [sys.executable, str(HERE / "learn.py"), surface, "--seconds", SECONDS]
    source = str(Path(replay.__file__).parents[1])
    done = subprocess.run(
        [*command, "--seed", "1"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["executions"] > 0
