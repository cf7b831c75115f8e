"""Which worker serves a command, and the worker's whole life.

Source: drivers/block/loop.c:loop_queue_work(), loop_process_work(),
loop_free_idle_workers(), v6.1.
"""

from replay.engine.reference.counting.waits import Interference
from replay.engine.reference.driver.submits import is_asynchronous
from replay.engine.reference.queues.server import Server
from replay.engine.reference.state.nested import is_outer
from replay.engine.reference.state.requests import Request
from replay.engine.setup import Policy, Resource, Setup
from replay.trace.file.schema import OP_CODES

FLUSH = OP_CODES["flush"]
IDLE_NS = 60 * 10**9
MASK = (1 << 64) - 1


def draw(seed: int, attempt: int) -> int:
    """Return the 64-bit draw of an allocation attempt: SplitMix64's output function."""
    z = (seed + (attempt + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


class Worker:
    """A FIFO server of commands.

    For one cgroup, and then it may idle; or for the root list, an instance or a
    caller's own thread.
    """

    def __init__(
        self, index: int, cgroup: int, now: int, server: Server, may_idle: bool
    ) -> None:
        self.may_idle = may_idle
        self.index = index
        self.cgroup = cgroup
        self.created_ns = now
        self.reaped_ns = -1
        self.commands = 0
        self.busy_ns = 0
        self.idle_since_ns = -1
        self.server = server


class Device:
    """The driver's state for one loop device."""

    def __init__(self) -> None:
        self.root: Worker | None = None
        self.by_blkcg: dict[int, Worker] = {}
        #: Without an idle list all workers of a cgroup, one after the other, are one.
        self.freed: dict[int, Worker] = {}
        self.threads: dict[tuple[str, int], Worker] = {}
        self.idle: list[Worker] = []  # oldest first
        self.timer_ns = -1
        self.workers: list[Worker] = []


class Dispatcher:
    """Workers of all devices; css references that they hold, by cgroup."""

    def __init__(self, setup: Setup, interference: Interference) -> None:
        self.setup = setup
        self.interference = interference
        self.devices = [Device() for _ in setup.devices]
        self.attempts = 0
        self.alive = 0
        self.workers_peak = 0
        self.leaked_refs = 0
        self.css_refs = [0] * len(setup.parent)
        self.active = self._actives()
        self.fail_rows = {int(row) for row in setup.alloc_fail_rows}
        self.kernel_pids = {int(pid) for pid in setup.kernel_pids}

    def _actives(self) -> list[Server] | None:
        """Make the places of the workqueues, if anything limits them (v3 to v11)."""
        most = self.setup.max_active
        if self.setup.policy != Policy.PER_CGROUP or not most.any():
            return None
        return [
            Server(
                *(int(n) or 1 << 32, Resource.WORKER),
                *(len(self.setup.parent), self.interference),
            )
            for n in most
        ]

    def pick(self, request: Request, now: int) -> Worker:
        """Choose the worker, and with it who pays for the request."""
        if self.setup.policy == Policy.SYNCHRONOUS:
            worker = self._thread(request, now)
        elif self.setup.policy == Policy.INSTANCE:
            worker = self._instance(request, now)
        elif self.setup.policy == Policy.PASS_THROUGH:
            worker = self._pass(request, now)
        elif self.setup.policy == Policy.BACKCHARGE:
            worker = self._backcharge(request, now)
        else:
            worker = self._loop_worker(request, now)
        worker.commands += 1
        request.worker = worker.index
        return worker

    def _thread(self, request: Request, now: int) -> Worker:
        """Serve in the caller's thread, which pays as it does for all else.

        A thread of the kernel has neither a memory nor a block cgroup, so the root
        pays. Where the trace names no process each issuer is taken for one.
        """
        threads = self.devices[request.device].threads
        key = ("pid", request.pid) if request.pid else ("issuer", request.issuer)
        worker = threads.get(key)
        if worker is None:
            worker = self._add(request.device, request.issuer, now, may_idle=False)
            threads[key] = worker
        request.io_payer = int(self.setup.blkcg[request.issuer])
        request.memory_payer = int(self.setup.memory_css[request.issuer])
        if request.op == FLUSH or request.pid in self.kernel_pids:
            request.io_payer = request.memory_payer = 0
        return worker

    def _instance(self, request: Request, now: int) -> Worker:
        """Serve in the device's one queue, in the name of the cgroup it is bound to."""
        cgroup = int(self.setup.instance_cgroup[request.device])
        request.io_payer = int(self.setup.blkcg[cgroup])
        request.memory_payer = int(self.setup.memory_css[cgroup])
        return self._root(request.device, cgroup, now)

    def _pass(self, request: Request, now: int) -> Worker:
        """Pass the bio on in the name of who submitted it; the queue is never held."""
        request.io_payer = int(self.setup.blkcg[request.issuer])
        request.memory_payer = int(self.setup.memory_css[request.issuer])
        return self._root(request.device, 0, now)

    def _backcharge(self, request: Request, now: int) -> Worker:
        """Serve in one queue as the root; pages and debt are the issuer's."""
        blkcg = int(self.setup.blkcg[request.issuer])
        request.io_payer = 0
        request.memory_payer = 0
        if request.op != FLUSH:
            request.memory_payer = int(self.setup.memory_css[blkcg])
        return self._root(request.device, 0, now)

    def _root(self, index: int, cgroup: int, now: int) -> Worker:
        device = self.devices[index]
        if device.root is None:
            device.root = self._add(index, cgroup, now, may_idle=False)
        return device.root

    def _loop_worker(self, request: Request, now: int) -> Worker:
        """Choose as the loop driver does, or once did."""
        device = self.devices[request.device]
        policy = self.setup.policy
        blkcg = int(self.setup.blkcg[request.issuer])
        outer = is_outer(self.setup, request)
        asynchronous = self.setup.is_disk(request.device) or is_asynchronous(
            request.op,
            self.setup.direct_io or outer,
            policy,
            outer or self.setup.are_loops[request.device],
        )
        if request.op == FLUSH and not asynchronous:
            blkcg = 0  # built by the flush machinery without a bio: no css at all
        request.io_payer = blkcg
        request.memory_payer = int(self.setup.memory_css[blkcg])
        if policy == Policy.ROOT:
            # loop.c of v5.13 sets the css only where it hands an aio to the file
            request.memory_payer = 0
            request.io_payer = blkcg if asynchronous else 0
        worker = None
        has_worker = blkcg != 0
        if self.setup.root_has_worker and request.op != FLUSH:
            has_worker = True
        if policy == Policy.PER_CGROUP and has_worker:
            worker = device.by_blkcg.get(blkcg) or self._create(
                device, request, blkcg, now
            )
            if worker is None:
                request.memory_payer = request.io_payer = 0
        if worker is None:
            worker = self._root(request.device, 0, now)
        if worker.idle_since_ns >= 0:
            device.idle.remove(worker)
            worker.idle_since_ns = -1
        return worker

    def _create(
        self, device: Device, request: Request, blkcg: int, now: int
    ) -> Worker | None:
        attempt, self.attempts = self.attempts, self.attempts + 1
        failed = draw(self.setup.alloc_fail_seed, attempt) >> 1
        if (
            failed < self.setup.alloc_fail_threshold >> 1
            or request.row in self.fail_rows
        ):
            # v5 forgot the reference that it had taken; the root's are not counted
            self.leaked_refs += self.setup.leaks_css and request.memory_payer != 0
            return None
        before = device.freed.pop(blkcg, None)
        if before is None:
            worker = self._add(request.device, blkcg, now, may_idle=True)
        else:
            worker = before
            worker.reaped_ns = -1
            self._count_one_more()
        device.by_blkcg[blkcg] = worker
        self.css_refs[blkcg] += blkcg != 0
        return worker

    def _add(self, index: int, cgroup: int, now: int, *, may_idle: bool) -> Worker:
        device = self.devices[index]
        server = Server(1, Resource.WORKER, len(self.css_refs), self.interference)
        worker = Worker(len(device.workers), cgroup, now, server, may_idle)
        device.workers.append(worker)
        if self.setup.policy != Policy.SYNCHRONOUS:  # a caller's thread is no worker
            self._count_one_more()
        return worker

    def _count_one_more(self) -> None:
        self.alive += 1
        self.workers_peak = max(self.workers_peak, self.alive)

    def runs_out(self, index: int, worker: Worker, now: int) -> int | None:
        """Let a worker with an empty list idle; return when to arm the timer."""
        if not worker.may_idle:
            return None
        device = self.devices[index]
        if not self.setup.keeps_idle:
            self._free(device, worker, now)
            device.freed[worker.cgroup] = worker
            return None
        worker.idle_since_ns = now
        device.idle.append(worker)
        if device.timer_ns < 0:
            device.timer_ns = now + IDLE_NS
            return device.timer_ns
        return None

    def timer(self, index: int, now: int) -> int | None:
        """Free the workers that idled for 60 s; return when to look again, if ever."""
        device = self.devices[index]
        device.timer_ns = -1
        while device.idle and device.idle[0].idle_since_ns + IDLE_NS <= now:
            worker = device.idle.pop(0)
            worker.idle_since_ns = -1
            self._free(device, worker, now)
        if device.idle:
            device.timer_ns = now + IDLE_NS
            return device.timer_ns
        return None

    def _free(self, device: Device, worker: Worker, now: int) -> None:
        worker.reaped_ns = now
        del device.by_blkcg[worker.cgroup]
        self.css_refs[worker.cgroup] -= worker.cgroup != 0
        self.alive -= 1
