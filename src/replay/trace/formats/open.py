"""Open inputs with the reader of their format."""

import mmap
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa

from replay.trace.blkparse import BlkparseBatches
from replay.trace.blktrace import BlktraceBatches, Source
from replay.trace.formats.base import FormatOptions
from replay.trace.formats.batches import FormatBatches
from replay.trace.formats.registry import BLKPARSE, BLKTRACE, BY_NAME, choose_format
from replay.trace.inputs import map_file
from replay.trace.metadata import Summary
from replay.trace.unpack import Unpacked

if TYPE_CHECKING:
    from typing_extensions import Buffer

COPY_BYTES: Final = 1 << 20


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


class _Blktrace(BlktraceBatches):
    """Blktrace records: the merge puts them in order, whatever it takes."""

    def sort_on_disk(self) -> None:
        """Do nothing."""


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
        sources = [Source(name=str(path), data=_bytes_of(path)) for path in paths]
        return _Blktrace(sources, batch_rows=batch_rows)
    # an empty file says nothing in any format
    filled = [path for path in paths if path.stat().st_size]
    if name == BLKPARSE:
        pattern = options.blkparse_format
        return _Blkparse(filled, pattern, batch_rows=batch_rows, on_read=on_read)
    return FormatBatches(filled, BY_NAME[name], options, batch_rows=batch_rows)


def _bytes_of(path: Path) -> "Buffer":
    """Map a file; what is compressed, from a temporary file without a name."""
    with Unpacked(path) as file:
        if file.codec is None:
            return map_file(path)
        with tempfile.TemporaryFile() as plain:
            while part := file.read(COPY_BYTES):
                plain.write(part)
            plain.flush()
            if plain.tell() == 0:
                return b""
            return mmap.mmap(plain.fileno(), 0, access=mmap.ACCESS_READ)
