"""A trace's rows as the engine wants them: resolved, with their service, in order."""

from collections import Counter, deque
from collections.abc import Iterator
from errno import errorcode
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay.engine._service import Services
from replay.engine.columns import FAILED, NO_TASK, Columns
from replay.engine.setup import NOT_REPLAYED, ArrivalEvent
from replay.scenario.bind import Binding
from replay.scenario.binding.caught import Caught
from replay.scenario.binding.resolve import column
from replay.scenario.keys.kernel import LOOP_MAJOR
from replay.trace.file.schema import OP_CODES, OPS
from replay.trace.rows import Rows

if TYPE_CHECKING:
    from concurrent.futures import Future

#: Batches that are made ready ahead of the engine.
AHEAD = 2

T = TypeVar("T")
WRITE, WRITE_ZEROES = OP_CODES["write"], OP_CODES["write_zeroes"]
#: Rows that failed when they were recorded, by operation and errno; without one, those
#: that were told to be write-zeroes.
Errors = Counter[tuple[int, int]]


class FedRows(NamedTuple):
    """A batch of rows and the service of each, ns, -1 where it is unknown."""

    columns: Columns
    service_ns: NDArray[np.int64]

    def take(self, index: NDArray[np.intp]) -> "FedRows":
        """Select rows."""
        return FedRows(self.columns.take(index), self.service_ns[index])


def parts(
    trace: Rows,
    binding: Binding,
    batch_rows: int | None,
    caught: Caught | None = None,
    errors: Errors | None = None,
) -> Iterator[FedRows]:
    """Go through a trace's rows, in the order in which they arrive.

    Parameters
    ----------
    trace : Rows
    binding : Binding
        The scenario, bound to this trace.
    batch_rows : int or None
        Rows of a batch at most; by default as they lie in the file.
    caught : Caught or None
        Told of the rule of ``[[assign]]`` that each replayed row fell to.
    errors : Errors or None
        Told of the rows that failed when they were recorded.

    Yields
    ------
    FedRows
        Columns that lie in the mapped file are not copied, unless arrivals by queue
        want another order.
    """
    in_order = _in_row_order(trace, binding, batch_rows, caught, errors)
    if binding.setup.event == ArrivalEvent.QUEUE:
        return _in_queue_order(in_order, _bounds(trace, batch_rows))
    return in_order


class RowFeed:
    """Makes the engine's columns of batches, which are given in the rows' order.

    Rows leave in the order in which the driver had them for the last time, once their
    service is known: both may take until others were seen.

    Parameters
    ----------
    binding : Binding
        The scenario, bound to the trace of the rows.
    caught : Caught or None
        Told of the rule of ``[[assign]]`` that each row fell to.
    errors : Errors or None
        Told of the rows that failed when they were recorded.
    """

    def __init__(
        self,
        binding: Binding,
        caught: Caught | None = None,
        errors: Errors | None = None,
    ) -> None:
        self._errors = Counter() if errors is None else errors
        self._zeroes_above = binding.zeroes_above
        self._resolver = binding.resolver
        self._by_issue = binding.setup.event != ArrivalEvent.QUEUE
        self._settling = Settling(Services(binding.setup))
        self._caught = caught
        self._n_rows = 0
        # what was issued again later than the last row that was seen
        self._held: Columns | None = None

    def add(self, batch: pa.RecordBatch) -> Iterator[FedRows]:
        """Take a batch in; its columns are not copied unless they change places.

        Parameters
        ----------
        batch : RecordBatch

        Yields
        ------
        FedRows
            Those that are ready, of this batch or of earlier ones.
        """
        columns, until = self._columns(batch)
        if self._by_issue:
            columns = self._in_order(columns, until)
        yield from self._settling.add(columns)

    def end(self) -> Iterator[FedRows]:
        """Yield the rest: there are no more rows."""
        if self._held is not None:
            held, self._held = self._held, None
            yield from self._settling.add(held)
        yield from self._settling.end()

    def _columns(self, batch: pa.RecordBatch) -> tuple[Columns, int]:
        """Return a batch as the engine wants it, and when its last row came."""
        resolved = self._resolver.resolve(batch)
        if self._caught is not None:
            self._caught.add(batch, resolved)
        task = resolved.task
        if task is None:
            task = np.full(batch.num_rows, NO_TASK, np.int32)
        n_rows = self._n_rows
        self._n_rows += batch.num_rows
        queue_ns = column(batch, "queue_ns", np.int64)
        issue_ns = column(batch, "issue_ns", np.int64)
        last = int(issue_ns[-1]) if issue_ns[-1] >= 0 else int(queue_ns[-1])
        if batch.column("last_issue_ns").null_count < batch.num_rows:
            issue_ns = np.maximum(issue_ns, column(batch, "last_issue_ns", np.int64))
        columns = Columns(
            row=np.arange(n_rows, n_rows + batch.num_rows, dtype=np.int64),
            queue_ns=queue_ns,
            issue_ns=issue_ns,
            complete_ns=column(batch, "complete_ns", np.int64),
            sector=column(batch, "sector", np.uint64),
            nbytes=column(batch, "nbytes", np.uint32),
            n_bios=column(batch, "n_bios", np.uint32),
            flags=self._flags(batch, resolved.device_idx != NOT_REPLAYED),
            op=self._op(batch, resolved.device_idx != NOT_REPLAYED),
            pid=column(batch, "pid", np.int32),
            issuer=resolved.issuer,
            recorded=resolved.recorded,
            device=resolved.device_idx,
            task=task,
        )
        return columns, last

    def _op(
        self, batch: pa.RecordBatch, replayed: NDArray[np.bool_]
    ) -> NDArray[np.int8]:
        """Return the operations; what no loop device takes at once is no write."""
        op = column(batch, "op", np.int8)
        if not self._zeroes_above:
            return op
        long = is_zeroes(
            op,
            column(batch, "nbytes", np.uint32),
            column(batch, "device", np.uint32),
            self._zeroes_above,
        )
        if not long.any():
            return op
        self._errors[WRITE, 0] += int((long & replayed).sum())
        return np.where(long, np.int8(WRITE_ZEROES), op)

    def _flags(
        self, batch: pa.RecordBatch, replayed: NDArray[np.bool_]
    ) -> NDArray[np.uint16]:
        """Return the flags, with a mark on what the recorded kernel failed."""
        flags = column(batch, "flags", np.uint16)
        errors = column(batch, "error", np.int32)
        if not errors.any():
            return flags
        failed = errors != 0
        told = failed & replayed
        ops = column(batch, "op", np.int8)[told].tolist()
        self._errors.update(zip(ops, errors[told].tolist(), strict=True))
        return np.where(failed, flags | np.uint16(FAILED), flags)

    def _in_order(self, columns: Columns, until: int) -> Columns:
        """Put rows where they were issued for the last time, and hold back the late.

        All that come later were issued, for the first time, at `until` or later.
        """
        again = columns.issue_ns > until
        if self._held is None and not again.any() and _is_sorted(columns):
            return columns
        if self._held is not None:
            columns = _joined(self._held, columns)
        arrival = _arrival(columns.issue_ns, columns.queue_ns)
        order = np.lexsort((columns.row, arrival))
        n_ready = int(np.searchsorted(arrival[order], until, side="right"))
        late = order[n_ready:]
        self._held = columns.take(late) if len(late) else None
        return columns.take(order[:n_ready])


def is_zeroes(
    op: NDArray[np.int8],
    nbytes: NDArray[np.uint32],
    device: NDArray[np.uint32],
    zeroes_above: int,
) -> NDArray[np.bool_]:
    """Tell which writes are longer than a loop device takes at once: write-zeroes.

    Parameters
    ----------
    op, nbytes, device : ndarray, shape (n,)
        As the trace has them.
    zeroes_above : int
        Bytes; see `replay.scenario.bind.Binding`.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    long = nbytes > zeroes_above
    long &= op == WRITE
    long &= device >> 20 == LOOP_MAJOR
    return long


def _is_sorted(columns: Columns) -> bool:
    arrival = _arrival(columns.issue_ns, columns.queue_ns)
    return bool((arrival[1:] >= arrival[:-1]).all())


class Settling:
    """Batches on their way to where the service of every row is known.

    Parameters
    ----------
    services : Services
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._waiting: deque[FedRows] = deque()
        self._n_ready = 0

    def add(self, columns: Columns) -> Iterator[FedRows]:
        """Take a batch in; yield those that are settled, whole and in their order."""
        service = np.empty(len(columns), np.int64)
        n_settled = self._services.fill(columns, service)
        self._waiting.append(FedRows(columns, service))
        yield from self._settled(n_settled)

    def end(self) -> Iterator[FedRows]:
        """Yield the rest: there are no more rows."""
        yield from self._settled(self._services.end())

    def _settled(self, n_rows: int) -> Iterator[FedRows]:
        while self._waiting and self._n_ready + len(self._waiting[0].columns) <= n_rows:
            part = self._waiting.popleft()
            self._n_ready += len(part.columns)
            yield part


def bites(parts: Iterator[FedRows], most_bytes: int) -> Iterator[FedRows]:
    """Cut parts so that none asks the engine for more than so many bytes of pages.

    The results are the same; between two of them progress is told.
    """
    for part in parts:
        before = np.cumsum(part.columns.nbytes, dtype=np.uint64)
        if not len(before) or before[-1] <= most_bytes:
            yield part
            continue
        number = (before - before[0]) // np.uint64(most_bytes)
        cuts = np.flatnonzero(np.diff(number)) + 1
        for index in np.split(np.arange(len(before)), cuts):
            yield part.take(index)


def _in_row_order(
    trace: Rows,
    binding: Binding,
    batch_rows: int | None,
    caught: Caught | None,
    errors: Errors | None,
) -> Iterator[FedRows]:
    feed = RowFeed(binding, caught, errors)
    for batch in trace.batches(batch_rows):
        yield from feed.add(batch)
    yield from feed.end()


def _arrival(event: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return when rows arrive: at an event, or at the other where it was not seen."""
    return np.where(event < 0, other, event)


def _bounds(trace: Rows, batch_rows: int | None) -> list[int]:
    """Return, for each batch, a time before which no later batch has an arrival."""

    def earliest(batch: pa.RecordBatch) -> int:
        queue = column(batch, "queue_ns", np.int64)
        return int(_arrival(queue, column(batch, "issue_ns", np.int64)).min())

    bounds = []
    later = np.iinfo(np.int64).max
    for time_ns in reversed([earliest(batch) for batch in trace.batches(batch_rows)]):
        bounds.append(int(later))
        later = min(later, time_ns)
    return bounds[::-1]


def _in_queue_order(
    in_order: Iterator[FedRows], bounds: list[int]
) -> Iterator[FedRows]:
    """Sort rows, which come by their issue, by their queueing.

    Only what may still be overtaken is held back: the trace's own reordering.
    """
    held: FedRows | None = None
    for part, bound in zip(in_order, bounds, strict=True):
        joined = part if held is None else _join(held, part)
        columns = joined.columns
        arrival = _arrival(columns.queue_ns, columns.issue_ns)
        order = np.lexsort((columns.row, arrival))
        n_ready = int(np.searchsorted(arrival[order], bound, side="left"))
        if n_ready:
            yield joined.take(order[:n_ready])
        held = joined.take(order[n_ready:])


def _join(a: FedRows, b: FedRows) -> FedRows:
    return FedRows(
        _joined(a.columns, b.columns), np.concatenate([a.service_ns, b.service_ns])
    )


def _joined(a: Columns, b: Columns) -> Columns:
    return Columns(
        **{
            name: np.concatenate([getattr(a, name), getattr(b, name)])
            for name in Columns.__struct_fields__
        }
    )


def error_notes(errors: Errors) -> list[str]:
    """Tell of the requests that the recorded kernel failed.

    Parameters
    ----------
    errors : Errors

    Returns
    -------
    list of str
    """
    notes = []
    if n := errors[WRITE, 0]:
        notes.append(
            f"{n:,} writes are longer than a loop device takes at once: they are "
            "taken as write-zeroes, which records of version 7 do not tell from "
            "writes; there may be shorter ones"
        )
    said = [
        f"{n:,} {OPS[op]} ({errorcode.get(-error, 'errno')} {error})"
        for (op, error), n in sorted(errors.items())
        if error
    ]
    if not said:
        return notes
    more = f" and {len(said) - 5} more sorts" if len(said) > 5 else ""
    return [
        *notes,
        f"failed when they were recorded: {', '.join(said[:5])}{more}; of these "
        "discards and write-zeroes free nothing here either, all else is done as if "
        "it had not failed",
    ]


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Make the next items ready in a second thread.

    Parameters
    ----------
    items : iterator

    Yields
    ------
    object
        The same items in the same order.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        stop = object()
        coming: deque[Future[T | object]] = deque()

        def step() -> T | object:
            return next(items, stop)

        for _ in range(AHEAD):
            coming.append(pool.submit(step))
        while (item := coming.popleft().result()) is not stop:
            coming.append(pool.submit(step))
            yield item  # type: ignore[misc]
