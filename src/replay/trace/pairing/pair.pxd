"""State of the pairing of events into requests, and how slots are kept and found.

A Q opens a *queued* slot (a bio, a request from its G on). M, F and X merge and split
queued slots. A D makes one *issued*, or opens one of which no Q was seen; C makes it
*done*, R queued again (``_events.pxd``). Slots are found by the keys of ``_table.pxd``.

Rows leave in the order of (issue, else queue) time (``state/row_checks.pxd``). Two lists hold
them::

    issue order   fifo_head -> slot -> slot -> fifo_tail     by Slot.after
    queue order   queued.head <-> slot <-> queued.tail       by Slot.in_list
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from replay.trace.blktrace._record cimport (
    OP_FLUSH, OP_FLUSH_BIO, OP_PASSTHROUGH, Record, record_flags
)
from replay.trace.pairing.open_requests cimport (
    BY_ISSUED_START,
    BY_QUEUED_END,
    BY_QUEUED_START,
    Link,
    MARK_WRITTEN,
    NIL,
    STATE_ISSUED,
    STATE_QUEUED,
    Slot,
    Table,
    chain_best,
    table_add,
    table_find,
    table_holds,
    table_remove,
    table_turn,
)


cdef enum:
    #: Issued requests, newest first, among which a completion that fits no start is
    #: looked for by range.
    RANGE_LIMIT = 128
    #: CPUs whose last queued slot is remembered; a power of two.
    N_RECENT = 64
    #: Pairs of a device and one below it that are told apart.
    MAX_LAYERS = 64


ctypedef struct SlotList:
    uint32_t head
    uint32_t tail


ctypedef struct PairCounts:
    #: Events that found nothing to belong to.
    uint64_t get
    uint64_t merge
    uint64_t split
    uint64_t insert
    uint64_t requeue
    uint64_t complete
    #: A D of a data request of which no Q was seen; it makes a row.
    uint64_t issue_without_queue
    #: A D and a C of a request whose row was written before.
    uint64_t late_issue
    uint64_t late_complete
    uint64_t partial
    uint64_t requeued
    uint64_t flush_sequence
    #: Rows written without a C, and without D and C.
    uint64_t unfinished
    uint64_t never_issued


ctypedef struct Remap:
    #: The last A of a CPU: the slot above, or ``NIL``, and what comes below.
    uint32_t above
    uint32_t from_device
    uint32_t device
    uint64_t sector


ctypedef struct Layer:
    #: Requests that a device passed down to another one, over the rows written; the time
    #: that they took there from Q to C.
    uint32_t above
    uint32_t below
    uint64_t n_requests
    uint64_t n_done
    uint64_t took_ns


ctypedef struct Pairing:
    Slot* slots
    uint32_t n_slots
    #: Slots given back, by Slot.after; then those from n_fresh on, never touched yet.
    uint32_t free_head
    uint32_t n_fresh
    uint32_t n_used
    Table table
    uint32_t fifo_head
    uint32_t fifo_tail
    SlotList queued
    SlotList in_flight
    #: Slots whose row left unfinished, oldest first, by Slot.after.
    SlotList written
    #: By CPU the slot queued last: the next events there are mostly about it.
    uint32_t[64] recent
    Remap[64] remaps
    Layer[64] layers
    uint32_t n_layers
    uint32_t n_written
    uint32_t max_written
    #: Rows not written yet, and how many of them may be held.
    uint32_t n_held
    uint32_t window
    #: Set when a row may be ready to leave.
    bint check_rows
    int64_t now_ns
    uint64_t n_events
    PairCounts counts


cdef inline uint32_t pair_room(const Pairing* pair) noexcept nogil:
    """Count the events that can be taken for sure: a slot each, and two keys for it."""
    cdef uint32_t most_keys = pair.table.mask >> 1
    if pair.table.n_keys >= most_keys:
        return 0
    return min(pair.n_slots - pair.n_used, (most_keys - pair.table.n_keys) >> 1)


cdef inline bint oldest_first(uint8_t op) noexcept nogil:
    """Operations whose sector says nothing are paired first in, first out."""
    return op == OP_FLUSH or op == OP_FLUSH_BIO or op == OP_PASSTHROUGH


# --- slots and lists ------------------------------------------------------------------


cdef inline uint32_t slot_take(Pairing* pair) noexcept nogil:
    """Take a free slot; there must be one."""
    cdef uint32_t number = pair.free_head
    pair.n_used += 1
    if number == <uint32_t>NIL:
        number = pair.n_fresh
        pair.n_fresh += 1
    else:
        pair.free_head = pair.slots[number].after
    return number


cdef inline void slot_free(Pairing* pair, uint32_t number) noexcept nogil:
    """Give a slot back; the last freed is the next taken, and still in the cache."""
    pair.slots[number].after = pair.free_head
    pair.free_head = number
    pair.n_used -= 1


cdef inline void list_add(
    SlotList* slot_list, Slot* slots, uint32_t number, uint32_t before
) noexcept nogil:
    """Link a slot behind ``before``; ``NIL`` is in front of the head."""
    cdef Link* link = &slots[number].in_list
    link.prev = before
    link.next = slot_list.head if before == <uint32_t>NIL else slots[before].in_list.next
    if before == <uint32_t>NIL:
        slot_list.head = number
    else:
        slots[before].in_list.next = number
    if link.next == <uint32_t>NIL:
        slot_list.tail = number
    else:
        slots[link.next].in_list.prev = number


cdef inline void list_append(
    SlotList* slot_list, Slot* slots, uint32_t number
) noexcept nogil:
    """Link a slot behind the tail."""
    cdef uint32_t tail = slot_list.tail
    slots[number].in_list.prev = tail
    slots[number].in_list.next = NIL
    slot_list.tail = number
    if tail == <uint32_t>NIL:
        slot_list.head = number
    else:
        slots[tail].in_list.next = number


cdef inline void list_remove(
    SlotList* slot_list, Slot* slots, uint32_t number
) noexcept nogil:
    """Unlink a slot."""
    cdef const Link* link = &slots[number].in_list
    if link.prev == <uint32_t>NIL:
        slot_list.head = link.next
    else:
        slots[link.prev].in_list.next = link.next
    if link.next == <uint32_t>NIL:
        slot_list.tail = link.prev
    else:
        slots[link.next].in_list.prev = link.prev


cdef inline void keys_add(Pairing* pair, uint32_t number) noexcept nogil:
    """Make a slot findable by what its state allows."""
    if pair.slots[number].state == STATE_ISSUED:
        table_add(&pair.table, pair.slots, BY_ISSUED_START, number)
    else:
        table_add(&pair.table, pair.slots, BY_QUEUED_START, number)
        table_add(&pair.table, pair.slots, BY_QUEUED_END, number)


cdef inline void keys_remove(Pairing* pair, uint32_t number) noexcept nogil:
    """Undo ``keys_add``: before anything of a slot's key or state changes."""
    if pair.slots[number].state == STATE_ISSUED:
        table_remove(&pair.table, pair.slots, BY_ISSUED_START, number)
    else:
        table_remove(&pair.table, pair.slots, BY_QUEUED_START, number)
        table_remove(&pair.table, pair.slots, BY_QUEUED_END, number)


cdef inline void keys_turn(Pairing* pair, uint32_t number) noexcept nogil:
    """Make a queued slot an issued one: ``keys_remove``, the state, ``keys_add``."""
    cdef Slot* slot = &pair.slots[number]
    table_remove(&pair.table, pair.slots, BY_QUEUED_END, number)
    if slot.by_start.next != number or not table_turn(
        &pair.table, slot.place_of_start
    ):
        table_remove(&pair.table, pair.slots, BY_QUEUED_START, number)
        table_add(&pair.table, pair.slots, BY_ISSUED_START, number)
    slot.state = STATE_ISSUED


cdef inline uint32_t slot_open(
    Pairing* pair, const Record* record, uint8_t op
) noexcept nogil:
    """Make a slot from a Q or D; state, times and bios are the caller's."""
    cdef uint32_t number = slot_take(pair)
    cdef Slot* slot = &pair.slots[number]
    slot.queue_ns = -1
    slot.issue_ns = -1
    slot.complete_ns = -1
    slot.last_issue_ns = -1
    slot.order = pair.n_events
    slot.sector = slot.at = record.sector
    slot.nbytes = slot.remaining = record.nbytes
    slot.cgroup = record.cgroup
    slot.n_bios = 0
    slot.device = record.device
    slot.pid = <int32_t>record.pid
    slot.cpu = <uint16_t>(record.cpu & 0xffff)
    slot.error = 0
    slot.op = op
    slot.flags = 0 if op == OP_FLUSH else record_flags(record)
    slot.state = STATE_QUEUED
    slot.marks = 0
    slot.layer = 0
    slot.place_of_start = 0
    slot.place_of_end = 0
    pair.n_held += 1
    if pair.n_held > pair.window:
        pair.check_rows = True
    return number


# --- what the events look for ---------------------------------------------------------


cdef inline uint32_t find_recent(
    const Pairing* pair, const Record* record, uint8_t op
) noexcept nogil:
    """The slot queued last on the event's CPU, if it alone starts where the event does.

    It may have been given back since: then the table has no entry of it.
    """
    cdef uint32_t number = pair.recent[record.cpu & <uint32_t>(N_RECENT - 1)]
    cdef const Slot* slot
    if number == <uint32_t>NIL:
        return NIL
    slot = &pair.slots[number]
    if (
        slot.at == record.sector
        and slot.device == record.device
        and slot.op == op
        and slot.by_start.next == number
        and table_holds(&pair.table, BY_QUEUED_START, slot.place_of_start, number)
    ):
        return number
    return NIL


cdef inline uint32_t find_queued(
    const Pairing* pair,
    const Record* record,
    uint8_t op,
    uint8_t avoid,
    uint8_t forbid,
    bint oldest,
) noexcept nogil:
    """The queued slot that starts where the event does, of its length if there is one."""
    cdef uint32_t head = find_recent(pair, record, op)
    if head != <uint32_t>NIL:
        # no other starts there
        return <uint32_t>NIL if pair.slots[head].marks & forbid else head
    head = table_find(
        &pair.table, pair.slots, BY_QUEUED_START, record.device, op, record.sector
    )
    return chain_best(
        pair.slots, head, oldest, record.nbytes, record.cgroup, avoid, forbid, NIL
    )


cdef inline uint32_t find_issued(
    const Pairing* pair, const Record* record, uint8_t op
) noexcept nogil:
    """The issued slot of which the rest starts where the event does."""
    cdef uint32_t head = table_find(
        &pair.table, pair.slots, BY_ISSUED_START, record.device, op, record.sector
    )
    return chain_best(
        pair.slots,
        head,
        oldest_first(op),
        record.nbytes,
        record.cgroup,
        MARK_WRITTEN,
        0,
        NIL,
    )


cdef inline uint32_t find_issued_around(
    const Pairing* pair, const Record* record, uint8_t op
) noexcept nogil:
    """The newest issued slot whose rest contains the event's range."""
    cdef uint32_t number = pair.in_flight.tail
    cdef uint64_t skipped
    cdef const Slot* slot
    cdef int _step
    for _step in range(RANGE_LIMIT):
        if number == <uint32_t>NIL:
            break
        slot = &pair.slots[number]
        if slot.device == record.device and slot.op == op and slot.at <= record.sector:
            skipped = record.sector - slot.at
            # first in sectors: shifted, a hostile distance would not fit
            if (
                skipped <= slot.remaining >> 9
                and (skipped << 9) + record.nbytes <= slot.remaining
            ):
                return number
        number = slot.in_list.prev
    return NIL
