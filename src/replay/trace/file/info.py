"""The facts on a trace that ``replay info`` shows.

`TraceInfo`, as JSON, is what ``replay info --json`` prints. Its keys are stable: new
ones may come, none changes its meaning while ``schema_version`` stays.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.common.shown import Shown
from replay.trace.file.metadata import Cgroup, Message, Process, Quality, SourceFile
from replay.trace.file.per_cpu import missing_cpus
from replay.trace.file.read import Trace, column_values
from replay.trace.file.schema import OPS, device_text

#: Sums of as many 32-bit numbers are exact in floating point, which numpy adds up in.
_EXACT_ROWS: Final = 1 << 20


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of one kind; ``device`` as ``"7:0"``."""

    device: str
    op: str
    requests: int
    bios: int
    bytes: int


class CgroupCount(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of one cgroup; id 0 stands for "none recorded"."""

    id: int
    path: str | None
    requests: int
    bios: int
    bytes: int


class TraceInfo(Shown, msgspec.Struct, frozen=True, kw_only=True):
    """Facts on a trace; times are ns since its start unless named otherwise.

    Attributes
    ----------
    path : str
        What was asked about.
    schema_version, writer : int, str
        Of the trace file.
    sources : list of SourceFile
        What it was made of: path, bytes, role (``trace`` or ``cgroups``).
    missing_cpus : dict
        Base name to the CPUs that have no file, below the highest one.
    requests : int
        Rows.
    span_ns : int
        First to last event.
    wall_clock : str or None
        When the trace begins, ISO 8601 in UTC, if it says so.
    wall_clock_ns : int or None
        The same in ns since 1970.
    format : str
        Of the inputs, by name.
    notes : list of str
        What is an estimate, or not in the input at all.
    devices : list of str
        As ``"7:0"``, ascending.
    device_names : dict
        Name in the input of a device that has no number of its own there.
    counts : list of Count
        By device and operation; only what happened.
    cgroups : list of CgroupCount
        Most bytes first.
    processes : list of Process
        pid, names over time, requests, first and last request; most requests first.
    messages : list of Message
        The first free-text notes; ``quality.messages`` counts them all.
    quality : Quality
        What became of every record.
    window_ns : tuple or None
        Begin and end that ``--from`` and ``--until`` left; the end is None where it is
        the trace's.
    layers : list of tuple of str
        Devices of which the first passed its bios on to the second.
    top_cgroups : list of CgroupCount
        As ``cgroups``, without the devices that others lie on: what is passed on counts
        once. The same where nothing is.
    """

    path: str
    schema_version: int
    writer: str
    sources: list[SourceFile]
    missing_cpus: dict[str, list[int]]
    requests: int
    span_ns: int
    wall_clock: str | None
    wall_clock_ns: int | None
    format: str
    notes: list[str]
    devices: list[str]
    device_names: dict[str, str]
    counts: list[Count]
    cgroups: list[CgroupCount]
    processes: list[Process]
    messages: list[Message]
    quality: Quality
    window_ns: tuple[int, int | None] | None
    layers: list[tuple[str, str]]
    top_cgroups: list[CgroupCount]


def trace_info(trace: Trace) -> TraceInfo:
    """Gather what is in a trace.

    Parameters
    ----------
    trace : Trace
        Its rows are gone through once.

    Returns
    -------
    TraceInfo
        In a fixed order, whatever the trace's batches.
    """
    metadata = trace.metadata
    summary = metadata.summary
    cgroups = _cgroup_counts(summary.cgroups)
    return TraceInfo(
        path=str(trace.path),
        schema_version=metadata.schema_version,
        writer=metadata.writer,
        sources=metadata.sources,
        missing_cpus=missing_cpus(
            source.path for source in metadata.sources if source.role == "trace"
        ),
        requests=trace.n_rows,
        span_ns=summary.end_ns - summary.start_ns,
        wall_clock=wall_clock_text(summary.wall_clock_ns),
        wall_clock_ns=summary.wall_clock_ns,
        format=summary.format,
        notes=summary.notes,
        devices=[
            device_text(device) for device in sorted(d.device for d in summary.devices)
        ],
        device_names={
            device_text(device.device): device.volume
            for device in summary.devices
            if device.volume is not None
        },
        counts=_counts(trace),
        cgroups=cgroups,
        processes=sorted(summary.processes, key=lambda one: (-one.n_requests, one.pid)),
        messages=summary.messages,
        quality=summary.quality,
        window_ns=summary.window,
        layers=[(device_text(a), device_text(b)) for a, b in summary.layers],
        top_cgroups=_top_cgroups(trace) if summary.layers else cgroups,
    )


def _cgroup_counts(cgroups: Iterable[Cgroup]) -> list[CgroupCount]:
    """Show cgroups, most bytes first."""
    return [
        CgroupCount(
            id=cgroup.id,
            path=cgroup.path,
            requests=cgroup.n_requests,
            bios=cgroup.n_bios,
            bytes=cgroup.nbytes,
        )
        for cgroup in sorted(cgroups, key=lambda one: (-one.nbytes, one.id))
    ]


def _top_cgroups(trace: Trace) -> list[CgroupCount]:
    """Count the cgroups' requests of the devices that no other lies on."""
    summary = trace.metadata.summary
    below = np.array([lower for _, lower in summary.layers], np.uint32)
    ids = np.array(sorted(one.id for one in summary.cgroups), np.uint64)
    sums = np.zeros((3, len(ids)), np.int64)
    for batch in trace.batches(_EXACT_ROWS):
        top = ~np.isin(column_values(batch.column("device")), below)
        place = np.searchsorted(ids, column_values(batch.column("cgroup"))[top])
        sums[0] += np.bincount(place, minlength=len(ids))
        for row, name in ((1, "n_bios"), (2, "nbytes")):
            values = column_values(batch.column(name))[top]
            sums[row] += np.bincount(place, values, len(ids)).astype(np.int64)
    known = {one.id: one for one in summary.cgroups}
    return _cgroup_counts(
        msgspec.structs.replace(
            known[identity], n_requests=requests, n_bios=bios, nbytes=nbytes
        )
        for identity, requests, bios, nbytes in zip(
            ids.tolist(), *sums.tolist(), strict=True
        )
        if requests
    )


def wall_clock_text(wall_clock_ns: int | None) -> str | None:
    """Show a time since 1970 in UTC, to the ns.

    Parameters
    ----------
    wall_clock_ns : int or None
        ns since 1970.

    Returns
    -------
    str or None
        For example ``"2026-11-01T12:00:00.000000001Z"``; None if there is none or the
        calendar does not reach it.
    """
    if wall_clock_ns is None:
        return None
    seconds, nanoseconds = divmod(wall_clock_ns, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


def _counts(trace: Trace) -> list[Count]:
    """Add up the rows by device and operation.

    Arrow's own grouping would do, but to import it takes longer than this.
    """
    sums: dict[int, NDArray[np.int64]] = {}
    for batch in trace.batches(_EXACT_ROWS):
        device = column_values(batch.column("device"))
        if device.min() == device.max():
            devices, index = device[:1], np.zeros(len(device), np.intp)
        else:
            devices, index = np.unique(device, return_inverse=True)
        place = index * len(OPS) + column_values(batch.column("op"))
        n_places = len(devices) * len(OPS)
        totals = [np.bincount(place, minlength=n_places)]
        for name in ("n_bios", "nbytes"):
            values = column_values(batch.column(name))
            totals.append(np.bincount(place, values, n_places).astype(np.int64))
        found = np.stack(totals).reshape(len(totals), len(devices), len(OPS))
        for number, one in enumerate(devices.tolist()):
            sums[one] = sums.get(one, 0) + found[:, number, :]
    return [
        Count(device=device_text(device), op=op, requests=n, bios=bios, bytes=nbytes)
        for device, total in sorted(sums.items())
        for op, n, bios, nbytes in zip(OPS, *total.tolist(), strict=True)
        if n
    ]
