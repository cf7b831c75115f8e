"""Whose requests were ahead on a plain disk, as it was recorded.

Where requests come and end as they did, nothing is replayed on a disk: what is known of
its queue is when each request was queued, was issued for the last time and completed.
Whoever waits is charged, up to each completion, to the one that completes.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.engine.columns import Columns
from replay.engine.raw import Raw
from replay.engine.setup import LOOP_MAJOR, ArrivalEvent, Resource, Setup

#: Requests that are held, 32 bytes each: of longer recordings this is not told.
MOST_REQUESTS: Final = 1 << 23
#: Waiting cgroups that are told apart on a disk; the others are one, as in the engine.
MOST_WAITING: Final = 64

Charge = tuple[int, int, int, int, int]


class Ahead:
    """Collects a recording's requests on plain disks; `charges` tells who was ahead.

    Parameters
    ----------
    setup : Setup
    """

    def __init__(self, setup: Setup) -> None:
        self._others = len(setup.parent)
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
        """Add who waited behind whom to a run's interference."""
        if self.is_full or not self._n:
            return
        rows = sorted(self._charges())
        if not rows:
            return
        table = raw["interference"]
        names = ("waiting", "blocking", "resource", "wait_ns", "count")
        for name, values in zip(names, zip(*rows, strict=True), strict=True):
            table[name] = np.append(table[name], np.array(values, table[name].dtype))

    def _charges(self) -> Iterator[Charge]:
        device, issuer, queue, issue, complete = (
            np.concatenate(values) for values in zip(*self._parts, strict=True)
        )
        sums: dict[tuple[int, int, int], list[int]] = {}
        for disk in self._disks:
            of = device == disk
            found = charges(
                issuer[of], queue[of], issue[of], complete[of], self._others
            )
            for waiting, blocking, resource, wait_ns, count in found:
                if resource == Resource.DEVICE and not self._in_device:
                    continue
                entry = sums.setdefault((waiting, blocking, resource), [0, 0])
                entry[0] += wait_ns
                entry[1] += count
        for key, (wait_ns, count) in sums.items():
            yield (*key, wait_ns, count)


def charges(
    issuer: NDArray[np.int64],
    queue: NDArray[np.int64],
    issue: NDArray[np.int64],
    complete: NDArray[np.int64],
    others: int,
) -> Iterator[Charge]:
    """Tell who waited behind whom on a disk.

    Parameters
    ----------
    issuer, queue, issue, complete : ndarray of int64, shape (n,)
        Of each request; ``issue`` is the last.
    others : int
        As whom cgroups wait beyond those that are told apart.

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
        wait_ns = int((issued[of] - queue[of]).sum())
        yield waiting, waiting, int(Resource.TAG), wait_ns, int(of.sum())
    for resource, begins, ends in (
        (Resource.QUEUE, np.where(lone, issued, queue), issued),
        (Resource.DEVICE, issue, np.maximum(issue, before)),
    ):
        for waiting in np.unique(waits_as).tolist():
            of = (waits_as == waiting) & (ends > begins)
            if of.any():
                found = _behind(begins[of], ends[of], done, blocking)
                for cgroup, wait_ns, n in found:
                    yield waiting, cgroup, int(resource), wait_ns, n


def _lone(queue: NDArray[np.int64], complete: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell of each request whether all that were queued before it had completed."""
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
) -> Iterator[tuple[int, int, int]]:
    """Charge waits, up to each completion, to the cgroup that completes."""
    begins, ends = np.sort(begins), np.sort(ends)
    # what all had waited at each completion: their sums may wrap, differences do not
    n_begun = np.searchsorted(begins, done, side="right")
    n_ended = np.searchsorted(ends, done, side="right")
    begun = np.append(0, np.cumsum(begins))[n_begun]
    ended = np.append(0, np.cumsum(ends))[n_ended]
    waited = np.diff((n_begun - n_ended) * done - begun + ended, prepend=0)
    n_before = np.searchsorted(begins, done, side="left")
    n_over = np.append(0, n_ended[:-1])
    cgroups, place = np.unique(blocking, return_inverse=True)
    sums, counts = np.zeros(len(cgroups), np.int64), np.zeros(len(cgroups), np.int64)
    np.add.at(sums, place, waited)
    np.add.at(counts, place, np.where(waited > 0, n_before - n_over, 0))
    for cgroup, wait_ns, n in zip(cgroups, sums, counts, strict=True):
        if wait_ns > 0:
            yield int(cgroup), int(wait_ns), int(n)
