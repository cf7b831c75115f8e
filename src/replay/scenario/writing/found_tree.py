"""Cgroups as they were found: interface files as text, and the tasks in them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

ROOT: Final = "/"
#: The controllers that matter for block I/O and its memory.
CONTROLLERS: Final = frozenset(("io", "memory"))
#: Interface files that set something.
LIMITS: Final = (
    "memory.max",
    "memory.high",
    "memory.low",
    "memory.min",
    "memory.swap.max",
    "memory.oom.group",
    "io.max",
    "io.weight",
    "io.bfq.weight",
    "io.latency",
    "io.cost.model",
    "io.cost.qos",
)
#: Interface files that count something.
COUNTERS: Final = (
    "memory.current",
    "memory.peak",
    "memory.events",
    "memory.stat",
    "memory.swap.current",
    "io.stat",
)
#: Marks a cgroup of version 2: every one has it, the root too.
MARK: Final = "cgroup.controllers"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTask:
    """A process.

    Attributes
    ----------
    pid : int
    comm : str
        Its name, at most 15 characters.
    rss : int
        Anonymous memory, bytes: what is charged to its cgroup and goes with it.
    oom_score_adj : int
    threads : int
    """

    pid: int
    comm: str
    rss: int
    oom_score_adj: int = 0
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCgroup:
    """A cgroup.

    Attributes
    ----------
    path : str
        From the root of the tree, which is ``/``.
    id : int or None
        What block traces carry: the inode of the directory.
    files : mapping of str to str
        Text of the interface files that were there.
    tasks : tuple of FoundTask
    """

    path: str
    id: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[FoundTask, ...] = ()

    def controllers(self) -> frozenset[str]:
        """Return which of `CONTROLLERS` are enabled for it.

        Returns
        -------
        frozenset of str
            As ``cgroup.controllers`` says; where that was not kept, those of which
            there are interface files. Those of the pressure are there without.
        """
        if MARK in self.files:
            return CONTROLLERS.intersection(self.files[MARK].split())
        if self.path == ROOT:
            return CONTROLLERS
        names = {name.split(".")[0] for name in self.files if "pressure" not in name}
        return CONTROLLERS & names


Tree = dict[str, FoundCgroup]


def parent(path: str) -> str:
    """Return the path one level up; the root's is the root."""
    return path[: path.rfind("/")] or ROOT


def merged(begin: Tree, end: Tree) -> Tree:
    """Merge what was there at the begin and at the end of a recording.

    Parameters
    ----------
    begin, end : Tree

    Returns
    -------
    Tree
        Every cgroup of both. Limits are those of the end, since a service is started
        first and limited then; tasks those of both, each where it was last.
    """
    last = {
        (task.pid, task.comm): path
        for path, cgroup in end.items()
        for task in cgroup.tasks
    }
    found = {
        path: replace(
            cgroup,
            tasks=tuple(
                task
                for task in cgroup.tasks
                if last.get((task.pid, task.comm), path) == path
            ),
        )
        for path, cgroup in begin.items()
    }
    for path, cgroup in end.items():
        tasks = {task.pid: task for task in found[path].tasks} if path in found else {}
        tasks |= {task.pid: task for task in cgroup.tasks}
        found[path] = replace(cgroup, tasks=tuple(tasks[pid] for pid in sorted(tasks)))
    return {path: found[path] for path in in_order(found)}


def in_order(paths: Iterable[str]) -> list[str]:
    """Sort paths so that parents stand before their children."""
    return sorted(paths, key=lambda path: path.rstrip("/").split("/"))
