"""The effect of each event on the open requests: one function a letter.

Source: the events' order and meaning: block/blk-mq.c, block/blk-core.c,
block/blk-merge.c, block/blk-flush.c and kernel/trace/blktrace.c, v6.12.
"""

from libc.stdint cimport int16_t, uint8_t, uint32_t, uint64_t

from replay.trace.pairing.pair cimport (
    N_RECENT,
    Pairing,
    RANGE_LIMIT,
    find_issued,
    find_issued_around,
    find_queued,
    find_recent,
    keys_add,
    keys_remove,
    keys_turn,
    list_add,
    list_append,
    list_remove,
    oldest_first,
    slot_free,
    slot_open,
    slot_take,
)
from replay.trace.blktrace._record cimport (
    CAT_WRITE,
    LETTER_A,
    LETTER_C,
    LETTER_D,
    LETTER_F,
    LETTER_G,
    LETTER_I,
    LETTER_M,
    LETTER_Q,
    LETTER_R,
    LETTER_X,
    OP_DISCARD,
    OP_FLUSH,
    OP_FLUSH_BIO,
    OP_PASSTHROUGH,
    Record,
    load_be64,
    record_op,
)
from replay.trace.pairing.layers cimport on_remap, take_issuer
from replay.trace.pairing.open_requests cimport (
    ANY_LENGTH,
    BY_QUEUED_END,
    BY_QUEUED_START,
    MARK_GOT,
    MARK_REQUEUED,
    MARK_WRITTEN,
    NIL,
    STATE_DONE,
    STATE_ISSUED,
    STATE_QUEUED,
    Slot,
    chain_best,
    chain_ending,
    sector_after,
    table_add,
    table_find,
    table_remove,
)


cdef inline void on_queue(Pairing* pair, const Record* record, uint8_t op) noexcept nogil:
    """Q: a bio is queued."""
    cdef uint32_t number = slot_open(pair, record, op)
    cdef Slot* slot = &pair.slots[number]
    slot.queue_ns = pair.now_ns
    slot.n_bios = 1
    list_append(&pair.queued, pair.slots, number)
    keys_add(pair, number)
    pair.recent[record.cpu & <uint32_t>(N_RECENT - 1)] = number
    take_issuer(pair, record, number)


cdef inline void on_get(Pairing* pair, const Record* record, uint8_t op) noexcept nogil:
    """G: the bio became a request. The oldest one: the others wait for a tag behind it."""
    cdef uint32_t number = find_queued(pair, record, op, MARK_GOT, 0, True)
    if number == <uint32_t>NIL:
        pair.counts.get += 1
    else:
        pair.slots[number].marks |= MARK_GOT


cdef inline void slot_absorb(
    Pairing* pair, uint32_t into, uint32_t number
) noexcept nogil:
    """Add a queued slot's bios to another's and drop it; keys of ``into`` are out."""
    cdef Slot* slot = &pair.slots[number]
    cdef Slot* target = &pair.slots[into]
    target.n_bios += slot.n_bios
    target.nbytes += slot.nbytes
    target.remaining += slot.remaining
    keys_remove(pair, number)
    if not slot.marks & MARK_REQUEUED:
        list_remove(&pair.queued, pair.slots, number)
    pair.n_held -= 1
    slot_free(pair, number)


cdef inline bint can_absorb(const Slot* into, const Slot* slot) noexcept nogil:
    """Return True if 32 bits hold both lengths (the kernel's limit is far below)."""
    return (
        <uint64_t>into.nbytes + slot.nbytes <= <uint64_t>0xffffffff
        and <uint64_t>into.remaining + slot.remaining <= <uint64_t>0xffffffff
    )


cdef inline void on_merge(
    Pairing* pair, const Record* record, uint8_t op, bint front
) noexcept nogil:
    """M, F: a bio, or since 5.9 a whole request, joins the request it touches.

    The row stays the one absorbed into, with its first bio's time, cgroup and process;
    a front merge moves its start down.
    Source: block/blk-merge.c, bio_attempt_back_merge() and attempt_merge(), v6.12.
    """
    # the newest that is no request yet: Q and M follow each other in one thread
    cdef uint8_t not_open = MARK_WRITTEN | MARK_REQUEUED
    cdef uint32_t number = find_queued(pair, record, op, MARK_GOT, not_open, False)
    cdef uint32_t into = NIL
    cdef uint32_t head
    cdef Slot* slot
    cdef Slot* target
    if number != <uint32_t>NIL and pair.slots[number].remaining == record.nbytes:
        slot = &pair.slots[number]
        if front:
            head = table_find(
                &pair.table,
                pair.slots,
                BY_QUEUED_START,
                slot.device,
                op,
                sector_after(slot.at, slot.remaining),
            )
            into = chain_best(
                pair.slots, head, False, ANY_LENGTH, slot.cgroup, 0, not_open, number
            )
        else:
            head = table_find(
                &pair.table, pair.slots, BY_QUEUED_END, slot.device, op, slot.at
            )
            into = chain_ending(pair.slots, head, slot.cgroup, not_open, number)
    if into == <uint32_t>NIL or not can_absorb(&pair.slots[into], &pair.slots[number]):
        pair.counts.merge += 1
        return
    target = &pair.slots[into]
    if front:
        keys_remove(pair, into)
        target.sector = target.at = pair.slots[number].at
        slot_absorb(pair, into, number)
        keys_add(pair, into)
    else:
        # the start stays: one key fewer to move
        table_remove(&pair.table, pair.slots, BY_QUEUED_END, into)
        slot_absorb(pair, into, number)
        table_add(&pair.table, pair.slots, BY_QUEUED_END, into)


cdef inline void on_split(Pairing* pair, const Record* record, uint8_t op) noexcept nogil:
    """X: the event's range is the first part; the payload says where the rest starts.

    The rest gets no Q of its own, so it takes the first part's time and issuer, and
    counts as a bio of its own, as the kernel does.
    Source: block/blk-merge.c, bio_submit_split(), v6.12.
    """
    cdef uint32_t number = find_queued(
        pair, record, op, MARK_GOT, MARK_WRITTEN | MARK_REQUEUED, False
    )
    cdef uint32_t rest
    cdef Slot* slot
    if (
        number == <uint32_t>NIL
        or record.payload_bytes < 8
        or pair.slots[number].remaining <= record.nbytes
    ):
        pair.counts.split += 1
        return
    rest = slot_take(pair)
    slot = &pair.slots[number]
    keys_remove(pair, number)
    pair.slots[rest] = slot[0]
    slot.nbytes = slot.remaining = record.nbytes
    keys_add(pair, number)
    # the first part keeps what was merged into it, the rest is one more
    slot = &pair.slots[rest]
    slot.n_bios = 1
    slot.nbytes = slot.remaining = slot.remaining - record.nbytes
    slot.sector = slot.at = load_be64(record.payload)
    slot.marks = 0
    list_add(&pair.queued, pair.slots, rest, number)
    keys_add(pair, rest)
    pair.n_held += 1
    if pair.n_held > pair.window:
        pair.check_rows = True


cdef inline void on_insert(
    Pairing* pair, const Record* record, uint8_t op
) noexcept nogil:
    """I: the request went to the scheduler. Nothing changes; it should be known."""
    if oldest_first(op):
        return
    if (
        find_recent(pair, record, op) == <uint32_t>NIL
        and table_find(
            &pair.table, pair.slots, BY_QUEUED_START, record.device, op, record.sector
        )
        == <uint32_t>NIL
    ):
        pair.counts.insert += 1


cdef inline void absorb_missed(
    Pairing* pair, uint32_t into, uint64_t nbytes
) noexcept nogil:
    """Take in what lies behind a request, up to the length it was issued with.

    Their merge was not recorded: it was lost, or joined two requests on a kernel before
    5.9, which tells of merged bios only. A bio without a G is preferred.
    """
    cdef Slot* target = &pair.slots[into]
    cdef uint32_t head
    cdef uint32_t number
    while target.remaining < nbytes:
        head = table_find(
            &pair.table,
            pair.slots,
            BY_QUEUED_START,
            target.device,
            target.op,
            sector_after(target.at, target.remaining),
        )
        number = chain_best(
            pair.slots,
            head,
            False,
            nbytes - target.remaining,
            target.cgroup,
            MARK_GOT,
            MARK_WRITTEN | MARK_REQUEUED,
            NIL,
        )
        if (
            number == <uint32_t>NIL
            or pair.slots[number].remaining == 0
            or <uint64_t>target.remaining + pair.slots[number].remaining > nbytes
        ):
            break
        slot_absorb(pair, into, number)


cdef inline void absorb_ranges(
    Pairing* pair, uint32_t into, uint64_t nbytes
) noexcept nogil:
    """Take in discards of other ranges, up to the length a discard was issued with.

    One command may discard ranges anywhere; no event tells of their merge. They are of
    one cgroup, were queued after the first, and became no request of their own.
    Source: block/blk-merge.c, bio_attempt_discard_merge(), v6.12.
    """
    cdef Slot* target = &pair.slots[into]
    cdef uint32_t number = target.in_list.next
    cdef uint32_t after
    cdef const Slot* slot
    cdef int _step
    for _step in range(RANGE_LIMIT):
        if number == <uint32_t>NIL or target.remaining >= nbytes:
            break
        slot = &pair.slots[number]
        after = slot.in_list.next
        if (
            slot.op == target.op
            and slot.device == target.device
            and slot.cgroup == target.cgroup
            and slot.state == STATE_QUEUED
            and not slot.marks & MARK_GOT
            and <uint64_t>target.remaining + slot.remaining <= nbytes
        ):
            slot_absorb(pair, into, number)
        number = after


cdef inline void on_issue(Pairing* pair, const Record* record, uint8_t op) noexcept nogil:
    """D: the driver was given the request."""
    cdef uint32_t number = find_queued(pair, record, op, MARK_WRITTEN, 0, oldest_first(op))
    cdef Slot* slot
    if number == <uint32_t>NIL:
        number = slot_open(pair, record, op)
        if not oldest_first(op):
            pair.counts.issue_without_queue += 1
        slot = &pair.slots[number]
        slot.state = STATE_ISSUED
        keys_add(pair, number)
    else:
        slot = &pair.slots[number]
        if slot.marks & (MARK_WRITTEN | MARK_REQUEUED):
            # its row has its place already
            keys_remove(pair, number)
            slot.remaining = record.nbytes
            slot.state = STATE_ISSUED
            keys_add(pair, number)
            if slot.marks & MARK_REQUEUED:
                slot.last_issue_ns = pair.now_ns
            if not slot.marks & MARK_WRITTEN:
                list_append(&pair.in_flight, pair.slots, number)
            elif not slot.marks & MARK_REQUEUED:
                pair.counts.late_issue += 1
            return
        if record.nbytes > slot.remaining:
            keys_remove(pair, number)
            absorb_missed(pair, number, record.nbytes)
            if op == OP_DISCARD:
                absorb_ranges(pair, number, record.nbytes)
            slot.state = STATE_ISSUED
            keys_add(pair, number)
        else:
            keys_turn(pair, number)
        list_remove(&pair.queued, pair.slots, number)
        # what the driver saw counts
        slot.nbytes = slot.remaining = record.nbytes
    slot.issue_ns = pair.now_ns
    slot.order = pair.n_events
    slot.after = NIL
    if pair.fifo_head == <uint32_t>NIL:
        pair.fifo_head = number
    else:
        pair.slots[pair.fifo_tail].after = number
    pair.fifo_tail = number
    list_append(&pair.in_flight, pair.slots, number)


cdef inline void on_requeue(
    Pairing* pair, const Record* record, uint8_t op
) noexcept nogil:
    """R: the driver gave it back; the row keeps its first issue and its place."""
    cdef uint32_t number = find_issued(pair, record, op)
    cdef Slot* slot
    if number == <uint32_t>NIL:
        pair.counts.requeue += 1
        return
    slot = &pair.slots[number]
    keys_remove(pair, number)
    if not slot.marks & MARK_WRITTEN:
        list_remove(&pair.in_flight, pair.slots, number)
    slot.state = STATE_QUEUED
    slot.marks |= MARK_REQUEUED
    keys_add(pair, number)
    pair.counts.requeued += 1


cdef inline void slot_complete(
    Pairing* pair, uint32_t number, const Record* record
) noexcept nogil:
    """C of a slot whose rest contains the event's range."""
    cdef Slot* slot = &pair.slots[number]
    cdef uint64_t end = sector_after(record.sector, record.nbytes)
    cdef uint64_t skipped = (record.sector - slot.at) << 9
    cdef int16_t error = <int16_t>record.error
    cdef bint was_issued = slot.state == STATE_ISSUED
    keys_remove(pair, number)
    if slot.error == 0:
        slot.error = error
    if (
        was_issued
        and slot.op != OP_PASSTHROUGH
        and skipped + record.nbytes < slot.remaining
    ):
        slot.remaining -= <uint32_t>(skipped + record.nbytes)
        slot.at = end
        pair.counts.partial += 1
        keys_add(pair, number)
        return
    if slot.marks & MARK_WRITTEN:
        pair.counts.late_complete += 1
    else:
        slot.complete_ns = pair.now_ns
        pair.check_rows = True
        if was_issued:
            list_remove(&pair.in_flight, pair.slots, number)
    slot.state = STATE_DONE


cdef inline void complete_empty(
    Pairing* pair, const Record* record, uint8_t op
) noexcept nogil:
    """C without bytes: of a flush, of a flush bio, or of an operation without data.

    The flush machinery ends an empty flush bio, and a write with PREFLUSH or FUA, by
    one more C without bytes; the write was complete with its data's C, as the driver
    saw it. Source: block/blk-flush.c, blk_flush_complete_seq(), v6.12.
    """
    cdef uint32_t number = find_issued(pair, record, op)
    if number == <uint32_t>NIL or pair.slots[number].remaining != 0:
        number = find_queued(pair, record, OP_FLUSH_BIO, MARK_WRITTEN, 0, True)
    if number == <uint32_t>NIL and op != OP_FLUSH:
        number = find_queued(pair, record, op, MARK_WRITTEN, 0, oldest_first(op))
        if number != <uint32_t>NIL and pair.slots[number].remaining != 0:
            number = NIL
    if number != <uint32_t>NIL:
        slot_complete(pair, number, record)
    elif op == OP_FLUSH and not record.category & CAT_WRITE:
        pair.counts.complete += 1
    else:
        pair.counts.flush_sequence += 1


cdef inline void on_complete(
    Pairing* pair, const Record* record, uint8_t op
) noexcept nogil:
    """C: all or part of a request is done; or a bio of a device without requests."""
    cdef uint32_t number
    if record.nbytes == 0 and op != OP_PASSTHROUGH:
        complete_empty(pair, record, op)
        return
    number = find_issued(pair, record, op)
    if number == <uint32_t>NIL:
        number = find_queued(pair, record, op, MARK_WRITTEN, 0, oldest_first(op))
        if number != <uint32_t>NIL and pair.slots[number].remaining != record.nbytes:
            number = NIL
    if number == <uint32_t>NIL and op != OP_PASSTHROUGH:
        number = find_issued_around(pair, record, op)
    if number == <uint32_t>NIL:
        pair.counts.complete += 1
        return
    slot_complete(pair, number, record)


cdef inline void pair_event(Pairing* pair, const Record* record) noexcept nogil:
    """Let one event change the open requests; ``pair_room`` must not be 0.

    Parameters
    ----------
    pair : Pairing*
        ``now_ns`` is the event's time since the trace's start, never less than before.
    record : const Record*
        Of kind ``KIND_EVENT``. Letters that say nothing about a request's life (B, P,
        S, T, U, …) change nothing.
    """
    cdef uint32_t letter = record.letter
    cdef uint8_t op = record_op(record)
    # a bio that is a flush, until it is issued by the flush machinery
    cdef uint8_t bio_op = OP_FLUSH_BIO if op == OP_FLUSH else op
    pair.n_events += 1
    if letter == LETTER_Q:
        on_queue(pair, record, bio_op)
    elif letter == LETTER_G:
        on_get(pair, record, bio_op)
    elif letter == LETTER_I:
        on_insert(pair, record, bio_op)
    elif letter == LETTER_D:
        on_issue(pair, record, op)
    elif letter == LETTER_C:
        on_complete(pair, record, op)
    elif letter == LETTER_M:
        on_merge(pair, record, bio_op, False)
    elif letter == LETTER_F:
        on_merge(pair, record, bio_op, True)
    elif letter == LETTER_X:
        on_split(pair, record, bio_op)
    elif letter == LETTER_R:
        on_requeue(pair, record, op)
    elif letter == LETTER_A:
        on_remap(pair, record, bio_op)
