"""Many traces under many scenarios, as one dataset."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import dataset as ds

import replay
from replay.common.errors import OutputError, ReplayError, ScenarioError, TraceError
from replay.dataset import batch as batch_module
from replay.dataset import tasks as tasks_module
from replay.dataset.rows import RUNS, SCHEMAS
from replay.parallel.pool import Pool
from replay.results.schema import TABLES
from support.datasets import TRACES, assert_clean, assert_equal, inline_batches, tables

NAMES = sorted(path.stem for path in TRACES.glob("*.toml"))
POLICIES = ("root", "naive", "per-cgroup", "enospc")


@pytest.fixture(scope="module", autouse=True)
def _inline() -> Iterator[None]:
    with inline_batches():
        yield


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Three traces, one of them bad, and two scenarios."""
    folder = tmp_path / "fleet"
    for name in ("seed-unlimited", "high-alone"):
        shutil.copytree(TRACES / name, folder / name)
    (folder / "bad").mkdir()
    (folder / "bad" / "sda.blktrace.0").write_bytes(b"this is no recording" * 10)
    for name in ("seed-unlimited", "seed-swap"):
        shutil.copy(TRACES / f"{name}.toml", folder)
    return folder


def pairs_file(path: Path) -> Path:
    """Every recording with its own scenario."""
    lines = [f"{TRACES / name},{TRACES / name}.toml" for name in NAMES]
    path.write_text("trace,scenario\n" + "\n".join(lines) + "\n")
    return path


def test_every_scenario_under_four_policies_is_what_single_runs_give(
    tmp_path: Path,
) -> None:
    # GIVEN every recording with its own scenario
    pairs = pairs_file(tmp_path / "pairs.csv")

    # WHEN they are replayed under four policies in one batch
    report = replay.batch(output=tmp_path / "out", pairs=pairs, policies=POLICIES)

    # THEN nothing fails, and each pair's tables are those of a single run
    assert report.replayed == report.n_pairs == len(NAMES) * len(POLICIES)
    assert report.failures == []
    assert_clean(tmp_path / "out")
    found = replay.open_dataset(tmp_path / "out")
    for name in NAMES:
        for policy in POLICIES:
            alone = replay.run(
                TRACES / name,
                TRACES / f"{name}.toml",
                overrides=[f"driver.policy={policy}"],
            )
            result = found.result(str(TRACES / name), f"{TRACES / name}:{policy}")
            for table, expected in alone.tables.items():
                assert result.tables[table].equals(expected), (name, policy, table)
            assert result.info["counts"] == alone.info["counts"]
            assert result.info["scenario_sha256"] == alone.info["scenario_sha256"]


def test_worker_processes_give_the_same_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay.batch(TRACES, output=tmp_path / "inline", policies=("root", "naive"))
    for jobs in (1, 2):

        @contextmanager
        def runner(number: int | None, cluster: str | None):  # type: ignore[no-untyped-def]
            with Pool(number) as pool:
                yield pool

        monkeypatch.setattr(batch_module, "_runner", runner)
        output = tmp_path / str(jobs)
        replay.batch(TRACES, output=output, policies=("root", "naive"), jobs=jobs)
        assert_equal(output, tmp_path / "inline")


def test_one_bad_trace_stops_nobody_else(fleet: Path, tmp_path: Path) -> None:
    # GIVEN a fleet with a bad trace, WHEN all of it is replayed
    scenarios = [fleet / "seed-unlimited.toml", fleet / "seed-swap.toml"]
    report = replay.batch(fleet, scenarios, output=tmp_path / "out")

    # THEN its pairs are told as failures, and the others are there
    assert (report.n_traces, report.n_pairs, report.replayed) == (3, 6, 4)
    assert {failure.trace for failure in report.failures} == {str(fleet / "bad")}
    assert "sda.blktrace.0: byte 0" in report.failures[0].error
    assert f"{fleet}/bad (2 scenarios): " in report.summary()
    runs = replay.open_dataset(tmp_path / "out").runs.to_pylist()
    assert [row["status"] for row in runs] == ["failed", "failed", *["ok"] * 4]
    assert runs[0]["error"] == report.failures[0].error
    assert runs[0]["requests"] is None

    # WHEN it is mended and the same is asked for
    shutil.rmtree(fleet / "bad")
    shutil.copytree(TRACES / "fs-on-loop", fleet / "bad")
    report = replay.batch(fleet, scenarios, output=tmp_path / "out")

    # THEN only that is done, and the dataset is as if it had never been bad
    assert (report.replayed, report.kept, report.failed) == (2, 4, 0)
    assert report.again == {"they failed before": 2}
    replay.batch(fleet, scenarios, output=tmp_path / "fresh")
    assert_equal(tmp_path / "out", tmp_path / "fresh")


def test_what_did_not_change_is_not_done_again(fleet: Path, tmp_path: Path) -> None:
    shutil.rmtree(fleet / "bad")
    scenarios = [fleet / "seed-unlimited.toml", fleet / "seed-swap.toml"]
    replay.batch(fleet, scenarios, output=tmp_path / "out")
    files = sorted((tmp_path / "out").rglob("*.parquet"))

    # WHEN nothing changed, THEN nothing is done, and nothing is written
    report = replay.batch(fleet, scenarios, output=tmp_path / "out")
    assert (report.replayed, report.kept) == (0, 4)
    assert sorted((tmp_path / "out").rglob("*.parquet")) == files

    # WHEN a scenario's meaning changes, and another one's comments
    changed = scenarios[0].read_text().replace('"64M"', '"32M"')
    scenarios[0].write_text(changed)
    scenarios[1].write_text("# a comment\n" + scenarios[1].read_text())
    report = replay.batch(fleet, scenarios, output=tmp_path / "out")
    # THEN what it touches is done again, and said
    assert (report.replayed, report.kept) == (2, 2)
    assert report.again == {"their scenario changed": 2}
    assert "2 pairs again: their scenario changed" in report.summary()

    # WHEN a file is written anew with the same content
    ids = fleet / "high-alone" / "ids"
    ids.write_bytes(ids.read_bytes())
    report = replay.batch(fleet, scenarios, output=tmp_path / "out")
    assert (report.replayed, report.kept) == (0, 4)

    # WHEN it is written with another
    ids.write_text(ids.read_text().replace("/", "/other/", 1))
    report = replay.batch(fleet, scenarios, output=tmp_path / "out")
    assert report.again == {"their trace changed": 2}
    replay.batch(fleet, scenarios, output=tmp_path / "fresh")
    assert_equal(tmp_path / "out", tmp_path / "fresh")

    # WHEN other options make another trace of it
    filters = replay.Filters(ops=("write",))
    report = replay.batch(fleet, scenarios, output=tmp_path / "out", filters=filters)
    assert report.again == {"other options for their trace": 4}


def test_a_dataset_grows_in_any_order(tmp_path: Path) -> None:
    # GIVEN a dataset that is made piece by piece
    for names in (["nested-unlimited"], ["fs-on-loop", "workers-root"], ["high-alone"]):
        replay.batch(
            [TRACES / name for name in names],
            output=tmp_path / "grown",
            policies=("root", "naive"),
        )
    # THEN it is as if it had been made at once
    replay.batch(
        [
            TRACES / name
            for name in ("fs-on-loop", "high-alone", "nested-unlimited", "workers-root")
        ],
        output=tmp_path / "whole",
        policies=("root", "naive"),
    )
    assert_equal(tmp_path / "grown", tmp_path / "whole")
    assert_clean(tmp_path / "grown")


def test_recordings_are_converted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    convert = replay.convert

    def counted(*arguments: object, **options: object) -> replay.Trace:
        made.append(arguments[0])
        return convert(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(tasks_module, "convert", counted)
    trace = TRACES / "seed-unlimited"
    replay.batch(trace, output=tmp_path / "out", policies=POLICIES)
    replay.batch(trace, TRACES / "seed-swap.toml", output=tmp_path / "out")
    assert made == [trace]

    # a trace file is used where it lies
    replay.convert(trace, tmp_path / "trace.arrow").close()
    report = replay.batch(tmp_path / "trace.arrow", output=tmp_path / "out")
    assert report.replayed == 1
    assert len(made) == 1


def test_others_open_the_dataset_as_it_is(tmp_path: Path) -> None:
    # GIVEN a dataset
    out = tmp_path / "out"
    replay.batch(TRACES, output=out, policies=("root", "per-cgroup"))
    whole = tables(out)

    for name, schema in SCHEMAS.items():
        expected = whole[name].num_rows
        # WHEN a table is opened by its directory, THEN it is all there
        opened = ds.dataset(out / name)
        assert opened.schema.equals(schema)
        assert opened.count_rows() == expected
        assert pl.read_parquet(out / name).height == expected
        assert len(pd.read_parquet(out / name)) == expected
        asked = f"SELECT count(*) FROM '{out}/{name}/*.parquet'"
        assert duckdb.execute(asked).fetchall() == [(expected,)]
        # and its columns say what they are
        file = pq.read_schema(next((out / name).iterdir()))
        assert file.field("trace").metadata[b"description"]
        if name != RUNS:
            for field in TABLES[name].schema:
                assert file.field(field.name).metadata == field.metadata

    # THEN a sum over it is the sum over all pairs, and a join with the runs works
    paid = duckdb.execute(
        f"SELECT policy, sum(wbytes)::BIGINT FROM '{out}/charges/*.parquet' "
        f"JOIN '{out}/runs/*.parquet' USING (trace, scenario) "
        "WHERE issuer <> payer GROUP BY policy ORDER BY policy"
    ).fetchall()
    frame = (
        pl.scan_parquet(out / "charges")
        .join(pl.scan_parquet(out / "runs"), on=["trace", "scenario"])
        .filter(pl.col("issuer") != pl.col("payer"))
        .group_by("policy")
        .agg(pl.col("wbytes").sum())
        .sort("policy")
    )
    assert frame.collect().rows() == paid
    assert dict(paid)["root"] > 10 * dict(paid)["per-cgroup"]


def test_tables_with_no_rows_are_there(tmp_path: Path) -> None:
    replay.batch(TRACES / "fs-on-loop", output=tmp_path / "out")
    kills = ds.dataset(tmp_path / "out" / "kills")
    assert kills.count_rows() == 0
    assert kills.schema.names[:2] == ["trace", "scenario"]


@pytest.mark.parametrize(
    ("inputs", "scenarios", "error", "told"),
    [
        ("nothing-here", [], TraceError, "nothing-here: no such file"),
        ("nothing-*", [], TraceError, "no such file"),
        ("-", [], TraceError, "standard input"),
        ("{traces}/fs-on-loop", ["none.toml"], ScenarioError, "none.toml"),
    ],
)
def test_what_was_typed_wrong_is_told_before_anything_is_done(
    tmp_path: Path,
    inputs: str,
    scenarios: list[str],
    error: type[ReplayError],
    told: str,
) -> None:
    with pytest.raises(error, match=told):
        replay.batch(inputs.format(traces=TRACES), scenarios, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_only_a_dataset_is_added_to(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(OutputError, match=r"holds 'thesis.txt' and is no dataset"):
        replay.batch(TRACES / "fs-on-loop", output=tmp_path / "mine")
    with pytest.raises(OutputError, match="no directory"):
        replay.batch(TRACES / "fs-on-loop", output=tmp_path / "no" / "where")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(OutputError, match="is no dataset"):
        replay.open_dataset(tmp_path / "mine")


def test_a_dataset_of_other_columns_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    replay.batch(TRACES / "fs-on-loop", output=out)
    manifest = out / "_replay" / "dataset.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "columns": "others"}))
    for call in (
        lambda: replay.batch(TRACES / "high-alone", output=out),
        lambda: replay.open_dataset(out),
    ):
        with pytest.raises(OutputError, match="other columns"):
            call()
    manifest.write_text(json.dumps({**told, "format": 7}))
    with pytest.raises(OutputError, match="has format 7"):
        replay.open_dataset(out)


def test_a_dataset_gives_tables_of_one_pair(tmp_path: Path) -> None:
    out = tmp_path / "out"
    replay.batch(TRACES / "fs-on-loop", output=out, policies=POLICIES)
    opened = replay.open_dataset(out)
    name = str(TRACES / "fs-on-loop")
    root = opened.table("latency", trace=name, scenario="default:root")
    assert 0 < root.num_rows < opened.table("latency").num_rows
    assert set(root.column("scenario").to_pylist()) == {"default:root"}
    assert isinstance(opened.runs, pa.Table)
    with pytest.raises(OutputError, match="holds no pair"):
        opened.result(name, "other")
    with pytest.raises(KeyError, match="is not one of"):
        opened.table("lateness")
