"""The backing file's lock where it is taken anew for every page.

Up to 6.14 the driver makes one write call for each page, so the lock is handed over
between pages and all who want it advance at the same pace. In the limit of many pages
that is processor sharing: an event for each request, not for each page.

Source: drivers/block/loop.c:lo_write_simple(), v6.1.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc

from replay.engine._clock cimport product_of
from replay.engine._server cimport request_at, wait_add
from replay.engine._types cimport (
    RESOURCE_LOCK,
    SIM_NO_MEMORY,
    VIRTUAL_SHIFT,
    Request,
    SharedLock,
    Sim,
)


cdef inline bint shared_open(SharedLock *lock) noexcept nogil:
    """Make a lock nobody holds; tell whether there was memory for it."""
    lock.capacity = 16
    lock.length = 0
    lock.version = 0
    lock.virtual_time = 0
    lock.updated_ns = 0
    lock.frozen_ns = -1
    lock.active = <uint32_t *> malloc(lock.capacity * sizeof(uint32_t))
    return lock.active != NULL


cdef inline void shared_close(SharedLock *lock) noexcept nogil:
    """Give the memory back."""
    free(lock.active)
    lock.active = NULL


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


cdef inline void shared_enter(
    Sim *sim, SharedLock *lock, uint32_t slot, int64_t now
) noexcept nogil:
    """Begin to share the lock."""
    cdef Request *request = request_at(sim, slot)
    cdef uint32_t *active
    shared_advance(lock, now)
    request.lock_enter_ns = now
    request.lock_enter_v = lock.virtual_time
    request.lock_finish_v = lock.virtual_time + (
        <uint64_t> request.service_ns << VIRTUAL_SHIFT
    )
    request.lock_charged_ns = 0
    request.has_partner = False
    if lock.length == lock.capacity:
        active = <uint32_t *> realloc(
            lock.active, <size_t> lock.capacity * 2 * sizeof(uint32_t)
        )
        if active == NULL:
            sim.status = SIM_NO_MEMORY
            return
        lock.active = active
        lock.capacity *= 2
    lock.active[lock.length] = slot
    lock.length += 1


cdef inline uint32_t shared_first(const Sim *sim, const SharedLock *lock) noexcept nogil:
    """Return the place of the first to be done: by virtual time, then by row."""
    cdef uint32_t first = 0
    cdef uint32_t i
    cdef Request *a
    cdef Request *b
    for i in range(1, lock.length):
        a = request_at(sim, lock.active[i])
        b = request_at(sim, lock.active[first])
        if a.lock_finish_v < b.lock_finish_v or (
            a.lock_finish_v == b.lock_finish_v and a.row < b.row
        ):
            first = i
    return first


cdef inline int64_t shared_next_finish(
    const Sim *sim, const SharedLock *lock
) noexcept nogil:
    """Return when the first of the holders is done; somebody holds the lock."""
    cdef uint64_t left = request_at(
        sim, lock.active[shared_first(sim, lock)]
    ).lock_finish_v
    left = 0 if left <= lock.virtual_time else left - lock.virtual_time
    return lock.updated_ns + product_of(left, lock.length, VIRTUAL_SHIFT)


cdef inline void shared_charge(
    Sim *sim, SharedLock *lock, uint32_t slot, int64_t now
) noexcept nogil:
    """Charge what a leaver and each of the others waited for one another.

    Together n requests advance at 1/n each; so each loses 1/n of the time to every
    other one: as much as the virtual time moved while both were there. What rounding
    leaves over goes to the last one it shared with.
    """
    cdef Request *leaver = request_at(sim, slot)
    cdef Request *other
    cdef uint64_t since
    cdef int64_t overlap, rest
    cdef uint32_t i
    for i in range(lock.length):
        other = request_at(sim, lock.active[i])
        since = max(leaver.lock_enter_v, other.lock_enter_v)
        overlap = <int64_t> ((lock.virtual_time - since) >> VIRTUAL_SHIFT)
        wait_add(sim, other.issuer, leaver.issuer, RESOURCE_LOCK, overlap, 1)
        other.lock_charged_ns += overlap
        other.lock_partner = leaver.issuer
        other.has_partner = True
        wait_add(sim, leaver.issuer, other.issuer, RESOURCE_LOCK, overlap, 1)
        leaver.lock_charged_ns += overlap
        leaver.lock_partner = other.issuer
        leaver.has_partner = True
    rest = now - leaver.lock_enter_ns - leaver.service_ns - leaver.lock_charged_ns
    if leaver.has_partner:
        wait_add(sim, leaver.issuer, leaver.lock_partner, RESOURCE_LOCK, rest, 0)


cdef inline void shared_freeze(SharedLock *lock, int64_t now) noexcept nogil:
    """Let one that is done with its copying sleep with the lock held."""
    shared_advance(lock, now)
    lock.frozen_ns = now


cdef inline void shared_thaw(
    Sim *sim, SharedLock *lock, uint32_t sleeper, int64_t now
) noexcept nogil:
    """Go on after a sleep; all others have waited for the sleeper."""
    cdef Request *other
    cdef int64_t waited_ns
    cdef uint32_t i
    shared_advance(lock, now)
    for i in range(lock.length):
        other = request_at(sim, lock.active[i])
        waited_ns = now - max(lock.frozen_ns, other.lock_enter_ns)
        wait_add(sim, other.issuer, sleeper, RESOURCE_LOCK, waited_ns, 1)
        other.lock_charged_ns += waited_ns
        other.lock_partner = sleeper
        other.has_partner = True
    lock.frozen_ns = -1


cdef inline uint32_t shared_finished(
    Sim *sim, SharedLock *lock, int64_t now
) noexcept nogil:
    """Take out a request that is done; return its slot, 0 if there is none."""
    cdef uint32_t place, slot, i
    shared_advance(lock, now)
    if lock.length == 0 or lock.frozen_ns >= 0:
        return 0
    place = shared_first(sim, lock)
    slot = lock.active[place]
    if request_at(sim, slot).lock_finish_v > lock.virtual_time:
        return 0
    lock.length -= 1
    for i in range(place, lock.length):
        lock.active[i] = lock.active[i + 1]
    shared_charge(sim, lock, slot, now)
    return slot
