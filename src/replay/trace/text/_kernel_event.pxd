"""An event of the kernel's trace as text: what stands behind its time.

Source: include/trace/events/block.h and kernel/trace/blktrace.c (blk_log_action,
blk_fill_rwbs), v5.10 to v6.18.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from replay.trace.text._cursor cimport (
    Cursor,
    at_end,
    digit_value,
    is_letter,
    peek,
    skip_blanks,
    take,
    take_number,
)
from replay.trace.text._event_line cimport (
    LETTER_B,
    LETTER_MESSAGE,
    LETTER_P,
    LETTER_T,
    LETTER_U,
    MAX_SECTORS,
    TextEvent,
    letter_of,
    line_remap,
    line_split,
    line_tail,
    take_cgroup,
    take_device,
    take_error,
    take_name,
    take_sector,
    take_u32,
)
from replay.trace.blktrace._record cimport (
    CAT_AHEAD,
    CAT_DISCARD,
    CAT_FLUSH,
    CAT_FUA,
    CAT_META,
    CAT_PASSTHROUGH,
    CAT_SYNC,
    CAT_WRITE,
    CAT_WRITE_ZEROES,
    CAT_ZONE,
    LETTER_A,
    LETTER_C,
    LETTER_D,
    LETTER_F,
    LETTER_G,
    LETTER_I,
    LETTER_M,
    LETTER_Q,
    LETTER_R,
    LETTER_S,
    LETTER_X,
)


# What a line is.
cdef enum:
    #: Not of the kernel's trace.
    LINE_BAD = 0
    LINE_EVENT = 1
    #: Another event: nothing of a request's life.
    LINE_OTHER = 2
    #: Of no disk (0,0): a command to a controller, which blktrace does not see.
    LINE_NO_DISK = 3
    #: The time is a counter of the processor, no time.
    LINE_NO_TIME = 4
    #: The trace's buffer had no room; ``TextEvent.count`` events.
    LINE_LOST = 5
    #: A request's error, which its completion tells too.
    LINE_ERROR = 6


cdef inline bint word_is(
    const uint8_t* at, size_t n_bytes, const char* word, size_t n_word
) noexcept nogil:
    """Return True if a word is this one."""
    return n_bytes == n_word and memcmp(at, word, n_word) == 0


cdef inline uint8_t block_letter(const uint8_t* at, size_t n_bytes) noexcept nogil:
    """The letter of a tracepoint whose name goes on so after ``block_``; 0: none."""
    if word_is(at, n_bytes, b"rq_issue", 8):
        return LETTER_D
    if word_is(at, n_bytes, b"rq_complete", 11):
        return LETTER_C
    if word_is(at, n_bytes, b"bio_queue", 9):
        return LETTER_Q
    if word_is(at, n_bytes, b"getrq", 5):
        return LETTER_G
    if word_is(at, n_bytes, b"rq_insert", 9):
        return LETTER_I
    if (
        word_is(at, n_bytes, b"bio_remap", 9)
        or word_is(at, n_bytes, b"rq_remap", 8)
        or word_is(at, n_bytes, b"remap", 5)
    ):
        return LETTER_A
    if word_is(at, n_bytes, b"bio_backmerge", 13) or word_is(
        at, n_bytes, b"rq_merge", 8
    ):
        return LETTER_M
    if word_is(at, n_bytes, b"bio_frontmerge", 14):
        return LETTER_F
    if word_is(at, n_bytes, b"split", 5):
        return LETTER_X
    if word_is(at, n_bytes, b"rq_requeue", 10):
        return LETTER_R
    if word_is(at, n_bytes, b"bio_complete", 12) or word_is(
        at, n_bytes, b"rq_error", 8
    ):
        return LETTER_C
    if word_is(at, n_bytes, b"sleeprq", 7):
        return LETTER_S
    if word_is(at, n_bytes, b"bio_bounce", 10):
        return LETTER_B
    return 0


cdef inline uint8_t long_letter(const uint8_t* at, size_t n_bytes) noexcept nogil:
    """The letter of an action that the tracer ``blk`` spells out; 0: none."""
    if word_is(at, n_bytes, b"queue", 5):
        return LETTER_Q
    if word_is(at, n_bytes, b"issue", 5):
        return LETTER_D
    if word_is(at, n_bytes, b"complete", 8):
        return LETTER_C
    if word_is(at, n_bytes, b"getrq", 5):
        return LETTER_G
    if word_is(at, n_bytes, b"insert", 6):
        return LETTER_I
    if word_is(at, n_bytes, b"backmerge", 9):
        return LETTER_M
    if word_is(at, n_bytes, b"frontmerge", 10):
        return LETTER_F
    if word_is(at, n_bytes, b"split", 5):
        return LETTER_X
    if word_is(at, n_bytes, b"remap", 5):
        return LETTER_A
    if word_is(at, n_bytes, b"requeue", 7):
        return LETTER_R
    if word_is(at, n_bytes, b"sleeprq", 7):
        return LETTER_S
    if word_is(at, n_bytes, b"bounce", 6):
        return LETTER_B
    if word_is(at, n_bytes, b"plug", 4):
        return LETTER_P
    if word_is(at, n_bytes, b"unplug_io", 9):
        return LETTER_U
    if word_is(at, n_bytes, b"unplug_timer", 12):
        return LETTER_T
    if word_is(at, n_bytes, b"message", 7):
        return LETTER_MESSAGE
    return 0


cdef inline bint kernel_rwbs(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read the kernel's flags: [F](W|D|DE|R|F|N|WZ|Z*)[F][A][S][M][U].

    A first F is a flush before the data, unless nothing but more flags follows: then
    it is the operation. WZ is write-zeroes and Z with a letter or two a zone's
    operation, on kernels that tell them from N.
    """
    cdef uint64_t category = 0
    cdef uint8_t main
    if peek(cursor) == c"F":
        category |= CAT_FLUSH
        cursor.at += 1
    main = peek(cursor)
    if main == c"W":
        cursor.at += 1
        category |= CAT_WRITE
        if take(cursor, c"Z"):
            category |= CAT_WRITE_ZEROES
    elif main == c"D":
        cursor.at += 1
        category |= CAT_DISCARD | CAT_WRITE
        take(cursor, c"E")
    elif main == c"R":
        cursor.at += 1
    elif main == c"F":
        # the operation, with a flush before it; what follows the next F is the same
        cursor.at += 1
        category |= CAT_FLUSH
    elif main == c"N":
        cursor.at += 1
        # a command of a driver, or on older kernels write-zeroes: by its range; before
        # 4.8 a flush without data is FN
        if not category:
            category |= CAT_PASSTHROUGH
    elif main == c"Z":
        cursor.at += 1
        if take(cursor, c"A"):
            # zone append: a write that is told its place later
            category |= CAT_WRITE
        else:
            category |= CAT_ZONE & 0x10000
            if take(cursor, c"R"):
                take(cursor, c"A")
            elif not (take(cursor, c"F") or take(cursor, c"O")):
                take(cursor, c"C")
    elif not category:
        return False
    if take(cursor, c"F"):
        category |= CAT_FUA
    if take(cursor, c"A"):
        category |= CAT_AHEAD
    if take(cursor, c"S"):
        category |= CAT_SYNC
    if take(cursor, c"M"):
        category |= CAT_META
    take(cursor, c"U")
    event.category = category
    return not is_letter(peek(cursor))


cdef inline bint kernel_sector(
    Cursor* cursor, TextEvent* event, bint* nowhere_out
) noexcept nogil:
    """Read a sector; 2**64 - 1 is nowhere: of a command that has none."""
    cdef const uint8_t* begin
    skip_blanks(cursor)
    begin = cursor.at
    if not take_sector(cursor, &event.sector):
        return False
    nowhere_out[0] = cursor.at - begin == 20
    return True


cdef inline void kernel_command(TextEvent* event) noexcept nogil:
    """Make it a command of a driver: it has no place."""
    event.category |= CAT_PASSTHROUGH
    event.sector = 0


cdef inline bint kernel_range(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read ``[bytes] [(command)] sector + n [priority]``, up to the ``[``."""
    cdef Cursor ahead
    cdef uint64_t n_bytes = 0
    cdef bint has_bytes = False
    cdef bint has_command = False
    cdef bint nowhere = False
    cdef uint32_t n_sectors = 0
    skip_blanks(cursor)
    ahead = cursor[0]
    if take_number(&ahead, 0xffffffff, &n_bytes):
        skip_blanks(&ahead)
        if peek(&ahead) == c"(":
            has_bytes = True
            cursor[0] = ahead
    if take(cursor, c"("):
        has_command = peek(cursor) != c")"
        while not at_end(cursor) and cursor.at[0] != c")":
            cursor.at += 1
        if not take(cursor, c")"):
            return False
    if not kernel_sector(cursor, event, &nowhere):
        return False
    skip_blanks(cursor)
    if not take(cursor, c"+") or not take_u32(cursor, MAX_SECTORS, &n_sectors):
        return False
    event.nbytes = <uint32_t>n_bytes if has_bytes else n_sectors << 9
    if event.category & CAT_PASSTHROUGH:
        # an N with a place and a length is no command
        if n_sectors and not nowhere and not has_command:
            event.category ^= CAT_PASSTHROUGH
            event.category |= CAT_WRITE | CAT_WRITE_ZEROES
        else:
            kernel_command(event)
    elif has_command or (nowhere and not event.category & CAT_FLUSH):
        kernel_command(event)
    skip_blanks(cursor)
    # the priority: be,0,4
    while not at_end(cursor) and cursor.at[0] != c"[":
        cursor.at += 1
    return take(cursor, c"[")


cdef inline bint kernel_text(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read what follows a tracepoint's name; the rest of the line is the cgroup's."""
    cdef Cursor ahead
    if not take_device(cursor, event):
        return False
    skip_blanks(cursor)
    if not kernel_rwbs(cursor, event):
        return False
    skip_blanks(cursor)
    if event.letter == LETTER_A:
        return line_remap(cursor, event)
    if event.letter == LETTER_X:
        return line_split(cursor, event)
    if not kernel_range(cursor, event):
        return False
    if event.letter == LETTER_C or event.letter == LETTER_R:
        ahead = cursor[0]
        if take_error(&ahead, event) and take(&ahead, c"]"):
            cursor[0] = ahead
            return True
        # who gave it back, on kernels that say it
        return event.letter == LETTER_R and take_name(cursor, event, c"]")
    return take_name(cursor, event, c"]")


cdef inline bint action_word(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read a word of the tracer ``blk`` that says what happened, and a blank."""
    cdef const uint8_t* begin = cursor.at
    while is_letter(peek(cursor)) or peek(cursor) == c"_":
        cursor.at += 1
    if cursor.at == begin:
        return False
    event.letter = letter_of(begin, <size_t>(cursor.at - begin))
    if event.letter == 0:
        event.letter = long_letter(begin, <size_t>(cursor.at - begin))
    return event.letter != 0 and peek(cursor) == c" "


cdef inline bint tracer_action(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read an action of the tracer ``blk``, its flags, and the rest of the line."""
    if not action_word(cursor, event):
        return False
    skip_blanks(cursor)
    if not kernel_rwbs(cursor, event):
        return False
    # its N is an operation without data; a command shows its bytes
    event.category &= ~<uint64_t>CAT_PASSTHROUGH
    if event.letter == LETTER_MESSAGE:
        take(cursor, c" ")
        event.text = cursor.at
        event.text_bytes = <size_t>(cursor.end - cursor.at)
        return True
    if not line_tail(cursor, event):
        return False
    skip_blanks(cursor)
    return at_end(cursor)


cdef inline bint tracer_text(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read the text of the tracer ``blk``: device, cgroup, action, flags, the rest."""
    cdef const uint8_t* begin
    cdef const uint8_t* end
    cdef Cursor ahead
    if not take_device(cursor, event):
        return False
    skip_blanks(cursor)
    if peek(cursor) == c"/":
        begin = cursor.at
        while not at_end(cursor):
            while not at_end(cursor) and cursor.at[0] != c" ":
                cursor.at += 1
            end = cursor.at
            skip_blanks(cursor)
            # a name may hold blanks: it ends where the rest is an event
            ahead = cursor[0]
            if tracer_action(&ahead, event):
                event.path = begin
                event.path_bytes = <size_t>(end - begin)
                return True
        return False
    if not is_letter(peek(cursor)) or digit_value(peek(cursor)) < 16:
        ahead = cursor[0]
        if take_cgroup(&ahead, event) and event.cgroup:
            cursor[0] = ahead
            skip_blanks(cursor)
    return tracer_action(cursor, event)


cdef inline void cgroup_behind(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Take a path behind the event, as of ``perf script -F +cgroup``."""
    skip_blanks(cursor)
    if peek(cursor) != c"/":
        return
    # of who ran: only there it is the request's
    if event.letter != LETTER_Q and event.letter != LETTER_G:
        return
    # a name may hold blanks: nothing stands behind it
    event.path = cursor.at
    cursor.at = cursor.end
    while (cursor.at - 1)[0] == c" " or (cursor.at - 1)[0] == c"\r":
        cursor.at -= 1
    event.path_bytes = <size_t>(cursor.at - event.path)


cdef inline void leave_call(Cursor* cursor) noexcept nogil:
    """End the line before a call: ``[fio]  ffffffff8c5a1b2c name (file)`` of perf."""
    cdef Cursor ahead = cursor[0]
    cdef const uint8_t* stop
    cdef int n_digits
    if at_end(cursor) or (cursor.end - 1)[0] != c")":
        return
    while not at_end(&ahead):
        if not take(&ahead, c"]"):
            ahead.at += 1
            continue
        stop = ahead.at
        skip_blanks(&ahead)
        n_digits = 0
        while digit_value(peek(&ahead)) < 16:
            ahead.at += 1
            n_digits += 1
        if n_digits >= 8 and peek(&ahead) == c" ":
            cursor.end = stop
            return


cdef inline int kernel_event(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read what follows the time: an event by its name, or of the tracer ``blk``."""
    cdef const uint8_t* begin
    cdef const uint8_t* end
    cdef const uint8_t* stop
    cdef Cursor ahead
    cdef uint64_t value
    cdef bint is_error
    skip_blanks(cursor)
    ahead = cursor[0]
    if take_number(&ahead, 0xffffffffffff, &value):
        if peek(&ahead) == c",":
            if not tracer_text(cursor, event):
                return LINE_OTHER if event.letter == 0 else LINE_BAD
            return LINE_EVENT if event.device else LINE_NO_DISK
        # how many times, of perf
        skip_blanks(&ahead)
        cursor[0] = ahead
    if take(cursor, c"("):
        # the time since the line before, of trace-cmd
        while not at_end(cursor) and cursor.at[0] != c")":
            cursor.at += 1
        take(cursor, c")")
        skip_blanks(cursor)
    begin = cursor.at
    while not at_end(cursor) and cursor.at[0] != c" " and cursor.at[0] != c"\t":
        cursor.at += 1
    end = cursor.at
    if end != begin and (end - 1)[0] == c":":
        end -= 1
    # "block:block_rq_issue", or of a probe of another group
    cursor.at = begin
    while end - begin > 6 and memcmp(begin, b"block:", 6) == 0:
        begin += 6
    cursor.at = stop = end
    # "block_rq_issue:k", of an event with modifiers
    while stop != begin and (stop - 1)[0] != c":":
        stop -= 1
    if stop != begin and end - stop <= 8:
        end = stop - 1
    take(cursor, c":")
    leave_call(cursor)
    if word_is(begin, <size_t>(end - begin), b"blktrace", 8):
        return LINE_EVENT if tracer_text(cursor, event) else LINE_OTHER
    if end - begin < 7 or memcmp(begin, b"block_", 6) != 0:
        return LINE_OTHER
    begin += 6
    event.letter = block_letter(begin, <size_t>(end - begin))
    if event.letter == 0:
        return LINE_OTHER
    is_error = word_is(begin, <size_t>(end - begin), b"rq_error", 8)
    if not kernel_text(cursor, event):
        return LINE_BAD
    if event.device == 0:
        return LINE_NO_DISK
    cgroup_behind(cursor, event)
    return LINE_ERROR if is_error else LINE_EVENT
