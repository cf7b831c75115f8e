"""Service times: recorded, without the traced driver's queueing, or linear.

In the trace's order, over the whole trace, before any replay.
"""

from replay.engine.columns import Columns
from replay.engine.reference.driver.submits import is_asynchronous
from replay.engine.reference.state.row_checks import is_trigger
from replay.engine.setup import NOT_REPLAYED, Policy, ServiceModel, Setup
from replay.trace.file.schema import OP_CODES

READ, WRITE = OP_CODES["read"], OP_CODES["write"]
FLUSH, DISCARD = OP_CODES["flush"], OP_CODES["discard"]

UNKNOWN = -1
#: Source: block/blk-iocost.c, LCOEF_RANDIO_PAGES, v6.1: 4,096 pages.
NEAR_SECTORS = 4096 * 8


def same_driver(setup: Setup) -> bool:
    """Tell whether the replay asks for the driver the trace was taken with."""
    asked = (setup.policy, setup.direct_io, bool(setup.max_active.any()))
    return asked == (setup.trace_policy, setup.trace_direct_io, False)


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
            return (*pipe[:3],) if op == READ else (*pipe[3:6],)
        if op == READ:
            return setup.read_base_ns, setup.read_ns_per_byte, setup.read_random_ns
        return setup.write_base_ns, setup.write_ns_per_byte, setup.write_random_ns

    def is_random(
        self, device: int, issuer: int, op: int, sector: int, nbytes: int
    ) -> bool:
        """Tell whether a read or write is far from where its cgroup's last one ended.

        Source: block/blk-iocost.c:calc_vtime_cost_builtin(), v6.1.
        """
        if op not in (READ, WRITE) or nbytes == 0:
            return False
        before = self.ends.get((device, issuer), sector)
        self.ends[device, issuer] = (sector + (nbytes >> 9)) % 2**64
        return abs(sector - before) > NEAR_SECTORS


def services_of(setup: Setup, columns: Columns) -> list[int]:
    """Return the service of each row of a whole trace, ns, `UNKNOWN` where it is."""
    recorded, linear = RecordedService(setup), LinearService(setup)
    out = []
    for i in range(len(columns)):
        device, op = int(columns.device[i]), int(columns.op[i])
        issue, queue = int(columns.issue_ns[i]), int(columns.queue_ns[i])
        if device == NOT_REPLAYED or is_trigger(setup, columns, i):
            out.append(UNKNOWN)
        elif setup.service == ServiceModel.LINEAR or setup.is_disk(device):
            out.append(
                linear.of(
                    device,
                    int(columns.issuer[i]),
                    op,
                    int(columns.sector[i]),
                    int(columns.nbytes[i]),
                )
            )
        else:
            out.append(
                recorded.of(
                    device,
                    op,
                    int(columns.recorded[i]),
                    int(columns.pid[i]),
                    issue if issue >= 0 else queue,
                    int(columns.complete_ns[i]),
                )
            )
    return out
