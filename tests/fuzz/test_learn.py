"""The fuzzer that learns, for a moment; `make fuzz SURFACE=...` runs it longer.

The rounds are of as many executions everywhere, and of the same inputs: what a faster
machine would find besides is found by longer rounds, which are no part of the tests.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import replay

HERE = Path(__file__).parent
#: Executions of a round, some seconds together.
EXECUTIONS = {
    "decoder": 40_000,
    "model": 150,
    "text": 150,
    "columns": 100,
    "arrow": 400,
    "scenario": 400,
    "set": 600,
    "result": 1_000,
    "table": 100,
    "dataset": 150,
    "capture": 200,
}


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


@pytest.mark.parametrize("surface", EXECUTIONS)
def test_nothing_is_found_in_a_moment(built: Path, surface: str) -> None:
    wanted = EXECUTIONS[surface]
    command = [sys.executable, str(HERE / "learn.py"), surface, "--seed", "1"]
    source = str(Path(replay.__file__).parents[1])
    done = subprocess.run(
        [*command, "--executions", str(wanted)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["executions"] == wanted
    assert "found" not in told


def test_the_table_of_executions_is_what_its_maker_writes() -> None:
    made = subprocess.run(
        [sys.executable, str(HERE / "table.py"), "--print"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert made.stdout == (HERE / "executions.md").read_text()
