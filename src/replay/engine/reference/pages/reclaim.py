"""Reclaim of page cache: the lists of each cgroup and who is scanned how far.

Sources: mm/vmscan.c:do_try_to_free_pages(), shrink_node_memcgs(), shrink_lruvec(),
get_scan_count(), shrink_folio_list(), shrink_active_list(), inactive_is_low(),
mm/swap.c:folio_mark_accessed(), v6.1.
"""

from dataclasses import dataclass, field
from math import isqrt
from typing import TYPE_CHECKING, Protocol

from replay.engine.reference.memcg.protection import Protection
from replay.engine.reference.pages.workingset import Shadow, Workingset
from replay.engine.reference.state.requests import Request
from replay.engine.setup import PAGE_BYTES

if TYPE_CHECKING:
    from replay.engine.reference.memcg.tasks import Tasks

#: DEF_PRIORITY: a round scans ``size >> priority`` pages, from this one down to 0.
PRIORITY = 12
#: SWAP_CLUSTER_MAX: what is scanned, and asked for, at least.
CLUSTER = 32
GIB_SHIFT = 30 - (PAGE_BYTES.bit_length() - 1)


@dataclass(slots=True, eq=False)
class Page:
    """A page in the page cache."""

    device: int
    index: int
    owner: int
    dirty: bool = False
    #: It has buffer heads: it was written once.
    buffers: bool = False
    #: PG_readahead: whoever reads it starts the next window. On a dirty page the same
    #: bit is PG_reclaim: it goes first once it is written back.
    marked: bool = False
    referenced: bool = False
    active: bool = False
    #: Of the multi-generational LRU: its list, reads beyond the first, and whether it
    #: was read often, or came back after that.
    generation: int = 0
    reads: int = 0
    workingset: bool = False
    #: When it was used last, as a number; `reclaim = "lru"` alone looks at it.
    used: int = 0


class Evicter(Protocol):
    """The page cache, which knows what dropping a page changes."""

    def evict(self, page: Page, request: Request, over: int | None) -> None:
        """Drop a clean page, by the reclaim of a cgroup or with its data."""

    def write_back(self, device: int, pages: list[int]) -> None:
        """Write dirty pages of a file to the disk."""

    def wake_flushers(self) -> None:
        """Write all dirty pages to the disk, in the flushers' rounds."""


@dataclass
class Lists:
    """The pages of a cgroup, oldest first; keys alone count."""

    inactive: dict[Page, None] = field(default_factory=dict)
    active: dict[Page, None] = field(default_factory=dict)


@dataclass
class Round:
    """One call of ``try_to_free_mem_cgroup_pages``."""

    over: int
    wanted: int
    request: Request
    freed: int = 0
    may_deactivate: bool = False
    force_deactivate: bool = False
    skipped_deactivate: bool = False
    #: What memory.low protects goes too, for want of anything else.
    low_too: bool = False
    low_held: bool = False
    #: Of one priority: pages taken from the lists, and those of them that are dirty.
    taken: int = 0
    dirty: int = 0


class Reclaim:
    """The lists of every cgroup."""

    def __init__(self, tasks: "Tasks", *, lru: bool) -> None:
        self.tasks = tasks
        self.lru = lru
        self.lists = [Lists() for _ in tasks.parent]
        self.cache: Evicter | None = None
        self.uses = 0
        self.protection = Protection(tasks)
        self.workingset = Workingset(tasks)
        self.below = [self._below(cgroup) for cgroup in range(len(tasks.parent))]

    def _below(self, cgroup: int) -> list[int]:
        """Return a cgroup and its descendants, each before its children."""
        below = [cgroup]
        for child, parent in enumerate(self.tasks.parent):
            if parent == cgroup:
                below += self._below(child)
        return below

    # -- the lists --------------------------------------------------------------

    def n_pages(self, cgroup: int) -> int:
        """Return how many pages of a cgroup's own stand in its lists."""
        lists = self.lists[cgroup]
        return len(lists.inactive) + len(lists.active)

    def shadow(self, _page: Page, over: int) -> Shadow:
        """Return what stays of a page that the reclaim of a cgroup drops."""
        return self.workingset.shadow(over)

    def add(self, page: Page, shadow: Shadow | None = None) -> None:
        """Put a new page in, as the newest; active if it was dropped not long ago."""
        if shadow is not None:
            n_active = -1 if self.lru else self._n_active(shadow.over)
            page.active = self.workingset.refault(shadow, page.owner, n_active)
        lists = self.lists[page.owner]
        (lists.active if page.active else lists.inactive)[page] = None
        self._use(page)

    def remove(self, page: Page) -> None:
        """Take a page out."""
        lists = self.lists[page.owner]
        del (lists.active if page.active else lists.inactive)[page]

    def accessed(self, page: Page) -> None:
        """Read a page: the second time makes it active."""
        if self.lru:
            self._to_newest(page, active=False)
            self._use(page)
        elif not page.referenced:
            page.referenced = True
        elif not page.active:
            self._to_newest(page, active=True)
            page.referenced = False
            self.workingset.age(page.owner)

    def written(self, page: Page) -> None:
        """Write to a page: the kernel does not count that as a use."""
        if self.lru:
            self._to_newest(page, active=False)
            self._use(page)

    def cleaned(self, page: Page) -> None:
        """Go first, if reclaim had met the page while it was dirty.

        Source: mm/filemap.c:folio_end_writeback(), mm/swap.c:lru_move_tail_fn(), v6.1.
        """
        if not page.marked:
            return
        page.marked = False
        self.remove(page)
        page.active = False
        lists = self.lists[page.owner]
        lists.inactive = {page: None, **lists.inactive}

    def _use(self, page: Page) -> None:
        self.uses += 1
        page.used = self.uses

    def _to_newest(self, page: Page, *, active: bool) -> None:
        self.remove(page)
        page.active = active
        lists = self.lists[page.owner]
        (lists.active if active else lists.inactive)[page] = None

    # -- rounds -----------------------------------------------------------------

    def reclaim(self, over: int, n_pages: int, request: Request) -> int:
        """Free clean pages of a cgroup and its descendants; return how many."""
        if self.cache is None:
            return 0
        if self.lru:
            return sum(self._evict_oldest(over, request) for _ in range(n_pages))
        round_ = Round(over, max(n_pages, CLUSTER), request)
        self._priorities(round_)
        if not round_.freed and round_.skipped_deactivate:
            round_.force_deactivate, round_.skipped_deactivate = True, False
            self._priorities(round_)
        if not round_.freed and round_.low_held:
            round_.force_deactivate, round_.low_too = False, True
            self._priorities(round_)
            if not round_.freed and round_.skipped_deactivate:
                round_.force_deactivate = True
                self._priorities(round_)
        return round_.freed

    def _evict_oldest(self, over: int, request: Request) -> bool:
        """Free the page used longest ago; one that is dirty is written back first."""
        assert self.cache is not None
        oldest = [
            next(iter(self.lists[cgroup].inactive))
            for cgroup in self.below[over]
            if self.lists[cgroup].inactive
        ]
        if not oldest:
            return False
        page = min(oldest, key=lambda one: one.used)
        if page.dirty:
            self.cache.write_back(page.device, [page.index])
        self.cache.evict(page, request, over)
        return True

    def _priorities(self, round_: Round) -> None:
        """Scan more and more of every list until enough is freed."""
        for priority in range(PRIORITY, -1, -1):
            round_.taken = round_.dirty = 0
            round_.may_deactivate = round_.force_deactivate or self._inactive_is_low(
                round_.over
            )
            for cgroup in self.below[round_.over]:
                self.protection.enter(cgroup, round_.over)
                if self._may_shrink(cgroup, round_):
                    self._shrink(cgroup, priority, round_)
            if round_.freed >= round_.wanted:
                return

    def _inactive_is_low(self, over: int) -> bool:
        inactive = sum(len(self.lists[one].inactive) for one in self.below[over])
        active = self._n_active(over)
        gib = inactive + active >> GIB_SHIFT
        return inactive * (isqrt(10 * gib) if gib else 1) < active

    def _n_active(self, over: int) -> int:
        return sum(len(self.lists[one].active) for one in self.below[over])

    def _may_shrink(self, cgroup: int, round_: Round) -> bool:
        """Leave out what is protected; memory.low only as long as there is more."""
        if self.protection.covers("min", cgroup, round_.over):
            return False
        if self.protection.covers("low", cgroup, round_.over):
            if not round_.low_too:
                round_.low_held = True
                return False
            for one in self.tasks.chain(cgroup)[:-1]:
                self.tasks.groups[one].low_events += 1
        return True

    def _shrink(self, cgroup: int, priority: int, round_: Round) -> None:
        """Scan a cgroup's share of both lists, 32 pages at a time."""
        lists = self.lists[cgroup]
        shares = []
        for pages in (lists.inactive, lists.active):
            n_pages, held = self.protection.to_scan(
                len(pages), cgroup, low_too=round_.low_too
            )
            round_.low_held |= held
            shares.append(n_pages >> priority)
        inactive, active = shares
        freed = 0
        while inactive or active:
            if inactive:
                n_pages = min(inactive, CLUSTER)
                inactive -= n_pages
                freed += self._shrink_inactive(lists, n_pages, round_)
            if active:
                n_pages = min(active, CLUSTER)
                active -= n_pages
                if round_.may_deactivate:
                    self._shrink_active(lists, n_pages)
                else:
                    round_.skipped_deactivate = True
            if freed >= round_.wanted:
                break
        round_.freed += freed

    def _shrink_inactive(self, lists: Lists, n_pages: int, round_: Round) -> int:
        """Drop the oldest pages; dirty ones become active, to go when clean.

        Where all are dirty the flusher threads are woken.
        """
        assert self.cache is not None
        freed = 0
        taken = list(lists.inactive)[:n_pages]
        for page in taken:
            page.referenced = False
            if page.dirty:
                page.marked = True
                self._to_newest(page, active=True)
            else:
                self.cache.evict(page, round_.request, round_.over)
                freed += 1
        if taken and not freed:
            self.cache.wake_flushers()
        return freed

    def _shrink_active(self, lists: Lists, n_pages: int) -> None:
        for page in list(lists.active)[:n_pages]:
            self._to_newest(page, active=False)
