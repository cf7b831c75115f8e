"""What a request costs, in instructions: a guard that no busy machine disturbs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from guard.replay_cases import CASES, N_REQUESTS

#: All of the engine that the cases call: to make it, and to feed it.
ENGINE = "__pyx_pw_*_6Engine_*"
FILL = "*Services_*fill"
#: Instructions a request; a quarter above what gcc 12 makes of the engine on x86-64.
BOUNDS = {
    "direct": 240,
    "direct, 2,000 cgroups": 500,
    "dependent, direct": 700,
    "tmpfs": 1230,
    "tags, lock, memory.max": 2150,
    "all stages": 2900,
    "kills": 4700,
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Instructions a request, by case."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    if os.environ.get("HYPOTHESIS_PROFILE") == "checked":
        pytest.skip("a build with checks in it")
    directory = tmp_path_factory.mktemp("callgrind")
    done = subprocess.run(
        [
            "valgrind",
            "--tool=callgrind",
            f"--toggle-collect={ENGINE}",
            f"--dump-before={FILL}",
            f"--callgrind-out-file={directory}/out",
            sys.executable,
            str(Path(__file__).parent / "replay_cases.py"),
        ],
        capture_output=True,
        text=True,
        check=False,
        # large tables are new memory each time, which costs no instruction; memory of
        # the case before would be cleared
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    # a dump between any two calls and one at the end; those of nothing are left out
    dumps = sorted(directory.glob("out.*"), key=lambda path: int(path.suffix[1:]))
    found = [n for n in map(total_of, [*dumps, directory / "out"]) if n > 0]
    if not found:
        pytest.skip("the compiled engine has no symbols")
    return {name: total // N_REQUESTS for name, total in zip(CASES, found, strict=True)}


def total_of(dump: Path) -> int:
    """Return the instructions that callgrind counted in a file."""
    for line in dump.read_text().splitlines():
        if line.startswith(("summary:", "totals:")):
            return int(line.split()[1])
    return 0


@pytest.mark.parametrize("case", CASES)
def test_request_costs_no_more_instructions_than_it_did(
    counted: dict[str, int], case: str
) -> None:
    assert counted[case] <= BOUNDS[case]
