"""A loop device on a loop device: its requests go on in another worker.

The files of all replayed devices but one, the *inner*, lie on a file system there,
and their driver uses direct I/O: their workers submit a bio in the payer's name and go
on. What arrives at the inner device is that bio, with the payer as its issuer; it takes
a tag, a worker, the lock and memory there, and the outer request is done when it is.

Sources: drivers/block/loop.c:loop_handle_cmd(), lo_rw_aio(), loop_queue_work(), v6.1:
the bio carries the cgroup that the outer worker is associated with, and the inner
worker takes its own memory cgroup from that.
"""

from replay.engine.reference.state.requests import Outer, Request
from replay.engine.setup import Setup
from replay.trace.file.schema import OP_CODES

READ, WRITE, FLUSH = OP_CODES["read"], OP_CODES["write"], OP_CODES["flush"]
#: Where the file of each outer device begins on the inner one, sectors: 32 TiB apart,
#: since a trace does not tell.
APART_SECTORS = 1 << 36

#: What a request has of its own on each of the two devices.
LEVEL = (
    *("device", "issuer", "sector", "n_bios", "is_meta", "arrival_ns"),
    *("queued_ns", "tag_ns"),
    *("prior_ns", "debt_ns"),
    *("dispatch_ns", "start_ns", "lock_ns", "device_ns", "memory_ns", "memory_payer"),
    *("io_payer", "worker", "holds_lock", "shares_lock", "next_page", "passes"),
    *("oom_rounds", "cost", "issued_ns", "holds_worker"),
)


def goes_down(request: Request) -> bool:
    """Return True if the file system below does I/O for a request.

    A discard or write-zeroes changes its block map alone.
    """
    return request.op in (READ, WRITE, FLUSH)


def descend(setup: Setup, request: Request) -> None:
    """Become the bio that arrives at the inner device."""
    request.outer = Outer({name: getattr(request, name) for name in LEVEL})
    place = request.device - (request.device > setup.nested)
    request.sector = (request.sector + place * APART_SECTORS) % (1 << 64)
    request.device, request.issuer = setup.nested, request.io_payer
    # a flush is made by the flush machinery of the inner device
    request.n_bios = int(request.op != FLUSH)
    request.is_meta = request.holds_lock = request.shares_lock = False
    request.holds_worker = False
    request.start_ns = request.worker = request.next_page = -1
    request.memory_ns = request.passes = request.oom_rounds = 0
    request.prior_ns = request.debt_ns = 0
    request.cost, request.issued_ns = [0, 0], [0, 0]


def surface(request: Request) -> None:
    """Become the outer request again."""
    assert request.outer is not None
    for name, value in request.outer.values.items():
        setattr(request, name, value)
    request.outer = None
