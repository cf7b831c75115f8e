"""Trace files: any program opens them, damage is refused, nothing is half-written."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import ipc

from replay.common import output
from replay.common.errors import OutputError, TraceError
from replay.trace.file.metadata import Quality
from replay.trace.file.old import NO_LAST_ISSUE, OLD_SCHEMAS
from replay.trace.file.read import (
    METADATA_KEY,
    Trace,
    column_values,
    is_arrow,
    open_trace,
)
from replay.trace.file.schema import OPS, TRACE_SCHEMA
from replay.trace.file.write import write_trace
from support.traces import FakeRows, batch_of, metadata_of, summary_of

ROWS: list[dict[str, Any]] = [
    {"queue_ns": 0, "issue_ns": 10, "complete_ns": 30, "sector": 8, "op": "read"},
    {"queue_ns": 5, "issue_ns": None, "complete_ns": None, "cgroup": (1 << 64) - 1},
    {"queue_ns": None, "issue_ns": 20, "complete_ns": 25, "error": -5, "n_bios": 0},
]
BATCHES = [batch_of(ROWS[:2]), batch_of(ROWS[2:])]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a good trace file of two batches lies."""
    path = tmp_path / "t.arrow"
    write_trace(path, FakeRows(BATCHES), metadata_of)
    return path


def write_raw(
    path: Path,
    batches: list[pa.RecordBatch],
    text: bytes | None,
    schema: pa.Schema = TRACE_SCHEMA,
) -> Path:
    """Write an Arrow file as another program might."""
    with pa.OSFile(str(path), "wb") as file, ipc.new_file(file, schema) as writer:
        for batch in batches[:-1]:
            writer.write_batch(batch)
        custom = None if text is None else {METADATA_KEY: text}
        writer.write_batch(batches[-1], custom)
    return path


def good_text(n_rows: int) -> bytes:
    return msgspec.json.encode(metadata_of(summary_of(n_rows)))


def seen(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist()
    return values


# -- what is written is what is read


def test_rows_and_metadata_come_back(path: Path) -> None:
    with open_trace(path) as trace:
        table = trace.table()
        assert table.schema.equals(TRACE_SCHEMA, check_metadata=True)
        for name in ("queue_ns", "issue_ns", "complete_ns", "op", "n_bios", "cgroup"):
            expected = [value for batch in BATCHES for value in seen(batch[name])]
            assert seen(table[name]) == expected
        assert trace.n_rows == 3
        assert trace.metadata == metadata_of(summary_of(3))
        assert trace.schema == TRACE_SCHEMA


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 100])
def test_batches_of_any_size_hold_the_same_rows(path: Path, batch_rows: int) -> None:
    with open_trace(path) as trace:
        batches = list(trace.batches(batch_rows))
        assert max(batch.num_rows for batch in batches) <= batch_rows
        assert min(batch.num_rows for batch in batches) >= 1
        assert pa.Table.from_batches(batches) == trace.table()


def test_a_batch_of_no_rows_cannot_be_asked_for(path: Path) -> None:
    with open_trace(path) as trace, pytest.raises(ValueError, match="batch_rows"):
        list(trace.batches(0))


def test_rows_are_mapped_not_copied(tmp_path: Path) -> None:
    # GIVEN a file of a megabyte
    path = tmp_path / "large.arrow"
    many = batch_of([{"queue_ns": time} for time in range(20_000)])
    write_trace(path, FakeRows([many]), metadata_of)
    assert path.stat().st_size > 1 << 20
    # WHEN all rows are read in slices
    with open_trace(path) as trace:
        before = pa.total_allocated_bytes()
        batches = list(trace.batches(1000))
        # THEN Arrow allocates next to nothing
        assert len(batches) == 20
        assert pa.total_allocated_bytes() - before < 1 << 12


def test_a_null_time_holds_minus_one_in_its_slot(path: Path) -> None:
    with open_trace(path) as trace:
        column = trace.table()["issue_ns"].chunk(0)
        assert column.null_count == 1
        assert memoryview(column.buffers()[1]).cast("q")[1] == -1


@pytest.mark.parametrize("name", ["sector", "cpu", "op", "issue_ns"])
def test_values_of_a_slice_are_its_own(name: str) -> None:
    rows: list[dict[str, Any]] = [
        {"sector": 5 + n, "cpu": n, "op": OPS[n], "issue_ns": 7 * n or None}
        for n in range(6)
    ]
    column = batch_of(rows).slice(2, 3)[name]
    expected = {
        "sector": [7, 8, 9],
        "cpu": [2, 3, 4],
        "op": [2, 3, 4],
        "issue_ns": [14, 21, 28],
    }
    assert column_values(column).tolist() == expected[name]


def test_values_of_nulls_are_their_slots() -> None:
    assert column_values(BATCHES[0]["issue_ns"]).tolist() == [10, -1]


def test_reading_a_trace_does_not_import_pandas(path: Path) -> None:
    code = (
        "import sys; from replay.trace.file.read import open_trace\n"
        "with open_trace(sys.argv[1]) as trace: list(trace.batches())\n"
        "sys.exit('pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_a_trace_without_rows_is_a_trace(tmp_path: Path) -> None:
    write_trace(tmp_path / "none.arrow", FakeRows([]), metadata_of)
    with open_trace(tmp_path / "none.arrow") as trace:
        assert trace.n_rows == 0
        assert list(trace.batches()) == []
        assert trace.table().num_rows == 0
    assert pl.read_ipc(tmp_path / "none.arrow").shape == (0, len(TRACE_SCHEMA))


def test_rows_outlive_the_trace(path: Path) -> None:
    with open_trace(path) as trace:
        table = trace.table()
    assert seen(table["sector"]) == [8, 0, 0]


# -- other programs


def test_pyarrow_opens_the_file_as_it_is(path: Path) -> None:
    with pa.memory_map(str(path)) as file:
        table = ipc.open_file(file).read_all()
        assert seen(table["op"]) == ["read", "write", "write"]
        assert seen(table["issue_ns"]) == [10, None, 20]
        unit = table.schema.field("queue_ns").metadata[b"unit"]
        assert unit == b"ns"


def test_polars_opens_the_file_as_it_is(path: Path) -> None:
    frame = pl.read_ipc(path)
    assert frame["op"].cast(pl.String).to_list() == ["read", "write", "write"]
    assert frame["issue_ns"].to_list() == [10, None, 20]
    assert frame["cgroup"].to_list() == [23, (1 << 64) - 1, 23]
    assert pl.scan_ipc(path).select("nbytes").sum().collect().item() == 12288


def test_pandas_opens_the_file_as_it_is(path: Path) -> None:
    frame = pd.read_feather(path)
    assert list(frame["op"]) == ["read", "write", "write"]
    assert list(frame["op"].cat.categories) == list(OPS)
    assert list(frame["issue_ns"].isna()) == [False, True, False]
    assert list(frame["cgroup"]) == [23, (1 << 64) - 1, 23]


# -- writing


@given(
    sizes=st.lists(st.integers(min_value=0, max_value=7), max_size=12),
    threads=st.integers(min_value=1, max_value=3),
)
def test_threads_do_not_change_the_file(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], threads: int
) -> None:
    folder = tmp_path_factory.mktemp("threads")
    times = iter(range(sum(sizes)))
    batches = [batch_of([{"queue_ns": next(times)} for _ in range(n)]) for n in sizes]
    write_trace(folder / "one", FakeRows(batches), metadata_of)
    write_trace(folder / "more", FakeRows(batches), metadata_of, threads=threads)
    assert (folder / "one").read_bytes() == (folder / "more").read_bytes()
    with open_trace(folder / "more") as trace:
        assert seen(trace.table()["queue_ns"]) == list(range(sum(sizes)))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "error", [TraceError("byte 7: bad"), KeyboardInterrupt(), MemoryError()]
)
def test_an_error_while_decoding_leaves_nothing(
    tmp_path: Path, error: BaseException, threads: int
) -> None:
    rows = FakeRows(BATCHES * 20, error)
    with pytest.raises(type(error)):
        write_trace(tmp_path / "t.arrow", rows, metadata_of, threads=threads)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_while_writing_is_raised_and_leaves_nothing(
    tmp_path: Path, threads: int
) -> None:
    # GIVEN a batch of other columns, which the writer refuses, amid good ones
    wrong = pa.record_batch({"a": [1]})
    rows = FakeRows([*BATCHES, wrong, *BATCHES * 20])
    # WHEN it is written THEN the writer's error arrives
    with pytest.raises(pa.ArrowInvalid):
        write_trace(tmp_path / "t.arrow", rows, metadata_of, threads=threads)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_a_full_disk_is_an_output_error(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # /dev/full takes no byte
    full = SimpleNamespace(path=Path("/dev/full"), remove=lambda: None)
    monkeypatch.setattr(output, "claimed", lambda directory, kind: full)
    rows = FakeRows(BATCHES * 20)
    with pytest.raises(OutputError, match=r"t\.arrow: cannot be written: .*No space"):
        write_trace(tmp_path / "t.arrow", rows, metadata_of, threads=threads)


def test_each_batch_is_reported(tmp_path: Path) -> None:
    rows = FakeRows(BATCHES)
    done: list[int] = []
    write_trace(
        tmp_path / "t",
        rows,
        metadata_of,
        on_batch=lambda: done.append(rows.bytes_read),
    )
    assert done == [2, 3]


# -- what is no trace file


def refusal(path: Path) -> str:
    """Open a file and read all of it; return what it is refused for."""
    with pytest.raises(TraceError) as caught, open_trace(path) as trace:
        trace.table()
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "gone")


@pytest.mark.parametrize("content", [b"", b"A", b"\x07\x74\x61\x65" * 100])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    assert "is not a trace file: make it anew" in refusal(tmp_path / "f")
    assert not is_arrow(tmp_path / "f")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path)
    assert not is_arrow(tmp_path)


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for size in range(6, len(whole), 97):
        path.write_bytes(whole[:size])
        assert f"byte {size}: is cut short" in refusal(path)


def test_an_arrow_file_of_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "others.arrow"
    pl.DataFrame({"a": [1, 2]}).write_ipc(path)
    assert is_arrow(path)
    assert "is an Arrow file but no trace file" in refusal(path)


def test_a_trace_rewritten_by_others_is_refused(path: Path) -> None:
    pl.read_ipc(path).write_ipc(path)
    assert "no trace file" in refusal(path)


def test_columns_of_another_schema_are_named(tmp_path: Path) -> None:
    few = BATCHES[0].select([field.name for field in TRACE_SCHEMA][:-1])
    path = write_raw(tmp_path / "few", [few], good_text(2), few.schema)
    assert "column 13 is 'nothing', not 'error: int32'" in refusal(path)

    more = BATCHES[0].append_column("tail", pa.array([1, 2]))
    path = write_raw(tmp_path / "more", [more], good_text(2), more.schema)
    assert "column 14 is 'tail: int64', not 'nothing'" in refusal(path)

    other = BATCHES[0].set_column(5, "sector", pa.array([1, 2], pa.int64()))
    path = write_raw(tmp_path / "other", [other], good_text(2), other.schema)
    assert "column 5 is 'sector: int64', not 'sector: uint64'" in refusal(path)


def test_another_version_is_named(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "t", [BATCHES[0]], b'{"schema_version": 99}')
    assert "has schema version 99, this program reads 2 and older" in refusal(path)


@pytest.mark.parametrize("requeues", [0, 3])
def test_version_1_is_read_without_second_issues_which_is_noted(
    tmp_path: Path, requeues: int
) -> None:
    # GIVEN a file as it was before there was a column of last issues
    old = OLD_SCHEMAS[1]
    batches = [batch.select(old.names) for batch in BATCHES]
    batches = [pa.RecordBatch.from_arrays(one.columns, schema=old) for one in batches]
    summary = msgspec.structs.replace(summary_of(3), quality=Quality(requeues=requeues))
    metadata = msgspec.structs.replace(metadata_of(summary), schema_version=1)
    path = write_raw(tmp_path / "t", batches, msgspec.json.encode(metadata), old)
    # WHEN it is opened
    with open_trace(path) as trace:
        table = trace.table()
        # THEN all rows are there, none of them issued twice
        assert table.schema.equals(TRACE_SCHEMA, check_metadata=True)
        assert seen(table["last_issue_ns"]) == [None] * 3
        assert seen(table.drop("last_issue_ns")["sector"]) == [
            value for batch in BATCHES for value in seen(batch["sector"])
        ]
        # AND what the file cannot say is noted where there was something to say
        assert trace.metadata.summary.notes == [NO_LAST_ISSUE] * bool(requeues)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"schema_version": 2}', b"\xff"])
def test_damaged_metadata_is_refused(tmp_path: Path, text: bytes) -> None:
    path = write_raw(tmp_path / "t", [BATCHES[0]], text)
    assert "is damaged: metadata: " in refusal(path)


def test_metadata_of_newer_writers_may_say_more(tmp_path: Path) -> None:
    text = good_text(2).replace(b'{"schema', b'{"new": [1], "schema', 1)
    with open_trace(write_raw(tmp_path / "t", [BATCHES[0]], text)) as trace:
        assert trace.n_rows == 2


def test_missing_rows_are_noticed(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "t", [BATCHES[0]], good_text(3))
    assert "2 rows, but its metadata says 3" in refusal(path)


def with_column(name: str, column: pa.Array) -> pa.RecordBatch:
    index = TRACE_SCHEMA.get_field_index(name)
    arrays = [*BATCHES[0].columns]
    arrays[index] = column
    return pa.RecordBatch.from_arrays(arrays, schema=TRACE_SCHEMA)


def ops(codes: list[int], names: list[str]) -> pa.Array:
    codes_array = pa.array(codes, pa.int8())
    return pa.DictionaryArray.from_arrays(codes_array, names, safe=False)


@pytest.mark.parametrize(
    ("name", "column", "reason"),
    [
        # a null whose slot holds 0 would be read as a time
        ("issue_ns", pa.array([5, None], pa.int64()), "has a time below 0"),
        ("issue_ns", pa.array([5, -1], pa.int64()), "has a time below 0"),
        ("queue_ns", pa.array([5, -(1 << 63)], pa.int64()), "has a time below 0"),
        ("sector", pa.array([5, None], pa.uint64()), "column sector has nulls"),
        ("op", ops([0, 7], list(OPS)), "unknown operation"),
        ("op", ops([0, -1], list(OPS)), "unknown operation"),
        ("op", ops([0, 1], ["write", "read"]), "unknown operation"),
    ],
)
def test_values_that_the_engine_must_not_see_are_refused(
    tmp_path: Path, name: str, column: pa.Array, reason: str
) -> None:
    path = write_raw(tmp_path / "t", [with_column(name, column)], good_text(2))
    assert reason in refusal(path)


@given(data=st.data())
def test_flipped_bytes_give_rows_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    # GIVEN a trace file with some bytes changed
    path = tmp_path_factory.mktemp("flip") / "t.arrow"
    write_trace(path, FakeRows(BATCHES), metadata_of)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(min_value=1, max_value=8))):
        place = data.draw(st.integers(min_value=0, max_value=len(content) - 1))
        content[place] = data.draw(st.integers(min_value=0, max_value=255))
    path.write_bytes(content)
    # WHEN it is read
    refusal = table = None
    try:
        with Trace(path) as trace:
            table = trace.table()
    except TraceError as error:
        refusal = str(error)
    # THEN it is refused in one line, or has the rows it says and only known operations
    if table is None:
        assert refusal
        assert "\n" not in refusal
    else:
        assert table.num_rows == trace.n_rows
        assert set(table["op"].to_pylist()) <= set(OPS)
