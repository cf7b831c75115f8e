"""Generated requests as a trace file, without the way through records."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.lanes import Lanes, Requests
from benchmarks.records import WALL_CLOCK_S
from benchmarks.shape import (
    Shape,
    cgroup_id,
    cgroup_path,
    device_of,
    process_name,
    process_pid,
)
from replay.trace.file.metadata import (
    Cgroup,
    Device,
    Metadata,
    Process,
    ProcessName,
    Quality,
    Summary,
)
from replay.trace.file.schema import OPS, SCHEMA_VERSION, TRACE_SCHEMA
from replay.trace.file.write import write_trace
from replay.trace.rows import RowStream

BATCH_ROWS: Final = 1 << 16
#: The decoder keeps this many names.
MAX_NAMES: Final = 1 << 16
NEVER: Final = np.iinfo(np.int64).max


class GeneratedRows(RowStream):
    """A generated trace's rows in batches, as `BlktraceBatches` gives them.

    Parameters
    ----------
    shape : Shape
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._lanes = Lanes(shape)
        self.end_ns = 0
        # requests, bios and bytes
        self._cgroups = np.zeros((3, shape.cgroups), np.int64)
        self._devices = np.zeros(shape.devices, np.int64)
        self._processes = np.zeros(shape.n_processes, np.int64)
        self._first_ns = np.full(shape.n_processes, NEVER)
        self._last_ns = np.full(shape.n_processes, -1, np.int64)
        self._n_merged = 0
        self._n_plugged = 0

    @property
    def bytes_read(self) -> int:
        """None: there is no input."""
        return 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Make the rows, in the order of their issue."""
        parts: list[dict[str, NDArray[np.generic]]] = []
        for requests, watermark in self._lanes.chunks():
            parts.append(self._columns(requests))
            n_held = sum(len(part["issue_ns"]) for part in parts)
            if n_held < 2 * BATCH_ROWS and watermark != NEVER:
                continue
            columns = {
                name: np.concatenate([part[name] for part in parts])
                for name in parts[0]
            }
            order = np.argsort(columns["issue_ns"])
            limit = watermark - self._lanes.start_ns
            n_ready = int(np.searchsorted(columns["issue_ns"], limit, sorter=order))
            # whole batches, and what is left at the end
            if watermark != NEVER:
                n_ready -= n_ready % BATCH_ROWS
            for first in range(0, n_ready, BATCH_ROWS):
                end = min(first + BATCH_ROWS, n_ready)
                yield _batch(columns, order[first:end])
            rest = order[n_ready:]
            parts = [{name: values[rest] for name, values in columns.items()}]

    def _columns(self, r: Requests) -> dict[str, NDArray[np.generic]]:
        self._count(r)
        start_ns = self._lanes.start_ns
        tagged = self._shape.tagged
        return {
            "queue_ns": r.queue_ns - start_ns,
            "issue_ns": r.issue_ns - start_ns,
            "complete_ns": r.complete_ns - start_ns,
            "last_issue_ns": np.full(len(r), -1, np.int64),
            "device": r.devices.astype(np.uint32),
            "sector": r.sector.astype(np.uint64),
            "nbytes": r.nbytes.astype(np.uint32),
            "n_bios": r.n_bios.astype(np.uint32),
            "op": r.op,
            "flags": r.flags,
            "cgroup": (r.cgroup_ids if tagged else 0 * r.cgroup).astype(np.uint64),
            "pid": r.pids.astype(np.int32),
            "cpu": r.cpu.astype(np.uint16),
            "error": np.zeros(len(r), np.int32),
        }

    def _count(self, r: Requests) -> None:
        self.end_ns = max(self.end_ns, int(r.complete_ns.max()))
        for row, weights in enumerate((np.ones_like(r.nbytes), r.n_bios, r.nbytes)):
            np.add.at(self._cgroups[row], r.cgroup, weights)
        np.add.at(self._devices, r.device, 1)
        np.add.at(self._processes, r.process, 1)
        start_ns = self._lanes.start_ns
        np.minimum.at(self._first_ns, r.process, r.queue_ns - start_ns)
        np.maximum.at(self._last_ns, r.process, r.complete_ns - start_ns)
        self._n_merged += int(r.merged.sum())
        self._n_plugged += int(r.plugged.sum())

    @property
    def summary(self) -> Summary:
        """What the decoder would learn of the records."""
        shape = self._shape
        return Summary(
            start_ns=self._lanes.start_ns,
            end_ns=self.end_ns,
            wall_clock_ns=WALL_CLOCK_S * 1_000_000_000 + 2,
            n_rows=shape.requests,
            devices=[
                Device(device=device_of(device), n_requests=n)
                for device, n in enumerate(self._devices.tolist())
                if n
            ],
            cgroups=self._cgroup_list(),
            processes=self._process_list(),
            messages=[],
            quality=self._quality(),
        )

    def _cgroup_list(self) -> list[Cgroup]:
        if not self._shape.tagged:
            n_requests, n_bios, nbytes = self._cgroups.sum(axis=1).tolist()
            return [Cgroup(id=0, n_requests=n_requests, n_bios=n_bios, nbytes=nbytes)]
        return [
            Cgroup(
                id=cgroup_id(cgroup),
                n_requests=n_requests,
                n_bios=n_bios,
                nbytes=nbytes,
                path=cgroup_path(cgroup),
            )
            for cgroup, (n_requests, n_bios, nbytes) in enumerate(
                self._cgroups.T.tolist()
            )
            if n_requests
        ]

    def _process_list(self) -> list[Process]:
        processes = []
        for process, n in enumerate(self._processes.tolist()):
            names = [ProcessName(time_ns=0, name=process_name(process))]
            if process >= MAX_NAMES:
                names = []
            if n or names:
                processes.append(
                    Process(
                        pid=process_pid(process),
                        names=names,
                        n_requests=n,
                        first_ns=int(self._first_ns[process]) if n else None,
                        last_ns=int(self._last_ns[process]) if n else None,
                    )
                )
        return processes

    def _quality(self) -> Quality:
        shape = self._shape
        events = {
            "Q": shape.requests + self._n_merged,
            "M": self._n_merged,
            "G": shape.requests,
            "D": shape.requests,
            "C": shape.requests,
            "P": self._n_plugged,
            "U": self._n_plugged,
            "I": shape.requests,
        }
        notes = {"process": shape.n_processes, "timestamp": shape.devices}
        return Quality(
            records=sum(events.values()) + sum(notes.values()),
            events={letter: n for letter, n in events.items() if n},
            notes=notes,
            names_dropped=max(0, shape.n_processes - MAX_NAMES),
        )


def write_rows(shape: Shape, output: Path) -> Summary:
    """Write the trace file of a shape.

    Parameters
    ----------
    shape : Shape
    output : Path
        Must not exist.

    Returns
    -------
    Summary
        As in the file.
    """
    rows = GeneratedRows(shape)

    def describe(summary: Summary) -> Metadata:
        return Metadata(
            schema_version=SCHEMA_VERSION,
            writer="replay benchmarks",
            sources=[],
            summary=summary,
        )

    write_trace(output, rows, describe)
    return rows.summary


def _batch(
    columns: dict[str, NDArray[np.generic]], order: NDArray[np.intp]
) -> pa.RecordBatch:
    arrays = []
    for field in TRACE_SCHEMA:
        slots: Any = columns[field.name][order]
        # -1 stands in the value slot of a time that was not seen
        mask = slots < 0 if field.name.endswith("_ns") else None
        values = pa.array(slots, mask=mask)
        if field.name == "op":
            values = pa.DictionaryArray.from_arrays(values, pa.array(OPS))
        if field.name == "last_issue_ns":
            # issued once: null, with -1 in the slot
            nothing = pa.array(np.zeros(len(order), np.bool_)).buffers()[1]
            values = pa.Array.from_buffers(
                field.type, len(order), [nothing, values.buffers()[1]], len(order)
            )
        arrays.append(values)
    return pa.RecordBatch.from_arrays(arrays, schema=TRACE_SCHEMA)
