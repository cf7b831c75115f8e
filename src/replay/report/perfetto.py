"""A result as a trace of Perfetto, for ui.perfetto.dev and its trace processor.

A track for each cgroup, with a lane for each of its requests that are in flight at
once, their stages nested in them; a track for each worker; arrows from the command that
a worker was at to the one that waited for it; counters of memory, requests in flight
and debt; kills as moments. The format is protocol buffers, of which this needs little:
it is written without Perfetto's package, which the tests read it with.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replay.common.errors import OutputError
from replay.common.output import replacing
from replay.common.plain import plain
from replay.common.text import count_text
from replay.report.lanes import has_lanes, lanes_of
from replay.results.result import Result
from replay.results.stored import parts_of
from replay.results.tables import STAGE_NAMES

#: Requests of a file, unless more are asked for: the page stays quick with as many.
MOST_REQUESTS: Final = 100_000
_SEQUENCE: Final = 1
_BEGIN, _END, _INSTANT, _COUNTER = 1, 2, 3, 4
#: Fields of TracePacket, TrackDescriptor, TrackEvent and DebugAnnotation.
_PACKET = 1
_TIMESTAMP, _EVENT, _SEQUENCE_ID, _TRACK = 8, 11, 10, 60
_UUID, _NAME, _PARENT, _COUNTER_TRACK = 1, 2, 5, 8
_TYPE, _TRACK_UUID, _EVENT_NAME, _ANNOTATION = 9, 11, 23, 4
_VALUE, _FLOW, _ENDING_FLOW = 30, 47, 48
_ANNOTATION_NAME, _INT, _STRING = 10, 4, 6
_UNIT = 3
_COUNT_UNIT, _BYTES_UNIT, _NS_UNIT = 2, 3, 1
_COLUMNS: Final = (
    *("row", "device", "op", "sector", "nbytes", "pid", "process", "issuer", "payer"),
    *("worker", "arrival_ns", "start_ns", "completion_ns", "errno"),
    *(f"{stage}_ns" for stage in STAGE_NAMES),
)


def write_perfetto(
    result: Result,
    path: str | Path,
    *,
    from_ns: int = 0,
    most: int = MOST_REQUESTS,
    overwrite: bool = False,
) -> tuple[int, int]:
    """Write a result as a trace of Perfetto.

    Parameters
    ----------
    result : Result
        With its requests; with a timeline there are counters of memory and debt.
    path : str or Path
        The file to make, whole or not at all.
    from_ns : int
        Requests that arrive from here on.
    most : int
        Requests, in the order of their arrival.
    overwrite : bool
        Replace the file that is there.

    Returns
    -------
    tuple of (int, int)
        Requests that are in the file, and that the result has from there on.

    Raises
    ------
    OutputError
        It has no table of requests, or the file cannot be written.
    """
    if "requests" not in result.tables:
        raise OutputError(
            f"{path}: the result has no rows of requests: run it with --requests"
        )
    rows, n_all = _requests(result, from_ns, most)
    if from_ns and not n_all:
        raise OutputError(
            f"no request arrives {from_ns / 1e9:g} s after the trace's start or later: "
            "give an earlier --from"
        )
    until_ns = max((row["arrival_ns"] for row in rows), default=from_ns)
    if n_all == len(rows):
        until_ns = int(np.iinfo(np.int64).max)
    with replacing(path, overwrite=overwrite) as part, part.open("wb") as file:
        writer = _Writer(file)
        _cgroups(writer, result, rows, from_ns, until_ns)
        if has_lanes(result):
            _workers(writer, rows)
        _in_flight(writer, rows)
    return len(rows), n_all


def _requests(
    result: Result, from_ns: int, most: int
) -> tuple[list[dict[str, Any]], int]:
    """Return the first requests from a time on, as they arrive, and how many."""
    arrivals = [
        part["arrival_ns"].to_numpy()
        for part in parts_of(result.tables, "requests", ["arrival_ns", "completion_ns"])
        for part in [part.filter(pc.is_valid(part["completion_ns"]))]
    ]
    times = np.concatenate([np.empty(0, np.int64), *arrivals])
    times = times[times >= from_ns]
    last = np.iinfo(np.int64).max
    if len(times) > most:
        last = int(np.partition(times, most - 1)[most - 1])
    rows: list[dict[str, Any]] = []
    for part in parts_of(result.tables, "requests", list(_COLUMNS)):
        keep = pc.and_(
            pc.is_valid(part["completion_ns"]),
            pc.and_(
                pc.greater_equal(part["arrival_ns"], from_ns),
                pc.less_equal(part["arrival_ns"], pa.scalar(last, pa.int64())),
            ),
        )
        rows += part.filter(keep).to_pylist()
    rows.sort(key=lambda row: (row["arrival_ns"], row["row"]))
    return rows[:most], len(times)


class _Writer:
    """Writes packets; tracks are named before they are used."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._uuids = 0
        self._tail = _varint_field(_SEQUENCE_ID, _SEQUENCE)

    def track(self, name: str, parent: int = 0, unit: int | None = None) -> int:
        """Make a track; with a unit it is a counter's."""
        self._uuids += 1
        body = _varint_field(_UUID, self._uuids) + _text_field(_NAME, plain(name))
        if parent:
            body += _varint_field(_PARENT, parent)
        if unit is not None:
            body += _bytes_field(_COUNTER_TRACK, _varint_field(_UNIT, unit))
        self._packet(_bytes_field(_TRACK, body))
        return self._uuids

    def begin(self, track: int, time_ns: int, name: str, more: bytes = b"") -> None:
        """Begin a slice."""
        body = _text_field(_EVENT_NAME, plain(name)) + more
        self._event(track, time_ns, _BEGIN, body)

    def end(self, track: int, time_ns: int) -> None:
        """End the slice that began last on a track."""
        self._event(track, time_ns, _END)

    def instant(self, track: int, time_ns: int, name: str, more: bytes = b"") -> None:
        """Mark a moment."""
        body = _text_field(_EVENT_NAME, plain(name)) + more
        self._event(track, time_ns, _INSTANT, body)

    def count(self, track: int, time_ns: int, value: int) -> None:
        """Set a counter."""
        self._event(track, time_ns, _COUNTER, _varint_field(_VALUE, value))

    def _event(self, track: int, time_ns: int, kind: int, body: bytes = b"") -> None:
        event = _varint_field(_TYPE, kind) + _varint_field(_TRACK_UUID, track) + body
        self._packet(_varint_field(_TIMESTAMP, time_ns) + _bytes_field(_EVENT, event))

    def _packet(self, body: bytes) -> None:
        self._file.write(_bytes_field(_PACKET, body + self._tail))


def _cgroups(
    writer: _Writer,
    result: Result,
    rows: list[dict[str, Any]],
    from_ns: int,
    until_ns: int,
) -> None:
    """Write each cgroup's requests, stages, counters and kills."""
    by_cgroup: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_cgroup[row["issuer"]].append(row)
    kills: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in result.kills.to_pylist():
        if from_ns <= row["time_ns"] <= until_ns:
            kills[row["victim_cgroup"]].append(row)
    counters = _counters(result, from_ns, until_ns)
    for name in dict.fromkeys([*by_cgroup, *kills, *counters]):
        top = writer.track(f"cgroup {name}")
        for kill in kills[name]:
            more = _annotation("limit", kill["limit_cgroup"])
            more += _annotation("usage_bytes", kill["usage_bytes"])
            writer.instant(top, kill["time_ns"], f"{kill['task']} killed", more)
        for label, unit, values in counters.get(name, ()):
            track = writer.track(f"{label} {name}", top, unit)
            for time_ns, value in values:
                writer.count(track, time_ns, value)
        for lane, requests in enumerate(_lanes(by_cgroup[name])):
            track = writer.track(f"requests {lane + 1}", top)
            for row in requests:
                _request(writer, track, row)


def _lanes(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Share requests out to lanes in which none overlaps another."""
    lanes: list[list[dict[str, Any]]] = []
    free: list[tuple[int, int]] = []
    for row in rows:
        if free and free[0][0] <= row["arrival_ns"]:
            _, lane = heapq.heappop(free)
        else:
            lane = len(lanes)
            lanes.append([])
        lanes[lane].append(row)
        heapq.heappush(free, (row["completion_ns"], lane))
    return lanes


def _request(writer: _Writer, track: int, row: dict[str, Any]) -> None:
    """Write a request and, nested in it, its stages in their order."""
    at = row["arrival_ns"]
    more = b"".join(
        _annotation(name, row[name])
        for name in ("row", "device", "sector", "nbytes", "pid", "process", "payer")
        if row[name] is not None
    )
    if row["errno"]:
        more += _annotation("errno", row["errno"])
    writer.begin(track, at, f"{row['op']} {row['nbytes']} B", more)
    for stage in STAGE_NAMES:
        took = row[f"{stage}_ns"]
        if took:
            writer.begin(track, at, stage)
            at += took
            writer.end(track, at)
    writer.end(track, row["completion_ns"])


def _workers(writer: _Writer, rows: list[dict[str, Any]]) -> None:
    """Write what each worker was at, and who waited for it."""
    lanes = lanes_of(rows)
    if not lanes:
        return
    top = writer.track("workers")
    flow = 0
    for (device, number), served in lanes.items():
        track = writer.track(f"worker {number} of {device}", top)
        flows = [0] * (len(served) + 1)
        for i, (row, _) in enumerate(served):
            # it waited for the command that came before it
            if (
                i
                and row["dispatch_ns"]
                and row["issuer"] != served[i - 1].row["issuer"]
            ):
                flow += 1
                flows[i] = flow
        for i, (row, end_ns) in enumerate(served):
            more = _annotation("row", row["row"])
            if flows[i]:
                more += _fixed_field(_ENDING_FLOW, flows[i])
            if flows[i + 1]:
                more += _fixed_field(_FLOW, flows[i + 1])
            writer.begin(track, row["start_ns"], f"{row['issuer']} {row['op']}", more)
            writer.end(track, end_ns)


def _in_flight(writer: _Writer, rows: list[dict[str, Any]]) -> None:
    """Write how many requests of each device are in flight."""
    changes: defaultdict[str, defaultdict[int, int]] = defaultdict(
        lambda: defaultdict(int)
    )
    for row in rows:
        changes[row["device"]][row["arrival_ns"]] += 1
        changes[row["device"]][row["completion_ns"]] -= 1
    for device, by_time in sorted(changes.items()):
        track = writer.track(f"in flight {device}", unit=_COUNT_UNIT)
        n = 0
        for time_ns in sorted(by_time):
            n += by_time[time_ns]
            writer.count(track, time_ns, n)


_Counted = tuple[str, int, list[tuple[int, int]]]


def _counters(result: Result, from_ns: int, until_ns: int) -> dict[str, list[_Counted]]:
    """Return memory in use, and debt that was waited for, by cgroup and interval."""
    if result.timeline is None:
        return {}
    wanted = (("usage_bytes", "memory", _BYTES_UNIT), ("debt_ns", "debt", _NS_UNIT))
    values: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    columns = ["start_ns", "cgroup", *(name for name, _, _ in wanted)]
    for part in parts_of(result.tables, "timeline", columns):
        for row in part.to_pylist():
            if from_ns <= row["start_ns"] <= until_ns:
                for name, _, _ in wanted:
                    values[row["cgroup"], name].append((row["start_ns"], row[name]))
    found: defaultdict[str, list[_Counted]] = defaultdict(list)
    for name, label, unit in wanted:
        for (cgroup, column), numbers in values.items():
            if column == name and any(value for _, value in numbers):
                found[cgroup].append((label, unit, numbers))
    return dict(found)


def _annotation(name: str, value: int | str) -> bytes:
    """Write a fact of an event."""
    body = _text_field(_ANNOTATION_NAME, name)
    if isinstance(value, str):
        body += _text_field(_STRING, plain(value))
    else:
        body += _varint_field(_INT, value)
    return _bytes_field(_ANNOTATION, body)


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    if value < 0x80:
        return bytes((value,))
    return bytes(_digits(value))


def _digits(value: int) -> Iterator[int]:
    while value >= 0x80:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value


def _varint_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _text_field(number: int, text: str) -> bytes:
    return _bytes_field(number, text.encode("utf-8", "replace"))


def _fixed_field(number: int, value: int) -> bytes:
    return _varint(number << 3 | 1) + value.to_bytes(8, "little")


def told(n_written: int, n_all: int) -> str:
    """Say how many requests a file holds.

    Parameters
    ----------
    n_written, n_all : int
        From `write_perfetto`.

    Returns
    -------
    str
    """
    if n_written == n_all:
        return count_text(n_written, "request")
    return f"the first {n_written:,} of {count_text(n_all, 'request')}"
