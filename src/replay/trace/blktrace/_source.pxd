"""One file of a capture: its records one after the other, damage stepped over.

A record counts only if another one, or the end, follows where its length says. When
that fails the bytes up to the next plausible record are refused and counted. The scan
only moves forward: the work is linear in the size, whatever the bytes are.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy

from replay.common.halting cimport signal_raised
from replay.trace.blktrace._record cimport (
    CAT_NOTIFY,
    Format,
    HEADER_V7,
    HEADER_V8,
    ID_BIT,
    KIND_EVENT,
    KIND_MESSAGE,
    KIND_UNKNOWN,
    MAGIC_V7,
    MAGIC_V8,
    N_LETTERS,
    READ_BAD,
    READ_OK,
    READ_SHORT,
    Record,
    format_detect,
    header_bytes,
    load_u16,
    load_u32,
    load_u64,
    record_read,
)


cdef enum:
    #: An event that lies this far ahead of both its neighbours has a damaged time.
    SPIKE_NS = 1000000000
    #: Bytes between two looks at signals: some milliseconds, page faults included.
    LOOK_BYTES = 0x1000000


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
    #: Time of the last event, for the spike rule.
    uint64_t last_ns
    uint64_t refused_bytes
    uint64_t truncated_bytes
    #: Where the first of the refused bytes stands.
    uint64_t first_refused
    #: Of the refused bytes those that no missing event was yet found to be in.
    uint64_t unclaimed_bytes
    uint64_t n_spikes
    #: Added to all times: this capture's clock began so much later than another's.
    uint64_t shift_ns
    #: Events that are older than the one before, which is of another CPU.
    uint64_t n_turns
    #: Of the last event before ``head``.
    uint32_t last_cpu
    #: 1 + the (device, cpu) whose sequence was last followed, and its index.
    uint64_t tracked_id
    uint32_t tracked
    #: Where to look next whether a signal came.
    size_t look_at
    #: One did, and its exception is set, or nobody wants the rest: ``live`` is over.
    bint halted
    #: A record was found.
    bint is_read
    bint live
    bint seen_event
    #: An event was seen, no byte is swapped and no time shifted: see ``source_step``.
    bint is_plain


cdef inline uint64_t source_tie(const Source* source) noexcept nogil:
    """Order of heads of one time: (cpu, sequence), which not every note has."""
    if source.head.kind == KIND_EVENT:
        return <uint64_t>source.head.cpu << 32 | source.head.sequence
    if source.head.kind == KIND_MESSAGE:
        return <uint64_t>source.head.cpu << 32
    return 0


cdef inline uint64_t time_shifted(uint64_t time_ns, uint64_t shift_ns) noexcept nogil:
    """Bring a time below 2**63 to the common clock; what does not fit stays."""
    cdef uint64_t shifted = time_ns + shift_ns
    return time_ns if shifted >> 63 else shifted


cdef inline bint source_follows(const Source* source, size_t offset) noexcept nogil:
    """Return True if a record, a cut-off one or the end stands at ``offset``."""
    if offset > source.size:
        return False
    if source.size - offset < 4:
        return True
    return load_u32(source.data + offset, source.format.swap) == source.format.magic


cdef inline bint source_halts(Source* source, size_t offset) noexcept nogil:
    """Return True if to end before the data does: asked every few megabytes of it."""
    if offset < source.look_at:
        return False
    source.look_at = offset + LOOK_BYTES
    if not source.halted and signal_raised():
        source.halted = True
    return source.halted


cdef inline size_t source_resync(Source* source, size_t offset) noexcept nogil:
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
    while offset < source.size and not source_halts(source, offset):
        found = <const uint8_t*>memchr(
            source.data + offset, first, min(source.size - offset, <size_t>LOOK_BYTES)
        )
        if found == NULL:
            offset += min(source.size - offset, <size_t>LOOK_BYTES)
            continue
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
            source.look_at = 0
            found = source_resync(source, 0)
            if found < best_at:
                best_at = found
                best = candidate
    source.format = best
    source.look_at = 0
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


cdef inline void source_refuse(Source* source, size_t at, size_t end) noexcept nogil:
    """Count bytes that hold no valid record."""
    if source.refused_bytes == 0:
        source.first_refused = at
    source.refused_bytes += end - at
    source.unclaimed_bytes += end - at


cdef inline uint32_t source_claim(Source* source, uint32_t n_events) noexcept nogil:
    """Say how many of the events that are missing its damaged bytes may have held.

    Parameters
    ----------
    source : Source*
    n_events : uint32_t
        Missing before the record at hand.

    Returns
    -------
    uint32_t
        At most ``n_events``. No bytes hold two events.
    """
    cdef size_t size = header_bytes(&source.format)
    cdef uint64_t n_held = source.unclaimed_bytes // size
    if n_held < n_events:
        n_events = <uint32_t>n_held
    source.unclaimed_bytes -= n_events * size
    return n_events


cdef inline void source_next(Source* source) noexcept nogil:
    """Read the next record into ``head``; clear ``live`` at the end of the data."""
    cdef size_t offset = source.offset
    cdef size_t left
    cdef size_t length
    cdef size_t after
    cdef size_t found
    cdef int status
    if source.head.kind == KIND_EVENT:
        source.last_cpu = source.head.cpu
    if source_halts(source, offset):
        source.live = False
        return
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
            source_refuse(source, offset, after)
            offset = after
            continue
        found = source_resync(
            source, offset + (1 if status == READ_BAD else header_bytes(&source.format))
        )
        if status == READ_OK and found >= after:
            # this record is whole, what follows it is not
            source_refuse(source, after, found)
            after = found
            break
        if status == READ_SHORT and found == source.size:
            source.truncated_bytes += left
        else:
            source_refuse(source, offset, found)
        offset = found
    source.at = offset
    source.offset = after
    source.is_read = True
    if source.head.kind != KIND_EVENT and source.head.kind != KIND_MESSAGE:
        # no time of an event: in a dump of `blkparse -d` process and timestamp notes
        # alone keep absolute times, and of what is unknown nothing is known
        source.sort_ns = 0
        source.head.time_ns = time_shifted(source.head.time_ns, source.shift_ns)
        return
    source_check_time(source)
    source.sort_ns = time_shifted(source.head.time_ns, source.shift_ns)
    if source.head.kind == KIND_EVENT:
        if source.head.time_ns < source.last_ns and source.head.cpu != source.last_cpu:
            source.n_turns += 1
        source.last_ns = source.head.time_ns
        source.seen_event = True
        source.is_plain = source.format.swap == 0 and source.shift_ns == 0
    source.head.time_ns = source.sort_ns


cdef inline bint source_step(Source* source) noexcept nogil:
    """Read the next record as ``source_next`` does, if it is what records mostly are.

    An event in this machine's byte order, not older than the one before and not far
    ahead of it, with another record behind it. That it begins with the magic was seen
    when the one before was read.

    Returns
    -------
    bint
        False if it is anything else: then nothing has changed.
    """
    cdef const uint8_t* at = source.data + source.offset
    cdef size_t left = source.size - source.offset
    cdef uint32_t magic = source.format.magic
    cdef Record* head = &source.head
    cdef size_t header = HEADER_V7
    #: Device, CPU, error and payload's length.
    cdef const uint8_t* tail = at + 36
    cdef uint64_t action
    cdef uint64_t time_ns
    cdef uint32_t n_bytes
    # a header, an id, and the next record's magic
    if not source.is_plain or left < <size_t>(HEADER_V8 + 8 + 4):
        return False
    if magic == <uint32_t>MAGIC_V7:
        action = load_u32(at + 28, 0)
    else:
        header = HEADER_V8
        tail = at + 40
        action = load_u64(at + 32, 0)
    time_ns = load_u64(at + 8, 0)
    n_bytes = load_u16(tail + 10, 0)
    if (
        time_ns - source.last_ns > <uint64_t>SPIKE_NS
        or time_ns >> 63 | load_u32(tail + 4, 0) >> 16
        or action >> 16 & CAT_NOTIFY
        or (action & 0xfeff) - 1 >= <uint64_t>(N_LETTERS - 1)
        or action & ID_BIT and n_bytes < 8
        or left - header < n_bytes + 4
        or load_u32(at + header + n_bytes, 0) != magic
    ):
        return False
    if magic == <uint32_t>MAGIC_V7:
        memcpy(head, at, HEADER_V7)
    else:
        # the process stands before the action, which is longer
        memcpy(head, at, 28)
        memcpy(&head.device, tail, 12)
        head.pid = load_u32(at + 28, 0)
    source.offset += header + n_bytes
    at += header
    head.cgroup = 0
    if action & ID_BIT:
        head.cgroup = load_u64(at, 0)
        at += 8
        n_bytes -= 8
    head.payload = at
    head.payload_bytes = n_bytes
    head.category = action >> 16
    head.kind = KIND_EVENT
    head.letter = <uint8_t>(action & 0xff)
    source.sort_ns = source.last_ns = time_ns
    return True
