"""Buffered reads of a cached file: what is missing is read, and what readahead adds.

Source: mm/filemap.c:filemap_read(), filemap_get_pages(), filemap_create_folio(),
mm/readahead.c:page_cache_ra_unbounded(), fs/ext4/readpage.c:ext4_mpage_readpages(), v6.1.
See reference/charging/page_cache.py.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine.charging.charge cimport (
    CHARGE_FAILED,
    CHARGE_OK,
    CHARGE_SLEEPS,
    ChargeResult,
    throttled_until,
)
from replay.engine.charging.page_add cimport page_add, pages_charge, refuse
from replay.engine.memcg.counters cimport memory_count
from replay.engine.pages.cache cimport (
    backing_of,
    bit_of,
    cache_at,
    cache_find,
    cache_has,
    page_accessed,
    word_of,
)
from replay.engine.pages.readahead cimport (
    SECTORS,
    Extent,
    extent_within,
    folio_pages,
    read_ahead,
)
from replay.engine.state.halting cimport PAGE_WORK, goes_on
from replay.engine.state.pages cimport CacheLeaf, File
from replay.engine.state.sim cimport IO_RBYTES, IO_RIOS, Request, Sim
from replay.engine.state.split_counts cimport begins_part
from replay.engine.state.units cimport PAGE_BYTES


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


cdef inline void page_mark(File *file, uint64_t page) noexcept nogil:
    """Mark a page that is cached: reading it moves the window on."""
    cache_at(file, cache_find(file, page)).marked[word_of(page)] |= bit_of(page)


cdef inline bint any_cached(File *file, uint64_t page, int64_t n_pages) noexcept nogil:
    """Return True if one of the pages from there on is in the cache."""
    cdef int64_t i
    for i in range(n_pages):
        if cache_has(file, page + <uint64_t> i):
            return True
    return False


cdef inline int64_t fetch_folios(
    Sim *sim, Request *request, const Extent *extent, int64_t now
) noexcept nogil:
    """Charge large folios and put their pages in; return how many pages that are.

    It ends at a page that is cached and at a folio that cannot be charged: the rest of
    the extent is read page by page. Where the page tree cannot be charged what is left
    of the folio is given back.
    """
    cdef File *file = &sim.devices[request.device].file
    cdef uint64_t start = <uint64_t> extent.start
    cdef uint64_t page = start
    cdef uint64_t end = start + <uint64_t> extent.n_pages
    cdef int64_t n_pages
    cdef int64_t until = -1
    while page < end and goes_on(sim, PAGE_WORK):
        n_pages = folio_pages(page, end, extent.order)
        if any_cached(file, page, n_pages) or pages_charge(
            sim, request, n_pages, now, True, &until
        ) != CHARGE_OK:
            break
        while n_pages > 0:
            if page_add(
                sim, request, page, now, True, False, True, &until
            ) != CHARGE_OK:
                memory_count(sim, request.memory_payer, -n_pages)
                return <int64_t> (page - start)
            if <int64_t> page == extent.marked:
                page_mark(file, page)
            page += 1
            n_pages -= 1
    return <int64_t> (page - start)


cdef inline void fetch(
    Sim *sim, Request *request, Extent *extent, int64_t now
) noexcept nogil:
    """Read the missing pages of an extent: one bio for each gap.

    A page that cannot be charged is left out; from 6.9 on all behind it are, too.
    """
    cdef File *file = &sim.devices[request.device].file
    cdef uint64_t page, end
    cdef int64_t until = -1
    cdef int64_t run
    extent_within(extent, sim.set.file_pages)
    run = fetch_folios(sim, request, extent, now) if extent.order != 0 else 0
    page = <uint64_t> (extent.start + run)
    end = <uint64_t> (extent.start + extent.n_pages)
    while page < end and goes_on(sim, PAGE_WORK):
        if cache_has(file, page) or page_add(
            sim, request, page, now, True, False, False, &until
        ) != CHARGE_OK:
            submit(sim, request, page - run, run)
            run = 0
            if sim.set.readahead_stops and not cache_has(file, page):
                return
        else:
            run += 1
            if <int64_t> page == extent.marked:
                page_mark(file, page)
        page += 1
    submit(sim, request, page - run, run)


cdef inline void window_move(
    Sim *sim, Request *request, uint64_t page, int64_t wanted, bint marked, int64_t now
) noexcept nogil:
    """Read ahead of a page; without readahead a missing page alone."""
    cdef Extent extent
    if sim.set.readahead_pages > 0:
        if read_ahead(
            sim,
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
        extent.order = 0
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
    while at < end and goes_on(sim, PAGE_WORK):
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
                result = page_add(
                    sim, request, page, now, False, False, False, &until
                )
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
