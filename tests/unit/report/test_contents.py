"""Pages of sweeps, curves, datasets, comparisons, calibrations and traces."""

import re
from pathlib import Path
from typing import Any

import pytest

import replay
from replay.report.html.contents import content_of, pictures_of, write_report
from replay.report.html.page import page_html
from replay.report.html.static import titled

vl_convert = pytest.importorskip("vl_convert")

TRACES = Path(__file__).parents[3] / "traces"


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("things")
    for name in ("seed-unlimited", "workers-root"):
        replay.batch(
            TRACES / name,
            TRACES / f"{name}.toml",
            policies=["per-cgroup", "root"],
            output=place / "fleet",
            jobs=1,
        )
    dataset = replay.open_dataset(place / "fleet")
    first, other = sorted(
        row["scenario"]
        for row in dataset.runs.to_pylist()
        if row["trace"].endswith("workers-root")
    )
    return {
        "dataset": dataset,
        "comparison": dataset.compare(first, other),
        "tmpfs": replay.curve(TRACES / "seed-unlimited"),
        "cache": replay.curve(
            TRACES / "fs-on-loop", overrides=["backing.filesystem=ext4"]
        ),
        "calibration": replay.calibrate(TRACES / "workers-root"),
        "disk": replay.calibrate(TRACES / "packed" / "real-disk" / "p2-both.tar.zst"),
        "trace": replay.convert(TRACES / "fs-on-loop", place / "t.arrow"),
    }


NAMES = ("dataset", "comparison", "tmpfs", "cache", "calibration", "disk", "trace")


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_page_whose_pictures_can_be_drawn(
    things: dict[str, Any], name: str, tmp_path: Path
) -> None:
    content = content_of(things[name])
    assert content.pictures
    assert content.title
    for one in content.pictures:
        assert one.title
        assert vl_convert.vegalite_to_svg(titled(one, 400)).startswith("<svg")
    write_report(things[name], tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 5_000_000
    assert "http-equiv" in page_html(content)


def test_links_lead_to_tables_and_pictures_have_a_place_each(
    things: dict[str, Any],
) -> None:
    # GIVEN pages of all kinds, and of a result with a timeline and its requests
    result = replay.run(TRACES / "seed-unlimited", interval="100ms", requests=True)
    for thing in (*things.values(), result):
        content = content_of(thing)
        text = page_html(content)
        # THEN a link has a table, which the script makes by its id
        ids = set(re.findall(r'"id": ?"(table-[^"]+)"', text))
        assert set(re.findall(r'href="#(table-[^"]+)"', text)) <= ids
        # AND no picture takes another's place
        names = [one.name for one in content.pictures]
        assert len(set(names)) == len(names)


def test_a_dataset_is_a_map_of_its_pairs(things: dict[str, Any]) -> None:
    cells = pictures_of(things["dataset"])[0].spec["data"]["values"]
    runs = {(r["trace"], r["policy"]): r for r in things["dataset"].runs.to_pylist()}
    # THEN root stands against the driver that the traces were recorded under
    assert {cell["scenario"] for cell in cells} == {"root"}
    assert {cell["trace"] for cell in cells} == {trace for trace, _ in runs}
    for cell in cells:
        row, base = (runs[cell["trace"], name] for name in ("root", "per-cgroup"))
        assert (cell["kills"], cell["failed"]) == (row["kills"], row["failed"])
        assert (cell["base_kills"], cell["base_failed"]) == (
            base["kills"],
            base["failed"],
        )
    # AND who is killed under that one alone can be seen
    assert sorted(cell["text"] for cell in cells) == ["", "† 1 → 0 ✗ 1 → 0"]


def test_a_cgroup_s_times_are_of_one_operation_under_every_scenario(
    things: dict[str, Any],
) -> None:
    values = pictures_of(things["dataset"])[1].spec["data"]["values"]
    kinds: dict[str, set[str]] = {}
    for row in values:
        kinds.setdefault(row["who"], set()).add(row["of"])
    assert kinds
    assert all(len(found) == 1 for found in kinds.values())


def test_a_trace_s_cells_count_its_requests(things: dict[str, Any]) -> None:
    drawn = {one.name: one for one in pictures_of(things["trace"])}
    rows = things["trace"].table().to_pylist()
    cells = drawn["latency"].spec["data"]["values"]
    assert sum(cell["count"] for cell in cells) == sum(
        row["complete_ns"] is not None for row in rows
    )
    cells = drawn["where"].spec["data"]["values"]
    assert sum(cell["count"] for cell in cells) == sum(
        row["nbytes"] > 0 for row in rows
    )


def test_a_curve_is_what_its_table_says(things: dict[str, Any]) -> None:
    (picture,) = content_of(things["cache"]).pictures
    by_name = {one.cgroup: one for one in things["cache"].cgroups}
    values = picture.spec["data"]["values"]
    assert values
    for row in values[:: max(1, len(values) // 20)]:
        curve = by_name[row["cgroup"]]
        limit = round(row["limit_mib"] * 2**20)
        assert row["lost"] == pytest.approx(curve.lost(limit) / max(curve.uses, 1))


def test_what_has_no_page_is_refused(tmp_path: Path, things: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="int has no page"):
        write_report(3, tmp_path / "page.html")
    with pytest.raises(ValueError, match="anonymous is for results"):
        write_report(things["trace"], tmp_path / "page.html", anonymous=True)


def test_a_calibration_says_what_the_device_takes_and_how_far_to_trust_it(
    things: dict[str, Any],
) -> None:
    # GIVEN a disk with reads of 64 KiB beside writes of 4 KiB
    content = content_of(things["disk"])
    # THEN the headline and the first picture say what it takes
    assert re.fullmatch(
        r"254:0 takes [\d.]+ us for a read of 64.0 KiB alone and [\d.]+ us for a write "
        r"of 4.0 KiB alone; it predicts all times within [\d.]+ % \(furthest off: .*\)",
        content.title,
    )
    first, second = content.pictures
    assert re.fullmatch(
        r"A read takes [\d.]+ us and then [\d.]+ GiB/s, a write takes [\d.]+ us for "
        r"4.0 KiB, the only length, alone",
        first.title,
    )
    assert second.title.startswith("It predicts all times within")
