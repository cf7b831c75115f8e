"""A sweep tells each cgroup's times, and whom it waited behind."""

from pathlib import Path
from typing import Any

import pytest

import replay
from replay.common.errors import ScenarioError
from replay.report.html.contents import pictures_of
from replay.report.html.static import titled
from replay.report.sweep import answer_text
from replay.report.text import render_text
from replay.sweeps.sweep import Sweep

vl_convert = pytest.importorskip("vl_convert")

TRACES = Path(__file__).parents[3] / "traces"
POLICIES = "driver.policy=root,per-cgroup"


def lines(found: Sweep) -> list[list[str]]:
    """Return the words of each line that is wide enough for a terminal's table."""
    return [line.split() for line in render_text(found, width=1000).splitlines()]


@pytest.fixture(scope="module")
def policies() -> Sweep:
    return replay.sweep(
        TRACES / "workers-per-cgroup",
        TRACES / "workers-per-cgroup.toml",
        vary=[POLICIES],
        jobs=1,
    )


@pytest.fixture(scope="module")
def limits() -> Sweep:
    return replay.sweep(
        TRACES / "workers-per-cgroup",
        vary=["/b/io.max=7:0 wbps=16M,7:0 wbps=48M,7:0 wbps=256M"],
        keep=["p999@/b<150ms"],
        jobs=1,
    )


def test_each_cgroup_has_its_times_and_whom_it_waited_behind(policies: Sweep) -> None:
    # README has the same mean, p99 and wait of a run under root
    told = [" ".join(one) for one in lines(policies)]
    (a,) = [one for one in told if one.startswith("root /a ")]
    assert a.endswith(" 530 us 10.9 ms 1.24 s, behind /b")
    # AND under per-cgroup nobody waits for another, though /b waits for itself
    (alone,) = [one for one in told if one.startswith("per-cgroup /a ")]
    assert alone.endswith(" -")
    rows = {
        (point.values[0], row["cgroup"]): row
        for point in policies.points
        for row in point.rows()
    }
    assert rows["per-cgroup", "/b"]["wait_ns"]
    assert not rows["per-cgroup", "/b"]["wait_others_ns"]


def test_a_sweep_without_a_condition_says_what_the_points_differ_in(
    policies: Sweep,
) -> None:
    said = "p99 of /a: 5.87 ms under per-cgroup, 10.9 ms under root"
    assert answer_text(policies) == said
    assert said in render_text(policies, width=1000)
    killed = replay.sweep(
        TRACES / "seed-unlimited",
        TRACES / "seed-unlimited.toml",
        vary=[POLICIES],
        jobs=1,
    )
    assert answer_text(killed) == (
        "dd in /test.slice is killed under per-cgroup, not under root"
    )


def test_a_point_between_the_least_and_the_most_has_its_time() -> None:
    found = replay.sweep(
        TRACES / "high-unlimited",
        TRACES / "high-unlimited.toml",
        vary=["driver.kernel=5.10,6.12,7.3"],
        jobs=1,
    )
    assert answer_text(found) == (
        "p99 of /b: 15.7 ms under 5.10, 7.68 s under 6.12, 4.01 s under 7.3"
    )


def test_words_have_a_matrix_of_who_waits_behind_whom(policies: Sweep) -> None:
    pictures = {one.name: one for one in pictures_of(policies)}
    waits = pictures["wait_others"]
    assert waits.title == "/a waits 1.24 s behind /b under root, not at all under " + (
        "per-cgroup"
    )
    cells = {
        (row["at"], row["pair"]): row["took"] for row in waits.spec["data"]["values"]
    }
    assert cells["root", "/a behind /b"] == "1.24 s"
    assert cells["per-cgroup", "/a behind /b"] == "nothing"
    # AND a mean never stands without p50 and p99
    times = pictures["p99"].spec["data"]["values"]
    assert {row["time"] for row in times} == {"p50", "mean", "p99"}
    for one in pictures.values():
        assert vl_convert.vegalite_to_svg(titled(one, 400)).startswith("<svg")


def test_what_is_to_be_kept_is_a_column_and_a_line_in_its_picture(
    limits: Sweep,
) -> None:
    (knee,) = limits.knees
    assert knee.holds is not None
    header = next(
        one for one in lines(limits) if one[:3] == ["io.max", "wbps", "cgroup"]
    )
    assert "p999" in header
    first = pictures_of(limits)[0]
    assert first.name == "p999"
    layers: list[dict[str, Any]] = first.spec["layer"]
    (rule,) = [
        one["data"]["values"]
        for one in layers
        if one["mark"].get("type") == "rule" and "y" in one["encoding"]
    ]
    assert rule == [{"value": 150.0, "text": "p999@/b<150ms"}]
    # AND the limit that keeps it stands there as people say it
    texts = [
        row["text"]
        for one in layers
        if one["mark"].get("type") == "text" and "x" in one["encoding"]
        for row in one["data"]["values"]
    ]
    number = next(
        one.numbers[0] for one in limits.points if one.values[0] == knee.holds
    )
    assert number is not None
    mib = f"{number / 2**20:.4g} MiB/s"
    assert texts == [f"smallest that keeps p999@/b<150ms: {mib}"]
    assert answer_text(limits).endswith(f" is {mib}")
    assert str(number) not in answer_text(limits)
    assert vl_convert.vegalite_to_svg(titled(first, 400)).startswith("<svg")


def test_a_limit_of_ones_own_is_no_wait_behind_others(limits: Sweep) -> None:
    told = lines(limits)
    (slow,) = [one for one in told if one[:3] == ["16", "MiB/s", "/b"]]
    assert slow[-1] == "-"


def test_a_wrong_key_is_said_of_the_option_that_it_was_given_to() -> None:
    with pytest.raises(ScenarioError, match=r"^--vary driver\.polic=root: unknown key"):
        replay.sweep(TRACES / "seed-unlimited", vary=["driver.polic=root,naive"])
    with pytest.raises(ScenarioError, match=r"^--set driver\.polic=root: unknown key"):
        replay.sweep(
            TRACES / "seed-unlimited",
            vary=[POLICIES],
            overrides=["driver.polic=root"],
        )


def test_a_picture_of_counts_says_where_there_are_any() -> None:
    # GIVEN a writer that is killed under one policy of three
    name = TRACES / "seed-unlimited"
    vary = ["driver.policy=root,per-cgroup,enospc"]
    found = replay.sweep(name, name.with_suffix(".toml"), vary=vary, jobs=1)
    titles = {one.name: one.title for one in pictures_of(found)}
    assert (
        titles["kills"] == "Tasks killed: 1 under per-cgroup; none under root, enospc"
    )
    assert titles["errors"] == (
        "Requests that failed: 194 under enospc; 1 under per-cgroup; none under root"
    )
