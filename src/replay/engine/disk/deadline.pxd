"""mq-deadline: batches of one direction by sector, reads first. See reference/disk/deadline.py.

Sources: block/mq-deadline.c:__dd_dispatch_request(), deadline_next_request(),
deadline_check_fifo(), v6.12.

The tree by sector is a treap: ordered by sector, a heap by a rank that is drawn from
the order of arrival, so that its depth is that of a random tree.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from replay.engine.state.disk cimport Disk, Place, Side
from replay.engine.state.requests cimport request_at
from replay.engine.state.sim cimport OP_READ, Sim
from replay.engine.structures.arena cimport arena_add

cdef enum:
    # block/mq-deadline.c: fifo_batch, writes_starved
    FIFO_BATCH = 16
    WRITES_STARVED = 2
    READ_SIDE = 0
    WRITE_SIDE = 1


cdef inline int64_t side_expire_ns(unsigned int side) noexcept nogil:
    """Return how long a request may wait: read_expire, write_expire."""
    return <int64_t> 500_000_000 if side == READ_SIDE else <int64_t> 5_000_000_000


cdef inline Place *place_at(const Sim *sim, uint32_t slot) noexcept nogil:
    """Return a request's place in the scheduler; if memory ran out, a scratch."""
    return (<Place *> sim.places.data) + (slot if slot < sim.places.length else 0)


cdef inline bint lies_before(
    const Sim *sim, uint32_t one, uint32_t other
) noexcept nogil:
    """Compare two requests by sector, then by when they were put in."""
    cdef uint64_t a = request_at(sim, one).sector
    cdef uint64_t b = request_at(sim, other).sector
    if a != b:
        return a < b
    return place_at(sim, one).stamp < place_at(sim, other).stamp


cdef inline void tree_add(Sim *sim, Side *side, uint32_t slot) noexcept nogil:
    """Add a request to the tree by sector."""
    cdef Place *place = place_at(sim, slot)
    cdef uint32_t *at = &side.root
    cdef uint32_t *lower = &place.low
    cdef uint32_t *higher = &place.high
    cdef uint32_t node
    while at[0] != 0 and place_at(sim, at[0]).rank > place.rank:
        if lies_before(sim, slot, at[0]):
            at = &place_at(sim, at[0]).low
        else:
            at = &place_at(sim, at[0]).high
    # what lay below is split into what lies before it and what does not
    node = at[0]
    at[0] = slot
    while node != 0:
        if lies_before(sim, node, slot):
            lower[0] = node
            lower = &place_at(sim, node).high
            node = lower[0]
        else:
            higher[0] = node
            higher = &place_at(sim, node).low
            node = higher[0]
    lower[0] = higher[0] = 0


cdef inline void tree_remove(Sim *sim, Side *side, uint32_t slot) noexcept nogil:
    """Take a request out of the tree: what lay below it is merged."""
    cdef uint32_t *at = &side.root
    cdef uint32_t low = place_at(sim, slot).low
    cdef uint32_t high = place_at(sim, slot).high
    while at[0] != slot and at[0] != 0:
        if lies_before(sim, slot, at[0]):
            at = &place_at(sim, at[0]).low
        else:
            at = &place_at(sim, at[0]).high
    while low != 0 and high != 0:
        if place_at(sim, low).rank > place_at(sim, high).rank:
            at[0] = low
            at = &place_at(sim, low).high
            low = at[0]
        else:
            at[0] = high
            at = &place_at(sim, high).low
            high = at[0]
    at[0] = low if low != 0 else high


cdef inline uint32_t tree_from(
    const Sim *sim, const Side *side, uint64_t sector
) noexcept nogil:
    """Return the first request at a sector or behind it, 0 if there is none."""
    cdef uint32_t node = side.root
    cdef uint32_t found = 0
    while node != 0:
        if request_at(sim, node).sector >= sector:
            found = node
            node = place_at(sim, node).low
        else:
            node = place_at(sim, node).high
    return found


cdef inline void deadline_add(
    Sim *sim, Disk *disk, uint32_t slot, int64_t now
) noexcept nogil:
    """Let a request wait in its direction."""
    cdef unsigned int number = (
        READ_SIDE if request_at(sim, slot).op == OP_READ else WRITE_SIDE
    )
    cdef Side *side = &disk.sides[number]
    cdef Place *place
    while sim.places.length <= slot and not sim.places.failed.no_memory:
        arena_add(&sim.places)
    place = place_at(sim, slot)
    disk.stamps += 1
    place.stamp = disk.stamps
    place.rank = <uint32_t> (disk.stamps * 0x9E3779B97F4A7C15ULL >> 32)
    place.expires_ns = now + side_expire_ns(number)
    place.before = side.last
    place.behind = 0
    if side.last != 0:
        place_at(sim, side.last).behind = slot
    else:
        side.first = slot
    side.last = slot
    tree_add(sim, side, slot)


cdef inline uint32_t deadline_take(
    Sim *sim, Disk *disk, unsigned int number, uint32_t slot
) noexcept nogil:
    """Take a request out; return it."""
    cdef Side *side = &disk.sides[number]
    cdef const Place *place = place_at(sim, slot)
    if place.before != 0:
        place_at(sim, place.before).behind = place.behind
    else:
        side.first = place.behind
    if place.behind != 0:
        place_at(sim, place.behind).before = place.before
    else:
        side.last = place.before
    tree_remove(sim, side, slot)
    side.sector = request_at(sim, slot).sector
    disk.side = <uint8_t> number
    disk.batched += 1
    return slot


cdef inline uint32_t deadline_pick(Sim *sim, Disk *disk, int64_t now) noexcept nogil:
    """Take out the request that is to be issued next; 0 if none waits."""
    cdef unsigned int number = disk.side
    cdef Side *side = &disk.sides[number]
    cdef uint32_t following = tree_from(sim, side, side.sector)
    if following != 0 and disk.batched < FIFO_BATCH:
        return deadline_take(sim, disk, number, following)
    if disk.sides[READ_SIDE].first != 0:
        number = READ_SIDE
        if disk.sides[WRITE_SIDE].first != 0:
            if disk.starved >= WRITES_STARVED:
                number = WRITE_SIDE
            disk.starved += 1
    elif disk.sides[WRITE_SIDE].first != 0:
        number = WRITE_SIDE
    else:
        return 0
    if number == WRITE_SIDE:
        disk.starved = 0
    side = &disk.sides[number]
    following = tree_from(sim, side, side.sector)
    if following == 0 or place_at(sim, side.first).expires_ns <= now:
        following = side.first
    disk.batched = 0
    return deadline_take(sim, disk, number, following)
