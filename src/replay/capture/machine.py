"""A recording's needs of the machine, and those that are not met."""

import os
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from replay.capture.live import CGROUPS, PROC, mounts, read_ids, read_live
from replay.capture.recorders.interface import TraceInterface
from replay.capture.version1 import read_version1
from replay.common.bounded import text_or_nothing
from replay.scenario.writing.found_tree import MARK, Tree

#: Where administrators' programs are that another user's PATH may lack.
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
#: What can record: the kernel by itself, or a program that is installed.
KERNEL: Final = "kernel"
BLKTRACE: Final = "blktrace"
BPF: Final = "bpf"
RECORDERS: Final = (KERNEL, BLKTRACE, BPF)
#: Where root's programs are, and nobody else's.
SYSTEM_PATH: Final = f"{_SBIN}:/usr/local/bin:/usr/bin:/bin"


class IoTree(NamedTuple):
    """The hierarchy of cgroups whose ids a trace of block I/O carries.

    ``version`` is 1 or 2, ``top`` its root's directory, ``number`` the hierarchy's
    (version 2's is 0), ``memory`` the root of version 1's memory hierarchy.
    """

    version: int
    top: Path
    number: int = 0
    memory: Path | None = None

    def read(self, proc: Path, files: Sequence[str]) -> Tree:
        """Read all cgroups, with some interface files of each."""
        if self.version == 2:
            return read_live(self.top, proc=proc, files=files)
        return read_version1(self.top, self.memory or self.top, proc=proc)

    def ids(self) -> dict[int, str]:
        """Return the id and path of every cgroup."""
        return read_ids(self.top)


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
    claims : Path
        Where recordings say which devices they trace.
    interface : TraceInterface
        The kernel's, to trace block devices.
    blktrace, bpftrace : str
        Names or paths of the programs.
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
    claims: Path = Path("/run/replay")
    interface: TraceInterface = field(default_factory=TraceInterface)
    blktrace: str = "blktrace"
    bpftrace: str = "bpftrace"
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

    def number(self, device: Path) -> int:
        """Return a device's number as the kernel has it."""
        number = device.stat().st_rdev
        return os.major(number) << 20 | os.minor(number)

    def program(self, name: str) -> str | None:
        """Find a program; None if it is not installed."""
        if self.user() == 0:
            # whoever became root may have kept a PATH that others can write to
            return shutil.which(name, path=SYSTEM_PATH)
        path = os.environ.get("PATH", os.defpath)
        return shutil.which(name, path=f"{path}:{_SBIN}")

    def io_tree(self, how: str = KERNEL) -> IoTree | None:
        """Find the cgroups whose ids a trace carries; None if none are mounted.

        Parameters
        ----------
        how : str
            What records: bpftrace knows version 2's ids only.
        """
        unified = self.cgroups / "unified"
        if (self.cgroups / MARK).is_file():
            return IoTree(2, self.cgroups)
        if (unified / MARK).is_file() and (
            how == BPF or "io" in text_or_nothing(unified / MARK).split()
        ):
            return IoTree(2, unified)
        old = {
            name: mount.point
            for mount in mounts(self.proc)
            if mount.type == "cgroup"
            for name in mount.options.split(",")
        }
        blkio = old.get("blkio")
        if blkio is None or not blkio.is_dir():
            return None
        return IoTree(1, blkio, self._hierarchy("blkio"), old.get("memory"))

    def _hierarchy(self, controller: str) -> int:
        """Return the number of a controller's hierarchy of version 1."""
        # NUMBER:CONTROLLERS:PATH
        for line in text_or_nothing(self.proc / "self" / "cgroup").splitlines():
            number, names, _ = (*line.split(":", 2), "", "")[:3]
            if controller in names.split(",") and number.isdecimal():
                return int(number)
        return 0

    def option(self) -> Path:
        """Return the file of the tracing option that adds cgroup ids."""
        return self.tracing() / "options" / "blk_cgroup"

    def tracing(self) -> Path:
        """Return where tracefs is."""
        for place in self.tracefs:
            if _there(place / "options"):
                return place
        return self.tracefs[0]

    def missing(self, devices: Sequence[str], how: str = KERNEL) -> list[str]:
        """List what is missing.

        Parameters
        ----------
        devices : sequence of str
            As the user named them.
        how : str
            What records: one of `RECORDERS`.

        Returns
        -------
        list of str
            One line each: what, and what to do. Empty if a recording can start.
        """
        program = {BLKTRACE: self.blktrace, BPF: self.bpftrace}.get(how)
        return [
            *self._root(),
            *(self._installed(program) if program else ()),
            *(self._tracing(debugfs=how != BPF)),
            *self._cgroups(how),
            *(line for name in devices for line in self._device(name)),
        ]

    def _root(self) -> list[str]:
        if self.user() == 0:
            return []
        return ["root: only root may trace block devices: use sudo"]

    def _installed(self, program: str) -> list[str]:
        if self.program(program) is not None:
            return []
        name = Path(program).name
        return [
            f"{program}: not installed: the package {name} of the distribution has "
            "it; without --with nothing needs to be installed"
        ]

    def _tracing(self, *, debugfs: bool) -> list[str]:
        tracefs = self.tracing()
        lines = []
        if not _there(tracefs / "options"):
            lines.append(
                f"tracefs: not mounted: mount -t tracefs tracefs {self.tracefs[0]}"
            )
        elif not debugfs:
            return lines
        elif not _there(self.option()):
            lines.append(
                f"tracefs: {self.option()} is not there: the kernel must be 4.14 or "
                "later, with CONFIG_BLK_DEV_IO_TRACE and CONFIG_BLK_CGROUP"
            )
        elif text_or_nothing(tracefs / "current_tracer") == "blk":
            lines.append(
                "tracefs: the tracer blk is on, which keeps events from blktrace: "
                f"echo nop > {tracefs / 'current_tracer'}"
            )
        if debugfs and not _there(self.debugfs / "block"):
            lines.append(
                f"debugfs: {self.debugfs / 'block'} is not there: "
                f"mount -t debugfs debugfs {self.debugfs}"
            )
        return lines

    def _cgroups(self, how: str) -> list[str]:
        tree = self.io_tree(how)
        if tree is not None and (tree.version == 2 or how != BPF):
            return []
        return [f"cgroups: not mounted: mount -t cgroup2 none {self.cgroups}"]

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

    def doubts(
        self, devices: Sequence[str], output: Path, how: str = KERNEL
    ) -> list[str]:
        """List what makes a recording say less, or more, than it could.

        Parameters
        ----------
        devices : sequence of str
            That are there.
        output : Path
            Where the recording goes.
        how : str
            What records.

        Returns
        -------
        list of str
            One line each.
        """
        return [
            *self.doubts_of_ids(how),
            *(
                f"{output} lies on {name} itself: writing the trace is in the trace"
                for name in devices
                if _lies_on(output, self.device(name))
            ),
        ]

    def doubts_of_ids(self, how: str = KERNEL) -> list[str]:
        """List what makes the cgroup ids of a trace say less than they could.

        Parameters
        ----------
        how : str
            What records.

        Returns
        -------
        list of str
            One line each.
        """
        tree = self.io_tree(how)
        if tree is None:
            return []
        if how == BPF:
            return [
                "bpftrace tells the cgroup of who runs, which is the request's while "
                "it does its own I/O: what a kernel thread writes for a cgroup is the "
                "thread's"
            ]
        if tree.version == 1:
            return [
                "cgroups of version 1 control block I/O here: ids and paths are those "
                f"of {tree.top}, limits of its and the memory hierarchy; a replay "
                "takes them for version 2, where writes of the page cache and a loop "
                "device's pages are their cgroup's, not the root's"
            ]
        if "io" not in text_or_nothing(tree.top / MARK).split():
            return [
                f"the io controller is not among those of {tree.top}: the trace's "
                "ids are not of this tree (cgroup_no_v1=all at boot gives it to v2)"
            ]
        if "io" not in text_or_nothing(tree.top / "cgroup.subtree_control").split():
            return [
                "the io controller is enabled for no cgroup, so that every request "
                "will carry the root's id: "
                f"echo +io > {tree.top / 'cgroup.subtree_control'}"
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
