"""Replaying while decoding: the same tables as by way of a trace file, always."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import replay
from replay.common.errors import OutputError, TraceError
from replay.runner import decode_ahead as decoding
from replay.runner import play
from replay.runner import speculate as pipeline
from replay.trace import convert as convert_module
from replay.trace.blktrace.batches import BlktraceBatches
from replay.trace.file.schema import TRACE_SCHEMA
from replay.trace.file.spill import KeptRows
from support.blktrace import LOOP0, Event, cpu_files

BATCH = 4
ROWS = 60
Set = Callable[[list[int]], Path]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many batches of few rows; two of them are kept for a run that begins anew."""
    monkeypatch.setattr(convert_module, "BATCH_ROWS", BATCH)
    monkeypatch.setattr(pipeline, "_KEPT", 2)


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names what was replayed after it had been read."""
    seen: list[str] = []
    whole = play._replay

    def spy(trace: Any, *others: Any) -> Any:
        seen.append(type(trace).__name__)
        return whole(trace, *others)

    monkeypatch.setattr(play, "_replay", spy)
    return seen


@pytest.fixture
def recording(tmp_path: Path) -> Set:
    """Writes requests of the given cgroups, one after the other, by two CPUs."""

    def write(cgroups: list[int]) -> Path:
        events = []
        for number, cgroup in enumerate(cgroups):
            queue = Event(
                "Q", 1000 * number, 8 * number, cgroup=cgroup, cpu=number % 2,
                pid=100 + number % 3,
            )  # fmt: skip
            for letter, later in (("Q", 0), ("G", 10), ("D", 40), ("C", 2700)):
                time_ns = queue.time_ns + later
                fields = {**vars(queue), "letter": letter, "time_ns": time_ns + 1}
                events.append(Event(**fields))
        events.sort(key=lambda event: event.time_ns)
        directory = tmp_path / "set"
        directory.mkdir()
        for cpu, data in enumerate(cpu_files(events)):
            (directory / f"loop0.blktrace.{cpu}").write_bytes(data)
        return directory

    return write


def tables(result: replay.Result) -> dict[str, pa.Table]:
    """All tables."""
    return dict(result.tables)


def same(
    source: Path, scenario: Any, threads: int, tmp_path: Path, **more: Any
) -> replay.Result:
    """Run a recording, and its trace file: equal but for where they lie."""
    found = replay.run(source, scenario, threads=threads, **more)
    replay.convert(source, tmp_path / "t.arrow").close()
    told = replay.run(tmp_path / "t.arrow", scenario, **more)
    assert tables(found) == tables(told)
    for info in (found.info, told.info):
        for name in ("timings", "rate"):
            del info[name]
        del info["trace"]["path"]
    assert found.info == told.info
    return found


LIMITED = {"cgroups": {"/a": {"id": 23, "memory": {"max": "64K"}}}}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("cgroups", "expected"),
    [
        # all of them are in the first batch
        ([23, 59, 23, 59] * (ROWS // 4), []),
        # one more comes while the rows before it are still kept
        ([23] * 6 + [59] * (ROWS - 6), []),
        # one more comes when they are not
        ([23] * 30 + [59] * (ROWS - 30), ["RowsAgain"]),
        # with the last request
        ([23] * (ROWS - 1) + [59], ["RowsAgain"]),
        # everything is in one batch
        ([23, 59], []),
    ],
)
def test_a_recording_gives_the_tables_of_its_trace_file(
    recording: Set,
    replays: list[str],
    tmp_path: Path,
    threads: int,
    cgroups: list[int],
    expected: list[str],
) -> None:
    # GIVEN a recording in which the cgroups occur early or late
    source = recording(cgroups)
    # WHEN it is replayed while it is read
    result = same(source, None, threads, tmp_path)
    # THEN the tables are right, and only a wrong guess was replayed again
    assert result.info["counts"]["requests"] == len(cgroups)
    assert replays == [*expected, "Trace"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("cgroups", "expected"),
    [
        # they have with the fourth batch, up to which all is kept
        ([23, 59] * (ROWS // 2), []),
        # they never have
        (list(range(1, ROWS + 1)), ["KeptRows"]),
        # they have, and the last request is of another
        ([23, 59] * (ROWS // 2) + [97], ["RowsAgain"]),
    ],
)
def test_many_ids_are_followed_once_they_have_rows_enough(
    recording: Set,
    replays: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    threads: int,
    cgroups: list[int],
    expected: list[str],
) -> None:
    # GIVEN a recording whose ids are too many to be told at each look
    monkeypatch.setattr(decoding, "_FEW_IDS", 0)
    monkeypatch.setattr(decoding, "_ROWS_OF_ID", 4)
    source = recording(cgroups)
    # WHEN it is replayed
    result = same(source, None, threads, tmp_path)
    # THEN tables are right, and what was read was kept until the run began
    assert result.info["counts"]["requests"] == len(cgroups)
    assert replays == [*expected, "Trace"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "scenario",
    [
        LIMITED,
        # a limit of the traced device
        {
            "arrivals": {"mode": "recorded"},
            "cgroups": {"/a": {"io.max": "7:0 wbps=1G"}},
        },
        {"arrivals": {"event": "queue", "mode": "dependent"}},
        {"assign": [{"pid": 101, "cgroup": "/b"}]},
    ],
    ids=["limit", "queue", "dependent", "assign"],
)
def test_rows_that_are_needed_twice_are_kept(
    recording: Set,
    replays: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    threads: int,
    scenario: dict[str, Any],
) -> None:
    # GIVEN room in memory for some of the rows only
    monkeypatch.setattr(KeptRows.__init__, "__kwdefaults__", {"memory_bytes": 1000})
    source = recording([23, 59, 97] * (ROWS // 3))
    # WHEN a scenario wants them in another order, or must know them all before
    same(source, scenario, threads, tmp_path)
    # THEN they came from where they were kept
    assert replays == ["KeptRows", "Trace"]


def test_requests_are_kept_row_by_row(
    recording: Set, replays: list[str], tmp_path: Path
) -> None:
    source = recording([23, 59] * (ROWS // 2))
    result = same(source, None, 2, tmp_path, requests=True)
    assert result.requests is not None
    assert result.requests.num_rows == ROWS
    assert replays == ["KeptRows", "Trace"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stream_of_several_cpus_is_sorted_first(
    recording: Set, tmp_path: Path, threads: int
) -> None:
    # GIVEN the chunks of two CPUs in one file, as `blktrace -o -` writes them
    source = recording([23, 59] * (ROWS // 2))
    parts = [path.read_bytes() for path in sorted(source.iterdir())]
    stream = tmp_path / "stream"
    stream.write_bytes(b"".join(parts))
    # WHEN it is replayed; THEN its rows are those of the set
    result = same(stream, None, threads, tmp_path)
    assert tables(result) == tables(replay.run(source))


@pytest.mark.parametrize("threads", [1, 2])
def test_what_the_engine_refuses_is_said_of_the_whole_trace(
    recording: Set, tmp_path: Path, threads: int
) -> None:
    source = recording([23] * ROWS)
    scenario = {"trace": {"devices": ["8:0"]}}
    with pytest.raises(replay.ScenarioError, match="8:0 is not in the trace"):
        replay.run(source, scenario, threads=threads)
    (source / "loop0.blktrace.1").write_bytes(b"nothing of the kind" * 9)
    with pytest.raises(TraceError, match="not a blktrace file"):
        replay.run(source, threads=threads)


def test_an_output_that_exists_is_refused_before_anything_is_read(
    recording: Set, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = recording([23] * ROWS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text(json.dumps({}))

    def read(*_: Any, **__: Any) -> Iterator[None]:
        raise AssertionError("it was read")

    monkeypatch.setattr(play, "read_and_replay", read)
    with pytest.raises(OutputError, match="exists already"):
        replay.run(source, output=tmp_path / "out")


def batch(first: int, n_rows: int) -> pa.RecordBatch:
    """Rows whose sectors count from ``first``."""
    names = TRACE_SCHEMA.names
    row = dict.fromkeys(names, 1) | {"op": "read", "device": LOOP0}
    rows = [{**row, "sector": first + number} for number in range(n_rows)]
    return pa.RecordBatch.from_pylist(rows, TRACE_SCHEMA)


@pytest.mark.parametrize("memory_bytes", [0, 300, 1 << 20])
def test_kept_rows_come_back_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_bytes: int
) -> None:
    # GIVEN rows of which some are in memory and others on disk
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with KeptRows(Path("a"), memory_bytes=memory_bytes) as kept:
        kept.add(batch(0, 99))
        kept.clear()
        for number in range(5):
            kept.add(batch(3 * number, 3))
        metadata: Any = object()
        kept.finish(metadata)
        # WHEN they are read; THEN they are as they were added, twice
        for step in (None, 2):
            sectors = [
                sector.as_py()
                for part in kept.batches(step)
                for sector in part.column("sector")
            ]
            assert sectors == list(range(15))
        assert kept.n_rows == 15
    # AND nothing is left on the disk
    assert list(tmp_path.iterdir()) == []


def test_rows_that_find_no_room_are_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with (
        KeptRows(Path("a"), memory_bytes=0) as kept,
        pytest.raises(OutputError, match="a temporary file cannot be written"),
    ):
        kept.add(batch(0, 3))


def test_a_program_that_replays_keeps_its_switch_interval(recording: Set) -> None:
    # GIVEN a program, whose threads all have one interval
    before = sys.getswitchinterval()
    # WHEN it replays while another thread decodes
    seen = set()
    replay.run(
        recording([5, 6] * ROWS),
        threads=2,
        progress=lambda _done, _total: seen.add(sys.getswitchinterval()),
    )
    # THEN it finds its interval as it was, all the time
    assert seen == {before}
    assert sys.getswitchinterval() == before


@pytest.mark.parametrize(
    ("threads", "direct_io", "decoders"),
    [(1, False, 1), (2, False, 1), (2, True, 2), (4, False, 3), (4, True, 4)],
)
def test_an_engine_with_pages_to_account_for_has_a_thread_of_its_own(
    recording: Set,
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    direct_io: bool,
    decoders: int,
) -> None:
    asked = []
    monkeypatch.setattr(BlktraceBatches, "use_threads", lambda _, n: asked.append(n))
    scenario = {"driver": {"direct_io": direct_io}}
    replay.run(recording([5, 6]), scenario, threads=threads)
    assert asked == [decoders]
