"""The backing file's lock where it is taken anew for every page."""

import heapq
from dataclasses import dataclass

from replay.engine.reference.counting.waits import Interference
from replay.engine.reference.queues.server import MAX_WAITING_CGROUPS
from replay.engine.reference.state.requests import Request

#: The virtual time runs in 2**-8 ns.
VIRTUAL_SHIFT = 8


@dataclass
class Sharer:
    """The requests of one cgroup that share a lock, and what they waited so far."""

    cgroup: int
    count: int = 0
    waited_ns: int = 0  # of those that left
    charged_ns: int = 0  # of those and of the present ones
    partner: int = -1  # the last that it was charged with
    #: Of those there at the time of a sleep: the times from which they wait for it.
    frozen_sum: int = 0


@dataclass
class Pair:
    """Waits of two sharers for one another since the last of them left."""

    wait_ns: int = 0
    rest: int = 0  # in parts of 2**-8 ns
    updated_v: int = 0
    waited: bool = False  # whether anything was charged to them yet


class SharedLock:
    """The backing file's lock where it is taken anew for every page.

    Up to 6.14 the driver makes one write call for each page, so the lock is handed
    over between pages: all who want it advance at the same pace. In the limit of many
    pages that is processor sharing, which costs an event for each request and not for
    each page. Source: drivers/block/loop.c:lo_write_simple(), v6.1.

    Together n requests advance at 1/n each; so each loses 1/n of the time to every
    other one, which is how much the virtual time moves while both are there. It is
    added up by pairs of cgroups, so an event costs no more than there are cgroups.

    Where what they waited for one another is in their recorded times they do not share
    (``parallel``): then they wait for who sleeps with the lock alone.
    """

    def __init__(
        self,
        resource: int,
        others: int,
        interference: Interference,
        *,
        parallel: bool = False,
    ) -> None:
        self.parallel = parallel
        self.resource = resource
        self.others = others
        self.interference = interference
        self.active: list[tuple[int, int, Request]] = []  # a heap, first done first
        self.virtual = 0
        self.updated_ns = 0
        self.frozen_ns = -1
        # By place; the first is that of all cgroups that are not told apart.
        self.sharers: list[Sharer | None] = [None] * (MAX_WAITING_CGROUPS + 1)
        self.pairs: dict[tuple[int, int], Pair] = {}

    def advance(self, now: int) -> None:
        """Bring the virtual time up to now."""
        if self.frozen_ns >= 0:
            pass
        elif self.active:
            elapsed = now - self.updated_ns
            n = 1 if self.parallel else len(self.active)
            self.virtual += (elapsed << VIRTUAL_SHIFT) // n
        else:
            self.virtual = 0
        self.updated_ns = now

    def present(self) -> list[tuple[int, Sharer]]:
        """Return the sharers with requests, and their places."""
        return [(i, one) for i, one in enumerate(self.sharers) if one is not None]

    def pair(self, a: int, b: int) -> Pair:
        """Return what the sharers in two places wait for one another."""
        return self.pairs[min(a, b), max(a, b)]

    def place_of(self, cgroup: int) -> int:
        """Return a cgroup's place: the first that is free, if it has none yet."""
        for place, one in self.present():
            if one.cgroup == cgroup:
                return place
        told_apart = None in self.sharers[1:]
        place = self.sharers.index(None, 1) if told_apart else 0
        if self.sharers[place] is None:
            self.sharers[place] = Sharer(cgroup if told_apart else self.others)
            for i, _ in self.present():
                self.pairs[min(i, place), max(i, place)] = Pair()
        return place

    def update(self, place: int) -> None:
        """Add up what a sharer and each of the others waited for one another."""
        if self.parallel:
            return
        sharer = self.sharers[place]
        assert sharer is not None
        for i, other in self.present():
            pair = self.pair(i, place)
            times = sharer.count * (other.count - (i == place))
            pair.rest += (self.virtual - pair.updated_v) * times
            pair.wait_ns += pair.rest >> VIRTUAL_SHIFT
            pair.rest %= 1 << VIRTUAL_SHIFT
            pair.updated_v = self.virtual

    def enter(self, request: Request, now: int) -> None:
        """Begin to share the lock."""
        self.advance(now)
        request.lock_enter_ns = now
        request.lock_place = self.place_of(request.issuer)
        self.update(request.lock_place)
        sharer = self.sharers[request.lock_place]
        assert sharer is not None
        sharer.count += 1
        sharer.frozen_sum += now
        finish = self.virtual + (request.service_ns << VIRTUAL_SHIFT)
        heapq.heappush(self.active, (finish, request.row, request))

    def next_finish(self) -> int | None:
        """Return when the next request is done with the lock, if any holds it."""
        if not self.active or self.frozen_ns >= 0:
            return None
        n = 1 if self.parallel else len(self.active)
        left = max(0, self.active[0][0] - self.virtual) * n
        return self.updated_ns - (-left >> VIRTUAL_SHIFT)

    def finished(self, now: int) -> Request | None:
        """Take out a request that is done: the first by virtual time, then by row."""
        self.advance(now)
        if not self.active or self.frozen_ns >= 0:
            return None
        if self.active[0][0] > self.virtual:
            return None
        _, _, first = heapq.heappop(self.active)
        self.leave(first, now)
        return first

    def freeze(self, now: int) -> None:
        """Let one that is done with its copying sleep with the lock held."""
        self.advance(now)
        self.frozen_ns = now
        for _, one in self.present():
            one.frozen_sum = one.count * now

    def thaw(self, sleeper: Request, now: int) -> None:
        """Go on after a sleep; all others have waited for the sleeper."""
        self.advance(now)
        for _, one in self.present():
            waited_ns = one.count * now - one.frozen_sum
            self.interference.add(
                one.cgroup, sleeper.issuer, self.resource, waited_ns, one.count
            )
            one.charged_ns += waited_ns
            one.partner = sleeper.issuer
        self.frozen_ns = -1

    def leave(self, leaver: Request, now: int) -> None:
        """Charge what a leaver's cgroup and each of the others waited so far."""
        place = leaver.lock_place
        self.update(place)
        sharer = self.sharers[place]
        assert sharer is not None
        sharer.count -= 1
        sharer.waited_ns += now - leaver.lock_enter_ns - leaver.service_ns
        for i, other in self.present():
            if other.count == 0 or self.parallel:
                continue
            pair = self.pair(i, place)
            pair.waited |= pair.wait_ns > 0
            if i == place:
                # each of the others waited for the leaver, and the leaver for each
                self.charge(sharer, sharer, pair, 2 * other.count)
            else:
                self.charge(other, sharer, pair, other.count)
                self.charge(sharer, other, pair, other.count)
            pair.wait_ns = 0
        if sharer.count == 0:
            # What rounding left over goes to the last one it shared with.
            rest = sharer.waited_ns - sharer.charged_ns
            self.interference.add(sharer.cgroup, sharer.partner, self.resource, rest, 0)
            self.sharers[place] = None

    def charge(self, waiting: Sharer, blocking: Sharer, pair: Pair, count: int) -> None:
        """Charge one sharer for what it waited for another; see `leave`."""
        if pair.waited:
            key = waiting.cgroup, blocking.cgroup, self.resource
            self.interference.wait_ns[key] += pair.wait_ns
            self.interference.count[key] += count
        waiting.charged_ns += pair.wait_ns
        waiting.partner = blocking.cgroup
