"""Servers that requests wait for, and who waited for whom."""

from collections import Counter, deque

from replay.engine.reference.request import Request

#: Distinct cgroups that one server tells apart among those that wait; the others are
#: counted together. It bounds the work at each completion.
MAX_WAITING_CGROUPS = 64
#: The shared lock's virtual time runs in 2**-8 ns.
VIRTUAL_SHIFT = 8


class Interference:
    """Who waited for whom: ns and incidents by (waiting, blocking, resource)."""

    def __init__(self) -> None:
        self.wait_ns: Counter[tuple[int, int, int]] = Counter()
        self.count: Counter[tuple[int, int, int]] = Counter()

    def add(
        self, waiting: int, blocking: int, resource: int, wait_ns: int, count: int
    ) -> None:
        """Charge a wait to the one that blocked; nothing if nobody waited."""
        if wait_ns > 0:
            self.wait_ns[waiting, blocking, resource] += wait_ns
            self.count[waiting, blocking, resource] += count


class Server:
    """FIFO queue in front of ``capacity`` places."""

    def __init__(
        self, capacity: int, resource: int, others: int, interference: Interference
    ) -> None:
        self.capacity = capacity
        self.resource = resource
        self.others = others
        self.interference = interference
        self.in_use = 0
        self.queue: deque[tuple[Request, int]] = deque()
        # Waiting cgroup -> [how many, sum of the times from which they wait for the
        # present holder]: at each release their wait is how_many * now - sum.
        self.waiting: dict[int, list[int]] = {}

    def enter(self, request: Request, now: int) -> bool:
        """Take a place, or wait for one; tell which."""
        if self.in_use < self.capacity:
            self.in_use += 1
            return True
        key = request.issuer
        if key not in self.waiting and len(self.waiting) >= MAX_WAITING_CGROUPS:
            key = self.others
        entry = self.waiting.setdefault(key, [0, 0])
        entry[0] += 1
        entry[1] += now
        self.queue.append((request, key))
        return False

    def leave(self, request: Request, now: int) -> Request | None:
        """Give a place back; return the request that gets it, if one waits.

        Everybody who waits has waited for the one that leaves since the last release.
        """
        for key, entry in self.waiting.items():
            wait_ns = entry[0] * now - entry[1]
            self.interference.add(key, request.issuer, self.resource, wait_ns, entry[0])
            entry[1] = entry[0] * now
        if not self.queue:
            self.in_use -= 1
            return None
        successor, key = self.queue.popleft()
        entry = self.waiting[key]
        entry[0] -= 1
        entry[1] -= now
        if entry[0] == 0:
            del self.waiting[key]
        return successor


class SharedLock:
    """The backing file's lock where it is taken anew for every page.

    Up to 6.14 the driver makes one write call for each page, so the lock is handed
    over between pages: all who want it advance at the same pace. In the limit of many
    pages that is processor sharing, which costs an event for each request and not for
    each page. Source: drivers/block/loop.c:lo_write_simple(), v6.1.
    """

    def __init__(self, resource: int, interference: Interference) -> None:
        self.resource = resource
        self.interference = interference
        self.active: list[Request] = []
        self.virtual = 0
        self.updated_ns = 0
        self.frozen_ns = -1

    def advance(self, now: int) -> None:
        """Bring the virtual time up to now."""
        if self.frozen_ns >= 0:
            pass
        elif self.active:
            elapsed = now - self.updated_ns
            self.virtual += (elapsed << VIRTUAL_SHIFT) // len(self.active)
        else:
            self.virtual = 0
        self.updated_ns = now

    def enter(self, request: Request, now: int) -> None:
        """Begin to share the lock."""
        self.advance(now)
        request.lock_enter_ns = now
        request.lock_enter_v = self.virtual
        request.lock_finish_v = self.virtual + (request.service_ns << VIRTUAL_SHIFT)
        request.lock_charged_ns = 0
        request.lock_partner = -1
        self.active.append(request)

    def next_finish(self) -> int | None:
        """Return when the next request is done with the lock, if any holds it."""
        if not self.active or self.frozen_ns >= 0:
            return None
        first = min(request.lock_finish_v for request in self.active)
        left = max(0, first - self.virtual) * len(self.active)
        return self.updated_ns - (-left >> VIRTUAL_SHIFT)

    def finished(self, now: int) -> Request | None:
        """Take out a request that is done: the first by virtual time, then by row."""
        self.advance(now)
        if not self.active or self.frozen_ns >= 0:
            return None
        first = min(self.active, key=lambda one: (one.lock_finish_v, one.row))
        if first.lock_finish_v > self.virtual:
            return None
        self.active.remove(first)
        self._charge(first, now)
        return first

    def freeze(self, now: int) -> None:
        """Let one that is done with its copying sleep with the lock held."""
        self.advance(now)
        self.frozen_ns = now

    def thaw(self, sleeper: Request, now: int) -> None:
        """Go on after a sleep; all others have waited for the sleeper."""
        self.advance(now)
        for other in self.active:
            waited_ns = now - max(self.frozen_ns, other.lock_enter_ns)
            self.interference.add(
                other.issuer, sleeper.issuer, self.resource, waited_ns, 1
            )
            other.lock_charged_ns += waited_ns
            other.lock_partner = sleeper.issuer
        self.frozen_ns = -1

    def _charge(self, leaver: Request, now: int) -> None:
        """Charge what the leaver and each of the others waited for one another.

        Together n requests advance at 1/n each; so each loses 1/n of the time to every
        other one, which is how much the virtual time moved while both were there.
        """
        add = self.interference.add
        for other in self.active:
            since = max(leaver.lock_enter_v, other.lock_enter_v)
            overlap = (self.virtual - since) >> VIRTUAL_SHIFT
            add(other.issuer, leaver.issuer, self.resource, overlap, 1)
            other.lock_charged_ns += overlap
            other.lock_partner = leaver.issuer
            add(leaver.issuer, other.issuer, self.resource, overlap, 1)
            leaver.lock_charged_ns += overlap
            leaver.lock_partner = other.issuer
        # What rounding left over goes to the last one it shared with.
        wait_ns = now - leaver.lock_enter_ns - leaver.service_ns
        rest = wait_ns - leaver.lock_charged_ns
        add(leaver.issuer, leaver.lock_partner, self.resource, rest, 0)
