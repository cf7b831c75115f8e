"""Which requests of a trace are wanted.

`Filters` holds what the user said, as text; `RowFilter` what it means in one trace,
whose metadata knows the paths of its cgroups and the names of its processes. A request
passes if every filter that is given lets it pass; a filter that is given several times
lets pass what any of them does.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay.common.errors import TraceError
from replay.trace.file.metadata import Process, Summary
from replay.trace.file.processes import ProcessTable
from replay.trace.file.read import column_values
from replay.trace.file.schema import OP_CODES, OPS, device_number, device_text

SECOND_NS: Final = 1_000_000_000
SECTOR_BYTES: Final = 512
FOREVER_NS: Final = (1 << 63) - 1
MAX_SECTOR: Final = (1 << 64) - 1

Mask = NDArray[np.bool_]

_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?s?")
_WALL = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?"
)


@dataclass(frozen=True, kw_only=True)
class Filters:
    """The user's filters, as text; None and empty mean everything.

    Attributes
    ----------
    begin, end : str or None
        Requests that were queued (issued, where no queueing was seen) at or after the
        one and before the other: seconds since the trace's start (``"12.5"``), or a
        wall-clock time (``"2026-11-01T12:00:00.5"``, UTC unless it says otherwise).
    devices : sequence of str
        ``"7:0"``.
    cgroups : sequence of str
        Paths and ids; with their descendants.
    processes : sequence of str
        Pids, and patterns of names (``"java*"``).
    ops : sequence of str
        Operations by name.
    sectors : str or None
        ``"A-B"``: requests that touch one of these sectors, both included.
    """

    begin: str | None = None
    end: str | None = None
    devices: Sequence[str] = ()
    cgroups: Sequence[str] = ()
    processes: Sequence[str] = ()
    ops: Sequence[str] = ()
    sectors: str | None = None

    def __bool__(self) -> bool:
        """Return True if anything is filtered."""
        return self != Filters()

    def text(self) -> str:
        """Show the filters as options."""
        parts = [
            f"{option} {value}"
            for option, values in (
                ("--from", [self.begin] if self.begin is not None else []),
                ("--until", [self.end] if self.end is not None else []),
                ("--device", self.devices),
                ("--cgroup", self.cgroups),
                ("--process", self.processes),
                ("--op", self.ops),
                ("--sectors", [self.sectors] if self.sectors is not None else []),
            )
            for value in values
        ]
        return " ".join(parts)


class RowFilter:
    """Filters, made numbers for one trace.

    Parameters
    ----------
    filters : Filters
    summary : Summary
        Of the trace.

    Raises
    ------
    TraceError
        A filter cannot be understood, or names what is not in the trace.
    """

    def __init__(self, filters: Filters, summary: Summary) -> None:
        self._window: tuple[int, int] | None = None
        if filters.begin is not None or filters.end is not None:
            begin = _time_ns("--from", filters.begin, summary)
            end = _time_ns("--until", filters.end, summary)
            self._window = (
                0 if begin is None else begin,
                FOREVER_NS if end is None else end,
            )
            if self._window[0] >= self._window[1]:
                said = [
                    f"{option} {text}"
                    for option, text in (
                        ("--from", filters.begin),
                        ("--until", filters.end),
                    )
                    if text is not None
                ]
                raise TraceError(f"{' '.join(said)}: nothing is between")
            length_ns = summary.end_ns - summary.start_ns
            if self._window[0] > length_ns:
                raise TraceError(
                    f"--from {filters.begin}: the trace ends"
                    f" {length_ns / SECOND_NS:g} s after its start"
                )
        self._devices = _devices(filters.devices, summary)
        self._cgroups = _cgroups(filters.cgroups, summary)
        self._processes = (
            _Processes(filters.processes, summary.processes)
            if filters.processes
            else None
        )
        self._ops = _ops(filters.ops)
        self._sectors = None if filters.sectors is None else _sectors(filters.sectors)

    def window(
        self, before: tuple[int, int | None] | None
    ) -> tuple[int, int | None] | None:
        """Say which time is left, after that which was left before.

        Parameters
        ----------
        before : tuple of int and (int or None), or None
            Begin and end, ns; the end is None where it is the trace's.

        Returns
        -------
        The same; None if nothing of the trace's time was left out.
        """
        if self._window is None:
            return before
        begin, end = self._window
        if before is not None:
            begin = max(begin, before[0])
            end = end if before[1] is None else min(end, before[1])
        return begin, None if end == FOREVER_NS else end

    def masks(self, batch: pa.RecordBatch) -> Iterator[tuple[str, Mask]]:
        """Find which rows each filter lets pass.

        Parameters
        ----------
        batch : RecordBatch
            Of `TRACE_SCHEMA`.

        Yields
        ------
        tuple of str and ndarray of bool, shape (n_rows,)
            The filter's name, and the rows that it lets pass.
        """
        queue = column_values(batch.column("queue_ns"))
        time_ns = np.where(queue < 0, column_values(batch.column("issue_ns")), queue)
        if self._window is not None:
            begin, end = self._window
            yield "time", (time_ns >= begin) & (time_ns < end)
        if self._devices is not None:
            yield (
                "device",
                np.isin(column_values(batch.column("device")), self._devices),
            )
        if self._cgroups is not None:
            yield (
                "cgroup",
                np.isin(column_values(batch.column("cgroup")), self._cgroups),
            )
        if self._processes is not None:
            pid = column_values(batch.column("pid"))
            yield "process", self._processes.mask(pid, time_ns)
        if self._ops is not None:
            yield "op", np.isin(column_values(batch.column("op")), self._ops)
        if self._sectors is not None:
            first, last = self._sectors
            sector = column_values(batch.column("sector"))
            length = column_values(batch.column("nbytes")).astype(np.uint64)
            n_sectors = (length + np.uint64(SECTOR_BYTES - 1)) // np.uint64(
                SECTOR_BYTES
            )
            # what has no length touches the sector that it names; no sum: it might wrap
            reach = np.maximum(n_sectors, np.uint64(1)) - np.uint64(1)
            below = sector < np.uint64(first)
            touches = ~below | (reach >= np.uint64(first) - sector)
            yield "sectors", (sector <= np.uint64(last)) & touches


class _Processes:
    """Which rows are of a wanted pid, or of a process of a wanted name then."""

    def __init__(self, wanted: Sequence[str], processes: Sequence[Process]) -> None:
        pids = [int(one) for one in wanted if _is_pid(one)]
        self._pids = np.array(pids, np.int64)
        self._table = ProcessTable(processes)
        codes: list[int] = []
        for pattern in wanted:
            if _is_pid(pattern):
                continue
            names = self._table.names
            found = [i for i, name in enumerate(names) if fnmatchcase(name, pattern)]
            if not found:
                near = _near(pattern, names)
                raise TraceError(f"--process {pattern}: no process has that name{near}")
            codes += found
        self._codes = np.array(codes, np.int32)

    def mask(self, pid: NDArray[np.int32], time_ns: NDArray[np.int64]) -> Mask:
        named = np.isin(self._table.name_codes(pid, time_ns), self._codes)
        return np.isin(pid, self._pids) | named


def _is_pid(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 10


def _time_ns(option: str, text: str | None, summary: Summary) -> int | None:
    """Return a time since the trace's start, ns; may be before it."""
    if text is None:
        return None
    if _SECONDS.fullmatch(text):
        try:
            return min(int(Decimal(text.rstrip("s")) * SECOND_NS), FOREVER_NS)
        except InvalidOperation:  # pragma: no cover - the pattern lets none through
            pass
    match = _WALL.fullmatch(text)
    if match is None:
        raise TraceError(
            f"{option} {text}: is neither seconds since the trace's start (12.5) nor a"
            " time (2026-11-01T12:00:00, in UTC unless a zone follows)"
        )
    if summary.wall_clock_ns is None:
        raise TraceError(
            f"{option} {text}: the trace does not say what the wall clock was: give"
            " seconds since its start"
        )
    date, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}{zone or ''}")
    except ValueError as error:
        raise TraceError(f"{option} {text}: there is no such time: {error}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = since.days * 86_400 + since.seconds
    nanoseconds = int((fraction or ".")[1:].ljust(9, "0"))
    return seconds * SECOND_NS + nanoseconds - summary.wall_clock_ns


def _devices(wanted: Sequence[str], summary: Summary) -> NDArray[np.uint32] | None:
    if not wanted:
        return None
    known = {device_text(one.device) for one in summary.devices}
    volumes = {one.volume: one.device for one in summary.devices if one.volume}
    numbers = []
    for text in wanted:
        if text in known:
            numbers.append(device_number(text))
        elif text in volumes:
            numbers.append(volumes[text])
        else:
            near = _near(text, known | set(volumes))
            raise TraceError(f"--device {text}: is not in the trace{near}")
    return np.array(numbers, np.uint32)


def _cgroups(wanted: Sequence[str], summary: Summary) -> NDArray[np.uint64] | None:
    if not wanted:
        return None
    paths = {one.id: one.path for one in summary.cgroups}
    known = {path: id_ for id_, path in paths.items() if path is not None}
    ids: set[int] = set()
    for text in wanted:
        number = text.removeprefix("id:")
        path: str | None = text.rstrip("/") or "/"
        if number.isascii() and number.isdecimal():
            if int(number) not in paths:
                near = _near(number, {str(one) for one in paths})
                raise TraceError(f"--cgroup {text}: is not in the trace{near}")
            ids.add(int(number))
            path = paths[int(number)]
        if path is None:
            continue
        below = "/" if path == "/" else f"{path}/"
        found = {
            id_ for name, id_ in known.items() if name == path or name.startswith(below)
        }
        if path == "/":
            # what no cgroup was recorded for is the root's, as the replay has it
            found |= set(paths)
        if not found:
            hint = _near(path, known) if known else ": name them by --cgroups IDS"
            raise TraceError(f"--cgroup {text}: no cgroup of the trace is there{hint}")
        ids |= found
    return np.array(sorted(ids), np.uint64)


def _ops(wanted: Sequence[str]) -> NDArray[np.int8] | None:
    if not wanted:
        return None
    for name in wanted:
        if name not in OP_CODES:
            raise TraceError(f"--op {name}: is not one of {', '.join(OPS)}")
    return np.array([OP_CODES[name] for name in wanted], np.int8)


def _sectors(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (_is_sector(first) and _is_sector(last or first)):
        raise TraceError(f"--sectors {text}: is not A-B, two numbers of sectors")
    bounds = int(first), int(last or first)
    if bounds[0] > bounds[1] or bounds[1] > MAX_SECTOR:
        raise TraceError(f"--sectors {text}: there is no sector between")
    return bounds


def _is_sector(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 20


def _near(text: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(text, names, n=3)
    if near:
        return f": did you mean {' or '.join(near)}?"
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return f": there are {', '.join(names[:5])}{more}" if names else ""
