"""Recorded service: what remains of issue to complete without the driver's queueing.

Source: DESIGN 5.3. In issue order, over the whole trace, before any replay.
"""

from replay.engine.setup import Policy, Setup
from replay.trace.schema import OP_CODES

READ, WRITE = OP_CODES["read"], OP_CODES["write"]
FLUSH, DISCARD = OP_CODES["flush"], OP_CODES["discard"]

UNKNOWN = -1


def same_driver(setup: Setup) -> bool:
    """Tell whether the replay asks for the driver the trace was taken with."""
    return (setup.policy, setup.direct_io) == (
        setup.trace_policy,
        setup.trace_direct_io,
    )


def is_asynchronous(op: int, direct_io: bool, policy: Policy) -> bool:
    """Tell whether the worker only submits a command.

    Source: drivers/block/loop.c:loop_queue_rq(), v6.1: reads and writes with direct
    I/O; a flush or discard is always synchronous. A bio-based device passes all on:
    drivers/md/dm.c:dm_submit_bio(), v6.1.
    """
    return direct_io and (op in (READ, WRITE) or policy == Policy.PASS_THROUGH)


class RecordedService:
    """The service time of each request, in the order of the trace."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.same = same_driver(setup)
        self.latest: dict[tuple[int, object], int] = {}

    def of(
        self,
        device: int,
        op: int,
        recorded: int,
        pid: int,
        issue_ns: int,
        complete_ns: int,
    ) -> int:
        """Return the service in ns, `UNKNOWN` if the completion was not seen."""
        if complete_ns < 0:
            return UNKNOWN
        policy = self.setup.trace_policy
        if is_asynchronous(op, self.setup.trace_direct_io, policy):
            return max(0, complete_ns - issue_ns)
        worker: object = 0
        if self.same and policy == Policy.PER_CGROUP and op != FLUSH:
            worker = recorded
        elif self.same and policy == Policy.SYNCHRONOUS:
            worker = ("thread", pid) if pid else ("nobody's", recorded)
        latest = self.latest.get((device, worker), 0)
        self.latest[device, worker] = max(latest, complete_ns)
        return max(0, complete_ns - max(issue_ns, latest))


def linear_service(setup: Setup, op: int, nbytes: int) -> int:
    """Return ``base_ns + ns_per_byte * nbytes``, rounded down."""
    if op == READ:
        return setup.read_base_ns + (setup.read_ns_per_byte * nbytes >> 20)
    return setup.write_base_ns + (setup.write_ns_per_byte * nbytes >> 20)
