"""What a batch is asked to do: inputs, patterns, lists of pairs."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from replay.common.errors import ScenarioError, TraceError
from replay.dataset.places import Place
from replay.dataset.plan import Plan, Wanted
from replay.dataset.sources import find_sources
from support.datasets import TRACES


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Captures of two hosts, and a trace file among other things."""
    for name in ("host1/capture", "host2/capture", "host2/old/capture"):
        folder = tmp_path / "fleet" / name
        folder.mkdir(parents=True)
        (folder / "sda.blktrace.0").touch()
        (folder / "sda.blktrace.1").touch()
    (tmp_path / "fleet" / "host1" / "sdb.arrow").touch()
    (tmp_path / "fleet" / "notes.txt").touch()
    (tmp_path / "a.toml").write_text("")
    (tmp_path / "b.toml").write_text("[driver]\npolicy = 'root'\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(text: str, base: Place | None = None) -> list[str]:
    return [source.name for source in find_sources(text, base)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("fleet/host1/capture", ["fleet/host1/capture"]),
        ("./fleet/host1/capture/", ["fleet/host1/capture"]),
        ("fleet/host1/capture/sda", ["fleet/host1/capture/sda"]),
        ("fleet/host1/capture/sda.blktrace.1", ["fleet/host1/capture/sda"]),
        (
            "fleet",
            [
                "fleet/host1/capture",
                "fleet/host1/sdb.arrow",
                "fleet/host2/capture",
                "fleet/host2/old/capture",
            ],
        ),
        ("fleet/*/capture", ["fleet/host1/capture", "fleet/host2/capture"]),
        (
            "fleet/**/capture",
            ["fleet/host1/capture", "fleet/host2/capture", "fleet/host2/old/capture"],
        ),
        (
            "fleet/host?/capture/sda.*",
            ["fleet/host1/capture/sda", "fleet/host2/capture/sda"],
        ),
        ("*/host1", ["fleet/host1/capture", "fleet/host1/sdb.arrow"]),
    ],
)
def test_an_input_names_traces(fleet: Path, text: str, found: list[str]) -> None:
    assert names(text) == found


def test_what_is_found_lies_where_it_is_said(fleet: Path) -> None:
    for base in (None, Place.of(fleet)):
        for source in find_sources("fleet", base):
            assert source.place == Place.of(fleet / source.name)


def test_a_pattern_that_is_a_name_is_the_name(fleet: Path) -> None:
    odd = fleet / "what[1]*"
    odd.mkdir()
    (odd / "sda.blktrace.0").touch()
    assert names("what[1]*") == ["what[1]*"]


def test_a_directory_without_traces_is_refused(fleet: Path) -> None:
    (fleet / "empty").mkdir()
    with pytest.raises(TraceError, match=r"empty: holds no recording .* by a pattern"):
        names("empty")


def plan_of(
    path: Path, text: str, policies: Sequence[str] = ()
) -> dict[str, list[str]]:
    path.write_text(text)
    plan = Plan(Wanted(policies=policies))
    plan.listed(path)
    return {trace.name: list(trace.scenarios) for trace in plan.traces}


def test_a_list_of_pairs_is_read_from_its_place(
    fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "\ufefftrace, scenario\n"
        "\n"
        "fleet/host1/capture,b.toml\n"
        "fleet/*/capture, a.toml\n"
        f'"{fleet}/fleet/host1/sdb.arrow",\n'
    )
    monkeypatch.chdir("/")
    assert plan_of(fleet / "pairs.csv", text) == {
        f"{fleet}/fleet/host1/sdb.arrow": ["default"],
        "fleet/host1/capture": ["a", "b"],
        "fleet/host2/capture": ["a"],
    }
    short = plan_of(
        fleet / "pairs.csv", "trace\nfleet/host1/capture\n", policies=["root"]
    )
    assert short == {"fleet/host1/capture": ["default:root"]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty: its first line is 'trace,scenario'"),
        ("trace,policy\na,b\n", "line 1: a column 'policy'"),
        ("scenario\na\n", "line 1: 'scenario'"),
        ("trace,trace\na,a\n", "line 1: 'trace,trace'"),
        ("trace,scenario\na,b,c\n", "line 2: 3 fields under 2 columns"),
        ("trace,scenario\n,b\n", "line 2: names no trace"),
        ('trace\n"a\n', "line 2: "),
    ],
)
def test_a_list_that_is_none_is_refused_with_its_line(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(TraceError, match=told):
        plan_of(tmp_path / "pairs.csv", text)
    (tmp_path / "pairs.csv").write_bytes(b"trace\n\xff\n")
    with pytest.raises(TraceError, match="byte 6: is no text"):
        Plan(Wanted()).listed(tmp_path / "pairs.csv")
    with pytest.raises(TraceError, match="cannot be read"):
        Plan(Wanted()).listed(tmp_path / "none.csv")


def test_rows_that_name_nothing_are_pairs_that_fail(fleet: Path) -> None:
    (fleet / "bad.toml").write_text("[drivr]\n")
    path = fleet / "pairs.csv"
    path.write_text("trace,scenario\nnone*,a.toml\nfleet/host1/capture,bad.toml\n")
    plan = Plan(Wanted())
    plan.listed(path)
    one, other = plan.traces
    assert one.source is not None
    assert "did you mean" in one.scenarios["bad"].error
    assert other.source is None
    assert other.error == "none*: no such file or directory"


def test_doubles_are_one_and_what_only_looks_so_is_refused(fleet: Path) -> None:
    plan = Plan(Wanted(policies=["root", "naive"]))
    plan.cross(["fleet/host1", "fleet/*/capture"], ["a.toml", "./a.toml", "b.toml"])
    assert plan.n_pairs == 3 * 4
    (fleet / "other").mkdir()
    (fleet / "other" / "a.toml").write_text("[arrivals]\nmode = 'dependent'\n")
    shutil.copytree(fleet / "fleet", fleet / "other" / "fleet")
    with pytest.raises(TraceError, match="fleet/host1/capture: two traces"):
        plan_again(plan, fleet, "fleet/host1/capture,a.toml")
    plan.cross([f"{fleet}/fleet/host1/capture"], ["a.toml"])
    with pytest.raises(ScenarioError, match="a:root: two scenarios are called so"):
        plan_again(plan, fleet, f"{fleet}/fleet/host1/capture,a.toml")


def plan_again(plan: Plan, fleet: Path, rows: str) -> None:
    path = fleet / "other" / "pairs.csv"
    path.write_text(f"trace,scenario\n{rows}\n")
    plan.listed(path)


def test_files_are_found_with_the_names_of_cgroups() -> None:
    (source,) = find_sources(str(TRACES / "seed-unlimited"))
    files = source.files()
    assert [file.place.name for file in files] == [
        "loop0.blktrace.0",
        "loop0.blktrace.1",
        "ids",
    ]
    assert all(file.stamp and file.nbytes for file in files)
