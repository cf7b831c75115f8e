"""The decoder's loop: merged records in, rows out, no Python object in between."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.trace.pairing.columns cimport Columns
from replay.trace.blktrace._event_rows cimport EventFields, TEXT_BYTES, event_write
from replay.trace.pairing.rules cimport pair_event
from replay.trace.pairing.facts cimport (
    Facts, facts_layer, facts_note, facts_sequence
)
from replay.trace.pairing.merge cimport Merge, merge_advance, merge_limit, merge_play, merge_step
from replay.trace.pairing.pair cimport Pairing, pair_room
from replay.trace.blktrace._record cimport KIND_EVENT, LETTER_A, Record
from replay.trace.pairing.rows cimport (
    STOP_BATCH_FULL,
    STOP_CHUNK,
    STOP_END,
    STOP_NEED_ROOM,
    STOP_NONE,
    STOP_SEAM,
    rows_write,
)
from replay.trace.blktrace._source cimport Source, source_next


ctypedef struct Decode:
    Merge merge
    Pairing pair
    Facts facts
    Columns columns
    #: Time of the first event: the trace's zero.
    uint64_t start_ns
    #: Time of the last event, never less than of any before.
    uint64_t end_ns
    uint64_t n_records
    #: Records from this time on are left to others; the largest number: none is.
    uint64_t until_ns


cdef inline void decode_count(
    Decode* decode, Source* source, const Record* record
) noexcept nogil:
    """Count an event and bring its time into order."""
    cdef Facts* facts = &decode.facts
    facts.letters[record.letter] += 1
    facts_sequence(facts, source, record)
    if record.time_ns < decode.end_ns:
        facts.n_out_of_order += 1
    else:
        decode.end_ns = record.time_ns
    decode.pair.now_ns = <int64_t>(decode.end_ns - decode.start_ns)


cdef inline void decode_begin(Decode* decode, const Record* record) noexcept nogil:
    """Let the trace begin with the first event."""
    if not decode.facts.seen_event and record.kind == KIND_EVENT:
        decode.facts.seen_event = True
        decode.start_ns = decode.end_ns = record.time_ns


cdef inline void decode_event(
    Decode* decode, Source* source, const Record* record
) noexcept nogil:
    """Count an event and pair it."""
    decode_count(decode, source, record)
    if record.letter == LETTER_A:
        facts_layer(&decode.facts, record)
    pair_event(&decode.pair, record)


cdef inline uint64_t decode_first_ns(const Merge* merge, uint32_t n_sources) noexcept nogil:
    """Time of the first event; 0 if there is none. The sources stay where they are."""
    cdef Source ahead
    cdef uint64_t first_ns = 0
    cdef bint seen = False
    cdef uint32_t number
    for number in range(n_sources):
        ahead = merge.sources[number]
        while ahead.live and ahead.head.kind != KIND_EVENT:
            source_next(&ahead)
        if ahead.live and (not seen or ahead.head.time_ns < first_ns):
            first_ns = ahead.head.time_ns
            seen = True
    return first_ns


cdef inline int decode_rows(
    Decode* decode, EventFields* to, uint64_t first_ns, size_t capacity, size_t text_bytes
) noexcept nogil:
    """Write records as rows until the batch is full; none is paired.

    Parameters
    ----------
    decode : Decode*
        Started; its columns' ``n_rows`` counts the rows that are written.
    to : EventFields*
        Of ``capacity`` rows and ``text_bytes`` of text.
    first_ns : uint64_t
        The trace's start.
    capacity, text_bytes : size_t
        Room.

    Returns
    -------
    int
        ``STOP_BATCH_FULL``, ``STOP_NEED_ROOM`` or ``STOP_END``.
    """
    cdef Source* source
    cdef size_t row
    while True:
        row = decode.columns.n_rows
        if row == capacity or <size_t>to.text_ends[row] + TEXT_BYTES > text_bytes:
            return STOP_BATCH_FULL
        if decode.facts.need_room:
            return STOP_NEED_ROOM
        if decode.merge.n_live == 0:
            return STOP_END
        source = &decode.merge.sources[decode.merge.first]
        decode.n_records += 1
        event_write(
            to,
            row,
            &source.head,
            <int64_t>(source.head.time_ns - first_ns),
            source.format.swap,
        )
        decode.columns.n_rows += 1
        decode_begin(decode, &source.head)
        if source.head.kind == KIND_EVENT:
            decode_count(decode, source, &source.head)
        else:
            facts_note(&decode.facts, &source.head, source.format.swap)
        merge_advance(&decode.merge)


cdef inline int decode_run(Decode* decode, uint64_t n_records) noexcept nogil:
    """Decode until something is needed from outside.

    Parameters
    ----------
    decode : Decode*
        The whole state; started.
    n_records : uint64_t
        At most so many records.

    Returns
    -------
    int
        One of the ``STOP_`` codes, never ``STOP_NONE``; call again after the batch was
        taken or the tables have grown.
    """
    cdef Source* source
    cdef uint64_t last = decode.n_records + n_records
    cdef uint64_t until
    cdef uint64_t limit_ns
    cdef int stop
    while decode.n_records < last:
        if decode.pair.check_rows:
            stop = rows_write(&decode.pair, &decode.columns, &decode.facts, False)
            if stop != STOP_NONE:
                return stop
            decode.pair.check_rows = False
        until = decode.n_records + pair_room(&decode.pair)
        if decode.facts.need_room or until == decode.n_records:
            return STOP_NEED_ROOM
        if decode.merge.n_live == 0:
            return STOP_END
        if decode.merge.sources[decode.merge.first].sort_ns >= decode.until_ns:
            return STOP_SEAM
        if not decode.facts.seen_event:
            until = decode.n_records + 1
            decode_begin(decode, &decode.merge.sources[decode.merge.first].head)
        until = min(until, last)
        # nothing else need be looked at until a row may leave, or the room is used up
        while decode.n_records < until and decode.merge.n_live:
            source = &decode.merge.sources[decode.merge.first]
            if source.sort_ns >= decode.until_ns:
                break
            limit_ns = min(merge_limit(&decode.merge), decode.until_ns)
            while True:
                decode.n_records += 1
                if source.head.kind == KIND_EVENT:
                    decode_event(decode, source, &source.head)
                else:
                    facts_note(&decode.facts, &source.head, source.format.swap)
                merge_step(&decode.merge, source)
                if source.sort_ns >= limit_ns or decode.n_records == until:
                    break
                if decode.pair.check_rows or decode.facts.need_room:
                    break
            merge_play(&decode.merge, decode.merge.first)
            if decode.pair.check_rows or decode.facts.need_room:
                break
    return STOP_CHUNK
