"""Reclaim by the multi-generational LRU. See reference/pages/generations.py.

Source: mm/vmscan.c:try_to_shrink_lruvec(), evict_folios(), scan_folios(),
sort_folio(), isolate_folio(), get_tier_idx(), inc_min_seq(), inc_max_seq(),
try_to_inc_min_seq(), reset_ctrl_pos(); include/linux/mm_inline.h:lru_gen_folio_seq(),
v6.12 and v7.3.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from replay.engine.memcg.protection cimport pages_to_scan
from replay.engine.pages.cache cimport (
    bit_of,
    cache_at,
    generation_leave,
    generation_put,
    links_at,
    list_push,
    list_remove,
    page_evict,
    page_owner,
    state_of,
    word_of,
)
from replay.engine.pages.lrugen cimport (
    GENERATION,
    MGLRU_6_14,
    MGLRU_7_2,
    READS,
    REFERENCED,
    WORKINGSET,
    is_lazily_spared,
    tier_of,
    tiers_now,
)
from replay.engine.pages.owners cimport LEAF_PAGES, LEAF_SHIFT
from replay.engine.pages.writeback cimport flushers_wake
from replay.engine.state.halting cimport PAGE_WORK, goes_on
from replay.engine.state.pages cimport (
    LEAST_GENS,
    N_GENS,
    N_TIERS,
    NOT_YET,
    CacheLeaf,
    File,
    Links,
    Lrugen,
    Tiers,
)
from replay.engine.state.sim cimport Request, Sim

cdef enum:
    BATCH = 64              # MIN_LRU_BATCH
    MOST_LOOKED_AT = 4096   # MAX_LRU_BATCH
    GATHERED = 31           # PAGEVEC_SIZE
    DEF_PRIORITY = 12

cdef struct Taken:
    # pages out of their generations, oldest first
    uint32_t places[64]
    int length

cdef struct GenerationRound:
    # one call of try_to_free_mem_cgroup_pages(); what was taken, of one priority
    uint32_t over
    int64_t wanted
    int64_t freed
    int64_t taken
    int64_t dirty
    bint low_too
    bint low_held


cdef inline int64_t n_gens(const Lrugen *lrugen) noexcept nogil:
    """Return how many generations there are."""
    return lrugen.newest - lrugen.oldest + 1


cdef inline int64_t pages_in(const Lrugen *lrugen) noexcept nogil:
    """Return how many pages all generations have."""
    cdef int64_t n_pages = 0
    cdef int at
    for at in range(N_GENS):
        n_pages += lrugen.pages[at].length
    return n_pages


cdef inline void pages_drain(Sim *sim, uint32_t owner) noexcept nogil:
    """Put pages that a CPU gathered into an old generation."""
    cdef Lrugen *lrugen = &sim.lrugens[owner]
    cdef uint32_t place
    cdef int64_t generation
    while lrugen.pages[NOT_YET].length > 0:
        place = lrugen.pages[NOT_YET].oldest
        if sim.set.mglru >= MGLRU_6_14:
            generation = lrugen.newest - N_GENS + 1
            generation += (state_of(sim, place)[0] & (REFERENCED | WORKINGSET)) != 0
            generation = max(generation, lrugen.oldest)
        else:
            generation = lrugen.oldest + (n_gens(lrugen) == N_GENS)
        list_remove(sim, owner, NOT_YET, place)
        generation_put(sim, owner, place, generation, False)


cdef inline void page_gather(
    Sim *sim, uint32_t owner, uint32_t place, uint8_t state
) noexcept nogil:
    """Gather a new page; a CPU puts 31 of them in at once."""
    state_of(sim, place)[0] = (state & ~GENERATION) | NOT_YET
    list_push(sim, owner, NOT_YET, place, False)
    if sim.lrugens[owner].pages[NOT_YET].length == GATHERED:
        pages_drain(sim, owner)


# -- tiers ----------------------------------------------------------------------------


cdef inline void tier_count(
    Lrugen *lrugen, int tier, int64_t *refaulted, int64_t *total
) noexcept nogil:
    """Return what came back of a tier, and of how many pages."""
    cdef const Tiers *now = tiers_now(lrugen)
    refaulted[0] = lrugen.average_refaulted[tier] + now.refaulted[tier]
    total[0] = (
        lrugen.average_total[tier] + now.evicted[tier] + now.protected_pages[tier]
    )


cdef inline int last_tier(const Sim *sim, Lrugen *lrugen) noexcept nogil:
    """Return the last tier that is not spared."""
    cdef int64_t gain = 2 if sim.set.mglru >= MGLRU_6_14 else 1
    cdef int64_t refaulted, total, one_refaulted, one_total
    cdef int tier
    tier_count(lrugen, 0, &refaulted, &total)
    for tier in range(1, N_TIERS):
        tier_count(lrugen, tier, &one_refaulted, &one_total)
        if one_refaulted >= BATCH and (
            one_refaulted * (total + BATCH) * gain
            > (refaulted + 1) * one_total * (gain + 1)
        ):
            return tier - 1
    return N_TIERS - 1


cdef inline void tiers_carry_over(Lrugen *lrugen) noexcept nogil:
    """Halve what was counted, and what is counted of the oldest generation."""
    cdef int64_t refaulted, total
    cdef int tier
    for tier in range(N_TIERS):
        tier_count(lrugen, tier, &refaulted, &total)
        lrugen.average_refaulted[tier] = refaulted >> 1
        lrugen.average_total[tier] = total >> 1


# -- generations ----------------------------------------------------------------------


cdef inline void page_spare(
    Sim *sim, uint32_t owner, uint32_t place, bint counts, bint oldest
) noexcept nogil:
    """Move a page to the second oldest generation; its reads are counted anew."""
    cdef Lrugen *lrugen = &sim.lrugens[owner]
    cdef uint8_t *state = state_of(sim, place)
    if counts and not (
        sim.set.mglru >= MGLRU_6_14 and is_lazily_spared(sim, state[0])
    ):
        tiers_now(lrugen).protected_pages[tier_of(sim, state[0])] += 1
    generation_leave(sim, owner, place)
    state[0] &= ~(READS | REFERENCED)
    if sim.set.mglru < MGLRU_6_14:
        state[0] &= ~WORKINGSET
    generation_put(sim, owner, place, lrugen.oldest + 1, oldest)


cdef inline bint generations_forget(Lrugen *lrugen) noexcept nogil:
    """Leave empty oldest generations behind; return True if there was one."""
    cdef int64_t oldest = lrugen.oldest
    while (
        oldest + LEAST_GENS <= lrugen.newest
        and lrugen.pages[oldest % N_GENS].length == 0
    ):
        oldest += 1
    if oldest == lrugen.oldest:
        return False
    tiers_carry_over(lrugen)
    lrugen.oldest = oldest
    return True


cdef inline void generations_age(Sim *sim, uint32_t owner) noexcept nogil:
    """Begin a new generation; of four, the oldest is added to the next."""
    cdef Lrugen *lrugen = &sim.lrugens[owner]
    cdef int at = <int> (lrugen.oldest % N_GENS)
    if n_gens(lrugen) == N_GENS:
        while lrugen.pages[at].length > 0 and goes_on(sim, PAGE_WORK):
            page_spare(
                sim, owner, lrugen.pages[at].oldest, sim.set.mglru >= MGLRU_6_14, True
            )
        tiers_carry_over(lrugen)
        lrugen.oldest += 1
    memset(&lrugen.history[(lrugen.newest + 1) % N_GENS], 0, sizeof(Tiers))
    lrugen.newest += 1


cdef inline bint ages_first(const Lrugen *lrugen, int priority) noexcept nogil:
    """Return True if there is too little old to drop (7.2)."""
    return n_gens(lrugen) <= LEAST_GENS or (
        priority != DEF_PRIORITY and n_gens(lrugen) == LEAST_GENS + 1
    )


cdef inline bint is_uneven(const Lrugen *lrugen) noexcept nogil:
    """Return True if there is too little old to drop (up to 7.1)."""
    cdef int64_t total, young, old
    if n_gens(lrugen) <= LEAST_GENS:
        return True
    if n_gens(lrugen) > LEAST_GENS + 1:
        return False
    total = pages_in(lrugen)
    young = lrugen.pages[lrugen.newest % N_GENS].length
    old = lrugen.pages[(lrugen.newest - LEAST_GENS) % N_GENS].length
    return young * LEAST_GENS > total or old * (LEAST_GENS + 2) < total


# -- rounds ---------------------------------------------------------------------------


cdef inline int64_t pages_take(
    Sim *sim, uint32_t owner, int64_t most, Taken *taken
) noexcept nogil:
    """Look at the oldest pages: spare some, take others; return how many."""
    cdef Lrugen *lrugen = &sim.lrugens[owner]
    cdef int at = <int> (lrugen.oldest % N_GENS)
    cdef int64_t looked_at = 0
    cdef int tier
    cdef uint32_t place
    cdef uint8_t *state
    taken.length = 0
    if n_gens(lrugen) == LEAST_GENS:
        return 0
    tier = last_tier(sim, lrugen)
    while lrugen.pages[at].length > 0 and goes_on(sim, PAGE_WORK):
        place = lrugen.pages[at].oldest
        state = state_of(sim, place)
        looked_at += 1
        if tier_of(sim, state[0]) > tier or is_lazily_spared(sim, state[0]):
            page_spare(sim, owner, place, True, sim.set.mglru < MGLRU_6_14)
        else:
            generation_leave(sim, owner, place)
            if state[0] & REFERENCED == 0:
                state[0] &= ~READS
                if sim.set.mglru < MGLRU_6_14:
                    state[0] &= ~WORKINGSET
            if sim.set.mglru < MGLRU_6_14:
                state[0] &= ~REFERENCED
            # out of its generation, and in none until it is dropped or put back
            state[0] = (state[0] & ~GENERATION) | NOT_YET
            list_push(sim, owner, NOT_YET, place, False)
            taken.places[taken.length] = place
            taken.length += 1
        if looked_at == most or taken.length == BATCH:
            break
    return looked_at


cdef inline void page_put_back(
    Sim *sim, uint32_t owner, uint32_t place
) noexcept nogil:
    """Put a dirty page back: young, and to go first once it is written."""
    cdef Lrugen *lrugen = &sim.lrugens[owner]
    cdef uint8_t *state = state_of(sim, place)
    cdef int64_t generation = lrugen.newest
    generation_leave(sim, owner, place)
    if sim.set.mglru >= MGLRU_6_14:
        generation += ((state[0] & WORKINGSET) != 0) - 1
        generation = max(generation, lrugen.oldest)
    if sim.set.mglru < MGLRU_6_14 or generation == lrugen.oldest:
        state[0] &= ~(READS | REFERENCED)
    generation_put(sim, owner, place, generation, False)


cdef inline int64_t pages_drop(
    Sim *sim,
    const Request *request,
    uint32_t owner,
    const Taken *taken,
    GenerationRound *round,
) noexcept nogil:
    """Drop the clean pages; those that are dirty become young. Return how many."""
    cdef int64_t freed = 0
    cdef int at
    cdef uint32_t place, index, device
    cdef uint64_t page
    cdef const Links *links
    cdef CacheLeaf *leaf
    cdef File *file
    for at in range(taken.length):
        place = taken.places[at]
        links = links_at(sim, place)
        index = links.leaf
        device = links.device
        file = &sim.devices[device].file
        leaf = cache_at(file, index)
        page = leaf.number << LEAF_SHIFT | (place & (LEAF_PAGES - 1))
        if leaf.dirty[word_of(page)] & bit_of(page) == 0:
            page_evict(sim, request, device, index, page, <int> round.over)
            freed += 1
        else:
            leaf.marked[word_of(page)] |= bit_of(page)
            page_put_back(sim, owner, place)
    round.freed += freed
    return freed


cdef inline bint is_below_min(
    const Sim *sim, uint32_t cgroup, uint32_t over
) noexcept nogil:
    """Return True if memory.min protects all that is left."""
    return (
        sim.protection != NULL
        and cgroup != over
        and cgroup != 0
        and sim.protection[cgroup].effective_least >= sim.groups[cgroup].usage
    )


cdef inline void share_shrink(
    Sim *sim,
    const Request *request,
    uint32_t cgroup,
    int priority,
    GenerationRound *round,
) noexcept nogil:
    """Look at a share of a cgroup's pages (7.2)."""
    cdef Lrugen *lrugen = &sim.lrugens[cgroup]
    cdef Taken taken
    cdef int64_t looked_at
    cdef int64_t left = pages_to_scan(
        sim, pages_in(lrugen), cgroup, round.low_too, &round.low_held
    ) >> priority
    while (
        left > 0
        and not is_below_min(sim, cgroup, round.over)
        and goes_on(sim, PAGE_WORK)
    ):
        if ages_first(lrugen, priority):
            generations_age(sim, cgroup)
        generations_forget(lrugen)
        looked_at = pages_take(sim, cgroup, min(left, BATCH), &taken)
        if looked_at > 0:
            generations_forget(lrugen)
        if taken.length > 0 and pages_drop(sim, request, cgroup, &taken, round) == 0:
            flushers_wake(sim)
        if looked_at == 0 or round.freed >= round.wanted:
            return
        left -= looked_at


cdef inline void batches_shrink(
    Sim *sim,
    const Request *request,
    uint32_t cgroup,
    int priority,
    GenerationRound *round,
) noexcept nogil:
    """Drop 64 pages at a time, or begin a generation (up to 7.1)."""
    cdef Lrugen *lrugen = &sim.lrugens[cgroup]
    cdef Taken taken
    cdef int64_t looked_at, to_scan
    cdef int64_t n_looked_at = 0
    while not is_below_min(sim, cgroup, round.over) and goes_on(sim, PAGE_WORK):
        to_scan = pages_in(lrugen)
        if is_uneven(lrugen):
            if priority != DEF_PRIORITY:
                generations_age(sim, cgroup)
                break
            if n_gens(lrugen) <= LEAST_GENS:
                break
        to_scan >>= priority
        if to_scan == 0:
            break
        looked_at = pages_take(sim, cgroup, MOST_LOOKED_AT, &taken)
        if taken.length == 0 and looked_at < MOST_LOOKED_AT:
            looked_at = 0
        looked_at += generations_forget(lrugen)
        if n_gens(lrugen) == LEAST_GENS:
            looked_at = 0
        round.taken += taken.length
        round.dirty += taken.length - pages_drop(sim, request, cgroup, &taken, round)
        n_looked_at += looked_at
        if looked_at == 0 or n_looked_at >= to_scan or round.freed >= round.wanted:
            break
    if round.dirty > 0 and round.dirty == round.taken:
        flushers_wake(sim)


cdef inline void generations_shrink(
    Sim *sim,
    const Request *request,
    uint32_t cgroup,
    int priority,
    GenerationRound *round,
) noexcept nogil:
    """Scan a cgroup's generations; one without pages is left alone."""
    if sim.lists[cgroup].inactive.length == 0:
        return
    if sim.set.mglru >= MGLRU_7_2:
        share_shrink(sim, request, cgroup, priority, round)
    else:
        batches_shrink(sim, request, cgroup, priority, round)
