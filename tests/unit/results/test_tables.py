from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.lines import lines_each
from replay.engine.raw import IO_COLUMNS
from replay.results.schema import OPTIONAL, TABLES, document
from replay.results.tables import (
    Names,
    RequestConverter,
    add_up,
    build_tables,
)
from support import results as made

KIB = 1024


def tables(**changes: Any) -> dict[str, pa.Table]:
    return build_tables(made.raw_result(), made.names(**changes))


def row(table: pa.Table, **key: str) -> dict[str, Any]:
    """Return the one row with this key."""
    rows = [r for r in table.to_pylist() if all(r[k] == v for k, v in key.items())]
    assert len(rows) == 1
    return dict(rows[0])


def test_every_table_not_asked_for_is_made_with_its_documented_schema() -> None:
    made_tables = tables()
    assert list(made_tables) == [name for name in TABLES if name not in OPTIONAL]
    for name, table in made_tables.items():
        assert table.schema.equals(TABLES[name].schema, check_metadata=True)
        table.validate(full=True)


def test_every_column_has_a_unit_and_a_description() -> None:
    for spec in TABLES.values():
        assert set(spec.key) <= set(spec.schema.names)
        for field in spec.schema:
            assert set(field.metadata) == {b"unit", b"description"}
            if field.name.endswith("_ns"):
                assert field.metadata[b"unit"] == b"ns"


def test_the_document_of_the_tables_is_current() -> None:
    path = Path(__file__).parents[3] / "docs" / "tables.md"
    assert path.read_text(encoding="utf-8") == document()


def test_io_stat_of_a_parent_holds_its_childs_bios() -> None:
    io_stat = tables()["io_stat"]
    child = row(io_stat, cgroup="/test.slice/b")
    assert (child["rbytes"], child["wios"], child["dios"]) == (64 * KIB, 2, 1)
    for name in ("/test.slice", "/"):
        parent = row(io_stat, cgroup=name)
        assert parent["wbytes"] == 384 * KIB
        assert (parent["rios"], parent["wios"], parent["dios"]) == (1, 6, 1)


def test_io_stat_has_zero_rows_for_cgroups_and_none_for_devices_without_io() -> None:
    io_stat = tables()["io_stat"]
    assert io_stat["cgroup"].to_pylist() == list(made.CGROUPS)
    assert set(io_stat["device"].to_pylist()) == {"7:0"}
    assert sum(row(io_stat, cgroup="id:77")[name] for name in IO_COLUMNS) == 0


def test_io_stat_names_the_backing_device_beside_the_traced_one() -> None:
    # GIVEN direct I/O whose bios reach the disk below, paid by /test.slice
    raw = made.raw_result()
    raw["backing_io"] = made.columns(f"cgroup {made.IO}", (1, 0, 8 * KIB, 0, 2, 0, 0))
    # WHEN the scenario names the disk
    io_stat = build_tables(raw, made.names(backing="254:32"))["io_stat"]
    # THEN every cgroup has a row for both, cgroup by cgroup
    assert io_stat["device"].to_pylist() == ["7:0", "254:32"] * 4
    assert row(io_stat, cgroup="/", device="254:32")["wbytes"] == 8 * KIB
    assert row(io_stat, cgroup="/test.slice/b", device="254:32")["wbytes"] == 0
    assert row(io_stat, cgroup="/", device="7:0")["wbytes"] == 384 * KIB


def test_io_stat_is_empty_if_no_device_saw_io() -> None:
    raw = made.raw_result()
    raw["io"] = made.columns(f"cgroup device {made.IO}", (1, 1, 0, 0, 0, 0, 0, 0))
    assert build_tables(raw, made.names(backing="254:32"))["io_stat"].num_rows == 0


def test_io_of_the_second_device_alone_is_not_named_the_first() -> None:
    raw = made.raw_result()
    raw["io"] = made.columns(
        f"cgroup device {made.IO}",
        (1, 0, 0, 0, 0, 0, 0, 0),
        (1, 1, 512, 0, 1, 0, 0, 0),
    )
    io_stat = build_tables(raw, made.names())["io_stat"]
    assert set(io_stat["device"].to_pylist()) == {"7:1"}
    assert row(io_stat, cgroup="/")["rbytes"] == 512


def test_a_backing_device_that_is_replayed_too_is_refused() -> None:
    with pytest.raises(ValueError, match="7:1 is both"):
        tables(backing="7:1")


def test_memory_is_in_bytes_and_file_holds_tmpfs_as_memory_stat_does() -> None:
    memory = tables()["memory"]
    child = row(memory, cgroup="/test.slice/b")
    assert child["own_shmem"] == 16 * 4096
    assert child["own_file"] == 19 * 4096
    assert (child["anon"], child["kernel"]) == (5 * 4096, 1 * 4096)
    root = row(memory, cgroup="/")
    assert (root["shmem"], root["file"]) == (66 * 4096, 70 * 4096)
    assert (root["own_shmem"], root["own_file"]) == (50 * 4096, 51 * 4096)
    # current, peak and events come with descendants from the engine
    assert (root["current"], root["peak"]) == (90 * 4096, 120 * 4096)
    assert (child["max"], child["oom"], child["oom_kill"]) == (18, 1, 1)
    # what was read again is each cgroup's own there: memory.stat's has descendants
    again = ("workingset_refault_file", "workingset_activate_file")
    assert [[one[name] for name in again] for one in (child, root)] == [[7, 2]] * 2


def test_memory_rows_that_do_not_match_the_cgroups_are_refused() -> None:
    with pytest.raises(ValueError, match="4 memory rows for 3 cgroups"):
        tables(cgroups=made.CGROUPS[:3], parents=np.array([-1, 0, 1], np.int32))


def test_latency_names_operations_and_stages_and_rounds_the_mean_down() -> None:
    raw = made.raw_result()
    raw["latency"] = made.columns(
        made.LATENCY, (1, 0, 3, made.TOTAL, 3, 11, 1, 2, 3, 4, 5, 6)
    )
    only = build_tables(raw, made.names())["latency"].to_pylist()
    assert [list(r.values()) for r in only] == [
        ["/test.slice", "7:0", "flush", "total", 3, 11, 3, 1, 2, 3, 4, 5, 6]
    ]


def test_stages_of_the_latency_table_sum_to_total() -> None:
    latency = tables()["latency"]
    spent = latency["sum_ns"].to_numpy()
    total = np.array(latency["stage"].to_pylist()) == "total"
    assert spent[total].sum() == spent[~total].sum() == 48 * made.MS


def test_interference_names_waiter_blocker_and_resource() -> None:
    found = row(
        tables()["interference"], waiting="/test.slice/b", blocking="/test.slice"
    )
    assert found["resource"] == "worker"
    assert (found["wait_ns"], found["count"]) == (38 * made.MS, 2)


def test_cgroups_that_are_not_told_apart_have_a_name_of_their_own() -> None:
    raw = made.raw_result()
    raw["interference"]["waiting"][:] = len(made.names().cgroups)
    found = build_tables(raw, made.names())["interference"]
    assert set(found["waiting"].to_pylist()) == {"(others)"}


def test_a_worker_alive_at_the_end_has_no_time_of_reaping() -> None:
    workers = tables()["workers"]
    assert workers["reaped_ns"].to_pylist() == [None, 66 * made.MS]
    assert workers["cgroup"].to_pylist() == ["/", "/test.slice/b"]


def test_kills_and_errors_name_task_cgroups_and_positive_errno() -> None:
    raw = made.raw_result()
    raw["errors"]["errno"] = -raw["errors"]["errno"]
    made_tables = build_tables(raw, made.names())
    (kill,) = made_tables["kills"].to_pylist()
    assert (kill["task"], kill["limit_cgroup"]) == ("dd", "/test.slice")
    assert (kill["victim_cgroup"], kill["usage_bytes"]) == ("/test.slice/b", 262144)
    assert made_tables["errors"]["errno"].to_pylist() == [5]


def test_requests_that_were_not_reached_have_null_times_and_no_worker() -> None:
    batch = RequestConverter(made.names(), made.Recording()).batch(made.raw_requests(6))
    batch.validate(full=True)
    assert batch.schema.equals(TABLES["requests"].schema)
    third = batch.slice(2, 1).to_pylist()[0]
    assert (third["start_ns"], third["completion_ns"]) == (None, None)
    assert (third["worker"], third["arrival_ns"]) == (None, 20)
    assert batch["errno"].to_pylist() == [5, 0, 0, 0, 0, 5]
    assert batch["issuer"].to_pylist()[:4] == list(made.CGROUPS)
    assert batch["device_ns"].to_pylist() == [8, 9, 10, 11, 12, 13]
    assert batch["sector"].to_pylist() == [0, 8, 16, 24, 32, 40]
    assert batch["process"].to_pylist() == ["dd", None] * 3
    assert set(batch["op"].to_pylist()) == {"read"}


@st.composite
def trees(draw: st.DrawFn) -> np.ndarray:
    """Parents of up to 30 cgroups, from a chain (span 1) to anything."""
    n, span = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    parents = [draw(st.integers(max(0, i - span), i - 1)) for i in range(1, n)]
    return np.array([-1, *parents], np.int32)


@given(trees(), st.randoms(use_true_random=False))
def test_each_cgroup_has_its_own_and_its_childrens_counts(
    parents: np.ndarray, random: Any
) -> None:
    # GIVEN any tree and any counts, beyond what a double holds
    own = np.array(
        [[random.randrange(1 << 57) for _ in range(2)] for _ in parents], np.int64
    )
    # WHEN added up
    total = add_up(parents, own)
    # THEN it is what a walk from the leaves up gives
    expected = own.copy()
    for child in range(len(parents) - 1, 0, -1):
        expected[parents[child]] += expected[child]
    assert (total == expected).all()


@given(trees(), st.data())
def test_io_stat_of_the_root_is_the_sum_of_what_each_cgroup_did(
    parents: np.ndarray, data: st.DataObject
) -> None:
    n = len(parents)
    keys = st.tuples(st.integers(0, n - 1), st.integers(0, 2))
    counters = st.tuples(*[st.integers(0, 1 << 40)] * 6)
    rows = data.draw(st.dictionaries(keys, counters, max_size=20))
    raw = made.raw_result()
    raw["io"] = made.columns(
        f"cgroup device {made.IO}", *(key + rows[key] for key in sorted(rows))
    )
    raw["memory"] = made.columns(made.MEMORY, *[(0,) * 14] * n)
    for name in raw.keys() - {"io", "backing_io", "memory"}:
        raw[name] = {key: values[:0] for key, values in raw[name].items()}
    names = Names(
        cgroups=[f"/c{i}" if i else "/" for i in range(n)],
        parents=parents,
        devices=["7:0", "7:1", "7:2"],
    )
    io_stat = build_tables(raw, names)["io_stat"]
    roots = {r["device"]: r for r in io_stat.to_pylist() if r["cgroup"] == "/"}
    for device, name in enumerate(names.devices):
        sums = np.array([v for k, v in rows.items() if k[1] == device] or [(0,) * 6])
        if sums.any():
            assert [roots[name][c] for c in IO_COLUMNS] == sums.sum(axis=0).tolist()
        else:
            assert name not in roots
    assert io_stat.num_rows == n * len(roots)


def of_many(n: int, shape: str) -> tuple[dict[str, dict[str, np.ndarray]], Names]:
    """Return a result that has a row in every table for each of n cgroups."""
    ids = np.arange(n, dtype=np.uint32)
    raw = made.raw_result()
    for name, column in (("io", "cgroup"), ("charges", "issuer")):
        raw[name] = {key: np.repeat(v[:1], n) for key, v in raw[name].items()}
        raw[name][column] = ids
    raw["memory"] = {key: np.repeat(v[:1], n) for key, v in raw["memory"].items()}
    parents = np.zeros(n, np.int32) if shape == "wide" else np.arange(-1, n - 1)
    parents[0] = -1
    names = made.names(cgroups=["/", *(f"/{i}" for i in range(1, n))], parents=parents)
    return raw, names


@pytest.mark.parametrize("shape", ["wide", "chain"])
def test_sums_of_100_000_cgroups_are_exact(shape: str) -> None:
    # WHEN a row in every table for each of 100,000 cgroups is made into tables
    io_stat = build_tables(*of_many(100_000, shape))["io_stat"]
    # THEN the root has the sum of all
    assert io_stat["wios"][0].as_py() == 4 * 100_000


@pytest.mark.parametrize("shape", ["wide", "chain"])
def test_a_cgroup_more_costs_two_lines_of_python_at_most(shape: str) -> None:
    # GIVEN results of many cgroups, side by side or below one another
    made_of = {n: of_many(n, shape) for n in (1000, 20_000)}
    # THEN neither width nor depth is more work than there are cgroups
    assert lines_each(lambda n: build_tables(*made_of[n]), 1000, 20_000) < 2
