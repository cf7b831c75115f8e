"""The same tables whatever the batches, the threads and what else runs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import replay
from fidelity.page.lab import Lab, Taken

ARRIVALS = [
    {"mode": mode, "event": event}
    for mode in ("recorded", "dependent")
    for event in ("issue", "queue")
]
#: Kills and stopped requests; two cgroups in contention; flushes and discards.
NAMES = ("nested-unlimited", "workers-per-cgroup", "fs-on-loop")

each_arrival = pytest.mark.parametrize(
    "arrivals", ARRIVALS, ids=["-".join(one.values()) for one in ARRIVALS]
)
each_name = pytest.mark.parametrize("name", NAMES)


def run(taken: Taken, arrivals: dict[str, str], **options: Any) -> replay.Result:
    overrides = [f"arrivals.{key}={value}" for key, value in arrivals.items()]
    return replay.run(
        taken.trace,
        taken.scenario_file,
        overrides=overrides,
        requests=True,
        **options,
    )


def assert_same(a: replay.Result, b: replay.Result) -> None:
    """Every table, that of the requests included, and every count."""
    assert set(a.tables) == set(b.tables)
    assert "requests" in a.tables
    for name, table in a.tables.items():
        assert table.equals(b.tables[name]), name
    assert a.info["counts"] == b.info["counts"]


@each_arrival
@each_name
@pytest.mark.parametrize("batch_rows", [1, 7, 1_000_000])
def test_batches_of_any_size_give_the_same(
    lab: Lab, name: str, arrivals: dict[str, str], batch_rows: int
) -> None:
    taken = lab[name]
    wanted = run(taken, arrivals)
    assert wanted.tables["requests"].num_rows
    assert_same(wanted, run(taken, arrivals, batch_rows=batch_rows))


@each_arrival
@each_name
@pytest.mark.parametrize("batch_rows", [None, 100])
def test_two_threads_give_what_one_gives(
    lab: Lab, name: str, arrivals: dict[str, str], batch_rows: int | None
) -> None:
    taken = lab[name]
    assert_same(
        run(taken, arrivals, threads=1, batch_rows=batch_rows),
        run(taken, arrivals, threads=2, batch_rows=batch_rows),
    )


@each_arrival
def test_runs_at_once_in_one_process_do_not_touch_each_other(
    lab: Lab, arrivals: dict[str, str]
) -> None:
    # GIVEN runs over three traces, one of them twice
    all_taken = [lab[name] for name in (*NAMES, NAMES[1])]
    alone = [run(taken, arrivals) for taken in all_taken]
    # WHEN two go on at a time
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda taken: run(taken, arrivals), all_taken))
    # THEN each gives what it gave alone
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)


@each_name
def test_trace_converted_in_batches_of_one_row_is_the_same_trace(
    lab: Lab, tmp_path: Path, name: str
) -> None:
    taken = lab[name]
    tables = {}
    for batch_rows, threads in ((1, 1), (1_000_000, 1), (1000, 2)):
        with replay.convert(
            [taken.folder],
            tmp_path / f"{batch_rows}.arrow",
            batch_rows=batch_rows,
            threads=threads,
        ) as trace:
            tables[batch_rows] = trace.table().combine_chunks()
            result = replay.run(trace, taken.scenario_file)
        wanted = replay.run(taken.trace, taken.scenario_file)
        for table, found in result.tables.items():
            assert found.equals(wanted.tables[table]), table
    wanted_rows: pa.Table = taken.trace.table().combine_chunks()
    assert all(table.equals(wanted_rows) for table in tables.values())


def test_a_result_from_disk_is_the_result_in_the_hand(lab: Lab, tmp_path: Path) -> None:
    taken = lab["nested-unlimited"]
    run(taken, ARRIVALS[0], output=tmp_path / "out")
    assert_same(run(taken, ARRIVALS[0]), replay.open_results(tmp_path / "out"))
