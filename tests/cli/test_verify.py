"""``replay verify``: a replay held against the counters that were saved with it."""

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from replay.cli import main

Find = Callable[[str], Path]


def test_a_recording_is_verified_as_it_lies(runner: CliRunner, recording: Find) -> None:
    done = runner.invoke(main.cli, ["verify", str(recording("7.3/trim"))])
    assert done.exit_code == 0, done.output
    words = done.output.split()
    assert "18,792,448" in words
    assert "18,800,640" in words
    assert "All 17 numbers are within 5 % of what was counted" in done.output


def test_what_is_further_off_than_it_may_be_ends_with_3(
    runner: CliRunner, recording: Find
) -> None:
    # GIVEN the run of a limit, which the trace shows with dd's own memory left out
    capture = str(recording("7.3/seed-40"))
    done = runner.invoke(main.cli, ["verify", capture, "--within", "0.01"])
    assert done.exit_code == 3
    assert "BEYOND 1 %" in done.output


def test_json_holds_each_number(runner: CliRunner, recording: Find) -> None:
    capture = str(recording("7.3/trim"))
    done = runner.invoke(main.cli, ["verify", capture, "--json"])
    facts = json.loads(done.stdout)
    assert facts["holds"] is True
    line = next(
        one
        for one in facts["lines"]
        if (one["cgroup"], one["what"]) == ("/z", "memory.stat shmem")
    )
    assert line == {
        "cgroup": "/z",
        "what": "memory.stat shmem",
        "predicted": 1_048_576,
        "counted": 1_048_576,
        "off": 0.0,
        "holds": True,
    }


def test_io_of_cgroup_v1_is_compared(
    runner: CliRunner, recording: Find, tmp_path: Path
) -> None:
    # GIVEN counters as cgroup v1 has them
    place = tmp_path / "capture"
    shutil.copytree(recording("7.3/trim"), place)
    for path in place.rglob("*"):
        path.chmod(path.stat().st_mode | 0o200)
    for part, nbytes in (("begin", 100), ("end", 26_394_724)):
        folder = place / part / "w"
        (folder / "io.stat").unlink()
        (folder / "blkio.throttle.io_service_bytes").write_text(
            f"7:0 Read 0\n7:0 Write {nbytes}\n7:0 Total {nbytes}\nTotal {nbytes}\n"
        )
    done = runner.invoke(main.cli, ["verify", str(place), "--json"])
    lines = {
        (one["cgroup"], one["what"]): one for one in json.loads(done.stdout)["lines"]
    }
    assert lines["/w", "io.stat 7:0 wbytes"]["counted"] == 26_394_624


def test_an_archive_is_held_against_its_own_counters(
    runner: CliRunner, recording: Find, tmp_path: Path
) -> None:
    # GIVEN a packed recording, in a directory of the archive or not
    place = recording("7.3/trim")
    within, bare = tmp_path / "within.tar.gz", tmp_path / "bare.tar"
    with tarfile.open(within, "w:gz") as archive:
        archive.add(place, "some/../capture/")
    with tarfile.open(bare, "w") as archive:
        archive.add(place, ".")

    def lines(capture: Path) -> object:
        done = runner.invoke(main.cli, ["verify", str(capture), "--json"])
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert found["capture"] == str(capture)
        return found["lines"]

    # THEN it says what the directory does
    assert lines(bare) == lines(place)
    # AND a name that leads out of the archive stays within
    done = runner.invoke(main.cli, ["verify", str(within)])
    assert done.exit_code == 1
    assert f"{within}: holds no begin/" in done.output


def test_directory_without_counters_is_refused(
    runner: CliRunner, tmp_path: Path
) -> None:
    done = runner.invoke(main.cli, ["verify", str(tmp_path)])
    assert done.exit_code == 1
    assert "holds no begin/: `replay record` saves counters" in done.output
