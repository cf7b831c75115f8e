"""Timelines and requests of a dataset, made anew when others are asked for."""

from pathlib import Path

import pytest

import replay
from replay.common.errors import ModelError

TRACES = Path(__file__).parents[3] / "traces"
SEED, TOML = TRACES / "seed-unlimited", TRACES / "seed-unlimited.toml"


def test_a_pair_has_the_timeline_of_its_run(tmp_path: Path) -> None:
    # GIVEN a dataset without timelines
    replay.batch(SEED, TOML, output=tmp_path / "d", jobs=1)
    assert replay.open_dataset(tmp_path / "d").table("timeline").num_rows == 0
    # WHEN the same batch asks for them
    report = replay.batch(SEED, TOML, output=tmp_path / "d", interval="100ms", jobs=1)
    # THEN the pair is replayed again, and has what its run has
    assert (report.replayed, report.kept) == (1, 0)
    dataset = replay.open_dataset(tmp_path / "d")
    run = replay.run(SEED, TOML, interval="100ms").timeline
    assert run is not None
    found = dataset.table("timeline").select(run.column_names)
    assert found.to_pylist() == run.to_pylist()
    # and once more is nothing to do
    report = replay.batch(SEED, TOML, output=tmp_path / "d", interval="100ms", jobs=1)
    assert (report.replayed, report.kept) == (0, 1)


def test_a_pair_has_the_requests_of_its_run(tmp_path: Path) -> None:
    # GIVEN a dataset without requests
    replay.batch(SEED, TOML, output=tmp_path / "d", jobs=1)
    (pair,) = replay.open_dataset(tmp_path / "d").runs.to_pylist()
    names = pair["trace"], pair["scenario"]
    assert not replay.open_dataset(tmp_path / "d").table("requests").num_rows
    # WHEN the same batch asks for them
    report = replay.batch(SEED, TOML, output=tmp_path / "d", requests=True, jobs=1)
    # THEN the pair is replayed again, and has what its run has
    assert (report.replayed, report.kept) == (1, 0)
    run = replay.run(SEED, TOML, requests=True).requests
    found = replay.open_dataset(tmp_path / "d").result(*names).requests
    assert run is not None
    assert found is not None
    assert found.to_pylist() == run.to_pylist()


def test_what_is_no_time_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="interval"):
        replay.batch(SEED, TOML, output=tmp_path / "d", interval="soon", jobs=1)
    assert not (tmp_path / "d").exists()
