"""Counts of dirty pages, and the thresholds of background write-back.

Sources: mm/page-writeback.c:domain_dirty_limits(), mdtc_calc_avail(),
wb_over_bg_thresh(), mm/memcontrol.c:mem_cgroup_wb_stats(), v6.1;
mm/page-writeback.c:__wb_calc_thresh(), v7.3.
"""

from typing import TYPE_CHECKING

from replay.engine.setup import ALL_PAGES, NO_LIMIT, PAGE_BYTES, Setup

if TYPE_CHECKING:
    from replay.engine.reference.memcg.tasks import Tasks
    from replay.engine.reference.pages.reclaim import Reclaim

ROOT = 0
UINT_MAX = 0xFFFFFFFF


class Dirty:
    """Dirty pages of every cgroup; thresholds in pages, None where nothing is known."""

    def __init__(self, setup: Setup, memory: "Tasks", lists: "Reclaim") -> None:
        self.setup = setup
        self.memory = memory
        self.lists = lists
        n_cgroups = len(setup.parent)
        #: Dirty pages that it or a descendant paid,
        self.pages = [0] * n_cgroups
        #: those of files that are written back in its name, and what was so far.
        self.to_write = [0] * n_cgroups
        self.written = [0] * n_cgroups

    def count(self, payer: int, writer: int, n_pages: int) -> None:
        """Add (or, if negative, remove) dirty pages charged to a cgroup."""
        self.to_write[writer] += n_pages
        for one in self.memory.chain(payer):
            self.pages[one] += n_pages

    # -- thresholds -------------------------------------------------------------

    def available(self) -> int | None:
        """Return the pages of the machine that may be dirty."""
        limit = self.memory.limit[ROOT]
        if limit == NO_LIMIT:
            return None
        free = limit - self.memory.groups[ROOT].usage + self._cached(ROOT)
        return min(max(free, 0) + 1, ALL_PAGES)

    def _cached(self, cgroup: int) -> int:
        lists = self.lists
        return sum(lists.n_pages(one) for one in lists.below[cgroup])

    def global_background(self) -> int | None:
        """Return the machine's background threshold."""
        setup, available = self.setup, self.available()

        def pages(nbytes: int, percent: int) -> int | None:
            if nbytes:
                return -(-nbytes // PAGE_BYTES)
            return None if available is None else part(percent) * available // 4096

        background = pages(setup.dirty_background_bytes, setup.dirty_background_ratio)
        limit = pages(setup.dirty_bytes, setup.dirty_ratio)
        return below_limit(background, limit)

    def own_background(self, cgroup: int) -> int | None:
        """Return a cgroup's own background threshold."""
        setup, available = self.setup, self.available()
        headroom = self._headroom(cgroup)
        cached = self._cached(cgroup)
        if available is not None:
            clean = available - min(available, self.pages[ROOT])
            clean -= min(clean, cached - min(cached, self.pages[cgroup]))
            headroom = clean if headroom is None else min(headroom, clean)
        if headroom is None:
            return None
        room = min(cached + headroom, ALL_PAGES)

        def pages(nbytes: int, percent: int) -> int | None:
            if not nbytes:
                return part(percent) * room // 4096
            if available is None:
                return None
            return min(-(-nbytes // available), 4096) * room // 4096

        background = pages(setup.dirty_background_bytes, setup.dirty_background_ratio)
        limit = pages(setup.dirty_bytes, setup.dirty_ratio)
        return below_limit(background, limit)

    def _headroom(self, cgroup: int) -> int | None:
        """Return what a cgroup and those above, but the root, may still take."""
        rooms = []
        for one in self.memory.chain(cgroup)[:-1]:
            limits = (self.memory.limit[one], int(self.setup.memory_high[one]))
            ceiling = min((one for one in limits if one != NO_LIMIT), default=None)
            if ceiling is not None:
                rooms.append(max(0, ceiling - self.memory.groups[one].usage))
        return min(rooms, default=None)

    def is_over(self, writer: int) -> bool:
        """Return True if what is written in a cgroup's name is too much to be left.

        The machine's threshold is shared by what each has written so far: who has
        written nothing yet has no share, whatever the machine's memory is. From 6.14 on
        an eighth of what is left of it is everybody's at least.
        """
        background = self.global_background()
        if background is not None and self.pages[ROOT] > background:
            return True
        if writer == ROOT:
            return False
        to_write, written = self.to_write[writer], self.written[writer]
        if not written and not self.setup.share_floor:
            return to_write > 0
        if background is not None:
            share = background * written // sum(self.written) if written else 0
            if self.setup.share_floor:
                share = max(share, (background - self.pages[ROOT]) // 8)
            if to_write > share:
                return True
        own = self.own_background(writer)
        return own is not None and max(self.pages[writer], to_write) > own


def part(percent: int) -> int:
    """Return a percentage in 4096ths, as the kernel keeps it."""
    return percent * PAGE_BYTES // 100


def below_limit(background: int | None, limit: int | None) -> int | None:
    """Return a background threshold; half the limit where it is not below that."""
    if background is None or limit is None:
        return background
    limit = min(limit, UINT_MAX)
    return limit // 2 if background >= limit else background
