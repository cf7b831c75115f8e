"""``replay why``: texts, JSON, and what it refuses."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from replay.cli.main import cli

TRACES = Path(__file__).parents[2] / "traces"


def call(*words: object) -> Result:
    return CliRunner().invoke(
        cli, [str(word) for word in words], env={"COLUMNS": "200"}
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("why") / "out"
    name = "workers-per-cgroup"
    done = call("run", TRACES / name, "-s", TRACES / f"{name}.toml", "-o", place,
                "--requests", "-q")  # fmt: skip
    assert done.exit_code == 0
    return place


def test_the_slowest_of_each_cgroup_is_told(out: Path) -> None:
    done = call("why", out)
    assert done.exit_code == 0
    assert "8 commands of /b in 11.6 ms" in done.stdout
    assert "driver.policy=per-cgroup" in done.stdout


def test_json_has_it_all(out: Path) -> None:
    told = json.loads(call("why", out, "--cgroup", "/a", "--top", "2", "--json").stdout)
    assert [one["issuer"] for one in told["requests"]] == ["/a", "/a"]
    assert told["n_kills"] == 0


def test_what_is_not_there_is_one_line(out: Path, tmp_path: Path) -> None:
    done = call("why", out, "--cgroup", "/z")
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "has no cgroup /z" in done.stderr
    done = call("why", out, "--row", "4000")
    assert done.exit_code == 1
    assert "no request of row 4000 was replayed: the trace's rows are 0 to 3,999" in (
        done.stderr
    )
    done = call("why", tmp_path)
    assert done.exit_code == 1
    done = call("why", out, "--cgroup", "/a", "--row", "1")
    assert done.exit_code == 2
