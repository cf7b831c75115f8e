"""Lines on their way to records: held back, put in order, and written.

A record is written as version 8 of the kernel's layout (``_record.pxd``), so whatever
reads binary traces reads text too. Lines that are slightly out of order leave in order:
the last `WINDOW` of them are held back. What is older than what has left is late: it
leaves apart, to be sorted by the caller.

A remap (A) may be printed with the partition that it went to, but its sequence number
is of the device that was traced: that is put back, where its own does not fit.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memmove, memset

from replay.trace.text._event_line cimport (
    LETTER_MESSAGE,
    LETTER_T,
    LETTER_U,
    LETTER_X,
    TextEvent,
)
from replay.trace.text._given_line cimport Steps
from replay.trace.blktrace._record cimport (
    CAT_NOTIFY,
    HEADER_V8,
    ID_BIT,
    LETTER_A,
    MAGIC_V8,
)


cdef enum:
    #: Lines held back, and again so many before half of them leave.
    WINDOW = 4096
    NAME_BYTES = 16
    MESSAGE_BYTES = 256
    #: A process note, an event or message, its cgroup and its payload.
    SLOT_BYTES = 2 * HEADER_V8 + NAME_BYTES + 8 + MESSAGE_BYTES
    #: Of a late record: time, tie, length, and as much as the longest one has.
    LATE_BYTES = 24 + SLOT_BYTES
    #: Names remembered, so that they are not noted with every line.
    N_KNOWN = 1 << 14
    #: Events remembered, to find the one before a remap; a power of two.
    N_TRACED = 1 << 12
    #: Places for pairs of device and CPU, of which 3/4 are taken at most.
    N_PAIRS = 1 << 12
    #: Places for paths of cgroups.
    N_PATHS = 1 << 14
    #: A cgroup's path as the kernel's tracer prints it is cut at 255 characters.
    PATH_BYTES = 256
    #: The first number of a cgroup that has a path; 1 is the root's.
    FIRST_PATH = 2
    #: CPUs whose lost events are told apart.
    N_LOST = 1024


ctypedef struct Slot:
    uint64_t time_ns
    #: cpu << 32 | sequence: the order of records of one time.
    uint64_t tie
    uint32_t n_bytes
    #: Of the event's header in ``data``.
    uint16_t event_at
    bint is_remap
    uint8_t data[408]


ctypedef struct Traced:
    #: The event at a place of the table: its cpu << 32 | sequence, and its device.
    uint64_t tie
    uint32_t device


ctypedef struct Pair:
    #: 1 + the device << 32 | cpu; 0: the place is free.
    uint64_t id
    uint32_t sequence


ctypedef struct KnownPath:
    #: The cgroup's number; 0: the place is free.
    uint32_t number
    uint16_t n_bytes
    uint8_t path[256]


ctypedef struct KnownName:
    uint32_t pid
    bint known
    uint8_t name[16]


ctypedef struct Text:
    Steps steps
    Slot* slots
    #: Slots that hold a record, by (time, tie); behind them the free ones.
    uint32_t order[8192]
    uint32_t n_held
    KnownName* names
    Traced traced[4096]
    Pair pairs[4096]
    uint32_t n_pairs
    KnownPath* paths
    uint32_t n_paths
    #: Lines whose cgroup found no place.
    uint64_t n_paths_dropped
    #: Added to all times, so that those before the first event can be told.
    uint64_t base_ns
    #: The last record that left, and those that belong before it: `LATE_BYTES` each.
    uint64_t left_ns
    uint64_t left_tie
    uint8_t* late
    uint32_t n_late
    uint64_t n_events
    uint64_t n_messages
    uint64_t n_names
    uint64_t n_comments
    uint64_t n_refused
    uint64_t refused_bytes
    uint64_t truncated_bytes
    uint64_t n_lines
    #: Number of the first line that was refused, 0 if none was.
    uint64_t first_refused
    uint64_t n_out_of_order
    uint64_t latest_ns
    #: Times that blkparse printed as 2**64 ns less what is before its first event.
    uint64_t n_wrapped
    #: Of the kernel's text: other events, those of no disk, of a clock without unit.
    uint64_t n_other
    uint64_t n_no_disk
    uint64_t n_no_time
    uint64_t n_completed
    uint64_t lost[1024]
    #: Events that blkparse says are missing, and how often it says so.
    uint64_t n_skips
    uint64_t n_skips_lines
    #: Of the kernel's text: times, those before the line before's, before any earlier
    #: line's, below a second, and with digits below a microsecond.
    uint64_t n_times
    uint64_t n_steps_back
    uint64_t n_below_latest
    uint64_t n_below_second
    uint64_t n_in_ns
    bint begins_at_0
    uint64_t before_ns
    uint64_t latest_printed_ns
    #: The times are differences from the line before; their sum.
    bint differences
    uint64_t sum_ns


cdef inline void put_header(
    uint8_t* at,
    const TextEvent* event,
    uint64_t action,
    uint16_t payload_bytes,
) noexcept nogil:
    """Write a version 8 header, in this machine's byte order."""
    cdef uint32_t magic = MAGIC_V8
    cdef uint16_t error = <uint16_t>event.error
    memset(at, 0, HEADER_V8)
    memcpy(at, &magic, 4)
    memcpy(at + 4, &event.sequence, 4)
    memcpy(at + 8, &event.time_ns, 8)
    memcpy(at + 16, &event.sector, 8)
    memcpy(at + 24, &event.nbytes, 4)
    memcpy(at + 28, &event.pid, 4)
    memcpy(at + 32, &action, 8)
    memcpy(at + 40, &event.device, 4)
    memcpy(at + 44, &event.cpu, 4)
    memcpy(at + 48, &error, 2)
    memcpy(at + 50, &payload_bytes, 2)


cdef inline void put_big_endian(uint8_t* at, uint64_t value, int n_bytes) noexcept nogil:
    """Write a number as the kernel does in payloads."""
    cdef int number
    for number in range(n_bytes):
        at[number] = <uint8_t>(value >> 8 * (n_bytes - 1 - number))


cdef inline uint32_t put_payload(uint8_t* at, const TextEvent* event) noexcept nogil:
    """Write an event's own payload; return its length."""
    cdef uint32_t n_bytes
    if event.letter == LETTER_MESSAGE:
        n_bytes = <uint32_t>min(event.text_bytes, <size_t>MESSAGE_BYTES)
        memcpy(at, event.text, n_bytes)
        return n_bytes
    if event.letter == LETTER_A and event.has_other:
        put_big_endian(at, event.other_device, 4)
        put_big_endian(at + 4, event.device, 4)
        put_big_endian(at + 8, event.other_sector, 8)
        return 16
    if event.letter == LETTER_X and event.has_other:
        put_big_endian(at, event.other_sector, 8)
        return 8
    if event.letter == LETTER_U or event.letter == LETTER_T:
        put_big_endian(at, event.count, 8)
        return 8
    return 0


cdef inline uint32_t put_name(Text* text, uint8_t* at, const TextEvent* event) noexcept nogil:
    """Write a note if this name of the process is new; return its length."""
    cdef KnownName* known = &text.names[event.pid & (N_KNOWN - 1)]
    cdef uint8_t[16] name
    cdef size_t n_bytes = min(event.text_bytes, <size_t>NAME_BYTES)
    if event.letter == LETTER_MESSAGE or event.text_bytes == 0:
        return 0
    if event.text_bytes == 6 and memcmp(event.text, b"(null)", 6) == 0:
        return 0
    memset(name, 0, NAME_BYTES)
    memcpy(name, event.text, n_bytes)
    if (
        known.known
        and known.pid == event.pid
        and memcmp(known.name, name, NAME_BYTES) == 0
    ):
        return 0
    known.known = True
    known.pid = event.pid
    memcpy(known.name, name, NAME_BYTES)
    put_header(at, event, <uint64_t>CAT_NOTIFY << 16, NAME_BYTES)
    memcpy(at + HEADER_V8, name, NAME_BYTES)
    text.n_names += 1
    return HEADER_V8 + NAME_BYTES


cdef inline uint64_t path_number(
    Text* text, const uint8_t* path, size_t n_bytes
) noexcept nogil:
    """Number of a cgroup by its path, in order of appearance; 0: there is no room."""
    cdef uint64_t mix = 0xcbf29ce484222325U
    cdef size_t at
    cdef uint32_t place
    cdef KnownPath* known
    if n_bytes > PATH_BYTES:
        n_bytes = PATH_BYTES
    while n_bytes > 1 and path[n_bytes - 1] == c"/":
        n_bytes -= 1
    if n_bytes == 1:
        return 1
    for at in range(n_bytes):
        mix = (mix ^ path[at]) * <uint64_t>0x100000001b3
    place = <uint32_t>(mix ^ mix >> 32) & (N_PATHS - 1)
    while True:
        known = &text.paths[place]
        if known.number == 0:
            break
        if known.n_bytes == n_bytes and memcmp(known.path, path, n_bytes) == 0:
            return known.number
        place = (place + 1) & (N_PATHS - 1)
    if text.n_paths == <uint32_t>(N_PATHS - N_PATHS // 4):
        text.n_paths_dropped += 1
        return 0
    known.number = FIRST_PATH + text.n_paths
    known.n_bytes = <uint16_t>n_bytes
    memcpy(known.path, path, n_bytes)
    text.n_paths += 1
    return known.number


cdef inline void put_event(Text* text, Slot* slot, const TextEvent* event) noexcept nogil:
    """Write the records of a line into a slot."""
    cdef uint32_t n_bytes = put_name(text, slot.data, event)
    cdef uint8_t* at = slot.data + n_bytes
    cdef uint32_t n_id = 8 if event.cgroup else 0
    cdef uint32_t n_payload = put_payload(at + HEADER_V8 + n_id, event)
    cdef uint64_t action = event.category << 16 | event.letter
    if event.letter == LETTER_MESSAGE:
        action = <uint64_t>CAT_NOTIFY << 16 | <uint64_t>2
        text.n_messages += 1
    else:
        text.n_events += 1
    if n_id:
        action |= ID_BIT
        memcpy(at + HEADER_V8, &event.cgroup, 8)
    put_header(at, event, action, <uint16_t>(n_id + n_payload))
    slot.event_at = <uint16_t>n_bytes
    slot.is_remap = event.letter == LETTER_A
    slot.n_bytes = n_bytes + HEADER_V8 + n_id + n_payload
    slot.time_ns = event.time_ns
    slot.tie = <uint64_t>event.cpu << 32 | event.sequence


cdef inline bint slot_after(const Slot* left, const Slot* right) noexcept nogil:
    """Order of two records."""
    if left.time_ns != right.time_ns:
        return left.time_ns > right.time_ns
    return left.tie > right.tie


cdef inline void hold(Text* text, TextEvent* event, bint by_line) noexcept nogil:
    """Add a line's records in their place; there must be a free slot.

    ``by_line``: the order of lines is that of records of one time.
    """
    cdef uint32_t place = text.n_held
    cdef uint32_t number = text.order[place]
    cdef Slot* slot = &text.slots[number]
    event.time_ns += text.base_ns
    if event.path_bytes:
        event.cgroup = path_number(text, event.path, event.path_bytes)
    put_event(text, slot, event)
    if by_line:
        slot.tie = text.n_lines
    if event.letter != LETTER_MESSAGE:
        if event.time_ns < text.latest_ns:
            text.n_out_of_order += 1
        else:
            text.latest_ns = event.time_ns
    # lines are mostly in order: the place is found from the end
    while place and slot_after(&text.slots[text.order[place - 1]], slot):
        text.order[place] = text.order[place - 1]
        place -= 1
    text.order[place] = number
    text.n_held += 1


cdef inline Pair* pair_of(Text* text, uint32_t device, uint32_t cpu) noexcept nogil:
    """Place of a device and CPU, taken or free; NULL if it is new and none is left."""
    cdef uint64_t id = (<uint64_t>device << 32 | cpu) + 1
    cdef uint64_t mix = id * <uint64_t>0x9e3779b97f4a7c15
    cdef uint32_t place = <uint32_t>(mix >> 40) & (N_PAIRS - 1)
    while text.pairs[place].id and text.pairs[place].id != id:
        place = (place + 1) & (N_PAIRS - 1)
    if text.pairs[place].id == 0:
        if text.n_pairs == <uint32_t>(N_PAIRS - N_PAIRS // 4):
            return NULL
        text.n_pairs += 1
        text.pairs[place].id = id
        text.pairs[place].sequence = 0
    return &text.pairs[place]


cdef inline void put_traced(Text* text, Slot* slot) noexcept nogil:
    """Give a remap the device whose sequence it goes on; remember any event's."""
    cdef uint32_t cpu = <uint32_t>(slot.tie >> 32)
    cdef uint8_t* at = slot.data + slot.event_at + 40
    cdef uint32_t sequence = <uint32_t>(slot.tie & 0xffffffffU)
    cdef uint32_t device
    cdef Traced* before
    cdef Traced* place = &text.traced[(sequence + 61 * cpu) & (N_TRACED - 1)]
    cdef Pair* pair
    if sequence == 0:
        # a message
        return
    memcpy(&device, at, 4)
    pair = pair_of(text, device, cpu)
    if slot.is_remap and sequence > 1 and pair != NULL and pair.sequence + 1 != sequence:
        before = &text.traced[(sequence - 1 + 61 * cpu) & (N_TRACED - 1)]
        if before.tie == slot.tie - 1:
            pair = pair_of(text, before.device, cpu)
            if pair != NULL and pair.sequence + 1 == sequence:
                device = before.device
                memcpy(at, &device, 4)
    place.tie = slot.tie
    place.device = device
    pair = pair_of(text, device, cpu)
    if pair != NULL:
        pair.sequence = sequence


cdef inline void put_late(Text* text, const Slot* slot) noexcept nogil:
    """Let a record leave apart."""
    cdef uint8_t* at = text.late + <size_t>text.n_late * LATE_BYTES
    cdef uint64_t n_bytes = slot.n_bytes
    memcpy(at, &slot.time_ns, 8)
    memcpy(at + 8, &slot.tie, 8)
    memcpy(at + 16, &n_bytes, 8)
    memcpy(at + 24, slot.data, slot.n_bytes)
    text.n_late += 1


cdef inline size_t release(
    Text* text, uint32_t n_slots, uint8_t* out, bint by_line
) noexcept nogil:
    """Copy the first slots' records out; return their length. The late ones are apart."""
    cdef uint32_t[8192] freed
    cdef uint32_t place
    cdef size_t n_bytes = 0
    cdef Slot* slot
    for place in range(n_slots):
        slot = &text.slots[text.order[place]]
        if not by_line:
            put_traced(text, slot)
        freed[place] = text.order[place]
        if slot.time_ns < text.left_ns or (
            slot.time_ns == text.left_ns and slot.tie < text.left_tie
        ):
            put_late(text, slot)
            continue
        text.left_ns = slot.time_ns
        text.left_tie = slot.tie
        memcpy(out + n_bytes, slot.data, slot.n_bytes)
        n_bytes += slot.n_bytes
    memmove(
        text.order, &text.order[n_slots], (2 * WINDOW - n_slots) * sizeof(uint32_t)
    )
    memcpy(&text.order[2 * WINDOW - n_slots], freed, n_slots * sizeof(uint32_t))
    text.n_held -= n_slots
    return n_bytes
