"""Service times: recorded, without the traced driver's queueing, or linear.

In the trace's order, over the whole trace, before any replay.
"""

import heapq
from dataclasses import dataclass

from replay.engine.columns import Columns
from replay.engine.reference.driver.submits import is_asynchronous
from replay.engine.reference.state.row_checks import is_trigger
from replay.engine.setup import NOT_REPLAYED, Policy, ServiceModel, Setup
from replay.trace.file.schema import OP_CODES

READ, WRITE = OP_CODES["read"], OP_CODES["write"]
FLUSH, DISCARD = OP_CODES["flush"], OP_CODES["discard"]
LOCKS = (WRITE, DISCARD, OP_CODES["write_zeroes"])

UNKNOWN = -1
#: Source: block/blk-iocost.c, LCOEF_RANDIO_PAGES, v6.1: 4,096 pages.
NEAR_SECTORS = 4096 * 8
#: The time that writers of a file share runs in 2**-8 ns.
SHARE_SHIFT = 8
#: Rows that are taken in behind an open one before it is settled as it is.
WINDOW = 1 << 20


@dataclass
class TracedFile:
    """A backing file's lock, as those had it whose requests were recorded."""

    share_time: int = 0  # what each of its writers had so far
    updated_ns: int = 0
    ended_ns: int = 0  # its last writer
    n_writers: int = 0  # workers with a write open

    def advance(self, now: int) -> None:
        """Bring the time that each writer had up to now: n at a time had 1/n each."""
        elapsed_ns = now - self.updated_ns
        if elapsed_ns > 0:
            if self.n_writers:
                self.share_time += (elapsed_ns << SHARE_SHIFT) // self.n_writers
            self.updated_ns = now


@dataclass
class TracedProcessors:
    """The processors of a recorded machine, which its reading workers shared."""

    count: int
    share_time: int = 0  # what each of them had so far
    updated_ns: int = 0
    n_workers: int = 0  # with a read open

    def advance(self, now: int) -> None:
        """Bring the time that each had up to now: n had the count's nth part each."""
        elapsed_ns = now - self.updated_ns
        if elapsed_ns > 0:
            if self.n_workers:
                used = min(self.count, self.n_workers)
                self.share_time += (elapsed_ns << SHARE_SHIFT) * used // self.n_workers
            self.updated_ns = now


@dataclass
class TracedWorker:
    """A worker of the traced driver: one request at a time, in order of completion."""

    ended_ns: int = 0
    ended_share: int = 0
    n_writes: int = 0  # open
    ended_turn: int = 0  # of the processors' share
    n_reads: int = 0  # open


@dataclass
class OpenRow:
    """A request that is under way."""

    number: int
    issue_ns: int
    complete_ns: int
    issue_share: int
    issue_turn: int
    worker: TracedWorker
    file: TracedFile
    writes: bool


class RecordedService:
    """The service time of each request; rows are taken in as they were issued."""

    def __init__(self, setup: Setup, window: int = WINDOW) -> None:
        self.setup = setup
        self.window = window
        self.lock = setup.traced_lock
        self.workers: dict[tuple[int, object], TracedWorker] = {}
        self.files: dict[int, TracedFile] = {}
        shares = setup.tmpfs and not setup.trace_direct_io and not setup.same_driver
        self.processors = TracedProcessors(setup.processors if shares else 0)
        self.open: list[tuple[int, int, OpenRow]] = []  # a heap, by completion
        self.unsettled: set[int] = set()
        self.now = 0
        self.out: list[int] = []

    def add(
        self,
        device: int,
        op: int,
        recorded: int,
        pid: int,
        issue_ns: int,
        complete_ns: int,
    ) -> None:
        """Take a row in; what is not known is `UNKNOWN`."""
        self.make_room()
        if complete_ns < 0:
            self.out.append(UNKNOWN)
            return
        policy = self.setup.trace_policy
        is_loop = self.setup.are_loops[device]
        if is_asynchronous(op, self.setup.trace_direct_io, policy, is_loop):
            self.out.append(max(0, complete_ns - issue_ns))
            return
        self.now = max(self.now, issue_ns)
        while self.open and self.open[0][0] <= self.now:
            self.settle_first()
        who: object = 0
        if policy == Policy.PER_CGROUP and op != FLUSH:
            who = recorded
        elif policy == Policy.SYNCHRONOUS:
            who = ("thread", pid) if pid else ("nobody's", recorded)
        worker = self.workers.setdefault((device, who), TracedWorker())
        file = self.files.setdefault(device, TracedFile())
        writes = op in LOCKS and not self.setup.trace_direct_io
        if writes and self.lock == "shared":
            file.advance(self.now)
            file.n_writers += worker.n_writes == 0
            worker.n_writes += 1
        if not writes and self.processors.count:
            self.processors.advance(self.now)
            self.processors.n_workers += worker.n_reads == 0
            worker.n_reads += 1
        number = len(self.out)
        row = OpenRow(
            number=number,
            issue_ns=issue_ns,
            complete_ns=complete_ns,
            issue_share=file.share_time,
            issue_turn=self.processors.share_time,
            worker=worker,
            file=file,
            writes=writes,
        )
        heapq.heappush(self.open, (complete_ns, number, row))
        self.unsettled.add(number)
        self.out.append(UNKNOWN)

    def skip(self, service_ns: int) -> None:
        """Take a row in that was not served as others are."""
        self.make_room()
        self.out.append(service_ns)

    def make_room(self) -> None:
        """Settle the row that was taken in a window of rows ago."""
        while len(self.out) - self.window in self.unsettled:
            self.settle_first()

    def settle_first(self) -> None:
        """Settle the open row that completed first."""
        _, number, row = heapq.heappop(self.open)
        worker, file = row.worker, row.file
        begin_ns = max(row.issue_ns, worker.ended_ns)
        if row.writes and self.lock == "exclusive":
            begin_ns = max(begin_ns, file.ended_ns)
            file.ended_ns = row.complete_ns
        took_ns = row.complete_ns - begin_ns
        if row.writes and self.lock == "shared":
            file.advance(row.complete_ns)
            begin = max(row.issue_share, worker.ended_share)
            took_ns = (file.share_time - begin) >> SHARE_SHIFT
            worker.n_writes -= 1
            file.n_writers -= worker.n_writes == 0
        if not row.writes and self.processors.count:
            self.processors.advance(row.complete_ns)
            begin = max(row.issue_turn, worker.ended_turn)
            took_ns = (self.processors.share_time - begin) >> SHARE_SHIFT
            worker.n_reads -= 1
            self.processors.n_workers -= worker.n_reads == 0
        worker.ended_ns, worker.ended_share = row.complete_ns, file.share_time
        worker.ended_turn = self.processors.share_time
        # what took time did not come for nothing, however processors' clocks differ
        self.out[number] = max(took_ns, int(row.complete_ns > row.issue_ns))
        self.unsettled.remove(number)

    def end(self) -> list[int]:
        """Settle all rows; return the service of each, ns."""
        while self.open:
            self.settle_first()
        return self.out


class LinearService:
    """A base, a rate and a seek, in the order of the trace."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.ends: dict[tuple[int, int], int] = {}

    def of(self, device: int, issuer: int, op: int, sector: int, nbytes: int) -> int:
        """Return the service in ns; what the rate gives is rounded down."""
        far = self.is_random(device, issuer, op, sector, nbytes)
        base_ns, ns_per_byte, random_ns = self.line(device, op)
        if op not in (READ, WRITE):
            return base_ns  # moves no data, however many bytes it is about
        return base_ns + (ns_per_byte * nbytes >> 20) + random_ns * far

    def line(self, device: int, op: int) -> tuple[int, int, int]:
        """Return base, rate and seek: a plain disk has its own."""
        setup = self.setup
        if setup.is_disk(device):
            pipe = [int(ns) for ns in setup.disk_pipe[device]]
            if op not in (READ, WRITE):
                return pipe[6], 0, 0
            base_ns, rate, seek = pipe[:3] if op == READ else pipe[3:6]
            return base_ns, rate, seek
        if op == READ:
            return setup.read_base_ns, setup.read_ns_per_byte, setup.read_random_ns
        return setup.write_base_ns, setup.write_ns_per_byte, setup.write_random_ns

    def is_random(
        self, device: int, issuer: int, op: int, sector: int, nbytes: int
    ) -> bool:
        """Return True if a read or write is far from where its cgroup's last one ended.

        Source: block/blk-iocost.c:calc_vtime_cost_builtin(), v6.1.
        """
        if op not in (READ, WRITE) or nbytes == 0:
            return False
        before = self.ends.get((device, issuer), sector)
        self.ends[device, issuer] = (sector + (nbytes >> 9)) % 2**64
        return abs(sector - before) > NEAR_SECTORS


def services_of(setup: Setup, columns: Columns, window: int = WINDOW) -> list[int]:
    """Return the service of each row of a whole trace, ns, `UNKNOWN` where it is."""
    recorded, linear = RecordedService(setup, window), LinearService(setup)
    for i in range(len(columns)):
        device, op = int(columns.device[i]), int(columns.op[i])
        issue, queue = int(columns.issue_ns[i]), int(columns.queue_ns[i])
        if device == NOT_REPLAYED or is_trigger(setup, columns, i):
            recorded.skip(UNKNOWN)
        elif setup.service == ServiceModel.LINEAR or setup.is_disk(device):
            recorded.skip(
                linear.of(
                    device,
                    int(columns.issuer[i]),
                    op,
                    int(columns.sector[i]),
                    int(columns.nbytes[i]),
                )
            )
        else:
            recorded.add(
                device,
                op,
                int(columns.recorded[i]),
                int(columns.pid[i]),
                issue if issue >= 0 else queue,
                int(columns.complete_ns[i]),
            )
    return recorded.end()
