"""Readahead of a cached file. See reference/pages/readahead.py.

Source: mm/readahead.c:ondemand_readahead(), do_page_cache_ra(),
try_context_readahead(), mm/filemap.c:page_cache_next_miss(), page_cache_prev_miss(),
v6.1; page_cache_async_ra(), page_cache_ra_order(), v6.12 and v7.3.
"""

from libc.stdint cimport int64_t, uint64_t
from replay.engine.pages.cache cimport cache_has
from replay.engine.state.pages cimport File, Window
from replay.engine.state.sim cimport Sim
from replay.engine.structures.bits cimport lowest_bit


cdef enum:
    SECTORS = 8                 # of a page
    LARGEST_ORDER = 9           # MAX_PAGECACHE_ORDER: a folio of 2 MiB

cdef struct Extent:
    # pages to read where they are missing
    int64_t start
    int64_t n_pages
    int64_t marked              # the page to mark
    int order                   # of the largest folios; 0: page by page


cdef inline int64_t first_size(int64_t wanted, int64_t most) noexcept nogil:
    """Return the size of a first window."""
    cdef int64_t size = 1
    while size < wanted:
        size *= 2
    if size <= most // 32:
        return size * 4
    return size * 2 if size <= most // 4 else most


cdef inline int64_t next_size(int64_t size, int64_t most) noexcept nogil:
    """Return the size of the window behind another one."""
    if size < most // 16:
        return 4 * size
    return 2 * size if size <= most // 2 else most


cdef inline int64_t cached_before(
    File *file, int64_t index, int64_t most
) noexcept nogil:
    """Count the cached pages directly before one; ``most - 1`` if there are more."""
    cdef int64_t distance
    for distance in range(1, most + 1):
        if distance > index:
            return index
        if not cache_has(file, <uint64_t> (index - distance)):
            return distance - 1
    return most - 1


cdef inline int64_t next_missing(
    File *file, int64_t index, int64_t most
) noexcept nogil:
    """Return the first missing page, or the last of the most that are looked at."""
    cdef int64_t page
    for page in range(index, index + most):
        if not cache_has(file, <uint64_t> page):
            return page
    return index + most - 1


cdef inline bint window_context(
    File *file, int64_t index, int64_t wanted, int64_t most, Extent *extent
) noexcept nogil:
    """Set what a missing page and those before it say; return True for a stream."""
    cdef Window *window = &file.window
    cdef int64_t before = cached_before(file, index, most)
    extent.start = index
    if before <= wanted:
        extent.n_pages = wanted
        extent.marked = -1
        return False
    if before >= index:
        before *= 2
    window.start = index
    window.size = min(before + wanted, most)
    window.ahead = 1
    extent.n_pages = window.size
    extent.marked = index + window.size - 1
    return True


cdef inline bint window_marked(
    const Sim *sim,
    File *file,
    int64_t index,
    int64_t wanted,
    int64_t most,
    Extent *extent,
) noexcept nogil:
    """Move the window on from a marked page, as from 6.11 on; return True if moved."""
    cdef Window *window = &file.window
    cdef int64_t start, end, align
    cdef int order
    if index == window.start + window.size - window.ahead:
        window.start += window.size
        window.size = max(window.size, next_size(window.size, most))
    else:
        start = next_missing(file, index + 1, most)
        if start - index > most:
            return False
        window.start = start
        window.size = next_size(start - index + wanted, most)
    window.order += 2
    if sim.set.readahead_rounds:
        order = 0
        while order < window.order and most >> order & 1 == 0:
            order += 1
        align = <int64_t> 1 << order
        end = (window.start + window.size) // align * align
        if end > window.start:
            window.size = end - window.start
    order = 0
    while order < LARGEST_ORDER and window.size >> (order + 1) != 0:
        order += 1
    window.order = min(window.order, order) if sim.set.large_folios else 0
    window.ahead = window.size
    extent.start = extent.marked = window.start
    extent.n_pages = window.size
    extent.order = window.order
    return True


cdef inline bint read_ahead(
    const Sim *sim,
    File *file,
    int64_t index,
    int64_t wanted,
    bint marked,
    int64_t most,
    int64_t io_pages,
    Extent *extent,
) noexcept nogil:
    """Move the window on; return True if there is anything to read.

    Parameters
    ----------
    sim : Sim*
    file : File*
    index : int64_t
        The page that is missing, or that had the mark (``marked``).
    wanted : int64_t
        Pages from there to the end of the read.
    marked : bint
    most : int64_t
        The largest window, more than 0.
    io_pages : int64_t
        The largest request of the device, which a read beyond the window may fill.
    extent : Extent*
        What to read.
    """
    cdef Window *window = &file.window
    cdef int64_t previous = (<int64_t> 1 << 52) - 1     # of a prev_pos of -1
    cdef int64_t more, start
    extent.order = 0
    if window.position >= 0:
        previous = window.position // SECTORS
    if wanted > most:
        most = max(most, min(wanted, io_pages))
    if sim.set.readahead_by_marks:
        if marked:
            return window_marked(sim, file, index, wanted, most, extent)
        window.order = 0
        if not (index == 0 or wanted > most or 0 <= index - previous <= 1):
            window_context(file, index, wanted, most, extent)
            return True
        window.start = extent.start = index
        window.size = extent.n_pages = first_size(wanted, most)
        more = window.size - wanted
        window.ahead = more if more > 0 else window.size >> 1
        extent.marked = index + window.size - window.ahead
        return True
    if index != 0 and (
        index == window.start + window.size - window.ahead
        or index == window.start + window.size
    ):
        window.start += window.size
        window.size = max(window.size, next_size(window.size, most))
        window.ahead = window.size
    elif index != 0 and marked:
        start = next_missing(file, index + 1, most)
        if start - index > most:
            return False
        window.start = start
        window.size = next_size(start - index + wanted, most)
        window.ahead = window.size
    elif index == 0 or wanted > most or 0 <= index - previous <= 1:
        window.start = index
        window.size = first_size(wanted, most)
        more = window.size - wanted
        window.ahead = more if more > 0 else window.size
    elif not window_context(file, index, wanted, most, extent):
        return True
    if index == window.start and window.size == window.ahead:
        more = next_size(window.size, most)
        if window.size + more <= most:
            window.ahead = more
            window.size += more
        else:
            window.size = most
            window.ahead = most >> 1
    extent.start = window.start
    extent.n_pages = window.size
    extent.marked = window.start + window.size - window.ahead
    return True


cdef inline int64_t folio_pages(
    uint64_t page, uint64_t end, int order
) noexcept nogil:
    """Return the pages of the folio at a page: aligned, and not beyond the end.

    Source: mm/readahead.c:page_cache_ra_order(), v6.16.
    """
    if page & ((<uint64_t> 1 << order) - 1) != 0:
        order = lowest_bit(page)
    while order > 0 and page + (<uint64_t> 1 << order) > end:
        order -= 1
    return <int64_t> 1 << order


cdef inline void extent_within(Extent *extent, int64_t file_pages) noexcept nogil:
    """Cut an extent at the end of the file; the mark moves with the end."""
    cdef int64_t n_pages
    if file_pages < 0 or extent.n_pages <= file_pages - 1 - extent.start:
        return
    n_pages = max(0, file_pages - extent.start)
    if extent.marked >= 0:
        extent.marked -= extent.n_pages - n_pages
    extent.n_pages = n_pages
