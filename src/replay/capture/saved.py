"""A cgroup tree in files, one flat directory a cgroup: ``begin/p__a/memory.max``.

``ids`` beside ``begin/`` and ``end/`` holds the id and path of every cgroup. ``/`` is
``root``, ``/p/a`` is ``p__a``; where that would not be one name for one path, a number
is added, and a file ``path`` in the directory says whose it is.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Final, NamedTuple

from replay.capture.live import is_mounted, read_live, top_of, unreadable
from replay.common.bounded import (
    LIST_BYTES,
    SMALL_BYTES,
    check_within,
    read_bounded,
)
from replay.common.errors import CaptureError
from replay.scenario.writing.found_tree import (
    LIMITS,
    MARK,
    ROOT,
    FoundCgroup,
    FoundTask,
    Tree,
    in_order,
    merged,
)

IDS: Final = "ids"
BEGIN: Final = "begin"
END: Final = "end"
#: Beside them: the cgroups as a scenario, and which process was moved when.
SCENARIO: Final = "scenario.toml"
MOVES: Final = "moves"
#: In each of the two: what the machine was.
MACHINE: Final = "machine.toml"
#: Holds a cgroup's path, where its directory's name does not tell.
PATH: Final = "path"
#: Holds a line for each process: pid, threads, bytes of rss, oom_score_adj, name.
TASKS: Final = "tasks"
#: Most file systems take names of 255 bytes.
_MAX_NAME: Final = 240
#: Of a number that any kernel writes.
_MAX_DIGITS: Final = 20
_MAX_ID: Final = (1 << 64) - 1


class Moved(NamedTuple):
    """A process that was moved: its name, and the path of its cgroup since."""

    comm: str
    path: str


def read_tree(directory: str | Path, *, proc: Path = Path("/proc")) -> Tree:
    """Read a cgroup v2 tree, live or saved.

    Parameters
    ----------
    directory : str or Path
        A live tree or a part of it; a copy of one; a recording, with ``begin`` and
        ``end`` in it; or one of the two.
    proc : Path
        Where procfs is.

    Returns
    -------
    Tree
        Not empty.

    Raises
    ------
    CaptureError
        There is none, or it is of cgroup v1.
    """
    place = Path(directory)
    try:
        if not place.is_dir():
            what = "is not a directory" if place.exists() else "no such directory"
            raise CaptureError(f"{directory}: {what}")
        if (place / MARK).is_file():
            tree = read_live(place, proc=proc)
            if not is_mounted(place, proc):
                tree = _with_ids(tree, top_of(place))
        elif any((place / part).is_dir() for part in (BEGIN, END)):
            begin, end = (read_saved(place / part) for part in (BEGIN, END))
            tree = merged(begin, end)
        else:
            tree = read_saved(place) if _is_saved(place) else {}
    except OSError as error:
        raise unreadable(place, error) from error
    if not tree:
        raise CaptureError(f"{directory}: {_why_not(place)}")
    return tree


def recording_of(named: Path) -> Path:
    """Return the directory of a recording that a path names, or lies in.

    Parameters
    ----------
    named : Path
        What the user calls the trace: a directory, a file in it, or a base name.

    Returns
    -------
    Path
        Of what may be a recording of `replay record`.
    """
    return named if named.is_dir() else named.parent


def _is_saved(place: Path) -> bool:
    return (place / "root").is_dir() or (place.parent / IDS).is_file()


def _why_not(place: Path) -> str:
    """Say why there is no tree in a directory."""
    unified = place / "unified"
    if (unified / MARK).is_file():
        return f"is of cgroup v1; the tree of cgroup v2 is {unified}"
    old = [place / name for name in ("memory", "blkio")]
    if (place / "tasks").is_file() or any(
        (one / "cgroup.procs").exists() for one in old
    ):
        return (
            "is of cgroup v1: boot with systemd.unified_cgroup_hierarchy=1 and "
            "cgroup_no_v1=all to have v2"
        )
    return f"holds no tree of cgroup v2: neither {MARK} nor {BEGIN}/ or {END}/"


def read_saved(place: Path) -> Tree:
    """Read a tree that was saved flat.

    Parameters
    ----------
    place : Path
        ``begin`` or ``end`` of a recording; may be absent.

    Returns
    -------
    Tree
        Without cgroups whose directories hold nothing.
    """
    if not place.is_dir():
        return {}
    ids = read_ids_file(place.parent / IDS)
    path_of_name: dict[str, str] = {}
    for path in in_order(ids.values()):
        path_of_name.setdefault(flat_name(path), path)
    # of two cgroups that had one path, one after the other, the last
    id_of_path = {path: number for number, path in ids.items()}
    tree: Tree = {}
    for child in sorted(place.iterdir()):
        if not child.is_dir():
            continue
        check_within(child, place.parent)
        files = {
            name: _text(child / name, place.parent)
            for name in (MARK, *LIMITS, "memory.stat", "io.stat", "memory.current")
            if (child / name).is_file()
        }
        path = _text(child / PATH, place.parent).removesuffix("\n")
        if not path.startswith(ROOT):
            path = path_of_name.get(child.name, ROOT + child.name.replace("__", "/"))
            path = ROOT if child.name == "root" else path
        if not files and path not in id_of_path:
            continue
        tree[path] = FoundCgroup(
            path=path,
            id=id_of_path.get(path),
            files=files,
            tasks=_read_tasks(child / TASKS, place.parent),
        )
    return {path: tree[path] for path in in_order(tree)}


def save_tree(tree: Tree, place: Path) -> None:
    """Save a tree flat, for `read_saved`.

    Parameters
    ----------
    tree : Tree
    place : Path
        Directory to make.
    """
    place.mkdir()
    taken: set[str] = set()
    for path in in_order(tree):
        cgroup = tree[path]
        name = flat_name(path)
        number = 1
        while name in taken:
            number += 1
            name = f"{flat_name(path)}~{number}"
        taken.add(name)
        child = place / name
        child.mkdir()
        write_new(child / PATH, path + "\n")
        for file, text in cgroup.files.items():
            write_new(child / file, text)
        write_new(child / TASKS, "".join(map(_task_line, cgroup.tasks)))


def flat_name(path: str) -> str:
    """Return the name of a cgroup's directory: ``p__a`` of ``/p/a``."""
    name = path[1:].replace("/", "__") or "root"
    data = name.encode()
    if len(data) <= _MAX_NAME:
        return name
    digest = hashlib.sha256(data).hexdigest()[:16]
    return f"{data[: _MAX_NAME - 17].decode('utf-8', 'ignore')}~{digest}"


def read_ids_file(path: Path) -> dict[int, str]:
    """Read lines of "id path", as far as they are such lines.

    Parameters
    ----------
    path : Path
        May be absent.

    Returns
    -------
    dict of int to str

    Raises
    ------
    CaptureError
        An id is more than 64 bits hold.
    """
    found = {}
    lines = _text(path, path.parent, LIST_BYTES).splitlines()
    for position, line in enumerate(lines, start=1):
        number, _, name = line.strip().partition(" ")
        if number.isascii() and number.isdecimal() and name.startswith(ROOT):
            if len(number) > _MAX_DIGITS or int(number) > _MAX_ID:
                raise CaptureError(
                    f"{path}: line {position}: {number[:24]}... ({len(number):,} "
                    "digits) is no cgroup's id: each line holds an id below 2**64 and "
                    "its path"
                )
            found[int(number)] = name
    return found


def write_ids_file(path: Path, ids: Mapping[int, str]) -> None:
    """Write lines of "id path", whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    write_new(part, "".join(f"{number} {ids[number]}\n" for number in sorted(ids)))
    part.replace(path)


def _with_ids(tree: Tree, top: Path) -> Tree:
    """Give the copy of a tree its ids, if a file in or beside it says them."""
    ids = read_ids_file(top / IDS) or read_ids_file(top.parent / IDS)
    of_path = {path: number for number, path in ids.items()}
    return {
        path: replace(cgroup, id=of_path.get(path)) for path, cgroup in tree.items()
    }


def moved(place: Path) -> dict[int, Moved]:
    """Read which processes were moved while it was recorded.

    Parameters
    ----------
    place : Path
        Of a recording.

    Returns
    -------
    dict of int to Moved
        By pid, each one's last; lines that are none are left out.
    """
    paths = read_ids_file(place / IDS)
    found = {}
    for line in _text(place / MOVES, place, LIST_BYTES).split("\n"):
        words = line.split(" ", 3)
        if len(words) < 4 or not all(
            word.isdecimal() and len(word) <= _MAX_DIGITS for word in words[:3]
        ):
            continue
        _, pid, number = map(int, words[:3])
        found[pid] = Moved(words[3], paths.get(number, f"the cgroup {number}"))
    return found


def _task_line(task: FoundTask) -> str:
    numbers = f"{task.pid} {task.threads} {task.rss} {task.oom_score_adj}"
    # a name may hold a line break
    return f"{numbers} {task.comm}".replace("\n", "?") + "\n"


def _read_tasks(path: Path, within: Path) -> tuple[FoundTask, ...]:
    found = []
    for line in _text(path, within, LIST_BYTES).split("\n"):
        words = line.split(" ", 4)
        try:
            if max(map(len, words[:4])) > _MAX_DIGITS:
                continue
            pid, threads, rss, adj = map(int, words[:4])
        except ValueError:
            continue
        if len(words) == 5 and pid > 0 and rss >= 0:
            comm = words[4]
            found.append(
                FoundTask(
                    pid=pid, comm=comm, rss=rss, oom_score_adj=adj, threads=threads
                )
            )
    return tuple(found)


def _text(path: Path, within: Path, most: int = SMALL_BYTES) -> str:
    try:
        data = read_bounded(path, most, within=within)
    except FileNotFoundError:
        return ""
    return data.decode("utf-8", "backslashreplace")


def new_file(path: Path) -> IO[bytes]:
    """Make a file and open it for writing; a link in its place is not followed.

    Raises
    ------
    OSError
        It is there already, be it a link to nothing.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o666), "wb")


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet; a link in its place is not followed.

    Raises
    ------
    OSError
        As `new_file`.
    """
    with new_file(path) as file:
        file.write(os.fsencode(text))
