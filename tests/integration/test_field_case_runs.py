"""Cases from people who do this job that ask for a replay, and the right answers."""

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import replay
from replay.results.result import Result
from replay.trace.formats.options import FormatOptions

CASES = Path(__file__).parents[1] / "field_cases"
COLUMNS = FormatOptions(
    columns="time=t_us:us,offset=off:B,size=len:B,op=op,response=lat_us:us,"
    "cgroup=cg,pid=pid,process=comm"
)
QUEUED = ("arrivals.event=queue", "arrivals.mode=dependent")
MIB = 1 << 20


def run(name: str, *overrides: str, requests: Path | None = None) -> Result:
    return replay.run(
        CASES / name / "input.csv",
        format=COLUMNS,
        overrides=overrides,
        output=requests,
        requests=requests is not None,
    )


def ended_s(output: Path) -> float:
    """When the last request was done, from the first's arrival."""
    rows = pq.read_table(output / "requests.parquet")
    return float(np.max(rows["completion_ns"].to_numpy())) / 1e9


def test_18_a_limit_of_writes_a_second(tmp_path: Path) -> None:
    # GIVEN 2,000 writes, 80 us apart, and 1,000 a second: 100 pass at the beginning of
    # each tenth of a second, the last of them in 100 times 80 us
    out = tmp_path / "out"
    run("18-iops-cap", *QUEUED, "/user.slice/u1/io.max=0:1 wiops=1000", requests=out)
    assert ended_s(out) == pytest.approx(1.908, abs=0.004)


def test_19_a_limit_of_bytes_a_second(tmp_path: Path) -> None:
    # 40 MiB at 1 MiB/s
    out = tmp_path / "out"
    run("19-bps-cap", *QUEUED, "/lxc/c1/io.max=0:1 wbps=1M", requests=out)
    assert ended_s(out) == pytest.approx(40.0, abs=0.05)


@pytest.mark.parametrize("direct", [False, True])
def test_26_what_direct_io_of_a_loop_device_saves(direct: bool) -> None:
    # GIVEN 64 MiB that are read twice
    result = run(
        "26-direct-io-question",
        f"driver.direct_io={str(direct).lower()}",
        "backing.filesystem=ext4",
        "backing.laid_out_by=/pod/a",
        "service.model=linear",
        "arrivals.mode=dependent",
        "backing.device=8:0",
    )
    (read,) = (
        row["rbytes"]
        for row in result.io_stat.to_pylist()
        if (row["device"], row["cgroup"]) == ("8:0", "/pod/a")
    )
    (held,) = (
        row["current"] for row in result.memory.to_pylist() if row["cgroup"] == "/pod/a"
    )
    if direct:
        # THEN they are read twice from the disk, and nobody holds them
        assert (read, held) == (128 * MIB, 0)
    else:
        # THEN they are read once, with what readahead adds, and held
        assert 64 * MIB <= read <= 65 * MIB
        assert 64 * MIB <= held <= 65 * MIB


WEIGHTS = (
    *QUEUED,
    *("service.model=linear", "service.parallel=1"),
    *("/a/io.weight=800", "/b/io.weight=100"),
)
COSTS = (
    "/io.cost.qos=0:1 enable=1 ctrl=user rpct=95.00 rlat=5000 wpct=95 wlat=5000 "
    "min=50.00 max=100.00",
    "/io.cost.model=0:1 ctrl=user model=linear rbps=40000000 rseqiops=10000 "
    "rrandiops=10000 wbps=40000000 wseqiops=9000 wrandiops=9000",
)


def waited(result: Result) -> dict[str, float]:
    """Mean time of each cgroup's requests."""
    return {
        row["cgroup"]: row["mean_ns"]
        for row in result.latency.to_pylist()
        if row["stage"] == "total"
    }


def test_27_weights_need_a_cost_model() -> None:
    # WHEN no device's io.cost.qos is on
    result = run("27-io-weight-no-effect", *WEIGHTS)
    # THEN weights do nothing, which is said
    assert any("io.weight has no effect" in note for note in result.info["notes"])
    found = waited(result)
    assert found["/a"] == pytest.approx(found["/b"], rel=0.02)
    # WHEN it is
    result = run("27-io-weight-no-effect", *WEIGHTS, *COSTS)
    assert not any("has no effect" in note for note in result.info["notes"])
    found = waited(result)
    assert found["/a"] < 0.7 * found["/b"]


def test_every_case_has_a_test() -> None:
    names = {path.name for path in CASES.iterdir() if path.is_dir()}
    numbers = {match[1] for name in names if (match := re.match(r"(\d+)-", name))}
    text = "".join(
        (Path(__file__).parent / name).read_text()
        for name in ("test_field_cases.py", Path(__file__).name)
    )
    assert numbers <= set(re.findall(r"def test_(\d\d)_", text))


def test_every_case_that_was_given_is_kept(shared: Path) -> None:
    # 01 and 02 came without an input; each has one of its kind, made by its test
    given = {
        place.name
        for place in (shared / "field-cases").iterdir()
        if any(place.glob("*input*"))
    }
    assert given - {path.name for path in CASES.iterdir()} == set()
