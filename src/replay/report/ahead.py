"""Who was ahead of a request in each of its stages, from the table of requests."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from replay.results.arrays import coded
from replay.results.result import Result
from replay.results.stored import parts_of
from replay.results.tables import STAGE_NAMES

Row = dict[str, Any]
#: Stages that end where a request gets a place that others hold, and the stages that
#: precede it.
_BEFORE: Final = {
    "queue": ("throttle",),
    "tag": ("throttle", "queue"),
    "dispatch": ("throttle", "queue", "tag"),
    "lock": ("throttle", "queue", "tag", "dispatch"),
}
#: Of which stage on those that hold such a place have it; all do until they complete.
_HELD_FROM: Final = {"queue": "tag", "tag": "dispatch", "lock": "memory"}
_COLUMNS: Final = (
    *("row", "device", "issuer", "worker", "arrival_ns", "start_ns", "completion_ns"),
    *(f"{stage}_ns" for stage in STAGE_NAMES),
)
_WHOSE: Final = ("arrival_ns", "completion_ns", "issuer")
_LATER: Final = np.iinfo(np.int64).max


class RequestsAhead(Struct, frozen=True, kw_only=True):
    """Requests of one cgroup that were ahead of a request in one stage.

    Attributes
    ----------
    cgroup : str
    n_requests : int
    wait_ns : int or None
        Time in which they had what it waited for; None where several have it at once.
    """

    cgroup: str
    n_requests: int
    wait_ns: int | None


def slowest_of_each(result: Result, n: int) -> list[Row]:
    """Return the request that took longest of each cgroup, the longest first.

    Parameters
    ----------
    result : Result
        With its requests.
    n : int
        Of how many cgroups.

    Returns
    -------
    list of dict
        As `slowest`.
    """
    # time, part and place in it: few columns are read of all, all columns of few
    best: dict[str, tuple[int, int, int]] = {}
    for number, part in enumerate(_parts(result, _WHOSE)):
        took = _took(part)
        issuers = coded(part["issuer"])
        most = np.full(len(issuers.words), -1)
        np.maximum.at(most, issuers.codes, took)
        for code, longest in enumerate(most.tolist()):
            name = issuers.words[code]
            if longest > best.get(name, (-1, 0, 0))[0]:
                mine = (issuers.codes == code) & (took == longest)
                best[name] = longest, number, int(mine.argmax())
    wanted: dict[int, list[int]] = {}
    for _, number, place in sorted(best.values(), key=lambda one: -one[0])[:n]:
        wanted.setdefault(number, []).append(place)
    found: list[Row] = []
    numbers = sorted(wanted)
    for number, part in zip(numbers, _parts(result, None, numbers), strict=True):
        found += _rows(part, np.array(wanted[number], np.intp))
    return sorted(found, key=_longest_first)


def slowest(result: Result, n: int, cgroup: str) -> list[Row]:
    """Return the requests of a cgroup that took longest, the longest first.

    Parameters
    ----------
    result : Result
        With its requests.
    n : int
        How many.
    cgroup : str
        Who issued them.

    Returns
    -------
    list of dict
        Rows of ``requests``, with ``total_ns``; of those that completed.
    """
    found: list[Row] = []
    for part in _parts(result, None):
        took = _took(part)
        took[~_is(part, "issuer", cgroup)] = -1
        first = np.argsort(-took, kind="stable")[:n]
        found += _rows(part, first[took[first] >= 0])
        found = sorted(found, key=_longest_first)[:n]
    return found


def request_of_row(result: Result, row: int) -> list[Row]:
    """Return the requests of one row of the trace; two where it went through two."""
    found: list[Row] = []
    for part in _parts(result, None):
        found += _rows(part, np.flatnonzero(_column(part, "row", -1) == row))
    return found


def _took(part: pa.Table) -> NDArray[np.int64]:
    """Return the time that each took, -1 where it was not completed."""
    end = _column(part, "completion_ns", -1)
    took: NDArray[np.int64] = np.where(
        end < 0, -1, end - _column(part, "arrival_ns", 0)
    )
    return took


def _rows(part: pa.Table, places: NDArray[np.intp]) -> list[Row]:
    if not len(places):
        return []
    found: list[Row] = part.take(pa.array(places)).to_pylist()
    for one in found:
        ended = one["completion_ns"]
        one["total_ns"] = None if ended is None else ended - one["arrival_ns"]
    return found


def _longest_first(row: Row) -> tuple[int, int]:
    return -row["total_ns"], row["row"]


def ahead_of(
    result: Result, requests: Sequence[Row]
) -> list[dict[str, list[RequestsAhead]]]:
    """Find who was ahead of requests, by stage.

    Parameters
    ----------
    result : Result
        With its requests, of which those are read that were there at the same time.
    requests : sequence of dict
        From `slowest`.

    Returns
    -------
    list of dict
        For each, by stage: cgroups, the one that took longest first. ``dispatch`` has
        those whose commands its worker served meanwhile; ``tag`` those that had one
        when it began to wait; ``queue`` those that the device had or was given
        meanwhile; ``lock`` those that were at the file meanwhile.
    """
    found = [_Wait(row) for row in requests]
    for part in _parts(result, _COLUMNS, _meanwhile(result, requests)):
        table = _Part(part)
        for wait in found:
            wait.add(table)
    return [wait.ahead() for wait in found]


def _meanwhile(result: Result, requests: Sequence[Row]) -> list[int]:
    """Return which parts have requests that were there while some others were."""
    spans = [
        (row["arrival_ns"], _LATER if row["total_ns"] is None else row["completion_ns"])
        for row in requests
        if row["arrival_ns"] is not None
    ]
    found = []
    for number, part in enumerate(_parts(result, ("arrival_ns", "completion_ns"))):
        end = _column(part, "completion_ns", _LATER)
        first = int(_column(part, "arrival_ns", 0).min(initial=_LATER))
        last = int(end.max(initial=-1))
        if any(first <= until and last >= began for began, until in spans):
            found.append(number)
    return found


class _Part:
    """Columns of some requests."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.row = _column(table, "row", -1)
        self.arrival = _column(table, "arrival_ns", 0)
        self.start = _column(table, "start_ns", -1)
        end = _column(table, "completion_ns", -1)
        self.end = np.where(end < 0, _LATER, end)
        self.completes = end >= 0
        self.worker = _column(table, "worker", -1)
        issuers = coded(table["issuer"])
        self.issuers, self.issuer = issuers.words, issuers.codes

    def of_device(self, device: str) -> NDArray[np.bool_]:
        return _is(self.table, "device", device)

    def stage(self, name: str) -> NDArray[np.int64]:
        """Return when each began a stage."""
        began = self.arrival.copy()
        for before in STAGE_NAMES[: STAGE_NAMES.index(name)]:
            began += _column(self.table, f"{before}_ns", 0)
        return began


class _Wait:
    """One request, and what is found of who was ahead of it."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._began = {
            stage: row["arrival_ns"] + sum(row[f"{one}_ns"] for one in before)
            for stage, before in _BEFORE.items()
            if row[f"{stage}_ns"] > 0
        }
        self._held: dict[str, Counter[str]] = {
            stage: Counter() for stage in self._began if stage != "dispatch"
        }
        # commands that its worker took up before it: when, and whose
        self._starts: list[NDArray[np.int64]] = []
        self._whose: list[NDArray[np.int64]] = []
        self._names: dict[str, int] = {}
        self._last = (-1, -1)

    def add(self, part: _Part) -> None:
        """Look at some requests."""
        if not self._began:
            return
        on_device = part.of_device(self._row["device"])
        for stage, counts in self._held.items():
            began = self._began[stage]
            until = began
            if stage in ("lock", "queue"):
                # others get it meanwhile: page by page, by the scheduler's turns
                until += self._row[f"{stage}_ns"] - 1
            holds = on_device & (part.end > began) & (part.start >= 0)
            holds &= part.stage(_HELD_FROM[stage]) <= until
            # one whose completion was lost is not known to have stayed
            holds &= part.completes & (part.row != self._row["row"])
            numbers = np.bincount(part.issuer[holds], minlength=len(part.issuers))
            counts.update(
                {
                    name: n
                    for name, n in zip(part.issuers, numbers.tolist(), strict=True)
                    if n
                }
            )
        if "dispatch" in self._began and self._row["start_ns"] is not None:
            self._add_served(part, on_device)

    def _add_served(self, part: _Part, on_device: NDArray[np.bool_]) -> None:
        began = self._began["dispatch"]
        served = on_device & (part.worker == self._row["worker"])
        served &= (part.start >= 0) & (part.start < self._row["start_ns"])
        place = np.array(
            [self._names.setdefault(n, len(self._names)) for n in part.issuers],
            np.int64,
        )
        late = np.flatnonzero(served & (part.start > began))
        self._starts.append(part.start[late])
        self._whose.append(place[part.issuer[late]])
        # the one that it was at when the request came, if it was still at it
        early = np.flatnonzero(served & (part.start <= began) & (part.end > began))
        if len(early):
            one = early[part.start[early].argmax()]
            self._last = max(
                self._last, (int(part.start[one]), int(place[part.issuer[one]]))
            )

    def ahead(self) -> dict[str, list[RequestsAhead]]:
        """Return what was found."""
        found = {
            stage: [
                RequestsAhead(cgroup=name, n_requests=n, wait_ns=None)
                for name, n in counts.most_common()
            ]
            for stage, counts in self._held.items()
        }
        if served := list(self._served()):
            found["dispatch"] = served
        return found

    def _served(self) -> Iterator[RequestsAhead]:
        """Share out the time until it was taken up to those that its worker was at."""
        if not self._starts:
            return
        began, until = self._began["dispatch"], self._row["start_ns"]
        starts = np.concatenate(self._starts)
        whose = np.concatenate(self._whose)
        if self._last[0] >= 0:
            starts, whose = np.append(starts, began), np.append(whose, self._last[1])
        order = np.argsort(starts, kind="stable")
        starts, whose = starts[order], whose[order]
        took = np.diff(np.append(starts, until))
        sums = np.zeros(len(self._names), np.int64)
        np.add.at(sums, whose, took)
        counts = np.bincount(whose, minlength=len(self._names))
        for name, place in sorted(self._names.items(), key=lambda one: -sums[one[1]]):
            if counts[place]:
                yield RequestsAhead(
                    cgroup=name,
                    n_requests=int(counts[place]),
                    wait_ns=int(sums[place]),
                )


def _parts(
    result: Result, columns: Sequence[str] | None, only: Sequence[int] | None = None
) -> Iterator[pa.Table]:
    from replay.results.schema import TABLES

    names = columns or TABLES["requests"].schema.names
    return parts_of(result.tables, "requests", names, only)


def _column(table: pa.Table, name: str, none: int) -> NDArray[np.int64]:
    """Return a column of integers, with a number for null."""
    column = table[name].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else None
    if column is None:
        return np.empty(0, np.int64)
    if column.null_count:
        column = column.fill_null(none)
    values: NDArray[np.int64] = column.to_numpy(zero_copy_only=False).astype(np.int64)
    return values


def _is(table: pa.Table, name: str, word: str) -> NDArray[np.bool_]:
    """Tell which rows have a word in a column."""
    column = coded(table[name])
    if word not in column.words:
        return np.zeros(table.num_rows, np.bool_)
    same: NDArray[np.bool_] = column.codes == column.words.index(word)
    return same
