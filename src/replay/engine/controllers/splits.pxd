"""The rest of a split request passes ``io.max`` below again, as an I/O.

Its bytes are paid, so that limits of I/Os alone hold it. Sources: block/blk-throttle.h:
blk_should_throtl(), block/blk-throttle.c:tg_within_bps_limit(), throtl_charge_bio(),
v6.1.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from replay.engine.controllers.iomax cimport (
    direction_of,
    iomax_charge_late,
    iomax_enter,
)
from replay.engine.state.requests cimport request_at
from replay.engine.state.sim cimport Request, Sim
from replay.engine.state.split_counts cimport extra_ios


cdef inline bint limits_ios(const Sim *sim, int32_t index, int rw) noexcept nogil:
    """Return True if any limit from one up is of I/Os."""
    while index >= 0:
        if sim.iomax[index].directions[rw].iops >= 0:
            return True
        index = sim.iomax[index].parent
    return False


cdef inline bint rest_passes(
    Sim *sim, uint32_t slot, int32_t index, int64_t now
) noexcept nogil:
    """Pass the rest of a request through ``io.max`` again; return True if it passes.

    Of direct I/O `next_page` is how often it passed: no page of it is touched.
    """
    cdef Request *request = request_at(sim, slot)
    if sim.set.iomax_splits_late:
        # nothing holds what is left: it counts later
        request.next_page = 1 + <uint64_t> extra_ios(sim, request)
        iomax_charge_late(
            sim, index, direction_of(request), <int64_t> request.next_page - 1
        )
        return True
    while True:
        request.next_page += 1
        if (
            request.nbytes <= sim.set.max_bytes
            or <int64_t> request.next_page > extra_ios(sim, request)
            or not limits_ios(sim, index, direction_of(request))
        ):
            return True
        if not iomax_enter(sim, slot, index, now):
            return False
