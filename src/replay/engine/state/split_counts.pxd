"""In how many parts the device below takes what is longer than its largest request.

The rules stand in reference/state/split_counts.py. Sources: block/blk-merge.c:
__bio_split_to_limits(), get_max_io_size(), block/blk-cgroup.c:blk_cgroup_bio_start(),
drivers/block/loop.c:lo_rw_aio(), v6.1.
"""

from libc.stdint cimport int64_t

from replay.engine.state.sim cimport OP_READ, OP_WRITE, Request, Sim

cdef enum:
    PAGE_SECTORS = 8


cdef inline int64_t extra_ios(const Sim *sim, const Request *request) noexcept nogil:
    """Return the passes of what is left of a request, beyond its first."""
    cdef int64_t parts, first = 1
    if request.nbytes <= sim.set.max_bytes or not (
        request.op == OP_READ or request.op == OP_WRITE
    ):
        return 0
    parts = (request.nbytes + sim.set.max_bytes - 1) // sim.set.max_bytes
    if sim.set.pass_through:
        first = max(1, request.n_bios)
    return max(0, parts - first)


cdef inline int64_t ios_below(const Sim *sim, const Request *request) noexcept nogil:
    """Return the I/Os that ``io.stat`` of the device below counts for a request."""
    cdef int64_t ios = request.n_bios
    if not sim.set.pass_through and (request.op == OP_READ or request.op == OP_WRITE):
        ios = 1
    return ios + extra_ios(sim, request)


cdef inline bint begins_part(int64_t max_sectors, int64_t length) noexcept nogil:
    """Return True if a run's page of this number, from 1, begins a part of it."""
    return (length * PAGE_SECTORS - 1) % max_sectors < PAGE_SECTORS
