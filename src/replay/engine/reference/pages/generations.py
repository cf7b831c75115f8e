"""Reclaim by the multi-generational LRU: four generations of a cgroup's pages.

Pages that are read through file descriptors are counted, and those that were read more
often are spared where pages like them came back more often than others (a controller).

Sources: mm/vmscan.c:try_to_shrink_lruvec(), evict_folios(), scan_folios(),
sort_folio(), isolate_folio(), get_tier_idx(), inc_min_seq(), inc_max_seq(),
try_to_inc_min_seq(), reset_ctrl_pos(), positive_ctrl_err(); mm/workingset.c:
lru_gen_eviction(), lru_gen_refault(); include/linux/mm_inline.h:lru_gen_add_folio(),
lru_gen_folio_seq(); mm/swap.c:folio_inc_refs(), folio_add_lru(), v6.12 and v7.3 (there
mm/folio.c:lru_gen_inc_refs()).
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from replay.engine.reference.pages.reclaim import PRIORITY, Page, Reclaim, Round
from replay.engine.reference.pages.workingset import Shadow
from replay.engine.reference.state.requests import Request
from replay.engine.setup import Mglru

if TYPE_CHECKING:
    from replay.engine.reference.memcg.tasks import Tasks

#: MAX_NR_GENS, MIN_NR_GENS and MAX_NR_TIERS.
N_GENS, LEAST_GENS, N_TIERS = 4, 2, 4
#: MIN_LRU_BATCH and MAX_LRU_BATCH: pages that are taken, or looked at, at once.
BATCH, MOST_LOOKED_AT = 64, 4096
#: PAGEVEC_SIZE: pages that a CPU gathers before it puts them into a generation.
GATHERED = 31
#: LRU_REFS_WIDTH: a page's reads are counted up to 3, once it was read before.
MOST_READS = 3
#: What a page that is still gathered has for its generation.
NOT_YET = N_GENS


@dataclass(frozen=True, slots=True)
class GenerationShadow(Shadow):
    """What stays of a page: `age` is the oldest generation when it was dropped."""

    reads: int
    workingset: bool


@dataclass
class Tiers:
    """What the controller counts, by the tier of how often a page was read."""

    refaulted: list[int] = field(default_factory=lambda: [0] * N_TIERS)
    evicted: list[int] = field(default_factory=lambda: [0] * N_TIERS)
    protected: list[int] = field(default_factory=lambda: [0] * N_TIERS)


@dataclass
class Lrugen:
    """The generations of a cgroup, oldest page first; keys alone count."""

    newest: int = LEAST_GENS + 1
    oldest: int = 0
    #: By the number of a generation, modulo 4; then what a CPU gathers.
    pages: list[dict[Page, None]] = field(
        default_factory=lambda: [{} for _ in range(N_GENS + 1)]
    )
    #: By the oldest generation then, modulo 4.
    history: list[Tiers] = field(
        default_factory=lambda: [Tiers() for _ in range(N_GENS)]
    )
    average_refaulted: list[int] = field(default_factory=lambda: [0] * N_TIERS)
    average_total: list[int] = field(default_factory=lambda: [0] * N_TIERS)

    @property
    def n_gens(self) -> int:
        """How many generations there are."""
        return self.newest - self.oldest + 1

    def n_pages(self) -> int:
        """Return how many pages all generations have."""
        return sum(len(pages) for pages in self.pages[:N_GENS])

    @property
    def now(self) -> Tiers:
        """What is counted now."""
        return self.history[self.oldest % N_GENS]


class Generations(Reclaim):
    """The generations of every cgroup."""

    def __init__(self, tasks: "Tasks", kind: Mglru) -> None:
        super().__init__(tasks, lru=False)
        #: From 6.14 on reads count otherwise, from 7.2 on what is scanned does.
        self.counts_first = kind >= Mglru.V6_14
        self.scans_share = kind >= Mglru.V7_2
        self.lrugens = [Lrugen() for _ in tasks.parent]

    def n_pages(self, cgroup: int) -> int:
        """Return how many pages of a cgroup's own there are."""
        lrugen = self.lrugens[cgroup]
        return sum(len(pages) for pages in lrugen.pages)

    # -- pages ------------------------------------------------------------------

    def add(self, page: Page, shadow: Shadow | None = None) -> None:
        """Gather a new page; a CPU puts 31 of them in at once."""
        if isinstance(shadow, GenerationShadow):
            self._refault(page, shadow)
        lrugen = self.lrugens[page.owner]
        page.generation = NOT_YET
        lrugen.pages[NOT_YET][page] = None
        if len(lrugen.pages[NOT_YET]) == GATHERED:
            self._drain(page.owner)

    def _drain(self, cgroup: int) -> None:
        lrugen = self.lrugens[cgroup]
        gathered = lrugen.pages[NOT_YET]
        for page in list(gathered):
            del gathered[page]
            self._put(page, self._first_generation(lrugen, page))

    def _first_generation(self, lrugen: Lrugen, page: Page) -> int:
        """Return the generation of a page that nobody met yet: an old one."""
        if self.counts_first:
            younger = page.referenced or page.workingset
            return max(lrugen.newest - N_GENS + 1 + younger, lrugen.oldest)
        return lrugen.oldest + (lrugen.n_gens == N_GENS)

    def _put(self, page: Page, generation: int, *, last: bool = True) -> None:
        """Put a page in as a generation's newest, or as its oldest."""
        lrugen = self.lrugens[page.owner]
        page.generation = generation % N_GENS
        pages = lrugen.pages[page.generation]
        if last:
            pages[page] = None
        else:
            lrugen.pages[page.generation] = {page: None, **pages}

    def remove(self, page: Page) -> None:
        """Take a page out."""
        del self.lrugens[page.owner].pages[page.generation][page]

    def accessed(self, page: Page) -> None:
        """Count a read."""
        if not page.referenced:
            page.referenced = True
            if self.counts_first:
                page.reads = 0
        elif not self.counts_first and not page.workingset:
            page.workingset = True
        elif page.reads < MOST_READS:
            page.reads += 1
        elif self.counts_first:
            page.workingset = True

    def written(self, page: Page) -> None:
        """Write to a page: the kernel does not count that as a use."""

    def cleaned(self, page: Page) -> None:
        """Go first, if reclaim had met the page while it was dirty."""
        if not page.marked:
            return
        page.marked = False
        if page.generation != NOT_YET:
            self.remove(page)
            self._put(page, self.lrugens[page.owner].oldest, last=False)

    # -- tiers ------------------------------------------------------------------

    def _refs(self, page: Page) -> int:
        """Return how often a page was read, as the kernel tells tiers by it."""
        if self.counts_first:
            return page.reads + 1 if page.referenced else 0
        return page.reads + page.workingset

    def _tier(self, refs: int, *, workingset: bool) -> int:
        if not self.counts_first:
            return refs.bit_length()
        return N_TIERS - 1 if workingset else max(0, refs - 1).bit_length()

    def shadow(self, page: Page, over: int) -> Shadow:
        """Count a page that is dropped; return what stays of it."""
        lrugen = self.lrugens[page.owner]
        refs = self._refs(page)
        lrugen.now.evicted[self._tier(refs, workingset=page.workingset)] += 1
        kept = page.workingset if self.counts_first else refs > 0
        return GenerationShadow(page.owner, lrugen.oldest, max(0, refs - 1), kept)

    def _refault(self, page: Page, shadow: GenerationShadow) -> None:
        """Count a page that comes back; what often did keeps that."""
        if shadow.over != page.owner:
            return
        counts = self.workingset.counts[page.owner]
        counts.refaults += 1
        lrugen = self.lrugens[page.owner]
        if self.counts_first:
            if abs(lrugen.newest - shadow.age) >= N_GENS:
                return
            tier = self._tier(shadow.reads + 1, workingset=shadow.workingset)
            page.workingset = shadow.workingset
        else:
            if lrugen.oldest != shadow.age:
                return
            refs = shadow.reads + shadow.workingset
            tier = self._tier(refs, workingset=False)
            counts.activations += 1
            if refs >= MOST_READS:
                page.reads, page.workingset = MOST_READS, True
        lrugen.now.refaulted[tier] += 1

    def _last_tier(self, lrugen: Lrugen) -> int:
        """Return the last tier that is not spared."""
        gain, other = (2, 3) if self.counts_first else (1, 2)
        refaulted, total = self._position(lrugen, 0)
        for tier in range(1, N_TIERS):
            one_refaulted, one_total = self._position(lrugen, tier)
            if one_refaulted >= BATCH and (
                one_refaulted * (total + BATCH) * gain
                > (refaulted + 1) * one_total * other
            ):
                return tier - 1
        return N_TIERS - 1

    def _position(self, lrugen: Lrugen, tier: int) -> tuple[int, int]:
        now = lrugen.now
        return (
            lrugen.average_refaulted[tier] + now.refaulted[tier],
            lrugen.average_total[tier] + now.evicted[tier] + now.protected[tier],
        )

    def _carry_over(self, lrugen: Lrugen) -> None:
        """Halve what was counted, and what is counted of the oldest generation."""
        for tier in range(N_TIERS):
            refaulted, total = self._position(lrugen, tier)
            lrugen.average_refaulted[tier] = refaulted // 2
            lrugen.average_total[tier] = total // 2

    # -- generations ------------------------------------------------------------

    def _next(self, page: Page) -> None:
        """Begin to count a page's reads anew, in the second oldest generation."""
        self.remove(page)
        page.reads, page.referenced = 0, False
        if not self.counts_first:
            page.workingset = False

    def _forget_empty(self, lrugen: Lrugen) -> bool:
        """Leave empty oldest generations behind; return True if there was one."""
        oldest = lrugen.oldest
        last = lrugen.newest - LEAST_GENS
        while oldest <= last and not lrugen.pages[oldest % N_GENS]:
            oldest += 1
        if oldest == lrugen.oldest:
            return False
        self._carry_over(lrugen)
        lrugen.oldest = oldest
        return True

    def _age(self, lrugen: Lrugen) -> None:
        """Begin a new generation; of four, the oldest is added to the next."""
        if lrugen.n_gens == N_GENS:
            for page in list(lrugen.pages[lrugen.oldest % N_GENS]):
                if self.counts_first:
                    self._count_protected(lrugen, page)
                self._next(page)
                self._put(page, lrugen.oldest + 1, last=False)
            self._carry_over(lrugen)
            lrugen.oldest += 1
        lrugen.history[(lrugen.newest + 1) % N_GENS] = Tiers()
        lrugen.newest += 1

    def _is_lazily_spared(self, page: Page) -> bool:
        """Return True of a page read more often than can be counted."""
        refs = self._refs(page)
        if self.counts_first:
            return refs + page.workingset == MOST_READS + 2
        return refs == MOST_READS + 1

    def _count_protected(self, lrugen: Lrugen, page: Page) -> None:
        if not self.counts_first or not self._is_lazily_spared(page):
            tier = self._tier(self._refs(page), workingset=page.workingset)
            lrugen.now.protected[tier] += 1

    def _ages_first(self, lrugen: Lrugen, priority: int) -> bool:
        """Return True if there is too little old to drop (7.2)."""
        if lrugen.n_gens <= LEAST_GENS:
            return True
        return priority != PRIORITY and lrugen.n_gens == LEAST_GENS + 1

    def _is_uneven(self, lrugen: Lrugen) -> bool:
        """Return True if there is too little old to drop (up to 7.1)."""
        if lrugen.n_gens <= LEAST_GENS:
            return True
        if lrugen.n_gens > LEAST_GENS + 1:
            return False
        total = lrugen.n_pages()
        young = len(lrugen.pages[lrugen.newest % N_GENS])
        old = len(lrugen.pages[(lrugen.newest - LEAST_GENS) % N_GENS])
        return young * LEAST_GENS > total or old * (LEAST_GENS + 2) < total

    # -- rounds -----------------------------------------------------------------

    def reclaim(self, over: int, n_pages: int, request: Request) -> int:
        """Free clean pages; what the worker's CPU gathers is put in before."""
        self._drain(request.memory_payer)
        return super().reclaim(over, n_pages, request)

    def _inactive_is_low(self, over: int) -> bool:
        return False

    def _shrink(self, cgroup: int, priority: int, round_: Round) -> None:
        if not self.n_pages(cgroup):
            return
        if self.scans_share:
            self._shrink_share(cgroup, priority, round_)
        else:
            self._shrink_batches(cgroup, priority, round_)

    def _shrink_share(self, cgroup: int, priority: int, round_: Round) -> None:
        """Look at a share of a cgroup's pages (7.2)."""
        lrugen = self.lrugens[cgroup]
        n_pages, held = self.protection.to_scan(
            lrugen.n_pages(), cgroup, low_too=round_.low_too
        )
        round_.low_held |= held
        left = n_pages >> priority
        while left > 0 and not self.protection.covers("min", cgroup, round_.over):
            if self._ages_first(lrugen, priority):
                self._age(lrugen)
            self._forget_empty(lrugen)
            taken: list[Page] = []
            looked_at = self._take(lrugen, min(left, BATCH), taken)
            if looked_at:
                self._forget_empty(lrugen)
            if taken and not self._drop(taken, round_):
                self._wake_flushers()
            if not looked_at or round_.freed >= round_.wanted:
                return
            left -= looked_at

    def _shrink_batches(self, cgroup: int, priority: int, round_: Round) -> None:
        """Drop 64 pages at a time, or begin a generation (up to 7.1)."""
        lrugen = self.lrugens[cgroup]
        n_looked_at = 0
        while not self.protection.covers("min", cgroup, round_.over):
            if self._is_uneven(lrugen):
                if priority != PRIORITY:
                    self._age(lrugen)
                    break
                if lrugen.n_gens <= LEAST_GENS:
                    break
            to_scan = lrugen.n_pages() >> priority
            if not to_scan:
                break
            taken: list[Page] = []
            looked_at = self._take(lrugen, MOST_LOOKED_AT, taken)
            if not taken and looked_at < MOST_LOOKED_AT:
                looked_at = 0
            looked_at += self._forget_empty(lrugen)
            if lrugen.n_gens == LEAST_GENS:
                looked_at = 0
            round_.taken += len(taken)
            round_.dirty += len(taken) - self._drop(taken, round_)
            n_looked_at += looked_at
            if not looked_at or n_looked_at >= to_scan or round_.freed >= round_.wanted:
                break
        if round_.dirty and round_.dirty == round_.taken:
            self._wake_flushers()

    def _take(self, lrugen: Lrugen, most: int, taken: list[Page]) -> int:
        """Look at the oldest pages: spare some, take others; return how many."""
        if lrugen.n_gens == LEAST_GENS:
            return 0
        last_tier = self._last_tier(lrugen)
        looked_at = 0
        while lrugen.pages[lrugen.oldest % N_GENS]:
            page = next(iter(lrugen.pages[lrugen.oldest % N_GENS]))
            looked_at += 1
            tier = self._tier(self._refs(page), workingset=page.workingset)
            if tier > last_tier or self._is_lazily_spared(page):
                self._count_protected(lrugen, page)
                self._next(page)
                self._put(page, lrugen.oldest + 1, last=self.counts_first)
            else:
                if not page.referenced:
                    page.reads = 0
                    if not self.counts_first:
                        page.workingset = False
                if not self.counts_first:
                    page.referenced = False
                taken.append(page)
                # out of its generation, and in none until it is dropped or put back
                self.remove(page)
                page.generation = NOT_YET
                lrugen.pages[NOT_YET][page] = None
            if looked_at == most or len(taken) == BATCH:
                break
        return looked_at

    def _drop(self, taken: list[Page], round_: Round) -> int:
        """Drop the clean pages; those that are dirty become young. Return how many."""
        assert self.cache is not None
        freed = 0
        for page in taken:
            if not page.dirty:
                self.cache.evict(page, round_.request, round_.over)
                freed += 1
                continue
            page.marked = True
            self.remove(page)
            self._put_back(page)
        round_.freed += freed
        return freed

    def _put_back(self, page: Page) -> None:
        """Put a dirty page back: young, and to go first once it is written."""
        lrugen = self.lrugens[page.owner]
        generation = lrugen.newest
        if self.counts_first:
            generation = max(generation - 1 + page.workingset, lrugen.oldest)
        if not self.counts_first or generation == lrugen.oldest:
            page.reads, page.referenced = 0, False
        self._put(page, generation)

    def _wake_flushers(self) -> None:
        assert self.cache is not None
        self.cache.wake_flushers()
