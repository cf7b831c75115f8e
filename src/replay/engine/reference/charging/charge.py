"""Charging memory: stocks, limits, and the sleep above ``memory.high``.

Sources: mm/memcontrol.c:try_charge_memcg(), drain_all_stock(),
mem_cgroup_handle_over_high(), calculate_high_delay(), v6.1.
"""

from collections import Counter
from dataclasses import dataclass, field

from replay.engine.reference.memcg.tasks import ROOT, Tasks, ceil_pages
from replay.engine.reference.pages.generations import Generations
from replay.engine.reference.pages.reclaim import Reclaim
from replay.engine.reference.state.jiffies import jiffies_at, time_of
from replay.engine.reference.state.requests import Request
from replay.engine.setup import NO_LIMIT, PAGE_BYTES, Policy, Setup

#: MAX_RECLAIM_RETRIES: how many times a charge, or a worker above memory.high,
#: retries.
RETRIES = 16
#: Charges of up to this many pages retry while reclaim makes progress
#: (PAGE_ALLOC_COSTLY_ORDER).
COSTLY = 8
#: SWAP_CLUSTER_MAX: pages that each further pass above memory.high asks for.
CLUSTER = 32
#: Source: mm/memcontrol.c, MEMCG_DELAY_PRECISION_SHIFT and _SCALING_SHIFT, v6.1.
PRECISION_SHIFT, SCALING_SHIFT = 20, 14


@dataclass
class Stock:
    """Pages that a CPU has charged in advance, and their payer; one for each worker.

    Source: mm/memcontrol.c:consume_stock(), refill_stock(), v6.1 and v6.16.
    """

    #: Cgroup and pages of each slot; None: it is free.
    slots: list[tuple[int, int] | None]
    #: The slot that makes place next.
    next_out: int = 0
    #: Pages charged above memory.high since the worker last slept for it.
    over_high: int = 0

    def take(self, cgroup: int, pages: int) -> bool:
        """Take pages out, if it holds as many for a cgroup."""
        for i, slot in enumerate(self.slots):
            if slot is not None and slot[0] == cgroup and slot[1] >= pages:
                self.slots[i] = (cgroup, slot[1] - pages) if slot[1] > pages else None
                return True
        return False

    def put(self, cgroup: int, pages: int) -> tuple[int, int] | None:
        """Put pages in; return those of another cgroup that made place for them."""
        free = None
        for i, slot in enumerate(self.slots):
            if slot is None:
                free = i if free is None else free
            elif slot[0] == cgroup:
                self.slots[i] = (cgroup, slot[1] + pages)
                return None
        out = None
        if free is None:
            free = self.next_out
            self.next_out = (self.next_out + 1) % len(self.slots)
            out = self.slots[free]
        self.slots[free] = (cgroup, pages)
        return out


@dataclass
class Charges:
    """Bytes by (device, issuer, payer)."""

    charged: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    uncharged: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    refused: Counter[tuple[int, int, int]] = field(default_factory=Counter)


class Charging(Tasks):
    """Charges of a payer by workers."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.high = [int(one) for one in setup.memory_high]
        self.stocks: dict[tuple[int, int], Stock] = {}
        self.charges = Charges()
        #: Writes reported as done whose tail was not written: count, bytes, first.
        self.lost: dict[int, list[int]] = {}
        #: `reclaim = "lru"` of a page cache.
        self.lru = setup.reclaim_lru and setup.cached and not setup.direct_io
        self.forced = setup.policy == Policy.BACKCHARGE
        if setup.mglru and not setup.reclaim_lru:
            self.reclaim: Reclaim = Generations(self, setup.mglru)
        else:
            self.reclaim = Reclaim(self, lru=self.lru)

    # -- stocks -----------------------------------------------------------------

    def stock_of(self, request: Request) -> Stock:
        """Return the stock of the CPU that a request's worker runs on: one a worker."""
        key = (request.device, request.worker)
        if key not in self.stocks:
            self.stocks[key] = Stock([None] * self.setup.stock_slots)
        return self.stocks[key]

    def drain_below(self, over: int) -> None:
        """Give back every stock of a cgroup and its descendants."""
        for stock in self.stocks.values():
            for i, slot in enumerate(stock.slots):
                if slot is not None and over in self.chain(slot[0]):
                    self.count(slot[0], -slot[1])
                    stock.slots[i] = None

    # -- charging ---------------------------------------------------------------

    def charge(
        self,
        request: Request,
        pages: int,
        now: int,
        *,
        may_fail: bool = False,
        reclaims: bool = True,
    ) -> tuple[int, int | None]:
        """Charge a payer; return an errno, and until when to sleep before a retry.

        64 pages at a time (32 before 6.1), what is left over being the stock of this
        CPU. One that may fail (readahead's) asks no OOM killer; one that does not
        reclaim (a huge page's) fails at once.
        """
        payer = request.memory_payer
        if payer == ROOT and self.limit[ROOT] == NO_LIMIT:
            self.count(payer, pages)
            return 0, None
        stock = self.stock_of(request)
        if stock.take(payer, pages):
            return 0, None
        most = self.setup.charge_batch
        batch = pages if self.lru or payer == ROOT else max(most, pages)
        if self.exceeded(payer, batch) is not None:
            batch = pages
            if self.forced:
                self.force(payer, pages)
            elif not reclaims:
                over = self.exceeded(payer, pages)
                if over is not None:
                    self.count_events(over, int(self.setup.refusals_count), 0)
                    return self.setup.write_errno, None
            else:
                error, until = self.make_room(request, pages, now, may_fail)
                if error or until is not None:
                    return error, until
        request.oom_rounds = 0
        self.count(payer, batch)
        if batch > pages:
            out = stock.put(payer, batch - pages)
            if out is not None:
                self.count(out[0], -out[1])
        high = any(self.is_high(one) for one in self.chain(payer)[:-1])
        if high and not self.forced:
            stock.over_high += batch
        return 0, None

    def force(self, payer: int, pages: int) -> None:
        """Count a charge that is taken whatever the limits say.

        The worker, which is the root's, does not sleep for `memory.high` either.
        """
        over = self.exceeded(payer, pages)
        if over is not None:
            self.count_events(over, 1, 0)

    def make_room(
        self, request: Request, pages: int, now: int, may_fail: bool
    ) -> tuple[int, int | None]:
        """Make room at a limit; return an errno, and until when to sleep if need be.

        Each time round reclaims, and is one `max`. Where that gives nothing the stocks
        are drained once, and 16 retries later `oom` counts and the OOM killer is asked.
        """
        retries, drained = RETRIES, request.oom_rounds > 0
        while (over := self.exceeded(request.memory_payer, pages)) is not None:
            self.count_events(over, 1, 0)
            freed = self.reclaim.reclaim(over, pages, request)
            if self.limit[over] - self.groups[over].usage >= pages:
                continue
            if not drained:
                self.drain_below(over)
                drained = True
                continue
            if may_fail:
                return self.setup.write_errno, None
            if freed and pages <= COSTLY:
                continue
            if retries:
                retries -= 1
                continue
            retries = RETRIES
            self.count_events(over, 0, int(self.setup.oom_kills))
            if not self.setup.oom_kills:
                return self.setup.write_errno, None
            request.oom_rounds += 1
            until = self.dying(over)
            if until is None and not self.oom_kill(over, request, now):
                request.oom_rounds = 0
                return self.setup.write_errno, None
            until = self.dying(over)
            if until is not None:
                request.blocking_cgroup = over
                return 0, until
        return 0, None

    def is_high(self, cgroup: int) -> bool:
        """Return True if a cgroup is above its ``memory.high``."""
        high = self.high[cgroup]
        return high != NO_LIMIT and self.groups[cgroup].usage > high

    def throttled_until(self, request: Request, now: int) -> int | None:
        """Return until when a worker sleeps for what it charged above ``memory.high``.

        Source: mm/memcontrol.c:mem_cgroup_handle_over_high(), calculate_high_delay(),
        v6.1; before v5.18 a task does so on its return to user mode, where no worker
        ever comes. Every pass reclaims from all that are above, and is one `high`.
        Where nothing can be reclaimed (tmpfs, dirty pages) it sleeps after 17 of them.
        """
        stock = self.stock_of(request)
        batch = self.setup.charge_batch
        if not self.setup.high_in_charge or stock.over_high <= batch:
            return None
        n_pages, stock.over_high = stock.over_high, 0
        chain = self.chain(request.memory_payer)[:-1]
        wanted, retries, hz = n_pages, RETRIES, self.setup.hz
        while True:
            freed = 0
            for one in chain:
                if self.is_high(one):
                    for above in self.chain(one)[:-1]:
                        self.groups[above].high_events += 1
                    freed += self.reclaim.reclaim(one, wanted, request)
            wanted = CLUSTER
            high = [one for one in chain if self.is_high(one)]
            overage = [
                (self.groups[one].usage - self.high[one] << PRECISION_SHIFT)
                // max(1, self.high[one])
                for one in high
            ]
            worst = max(overage, default=0)
            penalty = worst * worst * hz >> PRECISION_SHIFT >> SCALING_SHIFT
            penalty = min(penalty * n_pages // batch, 2 * hz)
            if penalty <= hz // 100:
                return None
            if not freed:
                if not retries:
                    break
                retries -= 1
        request.blocking_cgroup = high[overage.index(worst)]
        return time_of(self.setup, jiffies_at(self.setup, now) + penalty)

    def fails(self, request: Request, page: int, now: int) -> None:
        """Fail a write at a page; from 6.15 on only if that is its first.

        Else the driver takes the short write for a whole one and says that it is done:
        the tail is lost. Source: drivers/block/loop.c:lo_rw_aio_complete(),
        lo_complete_rq(), v6.15.
        """
        written = page * PAGE_BYTES - request.sector * 512
        if self.setup.short_writes and written > 0:
            request.error = 0
            entry = self.lost.setdefault(request.issuer, [0, 0, now])
            entry[0] += 1
            entry[1] += request.nbytes - written

    # -- kernel memory ----------------------------------------------------------

    def kernel_pages(self, payer: int, nbytes: int) -> int:
        """Return by how many whole pages more (or fewer) bytes change a charge."""
        before = self.groups[payer].kernel_bytes
        return ceil_pages(before + nbytes) - ceil_pages(before)
