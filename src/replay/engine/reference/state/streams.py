"""Dependent arrivals: a request comes when what its process waited for has ended."""

from replay.engine.columns import Columns
from replay.engine.dependence import Streams
from replay.engine.reference.state.events import Kind
from replay.engine.reference.state.requests import Request
from replay.engine.reference.state.run import Run


class Stream:
    """One process on one device: its requests in queue order."""

    def __init__(
        self, rows: list[int], think_ns: list[int], needs: list[int], starts: list[int]
    ) -> None:
        self.rows = rows
        self.think_ns = think_ns
        #: Completions of its I/Os that each waits for, and I/Os that begin with it.
        self.needs = needs
        self.starts = starts
        self.next = 0
        self.completions = 0
        self.delay_ns = 0
        self.debt_ns = 0  # slept before the request that is about to be queued
        self.is_kernel = False
        self.waits = False
        self.owes = False  # it sleeps before its next request, if its cgroup does


class Dependents:
    """All streams of a run; none where arrivals are as recorded."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.all: list[Stream] = []
        self.columns: Columns | None = None
        self.service: list[int] = []

    def __getitem__(self, index: int) -> Stream:
        return self.all[index]

    def follow(self, columns: Columns, service: list[int], streams: Streams) -> None:
        """Begin every stream."""
        self.columns, self.service = columns, service
        for s in range(len(streams.pid)):
            lo, hi = int(streams.start[s]), int(streams.start[s + 1])
            rows = [int(row) for row in streams.order[lo:hi]]
            think = [int(ns) for ns in streams.think_ns[lo:hi]]
            needs = [int(n) for n in streams.needs[lo:hi]]
            starts = [int(n) for n in streams.starts[lo:hi]]
            stream = Stream(rows, think, needs, starts)
            stream.is_kernel = int(streams.pid[s]) in self.run.setup.kernel_pids
            self.all.append(stream)
            self.release_next(s, 0)

    def release_next(self, index: int, base_ns: int) -> None:
        """Release a stream's next request, or wait for the completion it depends on."""
        stream = self.all[index]
        i = stream.next
        if i == len(stream.rows):
            return
        if stream.completions < stream.needs[i]:
            stream.waits = True
            return
        at = base_ns + stream.think_ns[i] + stream.delay_ns
        stream.debt_ns, stream.delay_ns = stream.delay_ns, 0
        self.run.push(at, Kind.RELEASE, stream.rows[i], payload=index)

    def delay(self, index: int, delay_ns: int) -> None:
        """Delay a process when it comes from the kernel; kernel threads never do.

        Source: block/blk-cgroup.c:blkcg_schedule_throttle(), v6.1.
        """
        if index >= 0 and not self.all[index].is_kernel:
            stream = self.all[index]
            stream.delay_ns = max(stream.delay_ns, delay_ns)

    def issuer(self, position: int) -> int:
        """Return whose request stands in a row."""
        assert self.columns is not None
        return int(self.columns.issuer[position])

    def starts_of(self, index: int) -> int:
        """Return the I/Os that begin with the request that a stream released last."""
        return 1 if index < 0 else self.all[index].starts[self.all[index].next - 1]

    def completes(self, request: Request, now: int) -> None:
        """Count a stream's completion; a request that waited for it may follow."""
        index = request.stream
        if index < 0:
            return
        stream = self.all[index]
        stream.completions += request.starts
        if stream.waits:
            stream.waits = False
            self.release_next(index, now)

    def loses(self, index: int) -> None:
        """Count a request that does not come; it is the last that was released.

        Nothing else completes that the stream's next request could wait for.
        """
        if index >= 0:
            self.all[index].completions += self.starts_of(index)
