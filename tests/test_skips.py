"""A run in which more tests are skipped than may be fails, and says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

THREE = """
import pytest

@pytest.mark.parametrize("one", range(3))
def test_it(one):
    pytest.skip("not here")
"""


@pytest.mark.parametrize("most", [2, 3])
def test_more_skips_than_the_most_fail_the_run(tmp_path: Path, most: int) -> None:
    (tmp_path / "test_three.py").write_text(THREE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "support.skips", "test_three.py"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "REPLAY_MAX_SKIPS": str(most),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    said = "3 tests were skipped, and REPLAY_MAX_SKIPS allows 2"
    assert (done.returncode, said in done.stdout) == (int(most < 3), most < 3)
