"""``replay compare``: exit codes, JSON, Parquet."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import replay
from replay.cli.main import cli
from replay.results.long import SCHEMA
from support import results as made
from support.recordings import TRACES


@pytest.fixture
def results(tmp_path: Path) -> list[str]:
    """Two results on disk, the second with a kill more."""
    places = [tmp_path / "root", tmp_path / "per-cgroup"]
    made.result().write(places[0])
    made.per_cgroup().write(places[1])
    return [str(place) for place in places]


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["compare", *arguments])


def test_changes_that_fail_are_told_on_stderr_with_exit_code_3(
    results: list[str],
) -> None:
    done = call(*results, "--fail-if", "kills>0")
    assert done.exit_code == 3
    assert "driver.policy: root -> per-cgroup" in done.stdout
    assert done.stderr == (
        f"{results[1]}: failed: kills of /test.slice/b grew by 1 (1 -> 2); "
        "--fail-if 'kills>0' allows none\n"
    )


def test_without_a_change_that_fails_the_exit_code_is_0(results: list[str]) -> None:
    done = call(*results, "--fail-if", "mean>10%")
    assert (done.exit_code, done.stderr) == (
        0,
        f"{results[1]}: passed: mean grew in no cgroup; --fail-if 'mean>10%' allows "
        "10 %\n",
    )
    # AND what was not asked is not told
    done = call(*results)
    assert (done.exit_code, done.stderr) == (0, "")


def test_conditions_that_held_are_told_beside_those_that_did_not(
    results: list[str],
) -> None:
    conditions = [f"--fail-if={one}" for one in ("errors>9", "kills>0", "kills>5")]
    done = call(*results, *conditions, "--json")
    assert done.exit_code == 3
    assert done.stderr.splitlines() == [
        f"{results[1]}: failed: kills of /test.slice/b grew by 1 (1 -> 2); --fail-if "
        "'kills>0' allows none",
        f"{results[1]}: passed: errors grew in no cgroup; --fail-if 'errors>9' allows "
        "9",
        f"{results[1]}: passed: kills of /test.slice/b, which changes most, grew by 1 "
        "(1 -> 2); --fail-if 'kills>5' allows 5",
    ]
    # AND what could not be looked at has not passed: / has no requests
    done = call(*results, "--fail-if", "p99@/>1%", "--fail-if", "io@/>1%")
    assert done.exit_code == 1
    assert done.stderr == (
        f"{results[1]}: nothing to compare for --fail-if 'p99@/>1%': / does not have "
        "requests in both\n"
        f"{results[1]}: passed: io of / has not grown; --fail-if 'io@/>1%' allows "
        "1 %\n"
    )


def test_a_wrong_change_is_wrong_usage(results: list[str]) -> None:
    done = call(*results, "--fail-if", "p99>10")
    assert done.exit_code == 2
    assert "--fail-if 'p99>10': '10' is not a value such as 1ns" in done.stderr


def test_json_holds_what_failed(results: list[str]) -> None:
    done = call(*results, "--json", "--fail-if", "kills>0")
    assert done.exit_code == 3
    (found,) = json.loads(done.stdout)
    assert found["failed"] == [
        {"condition": "kills>0", "cgroup": "/test.slice/b", "base": 1, "other": 2}
    ]


def test_three_results_are_one_table_of_differences(
    results: list[str], tmp_path: Path
) -> None:
    # GIVEN three results, the last like the first
    third = str(tmp_path / "again")
    made.result().write(third)
    # WHEN compared into a file
    path = tmp_path / "differences.parquet"
    done = call(*results, third, "-o", str(path))
    assert done.exit_code == 0
    # THEN it has the numbers that differ, of the second alone
    table = pq.read_table(path)
    assert table.schema.equals(SCHEMA)
    assert set(table["other"].to_pylist()) == {results[1]}
    rows = {
        (row["table"], row["cgroup"], row["measure"]): row for row in table.to_pylist()
    }
    paid = rows["charges", "/test.slice", "io_bytes"]
    assert (paid["related"], paid["base_value"]) == ("/test.slice", 0)
    assert (paid["difference"], paid["relative"]) == (256 * 1024, None)
    mean = rows["latency", "/test.slice/b", "mean_ns"]
    assert (mean["detail"], mean["difference"]) == ("total", -15 * made.MS)
    assert mean["relative"] == pytest.approx(-15 / 21)
    killed = rows["kills", "/test.slice/b", "kills"]
    assert (killed["detail"], killed["other_value"]) == ("java", 1)
    # AND is not replaced unless that is asked for
    assert call(*results, "-o", str(path)).exit_code == 1
    assert call(*results, "-o", str(path), "--overwrite").exit_code == 0


def test_times_of_a_cgroup_without_requests_are_not_zero(tmp_path: Path) -> None:
    # GIVEN recordings of which one has /a and /b, the other the root alone
    places = [str(tmp_path / name) for name in ("workers-per-cgroup", "workers-root")]
    for place in places:
        replay.run(TRACES / Path(place).name, output=place)
    done = call(*places, "--fail-if", "p99>10%")
    # THEN nothing is compared that is not there, and nothing has passed
    assert re.search(r"/a +221 us +- +-\n", done.stdout)
    assert re.search(r"/ +- +3.27 ms +-\n", done.stdout)
    assert "no cgroup has requests in both" in done.stderr
    assert done.exit_code == 1
