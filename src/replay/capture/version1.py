"""Cgroups of a host where block I/O is controlled by version 1, as of version 2.

There the ids that a trace carries are those of the blkio hierarchy. Limits and
counters are found in it and, at the same path, in the memory hierarchy; they are kept
under the names, and in the form, of version 2.
"""

from collections import defaultdict
from pathlib import Path
from typing import Final

from replay.capture.live import (
    PROC,
    places_below,
    tasks_of,
    tree_path,
    unreadable,
)
from replay.common.bounded import text_or_nothing
from replay.scenario.writing.found_tree import MARK, FoundCgroup, Tree

#: What no limit reads as: the largest number of whole pages.
_NO_LIMIT: Final = (1 << 63) - (64 << 10)
_SIZES: Final = {
    "memory.max": "memory.limit_in_bytes",
    "memory.current": "memory.usage_in_bytes",
    "memory.peak": "memory.max_usage_in_bytes",
}
_LIMITS: Final = {
    "rbps": "blkio.throttle.read_bps_device",
    "wbps": "blkio.throttle.write_bps_device",
    "riops": "blkio.throttle.read_iops_device",
    "wiops": "blkio.throttle.write_iops_device",
}
_COUNTS: Final = (
    ("blkio.throttle.io_service_bytes", "bytes"),
    ("blkio.throttle.io_serviced", "ios"),
)
_OPERATIONS: Final = {"Read": "r", "Write": "w", "Discard": "d"}


def read_version1(
    blkio: Path, memory: Path, *, proc: Path = PROC, tasks: bool = True
) -> Tree:
    """Read the cgroups of the blkio hierarchy.

    Parameters
    ----------
    blkio, memory : Path
        Roots of the two hierarchies; the second may be absent.
    proc : Path
        Where procfs is.
    tasks : bool
        Whether to look for the processes of each cgroup.

    Returns
    -------
    Tree
        With version 2's files, as far as version 1 has the like.

    Raises
    ------
    CaptureError
        The hierarchy cannot be read.
    """
    found: Tree = {}
    try:
        for place in places_below(blkio, blkio):
            path = tree_path(place, blkio)
            try:
                number = place.stat().st_ino
            except OSError:
                continue
            files = _io_files(place) | _memory_files(memory / path.lstrip("/"))
            found[path] = FoundCgroup(
                path=path,
                id=number,
                files={MARK: "io memory\n", **files},
                tasks=tasks_of(place, proc) if tasks else (),
            )
    except OSError as error:
        raise unreadable(blkio, error) from error
    return found


def _io_files(place: Path) -> dict[str, str]:
    """Return ``io.max`` and ``io.stat`` of a cgroup."""
    limits: dict[str, list[str]] = defaultdict(list)
    for key, name in _LIMITS.items():
        for line in text_or_nothing(place / name).splitlines():
            words = line.split()
            if len(words) == 2 and words[1].isdecimal():
                limits[words[0]].append(f"{key}={words[1]}")
    counts: dict[str, list[str]] = defaultdict(list)
    for name, unit in _COUNTS:
        # of all cgroups below, as version 2 counts; kernels before 5.1 have the rest
        text = text_or_nothing(place / f"{name}_recursive") or text_or_nothing(
            place / name
        )
        for line in text.splitlines():
            # MAJOR:MINOR OPERATION NUMBER; and sums, which we make ourselves
            words = line.split()
            if len(words) == 3 and words[1] in _OPERATIONS and words[2].isdecimal():
                counts[words[0]].append(f"{_OPERATIONS[words[1]]}{unit}={words[2]}")
    return {
        name: "".join(f"{device} {' '.join(found)}\n" for device, found in rows.items())
        for name, rows in (("io.max", limits), ("io.stat", counts))
        if rows
    }


def _memory_files(place: Path) -> dict[str, str]:
    """Return the sizes of a cgroup's memory."""
    found = {}
    for name, old in _SIZES.items():
        text = text_or_nothing(place / old)
        if text.isdecimal():
            no_limit = name == "memory.max" and int(text) >= _NO_LIMIT
            found[name] = "max\n" if no_limit else f"{text}\n"
    return found
