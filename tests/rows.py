"""Rows of a trace made by hand, for tests that need no recording."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from replay.trace.file.metadata import Metadata, Quality, SourceFile, Summary
from replay.trace.file.schema import (
    NOT_SEEN_NS,
    OP_CODES,
    OPS,
    SCHEMA_VERSION,
    TRACE_SCHEMA,
)

DEFAULTS: dict[str, Any] = {
    "queue_ns": 0,
    "issue_ns": None,
    "complete_ns": None,
    "device": 7 << 20,
    "sector": 0,
    "nbytes": 4096,
    "n_bios": 1,
    "op": "write",
    "flags": 0,
    "cgroup": 23,
    "pid": 100,
    "cpu": 0,
    "error": 0,
}


def batch_of(rows: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    """Make a batch as the decoder does: -1 in the value slot of a null time."""
    columns = []
    for field in TRACE_SCHEMA:
        values = [row.get(field.name, DEFAULTS[field.name]) for row in rows]
        if field.name == "op":
            codes = pa.array([OP_CODES[value] for value in values], pa.int8())
            columns.append(pa.DictionaryArray.from_arrays(codes, list(OPS)))
        elif field.name.endswith("_ns"):
            seen = np.array([value is not None for value in values], bool)
            slots = [NOT_SEEN_NS if value is None else value for value in values]
            buffers = [
                pa.py_buffer(np.packbits(seen, bitorder="little").tobytes()),
                pa.py_buffer(np.array(slots, np.int64).tobytes()),
            ]
            columns.append(pa.Array.from_buffers(pa.int64(), len(values), buffers))
        else:
            columns.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=TRACE_SCHEMA)


class FakeRows:
    """Batches that were decoded beforehand; may fail after the last one."""

    def __init__(
        self, batches: Sequence[pa.RecordBatch], error: BaseException | None = None
    ) -> None:
        self._batches = batches
        self._error = error
        self.bytes_read = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.bytes_read += batch.num_rows
            yield batch
        if self._error is not None:
            raise self._error

    @property
    def summary(self) -> Summary:
        return summary_of(sum(batch.num_rows for batch in self._batches))


def summary_of(n_rows: int, **changes: Any) -> Summary:
    fields: dict[str, Any] = {
        "start_ns": 1000,
        "end_ns": 2_000_001_000,
        "wall_clock_ns": 1_700_000_000_000_000_001,
        "n_rows": n_rows,
        "devices": [],
        "cgroups": [],
        "processes": [],
        "messages": [],
        "quality": Quality(),
    }
    return Summary(**{**fields, **changes})


def metadata_of(summary: Summary) -> Metadata:
    return Metadata(
        schema_version=SCHEMA_VERSION,
        writer="test 1",
        sources=[SourceFile(path="dir/loop0.blktrace.0", nbytes=10)],
        summary=summary,
    )
