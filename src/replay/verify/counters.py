"""A kernel's counters of each cgroup: ``begin/`` and ``end/`` of a recording."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypedDict, TypeVar

from replay.capture.saved import IDS, flat_name, read_ids_file
from replay.common.errors import CaptureError

#: A cgroup's counters, each by the name of its file; a file that is absent has none.
#: The root has fewer files than the others.
CgroupCounters = TypedDict(
    "CgroupCounters",
    {
        "memory.current": int,
        "memory.peak": int,
        "memory.stat": dict[str, int],
        "memory.events": dict[str, int],
        "io.stat": dict[str, dict[str, int]],
    },
    total=False,
)
_T = TypeVar("_T")
_MOST_TEXT: Final = 60


def read_counters(place: Path) -> dict[str, CgroupCounters]:
    """Read every cgroup's counters at one end of a recording.

    Parameters
    ----------
    place : Path
        ``begin`` or ``end``, beside the file ``ids``.

    Returns
    -------
    dict of str to CgroupCounters
        By path, in the order of the paths; of each cgroup that `ids` names and that
        was there.

    Raises
    ------
    CaptureError
        There are no cgroups, or a file does not hold counters.
    """
    paths = sorted(set(read_ids_file(place.parent / IDS).values()))
    if not paths:
        raise CaptureError(f"{place.parent / IDS}: names no cgroup")
    folders = {path: place / flat_name(path) for path in paths}
    return {
        path: read_cgroup(folder) for path, folder in folders.items() if folder.is_dir()
    }


def read_cgroup(folder: Path) -> CgroupCounters:
    """Read one cgroup's counters.

    Parameters
    ----------
    folder : Path
        Holds its interface files.

    Raises
    ------
    CaptureError
        A file does not hold counters.
    """
    found: CgroupCounters = {}
    if (current := _read(folder / "memory.current", int)) is not None:
        found["memory.current"] = current
    if (peak := _read(folder / "memory.peak", int)) is not None:
        found["memory.peak"] = peak
    if (stat := _read(folder / "memory.stat", _flat)) is not None:
        found["memory.stat"] = stat
    if (events := _read(folder / "memory.events", _flat)) is not None:
        found["memory.events"] = events
    if (io := _read(folder / "io.stat", _nested)) is not None:
        found["io.stat"] = io
    return found


def _read(path: Path, parse: Callable[[str], _T]) -> _T | None:
    try:
        text = path.read_text("utf-8", "backslashreplace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return parse(text)
    except ValueError as error:
        shown = str(error)[:_MOST_TEXT]
        raise CaptureError(f"{path}: holds no counters: {shown}") from error


def _flat(text: str) -> dict[str, int]:
    """Read lines of a name and a number."""
    found = {}
    for line in text.splitlines():
        name, number = line.split()
        found[name] = int(number)
    return found


def _nested(text: str) -> dict[str, dict[str, int]]:
    """Read ``io.stat``: a line for each device, of names and numbers."""
    found = {}
    for line in text.splitlines():
        device, *pairs = line.split()
        named = (pair.split("=") for pair in pairs)
        # io.cost adds a rate, which is no count; a device without I/O has no pairs
        counts = {name: int(number) for name, number in named if number.isdigit()}
        if counts:
            found[device] = counts
    return found
