"""How many processors there are for this process, and how many threads to begin."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: Of fewer bytes what more threads gain is less than what they take to begin.
FEW_BYTES: Final = 1 << 24
#: More would have nothing to do: what is done in order keeps one of them busy.
MOST_THREADS: Final = 8
_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")


def processors() -> int:
    """Count the processors that this process may use: its affinity, its cgroups' quota.

    A part of one that a quota grants counts as one.
    """
    n_there = len(os.sched_getaffinity(0))
    return max(1, min([n_there, *(int(-(-quota // 1)) for quota in _quotas())]))


def threads_for(n_bytes: int, wanted: int | None = None) -> int:
    """Choose a number of threads.

    Parameters
    ----------
    n_bytes : int
        Of what is to be read.
    wanted : int or None
        What the user said, which is taken.

    Returns
    -------
    int
        Else one for a small input, and as many as there are processors, at most
        `MOST_THREADS`, for any other.
    """
    if wanted is not None:
        return wanted
    return 1 if n_bytes < FEW_BYTES else min(processors(), MOST_THREADS)


def _quotas() -> Iterator[float]:
    """Give the processors' time that each cgroup above this process may have."""
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number != "0" or controllers:
            # a hierarchy of version 1
            continue
        place = _CGROUPS / path.lstrip("/")
        for directory in (place, *place.parents):
            try:
                quota, period = (directory / "cpu.max").read_text().split()
            except (OSError, ValueError):
                pass
            else:
                if quota != "max":
                    yield int(quota) / int(period)
            if directory == _CGROUPS:
                break
