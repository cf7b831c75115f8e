"""The decoder's memory: made at the start, grown between two calls of its loop, freed.

Everything that can fail for want of memory is here, and leaves the state as it was.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from replay.trace.blktrace._decode cimport Decode
from replay.trace.pairing.facts cimport (
    CgroupTally,
    Facts,
    IdMap,
    MAX_CGROUPS,
    MAX_DEVICES,
    MAX_MESSAGES,
    MAX_NAMES,
    MAX_PROCESSES,
    MAX_TRACKED,
    MessageNote,
    NameNote,
    ProcessTally,
    mix_id,
)
from replay.trace.pairing.pair cimport Pairing, pair_room
from replay.trace.pairing.open_requests cimport NIL, Slot, Table, slot_at, table_home


cdef enum:
    FIRST_SLOTS = 0x200
    FIRST_PLACES = 0x800
    FIRST_IDS = 0x40


cdef inline void* grown(void* memory, size_t n_items, size_t item_bytes) except NULL:
    """Reallocate; what is new is not initialised. Raises ``MemoryError``."""
    cdef void* larger = realloc(memory, n_items * item_bytes)
    if larger == NULL:
        raise MemoryError(f"{n_items * item_bytes} bytes")
    return larger


cdef inline void* zeroed(size_t n_items, size_t item_bytes) except NULL:
    """Allocate zeros. Raises ``MemoryError``."""
    cdef void* memory = calloc(n_items if n_items else 1, item_bytes)
    if memory == NULL:
        raise MemoryError(f"{n_items * item_bytes} bytes")
    return memory


cdef inline void idmap_place(IdMap* ids, uint32_t index) noexcept:
    """Enter a known id into the new places."""
    cdef uint32_t place = <uint32_t>mix_id(ids.ids[index], ids.seed) & ids.mask
    while ids.places[place]:
        place = (place + 1) & ids.mask
    ids.places[place] = index + 1


cdef inline int idmap_grow(IdMap* ids, uint32_t capacity) except -1:
    """Make room for ``capacity`` ids, a power of two."""
    cdef uint32_t mask = 2 * capacity - 1
    cdef uint32_t* places = <uint32_t*>zeroed(<size_t>mask + 1, sizeof(uint32_t))
    cdef uint32_t index
    try:
        ids.ids = <uint64_t*>grown(ids.ids, capacity, sizeof(uint64_t))
    except MemoryError:
        free(places)
        raise
    free(ids.places)
    ids.places = places
    ids.mask = mask
    ids.capacity = capacity
    for index in range(ids.n):
        idmap_place(ids, index)
    return 0


cdef inline int table_grow(Table* table, Slot* slots, uint32_t n_places) except -1:
    """Move the entries into a table of ``n_places``, a power of two."""
    cdef uint64_t* places = <uint64_t*>zeroed(n_places, sizeof(uint64_t))
    cdef uint64_t* old = table.places
    cdef uint32_t n_old = table.mask + 1 if old != NULL else 0
    cdef uint32_t index
    cdef uint32_t place
    table.places = places
    table.mask = n_places - 1
    for index in range(n_old):
        if old[index]:
            place = table_home(table, old[index])
            while places[place]:
                place = (place + 1) & table.mask
            places[place] = old[index]
            slot_at(&slots[<uint32_t>old[index] - 1], <int>(old[index] >> 32 & 3), place)
    free(old)
    return 0


cdef inline int tally_grow(
    IdMap* ids, void** tally, size_t item_bytes, uint32_t limit
) except -1:
    """Grow a map and its tallies, new ones zeroed, if it is full and below its limit."""
    cdef uint32_t capacity
    if ids.n < ids.capacity or ids.capacity >= limit:
        return 0
    capacity = max(2 * ids.capacity, FIRST_IDS)
    tally[0] = grown(tally[0], capacity, item_bytes)
    memset(<char*>tally[0] + ids.n * item_bytes, 0, (capacity - ids.n) * item_bytes)
    return idmap_grow(ids, capacity)


cdef inline int decode_start(
    Decode* decode, uint32_t window, const uint64_t* seeds
) except -1:
    """Prepare a zeroed state.

    Parameters
    ----------
    decode : Decode*
        All zeros but for the sources.
    window : uint32_t
        Rows that may be held, at least 1.
    seeds : const uint64_t*
        Six random words, for the hash tables.
    """
    cdef Pairing* pair = &decode.pair
    cdef Facts* facts = &decode.facts
    pair.table.seed_a = seeds[0]
    pair.table.seed_b = seeds[1]
    facts.devices.seed = seeds[2]
    facts.cgroups.seed = seeds[3]
    facts.processes.seed = seeds[4]
    facts.tracked.seed = seeds[5]
    decode.until_ns = <uint64_t>0 - 1
    pair.window = window
    pair.max_written = max(window // 16, <uint32_t>1)
    pair.free_head = pair.fifo_head = pair.fifo_tail = NIL
    pair.queued.head = pair.queued.tail = NIL
    pair.in_flight.head = pair.in_flight.tail = NIL
    pair.written.head = pair.written.tail = NIL
    memset(pair.recent, 0xff, sizeof(pair.recent))
    memset(pair.remaps, 0xff, sizeof(pair.remaps))
    facts.names = <NameNote*>zeroed(MAX_NAMES, sizeof(NameNote))
    facts.messages = <MessageNote*>zeroed(MAX_MESSAGES, sizeof(MessageNote))
    return 0


cdef inline int decode_grow(Decode* decode) except -1:
    """Grow what is full."""
    cdef Pairing* pair = &decode.pair
    cdef Facts* facts = &decode.facts
    cdef IdMap* tracked = &facts.tracked
    cdef uint32_t n_items
    if pair.n_used == pair.n_slots:
        # held rows, written ones, and the one that an event may open
        n_items = pair.window + pair.max_written + 4
        n_items = min(n_items, max(2 * pair.n_slots, <uint32_t>FIRST_SLOTS))
        pair.slots = <Slot*>grown(pair.slots, n_items, sizeof(Slot))
        pair.n_slots = n_items
    if pair.table.places == NULL or pair_room(pair) == 0:
        n_items = 2 * (pair.table.mask + 1)
        table_grow(&pair.table, pair.slots, max(n_items, <uint32_t>FIRST_PLACES))
    if tracked.n == tracked.capacity and tracked.capacity < <uint32_t>MAX_TRACKED:
        n_items = max(2 * tracked.capacity, <uint32_t>FIRST_IDS)
        facts.track_sequence = <uint32_t*>grown(
            facts.track_sequence, n_items, sizeof(uint32_t)
        )
        facts.track_first = <uint32_t*>grown(
            facts.track_first, n_items, sizeof(uint32_t)
        )
        facts.track_lost = <uint64_t*>grown(
            facts.track_lost, n_items, sizeof(uint64_t)
        )
        idmap_grow(tracked, n_items)
    tally_grow(
        &facts.devices,
        <void**>&facts.device_requests,
        sizeof(uint64_t),
        MAX_DEVICES,
    )
    tally_grow(
        &facts.cgroups,
        <void**>&facts.cgroup_tally,
        sizeof(CgroupTally),
        MAX_CGROUPS,
    )
    tally_grow(
        &facts.processes,
        <void**>&facts.process_tally,
        sizeof(ProcessTally),
        MAX_PROCESSES,
    )
    facts.need_room = False
    return 0


cdef inline void idmap_free(IdMap* ids) noexcept:
    """Free a map's arrays."""
    free(ids.ids)
    free(ids.places)


cdef inline void decode_free(Decode* decode) noexcept:
    """Free everything but the sources."""
    cdef Facts* facts = &decode.facts
    free(decode.merge.losers)
    free(decode.pair.slots)
    free(decode.pair.table.places)
    idmap_free(&facts.devices)
    idmap_free(&facts.cgroups)
    idmap_free(&facts.processes)
    idmap_free(&facts.tracked)
    free(facts.device_requests)
    free(facts.cgroup_tally)
    free(facts.process_tally)
    free(facts.track_sequence)
    free(facts.track_first)
    free(facts.track_lost)
    free(facts.names)
    free(facts.messages)
