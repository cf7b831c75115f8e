"""``io.weight`` under iocost, predicted from a recording without it."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import replay
from fidelity.page.bounds import Row, exact, within
from fidelity.page.lab import Lab
from fidelity.page.predicted import DIRECT
from fidelity.page.tables import only

BASE: Final = "direct-iocost-base"
COUNTED: Final = "direct-iocost"
#: The lab's own settings: 2,000 random reads a second, weights 100 and 300.
CGROUPS: Final[dict[str, Any]] = {
    "/": {
        "io.cost.model": "254:32 ctrl=user model=linear rbps=1000000000 "
        "rseqiops=2000 rrandiops=2000 wbps=1000000000 wseqiops=2000 wrandiops=2000",
        "io.cost.qos": "254:32 enable=1 ctrl=user rpct=0.00 rlat=0 wpct=0.00 "
        "wlat=0 min=100.00 max=100.00",
    },
    "/a": {"io.weight": 100},
    "/b": {"io.weight": 300},
}
TENTH: Final = 10**8


def rows(lab: Lab) -> Iterator[Row]:
    """Yield what was predicted."""
    if not lab.has(BASE, COUNTED):
        return
    scenario = DIRECT | {"cgroups": CGROUPS}
    result = replay.run(lab[BASE].trace, scenario, requests=True)
    counted = lab[COUNTED]
    for path in ("/a", "/b"):
        kernel = counted.kernel()[path]["io.stat"]["254:32"]["cost.usage"]
        found = only(result.io_stat, cgroup=path, device="254:32")["cost_usage_us"]
        what = f"`cost.usage` of {path}"
        yield Row(BASE, COUNTED, what, "us", kernel, found, exact(kernel))
    done = {path: completions(result, path) for path in ("/a", "/b")}
    for path, (ends, begin) in done.items():
        ran = counted.span_ns(path) / 1e9
        span = (ends.max() - begin) / 1e9
        what = f"run time of {path}"
        yield Row(BASE, COUNTED, what, "s", ran, span, within(ran, 0.10))
    both = np.arange(3 * TENTH, 18 * TENTH, TENTH)
    for path, per_tenth in (("/b", 150), ("/a", 50)):
        found = float(np.histogram(done[path][0], both)[0].mean())
        what = f"completions of {path} in 100 ms while both want more (by weight)"
        bound = within(per_tenth, 0.02)
        yield Row(BASE, COUNTED, what, "", per_tenth, found, bound)
    begin, end = done["/b"][0].max() + 2 * TENTH, done["/a"][0].max() - TENTH
    counts = np.histogram(done["/a"][0], np.arange(begin, end, TENTH))[0]
    what = "completions of /a in 100 ms once it is alone (median)"
    found = float(np.median(counts))
    yield Row(BASE, COUNTED, what, "", 200, found, within(200, 0.02))


def completions(result: replay.Result, path: str) -> tuple[NDArray[np.int64], int]:
    """Return when a cgroup's requests completed, and when its first arrived."""
    assert result.requests is not None
    mine = [row for row in result.requests.to_pylist() if row["issuer"] == path]
    ends = np.array([row["completion_ns"] for row in mine])
    return ends, min(row["arrival_ns"] for row in mine)
