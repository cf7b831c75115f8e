"""Rows of a trace: those that are read once, and those that can be read again."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from replay.trace.file.metadata import Metadata, Summary


class Disordered(Exception):
    """A row is older than one that has left: the rows must be sorted on disk."""


class RowStream(Protocol):
    """Rows that a reader makes while they are iterated over.

    What inherits this sets ``_summary`` to None when an iteration begins, and to what
    was learned when it has ended.
    """

    _summary: "Summary | None" = None

    def __iter__(self) -> "Iterator[pa.RecordBatch]":
        """Read from the start.

        Yields
        ------
        pyarrow.RecordBatch
            Of `TRACE_SCHEMA`, rows in the trace file's order.

        Raises
        ------
        TraceError
            The input is damaged, or not of the format.
        Disordered
            Call `sort_on_disk` and iterate again.
        """
        ...

    @property
    def bytes_read(self) -> int:
        """Bytes of input that are done with in this iteration."""
        ...

    @property
    def summary(self) -> "Summary":
        """The facts learned; known when an iteration has ended.

        Raises
        ------
        RuntimeError
            No iteration has ended.
        """
        if self._summary is None:
            raise RuntimeError("the summary is known after the last batch")
        return self._summary

    def use_threads(self, threads: int) -> None:
        """Decode in so many threads at once, where it can be done; 1 at first.

        The rows are the same. Of a reader that has one thread it changes nothing.
        """
        return

    def sort_on_disk(self) -> None:
        """Have the next iteration sort rows that are in any disorder.

        Of a reader whose iterations never raise `Disordered` it changes nothing.
        """
        return


class Rows(Protocol):
    """Rows that can be read as often as one likes, with what is known of them."""

    @property
    def path(self) -> Path:
        """The trace's name."""
        ...

    @property
    def metadata(self) -> "Metadata":
        """The trace's metadata."""
        ...

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        ...

    def batches(self, batch_rows: int | None = None) -> "Iterator[pa.RecordBatch]":
        """Go through all rows in their order, each time from the first on.

        Parameters
        ----------
        batch_rows : int or None
            Rows of a batch at most; by default as they lie.
        """
        ...


def sliced(
    batches: "Iterable[pa.RecordBatch]", batch_rows: int | None
) -> "Iterator[pa.RecordBatch]":
    """Cut batches into smaller ones, without copying.

    Parameters
    ----------
    batches : iterable of RecordBatch
    batch_rows : int or None
        Rows of a batch at most; None leaves them as they are.

    Yields
    ------
    pyarrow.RecordBatch
        At least one row.
    """
    for batch in batches:
        step = batch_rows or max(batch.num_rows, 1)
        for start in range(0, batch.num_rows, step):
            yield batch.slice(start, step)
