"""``io.weight`` predicted from a recording without it, against the kernel's own."""

import numpy as np
import pytest

import replay
from fidelity.page.cost import CGROUPS, TENTH, completions
from fidelity.page.lab import Lab
from fidelity.page.predicted import DIRECT
from fidelity.page.tables import only

IOCOST = DIRECT | {"cgroups": CGROUPS}


def test_io_cost_is_predicted_from_the_run_without_it(lab: Lab) -> None:
    # GIVEN the same jobs recorded without and with io.cost
    base, taken = lab["direct-iocost-base"], lab["direct-iocost"]
    # WHEN the one without is replayed with it
    result = replay.run(base.trace, IOCOST, requests=True)
    # THEN the cost is the kernel's to the microsecond
    for path in ("/a", "/b"):
        found = only(result.io_stat, cgroup=path, device="254:32")
        kernel = taken.kernel()[path]["io.stat"]["254:32"]
        assert found["cost_usage_us"] == kernel["cost.usage"] == 1_500_000
    # AND so are the run times
    a_ns, a_first = completions(result, "/a")
    b_ns, b_first = completions(result, "/b")
    assert b_ns.max() - b_first == pytest.approx(1.88e9, rel=0.10)
    assert a_ns.max() - a_first == pytest.approx(2.75e9, rel=0.10)
    # AND they share by weight while both want more, 150 to 50 in 100 ms; then a has
    # all. (A period of 1 ms lasts two ticks of 4 ms: budget thrown away is given
    # back several times over: now and then 30 more, here and in the kernel's run.)
    both = np.arange(3 * TENTH, 18 * TENTH, TENTH)
    for times, per_tenth in ((b_ns, 150), (a_ns, 50)):
        counts = np.histogram(times, both)[0]
        assert counts.mean() == pytest.approx(per_tenth, rel=0.02)
        assert np.median(counts) == pytest.approx(per_tenth, rel=0.02)
    alone = np.arange(b_ns.max() + 2 * TENTH, a_ns.max() - TENTH, TENTH)
    assert np.median(np.histogram(a_ns, alone)[0]) == pytest.approx(200, rel=0.02)
    # AND each waits for its own share, the commands behind for the worker
    for path in ("/a", "/b"):
        wait = only(result.interference, waiting=path, resource="throttle")
        assert wait["blocking"] == path


def test_loose_weights_leave_the_run_as_it_was(lab: Lab) -> None:
    # GIVEN a model that is far faster than the jobs
    base = lab["direct-iocost-base"]
    rates = "rbps=100000000000 rseqiops=100000000 rrandiops=100000000"
    root = IOCOST["cgroups"]["/"] | {"io.cost.model": f"254:32 {rates}"}
    loose = IOCOST | {"cgroups": IOCOST["cgroups"] | {"/": root}}
    # WHEN it is replayed with and without, THEN nobody waits
    found = replay.run(base.trace, loose)
    without = replay.run(base.trace, {**IOCOST, "cgroups": {}})
    assert found.latency.equals(without.latency)
    assert found.interference.equals(without.interference)
