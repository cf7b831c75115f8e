"""A disk that is full: a clear error, nothing lost, and the same command goes on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import replay
from support.datasets import TRACES, assert_clean, assert_equal

#: Files may not become longer than this many bytes; workers inherit it.
LIMITED = (
    "import resource, sys; n = int(sys.argv.pop(1)); "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (n, resource.RLIM_INFINITY)); "
    "from replay.cli.main import main; main()"
)
UNLIMITED = 1 << 30


def run(output: Path, n_bytes: int = UNLIMITED) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-c", LIMITED, str(n_bytes), "batch", str(TRACES)),
            *("--policy", "root", "--policy", "naive", "-o", str(output), "-q"),
        ],
        env={**os.environ, "PYTHONPATH": str(Path(replay.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )


def check_refused(done: subprocess.CompletedProcess[str], reason: str) -> None:
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "cannot be written" in done.stderr
    assert reason in done.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "out"
    assert run(path).returncode == 0
    return path


def test_the_disk_ends_at_any_step(whole: Path, tmp_path: Path) -> None:
    # GIVEN limits that converted recordings, the journal or the tables meet first
    for n_bytes in (1_000, 150_000):
        output = tmp_path / str(n_bytes)
        # WHEN a batch meets one, THEN that is said in a line
        check_refused(run(output, n_bytes), "File too large")
        # WHEN there is room again, THEN the same command does the rest
        done = run(output)
        assert done.returncode == 0, done.stderr
        assert_equal(output, whole)
        assert_clean(output)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "none", str(path)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip("a file system cannot be mounted here")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk(whole: Path, small_disk: Path) -> None:
    output = small_disk / "out"
    check_refused(run(output), "No space left on device")
    subprocess.run(["mount", "-o", "remount,size=64M", str(small_disk)], check=True)
    assert run(output).returncode == 0
    assert_equal(output, whole)
