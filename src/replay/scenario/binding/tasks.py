"""Tasks: who can be killed, and which rows of the trace are whose."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from replay.common.lookup import TABLE_KEYS, Lookup
from replay.common.text import capped
from replay.engine.setup import NOT_REPLAYED
from replay.scenario.binding.resolve import Resolver
from replay.scenario.binding.tree import Tree
from replay.scenario.keys.sizes import whole_pages
from replay.scenario.keys.values import TaskValues
from replay.trace.file.processes import ProcessTable, is_kernel_thread

if TYPE_CHECKING:
    import pyarrow as pa

KERNEL_THREADS: Final = "kernel threads"

#: Where a task stands in the order: cgroup, rank, and number or pid.
Place = tuple[int, int, int]
_LISTED: Final = 0
_OWN: Final = 1
_KERNEL: Final = 2


class BoundTask(Struct, frozen=True, kw_only=True):
    """One task.

    Attributes
    ----------
    name : str
        What people call it: ``dd``, ``dd (143)`` or ``kernel threads``.
    cgroup : int
        Dense cgroup that it is in.
    rss_pages : int
        Memory that it has charged while it lives.
    n_requests : int
        Rows of the trace that are its.
    kernel : bool
        It stands for the kernel threads that issue for the cgroup.
    oom_score_adj : int
    always : bool
        It lives through the whole trace.
    """

    name: str
    cgroup: int
    rss_pages: int = 0
    n_requests: int = 0
    kernel: bool = False
    oom_score_adj: int = 0
    always: bool = False


class ProcessCounts(Struct, frozen=True):
    """Counts of the replayed rows by process and cgroup.

    Attributes
    ----------
    key : ndarray of int64, shape (n_pairs,), sorted
        ``position of the pid * n_cgroups + issuer``.
    n_rows : ndarray of int64, shape (n_pairs,)
    """

    key: NDArray[np.int64]
    n_rows: NDArray[np.int64]


def count_pairs(
    batches: "Iterable[pa.RecordBatch]",
    resolver: Resolver,
    wanted: NDArray[np.bool_],
    n_keys: int,
) -> ProcessCounts:
    """Count rows by process and issuer; one pass over the trace.

    Parameters
    ----------
    batches : iterable of RecordBatch
    resolver : Resolver
    wanted : ndarray of bool, shape (n_cgroups,)
        Issuers that matter.
    n_keys : int
        A pair's key is below this.

    Returns
    -------
    ProcessCounts
    """
    total = _Total(n_keys)
    for batch in batches:
        rows = resolver.resolve(batch)
        counted = wanted[rows.issuer] & (rows.device_idx != NOT_REPLAYED)
        if counted.any():
            total.add(resolver.pair(batch, rows.issuer)[counted])
    return total.pairs()


class _Total:
    """Counts by key: dense where there are few keys, else merged now and then."""

    def __init__(self, n_keys: int) -> None:
        self._dense = np.zeros(n_keys if n_keys <= TABLE_KEYS else 0, dtype=np.int64)
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._pending = 0
        self._merged = 0

    def add(self, keys: NDArray[np.int64]) -> None:
        if len(self._dense):
            self._dense += np.bincount(keys, minlength=len(self._dense))
            return
        unique, counts = np.unique(keys, return_counts=True)
        self._parts.append((unique, counts.astype(np.int64)))
        self._pending += len(unique)
        # merging only once as much is pending as was merged keeps the sum linear
        if self._pending > max(self._merged, TABLE_KEYS):
            self._merge()

    def _merge(self) -> None:
        keys = np.concatenate([part for part, _ in self._parts])
        counts = np.concatenate([part for _, part in self._parts])
        unique, position = np.unique(keys, return_inverse=True)
        sums = np.zeros(len(unique), dtype=np.int64)
        np.add.at(sums, position, counts)
        self._parts = [(unique, sums)]
        self._merged, self._pending = len(unique), 0

    def pairs(self) -> ProcessCounts:
        if len(self._dense):
            keys = np.flatnonzero(self._dense)
            return ProcessCounts(keys, self._dense[keys])
        if not self._parts:
            return ProcessCounts(
                np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
            )
        self._merge()
        return ProcessCounts(*self._parts[0])


class TaskList(Struct, frozen=True):
    """All tasks in order: by cgroup, as listed, then by pid, kernel threads last.

    Attributes
    ----------
    tasks : list of BoundTask
    lookup : Lookup
        Task of a pair's key, -1 for none.
    notes : list of str
        What was assumed, and what the scenario lists in vain.
    """

    tasks: list[BoundTask]
    lookup: Lookup
    notes: list[str]


def make_tasks(
    pairs: ProcessCounts,
    *,
    listed: Mapping[int, Sequence[TaskValues]],
    limited: NDArray[np.bool_],
    blkcg: NDArray[np.uint32],
    processes: ProcessTable,
    tree: Tree,
) -> TaskList:
    """Find the tasks and whose each row is.

    Parameters
    ----------
    pairs : ProcessCounts
    listed : mapping of int to sequence of TaskValues
        By dense cgroup. The first that fits a process takes it.
    limited : ndarray of bool, shape (n_cgroups,)
        A memory limit stands on the cgroup or above it: what issues for it can be
        killed and becomes a task even if it is not listed.
    blkcg : ndarray of uint32, shape (n_cgroups,)
        Block I/O of a listed task carries this cgroup's id.
    processes : ProcessTable
    tree : Tree

    Returns
    -------
    TaskList
    """
    found: dict[Place, BoundTask] = {}
    candidates: dict[int, list[tuple[Place, TaskValues]]] = {}
    for cgroup in sorted(listed):
        for number, values in enumerate(listed[cgroup]):
            place = (cgroup, _LISTED, number)
            found[place] = BoundTask(
                name=_listed_name(values, processes),
                cgroup=cgroup,
                rss_pages=whole_pages(values.rss),
                oom_score_adj=values.oom_score_adj,
                always=values.always,
            )
            for issuer in {cgroup, int(blkcg[cgroup])}:
                candidates.setdefault(issuer, []).append((place, values))
    for issuer, entries in candidates.items():
        # the cgroup's own tasks before those of cgroups below without the controller
        entries.sort(key=lambda entry: (entry[0][0] != issuer, entry[0]))
    owners: list[Place | None] = []
    counts: Counter[Place] = Counter()
    for key, n_rows in zip(pairs.key.tolist(), pairs.n_rows.tolist(), strict=True):
        position, issuer = divmod(key, len(tree.names))
        owner = _listed_owner(position, candidates.get(issuer, ()), processes)
        if owner is None and limited[issuer]:
            owner, task = _own_task(position, issuer, processes)
            found.setdefault(owner, task)
        owners.append(owner)
        if owner is not None:
            counts[owner] += n_rows
    order = {place: index for index, place in enumerate(sorted(found))}
    tasks = {place: replace(found[place], n_requests=counts[place]) for place in order}
    index = np.array(
        [-1 if owner is None else order[owner] for owner in owners], dtype=np.int32
    )
    mine = index >= 0
    return TaskList(
        list(tasks.values()),
        Lookup(pairs.key[mine].view(np.uint64), index[mine], -1),
        _notes(tasks, tree),
    )


def _listed_owner(
    position: int,
    candidates: Iterable[tuple[Place, TaskValues]],
    processes: ProcessTable,
) -> Place | None:
    """Find the listed task that a process is."""
    names = processes.pid_names[position]
    pid = int(processes.pids[position]) if position < len(processes.pids) else -1
    for place, values in candidates:
        if values.pid is not None and values.pid != pid:
            continue
        comm = values.comm
        if comm is None or any(fnmatchcase(name, comm) for name in names):
            return place
    return None


def _own_task(
    position: int, issuer: int, processes: ProcessTable
) -> tuple[Place, BoundTask]:
    """Make the task of a process that is not listed, or the kernel threads' one."""
    names = processes.pid_names[position]
    if not names or any(is_kernel_thread(name) for name in names):
        task = BoundTask(name=KERNEL_THREADS, cgroup=issuer, kernel=True)
        return (issuer, _KERNEL, 0), task
    pid = int(processes.pids[position])
    return (issuer, _OWN, pid), BoundTask(name=f"{names[-1]} ({pid})", cgroup=issuer)


def _listed_name(values: TaskValues, processes: ProcessTable) -> str:
    if values.pid is None:
        return values.comm or ""
    position = int(processes.position(np.array([values.pid]))[0])
    names = processes.pid_names[position]
    return f"{names[-1]} ({values.pid})" if names else f"pid {values.pid}"


def _idle(tasks: Sequence[BoundTask], tree: Tree) -> list[str]:
    """Tell of tasks that have no request, in one line: a capture may list hundreds."""
    if not tasks:
        return []
    first = f"task {tasks[0].name} of {tree.names[tasks[0].cgroup]}"
    if len(tasks) == 1:
        return [
            f"no request of the trace is of {first}: it never lives and its rss is not "
            "charged (always = true would let it live through the trace)"
        ]
    return [
        f"no request of the trace is of {len(tasks):,} tasks, such as {first}: they "
        "never live and their rss is not charged (always = true would let them live "
        "through the trace)"
    ]


def _notes(tasks: Mapping[Place, BoundTask], tree: Tree) -> list[str]:
    idle = _idle(
        [task for task in tasks.values() if not (task.n_requests or task.always)], tree
    )
    unlisted: dict[int, list[str]] = {}
    for (cgroup, rank, _), task in tasks.items():
        if rank == _OWN:
            unlisted.setdefault(cgroup, []).append(task.name)
    assumed = []
    for cgroup, names in unlisted.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        assumed.append(
            f"rss of {', '.join(names[:3])}{more} in {tree.names[cgroup]} is not "
            "given: taken as 0"
        )
    return [
        *idle,
        *capped(assumed, "more cgroups: rss of their tasks is taken as 0"),
    ]
