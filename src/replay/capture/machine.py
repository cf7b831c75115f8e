"""A recording's needs of the machine, and those that are not met."""

import os
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from replay.capture.live import CGROUPS, PROC
from replay.scenario.writing.found_tree import MARK

#: Where administrators' programs are that another user's PATH may lack.
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
#: Where root's programs are, and nobody else's.
SYSTEM_PATH: Final = f"{_SBIN}:/usr/local/bin:/usr/bin:/bin"


def _is_block_device(path: Path) -> bool:
    return stat.S_ISBLK(path.stat().st_mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Paths of the machine; tests put them elsewhere.

    Attributes
    ----------
    cgroups : Path
        Root of the cgroup v2 tree.
    tracefs : tuple of Path
        Where tracefs may be mounted; the first that is, counts.
    debugfs, proc, sys, dev : Path
    blktrace : str
        Name or path of the program.
    user : callable
        Returns the effective user id.
    is_block_device : callable
        Tells what a path is; raises OSError if it is nothing.
    """

    cgroups: Path = CGROUPS
    tracefs: tuple[Path, ...] = (
        Path("/sys/kernel/tracing"),
        Path("/sys/kernel/debug/tracing"),
    )
    debugfs: Path = Path("/sys/kernel/debug")
    proc: Path = PROC
    sys: Path = Path("/sys")
    dev: Path = Path("/dev")
    blktrace: str = "blktrace"
    user: Callable[[], int] = os.geteuid
    is_block_device: Callable[[Path], bool] = _is_block_device

    def device(self, name: str) -> Path:
        """Find a device that may be named without its directory.

        Parameters
        ----------
        name : str
            ``loop0``, ``/dev/loop0``, or a link to it such as ``/dev/vg/home``.

        Returns
        -------
        Path
            The device itself, whose name blktrace gives to its files.
        """
        # joining with an absolute path leaves that
        return Path(os.path.realpath(self.dev / name))

    def program(self) -> str | None:
        """Find blktrace."""
        if self.user() == 0:
            # whoever became root may have kept a PATH that others can write to
            return shutil.which(self.blktrace, path=SYSTEM_PATH)
        path = os.environ.get("PATH", os.defpath)
        return shutil.which(self.blktrace, path=f"{path}:{_SBIN}")

    def option(self) -> Path:
        """Return the file of the tracing option that adds cgroup ids."""
        return self._tracefs() / "options" / "blk_cgroup"

    def _tracefs(self) -> Path:
        for place in self.tracefs:
            if _there(place / "options"):
                return place
        return self.tracefs[0]

    def missing(self, devices: Sequence[str]) -> list[str]:
        """List what is missing.

        Parameters
        ----------
        devices : sequence of str
            As the user named them.

        Returns
        -------
        list of str
            One line each: what, and what to do. Empty if a recording can start.
        """
        return [
            *self._root(),
            *self._blktrace(),
            *self._tracing(),
            *self._cgroups(),
            *(line for name in devices for line in self._device(name)),
        ]

    def _root(self) -> list[str]:
        if self.user() == 0:
            return []
        return ["root: only root may trace block devices: use sudo"]

    def _blktrace(self) -> list[str]:
        if self.program() is not None:
            return []
        return [
            f"{self.blktrace}: not installed: the package blktrace of the distribution "
            "has it"
        ]

    def _tracing(self) -> list[str]:
        tracefs = self._tracefs()
        lines = []
        if not _there(tracefs / "options"):
            lines.append(
                f"tracefs: not mounted: mount -t tracefs tracefs {self.tracefs[0]}"
            )
        elif not _there(self.option()):
            lines.append(
                f"tracefs: {self.option()} is not there: the kernel must be 4.14 or "
                "later, with CONFIG_BLK_DEV_IO_TRACE and CONFIG_BLK_CGROUP"
            )
        elif _line(tracefs / "current_tracer") == "blk":
            lines.append(
                "tracefs: the tracer blk is on, which keeps events from blktrace: "
                f"echo nop > {tracefs / 'current_tracer'}"
            )
        if not _there(self.debugfs / "block"):
            lines.append(
                f"debugfs: {self.debugfs / 'block'} is not there: "
                f"mount -t debugfs debugfs {self.debugfs}"
            )
        return lines

    def _cgroups(self) -> list[str]:
        if (self.cgroups / MARK).is_file():
            return []
        if (self.cgroups / "unified" / MARK).is_file():
            why = "is of version 1 for block I/O, and of version 2 in unified/ only"
        elif any((self.cgroups / name).is_dir() for name in ("blkio", "memory")):
            why = "is of version 1"
        else:
            return [
                f"cgroup v2: not mounted: mount -t cgroup2 none {self.cgroups}",
            ]
        return [
            f"cgroup v2: {self.cgroups} {why}: boot with "
            "systemd.unified_cgroup_hierarchy=1 and cgroup_no_v1=all"
        ]

    def _device(self, name: str) -> list[str]:
        path = self.device(name)
        try:
            if self.is_block_device(path):
                return []
        except (FileNotFoundError, NotADirectoryError):
            return [f"{name}: no such device: {self.dev / name} is not there"]
        except OSError as error:
            return [f"{name}: {error.strerror or error}"]
        return [f"{name}: is not a block device"]

    def doubts(self, devices: Sequence[str], output: Path) -> list[str]:
        """List what makes a recording say less, or more, than it could.

        Parameters
        ----------
        devices : sequence of str
            That are there.
        output : Path
            Where the recording goes.

        Returns
        -------
        list of str
            One line each.
        """
        return [
            *self._doubts_of_ids(),
            *(
                f"{output} lies on {name} itself: writing the trace is in the trace"
                for name in devices
                if _lies_on(output, self.device(name))
            ),
        ]

    def _doubts_of_ids(self) -> list[str]:
        if "io" not in _line(self.cgroups / MARK).split():
            return [
                f"the io controller is not among those of {self.cgroups}: the trace's "
                "ids are not of this tree (cgroup_no_v1=all at boot gives it to v2)"
            ]
        if "io" not in _line(self.cgroups / "cgroup.subtree_control").split():
            return [
                "the io controller is enabled for no cgroup, so that every request "
                "will carry the root's id: "
                f"echo +io > {self.cgroups / 'cgroup.subtree_control'}"
            ]
        return []


def _lies_on(place: Path, device: Path) -> bool:
    """Return True if a directory, to be made or there, is on a device's file system."""
    place = place.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return place.stat().st_dev == device.stat().st_rdev
    except OSError:
        return False


def _there(path: Path) -> bool:
    """Return True if a path exists; one that may not be looked at is taken to."""
    try:
        return path.exists()
    except OSError:
        return True


def _line(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
