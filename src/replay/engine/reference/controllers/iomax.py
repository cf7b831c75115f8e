"""``io.max``: slices of bytes and I/Os, in jiffies.

Source: block/blk-throttle.c, v6.1: blk_throtl_bio(), tg_may_dispatch(),
throtl_trim_slice(), throtl_dispatch_tg(), throtl_pop_queued(); v5.10:
blk_throtl_charge_bio_split(); v7.3: tg_within_limit(), tg_dispatch_time(),
throtl_qnode_add_bio(), throtl_trim_slice().
"""

from collections import deque
from dataclasses import dataclass, field

from replay.engine.reference.counting.waits import Interference
from replay.engine.reference.state.jiffies import jiffies_at
from replay.engine.reference.state.requests import Request
from replay.engine.setup import (
    BACKING_DEVICE,
    NO_LIMIT,
    Policy,
    Resource,
    Setup,
)
from replay.trace.file.schema import OP_CODES

READ, DISCARD = OP_CODES["read"], OP_CODES["discard"]

#: A group's turn: so many reads, then so many writes.
TURN = (6, 2)
#: A discard counts as one sector.
DISCARD_BYTES = 512


@dataclass
class IomaxSource:
    """Bios that one group queued: those that wait for I/Os alone go first.

    With one queue all stand in the second.
    """

    ios: deque[Request] = field(default_factory=deque)
    bytes: deque[Request] = field(default_factory=deque)

    def first(self) -> deque[Request]:
        """Return the queue whose turn it is."""
        return self.ios or self.bytes


@dataclass
class Direction:
    """The slice of one group in one direction, and what is queued there."""

    bps: int
    iops: int
    #: A request counts as its bios, not as the one that a worker makes of it.
    counts_bios: bool
    start: int = 0
    end: int = 0
    bytes: int = 0
    ios: int = 0
    #: Parts of split bios that are counted when it is looked at next.
    late: int = 0
    #: Queues by where they come from, in the order of their turn.
    queues: dict[int, IomaxSource] = field(default_factory=dict)

    def queued(self) -> bool:
        """Return True if anything waits."""
        return bool(self.queues)

    def waits_for(self, what: str) -> bool:
        """Return True if anything waits for bytes, or for I/Os alone."""
        return any(getattr(source, what) for source in self.queues.values())

    def add(self, source: int, request: Request, *, ios: bool) -> None:
        """Append a request to the queue of its source; a new queue is the last."""
        queues = self.queues.setdefault(source, IomaxSource())
        (queues.ios if ios else queues.bytes).append(request)

    def peek(self) -> Request | None:
        """Return the request whose turn it is."""
        return next(iter(self.queues.values())).first()[0] if self.queues else None

    def pop(self) -> Request:
        """Take the request whose turn it is; its source goes to the end."""
        source = next(iter(self.queues))
        queues = self.queues.pop(source)
        request = queues.first().popleft()
        if queues.first():
            self.queues[source] = queues
        return request


@dataclass
class IomaxGroup:
    """A cgroup with an ``io.max`` line for a device."""

    cgroup: int
    parent: int
    directions: tuple[Direction, Direction]
    #: Jiffy at which it is looked at again, -1 if nothing waits.
    dispatch_at: int = -1
    version: int = 0


class Iomax:
    """All limits of a run."""

    def __init__(self, setup: Setup, interference: Interference) -> None:
        self.setup = setup
        self.interference = interference
        self.changed: list[int] = []  # groups to be looked at at another time
        self.slice = setup.hz // 10
        self.meta_debt = setup.iomax_meta_debt
        self.groups: list[IomaxGroup] = []
        limits = [
            [int(one) for one in column]
            for column in (
                *(setup.iomax_rbps, setup.iomax_wbps),
                *(setup.iomax_riops, setup.iomax_wiops),
            )
        ]
        where = list(zip(setup.iomax_cgroup, setup.iomax_device, strict=True))
        self.at = {(int(c), int(d)): i for i, (c, d) in enumerate(where)}
        for i, (cgroup, device) in enumerate(where):
            above = int(setup.parent[cgroup])
            bios = device != BACKING_DEVICE or setup.policy == Policy.PASS_THROUGH
            read, write = (
                Direction(limits[d][i], limits[2 + d][i], bios) for d in (0, 1)
            )
            parent = self.find(above, int(device)) if above >= 0 else -1
            self.groups.append(IomaxGroup(int(cgroup), parent, (read, write)))

    def find(self, cgroup: int, device: int) -> int:
        """Return the nearest group with a limit on a device, -1 for none."""
        while cgroup >= 0:
            if (cgroup, device) in self.at:
                return self.at[cgroup, device]
            cgroup = int(self.setup.parent[cgroup])
        return -1

    def limits_ios(self, index: int, rw: int) -> bool:
        """Return True if any limit from a group up is of I/Os."""
        while index >= 0:
            group = self.groups[index]
            if group.directions[rw].iops != NO_LIMIT:
                return True
            index = group.parent
        return False

    def enter(self, request: Request, index: int, now: int) -> bool:
        """Pass a bio through the limits from a group up: True; or queue it: False."""
        jiffies = jiffies_at(self.setup, now)
        rw = direction_of(request)
        source = -1
        while index >= 0:
            group = self.groups[index]
            one = group.directions[rw]
            blocked = not self.is_within(one, request, jiffies)
            if blocked and request.is_meta and one.counts_bios and self.meta_debt:
                self.charge(one, request)
            elif blocked:
                was_empty = not one.queued()
                self.add(one, source, request)
                request.throttled_from_ns = now
                rest_first = self.setup.iomax_two_queues and request.passes > 0
                if was_empty or (rest_first and one.peek() is request):
                    self.update(index, jiffies)
                return False
            else:
                self.charge(one, request)
                self.trim(one, jiffies)
            source, index = index, group.parent
        return True

    def is_within(self, one: Direction, request: Request, jiffies: int) -> bool:
        """Return True if a new bio may go on at once.

        From 6.16 on the bytes of one that comes behind others count as soon as nobody
        waits for bytes any more, and what is left of a split one waits for I/Os alone.
        """
        if not self.setup.iomax_two_queues:
            return not one.queued() and not self.wait(one, request, jiffies)
        if request.passes:
            return not one.waits_for("ios") and not self.wait(one, request, jiffies)
        if not one.queued():
            return not self.wait(one, request, jiffies)
        if not one.waits_for("bytes") and not self.bytes_step(one, request, jiffies):
            self.pay_bytes(one, request)
        return False

    def add(self, one: Direction, source: int, request: Request) -> None:
        """Queue a bio: for I/Os alone if its bytes count already."""
        two = self.setup.iomax_two_queues
        ios = two and (request.bytes_paid or request.passes > 0)
        one.add(source, request, ios=ios)

    def move_slice(self, one: Direction, jiffies: int) -> None:
        """Begin a slice where the last is over, else let it last for one from now."""
        if not one.start <= jiffies <= one.end and not one.queued():
            one.bytes = one.ios = one.late = 0
            one.start, one.end = jiffies, jiffies + self.slice
        elif one.end < jiffies + self.slice:
            one.end = self.round_up(jiffies + self.slice)

    def extend(self, one: Direction, until: int) -> None:
        """Let a slice last for a wait."""
        if one.end < until:
            one.end = self.round_up(until)

    def bytes_step(self, one: Direction, request: Request, jiffies: int) -> int:
        """Return the wait for bytes, 0 if they count already."""
        if one.bps == NO_LIMIT or request.passes or request.bytes_paid:
            return 0
        self.move_slice(one, jiffies)
        wait = self.wait_bytes(one, request, jiffies)
        self.extend(one, jiffies + wait)
        return wait

    def ios_step(self, one: Direction, request: Request, jiffies: int) -> int:
        """Return the wait for an I/O, for who waits for no bytes any more."""
        if one.iops == NO_LIMIT:
            return 0
        self.move_slice(one, jiffies)
        wait = self.wait_ios(one, request, jiffies)
        self.extend(one, jiffies + wait)
        return wait

    def pay_bytes(self, one: Direction, request: Request) -> None:
        """Count the bytes of a bio, once."""
        if not request.bytes_paid and not request.passes:
            request.bytes_paid = True
            one.bytes += size_of(request)

    def wait(self, one: Direction, request: Request, jiffies: int) -> int:
        """Return in how many jiffies a bio may go, 0 for now; moves the slice."""
        if self.setup.iomax_two_queues:
            wait = self.bytes_step(one, request, jiffies)
            if wait:
                return wait
            self.pay_bytes(one, request)
            return self.ios_step(one, request, jiffies)
        if one.bps == NO_LIMIT and one.iops == NO_LIMIT:
            return 0
        self.move_slice(one, jiffies)
        if one.iops != NO_LIMIT:
            one.ios, one.late = one.ios + one.late, 0
        wait = max(
            self.wait_bytes(one, request, jiffies), self.wait_ios(one, request, jiffies)
        )
        if wait:
            self.extend(one, jiffies + wait)
        return wait

    def wait_bytes(self, one: Direction, request: Request, jiffies: int) -> int:
        """Return the wait that the byte limit demands."""
        if one.bps == NO_LIMIT or request.passes:
            return 0
        elapsed = jiffies - one.start
        whole = self.round_up(elapsed or self.slice)
        allowed = one.bps * whole // self.setup.hz
        extra = one.bytes + size_of(request) - allowed
        if extra <= 0:
            return 0
        return max(1, extra * self.setup.hz // one.bps) + whole - elapsed

    def wait_ios(self, one: Direction, request: Request, jiffies: int) -> int:
        """Return the wait that the limit of I/Os demands."""
        if one.iops == NO_LIMIT:
            return 0
        elapsed = jiffies - one.start
        whole = self.round_up(elapsed + 1)
        if one.ios + ios_of(one, request) <= one.iops * whole // self.setup.hz:
            return 0
        if self.setup.iomax_waits_for_io:
            return max(whole - elapsed, self.setup.hz // one.iops + 1)
        return whole - elapsed

    def charge(self, one: Direction, request: Request) -> None:
        """Count a bio that goes."""
        if not request.bytes_paid:
            one.bytes += size_of(request)
        request.bytes_paid = False
        one.ios += ios_of(one, request)

    def charge_late(self, index: int, rw: int, n_parts: int) -> None:
        """Count parts of a split bio, in every group on the way up, when next asked."""
        while index >= 0:
            group = self.groups[index]
            group.directions[rw].late += n_parts
            index = group.parent

    def trim(self, one: Direction, jiffies: int) -> None:
        """Forget whole slices that are over, and what was allowed in them."""
        if not one.start <= jiffies <= one.end:
            return
        one.end = self.round_up(jiffies + self.slice)
        over = (jiffies - one.start) // self.slice * self.slice
        if self.setup.iomax_keeps_slice:
            self.trim_but_one(one, over)
            return
        if not over:
            return
        bytes_trim = 0 if one.bps == NO_LIMIT else one.bps * over // self.setup.hz
        ios_trim = 0 if one.iops == NO_LIMIT else one.iops * over // self.setup.hz
        if not (bytes_trim or ios_trim):
            return
        one.bytes = 0 if one.bps == NO_LIMIT else max(0, one.bytes - bytes_trim)
        one.ios = 0 if one.iops == NO_LIMIT else max(0, one.ios - ios_trim)
        one.start += over

    def trim_but_one(self, one: Direction, over: int) -> None:
        """Forget slices that are over but the last, from the second on (6.15)."""
        if over < 2 * self.slice:
            return
        over -= self.slice
        trimmed = 0
        if one.bps != NO_LIMIT:
            bytes_trim = one.bps * over // self.setup.hz
            left = one.bytes - bytes_trim if 0 < bytes_trim <= one.bytes else 0
            trimmed += one.bytes - left
            one.bytes = left
        if one.iops != NO_LIMIT:
            ios_trim = one.iops * over // self.setup.hz
            left = one.ios - ios_trim if 0 < ios_trim <= one.ios else 0
            trimmed += one.ios - left
            one.ios = left
        if trimmed:
            one.start += over

    def update(self, index: int, jiffies: int) -> None:
        """Find out when the next of a group's bios may go."""
        group = self.groups[index]
        waits = [
            self.wait(one, first, jiffies)
            for one in group.directions
            if (first := one.peek()) is not None
        ]
        group.dispatch_at = jiffies + min(waits) if waits else -1
        group.version += 1
        self.changed.append(index)

    def dispatch(self, index: int, now: int) -> list[Request]:
        """Let a group's bios go that may; return those that passed the last limit."""
        jiffies = jiffies_at(self.setup, now)
        passed: list[Request] = []
        group = self.groups[index]
        while 0 <= group.dispatch_at <= jiffies:
            for rw, turn in enumerate(TURN):
                one = group.directions[rw]
                for _ in range(turn):
                    first = one.peek()
                    if first is None or self.wait(one, first, jiffies):
                        break
                    passed += self.pass_on(index, rw, now)
            self.update(index, jiffies)
        if group.parent >= 0:
            passed += self.dispatch(group.parent, now)
        return passed

    def pass_on(self, index: int, rw: int, now: int) -> list[Request]:
        """Let one bio go to the group above, or out."""
        jiffies = jiffies_at(self.setup, now)
        group = self.groups[index]
        one = group.directions[rw]
        request = one.pop()
        waited_ns = now - request.throttled_from_ns
        self.interference.add(
            request.issuer, group.cgroup, Resource.THROTTLE, waited_ns, 1
        )
        request.throttled_from_ns = now
        self.charge(one, request)
        passed = [request]
        if group.parent >= 0:
            passed = []
            parent = self.groups[group.parent]
            above = parent.directions[rw]
            was_empty = not above.queued()
            self.add(above, index, request)
            if not above.start <= jiffies <= above.end:
                # the parent starts with the child's credit
                above.bytes = above.ios = 0
                above.start = max(above.start, one.start)
                above.end = jiffies + self.slice
            if was_empty:
                self.update(group.parent, jiffies)
        self.trim(one, jiffies)
        return passed

    def round_up(self, jiffies: int) -> int:
        """Round up to whole slices, on the absolute count."""
        return -(-jiffies // self.slice) * self.slice


def direction_of(request: Request) -> int:
    """Return 0 for a read, 1 for all else."""
    return int(request.op != READ)


def ios_of(one: Direction, request: Request) -> int:
    """Return the I/Os a request counts for."""
    return max(1, request.n_bios) if one.counts_bios and not request.passes else 1


def size_of(request: Request) -> int:
    """Return the bytes a bio counts for; what is left of a split one is paid."""
    if request.passes:
        return 0
    return DISCARD_BYTES if request.op == DISCARD else request.nbytes
