"""``replay batch`` on the command line."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from replay.cli.main import cli
from support.datasets import TRACES, inline_batches

SEED = str(TRACES / "seed-unlimited")


@pytest.fixture(scope="module", autouse=True)
def _inline() -> Iterator[None]:
    with inline_batches():
        yield


def test_it_says_what_it_did(runner: CliRunner, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    command = ["batch", SEED, "-s", f"{SEED}.toml", "--policy", "root"]
    done = runner.invoke(cli, [*command, "-o", out])
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        f"1 pair of 1 trace in {out}: 1 replayed, 0 there already, 0 failed\n"
        "\n"
        "Estimates and losses\n"
        "  driver.policy = root: driver.kernel 6.1 has per-cgroup and never had this; "
        "all other rules are its own\n"
    )
    assert done.stderr.startswith("took ")
    done = runner.invoke(cli, [*command, "-o", out, "-q"])
    assert "0 replayed, 1 there already" in done.stdout
    assert done.stderr == ""


def test_what_failed_is_told_and_the_exit_code_is_1(
    runner: CliRunner, tmp_path: Path
) -> None:
    # GIVEN a list of pairs with one that is well and some that are not
    (tmp_path / "bad.toml").write_text("[driver]\npolicy = 'rot'\n")
    (tmp_path / "no\x1btrace").write_text("x" * 1000)
    shutil.copy(f"{SEED}.toml", tmp_path / "good.toml")
    shutil.copytree(SEED, tmp_path / "good")
    rows = ["good,good.toml", "good,bad.toml", "absent,good.toml", "no\x1btrace,"]
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("\n".join(["trace,scenario", *rows]))

    # WHEN they are replayed
    command = ["batch", "--pairs", str(pairs), "-o", str(tmp_path / "out")]
    done = runner.invoke(cli, command)

    # THEN the good one is there, and of the others it is said why
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("4 pairs of 3 traces in ")
    assert lines[0].endswith("1 replayed, 0 there already, 3 failed")
    assert lines[2] == "What failed"
    assert lines[3].startswith("  absent (good): ")
    assert "no such file" in lines[3]
    assert lines[4].startswith("  good (bad): ")
    assert "driver.policy" in lines[4]
    assert lines[5].startswith(r"  no\x1btrace (default): ")
    assert len(lines) == 6

    # AND in JSON
    done = runner.invoke(cli, [*command, "--json"])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert (told["kept"], told["replayed"], len(told["failures"])) == (1, 0, 3)
    assert told["failures"][0]["scenario"] == "good"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name an INPUT"),
        (["--pairs", "p.csv", "-s", "a.toml"], "-s is for INPUTs"),
        ([SEED, "--jobs", "2", "--cluster", "tcp://x:1"], "--jobs is for this machine"),
    ],
)
def test_a_wrong_use_is_exit_code_2(
    runner: CliRunner, tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = runner.invoke(cli, ["batch", *arguments, "-o", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert told in done.stderr


def test_an_output_is_needed(runner: CliRunner) -> None:
    assert runner.invoke(cli, ["batch", SEED]).exit_code == 2


def test_a_policy_that_is_none_is_refused_in_one_line(
    runner: CliRunner, tmp_path: Path
) -> None:
    command = ["batch", SEED, "--policy", "rot", "-o", str(tmp_path / "out")]
    done = runner.invoke(cli, command)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "driver.policy=rot" in done.stderr
