"""Open inputs with the reader of their format."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from replay.trace.blktrace.captures import CaptureBatches
from replay.trace.formats.magic import BLKTRACE, is_blktrace
from replay.trace.formats.options import FormatOptions
from replay.trace.inputs.unpack import read_head
from replay.trace.rows import RowStream


def open_rows(
    paths: Sequence[Path],
    options: FormatOptions,
    *,
    batch_rows: int,
    on_read: Callable[[], None] | None = None,
    paths_of_ids: Mapping[int, str] | None = None,
) -> RowStream:
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
    paths_of_ids : mapping of int to str, or None
        Paths of the kernel's cgroup ids, for columns that hold such.

    Returns
    -------
    RowStream

    Raises
    ------
    TraceError
        The format cannot be told, or is not the one that the user said.
    """
    if options == FormatOptions() and _are_blktrace(paths):
        return CaptureBatches(paths, batch_rows=batch_rows)
    # the others' readers: not imported for nothing
    from replay.trace.formats.reader import FormatBatches
    from replay.trace.formats.registry import BLKPARSE, BY_NAME, KERNEL, choose_format

    name = choose_format(paths, options)
    if name == BLKTRACE:
        return CaptureBatches(paths, batch_rows=batch_rows)
    # an empty file says nothing in any format
    filled = [path for path in paths if path.stat().st_size]
    if name in (BLKPARSE, KERNEL):
        from replay.trace.text import kinds
        from replay.trace.text.batches import TextBatches
        from replay.trace.text.blkparse import given_kind

        pattern = options.blkparse_format
        kind = kinds.KERNEL if name == KERNEL else kinds.BLKPARSE
        if pattern is not None:
            kind = given_kind(pattern)
        return TextBatches(filled, kind, batch_rows=batch_rows, on_read=on_read)
    return FormatBatches(
        filled,
        BY_NAME[name],
        options,
        batch_rows=batch_rows,
        paths_of_ids=paths_of_ids,
    )


def _are_blktrace(paths: Sequence[Path]) -> bool:
    """Return True if all that is not empty surely holds blktrace's records."""
    heads = [head for head in map(read_head, paths) if head]
    return bool(heads) and all(map(is_blktrace, heads))
