"""iocost held against the small kernel that has io.latency, too.

``small_kernel/io-cost-base`` and ``io-cost`` are ``tests/lab/scenarios/io-cost.sh`` on
the kernel of ``tests/lab/build_kernel.sh``, without io.cost and with RATE=2000, weights
100 and 300, on a clock that counts instructions (``--icount``).
"""

import tarfile
from pathlib import Path

import pyarrow.compute as pc
import pytest

import replay

KEPT = Path(__file__).parent / "small_kernel"
SCENARIO = Path(__file__).parents[3] / "traces/packed/6.1/direct-iocost-base.toml"


def mean_ns(result: replay.Result, cgroup: str) -> int:
    latency = result.latency
    row = latency.filter(
        pc.and_(
            pc.and_(
                pc.equal(latency["cgroup"], cgroup), pc.equal(latency["stage"], "total")
            ),
            pc.equal(latency["op"], "read"),
        )
    )
    return int(row["mean_ns"][0].as_py())


def counted_usage(cgroup: str) -> int:
    """Return the kernel's cost.usage of the disk, us."""
    with tarfile.open(KEPT / "io-cost.tar.xz") as archive:
        file = archive.extractfile(f"io-cost/end/{cgroup}/io.stat")
        assert file is not None
        lines = file.read().decode().splitlines()
    (line,) = [one for one in lines if one.startswith("254:32 ")]
    return int(dict(word.split("=") for word in line.split()[1:])["cost.usage"])


@pytest.fixture(scope="module")
def predicted() -> replay.Result:
    return replay.run(KEPT / "io-cost-base.tar.xz", SCENARIO)


@pytest.fixture(scope="module")
def recorded() -> replay.Result:
    return replay.run(KEPT / "io-cost.tar.xz")


@pytest.mark.parametrize("cgroup", ["/a", "/b"])
def test_a_reader_s_mean_under_its_weight_is_the_kernel_s(
    predicted: replay.Result, recorded: replay.Result, cgroup: str
) -> None:
    # GIVEN two readers that want more than the disk's 2,000 reads a second
    # THEN what each waits under its weight is predicted from the recording without
    assert mean_ns(predicted, cgroup) == pytest.approx(
        mean_ns(recorded, cgroup), rel=0.05
    )


@pytest.mark.parametrize("cgroup", ["a", "b"])
def test_cost_usage_is_the_kernel_s(predicted: replay.Result, cgroup: str) -> None:
    found = {
        (row["cgroup"], row["device"]): row["cost_usage_us"]
        for row in predicted.io_stat.to_pylist()
    }
    assert found[f"/{cgroup}", "254:32"] == counted_usage(cgroup)
