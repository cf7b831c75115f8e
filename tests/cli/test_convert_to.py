"""``replay convert``: which requests, every record, and Parquet."""

from pathlib import Path

import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from replay.cli.main import cli
from support.blktrace import write_set, writes


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A recording of 5 writes in 10 µs, of cgroup 23."""
    write_set(tmp_path, "sda", cpu0=writes(5))
    (tmp_path / "ids").write_text("1 /\n23 /test.slice\n")
    return tmp_path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_filters_keep_some_and_say_how_many(capture: Path) -> None:
    # WHEN a part is converted, by every filter there is
    done = run(
        *("convert", capture, "-o", capture / "t.arrow"),
        *("--from", "0.000002", "--until", "0.000007", "--device", "7:0"),
        *("--cgroup", "/test.slice", "--process", "100", "--op", "write"),
        *("--sectors", "0-16"),
    )
    # THEN what was left out is said
    assert done.exit_code == 0, done.output
    assert "Note: 3 requests filtered out (2 by time, 1 by sectors)" in done.stderr
    assert "2 of 5 requests" in done.stderr
    # THEN the trace file can be filtered on, without the recording
    done = run(
        *("convert", capture / "t.arrow", "-o", capture / "u.arrow"),
        *("--cgroup", "23", "--until", "0.000003"),
    )
    assert done.exit_code == 0, done.output
    assert feather.read_table(capture / "u.arrow").num_rows == 1


def test_a_filter_for_what_is_not_there_is_one_line(capture: Path) -> None:
    done = run("convert", capture, "-o", capture / "t.arrow", "--cgroup", "/test.slyce")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "Error: --cgroup /test.slyce: no cgroup of the trace is there: did you"
        " mean /test.slice?\n"
    )
    assert not (capture / "t.arrow").exists()


def test_run_takes_filters(capture: Path) -> None:
    done = run("run", capture, "--until", "0.000003")
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("replayed 2 requests in ")


def test_parquet_is_written_of_a_recording_and_of_a_trace(capture: Path) -> None:
    one, two = capture / "one.parquet", capture / "two.parquet"
    done = run("convert", capture, "-o", one, "--to", "parquet", "--op", "write")
    assert done.exit_code == 0, done.output
    assert run("convert", capture, "-o", capture / "t.arrow").exit_code == 0
    done = run("convert", capture / "t.arrow", "-o", two, "--to", "parquet")
    assert done.exit_code == 0, done.output
    assert "two.parquet: 5 requests of 20 records from 1 file in " in done.stderr
    assert pq.read_table(one).equals(pq.read_table(two))
    assert set(pq.read_table(one)["cgroup"].to_pylist()) == {"/test.slice"}
    done = run("convert", capture, "-o", one, "--to", "parquet")
    assert done.exit_code == 1
    assert "exists already" in done.stderr


@pytest.mark.parametrize("to", ["arrow", "parquet"])
def test_events_are_written_one_a_record(capture: Path, to: str) -> None:
    path = capture / f"e.{to}"
    done = run("convert", capture, "-o", path, "--events", "--to", to)
    assert done.exit_code == 0, done.output
    assert f"e.{to}: 20 rows of 20 records from 1 file in " in done.stderr
    table = feather.read_table(path) if to == "arrow" else pq.read_table(path)
    assert table["action"].to_pylist() == list("QGDC" * 5)


def test_events_are_not_filtered(capture: Path) -> None:
    done = run("convert", capture, "-o", capture / "e", "--events", "--op", "read")
    assert done.exit_code == 2
    assert "--events takes blktrace's records, and all of them" in done.stderr
