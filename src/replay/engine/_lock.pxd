"""The backing file's lock where it is taken anew for every page.

Up to 6.14 the driver makes one write call for each page, so the lock is handed over
between pages and all who want it advance at the same pace. In the limit of many pages
that is processor sharing: an event for each request, not for each page.

Together n requests advance at 1/n each; so each loses 1/n of the time to every other
one: as much as the virtual time moves while both are there. It is added up by pairs of
cgroups, of which 64 are told apart: so an event costs no more than that.

Source: drivers/block/loop.c:lo_write_simple(), v6.1.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc

from replay.engine._clock cimport product_of
from replay.engine._server cimport request_at, wait_add, wait_of
from replay.engine._types cimport (
    MAX_WAITING_CGROUPS,
    RESOURCE_LOCK,
    SIM_NO_MEMORY,
    VIRTUAL_SHIFT,
    Holder,
    Request,
    SharedLock,
    Sharer,
    SharerPair,
    Sim,
    Wait,
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
    """
    int64_t whole_of "replay_moved"(
        uint64_t *rest, uint64_t moved, uint64_t times, int shift
    ) noexcept nogil

cdef enum:
    N_PLACES = MAX_WAITING_CGROUPS + 1
    N_PAIRS = N_PLACES * (N_PLACES + 1) >> 1   # a division is no constant with checks on
    OTHERS_PLACE = 0


cdef inline bint shared_open(SharedLock *lock) noexcept nogil:
    """Make a lock nobody holds; tell whether there was memory for it."""
    lock.capacity = 16
    lock.length = 0
    lock.n_places = 0
    lock.version = 0
    lock.virtual_time = 0
    lock.updated_ns = 0
    lock.frozen_ns = -1
    lock.sharers = NULL     # until somebody takes it
    lock.pairs = NULL
    lock.holders = <Holder *> malloc(lock.capacity * sizeof(Holder))
    return lock.holders != NULL


cdef inline void shared_close(SharedLock *lock) noexcept nogil:
    """Give the memory back."""
    free(lock.holders)
    free(lock.sharers)
    free(lock.pairs)
    lock.holders = NULL
    lock.sharers = NULL
    lock.pairs = NULL


cdef inline bint shared_has_room(SharedLock *lock) noexcept nogil:
    """Make room for one more; tell whether there was memory for it."""
    cdef Holder *holders
    if lock.pairs == NULL:
        lock.sharers = <Sharer *> calloc(N_PLACES, sizeof(Sharer))
        lock.pairs = <SharerPair *> malloc(N_PAIRS * sizeof(SharerPair))
        if lock.sharers == NULL or lock.pairs == NULL:
            return False
    if lock.length == lock.capacity:
        holders = <Holder *> realloc(
            lock.holders, <size_t> lock.capacity * 2 * sizeof(Holder)
        )
        if holders == NULL:
            return False
        lock.holders = holders
        lock.capacity *= 2
    return True


cdef inline void shared_advance(SharedLock *lock, int64_t now) noexcept nogil:
    """Bring the virtual time, in 2**-8 ns, up to now."""
    if lock.frozen_ns >= 0:
        pass
    elif lock.length > 0:
        lock.virtual_time += (
            <uint64_t> (now - lock.updated_ns) << VIRTUAL_SHIFT
        ) // lock.length
    else:
        lock.virtual_time = 0
    lock.updated_ns = now


cdef inline bint is_done_before(const Holder *a, const Holder *b) noexcept nogil:
    """Tell which of two is done first: by virtual time, then by row."""
    if a.finish_v != b.finish_v:
        return a.finish_v < b.finish_v
    return a.row < b.row


cdef inline void holder_push(SharedLock *lock, const Holder *one) noexcept nogil:
    """Add a holder; there is room."""
    cdef uint32_t at = lock.length
    cdef uint32_t parent
    lock.length += 1
    while at > 0:
        parent = (at - 1) // 2
        if not is_done_before(one, &lock.holders[parent]):
            break
        lock.holders[at] = lock.holders[parent]
        at = parent
    lock.holders[at] = one[0]


cdef inline Holder holder_pop(SharedLock *lock) noexcept nogil:
    """Take out the one that is done first; somebody holds the lock."""
    cdef Holder first = lock.holders[0]
    cdef Holder last
    cdef uint32_t at = 0
    cdef uint32_t child
    lock.length -= 1
    last = lock.holders[lock.length]
    while True:
        child = 2 * at + 1
        if child >= lock.length:
            break
        if child + 1 < lock.length and is_done_before(
            &lock.holders[child + 1], &lock.holders[child]
        ):
            child += 1
        if not is_done_before(&lock.holders[child], &last):
            break
        lock.holders[at] = lock.holders[child]
        at = child
    lock.holders[at] = last
    return first


cdef inline SharerPair *pair_of(
    SharedLock *lock, uint32_t a, uint32_t b
) noexcept nogil:
    """Return what the sharers in two places wait for one another."""
    cdef uint32_t low = min(a, b)
    cdef uint32_t high = max(a, b)
    return &lock.pairs[high * (high + 1) // 2 + low]


cdef inline uint32_t shared_place(
    const Sim *sim, SharedLock *lock, uint32_t cgroup
) noexcept nogil:
    """Return a cgroup's place: the first that is free, if it has none yet."""
    cdef uint32_t place = OTHERS_PLACE
    cdef uint32_t i
    cdef Sharer *sharer
    for i in range(1, lock.n_places):
        if lock.sharers[i].count == 0:
            if place == OTHERS_PLACE:
                place = i
        elif lock.sharers[i].cgroup == cgroup:
            return i
    if place == OTHERS_PLACE and lock.n_places < N_PLACES:
        place = max(1, lock.n_places)
    sharer = &lock.sharers[place]
    if sharer.count > 0:
        return place
    sharer.cgroup = sim.n_cgroups if place == OTHERS_PLACE else cgroup
    sharer.waited_ns = sharer.charged_ns = 0
    sharer.frozen_sum = 0
    lock.n_places = max(lock.n_places, place + 1)
    for i in range(lock.n_places):
        pair_of(lock, i, place)[0] = SharerPair(0, 0, 0, False)
    return place


cdef inline void shared_update(SharedLock *lock, uint32_t place) noexcept nogil:
    """Add up what a sharer and each of the others waited for one another."""
    cdef uint64_t count = lock.sharers[place].count
    cdef SharerPair *pair
    cdef uint32_t i
    for i in range(lock.n_places):
        pair = pair_of(lock, i, place)
        if count > 0 and lock.sharers[i].count > 0:
            pair.wait_ns += whole_of(
                &pair.rest,
                lock.virtual_time - pair.updated_v,
                count * (lock.sharers[i].count - (i == place)),
                VIRTUAL_SHIFT,
            )
        pair.updated_v = lock.virtual_time


cdef inline void shared_enter(
    Sim *sim, SharedLock *lock, uint32_t slot, int64_t now
) noexcept nogil:
    """Begin to share the lock."""
    cdef const Request *request = request_at(sim, slot)
    cdef Sharer *sharer
    cdef Holder one
    shared_advance(lock, now)
    if not shared_has_room(lock):
        sim.status = SIM_NO_MEMORY
        return
    one.place = shared_place(sim, lock, request.issuer)
    shared_update(lock, one.place)
    sharer = &lock.sharers[one.place]
    sharer.count += 1
    sharer.frozen_sum += <uint64_t> now
    one.finish_v = lock.virtual_time + (
        <uint64_t> request.service_ns << VIRTUAL_SHIFT
    )
    one.row = request.row
    one.enter_ns = now
    one.slot = slot
    holder_push(lock, &one)


cdef inline int64_t shared_next_finish(const SharedLock *lock) noexcept nogil:
    """Return when the first of the holders is done; somebody holds the lock."""
    cdef uint64_t left = lock.holders[0].finish_v
    left = 0 if left <= lock.virtual_time else left - lock.virtual_time
    return lock.updated_ns + product_of(left, lock.length, VIRTUAL_SHIFT)


cdef inline void sharer_charge(
    Sim *sim, Sharer *waiting, uint32_t blocking, const SharerPair *pair, int64_t count
) noexcept nogil:
    """Charge one sharer for what it waited for another."""
    cdef Wait *wait
    cdef uint32_t index
    if pair.waited:
        index = wait_of(sim, waiting.cgroup, blocking, RESOURCE_LOCK)
        wait = (<Wait *> sim.waits.data) + index
        wait.wait_ns += pair.wait_ns
        wait.count += count
    waiting.charged_ns += pair.wait_ns
    waiting.partner = blocking


cdef inline void shared_charge(
    Sim *sim, SharedLock *lock, uint32_t place
) noexcept nogil:
    """Charge what a leaver's cgroup and each of the others waited so far."""
    cdef Sharer *sharer = &lock.sharers[place]
    cdef Sharer *other
    cdef SharerPair *pair
    cdef uint32_t i
    for i in range(lock.n_places):
        other = &lock.sharers[i]
        if other.count == 0:
            continue
        pair = pair_of(lock, i, place)
        pair.waited |= pair.wait_ns > 0
        if i == place:
            # each of the others waited for the leaver, and the leaver for each
            sharer_charge(
                sim, sharer, sharer.cgroup, pair, <int64_t> 2 * sharer.count
            )
        else:
            sharer_charge(sim, other, sharer.cgroup, pair, other.count)
            sharer_charge(sim, sharer, other.cgroup, pair, other.count)
        pair.wait_ns = 0


cdef inline void shared_leave(
    Sim *sim, SharedLock *lock, const Holder *leaver, int64_t now
) noexcept nogil:
    """Let a request's cgroup have one holder less."""
    cdef Sharer *sharer = &lock.sharers[leaver.place]
    cdef int64_t rest
    shared_update(lock, leaver.place)
    sharer.count -= 1
    sharer.waited_ns += (
        now - leaver.enter_ns - request_at(sim, leaver.slot).service_ns
    )
    shared_charge(sim, lock, leaver.place)
    if sharer.count > 0:
        return
    # What rounding left over goes to the last one it shared with.
    rest = sharer.waited_ns - sharer.charged_ns
    wait_add(sim, sharer.cgroup, sharer.partner, RESOURCE_LOCK, rest, 0)
    while lock.n_places > 0 and lock.sharers[lock.n_places - 1].count == 0:
        lock.n_places -= 1


cdef inline void shared_freeze(SharedLock *lock, int64_t now) noexcept nogil:
    """Let one that is done with its copying sleep with the lock held."""
    cdef uint32_t i
    shared_advance(lock, now)
    lock.frozen_ns = now
    for i in range(lock.n_places):
        lock.sharers[i].frozen_sum = <uint64_t> now * lock.sharers[i].count


cdef inline void shared_thaw(
    Sim *sim, SharedLock *lock, uint32_t sleeper, int64_t now
) noexcept nogil:
    """Go on after a sleep; all others have waited for the sleeper."""
    cdef Sharer *other
    cdef int64_t waited_ns
    cdef uint32_t i
    shared_advance(lock, now)
    for i in range(lock.n_places):
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
    cdef Holder done
    shared_advance(lock, now)
    if lock.length == 0 or lock.frozen_ns >= 0:
        return 0
    if lock.holders[0].finish_v > lock.virtual_time:
        return 0
    done = holder_pop(lock)
    shared_leave(sim, lock, &done, now)
    return done.slot
