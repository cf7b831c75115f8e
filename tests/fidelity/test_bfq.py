"""A disk that runs bfq, against the times that a kernel's requests took."""

import json
from pathlib import Path

import pyarrow.compute as pc
import pytest

import replay
from fidelity.page.tables import means
from support.recordings import TRACES

NAME = "direct-bfq"


def test_weights_share_the_disk_as_the_kernel_does() -> None:
    # GIVEN a and b of weights 100 and 300 with 300 writes each, 16 at a time
    expected = json.loads((TRACES / NAME / "expected.json").read_text())["fio"]
    kernel = {"/a": expected["write-a"], "/b": expected["write-b"]}
    result = replay.run(TRACES / NAME, TRACES / f"{NAME}.toml")
    # THEN a's mean is the kernel's, and b's within what bfq's turns make of it, and one
    # service time for the whole recording
    found = means(result)
    assert found["/a"] == pytest.approx(kernel["/a"]["mean_ns"], rel=0.05)
    assert found["/b"] == pytest.approx(kernel["/b"]["mean_ns"], rel=0.15)
    # AND in order of arrival both would have taken as long
    scenario = replay.Scenario.load(
        TRACES / f"{NAME}.toml", overrides=["backing.scheduler=none"]
    )
    found = means(replay.run(TRACES / NAME, scenario))
    assert found["/b"] == pytest.approx(found["/a"], rel=0.1)


def test_what_b_is_off_is_the_disks_own_time(tmp_path: Path) -> None:
    # GIVEN how long the disk took for a write while both wrote, and once a was alone
    with replay.convert(TRACES / NAME, tmp_path / "trace.arrow") as trace:
        rows = trace.table().filter(pc.field("nbytes") > 0)
        names = {one.path: one.id for one in trace.metadata.summary.cgroups}
    issue, complete, cgroup = (
        rows[name].to_numpy() for name in ("issue_ns", "complete_ns", "cgroup")
    )
    of_b = cgroup == names["/b"]
    until = complete[of_b].max()
    n_both = int((complete <= until).sum())
    both_ns = (until - issue.min()) // n_both
    alone_ns = (complete.max() - until) // (len(complete) - n_both)
    assert both_ns > 1.4 * alone_ns
    # WHEN the disk takes that long
    scenario = replay.Scenario.load(
        TRACES / f"{NAME}.toml", overrides=[f"service.write.base_ns={both_ns}"]
    )
    found = means(replay.run(TRACES / NAME, scenario))
    # THEN b's writes take what they took on the device
    assert found["/b"] == pytest.approx((complete - issue)[of_b].mean(), rel=0.05)
