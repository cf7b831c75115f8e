"""Buffered reads, writes, discards and flushes of a cached file.

Source: mm/filemap.c:filemap_read(), filemap_get_pages(), filemap_create_folio(),
mm/readahead.c:page_cache_ra_unbounded(), fs/ext4/inode.c:ext4_punch_hole(),
fs/ext4/readpage.c:ext4_mpage_readpages(), v6.1. See reference/cache.py.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine._accounts cimport charge_of, write_fails
from replay.engine._cache cimport (
    BUFFER_BYTES,
    backing_of,
    bit_of,
    cache_at,
    cache_find,
    cache_has,
    cache_make,
    is_listed,
    kernel_count,
    leaf_at,
    links_at,
    list_push,
    page_accessed,
    page_evict,
    page_move,
    page_owner,
    page_used,
    place_of,
    word_of,
)
from replay.engine._cache_types cimport CacheLeaf, File, Word
from replay.engine._charge cimport (
    CHARGE_FAILED,
    CHARGE_OK,
    CHARGE_SLEEPS,
    ChargeResult,
    charge_batch,
    throttled_until,
)
from replay.engine._limits cimport (
    NODE_BYTES,
    PAGE_BYTES,
    kernel_pages,
    memory_count,
)
from replay.engine._pages cimport (
    LEAF_PAGES,
    LEAF_SHIFT,
    WORD_PAGES,
    WORD_SHIFT,
    popcount,
    tree_insert,
    tree_missing,
    word_own,
)
from replay.engine._parts cimport begins_part
from replay.engine._readahead cimport SECTORS, Extent, extent_within, read_ahead
from replay.engine._tree cimport tree_removed, word_mask
from replay.engine._types cimport (
    IO_RBYTES,
    IO_RIOS,
    OP_DISCARD,
    OP_FLUSH,
    OP_READ,
    OP_WRITE,
    OP_WRITE_ZEROES,
    Request,
    Sim,
    Worker,
)
from replay.engine._workers cimport worker_at
from replay.engine._workingset cimport refault
from replay.engine._writeback cimport (
    Round,
    dirty_balance,
    file_sync,
    page_dirty,
    round_end,
    round_open,
    word_clean,
)


# -- pages ----------------------------------------------------------------------------


cdef inline ChargeResult page_add(
    Sim *sim,
    Request *request,
    uint64_t page,
    int64_t now,
    bint may_fail,
    bint buffers,
    int64_t *until,
) noexcept nogil:
    """Charge a missing page and what the kernel keeps for it, and put it in."""
    cdef uint32_t payer = request.memory_payer
    cdef uint32_t device = request.device
    cdef File *file = &sim.devices[device].file
    cdef uint32_t index = cache_make(sim, file, page)
    cdef CacheLeaf *bits = cache_at(file, index)
    cdef Worker *worker = worker_at(sim, request.worker)
    cdef uint32_t at = word_of(page)
    cdef Word *word = &leaf_at(file, index).words[at]
    cdef uint64_t bit = bit_of(page)
    cdef bint shadow = word.present & bit != 0
    cdef bint active
    cdef int64_t nbytes = 0
    cdef int64_t n_pages, more
    cdef uint32_t place
    cdef ChargeResult result
    if not sim.set.reclaim_lru:
        nbytes = BUFFER_BYTES if buffers else 0
        if not shadow:
            nbytes += tree_missing(file, word, page) * NODE_BYTES
    n_pages = 1 + kernel_pages(sim, payer, nbytes)
    if payer == 0 and sim.groups[0].limit < 0:
        memory_count(sim, payer, n_pages)
    elif worker.stock_cgroup == payer and worker.stock_pages >= n_pages:
        worker.stock_pages -= n_pages
    else:
        result = charge_batch(sim, request, n_pages, now, may_fail, until)
        if result != CHARGE_OK:
            return result
        # what was reclaimed for it may have changed how the bytes round
        more = 1 + kernel_pages(sim, payer, nbytes) - n_pages
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
        active = refault(sim, links_at(sim, place), place & (LEAF_PAGES - 1), payer)
    if is_listed(sim, payer):
        place = place_of(sim, device, index, page)
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


# -- read -----------------------------------------------------------------------------


cdef inline void submit(
    Sim *sim, const Request *request, uint64_t page, int64_t n_pages
) noexcept nogil:
    """Read new pages from the disk: holes are not there, and end a bio."""
    cdef File *file = &sim.devices[request.device].file
    cdef int64_t *io = backing_of(sim, request.io_payer)
    cdef int64_t length = 0
    cdef uint32_t index
    if io == NULL:
        return
    while n_pages > 0:
        index = cache_find(file, page)
        if cache_at(file, index).on_disk[word_of(page)] & bit_of(page) != 0:
            length += 1
            io[IO_RBYTES] += PAGE_BYTES
            io[IO_RIOS] += begins_part(sim.set.max_sectors, length)
        else:
            length = 0
        page += 1
        n_pages -= 1


cdef inline void fetch(
    Sim *sim, Request *request, Extent *extent, int64_t now
) noexcept nogil:
    """Read the missing pages of an extent: one bio for each gap.

    A page that cannot be charged is left out.
    """
    cdef File *file = &sim.devices[request.device].file
    cdef uint64_t page, end
    cdef int64_t until = -1
    cdef int64_t run = 0
    extent_within(extent, sim.set.file_pages)
    page = <uint64_t> extent.start
    end = page + <uint64_t> extent.n_pages
    while page < end:
        if cache_has(file, page) or page_add(
            sim, request, page, now, True, False, &until
        ) != CHARGE_OK:
            submit(sim, request, page - run, run)
            run = 0
        else:
            run += 1
            if <int64_t> page == extent.marked:
                cache_at(file, cache_find(file, page)).marked[word_of(page)] |= (
                    bit_of(page)
                )
        page += 1
    submit(sim, request, page - run, run)


cdef inline void window_move(
    Sim *sim, Request *request, uint64_t page, int64_t wanted, bint marked, int64_t now
) noexcept nogil:
    """Read ahead of a page; without readahead a missing page alone."""
    cdef Extent extent
    if sim.set.readahead_pages > 0:
        if read_ahead(
            &sim.devices[request.device].file,
            <int64_t> page,
            wanted,
            marked,
            sim.set.readahead_pages,
            sim.set.max_sectors // SECTORS,
            &extent,
        ):
            fetch(sim, request, &extent, now)
    elif not marked:
        extent.start = <int64_t> page
        extent.n_pages = 1
        extent.marked = -1
        fetch(sim, request, &extent, now)


cdef inline int64_t buffered_read(
    Sim *sim, Request *request, int64_t now
) noexcept nogil:
    """Read: up to 6.14 every page is a read call of its own.

    Returns
    -------
    int64_t
        Until when the worker sleeps before it goes on, -1 if all is done.
    """
    cdef uint32_t device = request.device
    cdef File *file = &sim.devices[device].file
    cdef uint64_t start = request.sector
    cdef uint64_t end = start + (<uint64_t> request.nbytes + 511) // 512
    cdef uint64_t at = max(start, request.next_page)
    cdef uint64_t call_end, page
    cdef int64_t wanted
    cdef int64_t until = -1
    cdef uint32_t index
    cdef CacheLeaf *leaf
    cdef ChargeResult result
    while at < end:
        call_end = end
        if sim.set.page_at_once:
            call_end = min(end, start + ((at - start) // SECTORS + 1) * SECTORS)
        page = at // SECTORS
        wanted = <int64_t> ((call_end + SECTORS - 1) // SECTORS - page)
        if not cache_has(file, page):
            if request.oom_rounds == 0:
                window_move(sim, request, page, wanted, False, now)
            if not cache_has(file, page):
                request.next_page = at
                result = page_add(sim, request, page, now, False, False, &until)
                if result == CHARGE_SLEEPS:
                    return until
                if result == CHARGE_FAILED:
                    request.error = sim.set.write_errno
                    refuse(sim, request, page, (end + SECTORS - 1) // SECTORS)
                    return -1
                submit(sim, request, page, 1)
        request.oom_rounds = 0
        index = cache_find(file, page)
        leaf = cache_at(file, index)
        if leaf.marked[word_of(page)] & bit_of(page) != 0:
            leaf.marked[word_of(page)] &= ~bit_of(page)
            window_move(sim, request, page, wanted, True, now)
        # the kernel counts reads of the same page, one behind the other, once
        if (sim.set.reclaim_lru or file.window.position <= 0 or (
            page != <uint64_t> (file.window.position - 1) // SECTORS
        )) and cache_has(file, page):
            page_accessed(sim, device, index, page)
        at = min(call_end, (page + 1) * SECTORS)
        file.window.position = <int64_t> at
    request.next_page = end
    return throttled_until(sim, request, now)


# -- write, free, flush ---------------------------------------------------------------


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
    while page < end:
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
            result = page_add(sim, request, page, now, False, True, &until)
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
    while base < end and file.n_dirty > 0:
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
    while base < end:
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
    while some != 0:
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
    elif request.op == OP_DISCARD or request.op == OP_WRITE_ZEROES:
        buffered_free(sim, request)
    return -1
