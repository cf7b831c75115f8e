"""The page of a trace alone: when, where and how long, of which cgroup."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay.common.text import count_text, size_text, time_text
from replay.report.html.drawing import (
    NUMBER,
    Canvas,
    Picture,
    Spec,
    number_text,
    time_axis,
)
from replay.report.html.page import Content, PageTable, Told
from replay.report.html.rows import OTHERS, Row, ShownCgroups
from replay.report.info import info_page
from replay.report.text import render_text
from replay.trace.file.info import TraceInfo, trace_info
from replay.trace.file.read import Trace, column_values
from replay.trace.file.schema import OP_CODES, device_text

#: Cells of the pictures: of time, of places on the device, of a decade of latency.
TIMES: Final = 160
PLACES: Final = 64
_A_DECADE: Final = 8
#: Decades of ns that have cells: to 1000 s.
_LEVELS: Final = 12 * _A_DECADE + 1
_SECTOR: Final = 512
_MOVES: Final = (OP_CODES["read"], OP_CODES["write"])
_GIB: Final = 2**30


class _TraceSums:
    """Requests by cgroup, time, place and latency, counted in one pass."""

    def __init__(self, info: TraceInfo, shown: ShownCgroups) -> None:
        self.span_ns = max(info.span_ns, 1)
        self.names = [*shown.names, OTHERS]
        ids = {one.id: one.path or f"id:{one.id}" for one in info.cgroups}
        place = {name: i for i, name in enumerate(self.names)}
        self._place = {
            one: place.get(name, len(self.names) - 1) for one, name in ids.items()
        }
        n = len(self.names)
        self.latency = np.zeros((n, TIMES, _LEVELS), np.int64)
        self.nbytes = np.zeros((n, TIMES), np.int64)
        self.where: dict[str, NDArray[np.int64]] = {}
        self.sectors: dict[str, int] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Count a batch."""
        queue = column_values(batch.column("queue_ns"))
        issue = column_values(batch.column("issue_ns"))
        end = column_values(batch.column("complete_ns"))
        arrival = np.where(queue < 0, issue, queue)
        ids, codes = np.unique(
            column_values(batch.column("cgroup")), return_inverse=True
        )
        last = len(self.names) - 1
        who = np.array([self._place.get(one, last) for one in ids.tolist()])[codes]
        at = np.clip(arrival * TIMES // self.span_ns, 0, TIMES - 1)
        nbytes = column_values(batch.column("nbytes"))
        # what is discarded, or zeroed by the device, is not moved
        moved = np.isin(column_values(batch.column("op")), _MOVES)
        np.add.at(self.nbytes, (who[moved], at[moved]), nbytes[moved].astype(np.int64))
        done = (end >= 0) & (arrival >= 0)
        took = np.maximum(end[done] - arrival[done], 0)
        level = np.floor(np.log10(np.maximum(took, 1)) * _A_DECADE).astype(np.int64) + 1
        level[took == 0] = 0
        level = np.minimum(level, _LEVELS - 1)
        np.add.at(self.latency, (who[done], at[done], level), 1)
        self._add_places(batch, who, at, nbytes)

    def _add_places(
        self,
        batch: pa.RecordBatch,
        who: NDArray[np.int64],
        at: NDArray[np.int64],
        nbytes: NDArray[np.uint32],
    ) -> None:
        devices = column_values(batch.column("device"))
        sectors = column_values(batch.column("sector"))
        for device in np.unique(devices).tolist():
            name = device_text(device)
            mine = (devices == device) & (nbytes > 0)
            if name not in self.sectors or not mine.any():
                continue
            place = sectors[mine].astype(np.float64) / self.sectors[name] * PLACES
            index = np.clip(place.astype(np.int64), 0, PLACES - 1)
            np.add.at(self.where[name], (who[mine], at[mine], index), 1)


def trace_content(trace: Trace, info: TraceInfo | None = None) -> Content:
    """Gather what the page of a trace holds.

    Parameters
    ----------
    trace : Trace
        Its rows are gone through twice, a batch at a time.
    info : TraceInfo or None
        From `replay.trace.file.info.trace_info`.

    Returns
    -------
    Content
    """
    info = info or trace_info(trace)
    canvas = _canvas(info)
    quality = info.quality
    lost = sum(quality.lost.values())
    title = (
        f"{count_text(info.requests, 'request')} of {', '.join(info.devices[:3])} in "
        f"{time_text(info.span_ns)}"
    )
    if info.top_cgroups:
        top = info.top_cgroups[0]
        title += f", most by {top.path or f'id:{top.id}'}: {size_text(top.bytes)}"
    rows = [
        {
            "cgroup": one.path or f"id:{one.id}",
            "requests": one.requests,
            "bios": one.bios,
            "bytes": one.bytes,
        }
        for one in info.cgroups
    ]
    counts = [
        {
            "device": one.device,
            "op": one.op,
            "requests": one.requests,
            "bytes": one.bytes,
        }
        for one in info.counts
    ]
    return Content(
        title=title,
        told=[
            Told(
                text=f"{info.path}, read as {info.format}",
                notes=[
                    *(
                        [f"{count_text(lost, 'record')} lost while recording"]
                        * bool(lost)
                    ),
                    *info.notes,
                ],
                words=render_text(info_page(info), width=100),
            )
        ],
        pictures=_pictures(trace, info, canvas),
        tables=[
            PageTable(
                name="cgroups",
                title="cgroups",
                about="Most bytes first.",
                table=pa.Table.from_pylist(rows),
                where="; replay info --json has all",
            ),
            PageTable(
                name="operations",
                title="operations",
                about="By device and operation.",
                table=pa.Table.from_pylist(counts),
            ),
        ],
        colours={name: canvas.colours[name] for name in canvas.shown.names},
        provenance={},
    )


def _canvas(info: TraceInfo) -> Canvas:
    ranked = info.top_cgroups or info.cgroups
    return Canvas(ShownCgroups([one.path or f"id:{one.id}" for one in ranked]))


def _pictures(trace: Trace, info: TraceInfo, canvas: Canvas) -> list[Picture]:
    sums = _TraceSums(info, canvas.shown)
    ends: dict[str, int] = {}
    for batch in trace.batches():
        devices = column_values(batch.column("device"))
        last = column_values(batch.column("sector")) + (
            column_values(batch.column("nbytes")) // _SECTOR
        )
        for device in np.unique(devices).tolist():
            name = device_text(device)
            most = int(last[devices == device].max())
            ends[name] = max(ends.get(name, 0), most)
    for name in info.devices[:4]:
        if ends.get(name):
            sums.sectors[name] = ends[name]
            shape = (len(sums.names), TIMES, PLACES)
            sums.where[name] = np.zeros(shape, np.int64)
    for batch in trace.batches():
        sums.add(batch)
    drawn = [_latency(sums, canvas), _throughput(sums, canvas), _where(sums, canvas)]
    return [one for one in drawn if one is not None]


def _count_colour() -> Spec:
    return {
        "field": "count",
        "type": "quantitative",
        "aggregate": "sum",
        "title": "requests",
        "scale": {"type": "log", "scheme": "viridis"},
    }


def _cells(sums: _TraceSums, counts: NDArray[np.int64]) -> list[Row]:
    width_s = sums.span_ns / TIMES / 1e9
    return [
        {
            "cgroup": sums.names[who],
            "start_s": at * width_s,
            "end_s": (at + 1) * width_s,
            "level": level,
            "count": int(counts[who, at, level]),
        }
        for who, at, level in np.argwhere(counts).tolist()
    ]


def _latency(sums: _TraceSums, canvas: Canvas) -> Picture | None:
    values: list[Row] = []
    for cell in _cells(sums, sums.latency):
        level = cell.pop("level")
        # 0 has a band of its own, a decade below the shortest
        low = 10 ** ((level - 1) / _A_DECADE) / 1e6 if level else 1e-7
        high = 10 ** (level / _A_DECADE) / 1e6 if level else 2e-7
        values.append({**cell, "low_ms": low, "high_ms": high})
    if not values:
        return None
    slow = max(values, key=lambda row: float(row["low_ms"]))
    longest = number_text(slow["high_ms"])
    return Picture(
        name="latency",
        title=f"Recorded latency over time: up to {longest} ms, of {slow['cgroup']}",
        note="from queueing to completion, as it was recorded; those that took no time "
        "lie at the bottom",
        spec=canvas.spec(
            values,
            transform=canvas.fits("cgroup", time="start_s"),
            mark={"type": "rect", "tooltip": True},
            encoding={
                "x": time_axis("start_s", "arrival,"),
                "x2": {"field": "end_s"},
                "y": {
                    "field": "low_ms",
                    "type": "quantitative",
                    "title": "latency (ms)",
                    "scale": {"type": "log"},
                    "axis": {"format": NUMBER},
                },
                "y2": {"field": "high_ms"},
                "color": _count_colour(),
            },
        ),
        table="cgroups",
    )


def _throughput(sums: _TraceSums, canvas: Canvas) -> Picture | None:
    width_s = sums.span_ns / TIMES / 1e9
    used = [i for i in range(len(sums.names)) if sums.nbytes[i].any()]
    values: list[Row] = [
        {
            "cgroup": sums.names[who],
            "start_s": at * width_s,
            "mib_s": int(sums.nbytes[who, at]) / 2**20 / width_s,
        }
        for who in used
        for at in range(TIMES)
    ]
    if not values:
        return None
    top = max(values, key=lambda row: float(row["mib_s"]))
    most = number_text(top["mib_s"])
    return Picture(
        name="throughput",
        title=f"I/O over time: up to {most} MiB/s, of {top['cgroup']}",
        note=canvas.shown.cut,
        spec=canvas.spec(
            values,
            transform=canvas.fits("cgroup", time="start_s"),
            mark={"type": "line", "interpolate": "step-after", "tooltip": True},
            encoding={
                "x": time_axis("start_s", "arrival,"),
                "y": {
                    "field": "mib_s",
                    "type": "quantitative",
                    "title": "MiB/s queued, read and written",
                },
                "color": canvas.colour(),
            },
        ),
        table="cgroups",
    )


def _where(sums: _TraceSums, canvas: Canvas) -> Picture | None:
    values: list[Row] = []
    for device, counts in sums.where.items():
        width = sums.sectors[device] * _SECTOR / PLACES / _GIB
        for cell in _cells(sums, counts):
            level = cell.pop("level")
            values.append(
                {
                    **cell,
                    "device": device,
                    "low_gib": level * width,
                    "high_gib": (level + 1) * width,
                }
            )
    if not values:
        return None
    devices: Sequence[str] = list(sums.where)
    encoding: Spec = {
        "x": time_axis("start_s", "arrival,"),
        "x2": {"field": "end_s"},
        "y": {
            "field": "low_gib",
            "type": "quantitative",
            "title": "place on the device (GiB)",
            "axis": {"format": NUMBER},
        },
        "y2": {"field": "high_gib"},
        "color": _count_colour(),
    }
    spec = canvas.spec(
        values,
        transform=canvas.fits("cgroup", time="start_s"),
        mark={"type": "rect", "tooltip": True},
        encoding=encoding,
    )
    if len(devices) > 1:
        encoding["row"] = {"field": "device", "type": "nominal", "title": None}
        spec["width"] = 560
        spec["resolve"] = {"scale": {"y": "independent"}}
    return Picture(
        name="where",
        title="Where requests went, as iowatcher draws it",
        note="colour: requests",
        spec=spec,
        table="operations",
    )
