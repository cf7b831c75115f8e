"""Traces made by hand: batches with the trace file's columns, and their metadata."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    Summary,
)
from replay.trace.file.schema import OP_CODES, OPS, TRACE_SCHEMA, device_number

LOOP = device_number("7:0")
DISK = device_number("254:32")

#: A row that says nothing special: a write of dd (143) in the cgroup with id 23.
ROW: dict[str, Any] = {
    "queue_ns": 0,
    "issue_ns": 10,
    "complete_ns": 20,
    "device": LOOP,
    "sector": 0,
    "nbytes": 4096,
    "n_bios": 1,
    "op": "write",
    "flags": 0,
    "cgroup": 23,
    "pid": 143,
    "cpu": 0,
    "error": 0,
}


def make_batch(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """Make a batch; each row says only how it differs from `ROW`."""
    arrays = []
    for field in TRACE_SCHEMA:
        values = [row.get(field.name, ROW[field.name]) for row in rows]
        if field.name == "op":
            codes = pa.array([OP_CODES[value] for value in values], pa.int8())
            arrays.append(pa.DictionaryArray.from_arrays(codes, pa.array(OPS)))
        elif field.name.endswith("_ns"):
            # -1 stands in the value slot of a time that was not seen
            slots = np.array(values, dtype=np.int64)
            arrays.append(pa.array(slots, mask=slots < 0))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=TRACE_SCHEMA)


@dataclass
class FakeTrace:
    """An opened trace; counts how often its rows are read."""

    metadata: Metadata
    rows: list[pa.RecordBatch]
    n_reads: int = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        self.n_reads += 1
        return iter(self.rows)


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
        As in `make_batch`.
    paths : mapping of int to str
        Known paths of cgroup ids.
    names : mapping of int to sequence of (int, str)
        Names of pids, each from a time on; default: every pid is dd.
    batch_rows : int
    volumes : mapping of int to str
        Names of devices that have one.
    """
    paths = {1: "/", 23: "/test.slice"} if paths is None else paths
    ids = [row.get("cgroup", ROW["cgroup"]) for row in rows]
    pids = [row.get("pid", ROW["pid"]) for row in rows]
    devices = [row.get("device", ROW["device"]) for row in rows]
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
            make_batch(rows[start : start + batch_rows])
            for start in range(0, len(rows), batch_rows)
        ],
    )
