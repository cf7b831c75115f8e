"""A disk that runs bfq, against the times that a kernel's requests took."""

import json

import pytest

import replay
from benchmarks.fidelity.recordings import TRACES, means

NAME = "direct-bfq"


def test_weights_share_the_disk_as_the_kernel_does() -> None:
    # GIVEN a and b of weights 100 and 300 with 300 writes each, 16 at a time
    expected = json.loads((TRACES / NAME / "expected.json").read_text())["fio"]
    kernel = {"/a": expected["write-a"], "/b": expected["write-b"]}
    result = replay.run(TRACES / NAME, TRACES / f"{NAME}.toml")
    # THEN a's mean is the kernel's, and b's within what its budgets and its waiting for
    # queues that run empty make of it
    found = means(result)
    assert found["/a"] == pytest.approx(kernel["/a"]["mean_ns"], rel=0.05)
    assert found["/b"] == pytest.approx(kernel["/b"]["mean_ns"], rel=0.15)
    # AND in order of arrival both would have taken as long
    scenario = replay.Scenario.load(
        TRACES / f"{NAME}.toml", overrides=["backing.scheduler=none"]
    )
    found = means(replay.run(TRACES / NAME, scenario))
    assert found["/b"] == pytest.approx(found["/a"], rel=0.1)
