"""When requests end that is known ahead: a binary heap, the first end on top.

One for each stream of dependent arrivals, which has few requests in flight.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport realloc

from replay.engine.structures.arena cimport Failed

cdef enum:
    FIRST_ROOM = 8

cdef struct End:
    int64_t when_ns
    uint32_t starts         # I/Os that end

cdef struct Ends:
    End *items
    uint32_t n
    uint32_t room


cdef inline bint ends_grow(Ends *ends) noexcept nogil:
    """Make more room; return False if memory ran out."""
    cdef uint32_t room = max(<uint32_t> FIRST_ROOM, ends.room * 2)
    cdef End *larger = <End *> realloc(ends.items, room * sizeof(End))
    if larger == NULL:
        return False
    ends.items = larger
    ends.room = room
    return True


cdef inline void ends_push(
    Ends *ends, int64_t when_ns, uint32_t starts, Failed *failed
) noexcept nogil:
    """Add an end; sets `failed` if memory ran out."""
    cdef uint32_t at = ends.n
    cdef uint32_t parent
    if at == ends.room and not ends_grow(ends):
        failed.no_memory = True
        return
    ends.n += 1
    while at > 0:
        parent = (at - 1) // 2
        if ends.items[parent].when_ns <= when_ns:
            break
        ends.items[at] = ends.items[parent]
        at = parent
    ends.items[at].when_ns = when_ns
    ends.items[at].starts = starts


cdef inline End ends_pop(Ends *ends) noexcept nogil:
    """Take the first end out; there is one."""
    cdef End *items = ends.items
    cdef End first = items[0]
    cdef End last
    cdef uint32_t at = 0
    cdef uint32_t child = 1
    ends.n -= 1
    last = items[ends.n]
    while child < ends.n:
        # the last one's old place may be looked at: it is not before itself
        child += items[child + 1].when_ns < items[child].when_ns
        if last.when_ns <= items[child].when_ns:
            break
        items[at] = items[child]
        at = child
        child = 2 * at + 1
    items[at] = last
    return first
