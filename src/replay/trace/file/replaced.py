"""A trace in which some cgroups' requests are those of another recording."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec import structs
from numpy.typing import NDArray

from replay.common.errors import TraceError
from replay.common.plain import plain
from replay.common.text import count_text
from replay.trace.file.batch import N_TIMES, batch_of
from replay.trace.file.metadata import Cgroup, Process, Summary
from replay.trace.file.read import Trace, column_values
from replay.trace.file.schema import TRACE_SCHEMA
from replay.trace.rows import RowStream

_Columns = dict[str, NDArray[Any]]


def shared_cgroups(trace: Trace, alone: Trace) -> dict[int, int]:
    """Find the cgroups of a recording that another trace has, too.

    Parameters
    ----------
    trace, alone : Trace

    Returns
    -------
    dict of int to int
        The ids in ``alone``, each with the id that the same path has in ``trace``.

    Raises
    ------
    TraceError
        None of its cgroups has the path of one of the trace's.
    """
    ids = {
        one.path: one.id
        for one in trace.metadata.summary.cgroups
        if _named(one) and one.n_requests
    }
    both = {
        one.id: ids[one.path]
        for one in alone.metadata.summary.cgroups
        if one.path in ids and one.n_requests
    }
    if not both:
        raise TraceError(
            f"{alone.path}: none of its cgroups has the path of one of {trace.path}: "
            "'replay info' shows them; a file of ids (--cgroups) names those of a trace"
        )
    return both


def _named(one: Cgroup) -> bool:
    """Return True if it has a path, and is not the root: what that does is all else."""
    return one.path not in (None, "/")


class Replaced(RowStream):
    """Rows of a trace, but for some cgroups those of a recording of them alone.

    The first of them arrives when the first that it replaces did. Both are held in
    memory.

    Parameters
    ----------
    trace, alone : Trace
        Open as long as the rows are read.
    ids : mapping of int to int
        Of `shared_cgroups`.
    """

    def __init__(self, trace: Trace, alone: Trace, ids: Mapping[int, int]) -> None:
        self._trace = trace
        self._alone = alone
        self._ids = ids

    @property
    def bytes_read(self) -> int:
        """Nothing that is decoded."""
        return 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Go through the rows of both, in their order."""
        self._summary = None
        whole, other = _columns(self._trace), _columns(self._alone)
        stood_for = np.isin(whole["cgroup"], list(self._ids.values()))
        begin_ns = int(_arrival(whole)[stood_for].min())
        kept = {name: values[~stood_for] for name, values in whole.items()}
        mine = np.isin(other["cgroup"], list(self._ids))
        other = {name: values[mine] for name, values in other.items()}
        if not np.isin(other["device"], whole["device"]).all():
            raise TraceError(
                f"{self._alone.path}: its cgroups' requests are on a device that "
                f"{self._trace.path} does not have: record the same device"
            )
        shift_ns = begin_ns - int(_arrival(other).min())
        for field in list(TRACE_SCHEMA)[:N_TIMES]:
            times = other[field.name]
            other[field.name] = np.where(times < 0, times, times + shift_ns)
        cgroup = other["cgroup"].copy()
        for one, instead in self._ids.items():
            cgroup[other["cgroup"] == one] = instead
        other["cgroup"] = cgroup
        pids = _new_pids(set(kept["pid"].tolist()), set(other["pid"].tolist()))
        other["pid"] = np.array([pids[pid] for pid in other["pid"].tolist()], np.int32)
        columns = {
            name: np.concatenate([kept[name], other[name]], dtype=kept[name].dtype)
            for name in kept
        }
        issue, arrival = columns["issue_ns"], _arrival(columns)
        order = np.argsort(np.where(issue < 0, arrival, issue), kind="stable")
        columns = {name: values[order] for name, values in columns.items()}
        yield batch_of(columns)
        self._summary = self._summarise(columns, pids, shift_ns, len(cgroup))

    def _summarise(
        self, columns: _Columns, pids: Mapping[int, int], shift_ns: int, n_alone: int
    ) -> Summary:
        whole = self._trace.metadata.summary
        cgroups = Counter(columns["cgroup"].tolist())
        devices = Counter(columns["device"].tolist())
        paths = ", ".join(
            plain(str(one.path))
            for one in whole.cgroups
            if one.id in self._ids.values()
        )
        last_ns = int(columns["complete_ns"].max())
        return structs.replace(
            whole,
            n_rows=len(columns["device"]),
            end_ns=max(whole.end_ns, last_ns),
            devices=[
                structs.replace(one, n_requests=devices[one.device])
                for one in whole.devices
            ],
            cgroups=[
                structs.replace(
                    one,
                    n_requests=cgroups[one.id],
                    **_sums(columns, columns["cgroup"] == one.id),
                )
                for one in whole.cgroups
            ],
            processes=list(self._processes(columns, pids, shift_ns)),
            window=None,
            notes=[
                *whole.notes,
                f"what {paths} asks for, and when, is that of {self._alone.path}, "
                f"where it ran alone: {count_text(n_alone, 'request')}",
            ],
        )

    def _processes(
        self, columns: _Columns, pids: Mapping[int, int], shift_ns: int
    ) -> Iterator[Process]:
        """Yield the processes of both, those of the other one under their new pids."""
        counts = Counter(columns["pid"].tolist())
        first = self._trace.metadata.summary.processes
        taken = set(pids.values())
        for one in first:
            if one.pid not in taken:
                yield structs.replace(one, n_requests=counts[one.pid])
        for one in self._alone.metadata.summary.processes:
            if one.pid in pids:
                pid = pids[one.pid]
                at = columns["pid"] == pid
                yield structs.replace(
                    one,
                    pid=pid,
                    n_requests=counts[pid],
                    first_ns=int(_arrival(columns)[at].min()),
                    last_ns=int(columns["complete_ns"][at].max()),
                    names=[
                        structs.replace(name, time_ns=max(0, name.time_ns + shift_ns))
                        for name in one.names
                    ],
                )


def _columns(trace: Trace) -> _Columns:
    """Return a trace's columns, whole."""
    parts: dict[str, list[NDArray[Any]]] = {field.name: [] for field in TRACE_SCHEMA}
    for batch in trace.batches():
        for field, column in zip(TRACE_SCHEMA, batch.columns, strict=True):
            parts[field.name].append(column_values(column))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _arrival(columns: _Columns) -> NDArray[np.int64]:
    """Return when each row was queued; issued, where that was not seen."""
    queue = columns["queue_ns"]
    return np.where(queue < 0, columns["issue_ns"], queue)


def _new_pids(taken: set[int], wanted: set[int]) -> dict[int, int]:
    """Return a pid for each process that no other one has; its own, if that is free."""
    pids: dict[int, int] = {}
    above = max(taken | wanted)
    for pid in sorted(wanted):
        if pid in taken:
            above += 1
        pids[pid] = above if pid in taken else pid
    return pids


def _sums(columns: _Columns, of: NDArray[np.bool_]) -> dict[str, int]:
    return {
        name: int(columns[name][of].sum(dtype=np.int64))
        for name in ("n_bios", "nbytes")
    }
