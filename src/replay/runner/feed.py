"""A trace's rows as the engine wants them: resolved, with their service, in order."""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay.engine._service import Services
from replay.engine.columns import NO_TASK, Columns
from replay.engine.setup import ArrivalEvent
from replay.scenario.bind import Binding
from replay.scenario.binding.caught import Caught
from replay.scenario.binding.resolve import column
from replay.trace.rows import Rows

if TYPE_CHECKING:
    from concurrent.futures import Future

#: Batches that are made ready ahead of the engine.
AHEAD = 2

T = TypeVar("T")


class Part(NamedTuple):
    """A batch of rows and the service of each, ns, -1 where it is unknown."""

    columns: Columns
    service_ns: NDArray[np.int64]

    def take(self, index: NDArray[np.intp]) -> "Part":
        """Select rows."""
        return Part(self.columns.take(index), self.service_ns[index])


def parts(
    trace: Rows,
    binding: Binding,
    batch_rows: int | None,
    caught: Caught | None = None,
) -> Iterator[Part]:
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

    Yields
    ------
    Part
        Columns that lie in the mapped file are not copied, unless arrivals by queue
        want another order.
    """
    in_order = _in_row_order(trace, binding, batch_rows, caught)
    if binding.setup.event == ArrivalEvent.QUEUE:
        return _in_queue_order(in_order, _bounds(trace, batch_rows))
    return in_order


class RowFeed:
    """Makes the engine's columns of batches, which are given in the rows' order.

    Parameters
    ----------
    binding : Binding
        The scenario, bound to the trace of the rows.
    caught : Caught or None
        Told of the rule of ``[[assign]]`` that each row fell to.
    """

    def __init__(self, binding: Binding, caught: Caught | None = None) -> None:
        self._resolver = binding.resolver
        self._services = Services(binding.setup)
        self._caught = caught
        self._n_rows = 0

    def part(self, batch: pa.RecordBatch) -> Part:
        """Make the next batch ready; its columns are not copied."""
        resolved = self._resolver.resolve(batch)
        if self._caught is not None:
            self._caught.add(batch, resolved)
        task = resolved.task
        if task is None:
            task = np.full(batch.num_rows, NO_TASK, np.int32)
        n_rows = self._n_rows
        columns = Columns(
            row=np.arange(n_rows, n_rows + batch.num_rows, dtype=np.int64),
            queue_ns=column(batch, "queue_ns", np.int64),
            issue_ns=column(batch, "issue_ns", np.int64),
            complete_ns=column(batch, "complete_ns", np.int64),
            sector=column(batch, "sector", np.uint64),
            nbytes=column(batch, "nbytes", np.uint32),
            n_bios=column(batch, "n_bios", np.uint32),
            flags=column(batch, "flags", np.uint16),
            op=column(batch, "op", np.int8),
            pid=column(batch, "pid", np.int32),
            issuer=resolved.issuer,
            recorded=resolved.recorded,
            device=resolved.device_idx,
            task=task,
        )
        service = np.empty(batch.num_rows, np.int64)
        self._services.fill(columns, service)
        self._n_rows += batch.num_rows
        return Part(columns, service)


def _in_row_order(
    trace: Rows,
    binding: Binding,
    batch_rows: int | None,
    caught: Caught | None,
) -> Iterator[Part]:
    feed = RowFeed(binding, caught)
    for batch in trace.batches(batch_rows):
        yield feed.part(batch)


def _arrival(queue: NDArray[np.int64], issue: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return when rows are queued, or issued where that was not seen."""
    return np.where(queue < 0, issue, queue)


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


def _in_queue_order(in_order: Iterator[Part], bounds: list[int]) -> Iterator[Part]:
    """Sort rows, which come by their issue, by their queueing.

    Only what may still be overtaken is held back: the trace's own reordering.
    """
    held: Part | None = None
    for part, bound in zip(in_order, bounds, strict=True):
        joined = part if held is None else _join(held, part)
        columns = joined.columns
        arrival = _arrival(columns.queue_ns, columns.issue_ns)
        order = np.lexsort((columns.row, arrival))
        n_ready = int(np.searchsorted(arrival[order], bound, side="left"))
        if n_ready:
            yield joined.take(order[:n_ready])
        held = joined.take(order[n_ready:])


def _join(a: Part, b: Part) -> Part:
    return Part(
        Columns(
            **{
                name: np.concatenate(
                    [getattr(a.columns, name), getattr(b.columns, name)]
                )
                for name in Columns.__struct_fields__
            }
        ),
        np.concatenate([a.service_ns, b.service_ns]),
    )


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
