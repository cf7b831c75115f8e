"""Which row leaves next, and when.

The row to leave next is the one with the smaller (time, event) of the two lists' heads
(``_pair.pxd``). It leaves when it is done, or when more than ``window`` rows are held,
or at the end. So memory is bounded, and a queued head holds back what was issued after
it, which it may yet follow.

A slot whose row left unfinished stays findable, marked written, so that its late issue
and completion are told from ones of which nothing was seen before; the last
``max_written`` of them are kept.
"""

from libc.stdint cimport int64_t, uint32_t

from replay.trace.pairing.columns cimport Columns, columns_write
from replay.trace.pairing.facts cimport Facts, facts_row
from replay.trace.pairing.layers cimport layer_count
from replay.trace.pairing.pair cimport Pairing, keys_remove, list_remove, slot_free
from replay.trace.pairing.open_requests cimport (
    MARK_WRITTEN, NIL, STATE_DONE, STATE_ISSUED, Slot
)


# Why the decoder stopped.
cdef enum:
    STOP_NONE = 0
    #: The batch has no place for the next row.
    STOP_BATCH_FULL = 1
    #: A table must grow before the next record or row.
    STOP_NEED_ROOM = 2
    #: As many records as were asked for.
    STOP_CHUNK = 3
    #: No record is left.
    STOP_END = 4
    #: The next record is not before the time up to which to decode.
    STOP_SEAM = 5


cdef inline void written_drop_oldest(Pairing* pair) noexcept nogil:
    """Forget the oldest slot whose row was written unfinished."""
    cdef uint32_t number = pair.written.head
    pair.written.head = pair.slots[number].after
    pair.n_written -= 1
    if pair.slots[number].state != STATE_DONE:
        keys_remove(pair, number)
    slot_free(pair, number)


cdef inline void written_add(Pairing* pair, uint32_t number) noexcept nogil:
    """Keep a slot whose row was written unfinished."""
    cdef Slot* slot = &pair.slots[number]
    if slot.state == STATE_ISSUED:
        list_remove(&pair.in_flight, pair.slots, number)
    slot.marks |= MARK_WRITTEN
    slot.after = NIL
    if pair.n_written == 0:
        pair.written.head = number
    else:
        pair.slots[pair.written.tail].after = number
    pair.written.tail = number
    pair.n_written += 1
    while pair.n_written > pair.max_written or (
        pair.n_written and pair.slots[pair.written.head].state == STATE_DONE
    ):
        written_drop_oldest(pair)


cdef inline uint32_t row_next(const Pairing* pair) noexcept nogil:
    """The slot whose row leaves next, ``NIL`` if none is held."""
    cdef uint32_t issued = pair.fifo_head
    cdef uint32_t queued = pair.queued.head
    cdef const Slot* a
    cdef const Slot* b
    if issued == <uint32_t>NIL:
        return queued
    if queued == <uint32_t>NIL:
        return issued
    a = &pair.slots[issued]
    b = &pair.slots[queued]
    if a.issue_ns != b.queue_ns:
        return issued if a.issue_ns < b.queue_ns else queued
    return issued if a.order < b.order else queued


cdef inline int rows_write(
    Pairing* pair, Columns* columns, Facts* facts, bint at_end
) noexcept nogil:
    """Write the rows that may leave.

    Parameters
    ----------
    pair, columns, facts : pointers
        Where rows come from, where they go, and where they are counted.
    at_end : bint
        No event will come any more: all rows leave.

    Returns
    -------
    int
        ``STOP_NONE`` if no further row may leave now, ``STOP_BATCH_FULL`` or
        ``STOP_NEED_ROOM`` if one is kept from it.
    """
    cdef uint32_t number
    cdef Slot* slot
    while True:
        number = row_next(pair)
        if number == <uint32_t>NIL:
            return STOP_NONE
        slot = &pair.slots[number]
        if slot.state != STATE_DONE and not at_end and pair.n_held <= pair.window:
            return STOP_NONE
        if columns.n_rows == columns.capacity:
            return STOP_BATCH_FULL
        if facts.need_room:
            return STOP_NEED_ROOM
        columns_write(columns, slot)
        facts_row(facts, slot)
        layer_count(pair, slot)
        pair.n_held -= 1
        if number == pair.fifo_head:
            pair.fifo_head = slot.after
        else:
            list_remove(&pair.queued, pair.slots, number)
        if slot.state == STATE_DONE:
            slot_free(pair, number)
            continue
        if slot.issue_ns >= 0:
            pair.counts.unfinished += 1
        else:
            pair.counts.never_issued += 1
        written_add(pair, number)
