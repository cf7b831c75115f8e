"""Pages that enter the cache, and those that a failed request did not come to.

Source: mm/filemap.c:filemap_add_folio(), fs/buffer.c:alloc_page_buffers(), v6.1. See
reference/charging/page_cache.py.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from replay.engine.charging.charge cimport CHARGE_OK, ChargeResult, charge_batch
from replay.engine.counting.charges cimport charge_of
from replay.engine.memcg.counters cimport kernel_pages, memory_count, pays_at_once
from replay.engine.pages.cache cimport (
    BUFFER_BYTES,
    bit_of,
    cache_at,
    cache_find,
    cache_make,
    is_listed,
    leaf_at,
    links_at,
    list_push,
    page_used,
    place_of,
    word_of,
)
from replay.engine.pages.generations cimport page_gather
from replay.engine.pages.lrugen cimport lrugen_refault
from replay.engine.pages.owners cimport (
    LEAF_PAGES,
    WORD_PAGES,
    WORD_SHIFT,
    tree_insert,
    tree_missing,
    word_own,
)
from replay.engine.pages.tree cimport word_mask
from replay.engine.pages.workingset cimport refault
from replay.engine.state.entries cimport worker_at
from replay.engine.state.pages cimport CacheLeaf, File, Word
from replay.engine.state.sim cimport Request, Sim, Worker
from replay.engine.state.units cimport NODE_BYTES, PAGE_BYTES
from replay.engine.structures.bits cimport popcount


cdef inline ChargeResult pages_charge(
    Sim *sim,
    Request *request,
    int64_t n_pages,
    int64_t now,
    bint may_fail,
    int64_t *until,
) noexcept nogil:
    """Charge a request's payer, from the stock of its worker where that holds enough."""
    cdef uint32_t payer = request.memory_payer
    cdef Worker *worker = worker_at(sim, request.worker)
    if pays_at_once(sim, payer):
        memory_count(sim, payer, n_pages)
        return CHARGE_OK
    if worker.stock_cgroup == payer and worker.stock_pages >= n_pages:
        worker.stock_pages -= n_pages
        return CHARGE_OK
    return charge_batch(sim, request, n_pages, now, may_fail, True, until)


cdef inline ChargeResult page_add(
    Sim *sim,
    Request *request,
    uint64_t page,
    int64_t now,
    bint may_fail,
    bint buffers,
    bint paid,
    int64_t *until,
) noexcept nogil:
    """Charge a missing page and what the kernel keeps for it, and put it in.

    One that is ``paid`` for was charged with its folio.
    """
    cdef uint32_t payer = request.memory_payer
    cdef uint32_t device = request.device
    cdef File *file = &sim.devices[device].file
    cdef uint32_t index = cache_make(sim, file, page)
    cdef CacheLeaf *bits = cache_at(file, index)
    cdef uint32_t at = word_of(page)
    cdef Word *word = &leaf_at(file, index).words[at]
    cdef uint64_t bit = bit_of(page)
    cdef bint shadow = word.present & bit != 0
    cdef bint active
    cdef int64_t nbytes = 0
    cdef int64_t own = 0 if paid else 1
    cdef int64_t n_pages, more
    cdef uint32_t place, slot
    cdef uint8_t state = 0
    cdef ChargeResult result
    if not sim.set.reclaim_lru:
        nbytes = BUFFER_BYTES if buffers else 0
        if not shadow:
            nbytes += tree_missing(file, word, page) * NODE_BYTES
    n_pages = own + kernel_pages(sim, payer, nbytes)
    if n_pages != 0:
        result = pages_charge(sim, request, n_pages, now, may_fail, until)
        if result != CHARGE_OK:
            return result
        # what was reclaimed for it may have changed how the bytes round
        more = own + kernel_pages(sim, payer, nbytes) - n_pages
        if more != 0:
            memory_count(sim, payer, more)
    sim.groups[payer].kernel_bytes += nbytes
    if not shadow:
        tree_insert(file, word, page, payer)
    word_own(file, word, bit, payer)
    if not shadow:
        word.present |= bit
        file.n_pages += 1
    bits.cached[at] |= bit
    if buffers:
        bits.buffers[at] |= bit
    sim.groups[payer].file += 1
    charge_of(sim, request, payer).charged_bytes += PAGE_BYTES
    # a write does not look at what was dropped (__GFP_WRITE)
    active = False
    if shadow and not buffers:
        place = place_of(sim, device, index, page)
        slot = place & (LEAF_PAGES - 1)
        if sim.lrugens != NULL:
            state = lrugen_refault(sim, links_at(sim, place), slot, payer)
        else:
            active = refault(sim, links_at(sim, place), slot, payer)
    if is_listed(sim, payer):
        place = place_of(sim, device, index, page)
        if sim.lrugens != NULL:
            page_gather(sim, payer, place, state)
            return CHARGE_OK
        if active:
            cache_at(file, index).active[at] |= bit
        list_push(sim, payer, active, place, False)
        page_used(sim, place)
    return CHARGE_OK


cdef inline void refuse(
    Sim *sim, const Request *request, uint64_t page, uint64_t end
) noexcept nogil:
    """Count the missing pages of what a failed request did not come to."""
    cdef File *file = &sim.devices[request.device].file
    cdef uint64_t base = page >> WORD_SHIFT << WORD_SHIFT
    cdef uint64_t absent
    cdef uint32_t index
    cdef int64_t n_pages = 0
    while base < end:
        absent = word_mask(page, end, base)
        index = cache_find(file, base)
        if index != 0:
            absent &= ~cache_at(file, index).cached[word_of(base)]
        n_pages += popcount(absent)
        base += WORD_PAGES
    charge_of(sim, request, request.memory_payer).refused_bytes += n_pages * PAGE_BYTES
