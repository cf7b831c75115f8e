"""Rows of a trace in the engine's terms: dense cgroups, devices and tasks."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from replay.common.errors import TraceError
from replay.common.lookup import Lookup
from replay.engine.setup import NOT_REPLAYED
from replay.scenario.binding.assign import NO_RULE, Assigner
from replay.scenario.binding.nested import Nested
from replay.trace.file.processes import ProcessTable
from replay.trace.file.schema import FLAGS, OP_CODES

if TYPE_CHECKING:
    import pyarrow as pa

#: Dense id of a cgroup id that the trace's metadata does not list.
NO_CGROUP: Final = 0xFFFFFFFF


class Resolved(Struct, frozen=True):
    """A batch's rows as the engine gets them.

    Attributes
    ----------
    issuer : ndarray of uint32, shape (n,)
        Dense cgroup whose request it is, after ``[[assign]]``.
    recorded : ndarray of uint32, shape (n,)
        Dense cgroup of the trace's own id: it chose the worker when the trace was
        taken.
    device_idx : ndarray of uint16, shape (n,)
        Position in ``Setup.devices``, `NOT_REPLAYED` for a device that is left out.
    task : ndarray of int32, shape (n,), or None
        Position in ``Setup.task_*``, -1 for none; None if there are no tasks at all.
    rule : ndarray of int32, shape (n,), or None
        The rule of ``[[assign]]`` that said so, `NO_RULE` for none; None if there are
        no rules at all.
    """

    issuer: NDArray[np.uint32]
    recorded: NDArray[np.uint32]
    device_idx: NDArray[np.uint16]
    task: NDArray[np.int32] | None
    rule: NDArray[np.int32] | None = None


class Resolver(Struct, frozen=True, kw_only=True):
    """Resolve batches of rows; no batch changes it, so threads may share one.

    Attributes
    ----------
    cgroups : Lookup
        Dense cgroup of an id, `NO_CGROUP` for one that is not known.
    devices : Lookup or None
        Position of a device, `NOT_REPLAYED` for none; None takes all as the first.
    processes : ProcessTable
    assigner : Assigner or None
        None if there are no rules.
    n_cgroups : int
    nested : Nested or None
        Which rows of a device below others are theirs, which the replay makes itself.
    tasks : Lookup or None
        Task of a pair (`pair`), -1 for none; None if there are no tasks.
    counts_once : bool
        What a device above passed down to another one is not replayed again.
    """

    cgroups: Lookup
    devices: Lookup | None
    processes: ProcessTable
    assigner: Assigner | None
    n_cgroups: int
    nested: Nested | None = None
    tasks: Lookup | None = None
    counts_once: bool = False

    def resolve(self, batch: "pa.RecordBatch") -> Resolved:
        """Resolve a batch.

        Parameters
        ----------
        batch : RecordBatch
            With the columns of ``TRACE_SCHEMA``.

        Returns
        -------
        Resolved

        Raises
        ------
        TraceError
            A row has a cgroup id that the trace's metadata does not list.
        """
        recorded = self._recorded(batch)
        issuer, rule = recorded, None
        if self.assigner is not None:
            rule = self._rule(batch, self.assigner)
            given = self.assigner.cgroups[rule]
            issuer = np.where(rule == NO_RULE, recorded, given)
        if self.devices is None:
            device_idx = np.zeros(batch.num_rows, dtype=np.uint16)
        else:
            device_idx = self.devices(column(batch, "device", np.uint32))
        if self.counts_once:
            below = column(batch, "flags", np.uint16) & FLAGS["below"]
            device_idx[below != 0] = NOT_REPLAYED
        if self.nested is not None:
            self.nested.drop(device_idx, column(batch, "pid", np.int32))
        task = None
        if self.tasks is not None:
            task = self.tasks(self.pair(batch, issuer))
            task[device_idx == NOT_REPLAYED] = -1
        return Resolved(issuer, recorded, device_idx, task, rule)

    def pair(
        self, batch: "pa.RecordBatch", issuer: NDArray[np.uint32]
    ) -> NDArray[np.int64]:
        """Make one number of each row's process and issuer.

        Parameters
        ----------
        batch : RecordBatch
        issuer : ndarray of uint32, shape (n,)

        Returns
        -------
        ndarray of int64, shape (n,)
            ``position of the pid * n_cgroups + issuer``.
        """
        position = self.processes.position(column(batch, "pid", np.int32))
        return position * self.n_cgroups + issuer

    def _recorded(self, batch: "pa.RecordBatch") -> NDArray[np.uint32]:
        ids = column(batch, "cgroup", np.uint64)
        recorded = self.cgroups(ids)
        unknown = recorded == NO_CGROUP
        if unknown.any():
            raise TraceError(
                f"cgroup id {ids[unknown.argmax()]} stands in a row, but not in the "
                "trace's metadata: convert the trace again"
            )
        return recorded

    def _rule(self, batch: "pa.RecordBatch", assigner: Assigner) -> NDArray[np.int32]:
        queue_ns = column(batch, "queue_ns", np.int64)
        issue_ns = column(batch, "issue_ns", np.int64)
        rule = assigner(
            column(batch, "pid", np.int32),
            np.where(queue_ns < 0, issue_ns, queue_ns),
            column(batch, "device", np.uint32),
        )
        # A flush without a bio is the flush machinery's own. It belongs to nobody,
        # whoever's context it was issued in.
        # Source: block/blk-flush.c, blk_kick_flush(), v6.1.
        nobody = column(batch, "op", np.int8) == OP_CODES["flush"]
        nobody &= column(batch, "n_bios", np.uint32) == 0
        rule[nobody] = NO_RULE
        return rule


def column(batch: "pa.RecordBatch", name: str, dtype: Any) -> NDArray[Any]:
    """View a column's value slots, nulls included, without a copy.

    Parameters
    ----------
    batch : RecordBatch
    name : str
    dtype : numpy type
        Of the column, or of its dictionary indices.

    Returns
    -------
    ndarray of `dtype`, shape (n,), read-only
    """
    array = batch.column(name)
    if not len(array):
        return np.empty(0, dtype=dtype)
    # A dictionary column's own second buffer holds the indices. Others' buffers may be
    # longer than their rows.
    size = np.dtype(dtype).itemsize
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * size)
