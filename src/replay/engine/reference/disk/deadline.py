"""mq-deadline: batches of one direction in the order of sectors, reads first.

A batch goes on with the next request at or behind where the last one began, for 16
requests. Then reads have their turn, unless writes wait that stood back twice; a batch
begins where the last one of its direction ended, or with the request that has waited
longest if nothing lies behind that or it has waited too long.

Sources: block/mq-deadline.c:__dd_dispatch_request(), deadline_next_request(),
deadline_check_fifo(), v6.12. All requests are of one priority, and every one waits
here for as long as it takes: async_depth holds no process back.
"""

from bisect import bisect_left, insort

from replay.engine.reference.state.requests import Request
from replay.trace.file.schema import OP_CODES

FIFO_BATCH = 16
WRITES_STARVED = 2
#: read_expire, write_expire.
EXPIRE_NS = (500_000_000, 5_000_000_000)
READS, WRITES = 0, 1


class Waiting:
    """The waiting requests of one direction."""

    def __init__(self) -> None:
        self.by_sector: list[tuple[int, int]] = []  # (sector, stamp)
        # in the order in which they came: stamp -> (when it expires, request)
        self.fifo: dict[int, tuple[int, Request]] = {}
        self.sector = 0

    def following(self) -> int | None:
        """Return the stamp of the next one at or behind where the last one began."""
        at = bisect_left(self.by_sector, (self.sector, 0))
        return self.by_sector[at][1] if at < len(self.by_sector) else None

    def first(self, now: int) -> int:
        """Return the stamp of the one that begins a batch."""
        oldest = next(iter(self.fifo))
        following = self.following()
        if following is None or self.fifo[oldest][0] <= now:
            return oldest
        return following

    def take(self, stamp: int) -> Request:
        """Take a request out."""
        _, request = self.fifo.pop(stamp)
        self.by_sector.remove((request.sector, stamp))
        self.sector = request.sector
        return request


class Deadline:
    """The scheduler of one disk."""

    def __init__(self) -> None:
        self.sides = (Waiting(), Waiting())
        self.side = READS
        self.batched = 0
        self.starved = 0
        self.stamps = 0

    def add(self, request: Request, now: int) -> None:
        """Let a request wait in its direction."""
        side = READS if request.op == OP_CODES["read"] else WRITES
        self.stamps += 1
        insort(self.sides[side].by_sector, (request.sector, self.stamps))
        self.sides[side].fifo[self.stamps] = now + EXPIRE_NS[side], request

    def pick(self, now: int) -> Request | None:
        """Take out the request that is to be issued next."""
        following = self.sides[self.side].following()
        if following is not None and self.batched < FIFO_BATCH:
            self.batched += 1
            return self.sides[self.side].take(following)
        reads, writes = self.sides
        if not reads.fifo and not writes.fifo:
            return None
        self.side = READS if reads.fifo else WRITES
        if reads.fifo and writes.fifo:
            if self.starved >= WRITES_STARVED:
                self.side = WRITES
            self.starved += 1
        if self.side == WRITES:
            self.starved = 0
        side = self.sides[self.side]
        self.batched = 1
        return side.take(side.first(now))
