"""Names of processes, which change over time."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.common.lookup import Lookup
from replay.common.unique import distinct
from replay.trace.file.metadata import Process, Summary

#: How the names of kernel threads begin that issue block I/O, mostly for others.
_KERNEL_THREAD: Final = re.compile(
    # kworker/u8:1, jbd2/sda1-8, btrfs-transacti, xfsaild/dm-0, irq/24-nvme ...
    r"(kworker|ksoftirqd|kswapd\d*|khugepaged|kcompactd\d*|kblockd|jbd2|migration|"
    r"swapper|xfsaild|xfs-|ext4-|btrfs-|bcache|dmcrypt_write|dm-|kcryptd|kcopyd|"
    r"kdmflush|irq)([/:-]|\b)|"
    # loop0 (before 5.14), md127_raid5, nbd0
    r"(loop|md|nbd)\d+(_[a-z0-9]+)?\b|"
    r"(kthreadd|writeback|flush-.*|f2fs_(ckpt|gc|flush|discard).*|ext4lazyinit|nfsd|"
    r"z_.*|txg_sync|oom_reaper)$"
)
#: Threads of a file system that has a journal, and that runs.
_JOURNALS: Final = ("jbd2/", "xfsaild/", "btrfs-transacti")


def is_journal(name: str) -> bool:
    """Return True if a process is a thread of a file system's journal."""
    return name.startswith(_JOURNALS)


def has_journal(summary: Summary) -> bool:
    """Return True if a file system with a journal issued what is in a trace."""
    return any(
        is_journal(name.name)
        for process in summary.processes
        if process.n_requests
        for name in process.names
    )


def is_kernel_thread(name: str) -> bool:
    """Return True if a process of that name is a thread of the kernel.

    Parameters
    ----------
    name : str
        As the trace gives it, at most 15 characters; empty if unknown.

    Returns
    -------
    bool
        True for an unknown name too: only what is known to be a user process can be
        killed.
    """
    return not name or _KERNEL_THREAD.match(name) is not None


class ProcessTable:
    """Which name a pid had at which time, for many rows at once.

    A *segment* is a pid and a span of time in which it had one name. Before the first
    name that was seen, that one holds. Pids that the trace does not name, and that are
    not added, share one last segment with the empty name.

    Parameters
    ----------
    processes : iterable of Process
        From the trace's metadata.
    more_pids : iterable of int
        Pids to know even if the trace does not name them.

    Notes
    -----
    Nothing is laid out before it is asked for: most scenarios name no process, and a
    trace may have 200,000.
    """

    def __init__(
        self, processes: Iterable[Process], more_pids: Iterable[int] = ()
    ) -> None:
        self._processes = processes
        self._more_pids = tuple(more_pids)

    @cached_property
    def _segments(self) -> "_Segments":
        return _Segments(self._processes, self._more_pids)

    @property
    def pids(self) -> NDArray[np.int64]:
        """Every pid, shape (n_pids,), sorted."""
        return self._segments.pids

    @property
    def segment_pid(self) -> NDArray[np.int64]:
        """Pid of each segment, shape (n_segments,); -1 for the last."""
        return np.append(self.pids[self._segments.owner], -1)

    @property
    def segment_names(self) -> list[str]:
        """Name of each segment."""
        return self._segments.names

    @cached_property
    def pid_names(self) -> list[list[str]]:
        """All names that each pid ever had, in order of time.

        The last entry, one more than there are pids, is for those not known.
        """
        found: list[list[str]] = [[] for _ in range(len(self.pids) + 1)]
        owner = self._segments.owner.tolist()
        for position, name in zip(owner, self.segment_names, strict=False):
            if name:
                found[position].append(name)
        return found

    @cached_property
    def names(self) -> list[str]:
        """Every name that a process ever had, each once."""
        return [name for name in dict.fromkeys(self.segment_names) if name]

    @cached_property
    def _code_of_segment(self) -> NDArray[np.int32]:
        code = {name: number for number, name in enumerate(self.names)}
        return np.array([code.get(name, -1) for name in self.segment_names], np.int32)

    def name_codes(
        self, pids: NDArray[Any], times_ns: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """Find each row's name.

        Parameters
        ----------
        pids : ndarray of an integer type, shape (n,)
        times_ns : ndarray of int64, shape (n,)

        Returns
        -------
        ndarray of int32, shape (n,)
            Positions in `names`; -1 where the name is not known.
        """
        return self._code_of_segment[self.segment(pids, times_ns)]

    def position(self, pids: NDArray[Any]) -> NDArray[np.int64]:
        """Find each pid's position in `pids`; their number for one not known.

        Parameters
        ----------
        pids : ndarray of an integer type, shape (n,)

        Returns
        -------
        ndarray of int64, shape (n,)
        """
        return self._segments.position(pids)

    def segment(
        self, pids: NDArray[Any], times_ns: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Find each row's segment.

        Parameters
        ----------
        pids : ndarray of an integer type, shape (n,)
        times_ns : ndarray of int64, shape (n,)

        Returns
        -------
        ndarray of int64, shape (n,)
        """
        return self._segments.of_rows(pids, times_ns)


class _Segments:
    """The columns of a `ProcessTable`: its pids, and the segments in their order.

    Attributes
    ----------
    pids : ndarray of int64, shape (n_pids,), sorted
    owner : ndarray of int64, shape (n_segments - 1,)
        Position of each segment's pid in ``pids``, but for the last segment's.
    names : list of str, shape (n_segments,)
    position : Lookup
        Position of a pid in ``pids``.
    """

    def __init__(self, processes: Iterable[Process], more_pids: Sequence[int]) -> None:
        listed = list(processes)
        pid = np.array([one.pid for one in listed], np.int64)
        self.pids: NDArray[np.int64] = distinct(
            np.concatenate([pid, np.array(more_pids, np.int64)])
        )
        n_names = np.array([len(one.names) for one in listed], np.int64)
        entries = [entry for one in listed for entry in one.names]
        start = np.array([entry.time_ns for entry in entries], np.int64)
        names = [entry.name for entry in entries]
        owner = np.searchsorted(self.pids, np.repeat(pid, n_names))
        # a pid without a name has an empty one
        is_named = np.zeros(len(self.pids), np.bool_)
        is_named[owner] = True
        nameless = np.flatnonzero(~is_named)
        names += [""] * len(nameless)
        owner = np.concatenate([owner, nameless])
        start = np.concatenate([np.maximum(start, 0), np.zeros_like(nameless)])
        order = np.lexsort((start, owner))
        self.owner: NDArray[np.int64] = owner[order]
        self.names: list[str] = [*map(names.__getitem__, order.tolist()), ""]
        # the first name holds before it was seen, too
        start = start[order]
        start[np.flatnonzero(np.diff(self.owner, prepend=-1))] = -1
        # Unsigned for the lookup; a negative pid is never looked up (see Lookup).
        known = self.pids >= 0
        self.position = Lookup(
            self.pids[known].view(np.uint64), np.flatnonzero(known), len(self.pids)
        )
        self._changes = len(self.owner) > len(self.pids)
        # A row's segment is the last one whose (pid, start) is not larger than the
        # row's (pid, time). Times become ranks, so that both fit one integer.
        self._times: NDArray[np.int64] = distinct(start)
        self._keys: NDArray[np.int64] = self._key(self.owner, start)

    def _key(
        self, position: NDArray[np.int64], time_ns: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        rank = np.searchsorted(self._times, time_ns, side="right")
        return position * (len(self._times) + 1) + rank

    def of_rows(
        self, pids: NDArray[Any], times_ns: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Find each row's segment; see `ProcessTable.segment`."""
        position = self.position(pids)
        if not self._changes:
            return position
        key = self._key(position, times_ns)
        found = np.searchsorted(self._keys, key, side="right") - 1
        found[position == len(self.pids)] = len(self.names) - 1
        return found
