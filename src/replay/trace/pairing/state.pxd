"""The open requests in words that tell nothing of how they came about.

Two pairings with equal words do the same with every event that comes, whatever came
before: slots are numbered as they stand in the two lists, issued ones first, and what
only finds things faster (hashes, hints, the slot queued last) is left out. So one that
began in the middle of a trace goes on in place of one that began at its start, once
their words are equal.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from replay.trace.pairing.open_requests cimport (
    BY_ISSUED_START,
    BY_QUEUED_END,
    BY_QUEUED_START,
    NIL,
    STATE_DONE,
    STATE_ISSUED,
    Slot,
    table_holds,
)
from replay.trace.pairing.pair cimport N_RECENT, Pairing

cdef enum:
    #: Of a slot, with its place among those in flight.
    SLOT_WORDS = 16
    #: What is not of a slot: five counts and the remaps.
    PAIR_WORDS = 0x108
    #: With more open requests they are not told: nobody waits that long.
    MAX_TOLD = 0x100000


cdef inline uint64_t link_word(
    const Pairing* pair, const uint32_t* names, int kind, uint32_t number
) noexcept nogil:
    """The next slot of a ring, and whether this one is the ring's oldest."""
    cdef const Slot* slot = &pair.slots[number]
    cdef uint64_t is_head
    if kind == BY_QUEUED_END:
        is_head = table_holds(&pair.table, kind, slot.place_of_end, number)
        return is_head << 32 | names[slot.by_end.next]
    is_head = table_holds(&pair.table, kind, slot.place_of_start, number)
    return is_head << 32 | names[slot.by_start.next]


cdef inline void slot_tell(
    const Pairing* pair, const uint32_t* names, uint32_t number, uint64_t* to
) noexcept nogil:
    """Write what a slot holds."""
    cdef const Slot* slot = &pair.slots[number]
    to[0] = <uint64_t>slot.queue_ns
    to[1] = <uint64_t>slot.issue_ns
    to[2] = <uint64_t>slot.complete_ns
    to[3] = <uint64_t>slot.last_issue_ns
    to[4] = pair.n_events - slot.order
    to[5] = slot.sector
    to[6] = slot.at
    to[7] = slot.cgroup
    to[8] = <uint64_t>slot.remaining << 32 | slot.nbytes
    to[9] = <uint64_t>slot.n_bios << 32 | slot.device
    to[10] = (
        <uint64_t><uint32_t>slot.pid << 32
        | <uint64_t>slot.cpu << 16
        | (<uint64_t>slot.error & <uint64_t>0xffff)
    )
    to[11] = (
        <uint64_t>slot.flags << 32
        | <uint64_t>slot.op << 16
        | <uint64_t>slot.state << 8
        | slot.marks
    )
    to[12] = 0
    if slot.layer:
        to[12] = (
            <uint64_t>pair.layers[slot.layer - 1].above << 32
            | pair.layers[slot.layer - 1].below
        )
    to[13] = to[14] = 0
    if slot.state == STATE_ISSUED:
        to[13] = link_word(pair, names, BY_ISSUED_START, number)
    elif slot.state != STATE_DONE:
        to[13] = link_word(pair, names, BY_QUEUED_START, number)
        to[14] = link_word(pair, names, BY_QUEUED_END, number)


cdef inline size_t pairing_tell(
    const Pairing* pair, uint32_t* names, uint64_t* to
) noexcept nogil:
    """Write the open requests.

    Parameters
    ----------
    pair : const Pairing*
        No row may leave: ``check_rows`` is not set.
    names : uint32_t*
        Room for a number for each slot; changed.
    to : uint64_t*
        Room for ``PAIR_WORDS`` and ``SLOT_WORDS`` for each open request.

    Returns
    -------
    size_t
        Words written; 0 if they do not say all: a row left unfinished and its slot is
        kept, or a remap tells of a request that is gone.
    """
    cdef uint32_t n_named = 0
    cdef uint32_t n_issued
    cdef uint32_t number
    cdef uint32_t cpu
    cdef size_t n = 5
    cdef uint64_t* at
    if pair.n_written or pair.n_used > <uint32_t>MAX_TOLD:
        return 0
    memset(names, 0xff, pair.n_fresh * sizeof(uint32_t))
    number = pair.fifo_head
    while number != <uint32_t>NIL:
        names[number] = n_named
        n_named += 1
        number = pair.slots[number].after
    n_issued = n_named
    number = pair.queued.head
    while number != <uint32_t>NIL:
        names[number] = n_named
        n_named += 1
        number = pair.slots[number].in_list.next
    if n_named != pair.n_used:
        return 0
    number = pair.fifo_head
    while number != <uint32_t>NIL:
        slot_tell(pair, names, number, to + n)
        n += SLOT_WORDS - 1
        number = pair.slots[number].after
    number = pair.queued.head
    while number != <uint32_t>NIL:
        slot_tell(pair, names, number, to + n)
        n += SLOT_WORDS - 1
        number = pair.slots[number].in_list.next
    to[0] = n_issued
    to[1] = n_named
    to[2] = pair.n_held
    to[3] = <uint64_t>pair.now_ns
    to[4] = 0
    number = pair.in_flight.head
    while number != <uint32_t>NIL:
        to[4] += 1
        to[n] = names[number]
        n += 1
        number = pair.slots[number].in_list.next
    for cpu in range(<uint32_t>N_RECENT):
        at = to + n
        at[0] = NIL
        at[1] = at[2] = at[3] = 0
        number = pair.remaps[cpu].above
        if number != <uint32_t>NIL:
            if names[number] == <uint32_t>NIL:
                return 0
            at[0] = names[number]
            at[1] = pair.remaps[cpu].from_device
            at[2] = pair.remaps[cpu].device
            at[3] = pair.remaps[cpu].sector
        n += 4
    return n
