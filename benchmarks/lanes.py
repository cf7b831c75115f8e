"""Requests of a generated trace, chunk after chunk, as numpy columns.

A lane is a place in flight: its requests follow each other, each after the completion
of the one before and a think time, so `depth` lanes keep at most that many in flight.
Lanes have pages of their own, so that what is open never overlaps, and ticks of their
own (time = tick * depth + lane), so that no two events have the same time: the order of
the records, and their pairing, is certain.

Everything is drawn from the raw output of PCG64, which numpy promises never to change,
with integers only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.shape import PAGE_BYTES, Shape, cgroup_id, device_of, process_pid
from replay.trace.file.schema import FLAGS, OP_CODES

Int64s = NDArray[np.int64]
Uint64s = NDArray[np.uint64]

#: Time of the first event is a little behind this: the machine was up for a while.
BOOTED_NS: Final = 5_000_000_000_000
#: Requests made at once: their records lie in the cache of the second level.
CHUNK_REQUESTS: Final = 1 << 13
#: Steps from Q to D; each at least one tick.
STEP_NS: Final = 128
Q, G, Q2, M, P, I, U, D = range(8)  # noqa: E741
SECTORS_PER_PAGE: Final = PAGE_BYTES // 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """A chunk of requests, each array of shape (n,).

    Attributes
    ----------
    step_ns : int
        The k-th step of a request is at ``queue_ns + k * step_ns`` up to I and U.
    queue_ns, issue_ns, complete_ns : ndarray of int64
        On the monotonic clock; no two of any request are equal.
    process, cgroup : ndarray of int64
        Numbers from 0.
    device : ndarray of int64
        Number from 0.
    cpu, done_cpu : ndarray of int64
        Of the submission and of the completion.
    sector : ndarray of int64
    bio_bytes, nbytes : ndarray of int64
        Of the first bio and of all.
    op : ndarray of int8
    sync, merged, plugged : ndarray of bool
    """

    step_ns: int
    queue_ns: Int64s
    issue_ns: Int64s
    complete_ns: Int64s
    process: Int64s
    cgroup: Int64s
    device: Int64s
    cpu: Int64s
    done_cpu: Int64s
    sector: Int64s
    bio_bytes: Int64s
    nbytes: Int64s
    op: NDArray[np.int8]
    sync: NDArray[np.bool_]
    merged: NDArray[np.bool_]
    plugged: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.queue_ns)

    @property
    def n_bios(self) -> Int64s:
        """Bios of each request."""
        return self.merged.astype(np.int64) + 1

    @property
    def cgroup_ids(self) -> Int64s:
        """Id of each request's cgroup."""
        return cgroup_id(0) + (cgroup_id(1) - cgroup_id(0)) * self.cgroup

    @property
    def pids(self) -> Int64s:
        """Pid of each request's process."""
        return process_pid(0) + self.process

    @property
    def devices(self) -> Int64s:
        """Device number of each request."""
        return device_of(0) + self.device

    @property
    def flags(self) -> NDArray[np.uint16]:
        """The trace file's flags of each request."""
        return self.sync.astype(np.uint16) * np.uint16(FLAGS["sync"])


class Lanes:
    """The lanes of a trace.

    Parameters
    ----------
    shape : Shape

    Attributes
    ----------
    start_ns : int
        Time of the first event.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._random = np.random.PCG64(shape.seed)
        self._lane = np.arange(shape.depth, dtype=np.int64)
        first = BOOTED_NS // shape.depth
        spread = self._ticks(shape.think_ns + shape.base_ns)
        self._clock = first + self._draw(shape.depth) % spread
        self._page = np.zeros(shape.depth, np.int64)
        self._sizes = np.repeat(
            np.array([size for size, _ in shape.sizes], np.int64),
            [weight for _, weight in shape.sizes],
        )
        self.start_ns = int((self._clock * shape.depth + self._lane).min())

    def _draw(self, n: int) -> Int64s:
        """Return n numbers of 63 random bits."""
        return (self._random.random_raw(n) >> np.uint64(1)).view(np.int64)

    def _ticks(self, ns: int) -> int:
        return max(1, ns // self.shape.depth)

    def chunks(self) -> Iterator[tuple[Requests, int]]:
        """Make all requests.

        Yields
        ------
        tuple of (Requests, int)
            And a time that no event of a later chunk lies before.
        """
        shape = self.shape
        rounds = -(-CHUNK_REQUESTS // (shape.depth * shape.burst)) * shape.burst
        left = shape.requests
        while left > 0:
            requests = self._chunk(rounds, left)
            left -= len(requests)
            watermark = int((self._clock * shape.depth + self._lane).min())
            yield requests, watermark if left else np.iinfo(np.int64).max

    def _chunk(self, rounds: int, most: int) -> Requests:
        """Make one chunk: the draws are used up from their lowest bits."""
        shape = self.shape
        dims = (rounds, shape.depth)
        draw = self._draw(rounds * shape.depth)
        op = self._op(draw & 255)
        merged = (draw >> 8 & 255) < shape.merges
        merged &= op != OP_CODES["discard"]
        plugged = (draw >> 16 & 255) < shape.plugs
        bio_bytes = self._sizes[draw >> 24 & 15]
        nbytes = bio_bytes << merged
        sync = (op == OP_CODES["read"]) | (draw >> 28 & 1 == 1)
        latency = self._latency(draw >> 29 & 1023, nbytes)
        think = 2 * self._ticks(shape.think_ns) * (draw >> 39 & 1023) >> 10
        moved, done_moved = draw >> 49 & 15, draw >> 53 & 3

        draw = self._draw(rounds * shape.depth)
        process = (draw & 0xFFFFFFF).reshape(dims)[:: shape.burst]
        process = (process * shape.n_processes >> 28).repeat(shape.burst, axis=0)
        process = process.reshape(-1)
        sector = SECTORS_PER_PAGE * self._pages(draw >> 28, nbytes // PAGE_BYTES)

        step = self._ticks(STEP_NS)
        issue = D * step + (draw & 255) % self._ticks(256)
        took = issue + latency + 1 + think
        ends = self._clock + np.cumsum(took.reshape(dims), axis=0)
        clock = ends.reshape(-1) - took
        self._clock = ends[-1]
        cgroup = process % shape.cgroups
        cpu = (process + (moved == 0)) % shape.cpus
        lane = np.broadcast_to(self._lane, dims).reshape(-1)
        columns = {
            "queue_ns": clock * shape.depth + lane,
            "issue_ns": (clock + issue) * shape.depth + lane,
            "complete_ns": (clock + issue + latency) * shape.depth + lane,
            "process": process,
            "cgroup": cgroup,
            "device": (process // shape.cgroups + cgroup) % shape.devices,
            "cpu": cpu,
            "done_cpu": (cpu + (done_moved == 0)) % shape.cpus,
            "sector": sector,
            "bio_bytes": bio_bytes,
            "nbytes": nbytes,
            "op": op,
            "sync": sync,
            "merged": merged,
            "plugged": plugged,
        }
        return Requests(
            step_ns=step * shape.depth,
            **{name: values[:most] for name, values in columns.items()},
        )

    def _op(self, share: Int64s) -> NDArray[np.int8]:
        shape = self.shape
        op = np.full(256, OP_CODES["write"], np.int8)
        op[: shape.reads] = OP_CODES["read"]
        op[shape.reads : shape.reads + shape.discards] = OP_CODES["discard"]
        return op[share]

    def _latency(self, tail: Int64s, nbytes: Int64s) -> Int64s:
        """Return ticks: the base, the bytes, and a tail of up to four times that."""
        ns = self.shape.base_ns + nbytes // 4
        ns += 4 * self.shape.base_ns * (tail * tail * tail >> 20) >> 10
        return np.maximum(1, ns // self.shape.depth)

    def _pages(self, draw: Int64s, span: Int64s) -> Int64s:
        """Return the first page of each request, inside its lane's part."""
        shape = self.shape
        per_lane = shape.lane_pages
        dims = (-1, shape.depth)
        if shape.sequential:
            ends = self._page + np.cumsum(span.reshape(dims), axis=0)
            self._page = ends[-1]
            page = (ends - span.reshape(dims)).reshape(-1)
            page %= per_lane - shape.span_pages + 1
        else:
            page = (draw & 0x7FFFFFFF) * (per_lane - span + 1) >> 31
        return (page.reshape(dims) + self._lane * per_lane).reshape(-1)
