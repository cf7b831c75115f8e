"""Bytes, bios and workers against what the kernel counted."""

from typing import Any

import pytest

import replay
from fidelity.page.lab import Lab
from fidelity.page.tables import matching, only
from support.recordings import SLEPT, STEADY

IO = ("rbytes", "wbytes", "rios", "wios", "dbytes", "dios")


def io_of(result: replay.Result, cgroup: str, device: str) -> dict[str, int]:
    row = only(result.io_stat, cgroup=cgroup, device=device)
    return {name: row[name] for name in IO}


# with its io controller off, the kernel counted for the root alone in workers-root
@pytest.mark.parametrize("name", sorted({*STEADY, *SLEPT} - {"workers-root"}))
def test_io_stat_of_the_loop_device_is_the_kernels_in_every_column(
    lab: Lab, name: str
) -> None:
    # GIVEN any recording, replayed under its driver
    taken = lab[name]
    result = replay.run(taken.trace, taken.scenario())
    # THEN each cgroup's io.stat is the kernel's; the root's are the disk's statistics,
    # since boot (block/blk-cgroup.c:blkcg_fill_root_iostats(), v6.1)
    checked = 0
    for path, counters in taken.kernel().items():
        if path != "/" and "7:0" in counters["io.stat"]:
            kernel = {name: counters["io.stat"]["7:0"][name] for name in IO}
            assert io_of(result, path, "7:0") == kernel
            checked += 1
    assert checked


def test_direct_io_below_is_charged_to_who_issued_it_above(lab: Lab) -> None:
    # GIVEN direct I/O to a disk, 254:32 named as the device below
    direct = lab["direct-two"]
    scenario = direct.scenario()
    scenario["backing"]["device"] = "254:32"
    result = replay.run(direct.trace, scenario)
    # THEN both lines of both cgroups' io.stat are the kernel's
    kernel = direct.kernel()
    for path in ("/a", "/b"):
        for device in ("7:0", "254:32"):
            assert io_of(result, path, device) == kernel[path]["io.stat"][device]
            assert any(io_of(result, path, device).values())


@pytest.mark.parametrize("mode", ["recorded", "dependent"])
def test_requests_of_the_disk_below_are_counted_and_not_replayed(
    lab: Lab, mode: str
) -> None:
    # GIVEN a recording of 7:0 and of 254:32, WHEN the loop device is replayed
    direct = lab["direct-two"]
    result = replay.run(direct.trace, direct.scenario() | {"arrivals": {"mode": mode}})
    # THEN nothing of the other one is lost in silence
    device = direct.trace.table()["device"].to_pylist()
    counts = result.info["counts"]
    assert counts["requests"] == device.count(7 << 20) == 6000
    assert counts["other_devices"] == len(device) - 6000 == 6000


def test_seed_oom_has_the_kernels_16038_bios(lab: Lab) -> None:
    result = replay.run(lab["seed-oom"].trace)
    row = io_of(result, "/test.slice", "7:0")
    assert (row["wios"], row["wbytes"]) == (16_038, 65_691_648)
    # merged into few requests, as the driver saw them
    assert result.info["counts"]["requests"] == 157


@pytest.fixture
def fs_rows(lab: Lab) -> tuple[replay.Result, list[dict[str, Any]]]:
    """fs-on-loop's result, and its requests with the operation of each."""
    taken = lab["fs-on-loop"]
    result = replay.run(taken.trace, taken.scenario_file, requests=True)
    ops = taken.trace.table()["op"].to_pylist()
    requests = result.tables["requests"].to_pylist()
    return result, [{**row, "op": ops[row["row"]]} for row in requests]


def test_flushes_and_discards_run_on_the_root_worker(
    fs_rows: tuple[replay.Result, list[dict[str, Any]]],
) -> None:
    result, requests = fs_rows
    cgroup = {row["worker"]: row["cgroup"] for row in result.workers.to_pylist()}
    served = {
        op: [cgroup[row["worker"]] for row in requests if row["op"] == op]
        for op in ("flush", "discard")
    }
    # the 82 flushes have no cgroup (block/blk-flush.c:blk_kick_flush(), v6.1), the 29
    # discards are fstrim's
    assert served == {"flush": ["/"] * 82, "discard": ["/"] * 29}
    assert io_of(result, "/", "7:0")["dios"] == 52


def test_data_runs_on_its_cgroups_own_worker(
    fs_rows: tuple[replay.Result, list[dict[str, Any]]],
) -> None:
    result, requests = fs_rows
    cgroup = {row["worker"]: row["cgroup"] for row in result.workers.to_pylist()}
    assert sorted(cgroup.values()) == ["/", "/a", "/b"]
    data = [row for row in requests if row["op"] in ("read", "write")]
    assert data
    for row in data:
        assert cgroup[row["worker"]] == row["issuer"] == row["payer"]


def test_24_cgroups_take_24_workers(lab: Lab) -> None:
    many = lab["workers-many"]
    result = replay.run(many.trace, many.scenario_file)
    workers = result.workers.to_pylist()
    assert len(workers) == 24
    assert {row["cgroup"] for row in workers} == {f"/c{i}" for i in range(1, 25)}
    assert result.info["workers_peak"] == 24
    # the recording is shorter than the 60 s after which the first could go
    assert all(row["reaped_ns"] is None for row in workers)
    assert {row["commands"] for row in workers} == {40}
    for path in (f"/c{i}" for i in range(1, 25)):
        (charge,) = matching(result.charges, issuer=path)
        assert charge["payer"] == path
