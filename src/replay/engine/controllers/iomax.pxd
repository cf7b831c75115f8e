"""``io.max``: slices of bytes and I/Os, in jiffies.

Source: block/blk-throttle.c, v6.1: blk_throtl_bio(), tg_may_dispatch(),
throtl_trim_slice(), throtl_dispatch_tg(), throtl_pop_queued(); v5.10:
blk_throtl_charge_bio_split(); v7.3: tg_within_limit(), tg_dispatch_time(),
throtl_qnode_add_bio(), throtl_trim_slice(). See reference/controllers/iomax.py.
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
    # the queues of a source
    WAITS_IOS = 0
    WAITS_BYTES = 1
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


cdef inline void slice_move(
    const Sim *sim, IomaxDirection *one, int64_t jiffies
) noexcept nogil:
    """Begin a slice where the last is over, else let it last for one from now."""
    cdef int64_t slice_jiffies = sim.set.hz // 10
    if not one.start <= jiffies <= one.end and one.first == 0:
        one.bytes = one.ios = one.late = 0
        one.start = jiffies
        one.end = jiffies + slice_jiffies
    slice_look(sim, one, jiffies)
    if one.end < jiffies + slice_jiffies:
        one.end = one.next_end


cdef inline int64_t bytes_step(
    const Sim *sim, IomaxDirection *one, const Request *request, int64_t jiffies
) noexcept nogil:
    """Return the wait for bytes, 0 if they count already."""
    cdef int64_t wait
    if one.bps == NO_LIMIT or request.next_page > 0 or request.bytes_paid:
        return 0
    slice_move(sim, one, jiffies)
    wait = bytes_wait(sim, one, request, jiffies)
    if one.end < jiffies + wait:
        one.end = round_to_slice(sim, jiffies + wait)
    return wait


cdef inline int64_t ios_step(
    const Sim *sim, IomaxDirection *one, const Request *request, int64_t jiffies
) noexcept nogil:
    """Return the wait for an I/O, for who waits for no bytes any more."""
    cdef int64_t wait
    if one.iops == NO_LIMIT:
        return 0
    slice_move(sim, one, jiffies)
    wait = ios_wait(sim, one, request, jiffies)
    if one.end < jiffies + wait:
        one.end = round_to_slice(sim, jiffies + wait)
    return wait


cdef inline void bytes_pay(IomaxDirection *one, Request *request) noexcept nogil:
    """Count the bytes of a bio, once."""
    if not request.bytes_paid and request.next_page == 0:
        request.bytes_paid = True
        one.bytes += size_of(request)


cdef inline int64_t iomax_wait(
    const Sim *sim, IomaxDirection *one, Request *request, int64_t jiffies
) noexcept nogil:
    """Return in how many jiffies a bio may go, 0 for now; moves the slice."""
    cdef int64_t wait
    if sim.set.iomax_two_queues:
        wait = bytes_step(sim, one, request, jiffies)
        if wait > 0:
            return wait
        bytes_pay(one, request)
        return ios_step(sim, one, request, jiffies)
    if one.bps == NO_LIMIT and one.iops == NO_LIMIT:
        return 0
    slice_move(sim, one, jiffies)
    if one.iops != NO_LIMIT:
        one.ios += one.late
        one.late = 0
    wait = max(
        bytes_wait(sim, one, request, jiffies), ios_wait(sim, one, request, jiffies)
    )
    if wait > 0 and one.end < jiffies + wait:
        one.end = round_to_slice(sim, jiffies + wait)
    return wait


cdef inline bint is_within(
    const Sim *sim, IomaxDirection *one, Request *request, int64_t jiffies
) noexcept nogil:
    """Return True if a new bio may go on at once.

    From 6.16 on the bytes of one that comes behind others count as soon as nobody waits
    for bytes any more, and what is left of a split one waits for I/Os alone.
    """
    if not sim.set.iomax_two_queues:
        return one.first == 0 and iomax_wait(sim, one, request, jiffies) == 0
    if request.next_page > 0:
        return one.n_ios == 0 and iomax_wait(sim, one, request, jiffies) == 0
    if one.first == 0:
        return iomax_wait(sim, one, request, jiffies) == 0
    if one.n_bytes == 0 and bytes_step(sim, one, request, jiffies) == 0:
        bytes_pay(one, request)
    return False


cdef inline void iomax_charge(
    IomaxDirection *one, Request *request
) noexcept nogil:
    """Count a bio that goes."""
    if not request.bytes_paid:
        one.bytes += size_of(request)
    request.bytes_paid = False
    one.ios += ios_of(one, request)


cdef inline void iomax_charge_late(
    Sim *sim, int32_t index, int rw, int64_t n_parts
) noexcept nogil:
    """Count parts of a split bio, in every group on the way up, when next asked."""
    while index >= 0:
        sim.iomax[index].directions[rw].late += n_parts
        index = sim.iomax[index].parent


cdef inline int64_t left_of(int64_t count, int64_t trim) noexcept nogil:
    """Return what is left of a count when what was allowed is forgotten."""
    return count - trim if 0 < trim <= count else 0


cdef inline void trim_but_one(
    const Sim *sim, IomaxDirection *one, int64_t over
) noexcept nogil:
    """Forget slices that are over but the last, from the second on (6.15)."""
    cdef int64_t slice_jiffies = sim.set.hz // 10
    cdef int64_t before = one.bytes + one.ios
    if over < 2 * slice_jiffies:
        return
    over -= slice_jiffies
    if one.bps != NO_LIMIT:
        one.bytes = left_of(one.bytes, share_of(one.bps, over, sim.set.hz))
    if one.iops != NO_LIMIT:
        one.ios = left_of(one.ios, share_of(one.iops, over, sim.set.hz))
    if one.bytes + one.ios != before:
        one.start += over


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
    if sim.set.iomax_keeps_slice:
        trim_but_one(sim, one, over)
        return
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
    cdef Request *request = request_at(sim, slot)
    cdef int which = WAITS_BYTES
    cdef bint was_empty = node.head[0] == 0 and node.head[1] == 0
    if sim.set.iomax_two_queues and (request.bytes_paid or request.next_page > 0):
        which = WAITS_IOS
        one.n_ios += 1
    else:
        one.n_bytes += 1
    request.next = 0
    if node.tail[which] != 0:
        request_at(sim, node.tail[which]).next = slot
    else:
        node.head[which] = slot
    node.tail[which] = slot
    if was_empty:
        node.next = 0
        if one.last != 0:
            sim.queue_nodes[one.last].next = node_index
        else:
            one.first = node_index
        one.last = node_index


cdef inline uint32_t node_pop(Sim *sim, IomaxDirection *one) noexcept nogil:
    """Take the bio whose turn it is; its source goes to the end."""
    cdef uint32_t index = one.first
    cdef QueueNode *node = &sim.queue_nodes[index]
    cdef int which = WAITS_IOS if node.head[WAITS_IOS] != 0 else WAITS_BYTES
    cdef uint32_t slot = node.head[which]
    node.head[which] = request_at(sim, slot).next
    request_prefetch(sim, node.head[which])
    if which == WAITS_IOS:
        one.n_ios -= 1
    else:
        one.n_bytes -= 1
    if node.head[which] == 0:
        node.tail[which] = 0
    one.first = node.next
    if one.first == 0:
        one.last = 0
    node.next = 0
    if node.head[0] == 0 and node.head[1] == 0:
        return slot
    if one.last != 0:
        sim.queue_nodes[one.last].next = index
    else:
        one.first = index
    one.last = index
    return slot


cdef inline uint32_t node_first(const Sim *sim, const IomaxDirection *one) noexcept nogil:
    """Return the bio whose turn it is, where one waits."""
    cdef const QueueNode *node = &sim.queue_nodes[one.first]
    return node.head[WAITS_IOS] if node.head[WAITS_IOS] != 0 else node.head[WAITS_BYTES]


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
        wait = iomax_wait(sim, one, request_at(sim, node_first(sim, one)), jiffies)
        if limit.dispatch_at < 0 or jiffies + wait < limit.dispatch_at:
            limit.dispatch_at = jiffies + wait
    if limit.dispatch_at >= 0:
        at = max(now, time_of_jiffy(sim, limit.dispatch_at))
        push(sim, at, EVENT_IOMAX, index, limit.version)


cdef inline bint iomax_enter(
    Sim *sim, uint32_t slot, int32_t index, int64_t now
) noexcept nogil:
    """Pass a bio through the limits from one up and return True, or queue it."""
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
        if not is_within(sim, one, request, jiffies):
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
            if was_empty or (
                sim.set.iomax_two_queues
                and request.next_page > 0
                and node_first(sim, one) == slot
            ):
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
                    request_at(sim, node_first(sim, one)),
                    jiffies,
                ) == 0:
                    pass_on(sim, index, rw, jiffies, now)
                    left -= 1
            iomax_update(sim, index, jiffies, now)
        index = limit.parent
