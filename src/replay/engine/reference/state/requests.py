"""One request on its way through the stages."""

from dataclasses import dataclass, field


@dataclass
class Outer:
    """A request as it was on the outer device."""

    values: dict[str, object]


@dataclass(slots=True)
class Bio:
    """A task's bio, whole or split by the block layer: its parts that have arrived."""

    in_flight: int = 0
    nbytes: int = 0


@dataclass(slots=True, eq=False)
class Request:
    """A row of the trace in flight; times in ns, -1 until they are known."""

    row: int
    device: int
    op: int
    sector: int
    nbytes: int
    n_bios: int
    issuer: int
    task: int
    service_ns: int
    known: bool
    pid: int = 0
    is_meta: bool = False
    stream: int = -1
    #: I/Os of its stream that begin with it.
    starts: int = 1
    arrival_ns: int = -1
    queued_ns: int = -1
    tag_ns: int = -1
    dispatch_ns: int = -1
    start_ns: int = -1
    lock_ns: int = -1
    device_ns: int = -1
    served_ns: int = -1
    memory_ns: int = 0
    #: Waited from its Q to its last D, as recorded; slept before its Q for a debt.
    prior_ns: int = 0
    debt_ns: int = 0
    throttled_from_ns: int = -1
    memory_payer: int = 0
    io_payer: int = 0
    worker: int = -1
    holds_lock: bool = False
    shares_lock: bool = False
    #: Where the touching of pages goes on after a sleep, -1 before it begins.
    next_page: int = -1
    #: How often it passed `io.max` below, whole or what was left of it.
    passes: int = 0
    #: Its bytes count in the group where it waits for I/Os now.
    bytes_paid: bool = False
    #: Rounds that the present charge has failed.
    oom_rounds: int = 0
    #: Whose limit the present sleep is for.
    blocking_cgroup: int = 0
    error: int = 0
    #: The kernel that was recorded failed it.
    failed: bool = False
    #: What it is a part of, if it is a task's.
    bio: Bio | None = None
    #: What it costs its cgroup above and below the driver: of the device while it
    #: waits, then of the cgroup's own virtual time.
    cost: list[int] = field(default_factory=lambda: [0, 0])
    iocost_at: int = 0
    #: When it came to `io.latency` above and below, and where it waits for a place in
    #: flight, -1 while it waits for budget.
    issued_ns: list[int] = field(default_factory=lambda: [0, 0])
    waits_at: int = -1
    #: It waits below with its worker, which serves nobody meanwhile.
    holds_worker: bool = False
    #: What it was above, while it is on a loop device below a loop device.
    outer: Outer | None = None
    # the shared lock's own, see `queues.shared_lock`
    lock_enter_ns: int = -1
    lock_place: int = 0
