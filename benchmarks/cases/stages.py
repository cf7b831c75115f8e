"""The engine with all stages on: loads that a device can serve, and one that it cannot.

Three ways down exclude one another: a tmpfs has a shared lock and charges pages, direct
I/O has limits of the device below, a page cache has a lock of its own and write-back.
"""

from typing import Any, Final

from benchmarks.cases.engine import engine_case
from benchmarks.cases.registry import Case
from benchmarks.shape import cgroup_path

CGROUPS: Final = 10
ABOVE: Final = "7:0"
BELOW: Final = "8:16"
#: Each cgroup asks for 12,100 writes of 4 KiB a second: limits that hold bursts alone.
BURSTS: Final = "wbps=52428800 wiops=12500"
#: Limits that hold most of the time.
SHORT: Final = "wbps=41943040 wiops=10000"
#: What a model's device does a second: 121,000 writes are asked of it.
MODEL: Final = (
    "ctrl=user model=linear rbps=2000000000 rseqiops=170000 rrandiops=170000 "
    "wbps=2000000000 wseqiops=170000 wrandiops=170000"
)
#: A write that keeps one lock busy for 0.7 of the time: 5.8 us each 8.3 us.
SERVED: Final = {"model": "linear", "write": {"base_ns": 3700, "ns_per_byte": 0.5}}


def limits(
    *devices: str, io_max: str, high: str, model: str = ""
) -> dict[str, dict[str, Any]]:
    """Return the cgroups of a scenario: every limit on each, io.weight of each device.

    Parameters
    ----------
    *devices : str
    io_max, high : str
        ``io.max`` of each device and ``memory.high`` of each cgroup.
    model : str
        ``io.cost.model`` of the devices; empty: the kernel's for an SSD.

    Returns
    -------
    dict of str to dict
    """
    cgroups: dict[str, dict[str, Any]] = {
        cgroup_path(cgroup): {
            "memory.max": "256M",
            "memory.high": high,
            "io.weight": 100 * (1 + cgroup % 3),
            "io.max": dict.fromkeys(devices, io_max),
        }
        for cgroup in range(CGROUPS)
    }
    cgroups["/bench.slice"] = {"memory.max": "2T"}
    cgroups["/"] = {"io.cost.qos": dict.fromkeys(devices, "enable=1 ctrl=user")}
    if model:
        cgroups["/"]["io.cost.model"] = dict.fromkeys(devices, model)
    return cgroups


def scenario(
    *, direct_io: bool = False, service: dict[str, Any], **sections: dict[str, Any]
) -> dict[str, Any]:
    """Return a scenario of the per-cgroup driver, arrivals by Q."""
    return {
        "driver": {"policy": "per-cgroup", "direct_io": direct_io},
        "trace": {"direct_io": direct_io},
        "arrivals": {"event": "queue"},
        "service": service,
        **sections,
    }


STAGES: list[Case] = [
    engine_case(
        "all-stages.tmpfs",
        "io.max, io.weight, tags, lock (0.7 busy), memory.max and high, tmpfs",
        scenario(
            service=SERVED,
            cgroups=limits(ABOVE, io_max=BURSTS, high="128M", model=MODEL),
        ),
    ),
    engine_case(
        "all-stages.direct",
        "io.max and io.weight above and below, tags, device (0.7 busy), direct I/O",
        scenario(
            direct_io=True,
            service={"model": "linear", "parallel": 21},
            backing={"device": BELOW},
            cgroups=limits(ABOVE, BELOW, io_max=BURSTS, high="128M", model=MODEL),
        ),
    ),
    engine_case(
        "all-stages.page-cache",
        "io.max, io.weight, tags, lock (0.7 busy), memory.max and high, ext4",
        scenario(
            service=SERVED,
            backing={"filesystem": "ext4", "device": BELOW},
            cgroups=limits(ABOVE, io_max=BURSTS, high="128M", model=MODEL),
        ),
    ),
    engine_case(
        "all-stages.overloaded",
        "as tmpfs, 15 times what is served, and every limit holds",
        scenario(
            service={"model": "linear"},
            cgroups=limits(ABOVE, io_max=SHORT, high="96M"),
        ),
    ),
    engine_case(
        "lock.overloaded",
        "queue, tags, lock, memory.max, tmpfs, 15 times what is served",
        scenario(
            service={"model": "linear"},
            cgroups={"/bench.slice": {"memory.max": "2T"}},
        ),
    ),
]
