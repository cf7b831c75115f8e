"""The columns that the engine and the reference read: one `Columns` a batch.

Nothing is copied that a trace file holds already; what a scenario adds (issuer, dense
device, task) and the service time come as columns of their own.
"""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

#: Row has no task: nobody is stopped by its kill.
NO_TASK = -1
#: Bit of ``flags`` that the runner adds: the recorded kernel failed the request.
FAILED = 1 << 15


class Columns(Struct, frozen=True, kw_only=True):
    """A batch of requests, each array of shape (n_rows,).

    Attributes
    ----------
    row : ndarray of int64
        Row in the trace file.
    queue_ns, issue_ns, complete_ns : ndarray of int64
        ns since the trace's start, -1 where not seen.
    sector : ndarray of uint64
        In 512 B sectors.
    nbytes, n_bios : ndarray of uint32
    flags : ndarray of uint16
        Bits of `replay.trace.file.schema.FLAGS`, and `FAILED`.
    op : ndarray of int8
        Index into `replay.trace.file.schema.OPS`.
    pid : ndarray of int32
    issuer : ndarray of uint32
        Dense cgroup that caused the request, ``[[assign]]`` applied.
    recorded : ndarray of uint32
        Dense cgroup of the id in the trace: it decided the traced worker.
    device : ndarray of uint16
        Dense device, `replay.engine.setup.NOT_REPLAYED` if filtered out.
    task : ndarray of int32
        Index into ``Setup.task_*`` or `NO_TASK`.
    """

    row: NDArray[np.int64]
    queue_ns: NDArray[np.int64]
    issue_ns: NDArray[np.int64]
    complete_ns: NDArray[np.int64]
    sector: NDArray[np.uint64]
    nbytes: NDArray[np.uint32]
    n_bios: NDArray[np.uint32]
    flags: NDArray[np.uint16]
    op: NDArray[np.int8]
    pid: NDArray[np.int32]
    issuer: NDArray[np.uint32]
    recorded: NDArray[np.uint32]
    device: NDArray[np.uint16]
    task: NDArray[np.int32]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.row)

    def take(self, index: NDArray[np.intp] | slice) -> "Columns":
        """Select rows.

        Parameters
        ----------
        index : ndarray of intp or slice
            Positions in this batch.

        Returns
        -------
        Columns
            Copies for an array, views for a slice.
        """
        return Columns(
            **{name: getattr(self, name)[index] for name in self.__struct_fields__}
        )
