"""Record block devices with the cgroup of every request, and the cgroups beside."""

import os
import platform
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from replay.capture.live import read_ids, read_live
from replay.capture.loops import read_loops
from replay.capture.machine import Machine
from replay.capture.saved import BEGIN, END, IDS, save_tree, write_ids_file
from replay.capture.tracer import Stop, Tracer, option_on
from replay.common.errors import CaptureError, OutputError
from replay.scenario.writing.cgroups import machine_toml, scenario_toml
from replay.scenario.writing.found_tree import COUNTERS, LIMITS, Tree, merged

#: Limits and counters of every cgroup are saved, and what delegates its controllers.
SAVED: Final = (*LIMITS, *COUNTERS, "cgroup.subtree_control", "cgroup.procs")
SCENARIO: Final = "scenario.toml"
LOG: Final = "blktrace.log"
#: How often the tree is searched for new cgroups: one that lives longer is named.
_SEARCH_S: Final = 1.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A finished recording.

    Attributes
    ----------
    directory : Path
    n_files, nbytes : int
        Trace files and their bytes.
    n_cgroups : int
        Ids that were seen.
    dropped : int
        Events that the kernel had no buffer for.
    """

    directory: Path
    n_files: int
    nbytes: int
    n_cgroups: int
    dropped: int


def record(
    devices: Sequence[str],
    output: str | Path,
    *,
    seconds: float | None = None,
    buffer_kib: int = 1024,
    n_buffers: int = 8,
    machine: Machine | None = None,
    stop: Stop | None = None,
    on_start: Callable[[], None] = lambda: None,
) -> Recorded:
    """Record block devices until asked to stop.

    Parameters
    ----------
    devices : sequence of str
        Names, such as ``loop0`` or ``/dev/loop0``.
    output : str or Path
        Directory to make; one that is there must be empty. It gets blktrace's files,
        ``ids``, ``begin/`` and ``end/`` with every cgroup's limits and counters,
        ``scenario.toml``, ``kernel`` and blktrace's own words in ``blktrace.log``.
    seconds : float or None
        How long; None is until `stop` asks.
    buffer_kib, n_buffers : int
        Memory for each CPU and device: that many buffers of that many KiB.
    machine : Machine or None
        Where things are; None is where they always are.
    stop : Stop or None
        Looked at ten times a second.
    on_start : callable
        Called when the trace runs.

    Returns
    -------
    Recorded

    Raises
    ------
    CaptureError
        Something is missing; or blktrace did not start, or stopped by itself: what it
        had recorded is kept and named.
    OutputError
        The directory cannot be made or written, or is not empty.

    Notes
    -----
    Whatever happens, blktrace is stopped and the tracing option is what it was.
    """
    machine = machine or Machine()
    stop = stop or Stop()
    missing = machine.missing(devices)
    program = machine.program()
    if missing or program is None:
        raise CaptureError(*missing)
    paths = list(dict.fromkeys(machine.device(name) for name in devices))
    directory = Path(output)
    made = _make(directory)
    cgroups = _Cgroups(machine, directory)
    release = platform.release()
    try:
        with option_on(machine.option()):
            cgroups.save(BEGIN)
            with Tracer(
                program,
                paths,
                directory,
                directory / LOG,
                buffer_kib=buffer_kib,
                n_buffers=n_buffers,
            ) as tracer:
                if not tracer.wait_until_started(stop):
                    reason = f"blktrace did not start: {tracer.said()}"
                    _unmake(directory, made)
                    raise CaptureError(reason)
                # now, since a loop device may be taken down before the end
                loops = read_loops(paths, machine.sys, machine.proc)
                on_start()
                _wait(tracer, stop, seconds, cgroups)
                alone = not tracer.running
                cgroups.save(END)
        (directory / "kernel").write_text(release + "\n")
        cgroups.write_scenario(machine_toml(loops, release))
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{directory}: recording failed: {reason}; what is there is kept"
        ) from error
    except CaptureError:
        _unmake(directory, made, only_empty=True)
        raise
    if alone or tracer.failed:
        raise CaptureError(
            f"blktrace stopped by itself: {tracer.said()}; what it had recorded is in "
            f"{directory}"
        )
    files = list(directory.glob("*.blktrace.*"))
    return Recorded(
        directory=directory,
        n_files=len(files),
        nbytes=sum(file.stat().st_size for file in files),
        n_cgroups=len(cgroups.ids),
        dropped=tracer.dropped(),
    )


class _Cgroups:
    """The tree while a recording runs: saved twice, and searched for what is new."""

    def __init__(self, machine: Machine, directory: Path) -> None:
        self._machine = machine
        self._directory = directory
        self._trees: dict[str, Tree] = {}
        self.ids: dict[int, str] = {}

    def save(self, part: str) -> None:
        """Save all cgroups, with their counters, as ``begin`` or ``end``."""
        tree = read_live(self._machine.cgroups, proc=self._machine.proc, files=SAVED)
        self._trees[part] = tree
        self.search()
        save_tree(tree, self._directory / part)
        # written at once: it is there even if there never is an end
        write_ids_file(self._directory / IDS, self.ids)

    def search(self) -> None:
        """Note the ids of cgroups that were not there before."""
        self.ids |= read_ids(self._machine.cgroups)

    def write_scenario(self, head: Iterable[str]) -> None:
        """Write the cgroups of begin and end as a scenario, below some lines."""
        tree = merged(self._trees[BEGIN], self._trees[END])
        title = f"Cgroups of {platform.node() or 'this machine'} while it was recorded"
        text = scenario_toml(tree, title, head)
        (self._directory / SCENARIO).write_bytes(os.fsencode(text))


def _wait(tracer: Tracer, stop: Stop, seconds: float | None, cgroups: _Cgroups) -> None:
    """Wait for the end, and look for new cgroups meanwhile."""
    began = time.monotonic()
    search_at = began + _SEARCH_S
    while tracer.running and not stop.requested:
        now = time.monotonic()
        if seconds is not None and now - began >= seconds:
            return
        if now >= search_at:
            cgroups.search()
            # in a tree of very many cgroups, a tenth of the time at most
            took = time.monotonic() - now
            search_at = now + max(_SEARCH_S, 10 * took)
        time.sleep(_POLL_S)


def _make(directory: Path) -> bool:
    """Make the directory; return True if it was not there."""
    try:
        directory.mkdir()
    except FileExistsError:
        if not directory.is_dir():
            raise OutputError(f"{directory}: is not a directory") from None
        if os.geteuid() == 0 and _is_anothers(directory):
            raise OutputError(
                f"{directory}: is a link, or another user's: name a directory of root's"
            ) from None
        if any(directory.iterdir()):
            raise OutputError(
                f"{directory}: is not empty: name another directory"
            ) from None
        return False
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{directory}: cannot be made: {reason}") from error
    return True


def _is_anothers(directory: Path) -> bool:
    """Return True if somebody but root may put links into a directory, or turned it."""
    found = directory.lstat()
    return stat.S_ISLNK(found.st_mode) or found.st_uid != 0


def _unmake(directory: Path, made: bool, *, only_empty: bool = False) -> None:
    """Remove what a recording that never ran has left."""
    children = list(directory.iterdir()) if directory.is_dir() else []
    if only_empty and children:
        return
    for child in children:
        if child.is_dir():
            shutil.rmtree(child, ignore_errors=True)
        else:
            child.unlink(missing_ok=True)
    if made:
        with suppress(FileNotFoundError):
            directory.rmdir()
