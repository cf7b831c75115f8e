"""Page owners, memory counters, limits and kills.

Sources: mm/memcontrol.c:try_charge_memcg(), mm/shmem.c:shmem_get_folio_gfp(),
mm/oom_kill.c, lib/xarray.c, v6.1; SEMANTICS A.6, C.1, C.3.
"""

from collections import Counter
from dataclasses import dataclass, field

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
#: `max` events of the first failing round of a charge, and of each further one.
MAX_EVENTS_FIRST = 18
MAX_EVENTS_NEXT = 17


@dataclass
class Group:
    """The counters of one cgroup; ``usage`` and ``peak`` with its descendants."""

    usage: int = 0
    peak: int = 0
    shmem: int = 0
    node_bytes: int = 0
    rss: int = 0
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
    in_flight_bytes: int = 0
    resident: int = 0

    def lives(self) -> bool:
        """Tell whether it has begun and neither ended nor been killed."""
        return self.started and not self.ended and self.killed_ns < 0


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
        self.groups = [Group() for _ in self.parent]
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
            self._shrink(task, min(task.resident, ceil_pages(task.in_flight_bytes)))
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

        Its pages are given back at once, but those that its requests in flight pin.
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
        self._shrink(task, min(task.resident, ceil_pages(task.in_flight_bytes)))
        return True

    # -- pages ------------------------------------------------------------------

    def complete(self, request: Request, now: int) -> int:
        """Touch the pages of a request that has been served; return its errno."""
        if not self.setup.tmpfs or self.setup.direct_io or request.nbytes == 0:
            return 0
        if request.op == WRITE:
            return self._write(request, now)
        if request.op in FREES:
            self._free(request)
        return 0

    def _write(self, request: Request, now: int) -> int:
        first, last = page_range(request)
        for page in range(first, last + 1):
            self._lay_out(request.device, page)
            if (request.device, page) in self.owner:
                continue
            error = self._charge(request, page, now)
            if error:
                absent = sum(
                    (request.device, rest) not in self.owner
                    and not self._will_be_laid_out(request.device, rest)
                    for rest in range(page, last + 1)
                )
                self.charges.refused[self._key(request)] += absent * PAGE_BYTES
                return error
        return 0

    def _charge(self, request: Request, page: int, now: int) -> int:
        """Charge one new page and the nodes that it needs; return an errno."""
        if self.setup.fs_pages != NO_LIMIT and self.fs_used >= self.setup.fs_pages:
            return self.setup.enospc_errno
        payer = request.memory_payer
        tree = self.trees[request.device]
        pages = 1 + self._node_pages(payer, len(tree.missing(page)))
        events = MAX_EVENTS_FIRST
        while (over := self.exceeded(payer, pages)) is not None:
            self.count_events(over, events, 1)
            events = MAX_EVENTS_NEXT
            if not self.oom_kill(over, request, now):
                return self.setup.write_errno
        self._put(request.device, page, payer)
        self.charges.charged[self._key(request)] += PAGE_BYTES
        return 0

    def _put(self, device: int, page: int, payer: int) -> None:
        tree = self.trees[device]
        nodes = len(tree.missing(page))
        tree.insert(page, payer)
        self.owner[device, page] = payer
        self.fs_used += 1
        self.count(payer, 1 + self._node_pages(payer, nodes))
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
        for one in range(region << REGION_SHIFT, (region + 1) << REGION_SHIFT):
            self._put(device, one, self.setup.laid_out_by)

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
