"""From blkparse's text to the records that it was printed from.

A record is written as version 8 of the kernel's layout (``_record.pxd``), so whatever
reads binary traces reads text too. Lines that are slightly out of order leave in order:
the last `WINDOW` of them are held back.

A remap (A) is printed with the device that it came from, but its sequence number is of
the device that was traced: that of the event before it on its CPU, which is put back.

Nothing is assumed of the text: a line is an event as a whole, or it is counted.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr, memcmp, memcpy, memmove, memset

from replay.trace.blktrace._cursor cimport Cursor, at_end, peek, skip_blanks
from replay.trace.blktrace._event_line cimport (
    LETTER_A,
    LETTER_MESSAGE,
    LETTER_T,
    LETTER_U,
    LETTER_X,
    TextEvent,
    line_default,
)
from replay.trace.blktrace._given_line cimport N_STEPS, Steps, line_given
from replay.trace.blktrace._record cimport CAT_NOTIFY, HEADER_V8, ID_BIT, MAGIC_V8


cdef enum:
    #: Lines held back, and again so many before half of them leave.
    WINDOW = 4096
    NAME_BYTES = 16
    MESSAGE_BYTES = 256
    #: A process note, an event or message, its cgroup and its payload.
    SLOT_BYTES = 2 * HEADER_V8 + NAME_BYTES + 8 + MESSAGE_BYTES
    #: Names remembered, so that they are not noted with every line.
    N_KNOWN = 1 << 14
    #: Events remembered, to find the one before a remap.
    N_TRACED = 1 << 12


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


cdef void put_header(
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


cdef void put_big_endian(uint8_t* at, uint64_t value, int n_bytes) noexcept nogil:
    """Write a number as the kernel does in payloads."""
    cdef int number
    for number in range(n_bytes):
        at[number] = <uint8_t>(value >> 8 * (n_bytes - 1 - number))


cdef uint32_t put_payload(uint8_t* at, const TextEvent* event) noexcept nogil:
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


cdef uint32_t put_name(Text* text, uint8_t* at, const TextEvent* event) noexcept nogil:
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


cdef void put_event(Text* text, Slot* slot, const TextEvent* event) noexcept nogil:
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


cdef bint slot_after(const Slot* left, const Slot* right) noexcept nogil:
    """Order of two records."""
    if left.time_ns != right.time_ns:
        return left.time_ns > right.time_ns
    return left.tie > right.tie


cdef void hold(Text* text, const TextEvent* event) noexcept nogil:
    """Add a line's records in their place; there must be a free slot."""
    cdef uint32_t place = text.n_held
    cdef uint32_t number = text.order[place]
    cdef Slot* slot = &text.slots[number]
    put_event(text, slot, event)
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


cdef void put_traced(Text* text, Slot* slot) noexcept nogil:
    """Give a remap the device of the event before it; remember any event's."""
    cdef uint32_t cpu = <uint32_t>(slot.tie >> 32)
    cdef uint8_t* at = slot.data + slot.event_at + 40
    cdef uint32_t sequence = <uint32_t>(slot.tie & 0xffffffffU)
    cdef Traced* before
    cdef Traced* place = &text.traced[(sequence + 61 * cpu) & (N_TRACED - 1)]
    if slot.is_remap and sequence:
        before = &text.traced[(sequence - 1 + 61 * cpu) & (N_TRACED - 1)]
        if before.tie == slot.tie - 1:
            memcpy(at, &before.device, 4)
    place.tie = slot.tie
    memcpy(&place.device, at, 4)


cdef size_t release(Text* text, uint32_t n_slots, uint8_t* out) noexcept nogil:
    """Copy the first slots' records out; return their length."""
    cdef uint32_t[8192] freed
    cdef uint32_t place
    cdef size_t n_bytes = 0
    cdef Slot* slot
    for place in range(n_slots):
        slot = &text.slots[text.order[place]]
        put_traced(text, slot)
        memcpy(out + n_bytes, slot.data, slot.n_bytes)
        n_bytes += slot.n_bytes
        freed[place] = text.order[place]
    memmove(
        text.order, &text.order[n_slots], (2 * WINDOW - n_slots) * sizeof(uint32_t)
    )
    memcpy(&text.order[2 * WINDOW - n_slots], freed, n_slots * sizeof(uint32_t))
    text.n_held -= n_slots
    return n_bytes


cdef bint starts_with(
    const Cursor* cursor, const char* word, size_t n_bytes
) noexcept nogil:
    """Tell whether a word stands at the cursor."""
    return (
        <size_t>(cursor.end - cursor.at) >= n_bytes
        and memcmp(cursor.at, word, n_bytes) == 0
    )


cdef bint is_comment(Cursor line) noexcept nogil:
    """Tell lines of headers and of the summary at the end."""
    skip_blanks(&line)
    return (
        at_end(&line)
        or peek(&line) == c"#"
        or starts_with(&line, b"CPU", 3)
        or starts_with(&line, b"Total (", 7)
        or starts_with(&line, b"Reads ", 6)
        or starts_with(&line, b"Read ", 5)
        or starts_with(&line, b"PC Read", 7)
        or starts_with(&line, b"PC Write", 8)
        or starts_with(&line, b"Writes ", 7)
        or starts_with(&line, b"IO unplugs:", 11)
        or starts_with(&line, b"Throughput (", 12)
        or starts_with(&line, b"Events (", 8)
        or starts_with(&line, b"Skips:", 6)
        or starts_with(&line, b"Input file ", 11)
    )


cdef void take_line(
    Text* text, const uint8_t* at, size_t n_bytes, bint cut
) noexcept nogil:
    """Hold what a line says, or count it. ``cut``: the file ends within it."""
    cdef TextEvent event
    cdef Cursor line
    cdef Cursor begin
    text.n_lines += 1
    begin.at = at
    begin.end = at + n_bytes
    while begin.end != begin.at and (
        (begin.end - 1)[0] == c"\r" or (begin.end - 1)[0] == c" "
    ):
        begin.end -= 1
    if text.steps.n:
        line = begin
        memset(&event, 0, sizeof(TextEvent))
        if (
            line_given(&line, &event, &text.steps)
            and event.letter != LETTER_MESSAGE
        ):
            hold(text, &event)
            return
    line = begin
    memset(&event, 0, sizeof(TextEvent))
    # messages keep the default format, whatever format was given
    if line_default(&line, &event) and (
        not text.steps.n or event.letter == LETTER_MESSAGE
    ):
        hold(text, &event)
    elif is_comment(begin):
        text.n_comments += 1
    elif cut or text.n_lines == 1:
        text.truncated_bytes += n_bytes
    else:
        text.n_refused += 1
        text.refused_bytes += n_bytes + 1
        if text.first_refused == 0:
            text.first_refused = text.n_lines


cdef size_t take_lines(
    Text* text, const uint8_t* data, size_t size, uint8_t* out, size_t* n_out
) noexcept nogil:
    """Take lines until the slots were emptied once or no whole line is left.

    Parameters
    ----------
    text : Text*
    data : const uint8_t*
        ``size`` bytes.
    out : uint8_t*
        Room for ``WINDOW`` slots.
    n_out : size_t*
        Bytes written.

    Returns
    -------
    size_t
        Bytes of ``data`` that are done with.
    """
    cdef size_t offset = 0
    cdef const uint8_t* newline
    n_out[0] = 0
    while n_out[0] == 0:
        newline = <const uint8_t*>memchr(data + offset, c"\n", size - offset)
        if newline == NULL:
            break
        take_line(
            text, data + offset, <size_t>(newline - data) - offset, False
        )
        offset = <size_t>(newline - data) + 1
        if text.n_held == 2 * WINDOW:
            n_out[0] = release(text, WINDOW, out)
    return offset


cdef class TextRecords:
    """Make blktrace records of blkparse's text.

    Parameters
    ----------
    steps : bytes
        Pairs of kind and character (``_given_line.pxd``); empty for the default format.

    Raises
    ------
    ValueError
        There are too many steps.
    MemoryError
    """

    cdef Text text
    cdef uint8_t* out

    def __cinit__(self, steps: bytes) -> None:
        cdef uint32_t number
        cdef const uint8_t* pairs = steps
        if len(steps) > 2 * N_STEPS:
            raise ValueError(f"{len(steps) // 2} steps, at most {N_STEPS}")
        self.text.slots = <Slot*>calloc(2 * WINDOW, sizeof(Slot))
        self.text.names = <KnownName*>calloc(N_KNOWN, sizeof(KnownName))
        self.out = <uint8_t*>calloc(2 * WINDOW, SLOT_BYTES)
        if self.text.slots == NULL or self.text.names == NULL or self.out == NULL:
            raise MemoryError
        for number in range(2 * WINDOW):
            self.text.order[number] = number
        self.text.steps.n = <uint32_t>(len(steps) // 2)
        for number in range(self.text.steps.n):
            self.text.steps.items[number].kind = pairs[2 * number]
            self.text.steps.items[number].character = pairs[2 * number + 1]

    def __dealloc__(self) -> None:
        free(self.text.slots)
        free(self.text.names)
        free(self.out)

    def take(self, data: bytes, start: int) -> tuple[int, bytes]:
        """Take lines.

        Parameters
        ----------
        data : bytes
            Text.
        start : int
            Where in it to go on.

        Returns
        -------
        tuple
            Where to go on next time: at the end of the last whole line when no records
            come. And the records that left.
        """
        cdef const uint8_t* at = data
        cdef size_t size = <size_t>len(data)
        cdef size_t offset = start
        cdef size_t n_out
        if offset > size:
            raise ValueError(f"{start} is beyond the data")
        with nogil:
            offset += take_lines(&self.text, at + offset, size - offset, self.out, &n_out)
        return offset, PyBytes_FromStringAndSize(<const char*>self.out, <Py_ssize_t>n_out)

    def finish(self, rest: bytes) -> bytes:
        """Take what stands behind the last line's end, and release all records.

        Parameters
        ----------
        rest : bytes
            Empty, or a line that the file ends within or with.

        Returns
        -------
        bytes
            The last records.
        """
        cdef size_t n_out
        if rest:
            take_line(&self.text, rest, <size_t>len(rest), True)
        n_out = release(&self.text, self.text.n_held, self.out)
        return PyBytes_FromStringAndSize(<const char*>self.out, <Py_ssize_t>n_out)

    def counts(self) -> dict[str, int]:
        """Show what became of the lines, by name."""
        return {
            "lines": self.text.n_lines,
            "events": self.text.n_events,
            "messages": self.text.n_messages,
            "names": self.text.n_names,
            "comments": self.text.n_comments,
            "refused": self.text.n_refused,
            "refused_bytes": self.text.refused_bytes,
            "truncated_bytes": self.text.truncated_bytes,
            "first_refused": self.text.first_refused,
            "out_of_order": self.text.n_out_of_order,
        }
