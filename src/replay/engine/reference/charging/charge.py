"""Charging memory: stocks, limits, and the sleep above ``memory.high``.

Sources: mm/memcontrol.c:try_charge_memcg(), drain_all_stock(),
mem_cgroup_handle_over_high(), calculate_high_delay(), v6.1.
"""

from collections import Counter
from dataclasses import dataclass, field

from replay.engine.reference.memcg.tasks import ROOT, Tasks, ceil_pages
from replay.engine.reference.pages.reclaim import Reclaim
from replay.engine.reference.state.jiffies import jiffies_at, time_of
from replay.engine.reference.state.requests import Request
from replay.engine.setup import NO_LIMIT, PAGE_BYTES, Policy, Setup

#: Pages that are charged at once. Source: include/linux/memcontrol.h, v6.1.
BATCH = 64
#: MAX_RECLAIM_RETRIES: how oft a charge, or a worker above memory.high, tries again.
RETRIES = 16
#: Charges up to so many pages go round as long as anything is reclaimed for them.
COSTLY = 8
#: SWAP_CLUSTER_MAX: pages that each further pass above memory.high asks for.
CLUSTER = 32
#: Source: mm/memcontrol.c, MEMCG_DELAY_PRECISION_SHIFT and _SCALING_SHIFT, v6.1.
PRECISION_SHIFT, SCALING_SHIFT = 20, 14


@dataclass
class Stock:
    """What a CPU has charged in advance, and for whom; one for each worker."""

    cgroup: int = ROOT
    pages: int = 0
    #: Pages charged above memory.high since the worker last slept for it.
    over_high: int = 0


@dataclass
class Charges:
    """Bytes by (device, issuer, payer)."""

    charged: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    uncharged: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    refused: Counter[tuple[int, int, int]] = field(default_factory=Counter)


class Charging(Tasks):
    """What workers charge in the name of a payer."""

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
        self.reclaim = Reclaim(self, lru=self.lru)

    # -- stocks -----------------------------------------------------------------

    def stock_of(self, request: Request) -> Stock:
        """Return the stock of the CPU that a request's worker runs on: one a worker."""
        return self.stocks.setdefault((request.device, request.worker), Stock())

    def drain(self, stock: Stock) -> None:
        """Give a stock back to the counters."""
        if stock.pages:
            self.count(stock.cgroup, -stock.pages)
        stock.pages = 0

    def drain_below(self, over: int) -> None:
        """Give back every stock of a cgroup and its descendants."""
        for stock in self.stocks.values():
            if stock.pages and over in self.chain(stock.cgroup):
                self.drain(stock)

    # -- charging ---------------------------------------------------------------

    def charge(
        self, request: Request, pages: int, now: int, *, may_fail: bool = False
    ) -> tuple[int, int | None]:
        """Charge a payer; return an errno, and until when to sleep before a retry.

        64 pages at a time, what is left over being the stock of this CPU. One that may
        fail (readahead's) asks no OOM killer.
        """
        payer = request.memory_payer
        if payer == ROOT and self.limit[ROOT] == NO_LIMIT:
            self.count(payer, pages)
            return 0, None
        stock = self.stock_of(request)
        if stock.cgroup == payer and stock.pages >= pages:
            stock.pages -= pages
            return 0, None
        batch = pages if self.lru or payer == ROOT else max(BATCH, pages)
        if self.exceeded(payer, batch) is not None:
            batch = pages
            if self.forced:
                self.force(payer, pages)
            else:
                error, until = self.make_room(request, pages, now, may_fail)
                if error or until is not None:
                    return error, until
        request.oom_rounds = 0
        self.count(payer, batch)
        if batch > pages:
            if stock.cgroup != payer:
                self.drain(stock)
                stock.cgroup = payer
            stock.pages += batch - pages
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
        """Tell whether a cgroup is above its ``memory.high``."""
        high = self.high[cgroup]
        return high != NO_LIMIT and self.groups[cgroup].usage > high

    def throttled_until(self, request: Request, now: int) -> int | None:
        """Return until when a worker sleeps for what it charged above ``memory.high``.

        Source: mm/memcontrol.c:mem_cgroup_handle_over_high(), calculate_high_delay(),
        v6.1. Every pass reclaims from all that are above, and is one `high`. Where
        nothing can be reclaimed (tmpfs, dirty pages) it sleeps after 17 of them.
        """
        stock = self.stock_of(request)
        if stock.over_high <= BATCH:
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
            penalty = min(penalty * n_pages // BATCH, 2 * hz)
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
