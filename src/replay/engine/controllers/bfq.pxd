"""A disk that runs bfq, by its weights alone. The rules stand in reference/controllers/bfq.py.

Sources: block/bfq-wf2q.c:bfq_calc_finish(), __bfq_activate_entity(),
__bfq_requeue_entity(), bfq_calc_vtime_jump(), bfq_first_active_entity(),
bfq_bfqq_served(), bfq_ioprio_to_weight(), v6.1; block/bfq-iosched.c:
bfq_serv_to_charge(), v6.1.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine.queues.server cimport server_charge, waits_from, waits_no_more
from replay.engine.state.bfq cimport BFQ_SHIFT, BfqDisk, BfqEntity, BfqGroup
from replay.engine.state.queues cimport Server
from replay.engine.state.requests cimport request_at
from replay.engine.state.sim cimport Request, Sim


cdef inline bint is_before(uint64_t a, uint64_t b) noexcept nogil:
    """Compare virtual times, which wrap."""
    return <int64_t> (a - b) < 0


cdef inline int64_t sectors_of(const Request *request) noexcept nogil:
    """Return what a request is counted for."""
    return (<int64_t> request.nbytes + 511) >> 9


cdef inline uint32_t own_of(uint32_t cgroup) noexcept nogil:
    """Return the entity of a cgroup's own requests."""
    return 2 * cgroup


cdef inline uint32_t group_of(uint32_t cgroup) noexcept nogil:
    """Return the entity that a cgroup is at its parent."""
    return 2 * cgroup + 1


# -- two heaps in one piece -----------------------------------------------------------


cdef inline uint32_t *place_at(
    BfqDisk *disk, const BfqGroup *group, bint started, uint32_t i
) noexcept nogil:
    """Return a place of one of a cgroup's heaps."""
    if started:
        return disk.heap + group.first + i
    return disk.heap + group.first + group.size - 1 - i


cdef inline bint comes_first(
    const BfqDisk *disk, bint started, uint32_t a, uint32_t b
) noexcept nogil:
    """Compare two entities by finish or start, then by when they were put in."""
    cdef const BfqEntity *one = &disk.entities[a]
    cdef const BfqEntity *other = &disk.entities[b]
    cdef uint64_t mine = one.finish if started else one.start
    cdef uint64_t its = other.finish if started else other.start
    return is_before(mine, its) or (mine == its and one.stamp < other.stamp)


cdef inline void bfq_push(
    BfqDisk *disk, BfqGroup *group, bint started, uint32_t entity
) noexcept nogil:
    """Add an entity to one of a cgroup's heaps."""
    cdef uint32_t i = group.n_started if started else group.n_others
    cdef uint32_t *above
    if started:
        group.n_started += 1
    else:
        group.n_others += 1
    while i > 0:
        above = place_at(disk, group, started, (i - 1) // 2)
        if not comes_first(disk, started, entity, above[0]):
            break
        place_at(disk, group, started, i)[0] = above[0]
        i = (i - 1) // 2
    place_at(disk, group, started, i)[0] = entity


cdef inline uint32_t bfq_pop(
    BfqDisk *disk, BfqGroup *group, bint started
) noexcept nogil:
    """Take the first entity out of one of a cgroup's heaps."""
    cdef uint32_t first = place_at(disk, group, started, 0)[0]
    cdef uint32_t n, last, child
    cdef uint32_t i = 0
    if started:
        group.n_started -= 1
        n = group.n_started
    else:
        group.n_others -= 1
        n = group.n_others
    last = place_at(disk, group, started, n)[0]
    while 2 * i + 1 < n:
        child = 2 * i + 1
        if child + 1 < n and comes_first(
            disk,
            started,
            place_at(disk, group, started, child + 1)[0],
            place_at(disk, group, started, child)[0],
        ):
            child += 1
        if not comes_first(disk, started, place_at(disk, group, started, child)[0], last):
            break
        place_at(disk, group, started, i)[0] = place_at(disk, group, started, child)[0]
        i = child
    place_at(disk, group, started, i)[0] = last
    return first


# -- virtual time ---------------------------------------------------------------------


cdef inline void bfq_put(
    BfqDisk *disk, BfqGroup *group, uint32_t index, int64_t sectors
) noexcept nogil:
    """Put an entity in whose start is known."""
    cdef BfqEntity *entity = &disk.entities[index]
    entity.budget = sectors
    entity.finish = entity.start + (<uint64_t> sectors << BFQ_SHIFT) // entity.weight
    disk.stamps += 1
    entity.stamp = disk.stamps
    bfq_push(disk, group, not is_before(group.vtime, entity.start), index)


cdef inline void bfq_add(BfqDisk *disk, Sim *sim, uint32_t slot) noexcept nogil:
    """Let a request wait at its cgroup, and the cgroup at those above."""
    cdef Request *request = request_at(sim, slot)
    cdef uint32_t at = request.io_payer
    cdef BfqGroup *group = &disk.groups[at]
    cdef uint32_t index = own_of(at)
    cdef BfqEntity *entity = &disk.entities[index]
    request.next = 0
    if group.tail != 0:
        request_at(sim, group.tail).next = slot
    else:
        group.head = slot
    group.tail = slot
    while not entity.waits:
        entity.waits = True
        entity.start = entity.finish
        if is_before(entity.finish, group.vtime):
            entity.start = group.vtime
        group.weights += entity.weight
        bfq_put(disk, group, index, sectors_of(request))
        if at == 0:
            return
        index = group_of(at)
        at = <uint32_t> group.parent
        group = &disk.groups[at]
        entity = &disk.entities[index]


cdef inline uint32_t bfq_select(BfqDisk *disk, BfqGroup *group) noexcept nogil:
    """Return whose turn it is at a cgroup; time jumps to who starts first."""
    cdef uint32_t index
    if group.n_started == 0:
        index = place_at(disk, group, False, 0)[0]
        if is_before(group.vtime, disk.entities[index].start):
            group.vtime = disk.entities[index].start
    while group.n_others > 0:
        index = place_at(disk, group, False, 0)[0]
        if is_before(group.vtime, disk.entities[index].start):
            break
        bfq_push(disk, group, True, bfq_pop(disk, group, False))
    return place_at(disk, group, True, 0)[0]


cdef inline void bfq_serve(
    BfqDisk *disk, BfqGroup *group, int64_t sectors, int64_t left
) noexcept nogil:
    """Count sectors for whose turn it was and for all there; what is left waits on.

    ``left`` is what it has served next, -1 for nothing.
    """
    cdef uint32_t index = bfq_pop(disk, group, True)
    cdef BfqEntity *entity = &disk.entities[index]
    cdef uint64_t service = <uint64_t> sectors << BFQ_SHIFT
    group.vtime += service // <uint64_t> group.weights
    entity.start += service // entity.weight
    if left < 0:
        entity.waits = False
        entity.finish = entity.start
        group.weights -= entity.weight
        return
    bfq_put(disk, group, index, left)


cdef inline uint32_t bfq_pick(BfqDisk *disk, Sim *sim) noexcept nogil:
    """Take out the request whose turn it is, and count its sectors upwards."""
    cdef uint32_t at = 0
    cdef uint32_t slot
    cdef uint32_t index = bfq_select(disk, &disk.groups[0])
    cdef BfqGroup *group
    cdef int64_t sectors, left = -1
    while index != own_of(at):
        at = index // 2
        index = bfq_select(disk, &disk.groups[at])
    group = &disk.groups[at]
    slot = group.head
    sectors = sectors_of(request_at(sim, slot))
    group.head = request_at(sim, slot).next
    if group.head == 0:
        group.tail = 0
    else:
        left = sectors_of(request_at(sim, group.head))
    bfq_serve(disk, group, sectors, left)
    while at != 0:
        left = -1
        if group.weights > 0:
            left = disk.entities[bfq_select(disk, group)].budget
        at = <uint32_t> group.parent
        group = &disk.groups[at]
        bfq_serve(disk, group, sectors, left)
    return slot


# -- the places of the disk -----------------------------------------------------------


cdef inline bint bfq_enter(
    Sim *sim, unsigned int device, uint32_t slot, int64_t now
) noexcept nogil:
    """Take a place of the disk and return True, or wait for one."""
    cdef Server *server = &sim.devices[device].device
    cdef BfqDisk *disk = &sim.bfq[device]
    bfq_add(disk, sim, slot)
    if server.in_use < server.capacity:
        # nobody waits, so it is the request's own
        server.in_use += 1
        bfq_pick(disk, sim)
        return True
    waits_from(sim, server, slot, now)
    return False


cdef inline uint32_t bfq_leave(
    Sim *sim, unsigned int device, uint32_t issuer, int64_t now
) noexcept nogil:
    """Give a place back; return the slot that gets it, 0 if none waits."""
    cdef Server *server = &sim.devices[device].device
    cdef BfqDisk *disk = &sim.bfq[device]
    cdef uint32_t slot
    if disk.groups[0].weights == 0:
        server.in_use -= 1
        return 0
    server_charge(sim, server, issuer, now)
    slot = bfq_pick(disk, sim)
    waits_no_more(sim, server, slot)
    return slot
