"""One file of a capture: its records one after the other, damage stepped over.

A record counts only if another one, or the end, follows where its length says. When
that fails the bytes up to the next plausible record are refused and counted. The scan
only moves forward: the work is linear in the size, whatever the bytes are.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr

from replay.trace._record cimport (
    Format,
    KIND_EVENT,
    KIND_MESSAGE,
    KIND_UNKNOWN,
    MAGIC_V7,
    MAGIC_V8,
    READ_BAD,
    READ_OK,
    READ_SHORT,
    Record,
    format_detect,
    header_bytes,
    load_u32,
    load_u64,
    record_read,
)


cdef enum:
    #: An event that lies this far ahead of both its neighbours has a damaged time.
    SPIKE_NS = 1000000000


ctypedef struct Source:
    const uint8_t* data
    size_t size
    #: Where ``head`` begins, and the record after it.
    size_t at
    size_t offset
    Format format
    #: The next record of this source; valid while ``live``.
    Record head
    #: Place of ``head`` in the merge; 0 puts notes that carry no event time first.
    uint64_t sort_ns
    #: Tie-break after the time: cpu << 32 | sequence.
    uint64_t sort_tie
    #: Time of the last event, for the spike rule.
    uint64_t last_ns
    uint64_t n_records
    uint64_t refused_bytes
    uint64_t truncated_bytes
    uint64_t n_spikes
    #: Added to all times: this capture's clock began so much later than another's.
    uint64_t shift_ns
    #: Events that are older than the one before, which is of another CPU.
    uint64_t n_turns
    uint32_t last_cpu
    #: The (device, cpu) whose sequence was last followed, and its index + 1.
    uint64_t tracked_id
    uint32_t tracked
    bint live
    bint seen_event


cdef inline uint64_t time_shifted(uint64_t time_ns, uint64_t shift_ns) noexcept nogil:
    """Bring a time below 2**63 to the common clock; what does not fit stays."""
    cdef uint64_t shifted = time_ns + shift_ns
    return time_ns if shifted >> 63 else shifted


cdef inline bint source_follows(const Source* source, size_t offset) noexcept nogil:
    """Tell whether a record, a cut-off one or the end stands at ``offset``."""
    if offset > source.size:
        return False
    if source.size - offset < 4:
        return True
    return load_u32(source.data + offset, source.format.swap) == source.format.magic


cdef inline size_t source_resync(const Source* source, size_t offset) noexcept nogil:
    """Find the next plausible record at or after ``offset``; ``size`` if none.

    Plausible: the magic, known action, possible fields, and again a record or the end
    behind it.
    """
    cdef Record record
    cdef size_t length
    cdef const uint8_t* found
    cdef uint8_t first
    if source.size < 4:
        return source.size
    # the first byte in the file's order: of 0x656174vv the last or the first
    cdef uint32_t magic = source.format.magic
    cdef uint8_t* bytes_of_magic = <uint8_t*>&magic
    first = bytes_of_magic[3] if source.format.swap else bytes_of_magic[0]
    while offset < source.size:
        found = <const uint8_t*>memchr(
            source.data + offset, first, source.size - offset
        )
        if found == NULL:
            break
        offset = <size_t>found - <size_t>source.data
        if (
            record_read(
                found, source.size - offset, &source.format, &record, &length
            ) == READ_OK
            and record.kind != KIND_UNKNOWN
            and source_follows(source, offset + length)
        ):
            return offset
        offset += 1
    return source.size


cdef inline bint source_open(Source* source) noexcept nogil:
    """Find version and byte order; false if neither magic nor record is there.

    ``data`` and ``size`` are set, all else is zero; an empty source is fine.
    """
    cdef Format candidate
    cdef Format best
    cdef size_t best_at = source.size
    cdef size_t found
    cdef size_t length
    cdef uint32_t version
    cdef int swap
    cdef bint has_magic = source.size >= 4 and format_detect(source.data, &best)
    if source.size == 0:
        return True
    if has_magic:
        source.format = best
        if (
            record_read(source.data, source.size, &best, &source.head, &length)
            == READ_OK
            and source_follows(source, length)
        ):
            return True
    # the head is damaged: the nearest plausible record of any version and byte order
    for version in range(<uint32_t>MAGIC_V7, <uint32_t>MAGIC_V8 + 1):
        for swap in range(2):
            candidate.magic = version
            candidate.swap = swap
            source.format = candidate
            found = source_resync(source, 0)
            if found < best_at:
                best_at = found
                best = candidate
    source.format = best
    return has_magic or best_at < source.size


cdef inline void source_check_time(Source* source) noexcept nogil:
    """Bring a record back whose time alone is far ahead of its neighbours'.

    One flipped bit would else hold back, then flatten, everything after it. The time
    becomes that of the event before (the record after, if it is the first).
    """
    cdef uint64_t time_ns = source.head.time_ns
    cdef uint64_t after_ns
    cdef uint64_t floor_ns = source.last_ns
    if source.seen_event and time_ns <= floor_ns + SPIKE_NS:
        return
    if source.size - source.offset < header_bytes(&source.format):
        return
    after_ns = load_u64(source.data + source.offset + 8, source.format.swap)
    if after_ns >> 63 or after_ns + SPIKE_NS >= time_ns:
        return
    if not source.seen_event:
        floor_ns = after_ns
    if after_ns >= floor_ns:
        source.head.time_ns = floor_ns
        source.n_spikes += 1


cdef inline void source_next(Source* source) noexcept nogil:
    """Read the next record into ``head``; clear ``live`` at the end of the data."""
    cdef size_t offset = source.offset
    cdef size_t left
    cdef size_t length
    cdef size_t after
    cdef size_t found
    cdef int status
    while True:
        left = source.size - offset
        status = record_read(
            source.data + offset, left, &source.format, &source.head, &length
        )
        after = offset + length
        if status == READ_OK and source_follows(source, after):
            break
        if left < 4 or (status == READ_SHORT and left < header_bytes(&source.format)):
            source.truncated_bytes += left
            source.offset = source.size
            source.live = False
            return
        if status == READ_BAD and length and source_follows(source, after):
            # impossible fields in a record of the right length
            source.refused_bytes += length
            offset = after
            continue
        found = source_resync(
            source, offset + (1 if status == READ_BAD else header_bytes(&source.format))
        )
        if status == READ_OK and found >= after:
            # this record is whole, what follows it is not
            source.refused_bytes += found - after
            after = found
            break
        if status == READ_SHORT and found == source.size:
            source.truncated_bytes += left
        else:
            source.refused_bytes += found - offset
        offset = found
    source.at = offset
    source.offset = after
    source.n_records += 1
    if source.head.kind != KIND_EVENT and source.head.kind != KIND_MESSAGE:
        # no time of an event: in a dump of `blkparse -d` process and timestamp notes
        # alone keep absolute times, and of what is unknown nothing is known
        source.sort_ns = 0
        source.sort_tie = 0
        source.head.time_ns = time_shifted(source.head.time_ns, source.shift_ns)
        return
    source_check_time(source)
    source.sort_ns = time_shifted(source.head.time_ns, source.shift_ns)
    source.sort_tie = <uint64_t>source.head.cpu << 32
    if source.head.kind == KIND_EVENT:
        source.sort_tie |= source.head.sequence
        if source.head.time_ns < source.last_ns and source.head.cpu != source.last_cpu:
            source.n_turns += 1
        source.last_ns = source.head.time_ns
        source.last_cpu = source.head.cpu
        source.seen_event = True
    source.head.time_ns = source.sort_ns
