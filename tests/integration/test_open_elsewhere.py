"""The files in other programs: pyarrow, polars, pandas and DuckDB."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

import replay
from replay.common.errors import OutputError, TraceError
from replay.trace.blktrace.event_rows import EVENT_SCHEMA
from replay.trace.file.parquet import READABLE_SCHEMA, flags_text
from replay.trace.file.read import Trace, open_trace
from support.blktrace import Event, cpu_files, note, process_note, record

duckdb = pytest.importorskip("duckdb")

WALL_S = 1_600_000_000


def sql(query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        rows: list[tuple[Any, ...]] = connection.execute(query).fetchall()
        return rows


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A recording with every kind of record."""
    events = [
        Event("Q", 1_000, 0, 8192, extra=("sync", "meta"), cgroup=10, pid=5),
        Event("X", 1_100, 0, 4096, cgroup=10, pid=5, rest=8),
        Event("D", 1_200, 0, 4096, extra=("sync",), pid=5),
        Event("C", 1_300, 0, 4096, error=-5, pid=5),
        Event("Q", 2_000, 64, 512, op="read", cgroup=77, pid=-1 & 0xFFFFFFFF),
    ]
    wall = note(1, WALL_S.to_bytes(4, "little") + bytes(4), time_ns=900, garbage=True)
    remap = record(
        15 | 1 << 16,
        time_ns=1_050,
        sector=7,
        nbytes=512,
        seq=9,
        payload=(8 << 20 | 1).to_bytes(4, "big")
        + (8 << 20).to_bytes(4, "big")
        + (123).to_bytes(8, "big"),
    )
    data = (
        process_note(b"dd\xff", pid=5, time_ns=800)
        + wall
        + cpu_files(events)[0]
        + note(2, b"fio says hi\n", time_ns=3_000, cgroup=1)
        + record(7 | 1 << 26, time_ns=3_100)
    )
    (tmp_path / "sda.blktrace.0").write_bytes(data)
    (tmp_path / "sda.blktrace.1").write_bytes(remap)
    (tmp_path / "paths").write_text("10 /a\n")
    return tmp_path / "sda"


@pytest.fixture
def trace(capture: Path) -> Path:
    path = capture.parent / "t.arrow"
    replay.convert(capture, path, cgroups=capture.parent / "paths").close()
    return path


def test_the_trace_file_opens_as_it_is(trace: Path) -> None:
    with Trace(trace) as opened:
        expected = opened.table().to_pylist()
    assert feather.read_table(trace).to_pylist() == expected
    assert pl.read_ipc(trace).to_dicts() == expected
    frame = pd.read_feather(trace)
    assert frame["sector"].tolist() == [row["sector"] for row in expected]
    assert frame["op"].tolist() == [row["op"] for row in expected]


def test_parquet_has_readable_names_in_every_program(trace: Path) -> None:
    # GIVEN a trace with an unknown cgroup, an unknown process and an unseen time
    path = trace.with_suffix(".parquet")
    with open_trace(trace) as opened:
        replay.write_parquet(opened, path)
    # THEN the rows are the trace's, with names; the rest of the split was not issued
    rows = pq.read_table(path).to_pylist()
    assert [
        {
            name: row[name]
            for name in ("device", "op", "flags", "cgroup", "process", "pid", "error")
        }
        for row in rows
    ] == [
        {
            "device": "7:0",
            "op": "write",
            "flags": "sync|meta",
            "cgroup": "/a",
            "process": r"dd\xff",
            "pid": 5,
            "error": 0,
        },
        {
            "device": "7:0",
            "op": "write",
            "flags": "sync|meta",
            "cgroup": "/a",
            "process": r"dd\xff",
            "pid": 5,
            "error": -5,
        },
        {
            "device": "7:0",
            "op": "read",
            "flags": "",
            "cgroup": "id:77",
            "process": None,
            "pid": -1,
            "error": 0,
        },
    ]
    assert rows[0]["time"].timestamp() == pytest.approx(WALL_S, abs=1)
    # THEN DuckDB, polars and pandas read the same
    assert sql(f"select cgroup, sum(nbytes) from '{path}' group by 1 order by 1") == [
        ("/a", 8192),
        ("id:77", 512),
    ]
    assert sql(f"select count(*) from '{path}' where complete_ns is null") == [(2,)]
    assert pl.read_parquet(path)["op"].to_list() == [row["op"] for row in rows]
    assert pd.read_parquet(path)["device"].tolist() == ["7:0"] * 3
    # THEN the metadata is there, and every column says what it is
    assert b'"quality"' in pq.read_metadata(path).metadata[b"replay"]
    assert all(field.metadata[b"description"] for field in READABLE_SCHEMA)


def test_flags_are_spelled() -> None:
    assert flags_text(0) == ""
    assert flags_text(31) == "sync|meta|fua|preflush|readahead"
    assert flags_text(1 << 9 | 2) == "meta|512"


@pytest.mark.parametrize("to", ["arrow", "parquet"])
def test_every_record_is_a_row(capture: Path, to: str) -> None:
    # WHEN events are converted
    path = capture.parent / f"e.{to}"
    metadata = replay.convert_events(capture, path, to=to)
    table = feather.read_table(path) if to == "arrow" else pq.read_table(path)
    table.validate(full=True)
    rows = table.to_pylist()
    # THEN there is a row a record, those without an event's time first
    quality = metadata.summary.quality
    assert len(rows) == quality.records == metadata.summary.n_rows == 10
    assert (quality.events, quality.unknown) == (
        {"Q": 2, "X": 1, "D": 1, "C": 1, "A": 1},
        1,
    )
    assert [(row["time_ns"], row["action"], row["text"]) for row in rows] == [
        (-200, "process", r"dd\xff"),
        (-100, "timestamp", f"{WALL_S}.000000000"),
        (0, "Q", ""),
        (50, "A", ""),
        (100, "X", ""),
        (200, "D", ""),
        (300, "C", ""),
        (1_000, "Q", ""),
        (2_000, "message", "fio says hi"),
        (2_100, "unknown", ""),
    ]
    # THEN what a note carries by chance is not shown
    assert all(rows[1][name] is None for name in ("sector", "op", "sequence", "error"))
    by_action = {row["action"]: row for row in rows}
    assert by_action["X"]["other_sector"] == 8
    assert (by_action["A"]["other_device"], by_action["A"]["other_sector"]) == (
        8 << 20 | 1,
        123,
    )
    assert by_action["C"]["error"] == -5
    assert by_action["message"]["cgroup"] == 1
    assert rows[2]["cgroup"] == 10
    assert rows[2]["other_sector"] is None


def test_events_open_in_every_program(capture: Path) -> None:
    path = capture.parent / "e.arrow"
    replay.convert_events(capture, path)
    assert pl.read_ipc(path)["action"].to_list()[2] == "Q"
    assert pd.read_feather(path)["nbytes"].sum() == 8192 + 4096 * 3 + 512 * 2
    replay.convert_events(capture, capture.parent / "e.parquet", to="parquet")
    assert sql(
        f"select action, count(*) from '{capture.parent}/e.parquet'"
        " where op is not null group by 1 order by 1"
    ) == [("A", 1), ("C", 1), ("D", 1), ("Q", 2), ("X", 1)]


def test_a_stream_out_of_order_gives_events_in_order(tmp_path: Path) -> None:
    files = cpu_files(
        [Event("Q", 5_000 + n, cpu=0) for n in range(9)]
        + [Event("Q", 1_000 + n, cpu=1) for n in range(9)]
    )
    (tmp_path / "s").write_bytes(files[0] + files[1])
    replay.convert_events(tmp_path / "s", tmp_path / "e.arrow")
    times = feather.read_table(tmp_path / "e.arrow")["time_ns"].to_pylist()
    assert times == [*range(9), *range(4_000, 4_009)]


def test_long_texts_end_a_batch_early(tmp_path: Path) -> None:
    # GIVEN messages that need more room than a batch has for text
    data = b"".join(note(2, b"\xff" * 128, time_ns=n) for n in range(6_000))
    (tmp_path / "s").write_bytes(data)
    metadata = replay.convert_events(tmp_path / "s", tmp_path / "e.arrow")
    table = feather.read_table(tmp_path / "e.arrow")
    assert table.num_rows == metadata.summary.n_rows == 6_000
    assert set(table["text"].to_pylist()) == {r"\xff" * 128}


def test_events_are_blktraces_only(tmp_path: Path, capture: Path) -> None:
    (tmp_path / "f").write_text("0,1.5,0,4096,Write\n" * 3)
    with pytest.raises(TraceError, match=r"its content does not tell|only blktrace"):
        replay.convert_events(tmp_path / "f", tmp_path / "e.arrow")
    with pytest.raises(OutputError, match="is one of the inputs"):
        replay.convert_events(
            capture, capture.parent / "sda.blktrace.0", overwrite=True
        )
    with pytest.raises(ValueError, match="neither"):
        replay.convert_events(capture, tmp_path / "e.csv", to="csv")
    replay.convert_events(capture, tmp_path / "e.arrow")
    with pytest.raises(TraceError, match="is an Arrow file but no trace file"):
        open_trace(tmp_path / "e.arrow")


def test_the_columns_of_the_documents_are_those_of_the_files(top: Path) -> None:
    text = (top / "docs" / "using.md").read_text()
    named = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert {*EVENT_SCHEMA.names, *READABLE_SCHEMA.names} <= named


def test_what_the_documents_show_is_what_comes_out(
    top: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # GIVEN the files that the documents speak of
    monkeypatch.chdir(tmp_path)
    with replay.convert(top / "traces" / "fs-on-loop", "trace.arrow") as trace:
        replay.write_parquet(trace, "trace.parquet")
    replay.convert_events(top / "traces" / "fs-on-loop", "events.parquet", to="parquet")
    text = (top / "docs" / "using.md").read_text()
    blocks = re.findall(r"```(python|sql)\n([^`]*)```\n```\n([^`]*)```", text)
    assert [language for language, *_ in blocks] == ["python", "sql", "sql"]
    for language, code, shown in blocks:
        # WHEN what stands there is run
        if language == "sql":
            print(duckdb.sql(code))
        else:
            exec(compile(code, "using.md", "exec"), {})
        # THEN the output is what stands below it
        assert capsys.readouterr().out.rstrip() == shown.rstrip()
