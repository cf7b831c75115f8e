"""Streams of dependent arrivals, and the requests that their completions release."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from replay.engine.state.events cimport max_time_ns, push
from replay.engine.state.rows cimport Columns
from replay.engine.state.sim cimport (
    EVENT_ENDED,
    EVENT_RELEASE,
    SIM_TIME_RANGE,
    Sim,
)
from replay.engine.state.stream_types cimport Stream
from replay.engine.structures.ends cimport End, ends_pop, ends_push


cdef inline int64_t part_find(const Sim *sim, int64_t position) noexcept nogil:
    """Return the number of the batch that holds a row."""
    cdef int64_t low = 0
    cdef int64_t high = sim.n_parts - 1
    cdef int64_t middle
    while low < high:
        middle = (low + high + 1) // 2
        if sim.part_start[middle] <= position:
            low = middle
        else:
            high = middle - 1
    return low


cdef inline const Columns *part_of(Sim *sim, int64_t *position) noexcept nogil:
    """Return the batch that holds a row, and the row's place in it."""
    cdef int64_t part = sim.last_part
    cdef int64_t at = position[0] - sim.part_start[part]
    if not 0 <= at < sim.parts[part].n_rows:
        part = sim.last_part = part_find(sim, position[0])
        at = position[0] - sim.part_start[part]
    position[0] = at
    return &sim.parts[part]


cdef inline void ends_tell(Sim *sim, int32_t index) noexcept nogil:
    """Make an event of each end that is known: another one may come first."""
    cdef Stream *stream = &sim.streams[index]
    cdef End one
    while stream.ends.n > 0:
        one = ends_pop(&stream.ends)
        stream.unknown += 1
        push(sim, one.when_ns, EVENT_ENDED, one.starts, <uint32_t> index)


cdef inline int64_t completed_at(
    Sim *sim, int32_t index, int64_t base_ns
) noexcept nogil:
    """Return from when on a stream's next request may be queued; -1: nobody knows yet.

    It waits for completions. Where all of them are known ahead they are no events.
    """
    cdef Stream *stream = &sim.streams[index]
    cdef int64_t needs = sim.needs[stream.next]
    while stream.ends.n > 0 and stream.ends.items[0].when_ns <= base_ns:
        stream.completions += ends_pop(&stream.ends).starts
    if stream.completions >= needs:
        return base_ns
    if stream.unknown > 0:
        ends_tell(sim, index)
        return -1
    while stream.completions < needs:
        if stream.ends.n == 0:
            return -1
        base_ns = stream.ends.items[0].when_ns
        stream.completions += ends_pop(&stream.ends).starts
    return base_ns


cdef inline void release_next(Sim *sim, int32_t index, int64_t base_ns) noexcept nogil:
    """Release a stream's next request, or wait for the completion it depends on."""
    cdef Stream *stream = &sim.streams[index]
    if stream.next == stream.end:
        return
    base_ns = completed_at(sim, index, base_ns)
    if base_ns < 0:
        stream.waits = True
        return
    if sim.think_ns[stream.next] >= max_time_ns():
        sim.status = SIM_TIME_RANGE
        sim.error_row = sim.order[stream.next]
        return
    base_ns += stream.delay_ns
    stream.debt_ns = stream.delay_ns
    stream.delay_ns = 0
    push(
        sim,
        base_ns + sim.think_ns[stream.next],
        EVENT_RELEASE,
        sim.order[stream.next],
        <uint32_t> index,
    )


cdef inline void delay_stream(
    Sim *sim, int32_t index, int64_t delay_ns
) noexcept nogil:
    """Delay a process when it comes from the kernel; kernel threads never do.

    Source: block/blk-cgroup.c:blkcg_schedule_throttle(), v6.1.
    """
    if index >= 0 and not sim.streams[index].is_kernel:
        sim.streams[index].delay_ns = max(sim.streams[index].delay_ns, delay_ns)


cdef inline uint32_t starts_of(const Sim *sim, int32_t index) noexcept nogil:
    """Return the I/Os that begin with the request that a stream released last."""
    return sim.starts[sim.streams[index].next - 1]


cdef inline void stream_foresees(
    Sim *sim, int32_t index, uint32_t starts, int64_t done_ns
) noexcept nogil:
    """The end of a stream's request is known, and no event yet."""
    cdef Stream *stream
    if index < 0:
        return
    stream = &sim.streams[index]
    if stream.waits:
        push(sim, done_ns, EVENT_ENDED, starts, <uint32_t> index)
        return
    stream.unknown -= 1
    ends_push(&stream.ends, done_ns, starts, &sim.failed)


cdef inline void stream_completes(
    Sim *sim, int32_t index, uint32_t starts, int64_t now
) noexcept nogil:
    """A request of a stream is done; one that waited for it may follow."""
    cdef Stream *stream
    if index < 0:
        return
    stream = &sim.streams[index]
    stream.unknown -= 1
    stream.completions += starts
    if stream.waits:
        stream.waits = False
        release_next(sim, index, now)
