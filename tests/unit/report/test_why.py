"""Requests and kills are explained by what the tables hold."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

import replay
from replay.report.ahead import RequestsAhead, ahead_of, slowest, slowest_of_each
from replay.report.explain import explain
from replay.report.text import render_text
from replay.report.why import NO_REQUESTS, why_page
from replay.results import write
from replay.results.stored import StoredTables
from support.results import result as made_result

TRACES = Path(__file__).parents[3] / "traces"


@pytest.fixture(scope="module")
def results() -> dict[str, replay.Result]:
    return {
        name: replay.run(TRACES / name, TRACES / f"{name}.toml", requests=True)
        for name in ("workers-per-cgroup", "workers-root", "seed-unlimited")
    }


def test_the_slowest_are_those_of_the_table(results: dict[str, replay.Result]) -> None:
    result = results["workers-root"]
    assert result.requests is not None
    rows = result.requests.to_pylist()
    for cgroup in ("/a", "/b"):
        took = sorted(
            (row["completion_ns"] - row["arrival_ns"] for row in rows
             if row["issuer"] == cgroup),
            reverse=True,
        )  # fmt: skip
        found = slowest(result, 7, cgroup)
        assert [row["total_ns"] for row in found] == took[:7]
        (first,) = [r for r in slowest_of_each(result, 9) if r["issuer"] == cgroup]
        assert first["total_ns"] == took[0]


def test_the_workers_commands_share_out_the_whole_wait(
    results: dict[str, replay.Result],
) -> None:
    # GIVEN requests that waited for their worker, of one that serves all
    result = results["workers-per-cgroup"]
    assert result.requests is not None
    rows = result.requests.to_pylist()
    for request in slowest(result, 5, "/a"):
        (ahead,) = ahead_of(result, [request])
        # THEN the shares of those ahead are the wait, exactly
        served = ahead["dispatch"]
        assert sum(one.wait_ns or 0 for one in served) == request["dispatch_ns"]
        # AND they are those that it took up meanwhile, with the one that it was at
        began = request["start_ns"] - request["dispatch_ns"]
        ids = [
            row["issuer"]
            for row in rows
            if row["worker"] == request["worker"]
            and row["start_ns"] < request["start_ns"]
            and row["completion_ns"] > began
        ]
        assert {one.cgroup: one.n_requests for one in served} == {
            name: ids.count(name) for name in set(ids)
        }


def test_the_driver_is_what_would_help_and_does(
    results: dict[str, replay.Result],
) -> None:
    # GIVEN a request of /a that waited behind /b for the one worker
    found = explain(results["workers-per-cgroup"], cgroup="/a", most=1)
    assert found.requests is not None
    (request,) = found.requests
    stages = {one.stage: one for one in request.stages}
    assert sum(one.time_ns for one in request.stages) == request.total_ns
    assert stages["dispatch"].behind == [
        RequestsAhead(
            cgroup="/b",
            n_requests=8,
            wait_ns=stages["dispatch"].time_ns,
        )
    ]
    (remedy,) = request.remedies
    assert "driver.policy=per-cgroup" in remedy
    # WHEN the driver is the one that is named
    result = replay.run(
        TRACES / "workers-per-cgroup",
        TRACES / "workers-per-cgroup.toml",
        overrides=["driver.policy=per-cgroup"],
        requests=True,
    )
    assert result.requests is not None
    # THEN no request of /a waits for a worker behind /b
    assert not [
        row
        for row in result.interference.to_pylist()
        if (row["waiting"], row["blocking"], row["resource"]) == ("/a", "/b", "worker")
    ]


def test_own_requests_are_not_blamed_on_the_driver(
    results: dict[str, replay.Result],
) -> None:
    found = explain(results["workers-root"], cgroup="/b", most=1)
    assert found.requests is not None
    assert found.requests[0].remedies == [
        "fewer of /b's own requests at once: only they were ahead"
    ]


def test_a_kill_is_told_with_what_met_the_limit(
    results: dict[str, replay.Result],
) -> None:
    found = explain(results["seed-unlimited"])
    (kill,) = found.kills
    assert (kill.task, kill.limit, kill.limit_cgroup) == (
        "dd",
        "memory.max = 64M",
        "/test.slice",
    )
    assert kill.remedies[0] == "a larger limit: --set /test.slice/memory.max=max"
    # what it names removes the kill
    freed = replay.run(
        TRACES / "seed-unlimited",
        TRACES / "seed-unlimited.toml",
        overrides=[kill.remedies[0].rpartition(" ")[2]],
    )
    assert freed.kills.num_rows == 0
    text = render_text(why_page(found))
    assert "dd in /test.slice: /test.slice has 64.0 MiB, memory.max = 64M" in text
    assert "charging memory: /test.slice's memory.max = 64M" in " ".join(text.split())


def test_parts_change_nothing(
    tmp_path: Path, results: dict[str, replay.Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN the same result, stored, and read in row groups
    monkeypatch.setattr(write, "ROW_GROUP", 64)
    kept = results["workers-root"]
    kept.write(tmp_path / "out")
    stored = replay.open_results(tmp_path / "out")
    with pq.ParquetFile(tmp_path / "out" / "requests.parquet") as file:
        assert file.num_row_groups == 63
    # THEN what is told of it is the same, of each cgroup and of one
    assert explain(stored, most=3) == explain(kept, most=3)
    assert explain(stored, cgroup="/b") == explain(kept, cgroup="/b")
    # AND the table as a whole was not read for it
    assert isinstance(stored.tables, StoredTables)
    assert "requests" not in stored.tables._tables


def test_without_rows_the_sums_are_told() -> None:
    text = render_text(why_page(explain(made_result())), width=200)
    assert NO_REQUESTS in text
    assert "The heaviest waits, over all requests" in text


def test_a_row_is_found(results: dict[str, replay.Result]) -> None:
    found = explain(results["workers-root"], row=203)
    assert found.requests is not None
    (request,) = found.requests
    assert request.row == 203
    none = explain(results["workers-root"], row=10**9)
    assert none.requests == []
    assert "No such request" in render_text(why_page(none))
