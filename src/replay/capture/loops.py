"""Files and devices below the loop devices that are recorded."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from replay.capture.live import mounts
from replay.scenario.writing.found_loops import Loop


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
