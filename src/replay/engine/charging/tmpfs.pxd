"""Charges for the pages of the backing file.

Source: mm/shmem.c:shmem_get_folio_gfp(), shmem_fallocate(), v6.1.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from replay.engine.charging.buffered_write cimport buffered_touch
from replay.engine.charging.charge cimport (
    CHARGE_FAILED,
    CHARGE_SLEEPS,
    ChargeResult,
    charge_batch,
    throttled_until,
)
from replay.engine.charging.huge cimport huge_write
from replay.engine.charging.page_put cimport leaf_laid_out, pages_put
from replay.engine.counting.charges cimport charge_of, write_fails
from replay.engine.memcg.counters cimport kernel_pages, memory_count, pays_at_once
from replay.engine.pages.owners cimport (
    LEAF_PAGES,
    LEAF_SHIFT,
    OWNERS_MARK,
    WORD_PAGES,
    WORD_SHIFT,
    leaf_get,
    tree_missing,
    word_at,
    word_owner,
    word_put,
)
from replay.engine.pages.tree cimport tree_removed, word_mask
from replay.engine.state.entries cimport worker_at
from replay.engine.state.halting cimport PAGE_WORK, goes_on
from replay.engine.state.pages cimport File, Leaf, Word
from replay.engine.state.sim cimport (
    OP_DISCARD,
    OP_READ,
    OP_WRITE,
    OP_WRITE_ZEROES,
    Charge,
    Request,
    Sim,
    Worker,
)
from replay.engine.state.units cimport NODE_BYTES, PAGE_BYTES, PAGE_SHIFT
from replay.engine.structures.bits cimport low_bits, lowest_bit, popcount

cdef enum:
    SECTORS_PER_PAGE_SHIFT = 3


cdef inline bint write_at_hand(
    Sim *sim, File *file, Word *word, uint64_t absent, Request *request
) noexcept nogil:
    """Put absent pages of one word in if they need no node, and can be had at once.

    From the worker's stock, or without one. Most first touches are such: they do what
    `write_word` does, and tell so.
    """
    cdef uint32_t payer = request.memory_payer
    cdef Worker *worker = worker_at(sim, request.worker)
    cdef int64_t n_pages = popcount(absent)
    if (
        word.present == 0
        or file.height == 0
        or (sim.set.fs_pages >= 0 and sim.fs_used + n_pages > sim.set.fs_pages)
    ):
        return False
    if pays_at_once(sim, payer):
        memory_count(sim, payer, n_pages)
    elif worker.stock_cgroup == payer and worker.stock_pages >= n_pages:
        worker.stock_pages -= n_pages
    else:
        return False
    word_put(file, word, absent, payer, n_pages)
    sim.fs_used += n_pages
    sim.groups[payer].shmem += n_pages
    charge_of(sim, request, payer).charged_bytes += n_pages * PAGE_BYTES
    return True


cdef inline int64_t write_word(
    Sim *sim,
    File *file,
    Word *word,
    uint64_t base,
    uint64_t absent,
    Request *request,
    int64_t now,
) noexcept nogil:
    """Charge the absent pages of one word; sets the request's errno if that fails.

    As the kernel does it one by one, but in bulk as far as the stock reaches: only the
    first page of a word can need nodes, so the rest cost one page each.

    Returns
    -------
    int64_t
        Until when the worker sleeps before it goes on, -1 if the word is done.
    """
    cdef uint32_t payer = request.memory_payer
    cdef Worker *worker = worker_at(sim, request.worker)
    cdef uint64_t mask, first
    cdef int64_t nodes, n_pages
    cdef int64_t until = -1
    cdef bint batched
    cdef ChargeResult result
    cdef Charge *charge = charge_of(sim, request, payer)
    while absent != 0:
        if sim.set.fs_pages >= 0 and sim.fs_used >= sim.set.fs_pages:
            request.error = sim.set.enospc_errno
            request.next_page = base + <uint64_t> lowest_bit(absent)
            return -1
        first = base + <uint64_t> lowest_bit(absent)
        nodes = tree_missing(file, word, first)
        if nodes != 0:
            nodes = kernel_pages(sim, payer, nodes * NODE_BYTES)
        n_pages = 1
        if not (first == 0 and file.height == 0):
            n_pages = popcount(absent)
            if sim.set.fs_pages >= 0:
                n_pages = min(n_pages, sim.set.fs_pages - sim.fs_used)
        batched = False
        if pays_at_once(sim, payer):
            pass
        elif worker.stock_cgroup == payer and worker.stock_pages > nodes:
            n_pages = min(n_pages, worker.stock_pages - nodes)
            worker.stock_pages -= n_pages + nodes
        else:
            n_pages = 1
            batched = True
            result = charge_batch(sim, request, 1 + nodes, now, False, True, &until)
            if result == CHARGE_SLEEPS:
                request.next_page = first
                return until
            if result == CHARGE_FAILED:
                request.error = sim.set.write_errno
                request.next_page = first
                return -1
        mask = low_bits(absent, n_pages)
        nodes = pages_put(sim, file, word, first, mask, payer)
        if pays_at_once(sim, payer):
            memory_count(sim, payer, nodes)
        charge.charged_bytes += popcount(mask) * PAGE_BYTES
        absent &= ~mask
        if batched:
            until = throttled_until(sim, request, now)
            if until >= 0:
                request.next_page = first
                return until
    return -1


cdef inline int64_t pages_write(Sim *sim, Request *request, int64_t now) noexcept nogil:
    """Charge the pages that a write touches first; sets its errno if that fails.

    Before 5.18 a read does the same.

    Returns
    -------
    int64_t
        Until when the worker sleeps, -1 if all is done.
    """
    cdef File *file = &sim.devices[request.device].file
    cdef uint64_t first = request.sector >> SECTORS_PER_PAGE_SHIFT
    cdef uint64_t end = first + (
        ((request.sector & 7) * 512 + request.nbytes + PAGE_BYTES - 1) >> PAGE_SHIFT
    )
    cdef uint64_t base, absent
    cdef Leaf *leaf = NULL
    cdef Word *word = NULL
    cdef int64_t before, until
    cdef Charge *charge
    first = max(first, request.next_page)
    if sim.set.huge != 0:
        return huge_write(sim, request, first, end, now)
    base = first >> WORD_SHIFT << WORD_SHIFT
    while base < end and goes_on(sim, PAGE_WORK):
        if request.error != 0:
            # what was refused: the absent pages of the rest of the request
            leaf = leaf_get(file, base)
            if leaf == NULL and sim.set.laid_out_by >= 0:
                base += WORD_PAGES
                continue
        elif leaf == NULL or base & (LEAF_PAGES - 1) == 0:
            leaf = leaf_laid_out(sim, file, base)
        absent = word_mask(first, end, base)
        if leaf != NULL:
            word = word_at(leaf, base)
            absent &= ~word.present
        if absent != 0 and (
            request.error != 0
            or not write_at_hand(sim, file, word, absent, request)
        ):
            charge = charge_of(sim, request, request.memory_payer)
            before = charge.charged_bytes
            if request.error == 0:
                until = write_word(sim, file, word, base, absent, request, now)
                if until >= 0:
                    return until
            if request.error != 0:
                # what of it could not be charged
                charge.refused_bytes += (
                    popcount(absent) * PAGE_BYTES - (charge.charged_bytes - before)
                )
        base += WORD_PAGES
    if request.error != 0 and request.op == OP_WRITE:
        write_fails(sim, request, request.next_page, now)
    return -1


cdef inline void word_free(
    Sim *sim,
    File *file,
    Word *word,
    uint64_t base,
    uint64_t mask,
    const Request *request,
) noexcept nogil:
    """Give the pages of one word back to their owners."""
    cdef uint64_t one
    cdef int64_t n_pages
    cdef uint32_t owner
    cdef Charge *charge
    mask &= word.present
    if mask == 0:
        return
    word.present &= ~mask
    file.n_pages -= popcount(mask)
    sim.fs_used -= popcount(mask)
    while mask != 0:
        one = mask
        if word.owner & OWNERS_MARK:
            one = mask & -mask
        owner = word_owner(file, word, <uint32_t> lowest_bit(mask))
        n_pages = popcount(one)
        sim.groups[owner].shmem -= n_pages
        memory_count(sim, owner, -n_pages)
        charge = charge_of(sim, request, owner)
        charge.uncharged_bytes += n_pages * PAGE_BYTES
        mask &= ~one
    tree_removed(sim, file, word, base)


cdef inline void pages_free(Sim *sim, const Request *request) noexcept nogil:
    """Free the pages that lie wholly inside a request.

    Source: mm/shmem.c:shmem_fallocate(), v6.1: parts of pages are only zeroed.
    """
    cdef File *file = &sim.devices[request.device].file
    cdef uint64_t first = (request.sector >> SECTORS_PER_PAGE_SHIFT) + (
        (request.sector & 7) != 0
    )
    cdef uint64_t end = (request.sector >> SECTORS_PER_PAGE_SHIFT) + (
        ((request.sector & 7) * 512 + request.nbytes) >> PAGE_SHIFT
    )
    cdef uint64_t base = first >> WORD_SHIFT << WORD_SHIFT
    cdef Leaf *leaf = NULL
    if end <= first:
        return
    while base < end and goes_on(sim, PAGE_WORK):
        if sim.set.laid_out_by >= 0:
            leaf = leaf_laid_out(sim, file, base)
        else:
            leaf = leaf_get(file, base)
        if leaf == NULL:
            base = ((base >> LEAF_SHIFT) + 1) << LEAF_SHIFT
            continue
        word_free(
            sim, file, word_at(leaf, base), base, word_mask(first, end, base), request
        )
        base += WORD_PAGES


cdef inline int64_t memory_touch(
    Sim *sim, Request *request, int64_t now
) noexcept nogil:
    """Touch the pages of a request that has been served; sets its errno.

    Returns
    -------
    int64_t
        Until when the worker sleeps with all that it holds; then call again. -1: done.
    """
    if not sim.set.pages_on or request.nbytes == 0:
        return buffered_touch(sim, request, now) if sim.set.cache_on else -1
    if request.op == OP_WRITE or (
        request.op == OP_READ and sim.set.hole_reads_charge
    ):
        return pages_write(sim, request, now)
    if not request.failed and (
        request.op == OP_DISCARD or request.op == OP_WRITE_ZEROES
    ):
        pages_free(sim, request)
    return -1
