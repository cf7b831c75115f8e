"""A trace's facts beside its rows: counts, cgroups, processes, names, messages.

Everything here is bounded: ids by the limits below, names and messages by the places
made for them. What does not fit is counted.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from replay.trace.blktrace._record cimport (
    KIND_EVENT, KIND_MESSAGE, KIND_PROCESS, KIND_TIMESTAMP, N_LETTERS, Record, load_be64, load_u32
)
from replay.trace.blktrace._source cimport Source, source_claim
from replay.trace.pairing.open_requests cimport NIL, Slot


cdef extern from *:
    """
    #include <stdint.h>
    static inline uint64_t mix_id(uint64_t id, uint64_t seed) {
        unsigned __int128 product =
            (unsigned __int128)(id ^ seed) * 0x9e3779b97f4a7c15u;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    /* Sequence numbers wrap; the step from one to another. */
    static inline uint32_t sequence_step(uint32_t from, uint32_t to) {
        return to - from;
    }
    """
    uint64_t mix_id(uint64_t id, uint64_t seed) noexcept nogil
    uint32_t sequence_step(uint32_t start, uint32_t to) noexcept nogil


cdef enum:
    MAX_CGROUPS = 0x100000
    MAX_DEVICES = 0x10000
    #: Pairs of device and CPU.
    MAX_TRACKED = 0x100000
    MAX_PROCESSES = 0x40000
    MAX_NAMES = 0x10000
    NAME_BYTES = 16
    MAX_MESSAGES = 1000
    #: The kernel's limit is 128.
    MESSAGE_BYTES = 256
    #: The kernel's errors are below.
    MAX_ERRNO = 4096
    #: Pairs of devices of which one passes its bios on to the other.
    MAX_LAYERS = 64


ctypedef struct IdMap:
    #: Dense index -> id, in order of appearance.
    uint64_t* ids
    #: Dense index + 1 by hash, 0 = empty; mask + 1 places, twice the capacity.
    uint32_t* places
    uint32_t mask
    uint32_t n
    uint32_t capacity
    uint64_t seed
    #: The id found last and its index: neighbours mostly share it.
    uint64_t last_id
    uint32_t last


ctypedef struct CgroupTally:
    #: Of one cgroup, over the rows written.
    uint64_t n_requests
    uint64_t n_bios
    uint64_t nbytes


ctypedef struct ProcessTally:
    #: Of one process, over the rows written.
    uint64_t n_requests
    #: First and last time of any of its requests, ns.
    int64_t first_ns
    int64_t last_ns


ctypedef struct NameNote:
    uint64_t time_ns
    uint32_t pid
    uint8_t name[16]


ctypedef struct MessageNote:
    uint64_t time_ns
    uint32_t cpu
    uint16_t length
    uint8_t text[256]


ctypedef struct Facts:
    uint64_t letters[20]
    uint64_t n_notes[3]
    uint64_t n_unknown
    uint64_t n_out_of_order
    IdMap devices
    uint64_t* device_requests
    IdMap cgroups
    CgroupTally* cgroup_tally
    IdMap processes
    ProcessTally* process_tally
    #: Rows whose process found no place.
    uint64_t n_processes_dropped
    #: device << 32 | cpu -> last sequence and number lost.
    IdMap tracked
    uint32_t* track_sequence
    #: The first one that was seen.
    uint32_t* track_first
    uint64_t* track_lost
    #: Events missing where a source is damaged; not in ``track_lost``.
    uint64_t n_damaged
    NameNote* names
    uint32_t n_names
    uint64_t n_names_dropped
    MessageNote* messages
    uint32_t n_messages
    #: Of the first timestamp note.
    uint64_t wall_ns
    uint64_t wall_note_ns
    bint seen_wall
    bint seen_event
    #: Rows that failed when they were recorded, by errno.
    uint64_t errors[4096]
    #: Upper device << 32 | lower, of remaps.
    uint64_t layers[64]
    uint32_t n_layers
    #: Set when a map is full: it must grow before the next record or row.
    bint need_room


cdef inline uint32_t idmap_get(IdMap* ids, uint64_t id) noexcept nogil:
    """Dense index of an id, made if new; ``NIL`` if new and the map is full."""
    cdef uint32_t place
    cdef uint32_t found
    if ids.n and id == ids.last_id:
        return ids.last
    place = <uint32_t>mix_id(id, ids.seed) & ids.mask
    while True:
        found = ids.places[place]
        if found == 0:
            break
        if ids.ids[found - 1] == id:
            ids.last_id = id
            ids.last = found - 1
            return found - 1
        place = (place + 1) & ids.mask
    if ids.n == ids.capacity:
        return NIL
    ids.ids[ids.n] = id
    ids.n += 1
    ids.places[place] = ids.n
    ids.last_id = id
    ids.last = ids.n - 1
    return ids.last


cdef inline uint32_t facts_id(
    Facts* facts, IdMap* ids, uint64_t id, uint32_t limit
) noexcept nogil:
    """Dense index of an id; ask for growth if the map cannot take one more.

    A map as large as ``limit`` does not grow: its next new id is ``NIL``.
    """
    cdef uint32_t index
    if ids.n and id == ids.last_id:
        return ids.last
    index = idmap_get(ids, id)
    if ids.n == ids.capacity and ids.capacity < limit:
        facts.need_room = True
    return index


cdef inline void process_add(ProcessTally* tally, const Slot* slot) noexcept nogil:
    """Count a process's row."""
    cdef int64_t first_ns = slot.queue_ns if slot.queue_ns >= 0 else slot.issue_ns
    cdef int64_t last_ns = max(slot.complete_ns, slot.issue_ns, slot.queue_ns)
    if tally.n_requests == 0:
        tally.first_ns = first_ns
        tally.last_ns = last_ns
    tally.first_ns = min(tally.first_ns, first_ns)
    tally.last_ns = max(tally.last_ns, last_ns)
    tally.n_requests += 1


cdef inline void facts_row(Facts* facts, const Slot* slot) noexcept nogil:
    """Count a row that is written; ``need_room`` must be clear."""
    cdef CgroupTally* cgroup
    cdef uint32_t index = facts_id(facts, &facts.devices, slot.device, NIL)
    facts.device_requests[index] += 1
    cgroup = &facts.cgroup_tally[facts_id(facts, &facts.cgroups, slot.cgroup, NIL)]
    cgroup.n_requests += 1
    cgroup.n_bios += slot.n_bios
    cgroup.nbytes += slot.nbytes
    if slot.error:
        facts.errors[<uint32_t>(-slot.error) & (MAX_ERRNO - 1)] += 1
    index = facts_id(facts, &facts.processes, <uint32_t>slot.pid, MAX_PROCESSES)
    if index == <uint32_t>NIL:
        facts.n_processes_dropped += 1
    else:
        process_add(&facts.process_tally[index], slot)


cdef inline void facts_layer(Facts* facts, const Record* record) noexcept nogil:
    """Note of a remap which device passed its bios on to which."""
    cdef uint64_t pair
    cdef uint32_t number
    if record.payload_bytes < 16:
        return
    # the payload begins with the device that it came from
    pair = (load_be64(record.payload) >> 32) << 32 | record.device
    if pair >> 32 == record.device:
        return
    for number in range(facts.n_layers):
        if facts.layers[number] == pair:
            return
    if facts.n_layers < <uint32_t>MAX_LAYERS:
        facts.layers[facts.n_layers] = pair
        facts.n_layers += 1


cdef inline void facts_sequence(
    Facts* facts, Source* source, const Record* record
) noexcept nogil:
    """Follow the sequence numbers of one CPU of one device; count what is missing.

    Numbers that go back (tracing was started again) are no loss. What may have stood
    where the file is damaged was recorded: it is counted apart.
    """
    cdef uint64_t id = <uint64_t>record.device << 32 | record.cpu
    cdef uint32_t index = source.tracked
    cdef uint32_t step
    cdef uint32_t n_before
    cdef uint32_t n_damaged
    if source.tracked_id != id + 1:
        n_before = facts.tracked.n
        index = facts_id(facts, &facts.tracked, id, NIL)
        source.tracked_id = id + 1
        source.tracked = index
        if facts.tracked.n != n_before:
            facts.track_sequence[index] = record.sequence
            facts.track_first[index] = record.sequence
            facts.track_lost[index] = 0
            # numbers begin with 1; a file that begins in the middle of a record was cut
            if source.unclaimed_bytes and 0 < record.sequence < <uint32_t>0x80000000:
                n_damaged = source_claim(source, record.sequence - 1)
                if source.first_refused == 0:
                    n_damaged = record.sequence - 1
                facts.n_damaged += n_damaged
            return
    step = sequence_step(facts.track_sequence[index], record.sequence)
    if 1 < step < <uint32_t>0x80000000:
        n_damaged = source_claim(source, step - 1)
        facts.n_damaged += n_damaged
        facts.track_lost[index] += step - 1 - n_damaged
    facts.track_sequence[index] = record.sequence


cdef inline void facts_name(Facts* facts, const Record* record) noexcept nogil:
    """Keep a process's name and when it had it."""
    cdef NameNote* note
    if facts.n_names == <uint32_t>MAX_NAMES:
        facts.n_names_dropped += 1
        return
    note = &facts.names[facts.n_names]
    facts.n_names += 1
    note.time_ns = record.time_ns
    note.pid = record.pid
    memset(note.name, 0, NAME_BYTES)
    memcpy(note.name, record.payload, min(record.payload_bytes, <uint32_t>NAME_BYTES))


cdef inline void facts_message(Facts* facts, const Record* record) noexcept nogil:
    """Keep one of the first messages."""
    cdef MessageNote* note
    if facts.n_messages == <uint32_t>MAX_MESSAGES:
        return
    note = &facts.messages[facts.n_messages]
    facts.n_messages += 1
    note.time_ns = record.time_ns
    note.cpu = record.cpu
    note.length = <uint16_t>min(record.payload_bytes, <uint32_t>MESSAGE_BYTES)
    memcpy(note.text, record.payload, note.length)


cdef inline void facts_wall_clock(
    Facts* facts, const Record* record, int swap
) noexcept nogil:
    """Take the wall clock from the first timestamp note: seconds, nanoseconds."""
    if facts.seen_wall or record.payload_bytes < 8:
        return
    facts.wall_ns = (
        <uint64_t>load_u32(record.payload, swap) * <uint64_t>1000000000
        + load_u32(record.payload + 4, swap)
    )
    facts.wall_note_ns = record.time_ns
    facts.seen_wall = True


cdef inline void facts_note(
    Facts* facts, const Record* record, int swap
) noexcept nogil:
    """Count a record that is no event, and keep what it says."""
    if record.kind == KIND_PROCESS:
        facts.n_notes[0] += 1
        facts_name(facts, record)
    elif record.kind == KIND_TIMESTAMP:
        facts.n_notes[1] += 1
        facts_wall_clock(facts, record, swap)
    elif record.kind == KIND_MESSAGE:
        facts.n_notes[2] += 1
        facts_message(facts, record)
    else:
        facts.n_unknown += 1
