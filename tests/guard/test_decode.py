"""What an event costs to decode and pair, in instructions."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.generate import write_records
from benchmarks.shape import Shape
from guard.test_instructions import total_of

#: Instructions an event; a quarter above what gcc 12 makes of the decoder on x86-64.
BOUND = 480


@pytest.mark.parametrize("tagged", [True, False])
def test_event_costs_no_more_instructions_than_it_did(
    tagged: bool, tmp_path: Path
) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    if os.environ.get("HYPOTHESIS_PROFILE") == "checked":
        pytest.skip("a build with checks in it")
    # GIVEN 100,000 events of four CPUs, cgroups with their ids or not
    directory = tmp_path / "records"
    write_records(Shape(requests=20_000, cgroups=100, tagged=tagged), directory)
    # WHEN they are decoded
    done = subprocess.run(
        [
            "valgrind",
            "--tool=callgrind",
            "--toggle-collect=*Decoder_run*",
            f"--callgrind-out-file={tmp_path}/out",
            sys.executable,
            str(Path(__file__).parent / "decode_case.py"),
            str(directory),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    n_events = int(done.stdout)
    n_instructions = total_of(tmp_path / "out")
    if n_instructions == 0:
        pytest.skip("the compiled decoder has no symbols")
    # THEN it costs no more than it did
    assert n_events > 100_000
    assert n_instructions / n_events <= BOUND
