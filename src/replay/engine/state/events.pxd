"""Events that are still to come, and the ends of time."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine.state.sim cimport (
    EVENT_IOLATENCY,
    EVENT_PERIOD,
    EVENT_TIMER,
    SIM_END_RANGE,
    Sim,
)
from replay.engine.structures.heap cimport (
    RANK_KIND_SHIFT,
    Event,
    heap_push,
    heap_push_far,
)


cdef inline int64_t max_time_ns() noexcept nogil:
    """Return the end of the times that a trace may hold: 2**53 ns, 104 days."""
    return <int64_t> 1 << 53


cdef inline uint64_t max_sectors() noexcept nogil:
    """Return the end of the sectors whose pages can be told apart: 2**60.

    A file of Linux has 2**54 at most (include/linux/fs.h:MAX_LFS_FILESIZE, v6.1).
    """
    return <uint64_t> 1 << 60


cdef inline int64_t max_event_ns() noexcept nogil:
    """Return the end of the times that a replay may come to: 2**54 ns, 208 days.

    With 8 more bits, for the shared lock's virtual time, they still fit 64.
    """
    return <int64_t> 1 << 54


cdef inline void push(
    Sim *sim, int64_t when_ns, uint64_t kind, int64_t sequence, uint32_t payload
) noexcept nogil:
    """Add an event; all but two kinds of timers keep the run going."""
    cdef Event event
    if not 0 <= when_ns < max_event_ns():
        sim.status = SIM_END_RANGE
        return
    event.when_ns = when_ns
    event.rank = kind << RANK_KIND_SHIFT | <uint64_t> sequence
    event.payload = payload
    if kind == EVENT_TIMER or kind == EVENT_PERIOD or kind == EVENT_IOLATENCY:
        heap_push_far(&sim.heap, event)
        return
    heap_push(&sim.heap, event)
    sim.pending += 1
