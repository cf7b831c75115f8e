"""Temporary files go with their process, or with the next one."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from replay.common.leftovers import claimed, is_held, sweep

CLAIM = """
import sys, time
from pathlib import Path
from typing import Any
from replay.common.leftovers import claimed
for kind in ("tmp", "part", "partial"):
    one = claimed(Path(sys.argv[1]), kind)
    if kind != "part":
        (one.path / "file").write_text("half")
print("made", flush=True)
time.sleep(float(sys.argv[2]))
"""


def child(directory: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(directory), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "made\n"
    return process


def test_what_is_claimed_goes_when_the_process_ends(tmp_path: Path) -> None:
    with child(tmp_path, 0) as process:
        process.wait()
    assert list(tmp_path.iterdir()) == []


def test_of_a_killed_process_it_goes_with_the_next(tmp_path: Path) -> None:
    # GIVEN a process that is killed, and one that lives
    with child(tmp_path, 60) as killed:
        killed.kill()
        killed.wait()
    assert len(list(tmp_path.iterdir())) == 3
    with child(tmp_path, 60) as alive:
        # THEN the second removed what the first had left, and nobody what it has
        assert len(list(tmp_path.iterdir())) == 3
        sweep(tmp_path)
        assert len(list(tmp_path.iterdir())) == 3
        assert all(map(is_held, tmp_path.iterdir()))
        alive.send_signal(signal.SIGKILL)
        alive.wait()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["replay-results", "replay-0123456789abcdef", ".replay-0123456789abcdef.part~"],
)
def test_what_is_called_otherwise_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    sweep(tmp_path)
    assert (tmp_path / name).is_dir()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    # GIVEN a link of a temporary directory's name to somebody's directory
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("kept")
    (tmp_path / "replay-0123456789abcdef.tmp").symlink_to(tmp_path / "mine")
    sweep(tmp_path)
    assert (tmp_path / "mine" / "file").read_text() == "kept"


def test_what_others_remove_at_once_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN somebody who removes a directory before it is locked
    opened = os.open
    removed: list[str] = []

    def removing(path: Any, *rest: Any, **more: Any) -> int:
        descriptor = opened(path, *rest, **more)
        if not removed and str(path).endswith(".tmp"):
            removed.append(str(path))
            Path(path).rmdir()
        return descriptor

    monkeypatch.setattr(os, "open", removing)
    one = claimed(tmp_path, "tmp")
    assert str(one.path) not in removed
    assert one.path.is_dir()
    one.remove()
    assert not one.path.exists()
