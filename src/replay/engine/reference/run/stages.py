"""The stages of a request on its way in: limits, tag, worker, lock, device."""

from collections.abc import Sequence

from replay.engine.reference.charging.tmpfs import Memory
from replay.engine.reference.controllers.bfq import BfqServer
from replay.engine.reference.counting import charges as tables
from replay.engine.reference.counting.waits import Interference
from replay.engine.reference.disk.disk import Disk
from replay.engine.reference.driver.nested import descend, goes_down
from replay.engine.reference.driver.submits import is_asynchronous
from replay.engine.reference.driver.workers import Dispatcher, Worker
from replay.engine.reference.queues.server import Server
from replay.engine.reference.queues.shared_lock import SharedLock
from replay.engine.reference.run.controller_events import Controllers
from replay.engine.reference.state.events import Kind
from replay.engine.reference.state.nested import is_outer
from replay.engine.reference.state.requests import Request
from replay.engine.reference.state.run import Run
from replay.engine.reference.state.streams import Dependents
from replay.engine.setup import ArrivalEvent, Resource, Setup
from replay.trace.file.schema import OP_CODES

DISCARD = OP_CODES["discard"]
EXCLUSIVE = (OP_CODES["write"], DISCARD, OP_CODES["write_zeroes"])


class Stages:
    """What requests pass through until they are served, and what that shares.

    Parameters
    ----------
    setup : Setup
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.run = Run(setup)
        others = len(setup.parent)
        self.interference = Interference()
        self.dispatcher = Dispatcher(setup, self.interference)
        self.memory = Memory(setup)
        self.out = tables.Tables(setup, self.interference)
        self.streams = Dependents(self.run)
        self.controllers = Controllers(
            self.run, self, self.streams, self.out, self.interference
        )
        parallel = setup.lock_is_parallel
        self.lock_is_on = not setup.direct_io and (not parallel or setup.may_sleep)
        self.lock_is_shared = parallel or (setup.lock_per_page and setup.tmpfs)
        self.device_is_on = setup.has_places
        make = [Resource.TAG, Resource.LOCK, Resource.DEVICE]
        capacity = [
            *(setup.tags, 1),
            setup.processors if setup.tmpfs else setup.parallel,
        ]
        self.servers: Sequence[Server]
        self.tags, self.locks, self.servers = (
            [Server(c, r, others, self.interference) for _ in setup.devices]
            for c, r in zip(capacity, make, strict=True)
        )
        if self.device_is_on and len(setup.bfq_weight) and not setup.tmpfs:
            self.servers = [BfqServer(setup, self.interference) for _ in setup.devices]
        self.disks = [
            Disk(setup, device, self.interference) if setup.is_disk(device) else None
            for device in range(len(setup.devices))
        ]
        self.shared = [
            SharedLock(Resource.LOCK, others, self.interference, parallel=parallel)
            for _ in setup.devices
        ]
        self.lock_version = [0] * len(setup.devices)

    def only_submits(self, request: Request) -> bool:
        """Return True if the worker is free again once it has submitted a request."""
        if self.disks[request.device] is not None:
            return True
        outer = is_outer(self.setup, request)
        return is_asynchronous(
            request.op,
            self.setup.direct_io or outer,
            self.setup.policy,
            outer or self.setup.are_loops[request.device],
        )

    def waits_above(self, request: Request) -> bool:
        """Return True if the device's own limits and tags are replayed."""
        by_queue = self.setup.event == ArrivalEvent.QUEUE
        return by_queue or request.outer is not None

    def arrive(self, request: Request, now: int) -> None:
        """Begin: by ``queue`` events at the traced device's own limits."""
        request.arrival_ns = now
        if self.waits_above(request) and not self.controllers.above(request, now):
            return
        self.enter_queue(request, now)

    def enter_queue(self, request: Request, now: int) -> None:
        """Wait in the traced device's queue, if it is a plain disk."""
        request.queued_ns = now
        disk = self.disks[request.device]
        if disk is None:
            self.take_tag(request, now)
            return
        disk.enter(request, now)
        self.run_queue(disk, now)

    def run_queue(self, disk: Disk, now: int) -> None:
        """Issue what a disk has room for."""
        for request in disk.run(now):
            request.tag_ns = now
            self.dispatch(request, now)

    def take_tag(self, request: Request, now: int) -> None:
        """Enter the driver; by ``queue`` events, once a tag is free."""
        request.tag_ns = now
        tags = self.tags[request.device]
        if self.waits_above(request) and not tags.enter(request, now):
            return
        self.dispatch(request, now)

    def dispatch(self, request: Request, now: int) -> None:
        """Hand the command to its worker."""
        request.dispatch_ns = now
        worker = self.dispatcher.pick(request, now)
        self.out.charged(request)
        active = self.dispatcher.active
        if worker.server.enter(request, now) and (
            active is None or active[request.device].enter(request, now)
        ):
            self.start(request, now)

    def worker_of(self, request: Request) -> Worker:
        """Return the worker that serves a request."""
        return self.dispatcher.devices[request.device].workers[request.worker]

    def start(self, request: Request | None, now: int) -> None:
        """Let a worker handle its next commands until one keeps it busy."""
        while request is not None:
            request.start_ns = now
            if not self.only_submits(request):
                self.lock(request, now)
                return
            request.lock_ns = now
            if is_outer(self.setup, request):
                # the limits below are the inner device's own
                successor = self.next_command(request, now)
                self.serve(request, now)
                request = successor
                continue
            if self.controllers.below(request, now):
                self.serve(request, now)
            elif request.holds_worker:
                return
            request = self.next_command(request, now)

    def next_command(self, request: Request, now: int) -> Request | None:
        """Take the worker's next command, or let it idle.

        Where few workers may run at once, the one that idles makes room for another
        one, whose first command is the next.
        """
        worker = self.worker_of(request)
        successor = worker.server.leave(request, now)
        if successor is None:
            timer = self.dispatcher.runs_out(request.device, worker, now)
            if timer is not None:
                self.run.push(timer, Kind.TIMER, request.device)
            if self.dispatcher.active is not None:
                return self.dispatcher.active[request.device].leave(request, now)
        return successor

    def lock(self, request: Request, now: int) -> None:
        """Take the backing file's lock where the operation needs it alone."""
        outer = is_outer(self.setup, request)
        if outer or not (self.lock_is_on and request.op in EXCLUSIVE):
            request.lock_ns = now
            self.serve(request, now)
            return
        if self.lock_is_shared:
            request.shares_lock = True
            lock = self.shared[request.device]
            lock.enter(request, now)
            self.schedule_lock(request.device)
            return
        request.holds_lock = True
        if self.locks[request.device].enter(request, now):
            request.lock_ns = now
            self.serve(request, now)

    def schedule_lock(self, device: int) -> None:
        """Announce when the shared lock's first holder is done, and that alone."""
        self.lock_version[device] += 1
        at = self.shared[device].next_finish()
        if at is not None:
            self.run.push(at, Kind.LOCK, device, self.lock_version[device])

    def serve(self, request: Request, now: int) -> None:
        """Wait for a place in the device, then be served."""
        request.device_ns = now
        if is_outer(self.setup, request):
            if not goes_down(request):
                self.served_from(request, now)
                return
            descend(self.setup, request)
            self.out.issued(request)
            self.run.push(now, Kind.ARRIVE, request.row)
            return
        disk = self.disks[request.device]
        if disk is not None:
            if disk.pipe.enter(request, now):
                self.run.push(now + request.service_ns, Kind.SERVED, request.row)
            return
        if self.device_is_on and not self.servers[request.device].enter(request, now):
            return
        self.served_from(request, now)

    def served_from(self, request: Request, now: int) -> None:
        """Let the device work on the request."""
        self.run.push(now + request.service_ns, Kind.COMPLETE, request.row)
