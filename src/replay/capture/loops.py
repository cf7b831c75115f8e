"""What lies below the loop devices that are recorded."""

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from replay.capture.live import mounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A loop device that is set up.

    Attributes
    ----------
    name : str
        ``loop0``.
    file : str
        Its backing file.
    direct_io : bool
    filesystem : str or None
        Type of the file system that the file lies on, ``raw`` for a block device;
        None where the file is not to be seen from here.
    device : str or None
        ``MAJOR:MINOR`` of the disk below; None if there is none.
    size : int or None
        Bytes of a tmpfs.
    """

    name: str
    file: str
    direct_io: bool
    filesystem: str | None = None
    device: str | None = None
    size: int | None = None


def read_loops(devices: Sequence[Path], sys: Path, proc: Path) -> list[Loop]:
    """Find the loop devices among some devices.

    Parameters
    ----------
    devices : sequence of Path
    sys, proc : Path
        Where sysfs and procfs are.

    Returns
    -------
    list of Loop
    """
    found = []
    for device in devices:
        place = sys / "block" / device.name / "loop"
        try:
            file = (place / "backing_file").read_text("utf-8", "backslashreplace")
            direct_io = (place / "dio").read_text().strip() == "1"
        except OSError:
            continue
        file = file.removesuffix("\n")
        filesystem, below, size = _below(Path(file), proc)
        found.append(
            Loop(
                name=device.name,
                file=file,
                direct_io=direct_io,
                filesystem=filesystem,
                device=below,
                size=size,
            )
        )
    return found


def _below(file: Path, proc: Path) -> tuple[str | None, str | None, int | None]:
    """Return a backing file's file system, disk and, on tmpfs, its size."""
    try:
        status = file.stat()
        if stat.S_ISBLK(status.st_mode):
            return "raw", _text(status.st_rdev), None
        number = _text(status.st_dev)
        types = {mount.device: mount.type for mount in mounts(proc)}
        filesystem = types.get(number)
        if filesystem == "tmpfs":
            space = os.statvfs(file)
            # a tmpfs without a limit has 0
            return filesystem, None, space.f_blocks * space.f_frsize or None
    except OSError:
        return None, None, None
    # file systems over several disks, or none, have a number of their own
    return filesystem, None if number.startswith("0:") else number, None


def _text(number: int) -> str:
    return f"{os.major(number)}:{os.minor(number)}"


def version(release: str) -> tuple[int, ...] | None:
    """Find the version in a kernel's release.

    Parameters
    ----------
    release : str
        As ``uname -r`` says.

    Returns
    -------
    tuple of int or None
        Two numbers, or three. A patch level of 0 stands where a distribution counts
        otherwise (``6.1.0-56-amd64`` is a 6.1.192): it is left out.
    """
    match = re.match(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,4}))?", release)
    if match is None:
        return None
    numbers = tuple(int(number) for number in match.groups(default="0"))
    return numbers if numbers[2] else numbers[:2]
