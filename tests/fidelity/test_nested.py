"""A loop device on a loop device, against what the kernel counted."""

import json
from pathlib import Path

import pytest

import replay
from replay.verify.tables import only
from support.recordings import TRACES

NAME = "loop-on-loop"
#: Pages of shmem that are fio's own.
OWN = 8192


@pytest.mark.parametrize("devices", [["7:0"], ["7:0", "7:1"]])
def test_both_devices_and_memory_are_the_kernels(devices: list[str]) -> None:
    # GIVEN writes to loop0, whose file lies on loop1, whose file lies on tmpfs; without
    # and with what the trace has of loop1
    expected = json.loads((TRACES / NAME / "expected.json").read_text())["end"]
    scenario = replay.Scenario.load(
        TRACES / f"{NAME}.toml", overrides=[f"trace.devices={json.dumps(devices)}"]
    )
    result = replay.run(TRACES / NAME, scenario)
    # THEN io.stat of both devices is the kernel's, and so is who pays for the pages
    for path in ("/a", "/b"):
        for device, kernel in expected[path]["io.stat"].items():
            row = only(result.io_stat, cgroup=path, device=device)
            assert {column: row[column] for column in kernel} == kernel
        shmem = expected[path]["memory.stat"]["shmem"] - OWN
        assert only(result.memory, cgroup=path)["shmem"] == shmem
    # AND nothing was taken twice
    assert result.info["counts"]["requests"] == 300


def test_the_driver_it_was_taken_with_returns_the_recorded_times(
    tmp_path: Path,
) -> None:
    trace = replay.convert([TRACES / NAME], tmp_path / "trace.arrow")
    result = replay.run(trace, TRACES / f"{NAME}.toml", requests=True)
    assert result.requests is not None
    # THEN requests complete when they did: but for those behind one whose end the file
    # system between told late (its blocks became written), which seem to wait for it
    complete = trace.table()["complete_ns"].to_numpy()
    rows = [row for row in result.requests.to_pylist() if row["device"] == "7:0"]
    late = [row["completion_ns"] - complete[row["row"]] for row in rows]
    assert len(late) == 300
    assert min(late) == 0
    assert late.count(0) >= 0.85 * len(late)
    # AND all of their time is the inner device's
    for path in ("/a", "/b"):
        outer, inner = (
            only(result.latency, cgroup=path, device=device, stage="total")
            for device in ("7:0", "7:1")
        )
        assert inner["sum_ns"] == outer["sum_ns"]
