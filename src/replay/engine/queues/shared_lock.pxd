"""The backing file's lock where it is taken anew for every page.

Up to 6.14 the driver makes one write call for each page, so the lock is handed over
between pages and all who want it advance at the same pace. In the limit of many pages
that is processor sharing: an event for each request, not for each page.

Together n requests advance at 1/n each; so each loses 1/n of the time to every other
one: as much as the virtual time moves while both are there. It is added up by pairs of
cgroups, of which 64 are told apart: so an event costs no more than that. Of two cgroups
with one request each the pair follows from when the later one came; only of those with
several at once a sum is kept.

Where what they waited for one another is in their recorded times they do not share it
(`parallel`): then they wait for who sleeps with the lock alone.

Source: drivers/block/loop.c:lo_write_simple(), v6.1.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc

from replay.engine.counting.waits cimport wait_add, wait_more, wait_pair_add
from replay.engine.state.entries cimport account_at
from replay.engine.state.jiffies cimport product_of
from replay.engine.state.queues cimport (
    MAX_WAITING_CGROUPS,
    VIRTUAL_SHIFT,
    SharedLock,
    Sharer,
    SharerPair,
)
from replay.engine.state.requests cimport request_at
from replay.engine.state.sim cimport RESOURCE_LOCK, SIM_NO_MEMORY, Account, Request, Sim
from replay.engine.structures.arena cimport Failed
from replay.engine.structures.bits cimport lowest_bit
from replay.engine.structures.heap cimport (
    Event,
    heap_close,
    heap_first,
    heap_open,
    heap_pop,
    heap_push,
)

cdef extern from *:
    """
    /* rest += moved * times; returns what is whole of it. The product may need 128 bits */
    static inline int64_t replay_moved(
        uint64_t *rest, uint64_t moved, uint64_t times, int shift)
    {
        unsigned __int128 sum = (unsigned __int128)moved * times + *rest;
        *rest = (uint64_t)sum & (((uint64_t)1 << shift) - 1);
        return (int64_t)(sum >> shift);
    }
    #define replay_highest(value) (63 - __builtin_clzll(value))
    """
    int64_t whole_of "replay_moved"(
        uint64_t *rest, uint64_t moved, uint64_t times, int shift
    ) noexcept nogil
    # number of the highest bit that is set; there is one
    int highest_bit "replay_highest"(uint64_t value) noexcept nogil

cdef enum:
    OTHERS_PLACE = MAX_WAITING_CGROUPS
    N_PLACES = MAX_WAITING_CGROUPS + 1
    N_PAIRS = N_PLACES * (N_PLACES + 1) >> 1   # a division is no constant with checks on


cdef inline void shared_open(SharedLock *lock, bint parallel) noexcept nogil:
    """Make a lock nobody holds; it has no memory until somebody takes it."""
    lock.parallel = parallel
    lock.sharers = NULL
    lock.pairs = NULL
    lock.holders.length = 0
    lock.live = lock.several = 0
    lock.virtual_time = 0
    lock.updated_ns = 0
    lock.frozen_ns = lock.finish_ns = lock.event_ns = -1


cdef inline void shared_close(SharedLock *lock) noexcept nogil:
    """Give the memory back."""
    if lock.sharers != NULL:
        heap_close(&lock.holders)
    free(lock.sharers)
    free(lock.pairs)
    lock.sharers = NULL
    lock.pairs = NULL


cdef inline bint shared_allocate(SharedLock *lock, Failed *failed) noexcept nogil:
    """Make a lock that is taken for the first time; return False if memory ran out."""
    lock.sharers = <Sharer *> calloc(N_PLACES, sizeof(Sharer))
    lock.pairs = <SharerPair *> malloc(N_PAIRS * sizeof(SharerPair))
    if lock.sharers == NULL:
        return False
    heap_open(&lock.holders, failed)
    return lock.pairs != NULL and not failed.no_memory


cdef inline void shared_advance(SharedLock *lock, int64_t now) noexcept nogil:
    """Bring the virtual time, in 2**-8 ns, up to now."""
    if now != lock.updated_ns and lock.frozen_ns < 0 and lock.holders.length > 0:
        lock.virtual_time += (
            <uint64_t> (now - lock.updated_ns) << VIRTUAL_SHIFT
        ) // (1 if lock.parallel else lock.holders.length)
    lock.updated_ns = now


cdef inline SharerPair *pair_of(
    SharedLock *lock, uint32_t a, uint32_t b
) noexcept nogil:
    """Return what the sharers in two places wait for one another."""
    cdef uint32_t low = min(a, b)
    cdef uint32_t high = max(a, b)
    return &lock.pairs[high * (high + 1) // 2 + low]


cdef inline void pair_begin(
    SharedLock *lock, uint32_t a, uint32_t b
) noexcept nogil:
    """Keep a sum of what two sharers wait for one another from now on.

    So far each had one request, or one of them has just come.
    """
    cdef uint64_t since_v = max(lock.sharers[a].since_v, lock.sharers[b].since_v)
    pair_of(lock, a, b)[0] = SharerPair(0, 0, since_v, False)


cdef inline void sharer_begin(
    SharedLock *lock, uint32_t place, uint32_t cgroup
) noexcept nogil:
    """Let a cgroup take a free place."""
    cdef Sharer *sharer = &lock.sharers[place]
    cdef uint64_t left = lock.several
    sharer.cgroup = cgroup
    sharer.since_v = lock.virtual_time
    sharer.waited_ns = sharer.charged_ns = 0
    sharer.frozen_sum = 0
    if place == OTHERS_PLACE:
        left = lock.live        # they are several by their nature
        pair_begin(lock, place, place)
    else:
        lock.live |= <uint64_t> 1 << place
        if lock.sharers[OTHERS_PLACE].count > 0:
            pair_begin(lock, place, OTHERS_PLACE)
    while left != 0:
        pair_begin(lock, place, <uint32_t> lowest_bit(left))
        left &= left - 1


cdef inline void sharer_several(SharedLock *lock, uint32_t place) noexcept nogil:
    """Note that a cgroup in a place gets a second request: from now on sums are kept."""
    cdef uint64_t left = lock.live & ~lock.several
    if place == OTHERS_PLACE or lock.several >> place & 1:
        return
    while left != 0:
        pair_begin(lock, place, <uint32_t> lowest_bit(left))
        left &= left - 1
    lock.several |= <uint64_t> 1 << place


cdef inline uint32_t shared_place(
    Sim *sim, SharedLock *lock, const Request *request
) noexcept nogil:
    """Return the place of a request's cgroup: the first that is free if it has none."""
    cdef Account *account = account_at(sim, request.account)
    # where its cgroup stood last is where it stands, if it does
    cdef uint32_t place = account.lock_place
    if lock.sharers[place].count > 0 and lock.sharers[place].cgroup == request.issuer:
        return place
    if ~lock.live == 0:
        if lock.sharers[OTHERS_PLACE].count == 0:
            sharer_begin(lock, OTHERS_PLACE, sim.n_cgroups)
        return OTHERS_PLACE
    place = <uint32_t> lowest_bit(~lock.live)
    account.lock_place = <uint8_t> place
    sharer_begin(lock, place, request.issuer)
    return place


cdef inline void pair_update(
    SharedLock *lock, uint32_t place, uint32_t other
) noexcept nogil:
    """Add up what two sharers, of which a sum is kept, waited for one another."""
    cdef SharerPair *pair = pair_of(lock, place, other)
    pair.wait_ns += whole_of(
        &pair.rest,
        lock.virtual_time - pair.updated_v,
        <uint64_t> lock.sharers[place].count
        * (lock.sharers[other].count - (place == other)),
        VIRTUAL_SHIFT,
    )
    pair.updated_v = lock.virtual_time


cdef inline void shared_update(
    SharedLock *lock, uint32_t place, uint64_t left
) noexcept nogil:
    """Add up what a sharer and some others, by place, waited for one another.

    Of all these pairs sums are kept: those of a sharer of several are with everybody.
    """
    while left != 0:
        pair_update(lock, place, <uint32_t> lowest_bit(left))
        left &= left - 1
    if lock.sharers[OTHERS_PLACE].count > 0:
        pair_update(lock, place, OTHERS_PLACE)


cdef inline void shared_enter(
    Sim *sim, SharedLock *lock, uint32_t slot, int64_t now
) noexcept nogil:
    """Begin to share the lock; the worker has just begun with the request."""
    cdef Request *request = request_at(sim, slot)
    cdef Sharer *sharer
    cdef Event one
    if lock.sharers == NULL and not shared_allocate(lock, &sim.failed):
        sim.status = SIM_NO_MEMORY
        return
    shared_advance(lock, now)
    request.place = shared_place(sim, lock, request)
    sharer = &lock.sharers[request.place]
    if sharer.count > 0 and not lock.parallel:
        sharer_several(lock, request.place)
        shared_update(lock, request.place, lock.live)
    sharer.count += 1
    sharer.frozen_sum += <uint64_t> now
    one.when_ns = <int64_t> (
        lock.virtual_time + (<uint64_t> request.service_ns << VIRTUAL_SHIFT)
    )
    one.rank = <uint64_t> request.row
    one.payload = slot
    heap_push(&lock.holders, one)


cdef inline int64_t shared_next_finish(const SharedLock *lock) noexcept nogil:
    """Return when the first of the holders is done; somebody holds the lock."""
    cdef uint64_t left = <uint64_t> heap_first(&lock.holders).when_ns
    left = 0 if left <= lock.virtual_time else left - lock.virtual_time
    return lock.updated_ns + product_of(
        left, 1 if lock.parallel else <uint32_t> lock.holders.length, VIRTUAL_SHIFT
    )


cdef inline void pair_charge(
    Sim *sim, SharedLock *lock, uint32_t place, uint32_t other_place
) noexcept nogil:
    """Charge a leaver's cgroup and another one, or itself, what their sum says."""
    cdef Sharer *sharer = &lock.sharers[place]
    cdef Sharer *other = &lock.sharers[other_place]
    cdef SharerPair *pair = pair_of(lock, place, other_place)
    cdef int64_t wait_ns = pair.wait_ns
    pair.waited |= wait_ns > 0
    pair.wait_ns = 0
    sharer.charged_ns += wait_ns
    other.partner = sharer.cgroup
    if place != other_place:
        other.charged_ns += wait_ns
        if pair.waited:
            wait_pair_add(sim, sharer.cgroup, other.cgroup, wait_ns, other.count)
    elif pair.waited:
        # each of the others waited for the leaver, and the leaver for each
        wait_more(
            sim,
            sharer.cgroup,
            sharer.cgroup,
            RESOURCE_LOCK,
            wait_ns,
            <int64_t> 2 * sharer.count,
        )


cdef inline void shared_leave_alone(
    Sim *sim, SharedLock *lock, uint32_t place
) noexcept nogil:
    """Charge a leaver that was its cgroup's only request from first to last."""
    cdef Sharer *sharer = &lock.sharers[place]
    cdef Sharer *other
    cdef uint64_t left = lock.live & ~lock.several
    cdef int64_t wait_ns
    cdef int64_t charged_ns = sharer.charged_ns
    while left != 0:
        other = &lock.sharers[lowest_bit(left)]
        left &= left - 1
        wait_ns = <int64_t> (
            (lock.virtual_time - max(other.since_v, sharer.since_v)) >> VIRTUAL_SHIFT
        )
        other.partner = sharer.cgroup
        other.charged_ns += wait_ns
        charged_ns += wait_ns
        if wait_ns > 0:
            wait_pair_add(sim, sharer.cgroup, other.cgroup, wait_ns, 1)
    sharer.charged_ns = charged_ns


cdef inline void parallel_leave(
    Sim *sim, SharedLock *lock, const Request *leaver, int64_t now
) noexcept nogil:
    """Let a request's cgroup have one holder less; only who slept was waited for."""
    cdef Sharer *sharer = &lock.sharers[leaver.place]
    sharer.count -= 1
    sharer.waited_ns += now - leaver.start_ns - leaver.service_ns
    if sharer.count == 0:
        if leaver.place != OTHERS_PLACE:
            lock.live &= ~(<uint64_t> 1 << leaver.place)
        wait_add(
            sim,
            sharer.cgroup,
            sharer.partner,
            RESOURCE_LOCK,
            sharer.waited_ns - sharer.charged_ns,
            0,
        )
    if lock.holders.length == 0:
        lock.virtual_time = 0


cdef inline void shared_leave(
    Sim *sim, SharedLock *lock, const Request *leaver, int64_t now
) noexcept nogil:
    """Let a request's cgroup have one holder less, and charge what was waited."""
    cdef uint32_t place = leaver.place
    cdef Sharer *sharer = &lock.sharers[place]
    cdef Sharer *others = &lock.sharers[OTHERS_PLACE]
    cdef bint is_several = place == OTHERS_PLACE or lock.several >> place & 1
    cdef uint64_t left = lock.several
    cdef uint64_t bit = 0
    if place != OTHERS_PLACE:
        bit = <uint64_t> 1 << place
    if lock.parallel:
        parallel_leave(sim, lock, leaver, now)
        return
    shared_update(lock, place, lock.live if is_several else left)
    sharer.count -= 1
    sharer.waited_ns += now - leaver.start_ns - leaver.service_ns
    if sharer.count == 0:
        lock.live &= ~bit
        lock.several &= ~bit
    if is_several:
        left = lock.live
    else:
        shared_leave_alone(sim, lock, place)
    while left != 0:
        pair_charge(sim, lock, place, <uint32_t> lowest_bit(left))
        left &= left - 1
    if others.count > 0:
        pair_charge(sim, lock, place, OTHERS_PLACE)
    if lock.live != 0:
        sharer.partner = lock.sharers[highest_bit(lock.live)].cgroup
    elif others.count > 0:
        sharer.partner = others.cgroup
    if sharer.count == 0:
        # What rounding left over goes to the last one it shared with.
        wait_add(
            sim,
            sharer.cgroup,
            sharer.partner,
            RESOURCE_LOCK,
            sharer.waited_ns - sharer.charged_ns,
            0,
        )
    if lock.holders.length == 0:
        lock.virtual_time = 0


cdef inline void shared_freeze(SharedLock *lock, int64_t now) noexcept nogil:
    """Let one that is done with its copying sleep with the lock held."""
    cdef uint32_t i
    shared_advance(lock, now)
    lock.frozen_ns = now
    for i in range(N_PLACES):
        lock.sharers[i].frozen_sum = <uint64_t> now * lock.sharers[i].count


cdef inline void shared_thaw(
    Sim *sim, SharedLock *lock, uint32_t sleeper, int64_t now
) noexcept nogil:
    """Go on after a sleep; all others have waited for the sleeper."""
    cdef Sharer *other
    cdef int64_t waited_ns
    cdef uint32_t i
    shared_advance(lock, now)
    for i in range(N_PLACES):
        other = &lock.sharers[i]
        if other.count == 0:
            continue
        waited_ns = <int64_t> (<uint64_t> now * other.count - other.frozen_sum)
        wait_add(sim, other.cgroup, sleeper, RESOURCE_LOCK, waited_ns, other.count)
        other.charged_ns += waited_ns
        other.partner = sleeper
    lock.frozen_ns = -1


cdef inline uint32_t shared_finished(
    Sim *sim, SharedLock *lock, int64_t now
) noexcept nogil:
    """Take out a request that is done; return its slot, 0 if there is none."""
    cdef uint32_t slot
    shared_advance(lock, now)
    if lock.holders.length == 0 or lock.frozen_ns >= 0:
        return 0
    if <uint64_t> heap_first(&lock.holders).when_ns > lock.virtual_time:
        return 0
    slot = heap_pop(&lock.holders).payload
    shared_leave(sim, lock, request_at(sim, slot), now)
    return slot
