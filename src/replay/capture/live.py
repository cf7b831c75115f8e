"""Read a cgroup v2 tree where directories are cgroups: a live one, or its copy."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from replay.common.bounded import SMALL_BYTES, FileRefusedError, read_bounded
from replay.common.errors import CaptureError
from replay.scenario.writing.found_tree import (
    LIMITS,
    MARK,
    ROOT,
    FoundCgroup,
    FoundTask,
    Tree,
)

#: Of a pid: more than any has.
_MAX_DIGITS: Final = 12
PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")


def top_of(directory: Path) -> Path:
    """Find the root of the tree that a cgroup's directory belongs to."""
    top = directory.resolve()
    while (top.parent / MARK).is_file():
        top = top.parent
    return top


class Mount(NamedTuple):
    """A mount: ``MAJOR:MINOR``, where, and the file system's type and options."""

    device: str
    point: Path
    type: str
    options: str = ""


def mounts(proc: Path = PROC) -> list[Mount]:
    """List what is mounted, in the order of mounting.

    Parameters
    ----------
    proc : Path
        Where procfs is.

    Returns
    -------
    list of Mount
        Empty if it cannot be told.
    """
    try:
        text = (proc / "self" / "mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        # ID PARENT MAJOR:MINOR ROOT POINT OPTIONS... - TYPE SOURCE OPTIONS
        before, _, after = line.partition(" - ")
        words = before.split(" ")
        if len(words) >= 5:
            point = Path(_unescape(words[4]))
            kind, _, options = after.partition(" ")
            found.append(Mount(words[2], point, kind, options.partition(" ")[2]))
    return found


def is_mounted(directory: Path, proc: Path = PROC) -> bool:
    """Return True if a directory lies in a live tree, so that inodes are ids.

    Parameters
    ----------
    directory : Path
    proc : Path
        Where procfs is.

    Returns
    -------
    bool
    """
    place = directory.resolve()
    over = [mount for mount in mounts(proc) if place.is_relative_to(mount.point)]
    # of mounts on one point the last hides the others
    over.sort(key=lambda mount: len(mount.point.parts))
    return bool(over) and over[-1].type == "cgroup2"


def _unescape(text: str) -> str:
    r"""Turn the kernel's ``\040`` back into what it stands for."""
    for char in " \t\n\\":
        text = text.replace(f"\\{ord(char):03o}", char)
    return text


def read_live(
    directory: Path,
    *,
    proc: Path = PROC,
    files: Sequence[str] = LIMITS,
    tasks: bool = True,
) -> Tree:
    """Read a tree, or a part of it with the cgroups above.

    Parameters
    ----------
    directory : Path
        Directory of a cgroup. Paths count from the tree's root, wherever it lies.
    proc : Path
        Where procfs is.
    files : sequence of str
        Interface files to keep, beside ``cgroup.controllers``.
    tasks : bool
        Whether to look for the processes of each cgroup; only of a live tree.

    Returns
    -------
    Tree
        Cgroups that go while they are read are left out.

    Raises
    ------
    CaptureError
        The directory cannot be read.
    """
    top, live = top_of(directory), is_mounted(directory, proc)
    found: Tree = {}
    try:
        for place in places_below(top, directory.resolve()):
            path = tree_path(place, top)
            try:
                number = place.stat().st_ino if live else None
                texts = dict(_texts(place, (MARK, *files), None if live else top))
            except (FileNotFoundError, NotADirectoryError):
                continue
            # one that is gone has no files any more
            if MARK in texts:
                here = tasks_of(place, proc) if tasks and live else ()
                found[path] = FoundCgroup(path=path, id=number, files=texts, tasks=here)
    except OSError as error:
        raise unreadable(directory, error) from error
    return found


def read_ids(top: Path) -> dict[int, str]:
    """Return the id and path of every cgroup of a live tree.

    Parameters
    ----------
    top : Path
        The tree's root.

    Returns
    -------
    dict of int to str
    """
    found = {}
    for place in places_below(top, top):
        try:
            found[place.stat().st_ino] = tree_path(place, top)
        except OSError:
            continue
    return found


def unreadable(path: Path, error: OSError) -> CaptureError:
    """Say that something cannot be read."""
    return CaptureError(f"{path}: cannot be read: {error.strerror or error}")


def places_below(top: Path, directory: Path) -> Iterator[Path]:
    """List the directories from the top to one, and all below it."""
    above = [place for place in directory.parents if place.is_relative_to(top)]
    yield from reversed(above)
    for name, below, _ in os.walk(directory):
        below.sort()
        yield Path(name)


def tree_path(place: Path, top: Path) -> str:
    """Return a cgroup's path, of its directory and the tree's root."""
    relative = place.relative_to(top).as_posix()
    if relative == ".":
        return ROOT
    # names are bytes; the trace file's are text, made of bytes in the same way
    return ROOT + os.fsencode(relative).decode("utf-8", "backslashreplace")


def _texts(
    place: Path, names: Sequence[str], within: Path | None = None
) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            data = read_bounded(place / name, SMALL_BYTES, within=within)
            yield name, data.decode("utf-8", "backslashreplace")
        except FileNotFoundError:
            continue
        except FileRefusedError:
            raise
        except OSError:
            # ENODEV of a cgroup that just goes; EOPNOTSUPP of cgroup.procs if threaded
            if not place.is_dir():
                return


def tasks_of(place: Path, proc: Path) -> tuple[FoundTask, ...]:
    """Return the processes in a cgroup, by pid."""
    texts = dict(_texts(place, ("cgroup.procs",)))
    found = []
    for word in texts.get("cgroup.procs", "").split():
        # 0 stands for a process of another pid namespace
        if word.isdecimal() and len(word) < _MAX_DIGITS and int(word):
            task = read_task(int(word), proc)
            if task is not None:
                found.append(task)
    return tuple(sorted(found, key=lambda task: task.pid))


def read_task(pid: int, proc: Path = PROC) -> FoundTask | None:
    """Read what /proc tells of a process.

    Parameters
    ----------
    pid : int
    proc : Path

    Returns
    -------
    FoundTask or None
        None for a kernel thread, and for a process that is gone.
    """
    place = proc / str(pid)
    try:
        comm = (place / "comm").read_bytes().removesuffix(b"\n")
        status = (place / "status").read_text("utf-8", "backslashreplace")
        adj = (place / "oom_score_adj").read_text()
    except OSError:
        return None
    values = dict(line.partition(":")[::2] for line in status.splitlines())
    # Kernels before 4.5 tell the sum only; kernel threads have neither.
    rss = values.get("RssAnon", values.get("VmRSS"))
    if rss is None:
        return None
    try:
        return FoundTask(
            pid=pid,
            comm=comm.decode("utf-8", "backslashreplace"),
            rss=int(rss.split()[0]) * 1024,
            oom_score_adj=int(adj),
            threads=int(values.get("Threads", "1")),
        )
    except (ValueError, IndexError):
        return None
