"""What the multi-generational LRU keeps of a page: how often it was read.

Source: mm/swap.c:folio_inc_refs(), include/linux/mm_inline.h:folio_lru_refs(),
lru_tier_from_refs(), mm/workingset.c:lru_gen_eviction(), lru_gen_refault(), v6.12 and
v7.3. See reference/pages/generations.py.

`Links.state` has a page's generation, reads and marks. Of one that was dropped
`Links.older` has the owner, and `Links.used` the oldest generation then, reads and mark.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from replay.engine.state.pages cimport N_GENS, N_TIERS, Links, Lrugen, Tiers
from replay.engine.state.sim cimport Sim

cdef enum:
    GENERATION = 7          # of a page's state
    READS_SHIFT = 3
    MOST_READS = 3          # LRU_REFS_WIDTH is 2
    READS = MOST_READS << READS_SHIFT
    WORKINGSET = 1 << 5
    REFERENCED = 1 << 6
    MGLRU_6_14 = 2          # replay.engine.setup.Mglru
    MGLRU_7_2 = 3


cdef inline int bit_length(int value) noexcept nogil:
    """Return the bits that a small number takes."""
    cdef int n = 0
    while value > 0:
        value >>= 1
        n += 1
    return n


cdef inline int reads_of(uint8_t state) noexcept nogil:
    """Return how many reads of a page were counted beyond the first."""
    return (state & READS) >> READS_SHIFT


cdef inline int refs_of(const Sim *sim, uint8_t state) noexcept nogil:
    """Return how often a page was read, as the kernel tells tiers by it."""
    if sim.set.mglru >= MGLRU_6_14:
        return reads_of(state) + 1 if state & REFERENCED else 0
    return reads_of(state) + ((state & WORKINGSET) != 0)


cdef inline int tier_from(const Sim *sim, int refs, bint workingset) noexcept nogil:
    """Return the tier of pages that were read so often."""
    if sim.set.mglru < MGLRU_6_14:
        return bit_length(refs)
    return N_TIERS - 1 if workingset else bit_length(max(0, refs - 1))


cdef inline int tier_of(const Sim *sim, uint8_t state) noexcept nogil:
    """Return a page's tier."""
    return tier_from(sim, refs_of(sim, state), (state & WORKINGSET) != 0)


cdef inline bint is_lazily_spared(const Sim *sim, uint8_t state) noexcept nogil:
    """Return True of a page read more often than can be counted."""
    cdef int refs = refs_of(sim, state)
    if sim.set.mglru >= MGLRU_6_14:
        return refs + ((state & WORKINGSET) != 0) == MOST_READS + 2
    return refs == MOST_READS + 1


cdef inline uint8_t state_read(const Sim *sim, uint8_t state) noexcept nogil:
    """Return the state of a page that is read once more."""
    if state & REFERENCED == 0:
        state |= REFERENCED
        if sim.set.mglru >= MGLRU_6_14:
            state &= ~READS
    elif sim.set.mglru < MGLRU_6_14 and state & WORKINGSET == 0:
        state |= WORKINGSET
    elif reads_of(state) < MOST_READS:
        state += 1 << READS_SHIFT
    elif sim.set.mglru >= MGLRU_6_14:
        state |= WORKINGSET
    return state


cdef inline Tiers *tiers_now(Lrugen *lrugen) noexcept nogil:
    """Return what is counted now."""
    return &lrugen.history[lrugen.oldest % N_GENS]


cdef inline void lrugen_shadow(
    Sim *sim, Links *links, uint32_t slot, uint32_t owner
) noexcept nogil:
    """Count a page that is dropped, and note what stays of it."""
    cdef Lrugen *lrugen = &sim.lrugens[owner]
    cdef uint8_t state = links.state[slot]
    cdef int refs = refs_of(sim, state)
    cdef bint kept = refs > 0
    if sim.set.mglru >= MGLRU_6_14:
        kept = (state & WORKINGSET) != 0
    tiers_now(lrugen).evicted[tier_of(sim, state)] += 1
    links.older[slot] = owner
    links.used[slot] = <unsigned long long> (
        lrugen.oldest << READS_SHIFT | max(0, refs - 1) << 1 | kept
    )


cdef inline uint8_t lrugen_refault(
    Sim *sim, const Links *links, uint32_t slot, uint32_t payer
) noexcept nogil:
    """Count a page that comes back; return the state it begins with."""
    cdef Lrugen *lrugen = &sim.lrugens[payer]
    cdef int64_t oldest = <int64_t> (links.used[slot] >> READS_SHIFT)
    cdef int reads = <int> (links.used[slot] >> 1 & MOST_READS)
    cdef bint kept = (links.used[slot] & 1) != 0
    cdef int64_t distance = lrugen.newest - oldest
    cdef int refs
    if links.older[slot] != payer:
        return 0
    sim.lists[payer].refaults += 1
    if sim.set.mglru >= MGLRU_6_14:
        if distance >= N_GENS or distance <= -N_GENS:
            return 0
        tiers_now(lrugen).refaulted[tier_from(sim, reads + 1, kept)] += 1
        return WORKINGSET if kept else 0
    if lrugen.oldest != oldest:
        return 0
    refs = reads + kept
    tiers_now(lrugen).refaulted[tier_from(sim, refs, False)] += 1
    sim.lists[payer].activations += 1
    return READS | WORKINGSET if refs >= MOST_READS else 0
