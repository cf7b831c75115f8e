"""Servers that requests wait for."""

from collections import deque

from replay.engine.reference.counting.waits import Interference
from replay.engine.reference.state.requests import Request

#: Distinct cgroups that one server tells apart among those that wait, and a shared lock
#: among those that share it; the others are counted together. It bounds the work at
#: each completion.
MAX_WAITING_CGROUPS = 64


class Waiters:
    """Waiting requests counted by cgroup, and the cgroups to blame."""

    def __init__(self, resource: int, others: int, interference: Interference) -> None:
        self.resource = resource
        self.others = others
        self.interference = interference
        self.keys: dict[int, int] = {}  # as whom each one waits, by row
        # Waiting cgroup -> [how many, sum of the times from which they wait for the
        # present holder]: at each release their wait is how_many * now - sum.
        self.waiting: dict[int, list[int]] = {}

    def begin(self, request: Request, now: int) -> None:
        """Count a request that waits from now on."""
        key = request.issuer
        if key not in self.waiting and len(self.waiting) >= MAX_WAITING_CGROUPS:
            key = self.others
        entry = self.waiting.setdefault(key, [0, 0])
        entry[0] += 1
        entry[1] += now
        self.keys[request.row] = key

    def charge(self, blocking: int, now: int) -> None:
        """Charge all that wait for what they waited since the last time."""
        for key, entry in self.waiting.items():
            wait_ns = entry[0] * now - entry[1]
            self.interference.add(key, blocking, self.resource, wait_ns, entry[0])
            entry[1] = entry[0] * now

    def end(self, request: Request, now: int) -> None:
        """Count a request that has waited; all waits up to now are charged."""
        key = self.keys.pop(request.row)
        entry = self.waiting[key]
        entry[0] -= 1
        entry[1] -= now
        if entry[0] == 0:
            del self.waiting[key]


class Server(Waiters):
    """FIFO queue in front of ``capacity`` places."""

    def __init__(
        self, capacity: int, resource: int, others: int, interference: Interference
    ) -> None:
        super().__init__(resource, others, interference)
        self.capacity = capacity
        self.in_use = 0
        self.queue: deque[Request] = deque()

    def enter(self, request: Request, now: int) -> bool:
        """Take a place and return True, or wait for one."""
        if self.in_use < self.capacity:
            self.in_use += 1
            return True
        self.wait(request, now)
        return False

    def wait(self, request: Request, now: int) -> None:
        """Wait for a place, from now on."""
        self.begin(request, now)
        self.queue.append(request)

    def leave(self, request: Request, now: int) -> Request | None:
        """Give a place back; return the request that gets it, if one waits.

        Everybody who waits has waited for the one that leaves since the last release.
        """
        self.charge(request.issuer, now)
        successor = self.next_waiting()
        if successor is None:
            self.in_use -= 1
            return None
        self.end(successor, now)
        return successor

    def next_waiting(self) -> Request | None:
        """Take out the one that came first."""
        return self.queue.popleft() if self.queue else None
