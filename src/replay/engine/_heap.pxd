"""Pending events in a binary heap: time, then kind, then sequence.

    rank, 64 bits:  kind (8) | sequence (56)

A completion of row 5 is rank 0x00_00000000000005; the arrival of the same row at the
same time is rank 0x06_00000000000005 and runs later.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc

cdef enum:
    RANK_KIND_SHIFT = 56

cdef struct Event:
    int64_t when_ns
    uint64_t rank
    uint32_t payload

cdef struct Heap:
    Event *events
    size_t length
    size_t capacity
    bint failed


cdef inline void heap_open(Heap *heap) noexcept nogil:
    """Make an empty heap."""
    heap.capacity = 256
    heap.length = 0
    heap.events = <Event *> malloc(heap.capacity * sizeof(Event))
    heap.failed = heap.events == NULL


cdef inline void heap_close(Heap *heap) noexcept nogil:
    """Give the memory back."""
    free(heap.events)
    heap.events = NULL


cdef inline bint event_before(const Event *a, const Event *b) noexcept nogil:
    """Tell whether a runs before b."""
    if a.when_ns != b.when_ns:
        return a.when_ns < b.when_ns
    return a.rank < b.rank


cdef inline void heap_push(Heap *heap, Event event) noexcept nogil:
    """Add an event; marks the heap as failed if memory ran out."""
    cdef size_t at, parent
    cdef Event *events
    if heap.failed:
        return
    if heap.length == heap.capacity:
        events = <Event *> realloc(heap.events, heap.capacity * 2 * sizeof(Event))
        if events == NULL:
            heap.failed = True
            return
        heap.events = events
        heap.capacity *= 2
    at = heap.length
    heap.length += 1
    while at > 0:
        parent = (at - 1) // 2
        if not event_before(&event, &heap.events[parent]):
            break
        heap.events[at] = heap.events[parent]
        at = parent
    heap.events[at] = event


cdef inline Event heap_pop(Heap *heap) noexcept nogil:
    """Take the first event out; the heap is not empty."""
    cdef Event first = heap.events[0]
    cdef Event last
    cdef size_t at = 0
    cdef size_t child
    heap.length -= 1
    last = heap.events[heap.length]
    while True:
        child = 2 * at + 1
        if child >= heap.length:
            break
        if child + 1 < heap.length and event_before(
            &heap.events[child + 1], &heap.events[child]
        ):
            child += 1
        if not event_before(&heap.events[child], &last):
            break
        heap.events[at] = heap.events[child]
        at = child
    if heap.length > 0:
        heap.events[at] = last
    return first
