import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from replay.common.errors import OutputError
from replay.engine.setup import Stage
from replay.results import directory, tables, write
from replay.results.directory import OutputDirectory
from replay.results.read import open_results
from replay.results.schema import OPTIONAL, RUN_FILE, TABLES
from replay.results.sink import ResultSink
from replay.results.stored import StoredTables
from replay.results.write import RequestsWriter
from support import results as made

#: Of a result that was asked for its requests.
FILES = {
    RUN_FILE,
    *(spec.file for name, spec in TABLES.items() if name not in OPTIONAL),
    "requests.parquet",
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A place for a result; afterwards nothing temporary may lie beside it."""
    place = tmp_path / "out"
    yield place
    assert [path.name for path in tmp_path.iterdir() if path.name != "out"] == []


def content(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}


def run_to(place: Path, *, overwrite: bool = False, n_requests: int = 0) -> None:
    wanted = made.Recording() if n_requests else None
    with ResultSink(
        made.names(), output=place, overwrite=overwrite, requests=wanted
    ) as sink:
        if sink.requests is not None:
            sink.requests.append(made.raw_requests(n_requests))
        sink.finish(made.raw_result(), made.info())


def test_a_written_result_opens_as_the_same_tables(place: Path) -> None:
    result = made.result()
    result.write(place)
    opened = open_results(place)
    assert {path.name for path in place.iterdir()} == FILES - {"requests.parquet"}
    assert list(opened.tables) == list(result.tables)
    for name, table in result.tables.items():
        assert opened.tables[name].equals(table, check_metadata=True)
    assert opened.info == json.loads(json.dumps(result.info))
    assert opened.requests is None
    assert opened.kills is opened.tables["kills"]


def test_every_table_is_an_attribute_and_the_repr_names_them(place: Path) -> None:
    run_to(place, n_requests=2)
    opened = open_results(place)
    for name, table in opened.tables.items():
        assert getattr(opened, name) is table
    assert set(opened.tables) == TABLES.keys() - {"timeline"}
    assert repr(opened).startswith("<Result of seed.arrow: 4 requests, 1 kills")


def test_every_file_names_its_scenario_its_trace_and_its_estimates(place: Path) -> None:
    run_to(place, n_requests=3)
    info = json.loads((place / RUN_FILE).read_text())
    for name, spec in TABLES.items():
        if name == "timeline":
            continue
        columns = pq.read_metadata(place / spec.file)
        metadata = columns.metadata
        assert metadata[b"replay.table"].decode() == name
        assert metadata[b"replay.schema_version"] == b"1"
        assert metadata[b"replay.scenario_sha256"].decode() == info["scenario_sha256"]
        assert metadata[b"replay.trace_sha256"].decode() == info["trace"]["sha256"]
        assert json.loads(metadata[b"replay.notes"]) == info["notes"] != []
        assert pq.read_schema(place / spec.file).field(0).metadata[b"description"]
        if columns.num_rows:
            assert columns.row_group(0).column(0).compression == "ZSTD"


def test_run_json_tells_how_the_result_came_about(place: Path) -> None:
    run_to(place)
    info = json.loads((place / RUN_FILE).read_text())
    assert info["scenario"]["driver"]["policy"] == "root"
    assert info["quality"]["lost"] == {"0": 2}
    assert info["counts"]["failed"] == 1
    assert info["workers_peak"] == 2
    assert info["rate"] == {"requests_per_s": 2000.0}
    assert info["trace"]["span_ns"] == 2_000 * made.MS


def test_equal_runs_write_equal_tables_and_different_scenarios_are_told_apart(
    tmp_path: Path,
) -> None:
    run_to(tmp_path / "a", n_requests=5)
    run_to(tmp_path / "b", n_requests=5)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    other = made.info(scenario={"driver": {"policy": "naive"}})
    assert other["scenario_sha256"] != made.info()["scenario_sha256"]


def test_polars_reads_the_files_as_they_are(place: Path) -> None:
    polars = pytest.importorskip("polars")
    run_to(place, n_requests=3)
    charges = polars.read_parquet(place / "charges.parquet")
    assert charges["payer"].to_list() == ["/", "/test.slice/b"]
    assert polars.read_parquet(place / "requests.parquet")["worker"].null_count() == 1


def test_an_existing_result_is_kept_without_overwrite(place: Path) -> None:
    run_to(place)
    before = content(place)
    with pytest.raises(OutputError, match="exists already: use --overwrite"):
        run_to(place)
    assert content(place) == before


def test_overwrite_replaces_the_whole_result(place: Path) -> None:
    run_to(place, n_requests=3)
    run_to(place, overwrite=True)
    assert "requests.parquet" not in content(place)


def test_overwrite_through_a_link_replaces_what_it_points_to(tmp_path: Path) -> None:
    run_to(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    run_to(tmp_path / "link", overwrite=True, n_requests=2)
    assert (tmp_path / "link").is_symlink()
    assert "requests.parquet" in content(tmp_path / "real")


@pytest.mark.parametrize("with_run_file", [False, True])
def test_a_directory_with_anything_else_in_it_is_never_overwritten(
    place: Path, with_run_file: bool
) -> None:
    # GIVEN a directory with a file of the user's
    if with_run_file:
        run_to(place)
    else:
        place.mkdir()
    (place / "thesis.tex").write_text("years of work")
    # WHEN it is named as the output
    with pytest.raises(OutputError, match=r"not a result alone \(holds 'thesis.tex'"):
        run_to(place, overwrite=True)
    # THEN it is as it was
    assert content(place)["thesis.tex"] == b"years of work"


def test_an_empty_directory_is_taken_with_overwrite_only(place: Path) -> None:
    place.mkdir()
    with pytest.raises(OutputError, match="exists"):
        run_to(place)
    run_to(place, overwrite=True)
    assert RUN_FILE in content(place)


def test_parquet_files_that_are_no_result_are_not_overwritten(place: Path) -> None:
    place.mkdir()
    (place / "requests.parquet").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"has no run.json"):
        run_to(place, overwrite=True)


def test_a_file_is_not_overwritten(place: Path) -> None:
    place.write_text("mine")
    with pytest.raises(OutputError, match="is not a directory"):
        run_to(place, overwrite=True)


def test_a_missing_parent_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"there is no directory .*/none: make it"):
        run_to(tmp_path / "none" / "out")


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    name = "x" * 300
    with pytest.raises(OutputError, match="cannot be written: File name too long"):
        run_to(tmp_path / name)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_nothing(
    place: Path, kind: type[BaseException]
) -> None:
    # GIVEN a run that streams requests to its output
    def run() -> None:
        with ResultSink(made.names(), output=place, requests=made.Recording()) as sink:
            assert sink.requests is not None
            sink.requests.append(made.raw_requests(10))
            raise kind

    # WHEN it ends early
    with pytest.raises(kind):
        run()
    # THEN neither the result nor anything beside it is there
    assert not place.exists()


@pytest.mark.parametrize("step", [1, 2])
def test_ctrl_c_while_the_old_result_makes_place_keeps_a_whole_result(
    place: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    # GIVEN a result, and Ctrl-C right after the first or the second rename
    run_to(place)
    before = content(place)
    rename, calls = Path.rename, []

    def interrupted(path: Path, target: Path) -> Path:
        calls.append(rename(path, target))
        if len(calls) == step:
            raise KeyboardInterrupt
        return calls[-1]

    monkeypatch.setattr(Path, "rename", interrupted)
    # and a file system on which two directories cannot change places at once
    monkeypatch.setattr(directory, "exchange", lambda one, other: False)
    # WHEN it is overwritten
    with pytest.raises(KeyboardInterrupt):
        run_to(place, overwrite=True, n_requests=1)
    # THEN the old or the new one is there, whole
    if step == 1:
        assert content(place) == before
    else:
        assert set(content(place)) == FILES


def test_a_full_disk_is_one_line_and_leaves_the_old_result(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_to(place)
    before = content(place)

    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OutputError, match="out: cannot be written: No space left"):
        run_to(place, overwrite=True)
    assert content(place) == before


def test_a_result_that_appears_during_the_run_is_not_replaced(place: Path) -> None:
    with ResultSink(made.names(), output=place) as sink:
        run_to(place)
        with pytest.raises(OutputError, match="exists"):
            sink.finish(made.raw_result(), made.info())
    assert RUN_FILE in content(place)


def test_the_directory_has_the_rights_of_any_new_one(tmp_path: Path) -> None:
    run_to(tmp_path / "out")
    (tmp_path / "plain").mkdir()
    modes = {stat.S_IMODE((tmp_path / n).stat().st_mode) for n in ("out", "plain")}
    assert len(modes) == 1


def test_only_a_commit_makes_the_directory_appear(place: Path) -> None:
    with OutputDirectory(place) as directory:
        (directory.path / RUN_FILE).write_text("{}")
        assert not place.exists()
    assert not place.exists()


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_requests_are_the_same_for_any_batch_and_in_memory(
    place: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    # GIVEN row groups of 64 rows and 200 requests
    monkeypatch.setattr(write, "ROW_GROUP", 64)
    raw = made.raw_requests(200)

    def fill(writer: RequestsWriter) -> None:
        for begin in range(0, 200, batch):
            part = {name: v[begin : begin + batch].copy() for name, v in raw.items()}
            writer.append(part)
            for values in part.values():
                values.fill(0)  # the engine uses its buffers again

    # WHEN they come in batches, to a file and into memory
    with ResultSink(made.names(), output=place, requests=made.Recording()) as sink:
        assert sink.requests is not None
        fill(sink.requests)
        stored = sink.finish(made.raw_result(), made.info())
    with ResultSink(made.names(), requests=made.Recording()) as sink:
        assert sink.requests is not None
        fill(sink.requests)
        kept = sink.finish(made.raw_result(), made.info())
    # THEN both hold every row, cut at the same places
    assert kept.requests is not None
    assert kept.requests.equals(stored.requests, check_metadata=True)
    assert kept.requests["row"].to_pylist() == list(range(200))
    assert kept.requests["device_ns"].to_pylist() == [
        i + Stage.DEVICE for i in range(200)
    ]
    file = pq.ParquetFile(place / "requests.parquet").metadata
    groups = [file.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert groups == [64, 64, 64, 8]


def test_a_table_in_several_parts_is_the_same_on_disk_and_in_memory(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN parts of 4 rows, fewer than the latencies and their buckets have
    monkeypatch.setattr(tables, "PART_ROWS", 4)
    # WHEN a result is written and another one kept in memory
    with ResultSink(made.names(), output=place) as sink:
        stored = sink.finish(made.raw_result(), made.info())
    kept = made.result()
    # THEN a part is a row group, and only tables of one part stay in memory
    file = pq.ParquetFile(place / "histograms.parquet").metadata
    assert file.num_row_groups == -(-kept.histograms.num_rows // 4) > 2
    assert file.row_group(0).num_rows == 4
    assert isinstance(stored.tables, StoredTables)
    assert {"memory", "kills"} <= stored.tables._tables.keys()
    assert not {"latency", "histograms"} & stored.tables._tables.keys()
    # AND the summary, which reads the parts, is the same, and so is each table
    assert stored.summary() == kept.summary()
    assert "histograms" not in stored.tables._tables
    for name in kept.tables:
        assert stored.tables[name].equals(kept.tables[name], check_metadata=True)


def test_parts_of_a_damaged_table_are_refused_in_one_line(place: Path) -> None:
    run_to(place)
    pq.write_table(pa.table({"cgroup": ["/"]}), place / "histograms.parquet")
    with pytest.raises(OutputError, match=r"histograms.parquet: not the columns of"):
        open_results(place).summary()
    (place / "histograms.parquet").write_bytes(b"PAR1")
    with pytest.raises(OutputError, match=r"histograms.parquet: not a readable table"):
        open_results(place).summary()


def test_no_request_at_all_is_an_empty_table(place: Path) -> None:
    with ResultSink(made.names(), output=place, requests=made.Recording()) as sink:
        result = sink.finish(made.raw_result(), made.info())
    assert result.requests is not None
    assert result.requests.num_rows == 0


def test_a_stored_result_is_written_again_without_loading_its_requests(
    tmp_path: Path,
) -> None:
    run_to(tmp_path / "a", n_requests=9)
    stored = open_results(tmp_path / "a")
    stored.write(tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert isinstance(stored.tables, StoredTables)
    assert "requests" not in stored.tables._tables


def test_a_result_in_memory_with_requests_can_be_written_over_itself(
    place: Path,
) -> None:
    run_to(place, n_requests=9)
    stored = open_results(place)
    assert stored.requests is not None
    stored.write(place, overwrite=True)
    assert open_results(place).requests == stored.requests


def test_opening_what_is_no_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no run.json in it"):
        open_results(tmp_path)
    (tmp_path / RUN_FILE).write_text("[]")
    with pytest.raises(OutputError, match="not written by replay"):
        open_results(tmp_path)
    (tmp_path / RUN_FILE).write_text('{"schema_version": 99}')
    with pytest.raises(OutputError, match="schema_version 99, this replay reads 1"):
        open_results(tmp_path)


def test_parts_of_a_table_of_other_types_are_refused_in_one_line(place: Path) -> None:
    run_to(place)
    path = place / "histograms.parquet"
    whole = pq.read_table(path)
    counts = whole["count"].cast("float64")
    index = whole.schema.get_field_index("count")
    pq.write_table(whole.set_column(index, "count", counts), path)
    with pytest.raises(OutputError, match=r"histograms.parquet: not the columns of"):
        open_results(place).summary()


def test_a_result_does_not_show_the_tables_of_one_that_took_its_place(
    place: Path,
) -> None:
    run_to(place)
    first = open_results(place)
    kills = first.kills
    # WHEN another run writes there before all of the first was read
    run_to(place, overwrite=True, n_requests=3)
    # THEN what was read stays, the rest is refused, and the other is there
    assert first.kills is kills
    with pytest.raises(OutputError, match="another result was written there meanwhile"):
        _ = first.latency
    assert open_results(place).latency.num_rows


def test_a_damaged_or_missing_table_is_named(place: Path) -> None:
    run_to(place)
    (place / "kills.parquet").write_bytes(b"PAR1 not at all")
    with pytest.raises(OutputError, match=r"kills.parquet: not a readable table"):
        _ = open_results(place).kills
    pq.write_table(pa.table({"a": [1]}), place / "kills.parquet")
    with pytest.raises(OutputError, match="not the columns of 'kills'"):
        _ = open_results(place).kills
    # a column's name that is no UTF-8
    pq.write_table(pa.table({"abc": [1]}), place / "kills.parquet", store_schema=False)
    data = (place / "kills.parquet").read_bytes()
    (place / "kills.parquet").write_bytes(data.replace(b"abc", b"a\xe5c"))
    with pytest.raises(OutputError, match=r"kills.parquet: not a readable table"):
        _ = open_results(place).kills
    (place / "kills.parquet").unlink()
    with pytest.raises(OutputError, match=r"kills.parquet: missing"):
        open_results(place)


def test_an_unknown_table_is_a_key_error(place: Path) -> None:
    run_to(place)
    with pytest.raises(KeyError):
        _ = open_results(place).tables["timeline"]
