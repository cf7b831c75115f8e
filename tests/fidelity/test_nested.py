"""A loop device on a loop device, against what the kernel counted."""

import json
from pathlib import Path

import numpy as np
import pytest

import replay
from fidelity.page.tables import only
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
    # THEN requests complete when they did, but where the file system between told an
    # end late (its blocks became written): that is undone in the order of completions,
    # and replayed in the order of issues, so that ends of one burst change places
    complete, queue = (
        trace.table()[name].to_numpy() for name in ("complete_ns", "queue_ns")
    )
    rows = [row for row in result.requests.to_pylist() if row["device"] == "7:0"]
    assert len(rows) == 300
    same = [row["completion_ns"] == complete[row["row"]] for row in rows]
    assert sum(same) >= 2 * len(rows) / 3
    for path in ("/a", "/b"):
        mine = [row for row in rows if row["issuer"] == path]
        at = [row["row"] for row in mine]
        recorded = complete[at] - queue[at]
        replayed = np.array([row["completion_ns"] for row in mine]) - queue[at]
        assert replayed.mean() == pytest.approx(recorded.mean(), rel=0.05)
        for rank in (0, 0.5, 0.9, 0.99):
            expected = np.quantile(recorded, rank)
            assert np.quantile(replayed, rank) == pytest.approx(expected, rel=0.05)
    # AND all of their time behind the outer tags is the inner device's
    for path in ("/a", "/b"):
        outer, inner = (
            only(result.latency, cgroup=path, device=device, stage=stage)
            for device, stage in (("7:0", "device"), ("7:1", "total"))
        )
        assert inner["sum_ns"] == outer["sum_ns"]
