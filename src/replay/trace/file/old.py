"""Trace files of older versions, read as if they were of this one."""

from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

from replay.trace.file.metadata import Metadata
from replay.trace.file.schema import NOT_SEEN_NS, SCHEMA_VERSION, TRACE_SCHEMA

#: Columns of a version. Version 1 had no time of a second issue.
OLD_SCHEMAS: Final = {
    1: pa.schema([one for one in TRACE_SCHEMA if one.name != "last_issue_ns"])
}
#: Stands in the notes of a file that lacks what this version has.
NO_LAST_ISSUE: Final = (
    "the trace file is of version 1, which does not hold when requests that the "
    "device gave back were issued again: convert the recording again"
)


def as_now(batch: pa.RecordBatch, version: int) -> pa.RecordBatch:
    """Return a batch with the columns of `TRACE_SCHEMA`.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
        With the columns of its version.
    version : int

    Returns
    -------
    pyarrow.RecordBatch
        The same batch if it is of this version; the columns that its version lacks
        are null.
    """
    if version == SCHEMA_VERSION:
        return batch
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    n_rows = batch.num_rows
    unseen = pa.Array.from_buffers(
        pa.int64(),
        n_rows,
        [
            pa.py_buffer(bytes((n_rows + 7) // 8)),
            pa.py_buffer(np.full(n_rows, NOT_SEEN_NS, np.int64)),
        ],
    )
    return pa.RecordBatch.from_arrays(
        [columns.get(one.name, unseen) for one in TRACE_SCHEMA], schema=TRACE_SCHEMA
    )


def updated(metadata: Metadata) -> Metadata:
    """Return metadata of an older version with a note on what that lacks.

    Parameters
    ----------
    metadata : Metadata

    Returns
    -------
    Metadata
        The same if nothing is missing.
    """
    summary = metadata.summary
    if metadata.schema_version == SCHEMA_VERSION or not summary.quality.requeues:
        return metadata
    notes = [*summary.notes, NO_LAST_ISSUE]
    return msgspec.structs.replace(
        metadata, summary=msgspec.structs.replace(summary, notes=notes)
    )
