"""Whose request it is: the rules of ``[[assign]]``, first match wins."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from replay.common.lookup import Lookup
from replay.trace.file.processes import ProcessTable

#: No rule matches: the row keeps the trace's cgroup.
NO_RULE: Final = -1


class AssignRule(Struct, frozen=True, kw_only=True):
    """A compiled rule; a condition that is None always holds.

    Attributes
    ----------
    pid : int or None
    comm : str or None
        Pattern of the process's name at the time of the request; case matters.
    device : int or None
        ``major << 20 | minor``.
    volume : str or None
        Pattern of the device's name, for traces that name volumes. Block traces do
        not: a rule with a volume matches none of their rows.
    cgroup : int
        Dense id.
    """

    pid: int | None = None
    comm: str | None = None
    device: int | None = None
    volume: str | None = None
    cgroup: int


class Assigner:
    """Find the rule that applies, for many rows at once.

    What a rule asks for depends on a row's segment (pid and name) and device only, so
    the first match of every combination is worked out once, in a table. Devices for
    which the same rules come into question share a column.

    Parameters
    ----------
    rules : sequence of AssignRule
    processes : ProcessTable
        Must know every pid that a rule names.
    volumes : mapping of int to str
        Name of each device that has one.

    Attributes
    ----------
    cgroups : ndarray of uint32, shape (n_rules,)
        What each rule says.
    """

    __slots__ = ("_column", "_processes", "_table", "_uses_process", "cgroups")

    def __init__(
        self,
        rules: Sequence[AssignRule],
        processes: ProcessTable,
        volumes: Mapping[int, str] | None = None,
    ) -> None:
        volumes = volumes or {}
        self.cgroups: NDArray[np.uint32] = np.array(
            [rule.cgroup for rule in rules], dtype=np.uint32
        )
        self._processes = processes
        self._uses_process = any(
            rule.pid is not None or rule.comm is not None for rule in rules
        )
        devices = {rule.device for rule in rules if rule.device is not None}
        devices |= volumes.keys()
        # The first column is for all devices that no rule names.
        columns: dict[tuple[int, ...], int] = {_candidates(rules, None, None): 0}
        column_of = {
            device: columns.setdefault(
                _candidates(rules, device, volumes.get(device)), len(columns)
            )
            for device in sorted(devices)
        }
        self._column = Lookup(
            np.array(list(column_of), dtype=np.uint64),
            np.array(list(column_of.values()), dtype=np.int64),
            0,
        )
        rows = len(processes.segment_names) if self._uses_process else 1
        self._table: NDArray[np.int32] = np.full(
            (rows, len(columns)), NO_RULE, dtype=np.int32
        )
        # From the last to the first, which has the last word.
        for position in reversed(range(len(rules))):
            rule = rules[position]
            segments = np.ones(rows, dtype=np.bool_)
            if rule.pid is not None:
                segments &= processes.segment_pid == rule.pid
            if rule.comm is not None:
                segments &= _matches(processes.segment_names, rule.comm)
            for candidates, column in columns.items():
                if position in candidates:
                    self._table[segments, column] = position

    def __call__(
        self,
        pids: NDArray[Any],
        times_ns: NDArray[np.int64],
        devices: NDArray[Any],
    ) -> NDArray[np.int32]:
        """Find the first rule that matches each row.

        Parameters
        ----------
        pids, devices : ndarray of an integer type, shape (n,)
        times_ns : ndarray of int64, shape (n,)
            When the request came: the process's name at that time counts.

        Returns
        -------
        ndarray of int32, shape (n,)
            Position of the rule, or `NO_RULE`. The caller's own.
        """
        found: NDArray[np.int32]
        if self._table.shape == (1, 1):
            return np.full(len(pids), self._table[0, 0], dtype=np.int32)
        column = self._column(devices) if self._table.shape[1] > 1 else 0
        row = self._processes.segment(pids, times_ns) if self._uses_process else 0
        found = self._table[row, column]
        return found


def _candidates(
    rules: Sequence[AssignRule], device: int | None, volume: str | None
) -> tuple[int, ...]:
    """List the rules whose conditions on the device hold."""
    return tuple(
        position
        for position, rule in enumerate(rules)
        if rule.device in (None, device)
        and (
            rule.volume is None
            or (volume is not None and fnmatchcase(volume, rule.volume))
        )
    )


def _matches(names: Sequence[str], pattern: str) -> NDArray[np.bool_]:
    """Match each name; a pattern is tried once for each distinct name."""
    verdict = {name: fnmatchcase(name, pattern) for name in set(names)}
    return np.array([verdict[name] for name in names], dtype=np.bool_)
