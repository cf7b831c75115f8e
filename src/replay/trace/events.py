"""Write every record of blktrace captures as a row: ``replay convert --events``."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from replay.common.errors import OutputError, TraceError
from replay.common.output import check_target, place_of, replacing
from replay.common.version import WRITER
from replay.trace.blktrace.captures import CaptureBatches
from replay.trace.blktrace.event_rows import (
    BATCH_ROWS,
    fill_batch,
    write_arrow,
    write_parquet,
)
from replay.trace.file.metadata import Metadata
from replay.trace.file.read import Progress
from replay.trace.file.schema import SCHEMA_VERSION
from replay.trace.formats.magic import BLKTRACE
from replay.trace.formats.options import FormatOptions
from replay.trace.formats.registry import choose_format
from replay.trace.inputs.find import opened_inputs, source_file
from replay.trace.rows import Disordered


def convert_events(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    to: str = "arrow",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Metadata:
    """Write every record of blktrace captures as a row.

    Parameters
    ----------
    inputs : path or sequence of paths
        As for `convert`; blktrace's records only.
    output : str or Path
        The file to make; it appears whole or not at all.
    to : str
        ``"arrow"`` or ``"parquet"``.
    overwrite : bool
        Whether an existing output may be replaced.
    progress : callable or None
        Told of bytes read and bytes in all.

    Returns
    -------
    Metadata
        What stands in the file, too; its summary's ``n_rows`` counts the records.

    Raises
    ------
    TraceError
        An input does not exist, or is not blktrace's records.
    OutputError
        The output exists already, is one of the inputs, or cannot be written.
    """
    if to not in ("arrow", "parquet"):
        raise ValueError(f"to: {to!r} is neither 'arrow' nor 'parquet'")
    target = place_of(output)
    check_target(target, output, overwrite=overwrite)
    with opened_inputs(inputs, None) as (found, spool):
        if any(target == path.resolve() for path in found.traces):
            raise OutputError(f"{output}: is one of the inputs: name another output")
        format_ = choose_format(found.traces, FormatOptions())
        if format_ != BLKTRACE:
            raise TraceError(
                f"{found.traces[0]}: is {format_}: only blktrace's records have events"
            )
        sources = [source_file(path, spool) for path in found.traces]
        total = sum(one.nbytes for one in sources)
        if total == 0:
            raise TraceError(f"{found.traces[0]}: is empty: there is nothing to read")
        capture = CaptureBatches(found.traces, batch_rows=BATCH_ROWS)

        def finish() -> Metadata:
            return Metadata(
                schema_version=SCHEMA_VERSION,
                writer=WRITER,
                sources=sources,
                summary=capture.summary,
            )

        def rows() -> Iterator[pa.RecordBatch]:
            for batch in capture.events(fill_batch):
                yield batch
                if progress is not None:
                    progress(capture.bytes_read, total)

        write = write_parquet if to == "parquet" else write_arrow
        with replacing(output, overwrite=overwrite) as temporary:
            try:
                write(temporary, rows(), finish)
            except Disordered:
                capture.sort_on_disk()
                write(temporary, rows(), finish)
        return finish()
