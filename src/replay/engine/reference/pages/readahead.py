"""Readahead of a cached file.

Source: mm/readahead.c:ondemand_readahead(), page_cache_ra_unbounded(),
page_cache_sync_ra(), try_context_readahead(), mm/filemap.c:page_cache_next_miss(),
page_cache_prev_miss(), v6.1; page_cache_async_ra(), page_cache_ra_order(), v6.12 and
v7.3.
"""

from collections.abc import Container
from dataclasses import dataclass

from replay.engine.setup import NO_LIMIT

SECTORS = 8
#: MAX_PAGECACHE_ORDER: a folio of 2 MiB.
LARGEST_ORDER = 9
#: No read came before: ``prev_pos`` is -1, whose page is this one.
NO_PAGE = (1 << 52) - 1


@dataclass(slots=True)
class Window:
    """State of an open backing file, which all its readers share; pages."""

    start: int = 0
    size: int = 0
    #: The last pages of the window: reading the first of them starts the next one.
    ahead: int = 0
    #: Sector behind the last one that was read, -1 for none.
    position: int = -1
    #: Power of two of the last window's largest folios; the next marked one has larger.
    order: int = 0

    @property
    def previous(self) -> int:
        """Page of the byte behind the last one that was read."""
        return self.position // SECTORS if self.position >= 0 else NO_PAGE

    @property
    def last_read(self) -> int:
        """Page of the last byte that was read, -1 for none."""
        return (self.position - 1) // SECTORS if self.position > 0 else -1


@dataclass(frozen=True, slots=True)
class Extent:
    """Pages to read where they are missing; `marked` is the one to mark, or -1."""

    start: int
    n_pages: int
    marked: int
    #: They come in folios of up to ``1 << order`` pages; 0: page by page.
    order: int = 0


def first_size(wanted: int, most: int) -> int:
    """Return the size of a first window."""
    size = 1 << (wanted - 1).bit_length()
    if size <= most // 32:
        return size * 4
    return size * 2 if size <= most // 4 else most


def next_size(size: int, most: int) -> int:
    """Return the size of the window behind another one."""
    if size < most // 16:
        return 4 * size
    return 2 * size if size <= most // 2 else most


def cached_before(cached: Container[int], index: int, most: int) -> int:
    """Count the cached pages directly before one; ``most - 1`` if there are more."""
    for distance in range(1, most + 1):
        if distance > index:
            return index
        if index - distance not in cached:
            return distance - 1
    return most - 1


def next_missing(cached: Container[int], index: int, most: int) -> int:
    """Return the first missing page, or the last of the most that are looked at."""
    for page in range(index, index + most):
        if page not in cached:
            return page
    return index + most - 1


def read_ahead(
    window: Window,
    cached: Container[int],
    index: int,
    wanted: int,
    *,
    marked: bool,
    most: int,
    io_pages: int,
    by_marks: bool = False,
    rounds: bool = False,
    large: bool = False,
) -> Extent | None:
    """Move the window on; return what to read, if anything.

    Parameters
    ----------
    window : Window
    cached : container of int
        Pages of the file that are in the cache.
    index : int
        The page that is missing, or that had the mark.
    wanted : int
        Pages from there to the end of the read.
    marked : bool
        It had the mark.
    most : int
        The largest window, more than 0.
    io_pages : int
        The largest request of the device, which a read beyond the window may fill.
    by_marks : bool
        A page with the mark alone moves the window on (from 6.11 on).
    rounds : bool
        What a mark reads ends at a power of two that grows (from 6.17 on).
    large : bool
        The file system takes large folios.
    """
    if wanted > most:
        most = max(most, min(wanted, io_pages))
    if by_marks and marked:
        return _marked_window(
            window, cached, index, wanted, most, rounds=rounds, large=large
        )
    if by_marks:
        window.order = 0
        in_order = index == 0 or wanted > most or 0 <= index - window.previous <= 1
        if not in_order:
            return _context(window, cached, index, wanted, most)
        window.start, window.size = index, first_size(wanted, most)
        more = window.size - wanted
        window.ahead = more if more > 0 else window.size >> 1
        return Extent(index, window.size, index + window.size - window.ahead)
    if index and index in (
        window.start + window.size - window.ahead,
        window.start + window.size,
    ):
        window.start += window.size
        window.size = max(window.size, next_size(window.size, most))
        window.ahead = window.size
    elif index and marked:
        start = next_missing(cached, index + 1, most)
        if start - index > most:
            return None
        window.start = start
        window.size = next_size(start - index + wanted, most)
        window.ahead = window.size
    elif index == 0 or wanted > most or 0 <= index - window.previous <= 1:
        window.start = index
        window.size = first_size(wanted, most)
        more = window.size - wanted
        window.ahead = more if more > 0 else window.size
    else:
        extent = _context(window, cached, index, wanted, most)
        if extent.marked < 0:
            return extent
    if index == window.start and window.size == window.ahead:
        more = next_size(window.size, most)
        if window.size + more <= most:
            window.ahead = more
            window.size += more
        else:
            window.size = most
            window.ahead = most >> 1
    return Extent(window.start, window.size, window.start + window.size - window.ahead)


def _marked_window(
    window: Window,
    cached: Container[int],
    index: int,
    wanted: int,
    most: int,
    *,
    rounds: bool,
    large: bool,
) -> Extent | None:
    """Move the window on from a page with the mark, as from 6.11 on."""
    if index == window.start + window.size - window.ahead:
        window.start += window.size
        window.size = max(window.size, next_size(window.size, most))
    else:
        start = next_missing(cached, index + 1, most)
        if start - index > most:
            return None
        window.start = start
        window.size = next_size(start - index + wanted, most)
    window.order += 2
    if rounds:
        lowest = (most & -most).bit_length() - 1
        align = 1 << min(window.order, lowest)
        end = (window.start + window.size) // align * align
        if end > window.start:
            window.size = end - window.start
    largest = min(LARGEST_ORDER, window.size.bit_length() - 1)
    window.order = min(window.order, largest) if large else 0
    window.ahead = window.size
    return Extent(window.start, window.size, window.start, window.order)


def _context(
    window: Window, cached: Container[int], index: int, wanted: int, most: int
) -> Extent:
    """Read a missing page and what the pages before it say of a stream; or it alone."""
    before = cached_before(cached, index, most)
    if before <= wanted:
        return Extent(index, wanted, -1)
    if before >= index:
        before *= 2
    window.start = index
    window.size = min(before + wanted, most)
    window.ahead = 1
    return Extent(index, window.size, index + window.size - 1)


def folio_pages(index: int, end: int, order: int) -> int:
    """Return the pages of the folio at an index: aligned, and not beyond the end.

    Source: mm/readahead.c:page_cache_ra_order(), v6.16.
    """
    if index & ((1 << order) - 1):
        order = (index & -index).bit_length() - 1
    while order and index + (1 << order) > end:
        order -= 1
    return 1 << order


def within(extent: Extent, file_pages: int) -> Extent:
    """Cut an extent at the end of the file; the mark moves with the end.

    Source: mm/readahead.c:do_page_cache_ra(), v6.1.
    """
    if file_pages == NO_LIMIT or extent.n_pages <= file_pages - 1 - extent.start:
        return extent
    n_pages = max(0, file_pages - extent.start)
    marked = extent.marked
    if marked >= 0:
        marked -= extent.n_pages - n_pages
    return Extent(extent.start, n_pages, marked, extent.order)
