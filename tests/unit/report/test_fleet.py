"""What a fleet's scenarios change is counted, not told of the slowest cgroup alone."""

from pathlib import Path
from typing import Any

import pytest

import replay
from replay.report.html.contents import content_of
from replay.report.many.fleet import (
    changes,
    fleet_text,
    ordered_sides,
    scenario_names,
)

TRACES = Path(__file__).parents[3] / "traces"


def pair(trace: str, scenario: str, kills: int = 0) -> dict[str, Any]:
    return {"trace": trace, "scenario": scenario, "kills": kills, "failed": 0}


def time(trace: str, side: str, cgroup: str, p99_ns: int) -> dict[str, Any]:
    return {"trace": trace, "side": side, "cgroup": cgroup, "p99_ns": p99_ns}


def test_cgroups_that_change_are_counted_each_by_its_own_time() -> None:
    # GIVEN a slow cgroup that stays as it is, and others that change beside it
    pairs = [pair("t", "one"), pair("t", "two", 1), pair("u", "one"), pair("u", "two")]
    named = {(row["trace"], row["scenario"]): row["scenario"] for row in pairs}
    times = [
        *(time("t", side, "/slow", 10**9) for side in ("one", "two")),
        time("t", "one", "/a", 100_000),
        time("t", "two", "/a", 300_000),
        time("u", "one", "/b", 100_000),
        time("u", "two", "/b", 50_000),
        # THEN one that a scenario lacks is not compared
        time("u", "two", "/new", 1),
    ]
    (found,) = changes(pairs, named, times, ["one", "two"])
    assert (found.n_cgroups, found.n_traces) == (3, 2)
    assert (found.longer, found.shorter) == ((1, 1), (1, 1))
    assert found.most == ("t", "/a", 100_000, 300_000)
    assert found.text() == (
        "under two, against one: of 3 cgroups in 2 traces, p99 is longer for 1 (in 1 "
        "trace), shorter for 1 (in 1 trace); somebody is killed in 1 trace instead of "
        "0; most: /a of t, 300 us instead of 100 us"
    )


def test_a_fleet_where_nothing_changes_says_so() -> None:
    pairs = [pair("t", "one"), pair("t", "two")]
    named = {(row["trace"], row["scenario"]): row["scenario"] for row in pairs}
    times = [time("t", side, "/a", 100) for side in ("one", "two")]
    (found,) = changes(pairs, named, times, ["one", "two"])
    assert found.text() == (
        "under two, against one: p99 of 1 cgroup in 1 trace is within 10 %"
    )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> replay.Dataset:
    place = tmp_path_factory.mktemp("fleet") / "fleet"
    inputs = [TRACES / "workers-per-cgroup", TRACES / "workers-root"]
    replay.batch(inputs, output=place, policies=["root", "per-cgroup"], jobs=1)
    return replay.open_dataset(place)


def test_page_and_summary_begin_with_the_same_count(fleet: replay.Dataset) -> None:
    text = fleet_text(fleet)
    line = text.splitlines()[1].strip()
    assert "of 3 cgroups in 2 traces, p99 is longer for 1 (in 1 trace)" in line
    pytest.importorskip("vl_convert")
    title = content_of(fleet).title
    assert title.lower() == line.lower()


def test_the_base_is_the_driver_that_traces_were_recorded_under(
    fleet: replay.Dataset,
) -> None:
    # GIVEN root named first and first by name, and recordings of the merged driver
    pairs = fleet.runs.to_pylist()
    named = scenario_names(pairs)
    assert ordered_sides(fleet, pairs, named) == ["per-cgroup", "root"]
    # THEN the picture has no column of the base against itself
    pytest.importorskip("vl_convert")
    first = content_of(fleet).pictures[0]
    cells = first.spec["data"]["values"]
    assert {cell["scenario"] for cell in cells} == {"root"}
    assert first.title.endswith("against per-cgroup")


def test_without_a_plain_scenario_the_base_is_what_was_named_first(
    tmp_path: Path,
) -> None:
    # GIVEN two limits and no limit, in no order of their names
    files = {"b": "64M", "a": "32M"}
    for name, limit in files.items():
        text = f'[cgroups."/test.slice"]\nmemory.max = "{limit}"\n'
        (tmp_path / f"{name}.toml").write_text(text)
    place = tmp_path / "fleet"
    for scenarios in ([tmp_path / "b.toml"], [tmp_path / "a.toml"]):
        replay.batch(TRACES / "seed-unlimited", scenarios, output=place, jobs=1)

    def sides() -> list[str]:
        dataset = replay.open_dataset(place)
        pairs = dataset.runs.to_pylist()
        return ordered_sides(dataset, pairs, scenario_names(pairs))

    assert [Path(name).name for name in sides()] == ["b", "a"]
    # AND the plain one, once there is one
    replay.batch(TRACES / "seed-unlimited", output=place, jobs=1)
    assert [Path(name).name for name in sides()] == ["default", "b", "a"]
