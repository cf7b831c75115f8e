"""Buffered writes, discards and flushes of a cached file, and what any operation touches.

Source: mm/filemap.c:filemap_create_folio(), fs/ext4/inode.c:ext4_punch_hole(), v6.1. See
reference/charging/page_cache.py.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine.charging.buffered_read cimport buffered_read, submit
from replay.engine.charging.charge cimport (
    CHARGE_FAILED,
    CHARGE_SLEEPS,
    ChargeResult,
    throttled_until,
)
from replay.engine.charging.page_add cimport page_add, refuse
from replay.engine.counting.charges cimport write_fails
from replay.engine.pages.cache cimport (
    BUFFER_BYTES,
    bit_of,
    cache_at,
    cache_find,
    cache_make,
    is_listed,
    kernel_count,
    leaf_at,
    page_evict,
    page_move,
    page_owner,
    page_used,
    place_of,
    word_of,
)
from replay.engine.pages.owners cimport LEAF_SHIFT, WORD_PAGES, WORD_SHIFT
from replay.engine.pages.readahead cimport SECTORS
from replay.engine.pages.tree cimport tree_removed, word_mask
from replay.engine.pages.writeback cimport (
    Round,
    dirty_balance,
    file_sync,
    page_dirty,
    round_end,
    round_open,
    word_clean,
)
from replay.engine.state.halting cimport PAGE_WORK, goes_on
from replay.engine.state.pages cimport CacheLeaf, File, Word
from replay.engine.state.sim cimport (
    OP_DISCARD,
    OP_FLUSH,
    OP_READ,
    OP_WRITE,
    OP_WRITE_ZEROES,
    Request,
    Sim,
)
from replay.engine.state.units cimport PAGE_BYTES
from replay.engine.structures.bits cimport popcount


cdef inline int64_t buffered_write(
    Sim *sim, Request *request, int64_t now
) noexcept nogil:
    """Write: missing pages are charged, all become dirty.

    Returns
    -------
    int64_t
        Until when the worker sleeps before it goes on, -1 if all is done.
    """
    cdef uint32_t device = request.device
    cdef File *file = &sim.devices[device].file
    cdef uint64_t first = request.sector // SECTORS
    cdef uint64_t page = max(first, request.next_page)
    # bytes from the first page's start to the request's end: the sum may not fit
    cdef uint64_t length = request.sector % SECTORS * 512 + request.nbytes
    cdef uint64_t end = first + (length + PAGE_BYTES - 1) // PAGE_BYTES
    cdef uint64_t bit
    cdef uint32_t index, word, owner, place
    cdef int64_t until = -1
    cdef bint absent
    cdef CacheLeaf *leaf
    cdef ChargeResult result
    while page < end and goes_on(sim, PAGE_WORK):
        request.next_page = page
        index = cache_make(sim, file, page)
        word = word_of(page)
        bit = bit_of(page)
        leaf = cache_at(file, index)
        if leaf.on_disk[word] & bit == 0 and 0 <= sim.set.fs_pages <= sim.fs_used:
            request.error = sim.set.enospc_errno
            refuse(sim, request, page, end)
            write_fails(sim, request, page, now)
            return -1
        absent = leaf.cached[word] & bit == 0
        if absent:
            result = page_add(
                sim, request, page, now, False, True, False, &until
            )
            if result == CHARGE_SLEEPS:
                return until
            if result == CHARGE_FAILED:
                request.error = sim.set.write_errno
                refuse(sim, request, page, end)
                write_fails(sim, request, page, now)
                return -1
            if (page == first and request.sector % SECTORS != 0) or (
                page + 1 - first > length // PAGE_BYTES
            ):
                submit(sim, request, page, 1)   # the rest of the page
        request.oom_rounds = 0
        if leaf.on_disk[word] & bit == 0:
            leaf.on_disk[word] |= bit
            sim.fs_used += 1
        owner = page_owner(file, index, page)
        if leaf.buffers[word] & bit == 0:
            leaf.buffers[word] |= bit
            kernel_count(sim, owner, BUFFER_BYTES)
        if sim.set.reclaim_lru and is_listed(sim, owner):
            place = place_of(sim, device, index, page)
            page_move(sim, leaf, owner, page, place, False)
            page_used(sim, place)
        if leaf.dirty[word] & bit == 0:
            page_dirty(sim, device, index, page, now)
        if absent:
            until = throttled_until(sim, request, now)
            if until >= 0:
                return until
        page += 1
    return -1


cdef inline void buffered_free(Sim *sim, Request *request) noexcept nogil:
    """Punch a hole: what is dirty there is written back first."""
    cdef uint32_t device = request.device
    cdef File *file = &sim.devices[device].file
    cdef uint64_t start = request.sector // SECTORS
    cdef uint64_t length = request.sector % SECTORS * 512 + request.nbytes
    cdef uint64_t first = start
    cdef uint64_t end = start + (length + PAGE_BYTES - 1) // PAGE_BYTES
    cdef uint64_t base = first >> WORD_SHIFT << WORD_SHIFT
    cdef uint64_t mask
    cdef uint32_t index
    cdef Round round
    round_open(sim, &round)
    while base < end and file.n_dirty > 0 and goes_on(sim, PAGE_WORK):
        index = cache_find(file, base)
        if index == 0:
            base = ((base >> LEAF_SHIFT) + 1) << LEAF_SHIFT
            continue
        word_clean(
            sim, device, index, word_of(base), word_mask(first, end, base), &round
        )
        base += WORD_PAGES
    round_end(sim, file, &round)
    first = start + (request.sector % SECTORS != 0)
    end = start + length // PAGE_BYTES
    base = first >> WORD_SHIFT << WORD_SHIFT
    if end <= first:
        return
    while base < end and goes_on(sim, PAGE_WORK):
        if sim.set.laid_out:
            index = cache_make(sim, file, base)
        else:
            index = cache_find(file, base)
        if index == 0:
            base = ((base >> LEAF_SHIFT) + 1) << LEAF_SHIFT
            continue
        mask = word_mask(first, end, base)
        word_free(sim, request, index, base, mask)
        base += WORD_PAGES


cdef inline void word_free(
    Sim *sim, const Request *request, uint32_t index, uint64_t base, uint64_t mask
) noexcept nogil:
    """Take pages of one word out of the cache, off the disk and out of the tree."""
    cdef uint32_t device = request.device
    cdef File *file = &sim.devices[device].file
    cdef CacheLeaf *bits = cache_at(file, index)
    cdef uint32_t at = word_of(base)
    cdef Word *word = &leaf_at(file, index).words[at]
    cdef uint64_t some = bits.cached[at] & mask
    sim.fs_used -= popcount(bits.on_disk[at] & mask)
    bits.on_disk[at] &= ~mask
    while some != 0 and goes_on(sim, PAGE_WORK):
        page_evict(
            sim, request, device, index, base + popcount((some & -some) - 1), -1
        )
        some &= some - 1
    some = word.present & mask
    if some == 0:
        return
    word.present &= ~some
    file.n_pages -= popcount(some)
    tree_removed(sim, file, word, base)


cdef inline int64_t buffered_touch(
    Sim *sim, Request *request, int64_t now
) noexcept nogil:
    """Touch the pages of a request that has been served; sets its errno.

    Returns
    -------
    int64_t
        Until when the worker sleeps with all that it holds; then call again. -1: done.
    """
    cdef int64_t until
    if request.op == OP_FLUSH:
        file_sync(sim, request.device, sim.devices[request.device].file.n_dirty)
    elif request.nbytes == 0:
        pass
    elif request.op == OP_READ:
        return buffered_read(sim, request, now)
    elif request.op == OP_WRITE:
        until = buffered_write(sim, request, now)
        if until < 0 and sim.set.dirty.balanced:
            dirty_balance(sim)
        return until
    elif not request.failed and (
        request.op == OP_DISCARD or request.op == OP_WRITE_ZEROES
    ):
        buffered_free(sim, request)
    return -1
