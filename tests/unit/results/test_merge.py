"""Results added up are what one result of all their requests would be."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.common.errors import OutputError
from replay.engine.raw import PERCENTILES
from replay.engine.reference.structures.histogram import Histogram
from replay.results.merge import SUMMED, merge, merge_latency, merge_table
from replay.results.result import Result
from replay.results.schema import TABLES
from replay.results.sink import ResultSink
from support import results as made

#: Cgroup, operation and stage of a time; the times in ms, some of them in one bucket.
KEYS = st.tuples(
    st.integers(0, 3), st.integers(0, 1), st.sampled_from([made.DEVICE, made.TOTAL])
)
TIMES = st.dictionaries(
    KEYS, st.lists(st.integers(0, 5000), min_size=1, max_size=8), max_size=6
)


def result_of(raw: dict[str, Any], **changes: Any) -> Result:
    with ResultSink(made.names(**changes)) as sink:
        return sink.finish(raw, made.info())


def timed(times: dict[tuple[int, int, int], list[int]]) -> Result:
    times = dict(sorted(times.items()))
    return result_of({**made.raw_result(), **made.timed(times)})


def row(table: pa.Table, **wanted: Any) -> dict[str, Any]:
    (found,) = [
        one
        for one in table.to_pylist()
        if all(one[name] == value for name, value in wanted.items())
    ]
    assert isinstance(found, dict)
    return found


@given(st.lists(TIMES, min_size=1, max_size=4))
def test_latency_of_parts_is_that_of_a_histogram_of_all(
    parts: list[dict[tuple[int, int, int], list[int]]],
) -> None:
    # GIVEN some results, WHEN merged
    merged = merge(timed(part) for part in parts)["latency"]
    assert merged.schema == TABLES["latency"].schema
    # THEN each row is that of one histogram to which all their times were added
    keys = {key for part in parts for key in part}
    assert merged.num_rows == len(keys)
    for cgroup, op, stage in keys:
        one = Histogram()
        for part in parts:
            for time_ms in part.get((cgroup, op, stage), []):
                one.add(time_ms * made.MS)
        found = row(
            merged,
            cgroup=made.CGROUPS[cgroup],
            op=("read", "write")[op],
            stage="device" if stage == made.DEVICE else "total",
        )
        counted = (found["count"], found["sum_ns"], found["min_ns"], found["max_ns"])
        assert counted == (one.count, one.sum, one.min, one.max)
        assert found["mean_ns"] == one.sum // one.count
        for name, thousandths in PERCENTILES.items():
            assert found[name] == one.percentile(thousandths)


def test_counters_are_sums_the_peak_the_largest_and_the_first_error_the_first() -> None:
    # GIVEN a result, and another with a higher peak and an earlier error
    other = made.raw_result()
    other["memory"]["peak"][2] = 99
    other["errors"]["first_ns"][0] = 7
    # WHEN merged
    merged = merge([made.result(), result_of(other)])
    # THEN what was counted is added up
    charge = row(merged["charges"], issuer="/test.slice")
    assert (charge["wbytes"], charge["charged_bytes"]) == (512 * 1024, 400 * 1024)
    io = row(merged["io_stat"], cgroup="/", device="7:0")
    assert (io["wbytes"], io["dios"]) == (2 * 384 * 1024, 2)
    memory = row(merged["memory"], cgroup="/test.slice/b")
    assert (memory["current"], memory["oom_kill"]) == (2 * 25 * 4096, 2)
    assert memory["peak"] == 99 * 4096
    wait = row(merged["interference"], waiting="/test.slice/b", blocking="/test.slice")
    assert (wait["wait_ns"], wait["count"]) == (76 * made.MS, 4)
    error = row(merged["errors"], cgroup="/test.slice/b")
    assert (error["count"], error["bytes"], error["first_ns"]) == (2, 131072, 7)
    assert merged["kills"].num_rows == 2
    for name, table in merged.items():
        assert table.schema == TABLES[name].schema


def test_one_result_alone_is_unchanged() -> None:
    merged = merge([made.result()])
    for name, table in merged.items():
        assert table.equals(made.result().tables[name])
    assert set(merged) == {*SUMMED, "latency", "kills"}


def test_cgroups_of_another_tree_are_told_apart_by_their_names() -> None:
    # GIVEN the same ids with other names
    names = ("/", "/test.slice", "/other", "id:77")
    merged = merge([made.result(), result_of(made.raw_result(), cgroups=names)])
    # THEN the equal ones are added up and the others stand beside each other
    memory = merged["memory"]
    assert memory["cgroup"].to_pylist() == [*made.CGROUPS, "/other"]
    assert row(memory, cgroup="/test.slice")["oom_kill"] == 2
    assert row(memory, cgroup="/other")["oom_kill"] == 1


def test_directories_and_plain_tables_are_merged_too(tmp_path: Path) -> None:
    made.result().write(tmp_path / "a")
    merged = merge([tmp_path / "a", str(tmp_path / "a"), made.result().tables])
    assert row(merged["memory"], cgroup="/test.slice")["oom_kill"] == 3


def test_columns_beside_the_key_keep_rows_apart() -> None:
    # GIVEN the tables of two scenarios one after the other
    tables = {
        name: pa.concat_tables(
            made.result()
            .tables[name]
            .replace_schema_metadata(None)
            .append_column("scenario", pa.array([scenario] * n, pa.string()))
            for scenario in "aab"
            if (n := made.result().tables[name].num_rows)
        )
        for name in ("charges", "latency", "histograms")
    }
    # WHEN merged by scenario
    charges = merge_table("charges", tables["charges"], by=("scenario", "issuer"))
    latency = merge_latency(
        tables["latency"], tables["histograms"], by=("scenario", "cgroup", "stage")
    )
    # THEN each scenario has its own sums
    found = [row(charges, scenario=s, issuer="/test.slice") for s in "ab"]
    assert [one["wbytes"] for one in found] == [512 * 1024, 256 * 1024]
    found = [
        row(latency, scenario=s, cgroup="/test.slice/b", stage="total") for s in "ab"
    ]
    assert [one["count"] for one in found] == [4, 2]
    assert [one["sum_ns"] for one in found] == [84 * made.MS, 42 * made.MS]


def test_nothing_and_tables_of_different_results_are_refused() -> None:
    with pytest.raises(ValueError, match="no results"):
        merge([])
    result = made.result()
    with pytest.raises(ValueError, match="not of the same results"):
        merge_latency(result.latency, result.histograms.slice(1))
    with pytest.raises(ValueError, match="not of the same results"):
        merge_latency(result.latency.slice(1), result.histograms)


def test_sums_beyond_64_bits_are_refused() -> None:
    raw = made.raw_result()
    raw["interference"]["wait_ns"] = np.array([1 << 61, 0, 0])
    assert merge([result_of(raw)])["interference"].num_rows == 3
    with pytest.raises(OutputError, match="wait_ns: adds up to more than 64 bits"):
        merge([result_of(raw)] * 4)
