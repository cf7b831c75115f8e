"""Open inputs with the reader of their format."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from replay.trace.blkparse import BlkparseBatches
from replay.trace.captures import CaptureBatches
from replay.trace.formats.base import FormatOptions
from replay.trace.formats.batches import FormatBatches
from replay.trace.formats.registry import BLKPARSE, BLKTRACE, BY_NAME, choose_format
from replay.trace.metadata import Summary


class Opened(Protocol):
    """Rows of a trace file, read while they are iterated over."""

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield record batches, or raise `Disordered`."""
        ...

    @property
    def bytes_read(self) -> int:
        """Bytes of input that are done with."""
        ...

    @property
    def summary(self) -> Summary:
        """What was learned; valid after the last batch."""
        ...

    def sort_on_disk(self) -> None:
        """Read rows in any disorder next time."""
        ...


class _Blkparse(BlkparseBatches):
    """Text of blkparse: as its records."""

    def sort_on_disk(self) -> None:
        """Do nothing."""


def open_rows(
    paths: Sequence[Path],
    options: FormatOptions,
    *,
    batch_rows: int,
    on_read: Callable[[], None] | None = None,
) -> Opened:
    """Find the inputs' format and make its reader.

    Parameters
    ----------
    paths : sequence of Path
        At least one file, not all empty.
    options : FormatOptions
        What the user said.
    batch_rows : int
        Rows of a batch.
    on_read : callable or None
        Called now and then before the first batch comes.

    Returns
    -------
    Opened

    Raises
    ------
    TraceError
        The format cannot be told, or is not the one that the user said.
    """
    name = choose_format(paths, options)
    if name == BLKTRACE:
        return CaptureBatches(paths, batch_rows=batch_rows)
    # an empty file says nothing in any format
    filled = [path for path in paths if path.stat().st_size]
    if name == BLKPARSE:
        pattern = options.blkparse_format
        return _Blkparse(filled, pattern, batch_rows=batch_rows, on_read=on_read)
    return FormatBatches(filled, BY_NAME[name], options, batch_rows=batch_rows)
