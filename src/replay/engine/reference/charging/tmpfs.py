"""Page owners of backing files on tmpfs.

Sources: mm/shmem.c:shmem_get_folio_gfp(), shmem_fallocate(), lib/xarray.c, v6.1.
"""

from replay.engine.reference.charging.charge import Charging
from replay.engine.reference.charging.page_cache import (
    NODE_BYTES,
    PageCache,
    covered_pages,
)
from replay.engine.reference.pages.tree import PageTree
from replay.engine.reference.state.requests import Request
from replay.engine.setup import NO_LIMIT, PAGE_BYTES, Setup
from replay.trace.file.schema import OP_CODES

WRITE = OP_CODES["write"]
FREES = (OP_CODES["discard"], OP_CODES["write_zeroes"])

#: Pages of a file laid out before the trace are counted by regions of 2 MiB.
REGION_SHIFT = 9


class Memory(Charging):
    """Who owns which page of the backing files, and what that costs whom."""

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
        if request.op == WRITE:
            return self._write(request, now)
        if request.op in FREES:
            self._free(request)
        return None

    def _write(self, request: Request, now: int) -> int | None:
        first, last = page_range(request)
        for page in range(max(first, request.next_page), last + 1):
            request.next_page = page
            self._lay_out(request.device, page)
            if (request.device, page) in self.owner:
                continue
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

    def _put(self, device: int, page: int, payer: int) -> None:
        tree = self.trees[device]
        nodes = len(tree.missing(page))
        tree.insert(page, payer)
        self.owner[device, page] = payer
        self.fs_used += 1
        self.groups[payer].shmem += 1
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
