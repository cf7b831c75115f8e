"""Sweeps are drawn as what they are: steps, whole numbers, all that is looked at."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import replay
from replay.report.html.contents import pictures_of
from replay.report.html.page import page_html
from replay.report.html.rows import MOST_CGROUPS
from replay.report.html.static import titled
from replay.report.html.subjects.sweep import sweep_content
from replay.results.measures import MEASURES, SCHEMA
from replay.sweeps.axes import parse_axis
from replay.sweeps.points import Point
from replay.sweeps.sweep import Sweep

vl_convert = pytest.importorskip("vl_convert")

TRACES = Path(__file__).parents[3] / "traces"
LIMIT = "/test.slice/memory.max"


def point(values: tuple[str, ...], numbers: Any, **cgroups: dict[str, int]) -> Point:
    """Make a point of measures by cgroup."""
    rows = [
        dict.fromkeys(SCHEMA.names)
        | dict.fromkeys(MEASURES, 0)
        | {"cgroup": f"/{cgroup}", "op": "all"}
        | measures
        for cgroup, measures in cgroups.items()
    ]
    return Point(
        values=values,
        numbers=numbers,
        refined=False,
        table=pa.Table.from_pylist(rows, schema=SCHEMA),
    )


def layers(picture: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = picture.spec["layer"]
    return found


@pytest.fixture(scope="module")
def found() -> Sweep:
    return replay.sweep(
        TRACES / "seed-unlimited",
        TRACES / "seed-unlimited.toml",
        vary=[f"{LIMIT}=16M..512M*2"],
    )


def test_outcomes_are_steps_and_counts_are_whole(found: Sweep) -> None:
    pictures = {one.name: one for one in pictures_of(found)}
    kills = pictures["kills"]
    lines = [one for one in layers(kills) if one["mark"].get("type") == "line"]
    assert {one["mark"]["interpolate"] for one in lines} == {"step-after"}
    (line,) = lines
    assert line["encoding"]["y"]["axis"]["values"] == [0, 1]
    assert line["encoding"]["y"]["scale"]["domain"] == [0, 1]
    # values that grow by a factor have a logarithm, and so do latencies
    assert line["encoding"]["x"]["scale"]["type"] == "log"
    (slow,) = [one for one in layers(pictures["p99"]) if "transform" in one][:1]
    assert slow["encoding"]["y"]["scale"]["type"] == "log"


def test_the_band_lies_between_what_breaks_and_what_holds(found: Sweep) -> None:
    (knee,) = found.knees
    bands = layers(pictures_of(found)[0])[0]
    (band,) = bands["data"]["values"]
    assert bands["mark"]["type"] == "rect"
    numbers = {point.values[0]: point.numbers[0] for point in found.points}
    assert knee.holds is not None
    assert knee.breaks is not None
    assert (numbers[knee.breaks], numbers[knee.holds]) == (
        band["from"] * 2**20,
        band["to"] * 2**20,
    )


def test_every_picture_can_be_drawn(found: Sweep) -> None:
    for one in pictures_of(found):
        assert vl_convert.vegalite_to_svg(titled(one, 400)).startswith("<svg")
    assert page_html(sweep_content(found)).startswith("<!doctype html>")


def test_each_panel_draws_those_that_have_most_of_it() -> None:
    # GIVEN 20 slow cgroups, and one that is fast and killed
    axis = parse_axis("/c/memory.max=16M,32M")
    slow = {f"s{n}": {"p99_ns": 10**9 + n} for n in range(20)}
    points = [
        point((value,), (number,), **slow, c={"kills": 3, "p99_ns": 1})
        for value, number in zip(axis.values, axis.numbers, strict=True)
    ]
    pictures = {
        one.name: one
        for one in pictures_of(Sweep(axes=(axis,), points=points, knees=[]))
    }
    # THEN the panel of kills draws it, that of latencies the slowest, and says so
    drawn = {row["cgroup"] for row in pictures["kills"].spec["data"]["values"]}
    assert drawn == {"/c"}
    drawn = {row["cgroup"] for row in pictures["p99"].spec["data"]["values"]}
    assert len(drawn) == MOST_CGROUPS
    assert "/c" not in drawn
    assert pictures["p99"].note.startswith("12 of 21 cgroups")
    assert "wait_others" not in pictures


def test_two_keys_are_a_heat_map_with_its_frontier() -> None:
    found = replay.sweep(
        TRACES / "seed-unlimited",
        TRACES / "seed-unlimited.toml",
        vary=[f"{LIMIT}=64M,512M", "driver.policy=naive,enospc"],
        along=LIMIT,
    )
    kills = pictures_of(found)[0]
    cells = {(row["x"], row["y"]): row for row in kills.spec["data"]["values"]}
    assert {key: (cell["value"], cell["holds"]) for key, cell in cells.items()} == {
        ("64M", "naive"): (1, False),
        ("64M", "enospc"): (0, True),
        ("512M", "naive"): (0, True),
        ("512M", "enospc"): (0, True),
    }
    assert "outlined: kills=0 holds" in kills.note
    assert vl_convert.vegalite_to_svg(titled(kills, 400)).startswith("<svg")


def test_words_are_dots_not_slopes() -> None:
    found = replay.sweep(
        TRACES / "seed-unlimited", vary=["driver.policy=root,per-cgroup"]
    )
    for one in pictures_of(found):
        assert one.spec["mark"]["type"] == "point"
        assert vl_convert.vegalite_to_svg(titled(one, 400)).startswith("<svg")


def test_a_file_says_whose_colours_they_are(found: Sweep) -> None:
    charged = next(one for one in pictures_of(found) if one.name == "charged")
    spec = titled(charged, 400)
    legends = [
        one["encoding"]["color"]["legend"]["values"]
        for one in spec["layer"]
        if "color" in one["encoding"]
    ]
    assert legends
    assert all("/test.slice" in names for names in legends)
