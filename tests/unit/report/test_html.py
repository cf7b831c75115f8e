"""Pages of results: what is drawn, what is cut, what a name may hold."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import replay
from replay.common.errors import OutputError
from replay.common.intervals import AUTO_INTERVALS, auto_interval
from replay.report.facts import lone_wait
from replay.report.html import rows
from replay.report.html.anonymous import without_names
from replay.report.html.colours import GREY, PALETTE, colours
from replay.report.html.drawing import STAGE_COLOURS
from replay.report.html.pictures import pictures
from replay.report.html.results import report_html
from replay.report.html.rows import STAGES

pytest.importorskip("vl_convert")

TRACES = Path(__file__).parents[3] / "traces"
HOSTILE = "/a</script><script>document.title='ran'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def waited(tmp_path_factory: pytest.TempPathFactory) -> replay.Result:
    return replay.run(
        TRACES / "workers-per-cgroup",
        TRACES / "workers-per-cgroup.toml",
        interval="auto",
        requests=True,
        output=tmp_path_factory.mktemp("results") / "waited",
    )


@pytest.fixture(scope="module")
def killed() -> replay.Result:
    return replay.run(
        TRACES / "seed-unlimited", TRACES / "seed-unlimited.toml", interval="auto"
    )


def data_of(page: str) -> dict[str, Any]:
    (text,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL
    )
    found: dict[str, Any] = json.loads(text)
    return found


def waited_for_somebody(result: replay.Result) -> int:
    """Sum the waits, without what passes before the driver with nobody ahead."""
    return sum(
        row["wait_ns"]
        for row in result.interference.to_pylist()
        if not lone_wait(row["waiting"], row["blocking"], row["resource"])
    )


def names_of(drawn: list[Any]) -> list[str]:
    return [one.name for one in drawn]


def test_a_run_with_waits_shows_them_first(waited: replay.Result) -> None:
    drawn = pictures({"one": waited})
    assert names_of(drawn) == [
        *("waits", "latency", "stages", "memory", "why", "time", "requests"),
        *("lanes", "throughput", "depth", "payers"),
    ]
    # the title is the answer, and the marks add up to the table
    assert re.fullmatch(r"/a waits .* behind /b, for the \w+", drawn[0].title)
    told = sum(row["wait_s"] for row in drawn[0].spec["data"]["values"])
    table = waited_for_somebody(waited)
    assert told == pytest.approx(table / 1e9, rel=1e-12)


def test_the_timeline_is_gone_through_once(
    waited: replay.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a page with three pictures over time
    asked = []
    once = rows.over_time

    def counted(*given: Any) -> Any:
        asked.append(given)
        return once(*given)

    monkeypatch.setattr(rows, "over_time", counted)
    names = names_of(pictures({"one": waited}))
    assert {"time", "throughput"} <= set(names)
    assert len(asked) == 1


def test_a_kill_and_its_limit_stand_in_the_memory_picture(
    killed: replay.Result,
) -> None:
    (memory,) = [one for one in pictures({"one": killed}) if one.name == "memory"]
    assert memory.title.startswith("dd in /test.slice is killed at ")
    layers = memory.spec["layer"]
    (limit,) = layers[1]["data"]["values"]
    assert (limit["limit"], limit["mib"]) == ("memory.max = 64M", 64)
    (kill,) = layers[-1]["data"]["values"]
    assert kill["time_s"] == killed.kills["time_ns"][0].as_py() / 1e9


def test_requests_that_take_no_time_are_told() -> None:
    # GIVEN requests of which most take none
    table = replay.run(TRACES / "seed-unlimited").histograms
    total = table.filter([stage == "total" for stage in table["stage"].to_pylist()])
    result = replay.run(TRACES / "seed-unlimited")
    low = [0] * total.num_rows
    zeros = total.set_column(4, "low_ns", [low]).set_column(5, "high_ns", [low])
    made = replay.Result({**result.tables, "histograms": zeros}, result.info)
    # THEN the picture says so
    assert rows.timeless(made, rows.ShownCgroups(["/test.slice"])) == {
        "/test.slice": 1.0
    }
    (latency,) = [one for one in pictures({"x": made}) if one.name == "stages"]
    assert latency.title


def test_the_distribution_is_that_of_the_requests(waited: replay.Result) -> None:
    # GIVEN every request's latency
    table = waited.requests
    assert table is not None
    took = sorted(
        done - came
        for done, came, who in zip(
            table["completion_ns"].to_pylist(),
            table["arrival_ns"].to_pylist(),
            table["issuer"].to_pylist(),
            strict=True,
        )
        if who == "/b"
    )
    # THEN at each point of the line so many take longer, but for a bucket's width
    points = [
        row
        for row in rows.distributions(waited, rows.ShownCgroups(["/a", "/b"]))
        if row["cgroup"] == "/b"
    ]
    assert len(points) > 20
    for row in points[:-1]:
        longer = sum(1 for one in took if one > row["time_ms"] * 1e6 * 1.01)
        shorter = sum(1 for one in took if one > row["time_ms"] * 1e6 / 1.01)
        assert longer <= round(row["longer"] * len(took)) <= shorter


def test_many_requests_become_a_map_of_the_same_requests(
    waited: replay.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = rows.ShownCgroups(["/a", "/b"])
    points, none = rows.request_points(waited, shown)
    assert none == []
    monkeypatch.setattr(rows, "MOST_POINTS", 10)
    none, cells = rows.request_points(waited, shown)
    assert none == []
    for name in ("/a", "/b"):
        n = sum(1 for row in points if row["cgroup"] == name)
        assert sum(row["count"] for row in cells if row["cgroup"] == name) == n
    for row in cells:
        inside = [
            one
            for one in points
            if one["cgroup"] == row["cgroup"]
            and row["from_s"] <= one["at_s"] + 1e-6
            and one["at_s"] <= row["to_s"] + 1e-6
            and row["low_ms"] <= one["ms"] * 1.0001 + 1e-5
            and one["ms"] <= row["high_ms"] * 1.0001 + 1e-5
        ]
        assert len(inside) >= row["count"]


def test_what_is_not_told_apart_is_added_up_and_said(
    waited: replay.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOST_CGROUPS", 1)
    drawn = pictures({"one": waited})
    assert "1 of 3 cgroups; the others are added up" in drawn[0].note
    told = drawn[0].spec["data"]["values"]
    assert {row["waiting"] for row in told} <= {"/b", "(others)"}
    table = waited_for_somebody(waited)
    assert sum(row["wait_s"] for row in told) == pytest.approx(table / 1e9)


def test_no_name_becomes_markup(killed: replay.Result) -> None:
    # GIVEN a cgroup whose name is a script
    tables = {
        name: _renamed(table, "/test.slice", HOSTILE)
        for name, table in killed.tables.items()
    }
    info = json.loads(
        json.dumps(killed.info).replace("/test.slice", HOSTILE.replace('"', ""))
    )
    page = report_html({HOSTILE: replay.Result(tables, info)})
    # THEN the page has the scripts and pictures that it has always, and no other
    assert page.count("<script") == page.count("</script>") == 3
    assert "<img" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    # AND its data hold the name as it is
    assert HOSTILE in json.dumps(data_of(page), ensure_ascii=False)


def test_a_page_loads_nothing(killed: replay.Result) -> None:
    page = report_html({"one": killed})
    assert "default-src 'none'" in page
    markup = re.sub(r"(<script[^>]*>).*?</script>", r"\1", page, flags=re.DOTALL)
    assert re.findall(r"<[^>]*\b(?:src|href)=[^#>]*>", markup.replace('"#', "#")) == []
    assert len(page) < 5_000_000


def test_an_anonymous_page_names_nobody(killed: replay.Result) -> None:
    page = report_html({"secret-result": killed}, anonymous=True)
    without_vega = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    for name in ("test.slice", "seed-unlimited", "secret-result", '"dd"', "dd in"):
        assert name not in without_vega
    assert "/cgroup-1" in without_vega
    # AND the numbers are as they were
    (hidden,) = without_names({"one": killed}).values()
    assert hidden.charges["wbytes"] == killed.charges["wbytes"]


def test_colours_go_by_name() -> None:
    assert colours(["/a", "/b"])["/b"] == colours(["/b"])["/b"]
    many = colours([f"/{i}" for i in range(30)])
    assert sorted(list(many.values())[: len(PALETTE)]) == sorted(PALETTE)
    assert set(list(many.values())[len(PALETTE) :]) == {GREY}
    assert colours(["/"]) == {"/": GREY}


def test_several_results_stand_beside_each_other(
    waited: replay.Result, killed: replay.Result
) -> None:
    drawn = pictures({"base": waited, "other": killed})
    told = {row["result"] for one in drawn for row in _values(one.spec)}
    assert told == {"base", "other"}


def test_an_empty_result_has_a_page() -> None:
    result = replay.run(
        TRACES / "seed-unlimited", filters=replay.Filters(ops=("discard",))
    )
    page = report_html({"empty": result})
    assert "Nothing was replayed, so there is nothing to see" in page
    assert data_of(page)["pictures"] == {}


@pytest.mark.parametrize("span_ns", [0, 1, 239, 240, 241, 10**9, 3 * 10**12])
def test_an_automatic_interval_makes_some_two_hundred(span_ns: int) -> None:
    interval_ns = auto_interval(span_ns)
    assert span_ns / interval_ns <= AUTO_INTERVALS
    assert span_ns < 240 or span_ns / interval_ns >= AUTO_INTERVALS / 2.6
    assert str(interval_ns).rstrip("0") in ("1", "2", "5")


def test_a_name_that_is_no_page_is_refused(
    killed: replay.Result, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=r"page\.txt: name a file that ends in"):
        replay.write_report({"one": killed}, tmp_path / "page.txt")
    replay.write_report({"one": killed}, tmp_path / "page.html")
    with pytest.raises(OutputError, match="exists"):
        replay.write_report({"one": killed}, tmp_path / "page.html")


def _renamed(table: Any, old: str, new: str) -> Any:
    for i, field in enumerate(table.schema):
        if str(field.type) in ("string", "dictionary<values=string, indices=int32>"):
            texts = [new if one == old else one for one in table.column(i).to_pylist()]
            table = table.set_column(i, field.name, [texts])
    return table


def _values(spec: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = spec["data"]["values"]
    return found


def test_the_slowest_requests_are_bars_of_their_stages(waited: replay.Result) -> None:
    (why,) = [one for one in pictures({"one": waited}) if one.name == "why"]
    assert re.fullmatch(
        r"The slowest request of /b takes 17\.0 ms, 13\.3 ms of it behind .*"
        r" 7 commands of /b in 13\.3 ms, .*",
        why.title,
    )
    assert waited.requests is not None
    rows = {row["row"]: row for row in waited.requests.to_pylist()}
    by_request: dict[str, list[Any]] = {}
    for bar in _values(why.spec):
        by_request.setdefault(bar["request"], []).append(bar)
    assert sorted(name.split()[0] for name in by_request) == ["/a", "/b"]
    for name, bars in by_request.items():
        row = rows[int(name.split()[-1])]
        for bar in bars:
            assert bar["time_ms"] * 1e6 == pytest.approx(row[f"{bar['stage']}_ns"])
        took = row["completion_ns"] - row["arrival_ns"]
        assert bars[-1]["to_ms"] * 1e6 == pytest.approx(took)


def test_no_stage_has_a_cgroups_colour() -> None:
    # GIVEN all that may stand beside each other on a page
    others = [*PALETTE, GREY]
    assert set(STAGE_COLOURS) == {*STAGES}
    # THEN they are told apart, by who sees no green, too
    for place, one in enumerate(STAGE_COLOURS.values()):
        for other in [*others, *list(STAGE_COLOURS.values())[:place]]:
            assert apart(one, other) > 20, (one, other)


def apart(one: str, other: str) -> float:
    """Return the smaller distance in CIELAB: as it is, and without green."""
    without_green = np.array(
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
    )
    seen = [linear(one), linear(other)]
    dull = [np.clip(without_green @ light, 0, 1) for light in seen]
    return min(
        float(np.linalg.norm(lab(first) - lab(second)))
        for first, second in (seen, dull)
    )


def linear(colour: str) -> NDArray[np.float64]:
    values = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(
        values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4
    )


def lab(light: NDArray[np.float64]) -> NDArray[np.float64]:
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ light / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_a_legend_has_the_stages_that_are_there(waited: replay.Result) -> None:
    for picture in pictures({"x": waited}):
        values = picture.spec.get("data", {}).get("values", [])
        colour = picture.spec.get("encoding", {}).get("color", {})
        if colour.get("field") == "stage":
            assert set(colour["scale"]["domain"]) == {row["stage"] for row in values}
