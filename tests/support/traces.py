"""Traces made of rows by hand: batches, opened traces, and their metadata."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from replay.trace.file.metadata import (
    Cgroup,
    Device,
    Metadata,
    Process,
    ProcessName,
    Quality,
    SourceFile,
    Summary,
)
from replay.trace.file.schema import (
    NOT_SEEN_NS,
    OP_CODES,
    OPS,
    SCHEMA_VERSION,
    TRACE_SCHEMA,
    device_number,
)
from replay.trace.rows import RowStream, sliced

LOOP = device_number("7:0")
DISK = device_number("254:32")

#: A row that says nothing special: a write in the cgroup with id 23, seen at its queue.
ROW: dict[str, Any] = {
    "queue_ns": 0,
    "issue_ns": None,
    "complete_ns": None,
    "last_issue_ns": None,
    "device": LOOP,
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
#: Such a write of dd (143), served.
SERVED = ROW | {"issue_ns": 10, "complete_ns": 20, "pid": 143}


def batch_of(
    rows: Sequence[Mapping[str, Any]], usual: Mapping[str, Any] = ROW
) -> pa.RecordBatch:
    """Make a batch as the decoder does: -1 in the value slot of a null time.

    Each row says only how it differs from the usual one; None or -1 is a time that was
    not seen.
    """
    columns = []
    for field in TRACE_SCHEMA:
        values = [row.get(field.name, usual[field.name]) for row in rows]
        if field.name == "op":
            codes = pa.array([OP_CODES[value] for value in values], pa.int8())
            columns.append(pa.DictionaryArray.from_arrays(codes, list(OPS)))
        elif field.name.endswith("_ns"):
            slots = [NOT_SEEN_NS if value is None else value for value in values]
            seen = np.array([slot != NOT_SEEN_NS for slot in slots], bool)
            buffers = [
                pa.py_buffer(np.packbits(seen, bitorder="little").tobytes()),
                pa.py_buffer(np.array(slots, np.int64).tobytes()),
            ]
            columns.append(pa.Array.from_buffers(pa.int64(), len(values), buffers))
        else:
            columns.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=TRACE_SCHEMA)


@dataclass
class FakeTrace:
    """An opened trace; counts how often its rows are read."""

    metadata: Metadata
    rows: list[pa.RecordBatch]
    path: Path = Path("made")
    n_reads: int = 0

    @property
    def n_rows(self) -> int:
        return sum(batch.num_rows for batch in self.rows)

    def batches(self, batch_rows: int | None = None) -> Iterator[pa.RecordBatch]:
        self.n_reads += 1
        return sliced(self.rows, batch_rows)


def make_trace(
    rows: Sequence[Mapping[str, Any]] = ({},),
    *,
    paths: Mapping[int, str] | None = None,
    names: Mapping[int, Sequence[tuple[int, str]]] | None = None,
    batch_rows: int = 1 << 16,
    volumes: Mapping[int, str] | None = None,
) -> FakeTrace:
    """Make a trace of rows, with the metadata that its conversion would give it.

    Parameters
    ----------
    rows : sequence of mapping
        As in `batch_of`; each differs from `SERVED`.
    paths : mapping of int to str
        Known paths of cgroup ids.
    names : mapping of int to sequence of (int, str)
        Names of pids, each from a time on; default: every pid is dd.
    batch_rows : int
    volumes : mapping of int to str
        Names of devices that have one.
    """
    paths = {1: "/", 23: "/test.slice"} if paths is None else paths
    ids = [row.get("cgroup", SERVED["cgroup"]) for row in rows]
    pids = [row.get("pid", SERVED["pid"]) for row in rows]
    devices = [row.get("device", SERVED["device"]) for row in rows]
    if names is None:
        names = {pid: [(0, "dd")] for pid in pids}
    summary = Summary(
        start_ns=0,
        end_ns=1000,
        wall_clock_ns=None,
        n_rows=len(rows),
        devices=[
            Device(
                device=device,
                n_requests=devices.count(device),
                volume=(volumes or {}).get(device),
            )
            for device in sorted(set(devices))
        ],
        cgroups=[
            Cgroup(
                id=id_,
                n_requests=ids.count(id_),
                n_bios=ids.count(id_),
                nbytes=0,
                path=paths.get(id_),
            )
            for id_ in sorted(set(ids))
        ],
        processes=[
            Process(
                pid=pid,
                names=[
                    ProcessName(time_ns=time, name=name)
                    for time, name in names.get(pid, ())
                ],
                n_requests=pids.count(pid),
            )
            for pid in sorted({*pids, *names})
        ],
        messages=[],
        quality=Quality(),
    )
    return FakeTrace(
        Metadata(schema_version=1, writer="test", sources=[], summary=summary),
        [
            batch_of(rows[start : start + batch_rows], SERVED)
            for start in range(0, len(rows), batch_rows)
        ],
    )


class FakeRows(RowStream):
    """Batches that were decoded beforehand; may fail after the last one."""

    def __init__(
        self, batches: Sequence[pa.RecordBatch], error: BaseException | None = None
    ) -> None:
        self._batches = batches
        self._error = error
        self._n_done = 0

    @property
    def bytes_read(self) -> int:
        return self._n_done

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self._n_done += batch.num_rows
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
