"""The share of the kernel's own count of I/O that a recording holds."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from replay.capture.saved import BEGIN, END, read_saved
from replay.common.errors import CaptureError
from replay.common.text import size_text
from replay.trace.file.schema import device_number, device_text

if TYPE_CHECKING:
    from replay.scenario.writing.found_tree import Tree
    from replay.trace.file.metadata import Metadata
    from replay.trace.rows import Rows

#: A smaller part of the bytes is no gap: what was in flight at the ends.
_LEAST_GAP: Final = 0.0005
_BYTES: Final = ("rbytes", "wbytes", "dbytes")


def gap_notes(rows: "Rows") -> list[str]:
    """Hold a recording's bytes against ``io.stat``, where it was saved beside it.

    Parameters
    ----------
    rows : Rows
        With metadata, whose sources say where it was recorded.

    Returns
    -------
    list of str
        One for each device of which the trace does not hold all bytes, or more.
    """
    counted = _counted(rows.metadata)
    if not counted:
        return []
    held: dict[int, int] = defaultdict(int)
    for batch in rows.batches():
        device = batch.column("device").to_numpy()
        nbytes = batch.column("nbytes").to_numpy().astype(np.int64)
        for one in np.unique(device).tolist():
            held[one] += int(nbytes[device == one].sum())
    traced = {one.device for one in rows.metadata.summary.devices}
    notes = []
    for device, nbytes in counted.items():
        if device not in traced or not nbytes:
            continue
        part = held[device] / nbytes
        if abs(part - 1) >= _LEAST_GAP:
            notes.append(
                f"{device_text(device)}: the trace holds {part:.1%} of the bytes that "
                f"io.stat counted ({size_text(held[device])} of {size_text(nbytes)})"
            )
    return notes


def _counted(metadata: "Metadata") -> dict[int, int]:
    """Return the bytes that io.stat counted by device, from begin to end."""
    traces = (source for source in metadata.sources if source.role == "trace")
    places = {Path(source.path).parent for source in traces}
    if len(places) != 1:
        return {}
    (place,) = places
    if not (place / END).is_dir():
        return {}
    try:
        begin, end = (_total(read_saved(place / part)) for part in (BEGIN, END))
    except (OSError, CaptureError):
        return {}
    return {device: nbytes - begin.get(device, 0) for device, nbytes in end.items()}


def _total(tree: "Tree") -> dict[int, int]:
    """Return each device's bytes: the root's line, else all cgroups below it."""
    root = tree.get("/")
    text = "" if root is None else root.files.get("io.stat", "")
    if text:
        return _bytes(text.splitlines())
    total: dict[int, int] = defaultdict(int)
    for path, cgroup in tree.items():
        if path.count("/") == 1 and path != "/":
            for device, nbytes in _bytes(
                cgroup.files.get("io.stat", "").splitlines()
            ).items():
                total[device] += nbytes
    return total


def _bytes(lines: Iterable[str]) -> dict[int, int]:
    """Read lines of ``io.stat``."""
    found = {}
    for line in lines:
        name, *pairs = line.split()
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        numbers = [values.get(one, "0") for one in _BYTES]
        if ":" in name and all(one.isdigit() for one in numbers):
            found[device_number(name)] = sum(map(int, numbers))
    return found
