"""What a trace knows of a request, found again when the request completes.

The engine gives requests in the order of completion, with the row of each. Nothing is
kept for them meanwhile: rows are looked up where they lie.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from replay.results.kinds import kind_codes
from replay.results.tables import RecordedRequests
from replay.runner.feed import is_zeroes
from replay.scenario.binding.resolve import column
from replay.trace.file.processes import is_journal
from replay.trace.file.schema import OP_CODES

if TYPE_CHECKING:
    import pyarrow as pa

    from replay.scenario.bind import Binding


class RowsInPlace(Protocol):
    """Rows that can be looked up by their numbers."""

    @property
    def batch_sizes(self) -> Sequence[int]:
        """Rows of each batch, in their order."""
        ...

    def batch(self, index: int) -> "pa.RecordBatch":
        """Return a batch as it lies."""
        ...


class RecordedColumns:
    """Looks up what the trace has of requests, by their rows.

    Parameters
    ----------
    rows : RowsInPlace
    binding : Binding
        The scenario, bound to the trace.
    """

    def __init__(self, rows: RowsInPlace, binding: "Binding") -> None:
        self._rows = rows
        self._starts = np.cumsum([0, *rows.batch_sizes])
        self._zeroes_above = binding.zeroes_above
        self._processes = binding.resolver.processes
        names = self._processes.names
        # the last one is that of no name
        self._journal = np.array([*map(is_journal, names), False])

    @property
    def processes(self) -> Sequence[str]:
        """Names that `RecordedRequests.process` numbers."""
        return self._processes.names

    def __call__(self, rows: NDArray[np.int64]) -> RecordedRequests:
        """Look rows up.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,)
            In any order.

        Returns
        -------
        RecordedRequests
            Each of its columns of shape (n,).
        """
        n = len(rows)
        found = RecordedRequests(
            op=np.empty(n, np.int8),
            sector=np.empty(n, np.uint64),
            nbytes=np.empty(n, np.uint32),
            pid=np.empty(n, np.int32),
            process=np.empty(n, np.int32),
            kind=np.empty(n, np.int8),
        )
        batches = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(batches, kind="stable")
        cuts = np.flatnonzero(np.diff(batches[order])) + 1
        for index in np.split(order, cuts) if n else ():
            number = int(batches[index[0]])
            self._fill(
                found,
                index,
                self._rows.batch(number),
                rows[index] - self._starts[number],
            )
        return found

    def _fill(
        self,
        found: RecordedRequests,
        index: NDArray[np.intp],
        batch: "pa.RecordBatch",
        place: NDArray[np.int64],
    ) -> None:
        op = column(batch, "op", np.int8)[place]
        nbytes = column(batch, "nbytes", np.uint32)[place]
        pid = column(batch, "pid", np.int32)[place]
        device = column(batch, "device", np.uint32)[place]
        if self._zeroes_above:
            zeroes = is_zeroes(op, nbytes, device, self._zeroes_above)
            op = np.where(zeroes, np.int8(OP_CODES["write_zeroes"]), op)
        queue_ns = column(batch, "queue_ns", np.int64)[place]
        issue_ns = column(batch, "issue_ns", np.int64)[place]
        time_ns = np.where(queue_ns < 0, issue_ns, queue_ns)
        found.op[index] = op
        found.sector[index] = column(batch, "sector", np.uint64)[place]
        found.nbytes[index] = nbytes
        found.pid[index] = pid
        found.process[index] = process = self._processes.name_codes(pid, time_ns)
        flags = column(batch, "flags", np.uint16)[place]
        found.kind[index] = kind_codes(op, flags, self._journal[process])
