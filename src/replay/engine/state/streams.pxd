"""Streams of dependent arrivals, and the requests that their completions release."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from replay.engine.state.events cimport max_time_ns, push
from replay.engine.state.rows cimport Columns
from replay.engine.state.sim cimport EVENT_RELEASE, SIM_TIME_RANGE, Sim
from replay.engine.state.stream_types cimport Stream


cdef inline const Columns *part_of(const Sim *sim, int64_t *position) noexcept nogil:
    """Return the batch that holds a row, and the row's place in it."""
    cdef int64_t low = 0
    cdef int64_t high = sim.n_parts - 1
    cdef int64_t middle
    while low < high:
        middle = (low + high + 1) // 2
        if sim.part_start[middle] <= position[0]:
            low = middle
        else:
            high = middle - 1
    position[0] -= sim.part_start[low]
    return &sim.parts[low]


cdef inline void release_next(Sim *sim, int32_t index, int64_t base_ns) noexcept nogil:
    """Release a stream's next request, or wait for the completion it depends on."""
    cdef Stream *stream = &sim.streams[index]
    if stream.next == stream.end:
        return
    if stream.completions < sim.needs[stream.next]:
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


cdef inline void stream_completes(
    Sim *sim, int32_t index, uint32_t starts, int64_t now
) noexcept nogil:
    """A request of a stream is done; one that waited for it may follow."""
    cdef Stream *stream
    if index < 0:
        return
    stream = &sim.streams[index]
    stream.completions += starts
    if stream.waits:
        stream.waits = False
        release_next(sim, index, now)
