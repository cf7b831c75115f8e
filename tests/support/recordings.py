"""Which recordings of a real kernel there are, by what lies in their times."""

from collections.abc import Mapping

#: A memory.high sleep or an io.max lies inside the recorded times.
SLEPT = ("direct-iomax", "high-alone", "tmpfs-high")
#: All others, whether kept in ``traces/`` or not.
STEADY = (
    *("buffered-limit", "buffered-two", "direct-iocost", "direct-iocost-base"),
    *("direct-two", "direct-unlimited", "fs-on-loop", "high-unlimited"),
    *("nested-unlimited", "seed-oom", "seed-oom-direct", "seed-swap"),
    *("seed-unlimited", "tmpfs-enospc", "tmpfs-nested", "tmpfs-rewrite"),
    *("workers-many", "workers-per-cgroup", "workers-root"),
)


def ratios(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each value differs, as a part of the second."""
    assert a.keys() == b.keys()
    return {name: a[name] / b[name] - 1 for name in a}
