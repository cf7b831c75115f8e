"""Generated traces: the same bytes every time, and read back as what they were."""

import hashlib
from pathlib import Path

import pytest

import replay
from benchmarks.generate import ROWS_NAME, main, write_records
from benchmarks.rows import write_rows
from benchmarks.shape import SMALL_SIZES, Shape, requests_for

SHAPES = {
    "plain": Shape(requests=3000),
    "many lanes and chunks": Shape(requests=20_000, depth=500, cgroups=700, seed=2),
    "devices": Shape(requests=5000, devices=3, cpus=2, depth=7, cgroups=5),
    "untagged": Shape(requests=3000, tagged=False, merges=200, plugs=256),
    "small walk": Shape(
        requests=5000, sizes=SMALL_SIZES, sequential=True, pages=1 << 10, burst=4
    ),
    "one": Shape(requests=1, depth=1, cpus=1, cgroups=1, processes=1),
    "discards": Shape(requests=3000, reads=0, discards=256),
}


def digest(directory: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


@pytest.fixture(params=list(SHAPES.values()), ids=list(SHAPES))
def shape(request: pytest.FixtureRequest) -> Shape:
    made: Shape = request.param
    return made


def test_same_seed_gives_the_bytes_it_always_gave(tmp_path: Path) -> None:
    write_records(SHAPES["plain"], tmp_path)
    assert digest(tmp_path) == (
        "c8627fca7f1e6a900d002ada8d0674cf0f575cce1f9af06922876913e2a22e4c"
    )


def test_another_seed_gives_other_bytes(tmp_path: Path) -> None:
    write_records(Shape(requests=3000), tmp_path / "a")
    write_records(Shape(requests=3000, seed=9), tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "b")


def test_converted_records_count_what_was_generated(
    tmp_path: Path, shape: Shape
) -> None:
    # GIVEN generated records
    made = write_records(shape, tmp_path / "in")
    # WHEN they are converted
    with replay.convert(tmp_path / "in", tmp_path / "t.arrow") as trace:
        summary = trace.metadata.summary
    # THEN every record is there, and every one was understood
    quality = summary.quality
    assert quality.events == {letter: n for letter, n in made.events.items() if n}
    assert quality.notes == {"process": shape.n_processes, "timestamp": shape.devices}
    assert quality.records == made.records
    assert summary.n_rows == shape.requests
    assert (quality.unknown, quality.lost, quality.unmatched) == (0, {}, {})
    assert (quality.unfinished, quality.out_of_order) == (0, 0)


def test_rows_written_straight_are_the_converted_ones(
    tmp_path: Path, shape: Shape
) -> None:
    # GIVEN the same shape as records and as rows
    write_records(shape, tmp_path / "in")
    summary = write_rows(shape, tmp_path / "rows.arrow")
    # WHEN the records are converted
    with (
        replay.convert(tmp_path / "in", tmp_path / "t.arrow") as converted,
        replay.open_trace(tmp_path / "rows.arrow") as straight,
    ):
        # THEN both are equal, row by row and in all that was learned
        assert straight.table().equals(converted.table())
        assert straight.metadata.summary == summary
        assert straight.metadata.summary == converted.metadata.summary


def test_command_writes_about_as_many_events_as_asked(tmp_path: Path) -> None:
    assert main(["--events", "20_000", "--cgroups", "3", str(tmp_path)]) == 0
    assert main(["--events", "20_000", "--cgroups", "3", "--rows", str(tmp_path)]) == 0
    with (
        replay.convert(tmp_path, tmp_path / "t.arrow") as converted,
        replay.open_trace(tmp_path / ROWS_NAME) as straight,
    ):
        assert straight.table().equals(converted.table())
        events = converted.metadata.summary.quality.events
        assert sum(events.values()) == pytest.approx(20_000, rel=0.02)
        assert len(converted.metadata.summary.cgroups) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"requests": 0},
        {"reads": 200, "discards": 57},
        {"merges": 257},
        {"pages": 100},
        {"cgroups": 200_000},
        {"depth": 1025},
        {"sizes": ((4096, 15),)},
        {"sizes": ((100, 16),)},
    ],
    ids=str,
)
def test_impossible_shape_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Shape(**{"requests": 10, **changes})  # type: ignore[arg-type]


def test_impossible_shape_on_the_command_line_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--pages", "100", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_requests_for_counts_merges_and_plugs() -> None:
    assert requests_for(700, merges=0, plugs=256) == 100
    assert requests_for(500, merges=0, plugs=0) == 100
    assert requests_for(1) == 1
