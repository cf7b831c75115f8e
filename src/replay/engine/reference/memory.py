"""Page owners, memory counters, limits and kills.

Sources: mm/memcontrol.c:try_charge_memcg(), mm/shmem.c:shmem_get_folio_gfp(),
mm/oom_kill.c, lib/xarray.c, v6.1; SEMANTICS A.6, C.1, C.3.
"""

from collections import Counter
from dataclasses import dataclass, field

from replay.engine.reference.clock import jiffies_at, time_of
from replay.engine.reference.request import Request
from replay.engine.reference.tree import PageTree
from replay.engine.setup import NO_LIMIT, PAGE_BYTES, Setup
from replay.trace.schema import OP_CODES

WRITE = OP_CODES["write"]
FREES = (OP_CODES["discard"], OP_CODES["write_zeroes"])

#: Bytes that memcg counts for one node of the page tree: 576 and the object's own
#: pointer of 8 (SEMANTICS A.6).
NODE_BYTES = 584
#: Pages of a file laid out before the trace are counted by regions of 2 MiB.
REGION_SHIFT = 9
#: `max` events of a failing round, behind the one of the first failure.
MAX_EVENTS_A_ROUND = 17
#: Pages that are charged at once. Source: include/linux/memcontrol.h, v6.1.
BATCH = 64
#: How oft a worker above memory.high tries to reclaim before it sleeps.
HIGH_PASSES = 17
#: Source: mm/memcontrol.c, MEMCG_DELAY_PRECISION_SHIFT and _SCALING_SHIFT, v6.1.
PRECISION_SHIFT, SCALING_SHIFT = 20, 14
#: The reaper comes so long after a kill. Source: mm/oom_kill.c, OOM_REAPER_DELAY.
REAPER_NS = 2 * 10**9
ROOT = 0


@dataclass
class Group:
    """The counters of one cgroup; ``usage`` and ``peak`` with its descendants."""

    usage: int = 0
    peak: int = 0
    shmem: int = 0
    node_bytes: int = 0
    rss: int = 0
    high_events: int = 0
    max_events: int = 0
    oom: int = 0
    oom_kill: int = 0


@dataclass
class Task:
    """A process of a cgroup that the OOM killer may choose."""

    cgroup: int
    rss: int
    requests_left: int
    kernel: bool
    started: bool = False
    ended: bool = False
    killed_ns: int = -1
    reap_ns: int = -1
    in_flight_bytes: int = 0
    resident: int = 0

    def lives(self) -> bool:
        """Tell whether it has begun and neither ended nor been killed."""
        return self.started and not self.ended and self.killed_ns < 0


@dataclass
class Stock:
    """What a CPU has charged in advance, and for whom; one for each worker."""

    cgroup: int = ROOT
    pages: int = 0
    #: Pages charged above memory.high since the worker last slept for it.
    over_high: int = 0


@dataclass
class Kill:
    """One OOM kill."""

    time_ns: int
    limit_cgroup: int
    victim_cgroup: int
    task: int
    usage_pages: int
    row: int


@dataclass
class Charges:
    """Bytes by (device, issuer, payer)."""

    charged: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    uncharged: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    refused: Counter[tuple[int, int, int]] = field(default_factory=Counter)


class Memory:
    """Who owns which page of the backing files, and what that costs whom."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.parent = [int(one) for one in setup.parent]
        self.limit = [int(one) for one in setup.memory_max]
        self.high = [int(one) for one in setup.memory_high]
        self.groups = [Group() for _ in self.parent]
        self.stocks: dict[tuple[int, int], Stock] = {}
        self.owner: dict[tuple[int, int], int] = {}
        self.trees = [PageTree() for _ in setup.devices]
        self.regions: set[tuple[int, int]] = set()
        self.fs_used = 0
        self.charges = Charges()
        self.kills: list[Kill] = []
        self.tasks = [
            Task(int(cgroup), int(rss), int(requests), bool(kernel))
            for cgroup, rss, requests, kernel in zip(
                setup.task_cgroup,
                setup.task_rss,
                setup.task_requests,
                setup.task_kernel,
                strict=True,
            )
        ]

    # -- counters ---------------------------------------------------------------

    def chain(self, cgroup: int) -> list[int]:
        """Return a cgroup and its ancestors, the root last."""
        chain = []
        while cgroup >= 0:
            chain.append(cgroup)
            cgroup = self.parent[cgroup]
        return chain

    def exceeded(self, cgroup: int, pages: int) -> int | None:
        """Return the first cgroup on the way up whose limit has no room for pages."""
        for one in self.chain(cgroup):
            limit = self.limit[one]
            if limit != NO_LIMIT and self.groups[one].usage + pages > limit:
                return one
        return None

    def count(self, cgroup: int, pages: int) -> None:
        """Add pages (or take them away) here and in every ancestor."""
        for one in self.chain(cgroup):
            group = self.groups[one]
            group.usage += pages
            group.peak = max(group.peak, group.usage)

    def count_events(self, cgroup: int, max_events: int, oom: int) -> None:
        """Count a failing round at a limit and in every ancestor but the root."""
        for one in self.chain(cgroup)[:-1]:
            self.groups[one].max_events += max_events
            self.groups[one].oom += oom

    # -- tasks and kills --------------------------------------------------------

    def task_arrives(self, index: int, nbytes: int) -> None:
        """Queue a task's request: from the first one on its memory counts."""
        task = self.tasks[index]
        if not task.started:
            task.started = True
            task.resident = task.rss
            self.count(task.cgroup, task.rss)
            self.groups[task.cgroup].rss += task.rss
        task.in_flight_bytes += nbytes

    def task_completes(self, index: int, nbytes: int) -> None:
        """End a task's request: give back what only it kept in memory."""
        task = self.tasks[index]
        task.in_flight_bytes -= nbytes
        task.requests_left -= 1
        if task.killed_ns >= 0:
            if task.in_flight_bytes == 0:
                task.reap_ns = -1  # it could exit
            if task.reap_ns < 0:
                pinned = ceil_pages(task.in_flight_bytes)
                self._shrink(task, min(task.resident, pinned))
        elif task.requests_left == 0:
            task.ended = True
            self._shrink(task, 0)

    def task_skips(self, index: int) -> None:
        """Skip a request that is not replayed."""
        task = self.tasks[index]
        task.requests_left -= 1
        if task.requests_left == 0 and task.lives():
            task.ended = True
            self._shrink(task, 0)

    def _shrink(self, task: Task, resident: int) -> None:
        self.count(task.cgroup, resident - task.resident)
        self.groups[task.cgroup].rss += resident - task.resident
        task.resident = resident

    def stopped(self, index: int, queue_ns: int) -> bool:
        """Tell whether a request queued now is one that a kill stopped (DESIGN 5.3)."""
        task = self.tasks[index]
        if not task.kernel:
            return 0 <= task.killed_ns < queue_ns
        killed = [
            one.killed_ns
            for one in self.tasks
            if one.cgroup == task.cgroup and one.killed_ns >= 0
        ]
        alive = any(
            one.lives()
            for one in self.tasks
            if one.cgroup == task.cgroup and not one.kernel
        )
        return bool(killed) and not alive and max(killed) < queue_ns

    def oom_kill(self, over: int, request: Request, now: int) -> bool:
        """Kill the largest task below a limit; tell whether there was one.

        A task that waits for its own I/O cannot exit: the reaper gives its pages back
        2 s later, but those that its requests in flight pin.
        """
        victim = None
        for index, task in enumerate(self.tasks):
            if task.kernel or not task.lives() or over not in self.chain(task.cgroup):
                continue
            if victim is None or task.rss >= self.tasks[victim].rss:
                victim = index
        if victim is None:
            return False
        task = self.tasks[victim]
        usage = self.groups[over].usage
        task.killed_ns = now
        self.kills.append(Kill(now, over, task.cgroup, victim, usage, request.row))
        for one in self.chain(task.cgroup)[:-1]:
            self.groups[one].oom_kill += 1
        if task.in_flight_bytes:
            task.reap_ns = now + REAPER_NS
        else:
            self._shrink(task, 0)
        return True

    def reap(self, now: int) -> None:
        """Give back what killed tasks held, once the reaper has come to them."""
        for task in self.tasks:
            if 0 <= task.reap_ns <= now:
                task.reap_ns = -1
                self._shrink(task, min(task.resident, ceil_pages(task.in_flight_bytes)))

    def dying(self, over: int) -> int | None:
        """Return when a task below a limit that is killed gives its memory back."""
        waits = [
            task.reap_ns
            for task in self.tasks
            if task.reap_ns >= 0 and over in self.chain(task.cgroup)
        ]
        return min(waits, default=None)

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

    def charge(self, request: Request, pages: int, now: int) -> tuple[int, int | None]:
        """Charge a payer; return an errno, and until when to sleep before a retry.

        64 pages at a time, what is left over being the stock of this CPU.
        """
        payer = request.memory_payer
        if payer == ROOT:
            self.count(payer, pages)
            return 0, None
        stock = self.stock_of(request)
        if stock.cgroup == payer and stock.pages >= pages:
            stock.pages -= pages
            return 0, None
        batch = BATCH
        if self.exceeded(payer, batch) is not None:
            batch = pages
            error, until = self.make_room(request, pages, now)
            if error or until is not None:
                return error, until
        request.oom_rounds = 0
        self.count(payer, batch)
        if batch > pages:
            if stock.cgroup != payer:
                self.drain(stock)
                stock.cgroup = payer
            stock.pages += batch - pages
        if any(self.is_high(one) for one in self.chain(payer)[:-1]):
            stock.over_high += batch
        return 0, None

    def make_room(
        self, request: Request, pages: int, now: int
    ) -> tuple[int, int | None]:
        """Make room at a limit; return an errno, and until when to sleep if need be.

        `max` counts the first failure, one more after the stocks are drained and 16
        retries; each further round 17. `oom` counts the rounds.
        """
        while (over := self.exceeded(request.memory_payer, pages)) is not None:
            if request.oom_rounds == 0:
                self.count_events(over, 1, 0)
                self.drain_below(over)
                if self.exceeded(request.memory_payer, pages) is None:
                    break
            self.count_events(over, MAX_EVENTS_A_ROUND, 1)
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
        v6.1. Pages of tmpfs cannot be reclaimed from a loop worker, so it retries in
        vain: 17 `high` events, if it sleeps at all.
        """
        stock = self.stock_of(request)
        if stock.over_high <= BATCH:
            return None
        n_pages, stock.over_high = stock.over_high, 0
        chain = self.chain(request.memory_payer)[:-1]
        high = [one for one in chain if self.is_high(one)]
        overage = [
            (self.groups[one].usage - self.high[one] << PRECISION_SHIFT)
            // max(1, self.high[one])
            for one in high
        ]
        worst = max(overage, default=0)
        hz = self.setup.hz
        penalty = worst * worst * hz >> PRECISION_SHIFT >> SCALING_SHIFT
        penalty = min(penalty * n_pages // BATCH, 2 * hz)
        sleeps = penalty > hz // 100
        for one in high:
            for above in self.chain(one)[:-1]:
                self.groups[above].high_events += HIGH_PASSES if sleeps else 1
        if not sleeps:
            return None
        request.blocking_cgroup = high[overage.index(worst)]
        return time_of(self.setup, jiffies_at(self.setup, now) + penalty)

    # -- pages ------------------------------------------------------------------

    def touch(self, request: Request, now: int) -> int | None:
        """Touch the pages of a request that has been served; sets its errno.

        Returns
        -------
        int or None
            Until when the worker sleeps, with all that it holds; then call again.
        """
        if not self.setup.tmpfs or self.setup.direct_io or request.nbytes == 0:
            return None
        if request.op == WRITE:
            return self._write(request, now)
        if request.op in FREES:
            self._free(request)
        return None

    def _write(self, request: Request, now: int) -> int | None:
        first, last = page_range(request)
        for page in range(max(first, request.next_page), last + 1):
            request.next_page = page
            self._lay_out(request.device, page)
            if (request.device, page) in self.owner:
                continue
            request.error, until = self._charge(request, page, now)
            if until is not None:
                return until
            if request.error:
                absent = sum(
                    (request.device, rest) not in self.owner
                    and not self._will_be_laid_out(request.device, rest)
                    for rest in range(page, last + 1)
                )
                self.charges.refused[self._key(request)] += absent * PAGE_BYTES
                return None
            until = self.throttled_until(request, now)
            if until is not None:
                return until
        return None

    def _charge(self, request: Request, page: int, now: int) -> tuple[int, int | None]:
        """Charge one new page and the nodes that it needs."""
        if self.setup.fs_pages != NO_LIMIT and self.fs_used >= self.setup.fs_pages:
            return self.setup.enospc_errno, None
        payer = request.memory_payer
        tree = self.trees[request.device]
        pages = 1 + self._node_pages(payer, len(tree.missing(page)))
        error, until = self.charge(request, pages, now)
        if not error and until is None:
            self._put(request.device, page, payer)
            self.charges.charged[self._key(request)] += PAGE_BYTES
        return error, until

    def _put(self, device: int, page: int, payer: int) -> None:
        tree = self.trees[device]
        nodes = len(tree.missing(page))
        tree.insert(page, payer)
        self.owner[device, page] = payer
        self.fs_used += 1
        self.groups[payer].shmem += 1
        self.groups[payer].node_bytes += nodes * NODE_BYTES

    def _free(self, request: Request) -> None:
        for page in covered_pages(request):
            self._lay_out(request.device, page)
            owner = self.owner.pop((request.device, page), None)
            if owner is None:
                continue
            self.fs_used -= 1
            self.groups[owner].shmem -= 1
            self.count(owner, -1)
            key = (request.device, request.issuer, owner)
            self.charges.uncharged[key] += PAGE_BYTES
            for payer in self.trees[request.device].remove(page):
                self.count(payer, self._node_pages(payer, -1))
                self.groups[payer].node_bytes -= NODE_BYTES

    def _node_pages(self, payer: int, nodes: int) -> int:
        """Return by how many whole pages more (or fewer) nodes change the charge."""
        before = self.groups[payer].node_bytes
        return ceil_pages(before + nodes * NODE_BYTES) - ceil_pages(before)

    def _will_be_laid_out(self, device: int, page: int) -> bool:
        region = (device, page >> REGION_SHIFT)
        return self.setup.laid_out_by >= 0 and region not in self.regions

    def _lay_out(self, device: int, page: int) -> None:
        """Give the pages of a file laid out before the trace to their owner.

        How long the file is the trace does not say: they count from the first time the
        trace touches their 2 MiB.
        """
        if not self._will_be_laid_out(device, page):
            return
        region = page >> REGION_SHIFT
        self.regions.add((device, region))
        owner = self.setup.laid_out_by
        for one in range(region << REGION_SHIFT, (region + 1) << REGION_SHIFT):
            nodes = len(self.trees[device].missing(one))
            self.count(owner, 1 + self._node_pages(owner, nodes))
            self._put(device, one, owner)

    @staticmethod
    def _key(request: Request) -> tuple[int, int, int]:
        return request.device, request.issuer, request.memory_payer


def ceil_pages(nbytes: int) -> int:
    """Return bytes in whole pages, rounded up."""
    return -(-nbytes // PAGE_BYTES)


def page_range(request: Request) -> tuple[int, int]:
    """Return the first and the last page that a request touches."""
    start = request.sector * 512
    return start // PAGE_BYTES, (start + request.nbytes - 1) // PAGE_BYTES


def covered_pages(request: Request) -> range:
    """Return the pages that lie wholly inside a request: those that a hole frees.

    Source: mm/shmem.c:shmem_fallocate(), v6.1: parts of pages are only zeroed.
    """
    start = request.sector * 512
    return range(ceil_pages(start), (start + request.nbytes) // PAGE_BYTES)
