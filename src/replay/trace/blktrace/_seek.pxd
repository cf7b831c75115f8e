"""A file's first record at or after a moment, found by halves.

Where it is only tells where to begin: what is read from there on counts once it was
seen to be what reading from the start comes to (``_slices.pyx``).
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t
from libc.string cimport memset

from replay.trace.blktrace._record cimport (
    Format, KIND_EVENT, KIND_MESSAGE, READ_OK, Record, record_read
)
from replay.trace.blktrace._source cimport (
    Source, source_next, source_resync, time_shifted
)

cdef enum:
    #: How far a record is looked for, and how far it is read on to a moment.
    REACH = 0x100000
    FIRST_STEP = 0x4000
    #: So near is near enough.
    NEAR = 0x400


cdef inline bint source_time(
    const Source* source, size_t offset, size_t* at_out, uint64_t* time_out
) noexcept nogil:
    """Find the first event or message at or after ``offset``, and its time.

    Returns
    -------
    bint
        False if there is none within reach.
    """
    cdef Source probe = source[0]
    cdef Record record
    cdef size_t length = 0
    probe.size = min(source.size, offset + <size_t>REACH)
    # it is short: nobody need look for signals meanwhile
    probe.look_at = <size_t>0 - 1
    while True:
        offset = source_resync(&probe, offset)
        if offset >= probe.size or record_read(
            probe.data + offset, probe.size - offset, &probe.format, &record, &length
        ) != READ_OK:
            return False
        if record.kind == KIND_EVENT or record.kind == KIND_MESSAGE:
            at_out[0] = offset
            time_out[0] = time_shifted(record.time_ns, source.shift_ns)
            return True
        offset += length


cdef inline bint source_seek(
    Source* source, size_t* low, uint64_t time_ns
) noexcept nogil:
    """Let a source begin with its first event or message not before a time.

    Parameters
    ----------
    source : Source*
        Opened.
    low : size_t*
        A record that is before that time, or the first one; a later one afterwards.
    time_ns : uint64_t
        On the common clock.

    Returns
    -------
    bint
        False if it was not found within reach.
    """
    cdef size_t begin = low[0]
    cdef size_t high = source.size
    cdef size_t step = FIRST_STEP
    cdef size_t middle
    cdef size_t at = 0
    cdef uint64_t found_ns = 0
    cdef Source fresh
    while begin + step < high:
        middle = begin + step
        if not source_time(source, middle, &at, &found_ns) or found_ns >= time_ns:
            high = middle
            break
        begin = at
        step *= 2
    while high - begin > <size_t>NEAR:
        middle = begin + (high - begin) // 2
        if (
            source_time(source, middle, &at, &found_ns)
            and found_ns < time_ns
            and at < high
        ):
            begin = at
        else:
            high = middle
    low[0] = begin
    memset(&fresh, 0, sizeof(fresh))
    fresh.data = source.data
    fresh.size = source.size
    fresh.format = source.format
    fresh.shift_ns = source.shift_ns
    fresh.is_read = source.is_read
    fresh.offset = begin
    fresh.look_at = begin + 2 * <size_t>REACH
    fresh.live = source.size != 0
    while fresh.live:
        source_next(&fresh)
        if (
            fresh.live
            and (fresh.head.kind == KIND_EVENT or fresh.head.kind == KIND_MESSAGE)
            and fresh.sort_ns >= time_ns
        ):
            break
        if fresh.offset - begin > <size_t>REACH:
            return False
    source[0] = fresh
    return True
