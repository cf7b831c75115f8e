"""Names of processes, which change over time."""

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.distinct import distinct
from replay.scenario.lookup import Lookup
from replay.trace.metadata import Process

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


def is_kernel_thread(name: str) -> bool:
    """Tell whether a process of that name is a thread of the kernel.

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

    Attributes
    ----------
    pids : ndarray of int64, shape (n_pids,), sorted
    segment_pid : ndarray of int64, shape (n_segments,)
        Pid of each segment; -1 for the last.
    segment_names : list of str, shape (n_segments,)
    pid_names : list of list of str, shape (n_pids + 1,)
        All names that each pid ever had, in order of time; the last entry is for pids
        that are not known.
    """

    def __init__(
        self, processes: Iterable[Process], more_pids: Iterable[int] = ()
    ) -> None:
        listed = list(processes)
        listed_pids = np.fromiter((one.pid for one in listed), np.int64, len(listed))
        others = np.fromiter(more_pids, np.int64)
        self.pids: NDArray[np.int64] = distinct(np.concatenate([listed_pids, others]))
        n_names = np.fromiter((len(one.names) for one in listed), np.int64, len(listed))
        entries = [entry for one in listed for entry in one.names]
        times = np.fromiter((entry.time_ns for entry in entries), np.int64)
        names = [entry.name for entry in entries]
        owner = np.searchsorted(self.pids, np.repeat(listed_pids, n_names))
        # a pid without a name has an empty one
        is_named = np.zeros(len(self.pids), np.bool_)
        is_named[owner] = True
        nameless = np.flatnonzero(~is_named)
        names += [""] * len(nameless)
        owner = np.concatenate([owner, nameless])
        start = np.concatenate([np.maximum(times, 0), np.zeros_like(nameless)])
        order = np.lexsort((start, owner))
        owner, start = owner[order], start[order]
        self.segment_names: list[str] = [*map(names.__getitem__, order.tolist()), ""]
        # the first name holds before it was seen, too
        start[np.flatnonzero(np.diff(owner, prepend=-1))] = -1
        self._owner = owner
        self.segment_pid: NDArray[np.int64] = np.append(self.pids[owner], -1)
        # Unsigned for the lookup; a negative pid is never looked up (see Lookup).
        known = self.pids >= 0
        self._pid_position = Lookup(
            self.pids[known].view(np.uint64), np.flatnonzero(known), len(self.pids)
        )
        self._changes = len(owner) > len(self.pids)
        # A row's segment is the last one whose (pid, start) is not larger than the
        # row's (pid, time). Times become ranks, so that both fit one integer.
        self._times: NDArray[np.int64] = distinct(start)
        self._keys: NDArray[np.int64] = self._key(owner, start)

    @cached_property
    def pid_names(self) -> list[list[str]]:
        """All names that each pid ever had, in order of time."""
        found: list[list[str]] = [[] for _ in range(len(self.pids) + 1)]
        segments = zip(self._owner.tolist(), self.segment_names, strict=False)
        for position, name in segments:
            if name:
                found[position].append(name)
        return found

    def _key(
        self, position: NDArray[np.int64], time_ns: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        rank = np.searchsorted(self._times, time_ns, side="right")
        return position * (len(self._times) + 1) + rank

    def position(self, pids: NDArray[Any]) -> NDArray[np.int64]:
        """Find each pid's position in `pids`; their number for one not known.

        Parameters
        ----------
        pids : ndarray of an integer type, shape (n,)

        Returns
        -------
        ndarray of int64, shape (n,)
        """
        return self._pid_position(pids)

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
        position = self.position(pids)
        if not self._changes:
            return position
        key = self._key(position, times_ns)
        found = np.searchsorted(self._keys, key, side="right") - 1
        found[position == len(self.pids)] = len(self.segment_names) - 1
        return found
