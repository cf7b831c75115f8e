"""Whose requests were ahead on a plain disk, as it was recorded.

Where requests come and end as they did, nothing is replayed on a disk: what is known of
its queue is when each request was queued, was issued for the last time and completed.
Whoever waits is charged, up to each completion, to the one that completes.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.engine.columns import Columns
from replay.engine.raw import Raw
from replay.engine.setup import LOOP_MAJOR, ArrivalEvent, ArrivalMode, Resource, Setup

#: Requests that are held, 32 bytes each: of longer recordings this is not told.
MOST_REQUESTS: Final = 1 << 23
#: Waiting cgroups that are told apart on a disk; the others are one, as in the engine.
MOST_WAITING: Final = 64

_KEY: Final = ("waiting", "blocking", "resource")
Charge = tuple[int, int, int, int, int]


class Ahead:
    """Collects a recording's requests on plain disks; `charges` tells who was ahead.

    Parameters
    ----------
    setup : Setup
    """

    def __init__(self, setup: Setup) -> None:
        self._others = len(setup.parent)
        # where arrivals depend on completions, these are at other times than recorded
        recorded = setup.mode == ArrivalMode.RECORDED
        self._interval_ns = setup.interval_ns if recorded else 0
        # else a disk beside a buffered loop device is served as that one is, and what
        # its requests waited for each other is no part of their service
        self._in_device = setup.trace_direct_io
        self._disks = [
            at
            for at, device in enumerate(setup.devices.tolist())
            if device >> 20 != LOOP_MAJOR
        ]
        self._parts: list[tuple[NDArray[np.int64], ...]] = []
        self._n = 0

    @classmethod
    def of(cls, setup: Setup) -> "Ahead | None":
        """Return one if a run tells nothing of plain disks itself, else None."""
        ahead = cls(setup)
        if setup.event != ArrivalEvent.AS_QUEUED or not ahead._disks:
            return None
        return ahead

    @property
    def is_full(self) -> bool:
        """Whether there were more requests than are held."""
        return self._n > MOST_REQUESTS

    def add(self, columns: Columns) -> None:
        """Take a batch of rows in."""
        if self.is_full:
            return
        wanted = np.isin(columns.device, self._disks)
        wanted &= (columns.queue_ns >= 0) & (columns.issue_ns >= 0)
        wanted &= columns.complete_ns >= columns.issue_ns
        self._n += int(wanted.sum())
        self._parts.append(
            (
                columns.device[wanted].astype(np.int64),
                columns.issuer[wanted].astype(np.int64),
                columns.queue_ns[wanted],
                columns.issue_ns[wanted],
                columns.complete_ns[wanted],
            )
        )

    def add_to(self, raw: Raw) -> None:
        """Add who waited behind whom to a run's interference, and to its timeline."""
        if self.is_full or not self._n:
            return
        blocked = None
        if self._interval_ns:
            blocked = _Blocked(raw["timeline"], self._interval_ns, self._others)
        rows = sorted(self._charges(blocked))
        if not rows:
            return
        table = raw["interference"]
        # a loop device's waits for tags may stand there
        keys = zip(*(table[name].tolist() for name in _KEY), strict=True)
        known = {key: at for at, key in enumerate(keys)}
        more = [row for row in rows if row[:3] not in known]
        for row in rows:
            if (at := known.get(row[:3])) is not None:
                table["wait_ns"][at] += row[3]
                table["count"][at] += row[4]
        for at, name in enumerate((*_KEY, "wait_ns", "count")):
            column = np.array([row[at] for row in more], table[name].dtype)
            table[name] = np.append(table[name], column)

    def _charges(self, blocked: "_Blocked | None") -> Iterator[Charge]:
        device, issuer, queue, issue, complete = (
            np.concatenate(values) for values in zip(*self._parts, strict=True)
        )
        sums: dict[tuple[int, int, int], list[int]] = {}
        for disk in self._disks:
            of = device == disk
            found = charges(
                *(issuer[of], queue[of], issue[of], complete[of]),
                others=self._others,
                in_device=self._in_device,
                blocked=blocked,
            )
            for waiting, blocking, resource, wait_ns, count in found:
                entry = sums.setdefault((waiting, blocking, resource), [0, 0])
                entry[0] += wait_ns
                entry[1] += count
        for key, (wait_ns, count) in sums.items():
            yield (*key, wait_ns, count)


class _Blocked:
    """Adds to a timeline how long others waited for each cgroup.

    Parameters
    ----------
    timeline : dict of str to ndarray
        In the order of intervals and cgroups; ``blocked_ns`` is changed.
    interval_ns, n_cgroups : int
    """

    def __init__(
        self, timeline: dict[str, NDArray[Any]], interval_ns: int, n_cgroups: int
    ) -> None:
        self._interval_ns = interval_ns
        self._n_cgroups = n_cgroups
        self._cells = self._cell(timeline["interval"], timeline["cgroup"])
        self._blocked_ns = timeline["blocked_ns"] = timeline["blocked_ns"].copy()

    def add(
        self,
        done: NDArray[np.int64],
        blocking: NDArray[np.int64],
        waited: NDArray[np.int64],
    ) -> None:
        """Add what was waited up to each completion, where that is counted."""
        of = waited > 0
        cells = self._cell(done[of] // self._interval_ns, blocking[of])
        at = np.searchsorted(self._cells, cells)
        known = self._cells.take(at, mode="clip") == cells
        np.add.at(self._blocked_ns, at[known], waited[of][known])

    def _cell(
        self, interval: NDArray[np.int64], cgroup: NDArray[Any]
    ) -> NDArray[np.int64]:
        """Return the number of a row as the timeline has them in order."""
        return interval * self._n_cgroups + cgroup.astype(np.int64)


def charges(
    issuer: NDArray[np.int64],
    queue: NDArray[np.int64],
    issue: NDArray[np.int64],
    complete: NDArray[np.int64],
    *,
    others: int,
    in_device: bool = True,
    blocked: _Blocked | None = None,
) -> Iterator[Charge]:
    """Tell who waited behind whom on a disk.

    Parameters
    ----------
    issuer, queue, issue, complete : ndarray of int64, shape (n,)
        Of each request; ``issue`` is the last.
    others : int
        As whom cgroups wait beyond those that are told apart.
    in_device : bool
        Tell of waits in the device too.
    blocked : _Blocked or None
        Is told when.

    Yields
    ------
    tuple of int
        Waiting, blocking, `Resource`, ns and waits of one request for one completion.
        In the queue a request waits until it is issued, in the device until the one
        before it completes. One that was queued while the disk had nothing to do waits
        for nobody: what passes until it is issued is its own, for a tag at most.
    """
    if not len(issuer):
        return
    order = np.argsort(complete, kind="stable")
    done, blocking = complete[order], issuer[order]
    before = np.empty_like(complete)
    before[order[1:]] = done[:-1]
    before[order[0]] = 0
    cgroups, place, count = np.unique(issuer, return_inverse=True, return_counts=True)
    told = np.sort(np.argsort(-count, kind="stable")[:MOST_WAITING])
    waiting_as = np.full(len(cgroups), others)
    waiting_as[told] = cgroups[told]
    waits_as = waiting_as[place]
    issued = np.maximum(queue, issue)
    lone = _lone(queue, complete) & (issued > queue)
    for waiting in np.unique(waits_as[lone]).tolist():
        of = lone & (waits_as == waiting)
        waited = issued[of] - queue[of]
        if blocked is not None:
            blocked.add(complete[of], issuer[of], waited)
        yield waiting, waiting, int(Resource.TAG), int(waited.sum()), int(of.sum())
    for resource, begins, ends in (
        (Resource.QUEUE, np.where(lone, issued, queue), issued),
        (Resource.DEVICE, issue, np.maximum(issue, before)),
    )[: 1 + in_device]:
        for waiting in np.unique(waits_as).tolist():
            of = (waits_as == waiting) & (ends > begins)
            if of.any():
                found = _behind(begins[of], ends[of], done, blocking, blocked)
                for cgroup, wait_ns, n in found:
                    yield waiting, cgroup, int(resource), wait_ns, n


def _lone(queue: NDArray[np.int64], complete: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say of each request whether all that were queued before it had completed."""
    order = np.argsort(queue, kind="stable")
    last = np.maximum.accumulate(complete[order])
    lone = np.ones(len(queue), np.bool_)
    lone[order[1:]] = last[:-1] <= queue[order[1:]]
    return lone


def _behind(
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    done: NDArray[np.int64],
    blocking: NDArray[np.int64],
    blocked: _Blocked | None,
) -> Iterator[tuple[int, int, int]]:
    """Charge waits, up to each completion, to the cgroup that completes."""
    begins, ends = np.sort(begins), np.sort(ends)
    # what all had waited at each completion: their sums may wrap, differences do not
    n_begun = np.searchsorted(begins, done, side="right")
    n_ended = np.searchsorted(ends, done, side="right")
    begun = np.append(0, np.cumsum(begins))[n_begun]
    ended = np.append(0, np.cumsum(ends))[n_ended]
    waited = np.diff((n_begun - n_ended) * done - begun + ended, prepend=0)
    if blocked is not None:
        blocked.add(done, blocking, waited)
    n_before = np.searchsorted(begins, done, side="left")
    n_over = np.append(0, n_ended[:-1])
    cgroups, place = np.unique(blocking, return_inverse=True)
    sums, counts = np.zeros(len(cgroups), np.int64), np.zeros(len(cgroups), np.int64)
    np.add.at(sums, place, waited)
    np.add.at(counts, place, np.where(waited > 0, n_before - n_over, 0))
    for cgroup, wait_ns, n in zip(cgroups, sums, counts, strict=True):
        if wait_ns > 0:
            yield int(cgroup), int(wait_ns), int(n)
