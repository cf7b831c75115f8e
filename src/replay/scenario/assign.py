"""Whose request it is: the rules of ``[[assign]]``, first match wins."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.scenario.lookup import Lookup
from replay.scenario.processes import ProcessTable

#: No rule matches: the row keeps the trace's cgroup.
NO_RULE: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignRule:
    """A compiled rule; a condition that is None always holds.

    Attributes
    ----------
    pid : int or None
    comm : str or None
        Pattern of the process's name at the time of the request; case matters.
    device : int or None
        ``major << 20 | minor``.
    volume : str or None
        Name of a volume, for traces that have them. Block traces do not: a rule with a
        volume matches none of their rows.
    cgroup : int
        Dense id.
    """

    pid: int | None = None
    comm: str | None = None
    device: int | None = None
    volume: str | None = None
    cgroup: int


class Assigner:
    """Apply rules to many rows at once.

    What a rule asks for depends on a row's segment (pid and name) and device only, so
    the first match of every combination is worked out once, in a table.

    Parameters
    ----------
    rules : sequence of AssignRule
    processes : ProcessTable
        Must know every pid that a rule names.
    """

    __slots__ = ("_column", "_processes", "_table", "_uses_process")

    def __init__(self, rules: Sequence[AssignRule], processes: ProcessTable) -> None:
        rules = [rule for rule in rules if rule.volume is None]
        self._processes = processes
        self._uses_process = any(
            rule.pid is not None or rule.comm is not None for rule in rules
        )
        # One column for each device that a rule names, the last for all others.
        named = sorted({rule.device for rule in rules if rule.device is not None})
        self._column = Lookup(
            np.array(named, dtype=np.uint64),
            np.arange(len(named), dtype=np.int64),
            len(named),
        )
        rows = len(processes.segment_names) if self._uses_process else 1
        self._table: NDArray[np.int64] = np.full(
            (rows, len(named) + 1), NO_RULE, dtype=np.int64
        )
        for rule in rules:
            segments = np.ones(rows, dtype=np.bool_)
            if rule.pid is not None:
                segments &= processes.segment_pid == rule.pid
            if rule.comm is not None:
                segments &= _matches(processes.segment_names, rule.comm)
            columns = (
                range(len(named) + 1)
                if rule.device is None
                else [named.index(rule.device)]
            )
            for column in columns:
                free = segments & (self._table[:, column] == NO_RULE)
                self._table[free, column] = rule.cgroup

    def __call__(
        self,
        pids: NDArray[Any],
        times_ns: NDArray[np.int64],
        devices: NDArray[Any],
    ) -> NDArray[np.int64]:
        """Find the cgroup that the first matching rule gives to each row.

        Parameters
        ----------
        pids, devices : ndarray of an integer type, shape (n,)
        times_ns : ndarray of int64, shape (n,)
            When the request came: the process's name at that time counts.

        Returns
        -------
        ndarray of int64, shape (n,)
            Dense id, or `NO_RULE`.
        """
        found: NDArray[np.int64]
        if self._table.shape == (1, 1):
            return np.full(len(pids), self._table[0, 0], dtype=np.int64)
        column = self._column(devices) if self._table.shape[1] > 1 else 0
        row = self._processes.segment(pids, times_ns) if self._uses_process else 0
        found = self._table[row, column]
        return found


def _matches(names: Sequence[str], pattern: str) -> NDArray[np.bool_]:
    """Match each name; a pattern is tried once for each distinct name."""
    verdict = {name: fnmatchcase(name, pattern) for name in set(names)}
    return np.array([verdict[name] for name in names], dtype=np.bool_)
