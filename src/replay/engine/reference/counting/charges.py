"""Counters of the reference, and its results as columns."""

from collections import Counter, defaultdict

from replay.engine.reference.counting.waits import Interference
from replay.engine.reference.state.nested import is_outer
from replay.engine.reference.state.requests import Request
from replay.engine.reference.state.split_counts import ios_below
from replay.engine.reference.structures.histogram import Histogram
from replay.engine.setup import Resource, Setup, Stage
from replay.trace.file.schema import OP_CODES

READ, DISCARD = OP_CODES["read"], OP_CODES["discard"]


def io_columns(op: int) -> tuple[str, str]:
    """Return the columns of ``io.stat`` that an operation counts in.

    Source: block/blk-cgroup.c:blk_cgroup_io_type(), v6.1: discards apart, all else
    that is not a read is a write.
    """
    direction = {READ: "r", DISCARD: "d"}.get(op, "w")
    return direction + "bytes", direction + "ios"


class Tables:
    """Counters by key; `raw` sorts them into columns."""

    def __init__(self, setup: Setup, interference: Interference) -> None:
        self.setup = setup
        self.interference = interference
        self.counts: Counter[str] = Counter()
        self.io: defaultdict[tuple[int, int], Counter[str]] = defaultdict(Counter)
        self.backing: defaultdict[tuple[int], Counter[str]] = defaultdict(Counter)
        self.charges: defaultdict[tuple[int, int, int], Counter[str]] = defaultdict(
            Counter
        )
        self.latency: defaultdict[tuple[int, int, int, int], Histogram] = defaultdict(
            Histogram
        )
        self.errors: dict[tuple[int, int], list[int]] = {}
        self.requests: list[tuple[int, ...]] = []

    def issued(self, request: Request) -> None:
        """Count what the issuer submitted, as ``io.stat`` of the traced device does."""
        cgroup = int(self.setup.blkcg[request.issuer])
        add_io(self.io[cgroup, request.device], request)

    def charged(self, request: Request) -> None:
        """Count in whose name the driver does the request's I/O."""
        key = (request.device, request.issuer, request.io_payer)
        add_io(self.charges[key], request)
        direct = self.setup.direct_io and not is_outer(self.setup, request)
        if self.setup.backing_device and direct:
            nbytes, ios = io_columns(request.op)
            self.backing[request.io_payer,][nbytes] += request.nbytes
            self.backing[request.io_payer,][ios] += ios_below(self.setup, request)

    def completed(self, request: Request, now: int) -> None:
        """Count a request that the driver is done with."""
        if request.error:
            self.counts["failed"] += 1
            self.fails(request.issuer, request.error, request.nbytes, now)
        elif request.known:
            self.counts["completed"] += 1
        else:
            self.counts["unfinished"] += 1
        self.took(request, now)

    def fails(self, issuer: int, code: int, nbytes: int, now: int) -> None:
        """Count an issuer's bytes that failed."""
        entry = self.errors.setdefault((issuer, code), [0, 0, now])
        entry[0] += 1
        entry[1] += nbytes

    def took(self, request: Request, now: int) -> None:
        """Count how long a request took on a device."""
        stages = stages_of(self.setup, request, now)
        if request.known:
            for stage, wait_ns in stages.items():
                key = (request.issuer, request.device, request.op, int(stage))
                self.latency[key].add(wait_ns)
            self.waited_as_recorded(request)
        self.requests.append(
            (
                request.row,
                request.arrival_ns - request.prior_ns - request.debt_ns,
                request.start_ns,
                now if request.known else -1,
                request.issuer,
                request.io_payer,
                request.device,
                request.worker,
                request.error,
                *(stages[stage] for stage in Stage if stage != Stage.TOTAL),
            )
        )

    def waited_as_recorded(self, request: Request) -> None:
        """Count a recorded wait for a tag behind the own cgroup: no other is known."""
        if self.setup.prior_stages[request.device] == Stage.TAG:
            self.interference.add(
                *(request.issuer, request.issuer, Resource.TAG, request.prior_ns, 1)
            )


def add_io(counter: Counter[str], request: Request) -> None:
    """Count a request's bytes and bios."""
    nbytes, ios = io_columns(request.op)
    counter[nbytes] += request.nbytes
    counter[ios] += request.n_bios


def stages_of(setup: Setup, request: Request, now: int) -> dict[Stage, int]:
    """Return a completed request's time in every stage; they sum to the total."""
    stages = {
        Stage.THROTTLE: request.queued_ns - request.arrival_ns,
        Stage.QUEUE: request.tag_ns - request.queued_ns,
        Stage.TAG: request.dispatch_ns - request.tag_ns,
        Stage.DISPATCH: request.start_ns - request.dispatch_ns,
        Stage.LOCK: request.lock_ns - request.start_ns,
        Stage.MEMORY: request.memory_ns,
        Stage.BACKING: request.device_ns - request.lock_ns,
        Stage.DEBT: request.debt_ns,
        Stage.DEVICE: request.served_ns - request.device_ns,
        Stage.TOTAL: now - request.arrival_ns + request.prior_ns + request.debt_ns,
    }
    stages[setup.prior_stages[request.device]] += request.prior_ns
    return stages
