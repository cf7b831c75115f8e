"""What is not there, or is another thing than was asked for, is one clear line."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from replay.cli.main import cli
from support.datasets import TRACES

SEED = TRACES / "seed-unlimited"


def invoke(*arguments: str | Path, code: int) -> str:
    result = CliRunner().invoke(cli, [str(one) for one in arguments])
    assert result.exit_code == code, result.output
    return result.stderr


@pytest.mark.parametrize(
    "given",
    [
        "/test.slice/io.max=9:9 wbps=1M",
        'cgroups."/test.slice".io.max="9:9 wbps=1M"',
        "/test.slice/io.latency=9:9 target=1000",
    ],
)
def test_a_limit_of_a_device_that_is_not_there_is_refused(given: str) -> None:
    # as one of a cgroup that is not there is
    told = invoke("run", SEED, "--set", given, "-q", code=1)
    assert told == (
        f"Error: --set {given}: 9:9 is not there: it is neither replayed nor "
        "backing.device (replayed: 7:0)\n"
    )
    told = invoke("run", SEED, "--set", "/nope/memory.max=1M", "-q", code=1)
    assert told.startswith("Error: --set /nope/memory.max=1M: /nope: no request of the")


def test_so_it_is_where_it_is_varied() -> None:
    varied = "/test.slice/io.max=9:9 wbps=1M,9:9 wbps=2M"
    told = invoke("sweep", SEED, "--vary", varied, "-q", code=1)
    assert told.startswith("Error: --vary /test.slice/io.max=9:9 wbps=")
    assert "9:9 is not there" in told


def test_a_file_that_names_what_is_not_there_is_warned_of_always(
    tmp_path: Path,
) -> None:
    # GIVEN a scenario that may be for another trace
    scenario = tmp_path / "both.toml"
    scenario.write_text(
        '[cgroups."/nope"]\nmemory.max = "64M"\n'
        '[cgroups."/test.slice"]\nio.max = { "9:9" = "wbps=1M" }\n'
    )
    # THEN it runs, and says so whatever else is left out
    told = invoke("run", SEED, "-s", scenario, "-q", "--json", code=0)
    assert told.splitlines() == [
        "warning: /nope: no request of the trace belongs to it or below it",
        "warning: /test.slice: io.max of 9:9 has no effect: it is neither replayed nor "
        "backing.device",
    ]
    # AND a sweep does, even where it matters for some of its points alone
    varied = "driver.direct_io=false,true"
    told = invoke("sweep", SEED, "-s", scenario, "--vary", varied, "-q", code=0)
    assert [line.split(":")[1] for line in told.splitlines()][:1] == [" /nope"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.html", "<!doctype html>", "is a page already: open it in a browser"),
        ("page", "\n<HTML>", "is a page already: open it in a browser"),
        ("a.toml", "", "is a scenario, no result: 'replay run TRACE -s FILE "),
        ("a.parquet", "PAR1", "is a table, no result: name a directory of"),
        ("run.json", "{}", "is part of a result: name its directory, "),
        ("a.png", "\x89PNG", "is a picture, no result: name a directory of"),
    ],
)
def test_a_report_of_another_thing_says_what_it_is(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    told = invoke("report", path, "-o", tmp_path / "new.html", code=1)
    assert told.startswith(f"Error: {path}: {said}")
    assert told.count("\n") == 1
    # AND so it is beside a result
    both = tmp_path / "folder"
    shutil.copytree(SEED, both)
    told = invoke("report", both, path, "-o", tmp_path / "new.html", code=1)
    assert told.startswith(f"Error: {path}: {said}")
    assert not (tmp_path / "new.html").exists()
