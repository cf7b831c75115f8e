"""A plain disk: a request waits in its queue, then in the device, and is answered.

The scheduler says who is issued next. What it gave out stands on a list; there a ring
of descriptors takes it, one for each page of data and two for the request itself. What
the ring has no room for stays first on that list, which nothing overtakes, and nothing
is issued until a request completes. As long as the ring refuses often, requests leave
the scheduler one by one; else all at once.

What the ring has taken waits for one pipe, first come, first served: the capacity that
all share. A delay that occupies nothing comes on top. Some devices answer when they
have served all that they have: who is served first waits for the others.

Sources: block/blk-mq.c:blk_mq_dispatch_rq_list(), blk_mq_update_dispatch_busy(),
blk_mq_insert_request(), block/blk-mq-sched.c:__blk_mq_do_dispatch_sched(),
drivers/block/virtio_blk.c:virtio_queue_rq(), virtblk_add_req(), v6.12.
"""

from collections import deque

from replay.engine.reference.controllers.bfq import BfqServer
from replay.engine.reference.counting.waits import Interference
from replay.engine.reference.disk.deadline import Deadline
from replay.engine.reference.queues.server import Server, Waiters
from replay.engine.reference.state.requests import Request
from replay.engine.setup import PAGE_BYTES, Resource, Scheduler, Setup
from replay.trace.file.schema import OP_CODES

READ, WRITE, FLUSH = OP_CODES["read"], OP_CODES["write"], OP_CODES["flush"]
#: Of the request's header and its status.
OWN_DESCRIPTORS = 2
#: The average of refusals: a refusal counts 16, and an eighth of it is renewed.
BUSY_WEIGHT = 8
BUSY_STEP = 16


class Fifo:
    """Scheduler ``none``: who came first."""

    def __init__(self) -> None:
        self.waiting: deque[Request] = deque()

    def add(self, request: Request, now: int) -> None:
        """Let a request wait."""
        self.waiting.append(request)

    def pick(self, now: int) -> Request | None:
        """Take out the request that is to be issued next."""
        return self.waiting.popleft() if self.waiting else None


class Bfq:
    """Scheduler ``bfq``: by the weights of cgroups."""

    def __init__(self, setup: Setup) -> None:
        self.blkcg = setup.blkcg
        self.groups = BfqServer(setup, Interference())
        self.n_waiting = 0

    def add(self, request: Request, now: int) -> None:
        """Let a request wait."""
        request.io_payer = int(self.blkcg[request.issuer])
        self.groups.add(request)
        self.n_waiting += 1

    def pick(self, now: int) -> Request | None:
        """Take out the request that is to be issued next."""
        if not self.n_waiting:
            return None
        self.n_waiting -= 1
        request = self.groups.pick()
        request.io_payer = 0  # until it is dispatched
        return request


class Disk:
    """One disk."""

    def __init__(self, setup: Setup, device: int, interference: Interference) -> None:
        others = len(setup.parent)
        self.queue = Waiters(Resource.QUEUE, others, interference)
        self.pipe = Server(1, Resource.DEVICE, others, interference)
        self.answers = Waiters(Resource.DEVICE, others, interference)
        self.scheduler: Fifo | Deadline | Bfq = Fifo()
        if setup.disk_scheduler[device] == Scheduler.DEADLINE:
            self.scheduler = Deadline()
        elif setup.disk_scheduler[device] == Scheduler.BFQ:
            self.scheduler = Bfq(setup)
        self.listed: deque[Request] = deque()
        self.held: list[Request] = []
        self.together = bool(setup.disk_together[device])
        self.descriptors = int(setup.disk_descriptors[device])
        self.delay_ns = int(setup.disk_delay_ns[device])
        self.requeue_ns = int(setup.disk_requeue_ns[device])
        self.free = self.descriptors
        self.busy = 0
        self.stopped = False
        self.waking = False
        self.blocking = 0  # issuer of the last completion

    # -- the queue --------------------------------------------------------------

    def enter(self, request: Request, now: int) -> None:
        """Let a request wait; a flush goes past the scheduler, to the list's end."""
        self.queue.begin(request, now)
        if request.op == FLUSH:
            self.listed.append(request)
        else:
            self.scheduler.add(request, now)

    def run(self, now: int) -> list[Request]:
        """Issue what the ring has room for, and return it.

        What was taken out before goes first, and nothing is taken out while any of that
        is left.
        """
        accepted: list[Request] = []
        if self.stopped:
            return accepted
        self.queue.charge(self.blocking, now)
        if self.listed and not self.issue(accepted, now):
            return accepted
        while (request := self.scheduler.pick(now)) is not None:
            self.listed.append(request)
            while not self.busy and (more := self.scheduler.pick(now)) is not None:
                self.listed.append(more)
            if not self.issue(accepted, now):
                break
        return accepted

    def issue(self, accepted: list[Request], now: int) -> bool:
        """Issue what stands on the list; return False if the ring refuses one."""
        while self.listed:
            wanted = self.descriptors_of(self.listed[0])
            if wanted > self.free:
                self.stopped = True
                self.count_busy(BUSY_STEP)
                return False
            self.free -= wanted
            request = self.listed.popleft()
            self.queue.end(request, now)
            accepted.append(request)
        self.count_busy(0)
        return True

    def count_busy(self, step: int) -> None:
        """Move the average by which requests are taken out one by one or in batches."""
        self.busy = (self.busy * (BUSY_WEIGHT - 1) + step) // BUSY_WEIGHT

    def descriptors_of(self, request: Request) -> int:
        """Return the descriptors that a request takes; 0 if there is no end of them."""
        pages = 0
        if request.op in (READ, WRITE):
            pages = -(-request.nbytes // PAGE_BYTES)
        return min(pages + OWN_DESCRIPTORS, self.descriptors)

    def completed(self, request: Request, now: int) -> bool:
        """Give descriptors back; return True if the queue is to run again soon."""
        self.queue.charge(request.issuer, now)
        self.blocking = request.issuer
        self.free += self.descriptors_of(request)
        wakes = self.stopped and not self.waking
        self.waking |= wakes
        return wakes

    def wake(self) -> None:
        """Let the queue run again."""
        self.stopped = self.waking = False

    # -- the device -------------------------------------------------------------

    def served(
        self, request: Request, now: int
    ) -> tuple[Request | None, list[Request]]:
        """Return whom the pipe serves next, and who is answered."""
        successor = self.pipe.leave(request, now)
        if not self.together:
            return successor, [request]
        self.answers.charge(request.issuer, now)
        self.held.append(request)
        if successor is not None:
            self.answers.begin(request, now)
            return successor, []
        answered, self.held = self.held, []
        for one in answered[:-1]:
            self.answers.end(one, now)
        return None, answered
