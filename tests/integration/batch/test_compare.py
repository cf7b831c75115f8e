"""``replay compare`` of scenarios of a dataset: what their traces' requests give."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import replay
from replay.cli.main import cli
from replay.common.errors import OutputError
from replay.dataset.compare import VARIES, compare_scenarios
from support.datasets import TRACES, inline_batches

NAMES = ("seed-unlimited", "seed-oom-direct", "workers-per-cgroup")
ROOT, OWN = "root", "own"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenarios of three traces; a fourth is bad, a fifth has one of them only."""
    folder = tmp_path_factory.mktemp("fleet")
    for name in NAMES:
        shutil.copytree(TRACES / name, folder / name)
    shutil.copytree(TRACES / "high-alone", folder / "alone")
    (folder / "bad").mkdir()
    (folder / "bad" / "sda.blktrace.0").write_bytes(b"this is no recording" * 10)
    limit = """
[cgroups."/test.slice"]
memory.max = "64M"
tasks = [{ comm = "dd", rss = "1M" }]
"""
    for name, policy in ((ROOT, "root"), (OWN, "per-cgroup")):
        driver = f'[driver]\npolicy = "{policy}"\n'
        (folder / f"{name}.toml").write_text(driver + limit)
    lines = [f"{name},{s}.toml" for name in (*NAMES, "bad") for s in (ROOT, OWN)]
    pairs = folder / "pairs.csv"
    pairs.write_text("trace,scenario\n" + "\n".join([*lines, "alone,root.toml"]) + "\n")
    with inline_batches():
        replay.batch(output=folder / "out", pairs=pairs)
    return folder


def call(fleet: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["compare", str(fleet / "out"), *arguments])


def sides(*names: str) -> list[str]:
    return [part for name in names for part in ("--scenario", name)]


def test_percentiles_are_those_of_all_traces_requests(fleet: Path) -> None:
    # GIVEN a dataset, WHEN two of its scenarios are compared over three traces
    dataset = replay.open_dataset(fleet / "out")
    found = dataset.compare(ROOT, OWN)
    rows = {row["cgroup"]: row for row in found.measures.to_pylist()}
    checked = 0
    for side, name in (("base", ROOT), ("other", OWN)):
        # THEN each cgroup's times are the nearest ranks of all single runs' requests,
        # to the width of a bucket, and its counters are their sums
        totals: dict[str, list[int]] = {}
        charged: dict[str, int] = {}
        for trace in NAMES:
            run = replay.run(fleet / trace, fleet / f"{name}.toml", requests=True)
            assert run.requests is not None
            for one in run.requests.to_pylist():
                if one["completion_ns"] is not None:
                    took = one["completion_ns"] - one["arrival_ns"]
                    totals.setdefault(one["issuer"], []).append(took)
            for one in run.charges.to_pylist():
                payer = one["payer"]
                charged[payer] = charged.get(payer, 0) + one["charged_bytes"]
        for cgroup, took in totals.items():
            row = rows[cgroup]
            assert row[f"requests_{side}"] == len(took)
            rank = -(-99 * len(took) // 100)
            exact = int(np.sort(took)[rank - 1])
            assert row[f"p99_ns_{side}"] == pytest.approx(exact, rel=1 / 32)
            assert row[f"max_ns_{side}"] == max(took)
            checked += 1
        for cgroup, nbytes in charged.items():
            assert rows[cgroup][f"charged_bytes_{side}"] == nbytes
    assert checked >= 4
    # AND what is left out is said
    assert found.same_trace
    assert found.notes == (
        "3 traces, added up",
        "1 trace left out: failed under either",
        "1 trace left out: of one scenario only",
    )
    assert found.scenario["driver.policy"] == ("root", "per-cgroup")


def test_kills_are_told_apart_by_trace(fleet: Path) -> None:
    dataset = replay.open_dataset(fleet / "out")
    found = dataset.compare(ROOT, OWN)
    kills = found.tables["kills"].to_pylist()
    assert {row["trace"] for row in kills} == {
        "seed-unlimited",
        "seed-oom-direct",
    }
    assert {row["only_in"] for row in kills} == {"other"}


def test_the_command_fails_with_3_prints_json_and_writes_a_table(
    fleet: Path, tmp_path: Path
) -> None:
    both = sides(ROOT, OWN)
    done = call(fleet, *both, "--trace", "seed-*", "--fail-if", "kills>0")
    assert done.exit_code == 3, done.output
    assert "2 traces, added up" in done.stdout
    assert "other: seed-unlimited: t=" in done.stdout
    assert done.stderr == (
        f"{OWN}: failed: kills of /test.slice grew by 2 (0 -> 2); --fail-if 'kills>0' "
        "allows none\n"
    )
    # one trace without a kill
    done = call(fleet, *both, "--trace", NAMES[2], "--fail-if", "kills>0")
    assert (done.exit_code, done.stderr) == (
        0,
        f"{OWN}: passed: kills grew in no cgroup; --fail-if 'kills>0' allows none\n",
    )

    table = tmp_path / "differences.parquet"
    done = call(fleet, *both, "--json", "-o", str(table))
    (value,) = json.loads(done.stdout)
    assert value["scenario"]["driver.policy"] == {"base": "root", "other": "per-cgroup"}
    assert value["notes"][0] == "3 traces, added up"
    rows = pq.read_table(table).to_pylist()
    assert sum(row["table"] == "kills" for row in rows) == 2
    assert {row["other"] for row in rows} == {OWN}


def test_a_pattern_stands_for_one_scenario_of_each_trace(fleet: Path) -> None:
    done = call(fleet, "--scenario", "r*t", "--scenario", "o*n")
    assert (done.exit_code, done.stderr) == (0, "")
    dataset = replay.open_dataset(fleet / "out")
    named = dataset.compare(ROOT, OWN)
    found = dataset.compare("r*t", "o*n")
    assert found.measures.equals(named.measures)
    # the same with itself differs nowhere
    (none,) = compare_scenarios(dataset, ["r*t", "r*t"])
    assert not any(table.num_rows for table in none.tables.values())


def test_keys_that_differ_for_some_traces_say_so(tmp_path: Path) -> None:
    # GIVEN two traces, each with scenarios of its own
    for trace, base, other in (("a", "8M", "9M"), ("b", "8M", "7M")):
        shutil.copytree(TRACES / "high-alone", tmp_path / trace)
        for name, size in (("x", base), ("y", other)):
            text = f'[backing]\nsize = "{size}"\n'
            (tmp_path / f"{trace}-{name}.toml").write_text(text)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("trace,scenario\na,a-x.toml\na,a-y.toml\nb,b-x.toml\nb,b-y.toml\n")
    with inline_batches():
        replay.batch(output=tmp_path / "out", pairs=pairs)
    found = replay.open_dataset(tmp_path / "out").compare("*-x", "*-y")
    assert found.scenario == {"backing.size": ("8M", VARIES)}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--scenario", "r*t"], 2, "give --scenario at least twice"),
        (["--trace", "x"], 2, "--trace is for a dataset"),
        ([], 2, "at least two OUTDIRs, or a dataset and two --scenario"),
        (["x", "--scenario", "a", "--scenario", "b"], 2, "for one dataset"),
        (["--scenario", "r*t", "--scenario", "*"], 1, "name one of them"),
        (
            ["--scenario", "r*t", "--scenario", "o*n", "--trace", "b?d"],
            1,
            "no trace was replayed under both 'r*t' and 'o*n'",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    fleet: Path, arguments: list[str], code: int, said: str
) -> None:
    done = call(fleet, *arguments)
    assert done.exit_code == code
    assert said in done.stderr.splitlines()[-1]


def test_a_wrong_name_is_told_with_the_nearest(fleet: Path) -> None:
    done = call(fleet, *sides("rot", OWN))
    assert done.exit_code == 1
    assert "no scenario 'rot': did you mean 'root'?" in done.stderr
    assert done.stderr.count("\n") == 1
    dataset = replay.open_dataset(fleet / "out")
    with pytest.raises(OutputError, match=r"no trace 'zzz': there are 'alone', 'bad'"):
        dataset.compare("r*t", "o*n", traces=["zzz"])
