"""Reads and writes that are longer than what the device below takes at once.

What a worker submits with direct I/O is one bio, however many were merged to its
request; the device's queue cuts parts of ``max_sectors`` off. What is left goes through
``io.max`` and ``io.stat`` once more: as an I/O, its bytes being paid for.

Sources: block/blk-merge.c:__bio_split_to_limits(), get_max_io_size(),
block/blk-throttle.c:tg_within_bps_limit(), throtl_charge_bio(),
block/blk-cgroup.c:blk_cgroup_bio_start(), drivers/block/loop.c:lo_rw_aio(), v6.1.
"""

from replay.engine.reference.state.requests import Request
from replay.engine.setup import Policy, Setup
from replay.trace.file.schema import OP_CODES

READ, WRITE = OP_CODES["read"], OP_CODES["write"]
SECTOR, PAGE_SECTORS = 512, 8


def parts_of(nbytes: int, max_sectors: int) -> int:
    """Return in how many parts a device takes so many bytes, at least 1."""
    return max(1, -(-nbytes // (max_sectors * SECTOR)))


def first_ios(setup: Setup, request: Request) -> int:
    """Return the bios of a request before the device below splits any.

    A bio-based device passes on what it got; where no bio was seen there was one.
    """
    if setup.policy == Policy.PASS_THROUGH:
        return max(1, request.n_bios)
    return 1


def extra_ios(setup: Setup, request: Request) -> int:
    """Return the passes of what is left of a request, beyond its first."""
    if request.op not in (READ, WRITE):
        return 0
    parts = parts_of(request.nbytes, setup.max_sectors)
    return max(0, parts - first_ios(setup, request))


def ios_below(setup: Setup, request: Request) -> int:
    """Return the I/Os that ``io.stat`` of the device below counts for a request."""
    if request.op in (READ, WRITE) and setup.policy != Policy.PASS_THROUGH:
        return 1 + extra_ios(setup, request)
    return request.n_bios + extra_ios(setup, request)


def begins_part(length: int, max_sectors: int) -> bool:
    """Return True if a run's page of this number, from 1, begins a part of it."""
    return (length * PAGE_SECTORS - 1) % max_sectors < PAGE_SECTORS
