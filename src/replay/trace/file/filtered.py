"""The rows of a trace that pass filters, as rows to write."""

import errno
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay.trace.file.batch import N_TIMES, batch_of
from replay.trace.file.filters import Filters, RowFilter
from replay.trace.file.metadata import Summary
from replay.trace.file.read import Trace, column_values
from replay.trace.file.schema import NOT_SEEN_NS, TRACE_SCHEMA
from replay.trace.rows import RowStream


@dataclass
class _FilteredSums:
    """Of one cgroup, device or process."""

    n_requests: int = 0
    n_bios: int = 0
    nbytes: int = 0
    first_ns: int = 0
    last_ns: int = 0


@dataclass
class _Tally:
    """Sums over the rows, by one column."""

    sums: dict[int, _FilteredSums] = field(default_factory=dict)

    def add(self, values: NDArray[Any], columns: dict[str, NDArray[Any]]) -> None:
        ids, place = np.unique(values, return_inverse=True)
        count = np.bincount(place, minlength=len(ids))
        # exact: floating point holds a batch's sums
        bios = np.bincount(place, columns["n_bios"], len(ids))
        nbytes = np.bincount(place, columns["nbytes"], len(ids))
        first = np.full(len(ids), np.iinfo(np.int64).max)
        last = np.full(len(ids), -1)
        np.minimum.at(first, place, columns["first_ns"])
        np.maximum.at(last, place, columns["last_ns"])
        for index, one in enumerate(ids.tolist()):
            sums = self.sums.get(one)
            if sums is None:
                sums = self.sums[one] = _FilteredSums(first_ns=int(first[index]))
            sums.n_requests += int(count[index])
            sums.n_bios += int(bios[index])
            sums.nbytes += int(nbytes[index])
            sums.first_ns = min(sums.first_ns, int(first[index]))
            sums.last_ns = max(sums.last_ns, int(last[index]))


class FilteredRows(RowStream):
    """Rows of a trace that pass filters; the clock stays the trace's.

    Parameters
    ----------
    trace : Trace
        Open as long as the rows are read.
    filters : Filters

    Raises
    ------
    TraceError
        A filter cannot be understood, or names what is not in the trace.
    """

    def __init__(self, trace: Trace, filters: Filters) -> None:
        self._trace = trace
        self._filters = filters
        self._wanted = RowFilter(filters, trace.metadata.summary)
        self.n_done = 0

    @property
    def bytes_read(self) -> int:
        """Rows that are done with."""
        return self.n_done

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Go through the trace's rows."""
        self._summary = None
        tallies = {name: _Tally() for name in ("device", "cgroup", "pid")}
        left_out: Counter[str] = Counter()
        counts = Counter(rows=0, bios=0, unfinished=0, never_issued=0)
        self.n_done = 0
        for batch in self._trace.batches():
            passed = np.ones(batch.num_rows, np.bool_)
            for name, mask in self._wanted.masks(batch):
                left_out[name] += int(np.count_nonzero(passed & ~mask))
                passed &= mask
            self.n_done += batch.num_rows
            n_bios = column_values(batch.column("n_bios"))
            counts["bios"] += int(n_bios[~passed].sum(dtype=np.int64))
            if not passed.any():
                continue
            columns = {
                field.name: column_values(column)[passed]
                for field, column in zip(TRACE_SCHEMA, batch.columns, strict=True)
            }
            _count(columns, counts)
            for name, tally in tallies.items():
                tally.add(columns[name], columns)
            yield batch_of(columns)
        self._summary = self._summarise(tallies, left_out, counts)

    def _summarise(
        self, tallies: dict[str, _Tally], left_out: Counter[str], counts: Counter[str]
    ) -> Summary:
        """Make the summary of what passed."""
        whole = self._trace.metadata.summary
        devices, cgroups, pids = (tallies[name].sums for name in tallies)
        quality = whole.quality
        filtered = Counter(quality.filtered) + left_out
        replace = msgspec.structs.replace
        return replace(
            whole,
            n_rows=counts["rows"],
            devices=[
                replace(one, n_requests=devices[one.device].n_requests)
                for one in whole.devices
                if one.device in devices
            ],
            cgroups=[
                replace(
                    one,
                    n_requests=cgroups[one.id].n_requests,
                    n_bios=cgroups[one.id].n_bios,
                    nbytes=cgroups[one.id].nbytes,
                )
                for one in whole.cgroups
                if one.id in cgroups
            ],
            processes=[
                replace(
                    one,
                    n_requests=pids[one.pid].n_requests,
                    first_ns=pids[one.pid].first_ns,
                    last_ns=pids[one.pid].last_ns,
                )
                for one in whole.processes
                if one.pid in pids
            ],
            quality=replace(
                quality,
                # a format that knows no completion counts none as missing
                unfinished=counts["unfinished"] if quality.unfinished else 0,
                never_issued=counts["never_issued"],
                filtered={name: n for name, n in filtered.items() if n},
                filtered_bios=quality.filtered_bios + counts["bios"],
                errors=errors_by_name(counts),
            ),
            window=self._wanted.window(whole.window),
            layers=[pair for pair in whole.layers if devices.keys() >= {*pair}],
            notes=[
                *whole.notes,
                f"Filtered by {self._filters.text()}: {counts['rows']:,} of"
                f" {whole.n_rows:,} requests; times count from the recording's start.",
            ],
        )


def _count(columns: dict[str, NDArray[Any]], counts: Counter[str]) -> None:
    """Count rows that passed; add what the tallies need."""
    queue, issue, complete = (columns[field.name] for field in _TIMES[:3])
    columns["first_ns"] = np.where(queue < 0, issue, queue)
    columns["last_ns"] = np.maximum(np.maximum(queue, issue), complete)
    open_ = complete == NOT_SEEN_NS
    counts["rows"] += len(queue)
    counts["unfinished"] += int(np.count_nonzero(open_ & (issue >= 0)))
    counts["never_issued"] += int(np.count_nonzero(open_ & (issue < 0)))
    failed = columns["error"]
    if failed.any():
        numbers, n_rows = np.unique(failed[failed != 0], return_counts=True)
        for number, n in zip(numbers.tolist(), n_rows.tolist(), strict=True):
            counts[f"errno {-number}"] += n


def errors_by_name(counts: Counter[str]) -> dict[str, int]:
    """Pick the counts of errors, and name them."""
    numbers = sorted(
        int(name.removeprefix("errno ")) for name in counts if name.startswith("errno ")
    )
    return {
        errno.errorcode.get(one, str(one)): counts[f"errno {one}"] for one in numbers
    }


_TIMES = [TRACE_SCHEMA.field(index) for index in range(N_TIMES)]
