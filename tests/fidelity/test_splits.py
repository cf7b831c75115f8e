"""A disk that takes requests in parts, against what the kernel counted."""

import json

import pytest

import replay
from fidelity.page.tables import means, only
from support.recordings import TRACES

SCENARIO = TRACES / "direct-splits.toml"
NAMES = ("direct-splits", "direct-splits-iops")


def counted(name: str) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    end = json.loads((TRACES / name / "expected.json").read_text())["end"]
    return {path: end[path] for path in ("/a", "/b")}


@pytest.mark.parametrize("name", NAMES)
def test_every_part_is_an_io_of_the_disk_as_the_kernel_counts(name: str) -> None:
    # GIVEN 60 reads of two parts and 60 writes of four, with and without a limit
    result = replay.run(TRACES / name, TRACES / f"{name}.toml")
    # THEN both devices' io.stat are the kernel's: 120 reads and 240 writes below
    for path, kernel in counted(name).items():
        for device, values in kernel["io.stat"].items():
            row = only(result.io_stat, cgroup=path, device=device)
            assert {column: row[column] for column in values} == values


def test_a_limit_of_ios_is_predicted_from_a_run_without() -> None:
    # GIVEN the run without a limit, replayed with 40 writes a second for b
    limit = ["/b/io.max=254:32 wiops=40", "arrivals.event=queue"]
    scenario = replay.Scenario.load(SCENARIO, overrides=limit)
    result = replay.run(TRACES / "direct-splits", scenario)
    # THEN b's writes take what they took under that limit, 97.1 ms in the mean
    expected = json.loads((TRACES / NAMES[1] / "expected.json").read_text())
    kernel = expected["fio"]["write-b"]
    mean_ns = means(result)["/b"]
    assert abs(mean_ns / kernel["mean_ns"] - 1) < 0.03
    assert (
        kernel["mean_ns"]
        > 10
        * json.loads((TRACES / NAMES[0] / "expected.json").read_text())["fio"][
            "write-b"
        ]["mean_ns"]
    )
