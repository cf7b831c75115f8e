"""The page cache of backing files on a disk file system, or of a raw device.

Sources: mm/filemap.c:filemap_read(), filemap_get_pages(), filemap_create_folio(),
mm/readahead.c:page_cache_ra_unbounded(), fs/ext4/inode.c:ext4_punch_hole(),
fs/ext4/readpage.c:ext4_mpage_readpages(), v6.1.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from replay.engine.reference.memcg.tasks import ceil_pages
from replay.engine.reference.pages.dirty import ROOT, Dirty
from replay.engine.reference.pages.readahead import (
    Extent,
    Window,
    folio_pages,
    read_ahead,
    within,
)
from replay.engine.reference.pages.reclaim import Page
from replay.engine.reference.pages.tree import PageTree
from replay.engine.reference.pages.workingset import Shadow
from replay.engine.reference.pages.writeback import CHUNK_PAGES, NOBODY, Owner, n_bios
from replay.engine.reference.state.requests import Request
from replay.engine.setup import NO_LIMIT, PAGE_BYTES, Setup
from replay.trace.file.schema import OP_CODES

if TYPE_CHECKING:
    from replay.engine.reference.charging.charge import Charging

READ, WRITE, FLUSH = (OP_CODES[name] for name in ("read", "write", "flush"))
FREES = (OP_CODES["discard"], OP_CODES["write_zeroes"])
SECTORS = 8
#: Bytes that memcg counts for one node of the page tree, and for a buffer head (104
#: and the object's own pointer; fs/buffer.c:alloc_page_buffers(), v6.1).
NODE_BYTES, BUFFER_BYTES = 584, 112
#: A leaf of the engine: pages of a file laid out count from the first touch of theirs.
REGION_SHIFT = 9


@dataclass
class File:
    """A backing file: its pages in the cache and on the disk."""

    owner: Owner
    pages: dict[int, Page] = field(default_factory=dict)
    #: Pages in the cache, and those evicted, whose places (shadows) stay.
    tree: PageTree = field(default_factory=PageTree)
    shadows: dict[int, Shadow] = field(default_factory=dict)
    on_disk: set[int] = field(default_factory=set)
    regions: set[int] = field(default_factory=set)
    window: Window = field(default_factory=Window)
    dirty: set[int] = field(default_factory=set)
    dirtied_ns: int = -1
    #: A timer that looks at it stands in the heap.
    armed: bool = False


class PageCache:
    """Owners of the cache's pages; reads and writes of the disk below."""

    def __init__(self, setup: Setup, memory: "Charging") -> None:
        self.setup = setup
        self.memory = memory
        self.lists = memory.reclaim
        self.lists.cache = self
        self.dirty = Dirty(setup, memory, self.lists)
        self.files = [File(Owner(setup.laid_out_by)) for _ in setup.devices]
        self.fs_used = 0
        #: ``io.stat`` of the device below, by block cgroup.
        self.backing: defaultdict[tuple[int], Counter[str]] = defaultdict(Counter)
        #: (when, device) of timers to arm.
        self.to_arm: list[tuple[int, int]] = []

    def touch(self, request: Request, now: int) -> int | None:
        """Touch the pages of a request that has been served; sets its errno.

        Returns
        -------
        int or None
            Until when the worker sleeps, with all that it holds; then call again.
        """
        if request.op == FLUSH:
            self.sync(request.device)
        elif request.nbytes == 0:
            return None
        elif request.op == READ:
            return self._read(request, now)
        elif request.op == WRITE:
            until = self._write(request, now)
            if until is None:
                self._balance()
            return until
        elif request.op in FREES and not request.failed:
            self._free(request)
        return None

    # -- read -------------------------------------------------------------------

    def _read(self, request: Request, now: int) -> int | None:
        """Read: up to 6.14 every page is a read call of its own."""
        file = self.files[request.device]
        start = request.sector
        end = start + ceil_sectors(request.nbytes)
        at = max(start, request.next_page)
        while at < end:
            call_end = end
            if self.setup.lock_per_page:
                call_end = min(end, start + ((at - start) // SECTORS + 1) * SECTORS)
            index, beyond = at // SECTORS, -(-call_end // SECTORS)
            if index not in file.pages:
                if request.oom_rounds == 0:
                    self._miss(request, index, beyond - index, now)
                if index not in file.pages:
                    request.next_page = at
                    until = self._create(request, index, end, now)
                    if until is not None or request.error:
                        return until
            request.oom_rounds = 0
            page = file.pages[index]
            if page.marked:
                page.marked = False
                self._read_ahead(request, index, beyond - index, now, marked=True)
            # the kernel counts reads of the same page, one behind the other, once
            again = index == file.window.last_read and not self.lists.lru
            if index in file.pages and not again:
                self.lists.accessed(page)
            at = file.window.position = min(call_end, (index + 1) * SECTORS)
        request.next_page = end
        return self.memory.throttled_until(request, now)

    def _miss(self, request: Request, index: int, wanted: int, now: int) -> None:
        """Read ahead of a missing page; without readahead that page alone."""
        if self.setup.readahead_pages:
            self._read_ahead(request, index, wanted, now, marked=False)
        else:
            self._fetch(request, Extent(index, 1, -1), now)

    def _read_ahead(
        self, request: Request, index: int, wanted: int, now: int, *, marked: bool
    ) -> None:
        most = self.setup.readahead_pages
        if not most:
            return
        file = self.files[request.device]
        extent = read_ahead(
            *(file.window, file.pages, index, wanted),
            marked=marked,
            most=most,
            io_pages=self.setup.max_sectors // SECTORS,
            by_marks=self.setup.readahead_by_marks,
            rounds=self.setup.readahead_rounds,
            large=self.setup.large_folios,
        )
        if extent is not None:
            self._fetch(request, extent, now)

    def _fetch(self, request: Request, extent: Extent, now: int) -> None:
        """Read the missing pages of an extent: one bio for each gap.

        A page that cannot be charged is left out; from 6.9 on all behind it are, too.
        """
        extent = within(extent, self.setup.file_pages)
        run = self._fetch_folios(request, extent, now)
        file = self.files[request.device]
        first = extent.start + len(run)
        for index in range(first, extent.start + extent.n_pages):
            if index in file.pages:
                self._submit(request, run)
                continue
            error, _ = self._add(request, index, now, may_fail=True)
            if error:
                self._submit(request, run)
                if self.setup.readahead_stops:
                    return
                continue
            run.append(index)
            if index == extent.marked:
                file.pages[index].marked = True
        self._submit(request, run)

    def _fetch_folios(self, request: Request, extent: Extent, now: int) -> list[int]:
        """Charge large folios and put their pages in; return these pages.

        It ends at a page that is cached and at a folio that cannot be charged: the rest
        of the extent is read page by page. Where the page tree cannot be charged what
        is left of the folio is given back.
        """
        if not extent.order:
            return []
        file = self.files[request.device]
        index, end = extent.start, extent.start + extent.n_pages
        while index < end:
            folio = range(index, index + folio_pages(index, end, extent.order))
            if any(page in file.pages for page in folio):
                break
            error, _ = self.memory.charge(request, len(folio), now, may_fail=True)
            if error:
                break
            for index in folio:
                error, _ = self._add(request, index, now, may_fail=True, paid=True)
                if error:
                    self.memory.count(request.memory_payer, index - folio.stop)
                    return list(range(extent.start, index))
                if index == extent.marked:
                    file.pages[index].marked = True
            index = folio.stop
        return list(range(extent.start, index))

    def _submit(self, request: Request, run: list[int]) -> None:
        """Read new pages from the disk: holes are not there, and end a bio."""
        file = self.files[request.device]
        there = [index for index in run if index in file.on_disk]
        if there:
            count = self.backing[request.io_payer,]
            count["rbytes"] += len(there) * PAGE_BYTES
            count["rios"] += n_bios(there, self.setup.max_sectors)
        run.clear()

    def _create(self, request: Request, index: int, end: int, now: int) -> int | None:
        """Read a page alone that readahead could not charge; sets the errno."""
        error, until = self._add(request, index, now)
        if until is not None:
            return until
        if error:
            request.error = error
            pages = range(index, -(-end // SECTORS))
            self._refuse(request, pages)
            return None
        self._submit(request, [index])
        return None

    # -- write ------------------------------------------------------------------

    def _write(self, request: Request, now: int) -> int | None:
        file = self.files[request.device]
        start = request.sector
        end = start + ceil_sectors(request.nbytes)
        first, behind = start // SECTORS, -(-end // SECTORS)
        for index in range(max(first, request.next_page), behind):
            request.next_page = index
            self._touch_region(file, index)
            if index not in file.on_disk and self._is_full():
                request.error = self.setup.enospc_errno
                self._refuse(request, range(index, behind))
                self.memory.fails(request, index, now)
                return None
            absent = index not in file.pages
            if absent:
                error, until = self._add(request, index, now, buffers=True)
                if until is not None:
                    return until
                if error:
                    request.error = error
                    self._refuse(request, range(index, behind))
                    self.memory.fails(request, index, now)
                    return None
                if not covers(request, index):
                    self._submit(request, [index])
            request.oom_rounds = 0
            self._dirty(request, file, file.pages[index], now)
            until = self.memory.throttled_until(request, now) if absent else None
            if until is not None:
                return until
        return None

    def _is_full(self) -> bool:
        fs_pages = self.setup.fs_pages
        return fs_pages != NO_LIMIT and self.fs_used >= fs_pages

    def _dirty(self, request: Request, file: File, page: Page, now: int) -> None:
        if page.index not in file.on_disk:
            file.on_disk.add(page.index)
            self.fs_used += 1
        if not page.buffers:
            page.buffers = True
            self._count_kernel(page.owner, BUFFER_BYTES)
        self.lists.written(page)
        if page.dirty:
            return
        page.dirty = True
        if file.owner.memory == NOBODY:
            file.owner.memory = page.owner
        if not file.dirty:
            file.dirtied_ns = now
            if not file.armed:
                self._arm(request.device, now)
        file.dirty.add(page.index)
        self.dirty.count(page.owner, file.owner.memory, 1)

    # -- pages ------------------------------------------------------------------

    def _add(
        self,
        request: Request,
        index: int,
        now: int,
        *,
        may_fail: bool = False,
        buffers: bool = False,
        paid: bool = False,
    ) -> tuple[int, int | None]:
        """Charge a missing page and what the kernel keeps for it, and put it in.

        One that is ``paid`` for was charged with its folio.
        """
        file, payer = self.files[request.device], request.memory_payer
        self._touch_region(file, index)
        nbytes = BUFFER_BYTES if buffers else 0
        if index not in file.tree.pages:
            nbytes += NODE_BYTES * len(file.tree.missing(index))
        if self.memory.lru:
            nbytes = 0
        own = 0 if paid else 1
        pages = own + self.memory.kernel_pages(payer, nbytes)
        if pages:
            error, until = self.memory.charge(request, pages, now, may_fail=may_fail)
            if error or until is not None:
                return error, until
        # what was reclaimed for it may have changed how the bytes round
        more = own + self.memory.kernel_pages(payer, nbytes) - pages
        self.memory.count(payer, more)
        self.memory.groups[payer].kernel_bytes += nbytes
        if index not in file.tree.pages:
            file.tree.insert(index, payer)
        page = Page(request.device, index, payer, buffers=buffers)
        file.pages[index] = page
        self.memory.groups[payer].file += 1
        key = (request.device, request.issuer, payer)
        self.memory.charges.charged[key] += PAGE_BYTES
        shadow = file.shadows.pop(index, None)
        # a write does not look at what was dropped (__GFP_WRITE)
        self.lists.add(page, None if buffers else shadow)
        return 0, None

    def evict(self, page: Page, request: Request, over: int | None) -> None:
        """Drop a clean page; its place in the tree stays."""
        file = self.files[page.device]
        if over is not None:
            file.shadows[page.index] = self.lists.shadow(page, over)
        self.lists.remove(page)
        del file.pages[page.index]
        self.memory.groups[page.owner].file -= 1
        self.memory.count(page.owner, -1)
        self.memory.charges.uncharged[request.device, request.issuer, page.owner] += (
            PAGE_BYTES
        )
        if page.buffers:
            self._count_kernel(page.owner, -BUFFER_BYTES)

    def _free(self, request: Request) -> None:
        """Punch a hole: what is dirty there is written back first."""
        file = self.files[request.device]
        start = request.sector
        end = start + ceil_sectors(request.nbytes)
        touched = range(start // SECTORS, -(-end // SECTORS))
        self.write_back(request.device, [i for i in touched if i in file.dirty])
        for index in covered_pages(request):
            self._touch_region(file, index)
            if index in file.on_disk:
                file.on_disk.remove(index)
                self.fs_used -= 1
            page = file.pages.get(index)
            if page is not None:
                self.evict(page, request, None)
            file.shadows.pop(index, None)
            if index in file.tree.pages:
                for payer in file.tree.remove(index):
                    self._count_kernel(payer, -NODE_BYTES)

    def _count_kernel(self, payer: int, nbytes: int) -> None:
        """Count what the kernel keeps, where no limit is looked at."""
        if self.memory.lru:
            return
        self.memory.count(payer, self.memory.kernel_pages(payer, nbytes))
        self.memory.groups[payer].kernel_bytes += nbytes

    def _touch_region(self, file: File, index: int) -> None:
        """Of a file laid out before the trace every page is on the disk.

        How long it is the trace does not say: for the size of the file system pages
        count from the first touch of their 2 MiB.
        """
        region = index >> REGION_SHIFT
        if region in file.regions:
            return
        file.regions.add(region)
        if self.setup.laid_out:
            first = region << REGION_SHIFT
            file.on_disk.update(range(first, first + (1 << REGION_SHIFT)))
            self.fs_used += 1 << REGION_SHIFT

    def _refuse(self, request: Request, pages: range) -> None:
        file = self.files[request.device]
        absent = sum(index not in file.pages for index in pages)
        key = (request.device, request.issuer, request.memory_payer)
        self.memory.charges.refused[key] += absent * PAGE_BYTES

    # -- write-back -------------------------------------------------------------

    def timer(self, device: int, now: int) -> None:
        """Look at a file as the flusher does: is it dirty for too long or too much.

        Source: fs/fs-writeback.c:wb_do_writeback(), wb_check_old_data_flush(),
        wb_check_background_flush(), v6.1.
        """
        file = self.files[device]
        file.armed = False
        if not file.dirty:
            return
        if file.dirtied_ns + self.setup.dirty_expire_ns <= now:
            self._flush(device)
            return
        self._write_background(device)
        if file.dirty:
            self._arm(device, now)

    def _arm(self, device: int, now: int) -> None:
        if self.setup.dirty_writeback_ns:
            self.files[device].armed = True
            self.to_arm.append((now + self.setup.dirty_writeback_ns, device))

    def _write_background(self, device: int) -> None:
        """Write rounds of a file for as long as its owner's wait for too much."""
        file = self.files[device]
        while file.dirty and self.dirty.is_over(file.owner.memory):
            self.write_back(device, sorted(file.dirty)[:CHUNK_PAGES])

    def _balance(self) -> None:
        """Write the root's files above the machine's threshold: pages became dirty.

        A worker's own cgroup is the root, and it is that one's flusher that it wakes.
        Source: mm/page-writeback.c:balance_dirty_pages(), v6.1.
        """
        background = self.dirty.global_background()
        if background is None or self.dirty.pages[ROOT] <= background:
            return
        for device, file in enumerate(self.files):
            if file.owner.memory == ROOT:
                self._write_background(device)

    def wake_flushers(self) -> None:
        """Write all that is dirty: reclaim met nothing else."""
        for device in range(len(self.files)):
            self._flush(device)

    def _flush(self, device: int) -> None:
        dirty = sorted(self.files[device].dirty)
        for first in range(0, len(dirty), CHUNK_PAGES):
            self.write_back(device, dirty[first : first + CHUNK_PAGES])

    def sync(self, device: int) -> None:
        """Write all of a file back."""
        self.write_back(device, sorted(self.files[device].dirty))

    def write_back(self, device: int, pages: list[int]) -> None:
        """Write sorted dirty pages: one round, in the name of the inode's owner."""
        if not pages:
            return
        file = self.files[device]
        io_payer = int(self.setup.blkcg[file.owner.memory])
        self.backing[io_payer,]["wbytes"] += len(pages) * PAGE_BYTES
        self.backing[io_payer,]["wios"] += n_bios(pages, self.setup.max_sectors)
        writer = file.owner.memory
        self.dirty.written[writer] += len(pages)
        for index in pages:
            self.dirty.count(file.pages[index].owner, writer, -1)
        file.owner.account([file.pages[index] for index in pages])
        left = len(file.dirty) - len(pages)
        self.dirty.to_write[writer] -= left
        self.dirty.to_write[file.owner.memory] += left
        for index in pages:
            page = file.pages[index]
            page.dirty = False
            file.dirty.remove(index)
            self.lists.cleaned(page)


def covers(request: Request, index: int) -> bool:
    """Return True if a request writes a page as a whole."""
    start = request.sector * 512
    end = start + request.nbytes
    return start <= index * PAGE_BYTES and (index + 1) * PAGE_BYTES <= end


def covered_pages(request: Request) -> range:
    """Return the pages that lie wholly inside a request."""
    start = request.sector * 512
    return range(ceil_pages(start), (start + request.nbytes) // PAGE_BYTES)


def ceil_sectors(nbytes: int) -> int:
    """Return bytes in whole sectors of 512 bytes."""
    return -(-nbytes // 512)
