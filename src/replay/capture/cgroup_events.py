"""Cgroups that are made, renamed, and moved into, as the kernel tells it.

A search of the tree once a second misses a cgroup that lives for 10 ms. The kernel's
tracepoints do not: they are read through an instance of tracefs, which leaves the
machine's other tracing as it is.
"""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from replay.capture.recorders.guard import lives

#: Tracepoints of ``events/cgroup``.
_EVENTS: Final = ("cgroup_mkdir", "cgroup_rename", "cgroup_attach_task")
_BUFFER_KIB: Final = 1024
_PREFIX: Final = "replay-"
_CHUNK: Final = 1 << 16
#: What stands before an event: who, where and when. No path is taken for it.
_HEAD: Final = rb".{1,40}?-\d+ +(?:\([^)]*\) +)?\[\d+\] \S* *(\d+)\.(\d{6,9}): "
_MADE: Final = re.compile(
    _HEAD + rb"cgroup_(?:mkdir|rename): root=(\d+) id=(\d+) level=\d+ path=(/.*)"
)
_MOVED: Final = re.compile(
    _HEAD + rb"cgroup_attach_task: dst_root=(\d+) dst_id=(\d+) "
    rb"dst_level=\d+ dst_path=/.* pid=(\d+) comm=(.*)"
)


class Move(NamedTuple):
    """A process that was moved: when on the monotonic clock, ns; where to, by id."""

    time_ns: int
    pid: int
    cgroup: int
    comm: str


class CgroupEvents:
    """What happens to cgroups while it is open; a context manager.

    Parameters
    ----------
    tracefs : Path
    root : int
        The hierarchy, as the first number of a line of ``/proc/self/cgroup``.

    Attributes
    ----------
    ids : dict of int to str
        Id and path of each cgroup that was made or renamed.
    moves : list of Move
    works : bool
        False where the kernel or its rights do not give these events.
    """

    def __init__(self, tracefs: Path, root: int) -> None:
        self.ids: dict[int, str] = {}
        self.moves: list[Move] = []
        self.works = False
        self._root = root
        self._instances = tracefs / "instances"
        self._place = self._instances / f"{_PREFIX}{os.getpid()}"
        self._pipe = -1
        self._rest = b""

    def __enter__(self) -> Self:
        """Let the kernel tell."""
        self._remove_left()
        try:
            self._place.mkdir()
        except OSError:
            return self
        try:
            for name, text in (
                # blktrace's clock
                ("trace_clock", "mono"),
                ("buffer_size_kb", str(_BUFFER_KIB)),
            ):
                (self._place / name).write_text(text)
            for name in _EVENTS:
                (self._place / "events" / "cgroup" / name / "enable").write_text("1")
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            self._pipe = os.open(self._place / "trace_pipe", flags)
            self.works = True
        except OSError:
            self._remove(self._place)
        return self

    def __exit__(self, *_: Any) -> None:
        """Take what there still is, and remove the instance."""
        if not self.works:
            return
        self.read()
        os.close(self._pipe)
        self._remove(self._place)

    def read(self) -> None:
        """Take what happened since the last time."""
        if not self.works:
            return
        while True:
            try:
                data = os.read(self._pipe, _CHUNK)
            except OSError:
                # EAGAIN: nothing more for now
                break
            if not data:
                break
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        made = _MADE.match(line)
        if made is not None and int(made[3]) == self._root:
            self.ids[int(made[4])] = made[5].decode("utf-8", "backslashreplace")
            return
        moved = _MOVED.match(line)
        if moved is not None and int(moved[3]) == self._root:
            time_ns = int(moved[1]) * 10**9 + int(moved[2].ljust(9, b"0"))
            comm = moved[6].decode("utf-8", "backslashreplace")
            self.moves.append(Move(time_ns, int(moved[5]), int(moved[4]), comm))

    def _remove_left(self) -> None:
        """Remove instances of recordings that were killed."""
        for place in self._instances.glob(f"{_PREFIX}*"):
            pid = place.name.removeprefix(_PREFIX)
            if pid.isdecimal() and not lives(int(pid)):
                self._remove(place)

    def _remove(self, place: Path) -> None:
        with suppress(OSError):
            (place / "events" / "enable").write_text("0")
        with suppress(OSError):
            place.rmdir()
