"""A batch that is killed and started again ends as if nothing had happened."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import replay
from support.datasets import TRACES, assert_clean, assert_equal

TESTS = Path(__file__).parents[2]
BATCH = "from replay.cli.main import main; main()"
PATHS = {"PYTHONPATH": f"{Path(replay.__file__).parents[1]}{os.pathsep}{TESTS}"}


def command(output: Path) -> list[str]:
    scenarios = ["seed-unlimited", "nested-unlimited", "seed-swap"]
    options = [part for s in scenarios for part in ("-s", str(TRACES / f"{s}.toml"))]
    policies = ["--policy", "root", "--policy", "per-cgroup"]
    return [
        *(sys.executable, "-c", BATCH, "batch", str(TRACES), *options, *policies),
        *("-o", str(output)),
    ]


def test_killed_before_every_step_it_goes_on(tmp_path: Path) -> None:
    # GIVEN a batch, WHEN it is killed before each step that changes the disk, and once
    # more while it recovers
    driver = [sys.executable, "-m", "support.kill_driver", str(tmp_path), str(TRACES)]
    done = subprocess.run(
        driver,
        env={**os.environ, **PATHS},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )

    # THEN the same batch, started again, gives what an undisturbed one gives
    n_steps = int(done.stdout)
    assert n_steps > 50
    for step in range(1, n_steps + 1):
        assert_equal(tmp_path / str(step), tmp_path / "whole")
        assert_clean(tmp_path / str(step))


def test_killed_at_random_it_goes_on(tmp_path: Path) -> None:
    # GIVEN an undisturbed batch
    environment = {**os.environ, **PATHS}
    began = time.monotonic()
    subprocess.run(command(tmp_path / "whole"), env=environment, check=True)
    took = time.monotonic() - began

    # WHEN others are killed, each a few times, with all their workers at work
    chance = random.Random(6)
    output = tmp_path / "killed"
    n_killed = 0
    for _ in range(20):
        process = subprocess.Popen(command(output), env=environment)
        time.sleep(took * chance.uniform(0.3, 1.0))
        if process.poll() is None:
            process.kill()
            n_killed += 1
        process.wait()
        if n_killed == 4:
            break
        if process.returncode == 0:
            # nothing is left to do: it was faster than the first, so be sooner
            shutil.rmtree(output)
            took *= 0.7
    assert n_killed

    # THEN what is missing is done, and nothing else, and the result is the same
    done = subprocess.run(
        [*command(output), "-q"], env=environment, stdout=subprocess.PIPE, check=True
    )
    assert b", 0 failed" in done.stdout
    assert_equal(output, tmp_path / "whole")
    assert_clean(output)


def test_a_second_batch_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    environment = {**os.environ, **PATHS}
    output = tmp_path / "dataset"
    first = subprocess.Popen(command(output), env=environment)
    lock = output / "_replay" / "lock"
    end = time.monotonic() + 60
    while not (lock.exists() and lock.read_text()):
        assert time.monotonic() < end
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)
    try:
        # WHEN another one wants the same dataset
        second = subprocess.run(
            command(output),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        # THEN it is refused, and told by whom
        assert second.returncode == 1
        assert f"process {first.pid} of " in second.stderr
        assert "is at work on it" in second.stderr
    finally:
        first.kill()
        first.wait()
    # THEN not any more once it is dead
    assert subprocess.run(command(output), env=environment, check=False).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_so_and_goes_on(tmp_path: Path, number: int) -> None:
    environment = {**os.environ, **PATHS}
    output = tmp_path / "dataset"
    first = subprocess.Popen(
        command(output), env=environment, stderr=subprocess.PIPE, text=True
    )
    traces = output / "_replay" / "traces"
    end = time.monotonic() + 60
    while not (traces.exists() and any(traces.iterdir())):
        assert time.monotonic() < end
        time.sleep(0.01)
    first.send_signal(number)
    _, told = first.communicate()
    assert first.returncode == 128 + number
    assert "Traceback" not in told
    if number == signal.SIGINT:
        assert "the same command goes on from there" in told
    assert subprocess.run(command(output), env=environment, check=False).returncode == 0
