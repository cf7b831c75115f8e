"""What the files beside a trace say of it: what it lacks, and who was moved."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from replay.capture.saved import BEGIN, END, MACHINE, moved, read_saved, recording_of
from replay.common.bounded import SMALL_BYTES, read_bounded
from replay.common.errors import CaptureError
from replay.common.plain import plain
from replay.common.text import count_text, size_text
from replay.trace.file.schema import device_number, device_text

if TYPE_CHECKING:
    from replay.scenario.writing.found_tree import Tree
    from replay.trace.rows import Rows

#: A smaller part of the bytes is no gap: what was in flight at the ends.
_LEAST_GAP: Final = 0.0005
#: Sectors read, written and discarded, in a disk's ``stat``.
_SECTORS: Final = (2, 6, 13)
_SECTOR: Final = 512
_BYTES: Final = ("rbytes", "wbytes", "dbytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Bytes of a device that a trace holds, and those that the kernel counted.

    ``counter`` is what counted them: ``io.stat``, or the disk's own ``stat``.
    """

    device: int
    held: int
    counted: int
    counter: str

    @property
    def part(self) -> float:
        """The part that the trace holds; more than 1 if it holds more."""
        return self.held / self.counted

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{device_text(self.device)}: the trace holds {self.part:.1%} of the bytes "
            f"that {self.counter} counted ({size_text(self.held)} of "
            f"{size_text(self.counted)})"
        )


def recording_notes(rows: "Rows") -> list[str]:
    """Say what a reader of a recording must know, where `record` saved it beside.

    Parameters
    ----------
    rows : Rows
        With metadata.

    Returns
    -------
    list of str
        One for each device of which the trace does not hold all bytes that ``io.stat``
        counted, or more; and one on tasks that were moved meanwhile.
    """
    notes = [str(one) for one in shares(rows) if abs(one.part - 1) >= _LEAST_GAP]
    place = _place(rows)
    if place is None:
        return notes
    try:
        found = moved(place)
    except (OSError, CaptureError):
        return notes
    if found:
        pid, last = max(found.items())
        notes.append(
            f"{count_text(len(found), 'task')} changed cgroup while it was recorded, "
            f"such as {plain(last.comm)} ({pid}), last in {plain(last.path)}: each "
            "request is of the cgroup that its task was in then"
        )
    return notes


def shares(rows: "Rows") -> list[Share]:
    """Hold a recording's bytes against the kernel's own count of them.

    Parameters
    ----------
    rows : Rows
        With metadata, whose sources say where it was recorded.

    Returns
    -------
    list of Share
        Of each traced device for which something was counted beside the trace.
    """
    place = _place(rows)
    # of a part of a trace nothing was counted
    if place is None or rows.metadata.summary.quality.filtered:
        return []
    counted = _differences(place, _of_cgroups)
    disks = _differences(place, _of_disks)
    if not counted and not disks:
        return []
    held: dict[int, int] = defaultdict(int)
    for batch in rows.batches():
        device = batch.column("device").to_numpy()
        nbytes = batch.column("nbytes").to_numpy().astype(np.int64)
        for one in np.unique(device).tolist():
            held[one] += int(nbytes[device == one].sum())
    traced = {one.device for one in rows.metadata.summary.devices}
    found = []
    for device in counted | disks:
        counter, nbytes = "io.stat", counted.get(device, 0)
        of_disk = disks.get(device, 0)
        # version 1 forgets what cgroups did that are gone; the disk does not
        if device not in counted or held[device] > nbytes < of_disk:
            counter, nbytes = "the disk's stat", of_disk
        if device in traced and nbytes > 0:
            found.append(
                Share(device=device, held=held[device], counted=nbytes, counter=counter)
            )
    return found


def _place(rows: "Rows") -> Path | None:
    """Return the directory of the recording that rows are of, if it is one.

    Where the trace's files lay when it was converted is not asked: that may have been
    on another machine.
    """
    place = recording_of(rows.path)
    if not (place / END).is_dir():
        return None
    for source in rows.metadata.sources:
        if source.role != "trace":
            continue
        file = place / Path(source.path).name
        if not file.is_file() or file.stat().st_size != source.nbytes:
            return None
    return place


def _differences(
    place: Path, count: Callable[[Path], dict[int, int]]
) -> dict[int, int]:
    """Return the bytes that were counted by device, from begin to end."""
    try:
        begin, end = (count(place / part) for part in (BEGIN, END))
    except (OSError, ValueError, CaptureError):
        return {}
    return {device: nbytes - begin.get(device, 0) for device, nbytes in end.items()}


def _of_cgroups(place: Path) -> dict[int, int]:
    return _total(read_saved(place))


def _of_disks(place: Path) -> dict[int, int]:
    """Return the bytes that the recorded disks' own counters tell."""
    if not (place / MACHINE).is_file():
        return {}
    data = read_bounded(place / MACHINE, SMALL_BYTES, within=place.parent)
    # most runs read none
    import tomllib

    try:
        disks = tomllib.loads(data.decode("utf-8")).get("disks")
    except RecursionError:
        return {}
    found = {}
    for disk in disks.values() if isinstance(disks, dict) else ():
        if not isinstance(disk, dict):
            continue
        counts = str(disk.get("stat", "")).split()
        if len(counts) > max(_SECTORS):
            sectors = sum(int(counts[field]) for field in _SECTORS)
            found[device_number(str(disk.get("dev", "")))] = _SECTOR * sectors
    return found


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
