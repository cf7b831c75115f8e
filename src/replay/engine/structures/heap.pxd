"""Pending events in order: time, then kind, then sequence.

    rank, 64 bits:  kind (8) | sequence (56)

A completion of row 5 is rank 0x00_00000000000005; the arrival of the same row at the
same time is rank 0x0b_00000000000005 and runs later.

Most events come nearly in the order in which they run. Those stand in a sorted lane:
a new one is moved forward over the few that run after it, and the first is taken off
its front. What would have to move too far stands in a binary heap beside it.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memmove

from replay.engine.structures.arena cimport Failed

cdef extern from *:
    """
    /* one comparison of 128 bits, without a branch; times are not negative */
    #define replay_key(event) \\
        ((unsigned __int128)(uint64_t)(event)->when_ns << 64 | (event)->rank)
    #define replay_before(a, b) (replay_key(a) < replay_key(b))
    """
    # whether event a runs before b
    bint event_before "replay_before"(const Event *a, const Event *b) noexcept nogil

cdef enum:
    RANK_KIND_SHIFT = 56
    FIRST_EVENTS = 256
    LANE_REACH = 32         # how far an event is moved forward in the lane

cdef struct Event:
    int64_t when_ns
    uint64_t rank
    uint32_t payload

cdef struct Heap:
    size_t length           # of all
    Event *lane             # sorted from lane_first on
    size_t lane_first
    size_t lane_end
    size_t lane_capacity
    Event *events           # the heap
    size_t n_events
    size_t capacity
    Failed *failed


cdef inline void heap_open(Heap *heap, Failed *failed) noexcept nogil:
    """Make an empty heap; sets `failed` if memory ran out."""
    heap.length = heap.n_events = 0
    heap.lane_first = heap.lane_end = 0
    heap.capacity = heap.lane_capacity = FIRST_EVENTS
    heap.events = <Event *> malloc(FIRST_EVENTS * sizeof(Event))
    heap.lane = <Event *> malloc(FIRST_EVENTS * sizeof(Event))
    heap.failed = failed
    if heap.events == NULL or heap.lane == NULL:
        failed.no_memory = True


cdef inline void heap_close(Heap *heap) noexcept nogil:
    """Give the memory back."""
    free(heap.events)
    free(heap.lane)
    heap.events = heap.lane = NULL


cdef inline bint events_grow(Event **events, size_t *capacity) noexcept nogil:
    """Double an array of events; return False if memory ran out."""
    cdef Event *larger = <Event *> realloc(
        events[0], capacity[0] * 2 * sizeof(Event)
    )
    if larger == NULL:
        return False
    events[0] = larger
    capacity[0] *= 2
    return True


cdef inline void lane_make_room(Heap *heap) noexcept nogil:
    """Make room behind the lane's last event: where events were taken, or by growing."""
    cdef size_t n = heap.lane_end - heap.lane_first
    if heap.lane_first * 2 < heap.lane_capacity:
        if not events_grow(&heap.lane, &heap.lane_capacity):
            heap.failed.no_memory = True
        return
    memmove(heap.lane, heap.lane + heap.lane_first, n * sizeof(Event))
    heap.lane_first = 0
    heap.lane_end = n


cdef inline void events_push(Heap *heap, const Event *event) noexcept nogil:
    """Add an event to the binary heap."""
    cdef size_t at = heap.n_events
    cdef size_t parent
    if at == heap.capacity and not events_grow(&heap.events, &heap.capacity):
        heap.failed.no_memory = True
        return
    heap.length += 1
    heap.n_events += 1
    while at > 0:
        parent = (at - 1) // 2
        if not event_before(event, &heap.events[parent]):
            break
        heap.events[at] = heap.events[parent]
        at = parent
    heap.events[at] = event[0]


cdef inline void heap_push(Heap *heap, Event event) noexcept nogil:
    """Add an event; sets `failed` if memory ran out."""
    cdef Event *at
    cdef Event *first
    if heap.lane_end == heap.lane_capacity:
        lane_make_room(heap)
        if heap.lane_end == heap.lane_capacity:
            return
    at = heap.lane + heap.lane_end
    first = heap.lane + heap.lane_first
    if at - first > LANE_REACH:
        first = at - LANE_REACH
        if event_before(&event, first):
            events_push(heap, &event)
            return
    while at > first and event_before(&event, at - 1):
        at[0] = (at - 1)[0]
        at -= 1
    at[0] = event
    heap.lane_end += 1
    heap.length += 1


cdef inline void heap_push_far(Heap *heap, Event event) noexcept nogil:
    """Add an event that many are likely to run before."""
    events_push(heap, &event)


cdef inline bint lane_is_next(const Heap *heap) noexcept nogil:
    """Return True if the first event stands in the lane; there is one."""
    return heap.n_events == 0 or (
        heap.lane_first < heap.lane_end
        and event_before(&heap.lane[heap.lane_first], heap.events)
    )


cdef inline const Event *heap_first(const Heap *heap) noexcept nogil:
    """Return the first event; the heap is not empty."""
    return &heap.lane[heap.lane_first] if lane_is_next(heap) else heap.events


cdef inline Event events_pop(Heap *heap) noexcept nogil:
    """Take the first event out of the binary heap."""
    cdef Event first = heap.events[0]
    cdef Event last
    cdef size_t at = 0
    cdef size_t child
    heap.n_events -= 1
    last = heap.events[heap.n_events]
    while True:
        child = 2 * at + 1
        if child >= heap.n_events:
            break
        # the last one's old place may be looked at: it does not run before itself
        child += event_before(&heap.events[child + 1], &heap.events[child])
        if not event_before(&heap.events[child], &last):
            break
        heap.events[at] = heap.events[child]
        at = child
    heap.events[at] = last
    return first


cdef inline Event heap_pop(Heap *heap) noexcept nogil:
    """Take the first event out; the heap is not empty."""
    heap.length -= 1
    if not lane_is_next(heap):
        return events_pop(heap)
    heap.lane_first += 1
    return heap.lane[heap.lane_first - 1]
