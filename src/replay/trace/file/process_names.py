"""Which name a process had when; a pid may have several, one after the other."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.trace.file.metadata import Process


class ProcessNames:
    """Names by pid and time, for many rows at once.

    Parameters
    ----------
    keys : list of tuple
        (pid, since, name), ascending; the first name of a pid holds since ever.
    """

    def __init__(self, keys: list[tuple[int, int, str]]) -> None:
        self._names: dict[str, int] = {}
        codes = [self._names.setdefault(one[2], len(self._names)) for one in keys]
        self._pid = np.array([one[0] for one in keys], np.int64)
        self._code = np.array(codes, np.int32)
        # a row's entry is the last one whose (pid, rank of since) is not above its own
        since = np.array([one[1] for one in keys], np.int64)
        self._times: NDArray[np.int64] = np.unique(since)
        self._key = self._keys(self._pid, since)

    def _keys(self, pid: NDArray[Any], time_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        rank = np.searchsorted(self._times, time_ns, side="right")
        return pid.astype(np.int64) * (len(self._times) + 1) + rank

    @property
    def names(self) -> list[str]:
        """Names by code."""
        return list(self._names)

    def codes(self, pid: NDArray[Any], time_ns: NDArray[np.int64]) -> NDArray[np.int32]:
        """Find each row's name.

        Parameters
        ----------
        pid : ndarray of int32, shape (n,)
        time_ns : ndarray of int64, shape (n,)

        Returns
        -------
        ndarray of int32, shape (n,)
            Codes of `names`; -1 where the name is not known.
        """
        if not len(self._pid):
            return np.full(len(pid), -1, np.int32)
        place = np.searchsorted(self._key, self._keys(pid, time_ns), side="right") - 1
        at = np.maximum(place, 0)
        known = (place >= 0) & (self._pid[at] == pid)
        return np.where(known, self._code[at], np.int32(-1))


def process_names(processes: Iterable[Process]) -> ProcessNames:
    """Make the table of a trace's processes.

    Parameters
    ----------
    processes : iterable of Process

    Returns
    -------
    ProcessNames
    """
    keys = []
    for process in sorted(processes, key=lambda one: one.pid):
        names = sorted(process.names, key=lambda one: one.time_ns)
        for index, one in enumerate(names):
            keys.append((process.pid, one.time_ns if index else -1, one.name))
    return ProcessNames(keys)
