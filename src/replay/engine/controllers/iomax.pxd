"""``io.max``: slices of bytes and I/Os, in jiffies.

Source: block/blk-throttle.c, v6.1: blk_throtl_bio(), tg_may_dispatch(),
throtl_trim_slice(), throtl_dispatch_tg(), throtl_pop_queued().
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

from replay.engine.counting.waits cimport wait_add
from replay.engine.queues.server cimport request_prefetch
from replay.engine.state.events cimport push
from replay.engine.state.iomax cimport IomaxGroup, IomaxDirection, QueueNode
from replay.engine.state.jiffies cimport jiffies_now, share_of, time_of_jiffy
from replay.engine.state.requests cimport request_at
from replay.engine.state.sim cimport (
    EVENT_IOMAX,
    OP_DISCARD,
    OP_READ,
    RESOURCE_THROTTLE,
    Request,
    Sim,
)

cdef enum:
    # a group's turn: so many reads, then so many writes
    TURN_READS = 6
    TURN_WRITES = 2
    DISCARD_BYTES = 512
    NO_LIMIT = -1


cdef inline int64_t round_to_slice(const Sim *sim, int64_t jiffies) noexcept nogil:
    """Round up to whole slices, on the absolute count."""
    cdef int64_t slice_jiffies = sim.set.hz // 10
    return (jiffies + slice_jiffies - 1) // slice_jiffies * slice_jiffies


cdef inline int direction_of(const Request *request) noexcept nogil:
    """Return 0 for a read, 1 for all else."""
    return request.op != OP_READ


cdef inline int64_t size_of(const Request *request) noexcept nogil:
    """Return the bytes a bio counts for; a discard is one sector.

    What is left of a split one (see controllers/splits.pxd) is paid.
    """
    if request.next_page > 0:
        return 0
    return DISCARD_BYTES if request.op == OP_DISCARD else request.nbytes


cdef inline void slice_look(
    const Sim *sim, IomaxDirection *one, int64_t jiffies
) noexcept nogil:
    """Work out what a slice allows by now, unless that is known."""
    cdef int64_t slice_jiffies = sim.set.hz // 10
    cdef int64_t elapsed = jiffies - one.start
    if one.at == jiffies and one.at_start == one.start:
        return
    one.at = jiffies
    one.at_start = one.start
    one.bytes_jiffies = round_to_slice(sim, elapsed if elapsed else slice_jiffies)
    one.ios_jiffies = round_to_slice(sim, elapsed + 1)
    one.over_jiffies = elapsed // slice_jiffies * slice_jiffies
    one.next_end = round_to_slice(sim, jiffies + slice_jiffies)
    if one.bps != NO_LIMIT:
        one.bytes_allowed = share_of(one.bps, one.bytes_jiffies, sim.set.hz)
    if one.iops != NO_LIMIT:
        one.ios_allowed = share_of(one.iops, one.ios_jiffies, sim.set.hz)


cdef inline int64_t bytes_wait(
    const Sim *sim, const IomaxDirection *one, const Request *request, int64_t jiffies
) noexcept nogil:
    """Return the wait that the byte limit demands, in jiffies."""
    cdef int64_t extra
    if one.bps == NO_LIMIT or request.next_page > 0:
        return 0
    extra = one.bytes + size_of(request) - one.bytes_allowed
    if extra <= 0:
        return 0
    return (
        max(1, share_of(extra, sim.set.hz, one.bps))
        + one.bytes_jiffies
        - (jiffies - one.start)
    )


cdef inline int64_t ios_of(
    const IomaxDirection *one, const Request *request
) noexcept nogil:
    """Return the I/Os a request counts for."""
    if one.counts_bios and request.next_page == 0:
        return max(1, request.n_bios)
    return 1


cdef inline int64_t ios_wait(
    const Sim *sim, const IomaxDirection *one, const Request *request, int64_t jiffies
) noexcept nogil:
    """Return the wait that the limit of I/Os demands, in jiffies."""
    cdef int64_t wait
    if one.iops == NO_LIMIT or one.ios + ios_of(one, request) <= one.ios_allowed:
        return 0
    wait = one.ios_jiffies - (jiffies - one.start)
    return max(wait, sim.set.hz // one.iops + 1) if sim.set.waits_for_io else wait


cdef inline int64_t iomax_wait(
    const Sim *sim, IomaxDirection *one, const Request *request, int64_t jiffies
) noexcept nogil:
    """Return in how many jiffies a bio may go, 0 for now; moves the slice."""
    cdef int64_t wait
    cdef int64_t slice_jiffies = sim.set.hz // 10
    if one.bps == NO_LIMIT and one.iops == NO_LIMIT:
        return 0
    if not one.start <= jiffies <= one.end and one.first == 0:
        one.bytes = one.ios = 0
        one.start = jiffies
        one.end = jiffies + slice_jiffies
    slice_look(sim, one, jiffies)
    if one.end < jiffies + slice_jiffies:
        one.end = one.next_end
    wait = max(
        bytes_wait(sim, one, request, jiffies), ios_wait(sim, one, request, jiffies)
    )
    if wait > 0 and one.end < jiffies + wait:
        one.end = round_to_slice(sim, jiffies + wait)
    return wait


cdef inline void iomax_charge(
    IomaxDirection *one, const Request *request
) noexcept nogil:
    """Count a bio that goes."""
    one.bytes += size_of(request)
    one.ios += ios_of(one, request)


cdef inline void iomax_trim(
    const Sim *sim, IomaxDirection *one, int64_t jiffies
) noexcept nogil:
    """Forget whole slices that are over, and what was allowed in them."""
    cdef int64_t over, bytes_trim = 0, ios_trim = 0
    if not one.start <= jiffies <= one.end:
        return
    slice_look(sim, one, jiffies)
    one.end = one.next_end
    over = one.over_jiffies
    if over == 0:
        return
    if one.bps != NO_LIMIT:
        bytes_trim = share_of(one.bps, over, sim.set.hz)
    if one.iops != NO_LIMIT:
        ios_trim = share_of(one.iops, over, sim.set.hz)
    if bytes_trim == 0 and ios_trim == 0:
        return
    one.bytes = 0 if one.bps == NO_LIMIT else max(0, one.bytes - bytes_trim)
    one.ios = 0 if one.iops == NO_LIMIT else max(0, one.ios - ios_trim)
    one.start += over


cdef inline void node_append(
    Sim *sim, IomaxDirection *one, uint32_t node_index, uint32_t slot
) noexcept nogil:
    """Append a bio to the queue of its source; a queue that was empty is the last."""
    cdef QueueNode *node = &sim.queue_nodes[node_index]
    request_at(sim, slot).next = 0
    if node.tail != 0:
        request_at(sim, node.tail).next = slot
    else:
        node.head = slot
        node.next = 0
        if one.last != 0:
            sim.queue_nodes[one.last].next = node_index
        else:
            one.first = node_index
        one.last = node_index
    node.tail = slot


cdef inline uint32_t node_pop(Sim *sim, IomaxDirection *one) noexcept nogil:
    """Take the bio whose turn it is; its source goes to the end."""
    cdef uint32_t index = one.first
    cdef QueueNode *node = &sim.queue_nodes[index]
    cdef uint32_t slot = node.head
    node.head = request_at(sim, slot).next
    request_prefetch(sim, node.head)
    one.first = node.next
    if one.first == 0:
        one.last = 0
    node.next = 0
    if node.head == 0:
        node.tail = 0
        return slot
    if one.last != 0:
        sim.queue_nodes[one.last].next = index
    else:
        one.first = index
    one.last = index
    return slot


cdef inline uint32_t node_of(int32_t limit, int rw, bint on_parent) noexcept nogil:
    """Return a group's queue, in itself or at the group above; 0 means none."""
    return <uint32_t> (limit * 4 + rw * 2 + on_parent + 1)


cdef inline void iomax_update(
    Sim *sim, int32_t index, int64_t jiffies, int64_t now
) noexcept nogil:
    """Find out when the next of a group's bios may go, and set its timer."""
    cdef IomaxGroup *limit = &sim.iomax[index]
    cdef IomaxDirection *one
    cdef int64_t wait, at
    cdef int rw
    limit.dispatch_at = -1
    limit.version += 1
    for rw in range(2):
        one = &limit.directions[rw]
        if one.first == 0:
            continue
        wait = iomax_wait(
            sim, one, request_at(sim, sim.queue_nodes[one.first].head), jiffies
        )
        if limit.dispatch_at < 0 or jiffies + wait < limit.dispatch_at:
            limit.dispatch_at = jiffies + wait
    if limit.dispatch_at >= 0:
        at = max(now, time_of_jiffy(sim, limit.dispatch_at))
        push(sim, at, EVENT_IOMAX, index, limit.version)


cdef inline bint iomax_enter(
    Sim *sim, uint32_t slot, int32_t index, int64_t now
) noexcept nogil:
    """Pass a bio through the limits from one up, or queue it; tell which."""
    cdef Request *request = request_at(sim, slot)
    cdef int64_t jiffies
    cdef int rw = direction_of(request)
    cdef int32_t below = -1
    cdef IomaxDirection *one
    cdef bint was_empty
    if index < 0:
        return True
    jiffies = jiffies_now(sim, now)
    while index >= 0:
        one = &sim.iomax[index].directions[rw]
        if one.first != 0 or iomax_wait(sim, one, request, jiffies) > 0:
            if sim.set.meta_debt and one.counts_bios and request.is_meta:
                # it passes, and what comes later pays
                iomax_charge(one, request)
                below = index
                index = sim.iomax[index].parent
                continue
            was_empty = one.first == 0
            request.throttled_from_ns = now
            if below < 0:
                node_append(sim, one, node_of(index, rw, False), slot)
            else:
                node_append(sim, one, node_of(below, rw, True), slot)
            if was_empty:
                iomax_update(sim, index, jiffies, now)
            return False
        iomax_charge(one, request)
        iomax_trim(sim, one, jiffies)
        below = index
        index = sim.iomax[index].parent
    return True


cdef inline void pass_on(
    Sim *sim, int32_t index, int rw, int64_t jiffies, int64_t now
) noexcept nogil:
    """Let one bio go to the group above, or out to the list of those that passed."""
    cdef IomaxGroup *limit = &sim.iomax[index]
    cdef IomaxDirection *one = &limit.directions[rw]
    cdef IomaxDirection *above
    cdef uint32_t slot = node_pop(sim, one)
    cdef Request *request = request_at(sim, slot)
    cdef bint was_empty
    wait_add(
        sim,
        request.issuer,
        limit.cgroup,
        RESOURCE_THROTTLE,
        now - request.throttled_from_ns,
        1,
    )
    request.throttled_from_ns = now
    iomax_charge(one, request)
    if limit.parent < 0:
        request.next = 0
        if sim.passed_last != 0:
            request_at(sim, sim.passed_last).next = slot
        else:
            sim.passed_first = slot
        sim.passed_last = slot
    else:
        above = &sim.iomax[limit.parent].directions[rw]
        was_empty = above.first == 0
        node_append(sim, above, node_of(index, rw, True), slot)
        if not above.start <= jiffies <= above.end:
            # the group above starts with the child's credit
            above.bytes = above.ios = 0
            above.start = max(above.start, one.start)
            above.end = jiffies + sim.set.hz // 10
        if was_empty:
            iomax_update(sim, limit.parent, jiffies, now)
    iomax_trim(sim, one, jiffies)


cdef inline void iomax_dispatch(Sim *sim, int32_t index, int64_t now) noexcept nogil:
    """Let a group's bios go that may, and those of the groups above."""
    cdef int64_t jiffies = jiffies_now(sim, now)
    cdef IomaxGroup *limit
    cdef IomaxDirection *one
    cdef int rw, left
    while index >= 0:
        limit = &sim.iomax[index]
        while 0 <= limit.dispatch_at <= jiffies:
            for rw in range(2):
                one = &limit.directions[rw]
                left = TURN_WRITES if rw else TURN_READS
                while left > 0 and one.first != 0 and iomax_wait(
                    sim,
                    one,
                    request_at(sim, sim.queue_nodes[one.first].head),
                    jiffies,
                ) == 0:
                    pass_on(sim, index, rw, jiffies, now)
                    left -= 1
            iomax_update(sim, index, jiffies, now)
        index = limit.parent
