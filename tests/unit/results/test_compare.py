import json
from pathlib import Path

import pyarrow as pa
import pytest

from replay.common.errors import OutputError
from replay.report.text import render_text
from replay.results.compare import compare, compare_stored, difference
from support import results as made


def test_equal_results_do_not_differ() -> None:
    found = compare(made.result(), made.result())
    assert not any(table.num_rows for table in found.tables.values())
    assert found.scenario == {}
    told, *notes = render_text(found).splitlines()
    assert told == "The tables do not differ."
    # what the runs told of themselves holds for the comparison
    note = made.result().info["notes"][0]
    assert notes == ["", "Estimates and losses", f"  {note}"]


def test_who_pays_more_is_told_with_both_values_and_the_difference() -> None:
    charges = compare(made.result(), made.per_cgroup()).tables["charges"]
    assert charges.select(
        ["payer", "io_bytes_base", "io_bytes_other", "io_bytes_diff"]
    ).to_pylist() == [
        {
            "payer": payer,
            "io_bytes_base": base,
            "io_bytes_other": other,
            "io_bytes_diff": other - base,
        }
        for payer, base, other in [("/", 262144, 0), ("/test.slice", 0, 262144)]
    ]


def test_who_waits_less_and_whose_memory_moved() -> None:
    tables = compare(made.result(), made.per_cgroup()).tables
    (row,) = tables["interference"].to_pylist()
    assert (row["waiting"], row["wait_ns_diff"]) == ("/test.slice/b", -30 * made.MS)
    (row,) = tables["latency"].to_pylist()
    assert (row["cgroup"], row["stage"]) == ("/test.slice/b", "total")
    assert (row["mean_ns_base"], row["mean_ns_other"]) == (21 * made.MS, 6 * made.MS)
    moved = {r["cgroup"]: r["own_file_diff"] for r in tables["memory"].to_pylist()}
    assert moved == {"/": -50 * 4096, "/test.slice": 50 * 4096}


def test_a_kill_in_one_only_is_told_and_one_in_both_is_not() -> None:
    (kill,) = compare(made.result(), made.per_cgroup()).tables["kills"].to_pylist()
    assert (kill["task"], kill["only_in"]) == ("java", "other")
    (kill,) = compare(made.per_cgroup(), made.result()).tables["kills"].to_pylist()
    assert (kill["task"], kill["only_in"]) == ("java", "base")


def test_report_shows_scenario_payers_waits_and_kills() -> None:
    lines = render_text(compare(made.result(), made.per_cgroup())).splitlines()
    squeezed = [" ".join(line.split()) for line in lines]
    assert "driver.policy: root -> per-cgroup" in squeezed
    assert "machine.cpus: 2 -> not set" in squeezed
    assert "/ for /test.slice 256.0 KiB 0 B -256.0 KiB" in squeezed
    assert "/test.slice for itself 0 B 256.0 KiB +256.0 KiB" in squeezed
    assert "/test.slice/b 21.0 ms 6.00 ms -15.0 ms" in squeezed
    assert (
        "/test.slice/b behind /test.slice (worker) 38.0 ms 8.00 ms -30.0 ms" in squeezed
    )
    assert "other: t=1.23s java in /test.slice/b, memory.max of /test.slice" in squeezed
    assert max(map(len, lines)) <= 80


def test_results_of_different_traces_are_said_to_be() -> None:
    other = made.result()
    other.info["trace"]["sha256"] = "another"
    found = compare(made.result(), other)
    assert not found.same_trace
    assert "different traces" in render_text(found)


def test_rows_of_one_side_count_as_zero_and_the_largest_difference_is_first() -> None:
    base = pa.table({"k": ["a", "b", "c"], "v": [1, 5, 7], "w": [0, 0, 1]})
    other = pa.table({"k": ["c", "d", "b"], "v": [7, 9, 2], "w": [2, 0, 0]})
    found = difference(base, other, ["k"], ["v", "w"])
    assert found["k"].to_pylist() == ["d", "b", "a", "c"]
    assert found["v_diff"].to_pylist() == [9, -3, -1, 0]
    assert found["w_diff"].to_pylist() == [0, 0, 0, 1]
    assert found["v_base"].to_pylist() == [0, 5, 1, 7]


def test_stored_results_are_compared_with_the_first_and_called_by_their_place(
    tmp_path: Path,
) -> None:
    places = [tmp_path / name for name in "abc"]
    for place, result in zip(
        places, [made.result(), made.per_cgroup(), made.result()], strict=True
    ):
        result.write(place)
    to_b, to_c = compare_stored(places)
    assert to_b.names == (str(places[0]), str(places[1]))
    assert render_text(to_b, width=200).startswith(f"base: {places[0]}\nother:")
    assert to_c.tables["charges"].num_rows == 0
    value = json.loads(to_b.to_json())
    assert value["scenario"]["driver.policy"] == {"base": "root", "other": "per-cgroup"}
    assert value["same_trace"] is True
    assert value["tables"]["kills"][0]["task"] == "java"


def test_comparing_what_is_no_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no run.json"):
        compare_stored([tmp_path, tmp_path])
