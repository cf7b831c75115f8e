"""Page owners of backing files on tmpfs.

Sources: mm/shmem.c:shmem_get_folio_gfp(), shmem_fallocate(), lib/xarray.c, v6.1;
shmem_huge_global_enabled(), shmem_suitable_orders(), shmem_alloc_and_add_folio(), v7.3;
shmem_mapping_size_orders(), v6.14; shmem_file_read_iter(), v5.10.
"""

from replay.engine.reference.charging.charge import Charging
from replay.engine.reference.charging.page_cache import (
    NODE_BYTES,
    PageCache,
    covered_pages,
)
from replay.engine.reference.pages.tree import PageTree
from replay.engine.reference.state.requests import Request
from replay.engine.setup import NO_LIMIT, PAGE_BYTES, Huge, HugeOrders, Setup
from replay.trace.file.schema import OP_CODES

READ, WRITE = OP_CODES["read"], OP_CODES["write"]
FREES = (OP_CODES["discard"], OP_CODES["write_zeroes"])

#: Pages of a file laid out before the trace are counted by regions of 2 MiB.
REGION_SHIFT = 9
#: HPAGE_PMD_ORDER: 2 MiB are 2**9 pages.
LARGEST_ORDER = 9


class Memory(Charging):
    """Owners of the backing files' pages, and their charges."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.owner: dict[tuple[int, int], int] = {}
        self.trees = [PageTree() for _ in setup.devices]
        self.regions: set[tuple[int, int]] = set()
        self.fs_used = 0
        self.cache = None
        if setup.cached and not setup.direct_io:
            self.cache = PageCache(setup, self)

    # -- pages ------------------------------------------------------------------

    def touch(self, request: Request, now: int) -> int | None:
        """Touch the pages of a request that has been served; sets its errno.

        Returns
        -------
        int or None
            Until when the worker sleeps, with all that it holds; then call again.
        """
        if self.cache is not None:
            return self.cache.touch(request, now)
        if not self.setup.tmpfs or self.setup.direct_io or request.nbytes == 0:
            return None
        if request.op == WRITE or (request.op == READ and self.setup.hole_reads_charge):
            return self._allocate(request, now)
        if request.op in FREES and not request.failed:
            self._free(request)
        return None

    def _allocate(self, request: Request, now: int) -> int | None:
        """Make the pages that are not there: a write's, before 5.18 a read's, too."""
        first, last = page_range(request)
        for page in range(max(first, request.next_page), last + 1):
            request.next_page = page
            self._lay_out(request.device, page)
            if (request.device, page) in self.owner:
                continue
            until = None
            if not self._charge_huge(request, page, last, now):
                request.error, until = self._charge(request, page, now)
            if until is not None:
                return until
            if request.error:
                absent = sum(
                    (request.device, rest) not in self.owner
                    and not self._will_be_laid_out(request.device, rest)
                    for rest in range(page, last + 1)
                )
                self.charges.refused[self._key(request)] += absent * PAGE_BYTES
                if request.op == WRITE:
                    self.fails(request, page, now)
                return None
            until = self.throttled_until(request, now)
            if until is not None:
                return until
        return None

    def _charge(self, request: Request, page: int, now: int) -> tuple[int, int | None]:
        """Charge one new page and the nodes that it needs."""
        if self.setup.fs_pages != NO_LIMIT and self.fs_used >= self.setup.fs_pages:
            return self.setup.enospc_errno, None
        payer = request.memory_payer
        tree = self.trees[request.device]
        pages = 1 + self.kernel_pages(payer, NODE_BYTES * len(tree.missing(page)))
        error, until = self.charge(request, pages, now)
        if not error and until is None:
            self._put(request.device, page, payer)
            self.charges.charged[self._key(request)] += PAGE_BYTES
        return error, until

    def _charge_huge(self, request: Request, page: int, last: int, now: int) -> bool:
        """Charge the largest page around a new one that may be; True if it is there.

        It is tried once, without reclaim: what does not fit a limit or the file system
        comes in small ones.
        """
        order = self._order(request.device, page, last)
        n_pages = 1 << order
        if not order or (
            self.setup.fs_pages != NO_LIMIT
            and self.fs_used + n_pages > self.setup.fs_pages
        ):
            return False
        first = page >> order << order
        payer, tree = request.memory_payer, self.trees[request.device]
        nodes = len(tree.missing(first, order))
        pages = n_pages + self.kernel_pages(payer, NODE_BYTES * nodes)
        error, _ = self.charge(request, pages, now, reclaims=False)
        if error:
            return False
        self._put(request.device, first, payer, order)
        self.charges.charged[self._key(request)] += n_pages * PAGE_BYTES
        return True

    def _order(self, device: int, page: int, last: int) -> int:
        """Return what power of two of pages a new page may come in, 0 for itself."""
        setup = self.setup
        if setup.huge == Huge.NEVER:
            return 0
        most, least = LARGEST_ORDER, 1
        if setup.huge_orders == HugeOrders.LARGEST:
            least = LARGEST_ORDER
        elif setup.huge_orders == HugeOrders.WRITE:
            # a write call is a page long where the driver makes one for each
            length = 1 if setup.lock_per_page else last - page + 1
            most = min(LARGEST_ORDER, length.bit_length() - 1)
            while page & (1 << most) - 1:
                most -= 1
        for order in range(most, least - 1, -1):
            first = page >> order << order
            end = first + (1 << order)
            inside = setup.huge == Huge.ALWAYS or setup.file_pages == NO_LIMIT
            if not inside and end > max(setup.file_pages, last + 1):
                continue
            if not any((device, one) in self.owner for one in range(first, end)):
                return order
        return 0

    def _put(self, device: int, page: int, payer: int, order: int = 0) -> None:
        tree = self.trees[device]
        nodes = len(tree.missing(page, order))
        tree.insert(page, payer, order)
        for one in range(page, page + (1 << order)):
            self.owner[device, one] = payer
        self.fs_used += 1 << order
        self.groups[payer].shmem += 1 << order
        self.groups[payer].kernel_bytes += nodes * NODE_BYTES

    def _free(self, request: Request) -> None:
        for page in covered_pages(request):
            self._lay_out(request.device, page)
            owner = self.owner.pop((request.device, page), None)
            if owner is None:
                continue
            self.fs_used -= 1
            self.groups[owner].shmem -= 1
            self.count(owner, -1)
            key = (request.device, request.issuer, owner)
            self.charges.uncharged[key] += PAGE_BYTES
            for payer in self.trees[request.device].remove(page):
                self.count(payer, self.kernel_pages(payer, -NODE_BYTES))
                self.groups[payer].kernel_bytes -= NODE_BYTES

    def _will_be_laid_out(self, device: int, page: int) -> bool:
        region = (device, page >> REGION_SHIFT)
        return self.setup.laid_out_by >= 0 and region not in self.regions

    def _lay_out(self, device: int, page: int) -> None:
        """Give the pages of a file laid out before the trace to their owner.

        How long the file is the trace does not say: they count from the first time the
        trace touches their 2 MiB.
        """
        if not self._will_be_laid_out(device, page):
            return
        region = page >> REGION_SHIFT
        self.regions.add((device, region))
        owner = self.setup.laid_out_by
        for one in range(region << REGION_SHIFT, (region + 1) << REGION_SHIFT):
            nodes = len(self.trees[device].missing(one))
            self.count(owner, 1 + self.kernel_pages(owner, nodes * NODE_BYTES))
            self._put(device, one, owner)

    @staticmethod
    def _key(request: Request) -> tuple[int, int, int]:
        return request.device, request.issuer, request.memory_payer


def page_range(request: Request) -> tuple[int, int]:
    """Return the first and the last page that a request touches."""
    start = request.sector * 512
    return start // PAGE_BYTES, (start + request.nbytes - 1) // PAGE_BYTES
