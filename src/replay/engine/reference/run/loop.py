"""The event loop: arrivals, stages, completions, in a total order."""

from replay.common.errors import ModelError
from replay.engine.columns import FAILED, NO_TASK, Columns
from replay.engine.dependence import Streams
from replay.engine.raw import Raw
from replay.engine.reference.counting.journal import Journals
from replay.engine.reference.counting.timeline import Cells, Timeline
from replay.engine.reference.driver.nested import surface
from replay.engine.reference.run.results import look, raw_tables
from replay.engine.reference.run.stages import Stages
from replay.engine.reference.service import UNKNOWN
from replay.engine.reference.state.events import CONTROLLERS, Kind
from replay.engine.reference.state.nested import is_outer
from replay.engine.reference.state.requests import Request
from replay.engine.reference.state.row_checks import (
    arrival_of,
    beyond_files,
    enters_driver,
    prior_of,
)
from replay.engine.setup import (
    NOT_REPLAYED,
    ArrivalEvent,
    Resource,
    Setup,
)
from replay.trace.file.schema import FLAGS, OP_CODES

READ, DISCARD, FLUSH = OP_CODES["read"], OP_CODES["discard"], OP_CODES["flush"]
EXCLUSIVE = (OP_CODES["write"], DISCARD, OP_CODES["write_zeroes"])


class Reference(Stages):
    """Replay batches of requests; `finish` gives the raw results.

    Parameters
    ----------
    setup : Setup
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.timeline = Timeline(setup.interval_ns, len(setup.parent))
        self.journals = Journals(self.out, journaled=setup.journaled)

    # -- input ------------------------------------------------------------------

    def feed(self, columns: Columns, service: list[int]) -> None:
        """Replay a batch, rows in the order of their arrival."""
        for i in range(len(columns)):
            at = arrival_of(self.setup, columns, i)
            self.run_until(at, int(Kind.ARRIVE), int(columns.row[i]))
            self.run.now = at
            self.timeline.passes(at, self.look)
            self.queue(columns, i, service[i], at, -1)

    def follow(self, columns: Columns, service: list[int], streams: Streams) -> None:
        """Replay all rows with dependent arrivals."""
        # streams hold what is replayed alone
        self.out.counts["other_devices"] += len(columns) - len(streams.order)
        self.streams.follow(columns, service, streams)
        self.run_until(None, 0, 0)

    def finish(self) -> Raw:
        """Let everything in flight complete and return the results."""
        self.run_until(None, 0, 0)
        self.controllers.iocost.finish()
        self.timeline.cut(self.look)
        return raw_tables(
            self.run,
            self.out,
            self.memory,
            self.dispatcher,
            self.controllers.iocost,
            self.interference,
            self.timeline,
        )

    # -- events -----------------------------------------------------------------

    def run_until(self, at: int | None, kind: int, sequence: int) -> None:
        """Run the events before a point in the total order, or all that matter."""
        while self.run.heap and (self.run.pending or at is not None):
            if at is not None and self.run.heap[0][:3] > (at, kind, sequence):
                return
            event, sequence_, payload = self.run.pop()
            now = self.run.now
            self.timeline.passes(now, self.look)
            if event == Kind.COMPLETE:
                self.complete(self.run.flying[sequence_], now)
            elif event == Kind.MEMORY:
                self.wake(self.run.flying[sequence_], now)
            elif event == Kind.LOCK:
                self.lock_event(sequence_, payload, now)
            elif event in CONTROLLERS:
                self.controllers.event(event, sequence_, payload, now)
            elif event == Kind.TIMER and sequence_ >= len(self.setup.devices):
                assert self.memory.cache is not None
                self.memory.cache.timer(sequence_ - len(self.setup.devices), now)
                self.arm_write_back()
            elif event == Kind.TIMER:
                again = self.dispatcher.timer(sequence_, now)
                if again is not None:
                    self.run.push(again, Kind.TIMER, sequence_)
            elif event == Kind.SERVED:
                self.disk_served(self.run.flying[sequence_], now)
            elif event == Kind.QUEUE:
                disk = self.disks[sequence_]
                assert disk is not None
                disk.wake()
                self.run_queue(disk, now)
            elif event == Kind.RELEASE:
                self.release(sequence_, payload, now)
            else:
                self.arrive(self.run.flying[sequence_], now)

    def look(self) -> Cells:
        """Return everything counted so far, by cgroup."""
        return look(self.out, self.memory, self.interference)

    # -- stages -----------------------------------------------------------------

    def release(self, position: int, index: int, now: int) -> None:
        """Queue a stream's request, unless the stream has to sleep first."""
        issuer = self.streams.issuer(position)
        if delay_ns := self.controllers.stream_delay(index, issuer):
            self.streams[index].debt_ns += delay_ns
            self.run.push(now + delay_ns, Kind.RELEASE, position, payload=index)
            return
        streams = self.streams
        assert streams.columns is not None
        streams[index].next += 1
        self.queue(streams.columns, position, streams.service[position], now, index)
        streams.release_next(index, now)

    def queue(
        self, columns: Columns, i: int, service_ns: int, now: int, stream: int
    ) -> None:
        """Take a row in: it is queued, or issued with recorded arrivals by issue."""
        out = self.out
        device = int(columns.device[i])
        if device == NOT_REPLAYED:
            out.counts["other_devices"] += 1
            return
        if beyond_files(self.setup, columns, i):
            raise ModelError(f"row {int(columns.row[i])}: ends beyond sector 2**60")
        task, nbytes = int(columns.task[i]), int(columns.nbytes[i])
        queue, issue = int(columns.queue_ns[i]), int(columns.issue_ns[i])
        queued_ns = now if stream >= 0 or queue < 0 else queue
        killed = task != NO_TASK and self.memory.stopped(task, queued_ns)
        if killed or self.journals.stops(
            device, int(columns.op[i]), int(columns.issuer[i]), nbytes, queued_ns
        ):
            if task != NO_TASK:
                self.memory.task_skips(task)
            out.counts["stopped"] += killed
            self.streams.loses(stream)
            return
        request = Request(
            row=int(columns.row[i]),
            device=device,
            op=int(columns.op[i]),
            sector=int(columns.sector[i]),
            nbytes=nbytes,
            n_bios=int(columns.n_bios[i]),
            issuer=int(columns.issuer[i]),
            pid=int(columns.pid[i]),
            task=task,
            service_ns=max(0, service_ns),
            known=service_ns != UNKNOWN,
            is_meta=bool(columns.flags[i] & FLAGS["meta"]),
            failed=bool(columns.flags[i] & FAILED),
            stream=stream,
            starts=self.streams.starts_of(stream),
            prior_ns=prior_of(self.setup, columns, i),
            debt_ns=self.streams[stream].debt_ns if stream >= 0 else 0,
        )
        self.run.end_ns = max(self.run.end_ns, now)
        out.issued(request)
        if task != NO_TASK:
            self.memory.task_arrives(task, request, queue)
        if not enters_driver(self.setup, columns, i):
            out.counts["unissued"] += 1
            self.passes_by(request, columns, i, now)
            return
        out.counts["requests"] += 1
        # who owed slept for nobody else
        self.interference.add(
            *(request.issuer, request.issuer, Resource.THROTTLE),
            *(request.debt_ns, 1),
        )
        self.run.flying[request.row] = request
        delay = 0
        if stream >= 0 and self.setup.event != ArrivalEvent.QUEUE:
            delay = max(0, issue - queue) if issue >= 0 and queue >= 0 else 0
        if delay:
            self.run.push(now + delay, Kind.ARRIVE, request.row)
        else:
            self.arrive(request, now)

    def passes_by(self, request: Request, columns: Columns, i: int, now: int) -> None:
        """Pass by a row the driver never saw: its stream waits for its end, if any."""
        queue, complete = int(columns.queue_ns[i]), int(columns.complete_ns[i])
        if request.stream < 0 or complete < 0:
            self.streams.loses(request.stream)
            if request.task != NO_TASK:
                self.memory.task_completes(request.task, request)
            return
        self.run.flying[request.row] = request
        self.run.push(
            now + max(0, complete - max(queue, 0)), Kind.COMPLETE, request.row
        )

    def lock_event(self, device: int, version: int, now: int) -> None:
        """Complete the holders of the shared lock that are done."""
        if version != self.lock_version[device]:
            return
        while (request := self.shared[device].finished(now)) is not None:
            request.lock_ns = request.device_ns = now - request.service_ns
            self.complete(request, now)
        self.schedule_lock(device)

    def disk_served(self, request: Request, now: int) -> None:
        """Let a disk serve the next request, and answer those that it does."""
        disk = self.disks[request.device]
        assert disk is not None
        successor, answered = disk.served(request, now)
        if successor is not None:
            self.run.push(now + successor.service_ns, Kind.SERVED, successor.row)
        for one in answered:
            self.run.push(now + disk.delay_ns, Kind.COMPLETE, one.row)

    def complete(self, request: Request, now: int) -> None:
        """Go on with a request that is served: its pages are touched."""
        request.served_ns = now
        if request.worker >= 0 and not is_outer(self.setup, request):
            until = self.touch(request, now)
            if until is not None:
                self.sleep(request, now, until)
                return
        self.end(request, now)

    def touch(self, request: Request, now: int) -> int | None:
        """Touch pages; return until when the worker sleeps, if it does."""
        until = self.memory.touch(request, now)
        self.arm_write_back()
        return until

    def arm_write_back(self) -> None:
        """Set the timers of files that have become dirty."""
        if self.memory.cache is None:
            return
        for at, device in self.memory.cache.to_arm:
            self.run.push(at, Kind.TIMER, len(self.setup.devices) + device)
        self.memory.cache.to_arm.clear()

    def sleep(self, request: Request, now: int, until: int) -> None:
        """Let the worker sleep for a limit, with all that it holds."""
        request.memory_ns += until - now
        self.interference.add(
            *(request.issuer, request.blocking_cgroup, Resource.MEMORY),
            *(until - now, 1),
        )
        if request.shares_lock:
            self.shared[request.device].freeze(now)
            self.schedule_lock(request.device)
        self.run.push(until, Kind.MEMORY, request.row)

    def wake(self, request: Request, now: int) -> None:
        """Go on touching pages after a sleep."""
        if request.shares_lock:
            self.shared[request.device].thaw(request, now)
        self.memory.reap(now)
        until = self.touch(request, now)
        if until is not None:
            self.sleep(request, now, until)
            return
        if request.shares_lock:
            self.schedule_lock(request.device)
        self.end(request, now)

    def end(self, request: Request, now: int) -> None:
        """End a request: let go of all it holds, count it."""
        self.run.end_ns = max(self.run.end_ns, now)
        if request.outer is not None:
            self.out.took(request, now)
            self.let_go(request, now)
            surface(request)
            request.served_ns = now
        self.run.flying.pop(request.row, None)
        if request.worker >= 0:
            self.out.completed(request, now)
            self.journals.ended(request, now)
        if request.task != NO_TASK:
            self.memory.task_completes(request.task, request)
        if request.worker >= 0:
            self.let_go(request, now)
        self.streams.completes(request, now)

    def let_go(self, request: Request, now: int) -> None:
        """Give back device, lock, worker and tag; whoever waits for each goes on."""
        device = request.device
        self.controllers.done(request, now)
        disk = self.disks[device]
        if disk is not None:
            if disk.completed(request, now):
                self.run.push(now + disk.requeue_ns, Kind.QUEUE, device)
        elif self.device_is_on and not (
            is_outer(self.setup, request) or request.shares_lock
        ):
            successor = self.servers[device].leave(request, now)
            if successor is not None:
                self.served_from(successor, now)
        if request.holds_lock:
            successor = self.locks[device].leave(request, now)
            if successor is not None:
                successor.lock_ns = now
                self.serve(successor, now)
        if not self.only_submits(request):
            worker = self.worker_of(request)
            worker.busy_ns += now - request.start_ns
            self.start(self.next_command(request, now), now)
        if self.waits_above(request) and disk is None:
            successor = self.tags[device].leave(request, now)
            if successor is not None:
                self.dispatch(successor, now)
