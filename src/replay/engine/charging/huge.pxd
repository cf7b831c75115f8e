"""Pages of up to 2 MiB of a tmpfs file that is mounted with ``huge=``.

Source: mm/shmem.c:shmem_huge_global_enabled(), shmem_suitable_orders(),
shmem_alloc_and_add_folio(), v7.3; shmem_mapping_size_orders(), v6.14. See
reference/charging/tmpfs.py.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine.charging.charge cimport (
    CHARGE_FAILED,
    CHARGE_OK,
    CHARGE_SLEEPS,
    ChargeResult,
    charge_batch,
    throttled_until,
)
from replay.engine.charging.page_put cimport leaf_laid_out, pages_put
from replay.engine.counting.charges cimport charge_of, write_fails
from replay.engine.driver.workers cimport worker_at
from replay.engine.memcg.counters cimport kernel_pages, memory_count, pays_at_once
from replay.engine.pages.owners cimport (
    LEAF_PAGES,
    LEAF_SHIFT,
    WORD_PAGES,
    WORD_SHIFT,
    height_for,
    large_insert,
    large_missing,
    leaf_get,
    tree_missing,
    word_at,
    word_put,
)
from replay.engine.state.pages cimport File, Leaf, Word
from replay.engine.state.sim cimport OP_WRITE, Request, Sim, Worker
from replay.engine.state.units cimport NODE_BYTES, PAGE_BYTES

cdef enum:
    # replay.engine.setup.Huge and HugeOrders
    HUGE_ALWAYS = 1
    ORDERS_LARGEST = 0
    ORDERS_WRITE = 1
    # HPAGE_PMD_ORDER: 2 MiB
    LARGEST_ORDER = 9


cdef inline uint64_t part_mask(uint64_t first, int order) noexcept nogil:
    """Return the bits of ``2**order`` pages, fewer than 64, in their word."""
    return ((<uint64_t> 1 << (1 << order)) - 1) << (first & (WORD_PAGES - 1))


cdef inline bint is_free(Leaf *leaf, uint64_t first, int order) noexcept nogil:
    """Return True if none of ``2**order`` pages is there."""
    cdef uint64_t page = first
    if order < WORD_SHIFT:
        return word_at(leaf, first).present & part_mask(first, order) == 0
    while page < first + (<uint64_t> 1 << order):
        if word_at(leaf, page).present != 0:
            return False
        page += WORD_PAGES
    return True


cdef inline int huge_order(
    const Sim *sim, Leaf *leaf, uint64_t page, uint64_t end
) noexcept nogil:
    """Return what power of two of pages a new page may come in, 0 for itself."""
    cdef int most = LARGEST_ORDER
    cdef int least = 1
    cdef uint64_t length, first, last
    if sim.set.huge_orders == ORDERS_LARGEST:
        least = LARGEST_ORDER
    elif sim.set.huge_orders == ORDERS_WRITE:
        # a write call is a page long where the driver makes one for each
        length = 1 if sim.set.page_at_once else end - page
        most = 0
        while most < LARGEST_ORDER and length >> (most + 1) != 0:
            most += 1
        while page & ((<uint64_t> 1 << most) - 1) != 0:
            most -= 1
    while most >= least:
        first = page >> most << most
        last = first + (<uint64_t> 1 << most)
        if (
            sim.set.huge == HUGE_ALWAYS
            or sim.set.file_pages < 0
            or last <= max(<uint64_t> sim.set.file_pages, end)
        ) and is_free(leaf, first, most):
            return most
        most -= 1
    return 0


cdef inline bint huge_charge(
    Sim *sim, Request *request, File *file, Leaf *leaf, uint64_t page, int order,
    int64_t now,
) noexcept nogil:
    """Charge the largest page around a new one, once; return True if it is there."""
    cdef uint32_t payer = request.memory_payer
    cdef Worker *worker = worker_at(sim, request.worker)
    cdef int64_t n_pages = <int64_t> 1 << order
    cdef uint64_t first = page >> order << order
    cdef uint64_t at = first
    cdef Word *word = word_at(leaf, first)
    cdef int64_t nodes, cost
    cdef int64_t until = -1
    if sim.set.fs_pages >= 0 and sim.fs_used + n_pages > sim.set.fs_pages:
        return False
    if order >= WORD_SHIFT:
        nodes = large_missing(file, first, order)
    elif file.height == 0:
        # page 0 is not alone
        nodes = tree_missing(file, word, first + <uint64_t> n_pages - 1)
    else:
        nodes = tree_missing(file, word, first)
    cost = n_pages + kernel_pages(sim, payer, nodes * NODE_BYTES)
    if pays_at_once(sim, payer):
        memory_count(sim, payer, cost)
    elif worker.stock_cgroup == payer and worker.stock_pages >= cost:
        worker.stock_pages -= cost
    elif charge_batch(sim, request, cost, now, True, False, &until) != CHARGE_OK:
        return False
    if order < WORD_SHIFT:
        pages_put(sim, file, word, first, part_mask(first, order), payer)
    else:
        large_insert(file, first, order, payer)
        while at < first + <uint64_t> n_pages:
            word_put(file, word_at(leaf, at), ~<uint64_t> 0, payer, WORD_PAGES)
            at += WORD_PAGES
        sim.fs_used += n_pages
        sim.groups[payer].shmem += n_pages
        sim.groups[payer].kernel_bytes += nodes * NODE_BYTES
    charge_of(sim, request, payer).charged_bytes += n_pages * PAGE_BYTES
    return True


cdef inline ChargeResult small_charge(
    Sim *sim, Request *request, File *file, Word *word, uint64_t page, int64_t now,
    int64_t *until,
) noexcept nogil:
    """Charge one new page and the nodes that it needs; sets the errno if it fails."""
    cdef uint32_t payer = request.memory_payer
    cdef Worker *worker = worker_at(sim, request.worker)
    cdef int64_t cost
    cdef ChargeResult result
    if sim.set.fs_pages >= 0 and sim.fs_used >= sim.set.fs_pages:
        request.error = sim.set.enospc_errno
        return CHARGE_FAILED
    cost = 1 + kernel_pages(sim, payer, tree_missing(file, word, page) * NODE_BYTES)
    if pays_at_once(sim, payer):
        memory_count(sim, payer, cost)
    elif worker.stock_cgroup == payer and worker.stock_pages >= cost:
        worker.stock_pages -= cost
    else:
        result = charge_batch(sim, request, cost, now, False, True, until)
        if result == CHARGE_FAILED:
            request.error = sim.set.write_errno
        if result != CHARGE_OK:
            return result
    pages_put(
        sim, file, word, page, <uint64_t> 1 << (page & (WORD_PAGES - 1)), payer
    )
    charge_of(sim, request, payer).charged_bytes += PAGE_BYTES
    return CHARGE_OK


cdef inline void huge_refuse(
    Sim *sim, const Request *request, File *file, uint64_t page, uint64_t end
) noexcept nogil:
    """Count the absent pages of what a failed request did not come to."""
    cdef const Leaf *leaf
    cdef int64_t absent = 0
    while page < end:
        leaf = leaf_get(file, page)
        if leaf == NULL:
            absent += sim.set.laid_out_by < 0
        else:
            absent += word_at(<Leaf *> leaf, page).present >> (
                page & (WORD_PAGES - 1)
            ) & 1 == 0
        page += 1
    charge_of(sim, request, request.memory_payer).refused_bytes += absent * PAGE_BYTES


cdef inline int64_t huge_write(
    Sim *sim, Request *request, uint64_t page, uint64_t end, int64_t now
) noexcept nogil:
    """Charge the pages that a write touches first, by the largest that may be.

    Returns
    -------
    int64_t
        Until when the worker sleeps, -1 if all is done.
    """
    cdef File *file = &sim.devices[request.device].file
    cdef Leaf *leaf
    cdef Word *word
    cdef int order
    cdef int64_t until = -1
    cdef ChargeResult result
    while page < end:
        request.next_page = page
        leaf = leaf_laid_out(sim, file, page)
        word = word_at(leaf, page)
        if word.present >> (page & (WORD_PAGES - 1)) & 1 == 0:
            order = huge_order(sim, leaf, page, end)
            if order == 0 or not huge_charge(
                sim, request, file, leaf, page, order, now
            ):
                result = small_charge(sim, request, file, word, page, now, &until)
                if result == CHARGE_SLEEPS:
                    return until
                if result == CHARGE_FAILED:
                    huge_refuse(sim, request, file, page, end)
                    if request.op == OP_WRITE:
                        write_fails(sim, request, page, now)
                    return -1
            until = throttled_until(sim, request, now)
            if until >= 0:
                return until
        page += 1
    return -1
