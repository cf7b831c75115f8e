"""The backing file's lock where it is taken anew for every page.

Up to 6.14 the driver makes one write call for each page, so the lock is handed over
between pages and all who want it advance at the same pace. In the limit of many pages
that is processor sharing: an event for each request, not for each page.

Source: drivers/block/loop.c:lo_write_simple(), v6.1.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memmove

from replay.engine._clock cimport product_of
from replay.engine._server cimport request_at, wait_add
from replay.engine._types cimport (
    RESOURCE_LOCK,
    SIM_NO_MEMORY,
    VIRTUAL_SHIFT,
    Holder,
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
    lock.first = 0
    lock.holders = <Holder *> malloc(lock.capacity * sizeof(Holder))
    return lock.holders != NULL


cdef inline void shared_close(SharedLock *lock) noexcept nogil:
    """Give the memory back."""
    free(lock.holders)
    lock.holders = NULL


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


cdef inline void shared_enter(
    Sim *sim, SharedLock *lock, uint32_t slot, int64_t now
) noexcept nogil:
    """Begin to share the lock."""
    cdef const Request *request = request_at(sim, slot)
    cdef Holder *holders
    cdef Holder *one
    shared_advance(lock, now)
    if lock.length == lock.capacity:
        holders = <Holder *> realloc(
            lock.holders, <size_t> lock.capacity * 2 * sizeof(Holder)
        )
        if holders == NULL:
            sim.status = SIM_NO_MEMORY
            return
        lock.holders = holders
        lock.capacity *= 2
    one = &lock.holders[lock.length]
    one.enter_ns = now
    one.enter_v = lock.virtual_time
    one.finish_v = lock.virtual_time + (
        <uint64_t> request.service_ns << VIRTUAL_SHIFT
    )
    one.charged_ns = 0
    one.service_ns = request.service_ns
    one.row = request.row
    one.slot = slot
    one.issuer = request.issuer
    one.has_partner = False
    if lock.length == 0 or is_done_before(one, &lock.holders[lock.first]):
        lock.first = lock.length
    lock.length += 1


cdef inline int64_t shared_next_finish(const SharedLock *lock) noexcept nogil:
    """Return when the first of the holders is done; somebody holds the lock."""
    cdef uint64_t left = lock.holders[lock.first].finish_v
    left = 0 if left <= lock.virtual_time else left - lock.virtual_time
    return lock.updated_ns + product_of(left, lock.length, VIRTUAL_SHIFT)


cdef inline void shared_charge(
    Sim *sim, SharedLock *lock, const Holder *one, int64_t now
) noexcept nogil:
    """Charge what a leaver and each of the others waited for one another.

    Together n requests advance at 1/n each; so each loses 1/n of the time to every
    other one: as much as the virtual time moved while both were there. What rounding
    leaves over goes to the last one it shared with.
    """
    cdef Holder leaver = one[0]
    cdef Holder *other
    cdef uint64_t since
    cdef int64_t overlap, rest
    cdef uint32_t i
    for i in range(lock.length):
        other = &lock.holders[i]
        since = max(leaver.enter_v, other.enter_v)
        overlap = <int64_t> ((lock.virtual_time - since) >> VIRTUAL_SHIFT)
        if overlap > 0:
            wait_add(sim, other.issuer, leaver.issuer, RESOURCE_LOCK, overlap, 1)
            wait_add(sim, leaver.issuer, other.issuer, RESOURCE_LOCK, overlap, 1)
        other.charged_ns += overlap
        other.partner = leaver.issuer
        other.has_partner = True
        leaver.charged_ns += overlap
    if lock.length > 0:
        leaver.partner = lock.holders[lock.length - 1].issuer
        leaver.has_partner = True
    rest = now - leaver.enter_ns - leaver.service_ns - leaver.charged_ns
    if leaver.has_partner:
        wait_add(sim, leaver.issuer, leaver.partner, RESOURCE_LOCK, rest, 0)


cdef inline void shared_freeze(SharedLock *lock, int64_t now) noexcept nogil:
    """Let one that is done with its copying sleep with the lock held."""
    shared_advance(lock, now)
    lock.frozen_ns = now


cdef inline void shared_thaw(
    Sim *sim, SharedLock *lock, uint32_t sleeper, int64_t now
) noexcept nogil:
    """Go on after a sleep; all others have waited for the sleeper."""
    cdef Holder *other
    cdef int64_t waited_ns
    cdef uint32_t i
    shared_advance(lock, now)
    for i in range(lock.length):
        other = &lock.holders[i]
        waited_ns = now - max(lock.frozen_ns, other.enter_ns)
        wait_add(sim, other.issuer, sleeper, RESOURCE_LOCK, waited_ns, 1)
        other.charged_ns += waited_ns
        other.partner = sleeper
        other.has_partner = True
    lock.frozen_ns = -1


cdef inline void shared_remove(SharedLock *lock, uint32_t place) noexcept nogil:
    """Take a holder out and find the one that is done first among the others."""
    cdef uint32_t i
    lock.length -= 1
    memmove(
        &lock.holders[place],
        &lock.holders[place + 1],
        (lock.length - place) * sizeof(Holder),
    )
    lock.first = 0
    for i in range(1, lock.length):
        if is_done_before(&lock.holders[i], &lock.holders[lock.first]):
            lock.first = i


cdef inline uint32_t shared_finished(
    Sim *sim, SharedLock *lock, int64_t now
) noexcept nogil:
    """Take out a request that is done; return its slot, 0 if there is none."""
    cdef Holder done
    shared_advance(lock, now)
    if lock.length == 0 or lock.frozen_ns >= 0:
        return 0
    done = lock.holders[lock.first]
    if done.finish_v > lock.virtual_time:
        return 0
    shared_remove(lock, lock.first)
    shared_charge(sim, lock, &done, now)
    return done.slot
