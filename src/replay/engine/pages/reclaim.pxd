"""Reclaim of page cache: who is scanned how far. See reference/pages/reclaim.py.

Source: mm/vmscan.c:do_try_to_free_pages(), shrink_node_memcgs(), shrink_lruvec(),
get_scan_count(), shrink_folio_list(), shrink_active_list(), inactive_is_low(), v6.1.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from replay.engine.memcg.protection cimport (
    pages_to_scan,
    protection_allows,
    protection_enter,
)
from replay.engine.pages.cache cimport (
    bit_of,
    cache_at,
    links_at,
    page_evict,
    page_move,
    page_owner,
    word_of,
)
from replay.engine.pages.generations cimport (
    GenerationRound,
    generations_shrink,
    pages_drain,
)
from replay.engine.pages.lrugen cimport MGLRU_7_2
from replay.engine.pages.owners cimport LEAF_PAGES, LEAF_SHIFT
from replay.engine.pages.writeback cimport flushers_wake, page_write_back
from replay.engine.state.halting cimport EVENT_WORK, PAGE_WORK, ROW_WORK, goes_on
from replay.engine.state.pages cimport CacheLeaf, File, Links, PageList
from replay.engine.state.sim cimport Request, Sim
from replay.engine.state.units cimport PAGE_SHIFT

cdef enum:
    PRIORITY = 12               # DEF_PRIORITY
    CLUSTER = 32                # SWAP_CLUSTER_MAX
    GIB_SHIFT = 30 - PAGE_SHIFT

cdef struct Reclaim:
    # one call of try_to_free_mem_cgroup_pages()
    uint32_t over
    int64_t wanted
    int64_t freed
    bint may_deactivate
    bint force_deactivate
    bint skipped_deactivate
    bint low_too                # what memory.low protects goes too
    bint low_held


cdef inline bint page_reclaim(
    Sim *sim, const Request *request, uint32_t place, uint32_t over
) noexcept nogil:
    """Drop a page if it is clean; return True if it was.

    A dirty one becomes active, to go first once it is written back.
    """
    cdef const Links *links = links_at(sim, place)
    cdef uint32_t device = links.device
    cdef uint32_t index = links.leaf
    cdef File *file = &sim.devices[device].file
    cdef CacheLeaf *leaf = cache_at(file, index)
    cdef uint64_t page = leaf.number << LEAF_SHIFT | (place & (LEAF_PAGES - 1))
    cdef uint32_t word = word_of(page)
    cdef uint64_t bit = bit_of(page)
    leaf.referenced[word] &= ~bit
    if leaf.dirty[word] & bit == 0:
        page_evict(sim, request, device, index, page, <int32_t> over)
        return True
    leaf.marked[word] |= bit
    page_move(sim, leaf, page_owner(file, index, page), page, place, True)
    return False


cdef inline void page_deactivate(Sim *sim, uint32_t place) noexcept nogil:
    """Move an active page behind those that are not."""
    cdef const Links *links = links_at(sim, place)
    cdef File *file = &sim.devices[links.device].file
    cdef CacheLeaf *leaf = cache_at(file, links.leaf)
    cdef uint64_t page = leaf.number << LEAF_SHIFT | (place & (LEAF_PAGES - 1))
    page_move(sim, leaf, page_owner(file, links.leaf, page), page, place, False)


cdef inline bint inactive_is_low(const Sim *sim, uint32_t over) noexcept nogil:
    """Return True if active pages may become inactive ones."""
    cdef int64_t inactive = sim.lists[over].inactive.total
    cdef int64_t active = sim.lists[over].active.total
    cdef int64_t gib = (inactive + active) >> GIB_SHIFT
    cdef int64_t ratio = 1
    if gib > 0:
        while (ratio + 1) * (ratio + 1) <= 10 * gib:
            ratio += 1
    return inactive * ratio < active


cdef inline void lists_shrink(
    Sim *sim, const Request *request, uint32_t cgroup, int priority, Reclaim *round
) noexcept nogil:
    """Scan a cgroup's share of both lists, 32 pages at a time.

    Where all of a batch are dirty the flusher threads are woken.
    """
    cdef PageList *pages = &sim.lists[cgroup].inactive
    cdef PageList *used = &sim.lists[cgroup].active
    cdef int64_t inactive = pages_to_scan(
        sim, pages.length, cgroup, round.low_too, &round.low_held
    ) >> priority
    cdef int64_t active = pages_to_scan(
        sim, used.length, cgroup, round.low_too, &round.low_held
    ) >> priority
    cdef int64_t freed = 0
    cdef int64_t _i, n_pages, before
    while (inactive > 0 or active > 0) and goes_on(sim, PAGE_WORK):
        if inactive > 0:
            n_pages = min(inactive, CLUSTER)
            inactive -= n_pages
            n_pages = min(n_pages, pages.length)
            before = freed
            for _i in range(n_pages):
                freed += page_reclaim(sim, request, pages.oldest, round.over)
            if freed == before and n_pages > 0:
                flushers_wake(sim)
        if active > 0:
            n_pages = min(active, CLUSTER)
            active -= n_pages
            if round.may_deactivate:
                for _i in range(min(n_pages, used.length)):
                    page_deactivate(sim, used.oldest)
            else:
                round.skipped_deactivate = True
        if freed >= round.wanted:
            break
    round.freed += freed


cdef inline bint is_scanned(
    Sim *sim, uint32_t over, bint low_too, bint *low_held, uint32_t *at
) noexcept nogil:
    """Return True if the cgroup at a place of the order is scanned; else step over it.

    Where nothing is protected, one without pages is stepped over with all below it.
    """
    cdef uint32_t cgroup = sim.preorder[at[0]]
    if sim.protection != NULL:
        protection_enter(sim, cgroup, over)
        if protection_allows(sim, cgroup, over, low_too, low_held):
            return True
        at[0] += 1
        return False
    if sim.lists[cgroup].inactive.total + sim.lists[cgroup].active.total > 0:
        return True
    at[0] = sim.preorder_end[cgroup]
    return False


cdef inline void reclaim_pass(
    Sim *sim, const Request *request, Reclaim *round
) noexcept nogil:
    """Scan more and more of every list until enough is freed.

    Where nothing is protected the first round finds out how long the lists are: rounds
    that would scan nothing of the longest are left out.
    """
    cdef int priority = PRIORITY
    cdef uint32_t at, cgroup
    cdef int64_t longest = 0
    while priority >= 0:
        round.may_deactivate = round.force_deactivate or inactive_is_low(
            sim, round.over
        )
        at = sim.preorder_at[round.over]
        while at < sim.preorder_end[round.over] and goes_on(sim, EVENT_WORK):
            if not is_scanned(sim, round.over, round.low_too, &round.low_held, &at):
                continue
            cgroup = sim.preorder[at]
            if priority == PRIORITY:
                longest = max(
                    longest,
                    sim.lists[cgroup].inactive.length + sim.lists[cgroup].active.length,
                )
            lists_shrink(sim, request, cgroup, priority, round)
            at += 1
        if round.freed >= round.wanted:
            return
        priority -= 1
        # a list may get what the other one has: both together do not get longer
        while sim.protection == NULL and priority >= 0 and longest >> priority == 0:
            priority -= 1


cdef inline void generations_pass(
    Sim *sim, const Request *request, GenerationRound *round
) noexcept nogil:
    """Scan more and more of every cgroup's generations until enough is freed.

    From 7.2 on rounds that would scan nothing of the longest are left out.
    """
    cdef int priority = PRIORITY
    cdef uint32_t at, cgroup
    cdef int64_t longest = 0
    while priority >= 0:
        round.taken = round.dirty = 0
        at = sim.preorder_at[round.over]
        while at < sim.preorder_end[round.over] and goes_on(sim, EVENT_WORK):
            if not is_scanned(sim, round.over, round.low_too, &round.low_held, &at):
                continue
            cgroup = sim.preorder[at]
            longest = max(longest, sim.lists[cgroup].inactive.length)
            generations_shrink(sim, request, cgroup, priority, round)
            at += 1
        if round.freed >= round.wanted:
            return
        priority -= 1
        while (
            sim.protection == NULL
            and sim.set.mglru >= MGLRU_7_2
            and priority >= 0
            and longest >> priority == 0
        ):
            priority -= 1


cdef inline int64_t generations_reclaim(
    Sim *sim, const Request *request, uint32_t over, int64_t n_pages
) noexcept nogil:
    """Free clean pages; what the worker's CPU gathers is put in before."""
    cdef GenerationRound round
    round.over = over
    round.wanted = max(n_pages, CLUSTER)
    round.freed = 0
    round.low_too = round.low_held = False
    pages_drain(sim, request.memory_payer)
    generations_pass(sim, request, &round)
    if round.freed == 0 and round.low_held:
        round.low_too = True
        generations_pass(sim, request, &round)
    return round.freed


cdef inline bint evict_oldest(
    Sim *sim, const Request *request, uint32_t over
) noexcept nogil:
    """Free the page used longest ago; one that is dirty is written back first."""
    cdef uint32_t at = sim.preorder_at[over]
    cdef uint32_t cgroup, candidate
    cdef uint32_t place = 0
    cdef uint64_t used = 0
    cdef uint64_t when_used, page
    cdef const Links *links
    cdef CacheLeaf *leaf
    while at < sim.preorder_end[over] and goes_on(sim, ROW_WORK):
        cgroup = sim.preorder[at]
        if sim.lists[cgroup].inactive.total == 0:
            at = sim.preorder_end[cgroup]
            continue
        at += 1
        candidate = sim.lists[cgroup].inactive.oldest
        if candidate == 0:
            continue
        when_used = links_at(sim, candidate).used[candidate & (LEAF_PAGES - 1)]
        if place == 0 or when_used < used:
            place = candidate
            used = when_used
    if place == 0:
        return False
    links = links_at(sim, place)
    leaf = cache_at(&sim.devices[links.device].file, links.leaf)
    page = leaf.number << LEAF_SHIFT | (place & (LEAF_PAGES - 1))
    if leaf.dirty[word_of(page)] & bit_of(page) != 0:
        page_write_back(sim, links.device, links.leaf, page)
    page_evict(sim, request, links.device, links.leaf, page, <int32_t> over)
    return True


cdef inline int64_t reclaim(
    Sim *sim, const Request *request, int32_t over, int64_t n_pages
) noexcept nogil:
    """Free clean pages of a cgroup and its descendants; return how many."""
    cdef Reclaim round
    cdef int64_t freed = 0
    if sim.lists == NULL:
        return 0
    if sim.lrugens != NULL:
        return generations_reclaim(sim, request, <uint32_t> over, n_pages)
    if sim.set.reclaim_lru:
        while n_pages > 0 and goes_on(sim, PAGE_WORK):
            freed += evict_oldest(sim, request, <uint32_t> over)
            n_pages -= 1
        return freed
    round.over = <uint32_t> over
    round.wanted = max(n_pages, CLUSTER)
    round.freed = 0
    round.force_deactivate = round.skipped_deactivate = False
    round.low_too = round.low_held = False
    reclaim_pass(sim, request, &round)
    if round.freed == 0 and round.skipped_deactivate:
        round.force_deactivate = True
        round.skipped_deactivate = False
        reclaim_pass(sim, request, &round)
    if round.freed == 0 and round.low_held:
        round.force_deactivate = False
        round.low_too = True
        reclaim_pass(sim, request, &round)
        if round.freed == 0 and round.skipped_deactivate:
            round.force_deactivate = True
            reclaim_pass(sim, request, &round)
    return round.freed
