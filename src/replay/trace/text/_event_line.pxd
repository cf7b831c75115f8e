"""One line of blkparse's text: what it says, in its default format or a given one.

Default format, by action::

    8,0    3       11     0.009507758   697  C   W 223490 + 8 [0]
    dev  cpu  sequence         seconds   pid  act rwbs  what follows

    C R    sector + n [error], sector [error] without data, (hex) [error] passthrough
    Q I D B M F G S
           sector + n [process], [process] without data,
           bytes (hex) [process] passthrough; with -t a number in brackets before it
    P      [process]             U T  [process] count
    A      sector + n <- (major,minor) sector
    X      sector / sector of the rest [process]
    m      rwbs is N, then any text; a cgroup as ino,gen may stand before the m

n is in sectors of 512 bytes. Source: blktrace's blkparse_fmt.c (process_default,
fill_rwbs) and blkparse.c (handle_notify), 1.2 and 1.3.
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
    take_fraction,
    take_hex,
    take_number,
)
from replay.trace.blktrace._record cimport (
    LETTER_A,
    CAT_AHEAD,
    CAT_DISCARD,
    CAT_FLUSH,
    CAT_FUA,
    CAT_META,
    CAT_PASSTHROUGH,
    CAT_SYNC,
    CAT_WRITE,
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


cdef enum:
    LETTER_P = 9
    LETTER_U = 10
    LETTER_T = 11
    LETTER_B = 14
    #: Not a letter of the kernel's: a message.
    LETTER_MESSAGE = 255
    MAX_SECTOR = 0x80000000000000
    MAX_SECTORS = 0x7fffff
    MAX_SECONDS = 0x100000000


ctypedef struct TextEvent:
    uint64_t time_ns
    uint64_t sector
    uint64_t category
    uint64_t cgroup
    #: Of a remap: where from. Of a split: where the rest begins.
    uint64_t other_sector
    uint32_t other_device
    uint32_t nbytes
    uint32_t pid
    uint32_t device
    uint32_t cpu
    uint32_t sequence
    uint32_t error
    #: Of an unplug.
    uint32_t count
    uint8_t letter
    bint has_other
    #: Process name, or a message's text; inside the line.
    const uint8_t* text
    size_t text_bytes
    #: The cgroup's path, where the line has that instead of its id; inside the line.
    const uint8_t* path
    size_t path_bytes


cdef inline uint8_t letter_of(const uint8_t* at, size_t n_bytes) noexcept nogil:
    """The kernel's number of an action, 0 if there is none."""
    cdef uint8_t first = at[0]
    if n_bytes == 2 and first == c"U":
        return LETTER_T if at[1] == c"T" else LETTER_U
    if n_bytes != 1:
        return 0
    if first == c"Q":
        return LETTER_Q
    if first == c"D":
        return LETTER_D
    if first == c"C":
        return LETTER_C
    if first == c"G":
        return LETTER_G
    if first == c"I":
        return LETTER_I
    if first == c"M":
        return LETTER_M
    if first == c"F":
        return LETTER_F
    if first == c"P":
        return LETTER_P
    if first == c"U":
        return LETTER_U
    if first == c"T":
        return LETTER_T
    if first == c"A":
        return LETTER_A
    if first == c"X":
        return LETTER_X
    if first == c"R":
        return LETTER_R
    if first == c"S":
        return LETTER_S
    if first == c"B" or first == c"W":
        return LETTER_B
    if first == c"m":
        return LETTER_MESSAGE
    return 0


cdef inline bint take_action(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read the action."""
    cdef const uint8_t* begin = cursor.at
    while is_letter(peek(cursor)):
        cursor.at += 1
    if cursor.at == begin:
        return False
    event.letter = letter_of(begin, <size_t>(cursor.at - begin))
    return event.letter != 0


cdef inline bint take_rwbs(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read the flags: [F](D|W|R|N)[F][A][S][M], the first F a flush, the other FUA."""
    cdef uint64_t category = 0
    cdef uint8_t main
    if take(cursor, c"F"):
        category |= CAT_FLUSH
    main = peek(cursor)
    if main == c"W":
        category |= CAT_WRITE
    elif main == c"D":
        # blktrace sets both; blkparse shows the one
        category |= CAT_DISCARD | CAT_WRITE
    elif main != c"R" and main != c"N":
        return False
    cursor.at += 1
    if take(cursor, c"F"):
        category |= CAT_FUA
    if take(cursor, c"A"):
        category |= CAT_AHEAD
    if take(cursor, c"S"):
        category |= CAT_SYNC
    if take(cursor, c"M"):
        category |= CAT_META
    event.category = category
    return not is_letter(peek(cursor))


cdef inline bint take_device(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read ``major,minor``."""
    cdef uint64_t major
    cdef uint64_t minor
    skip_blanks(cursor)
    if not (
        take_number(cursor, 0xfff, &major)
        and take(cursor, c",")
        and take_number(cursor, 0xfffff, &minor)
    ):
        return False
    event.device = <uint32_t>(major << 20 | minor)
    return True


cdef inline bint take_u32(
    Cursor* cursor, uint64_t limit, uint32_t* value_out
) noexcept nogil:
    """Read a number after blanks."""
    cdef uint64_t value = 0
    skip_blanks(cursor)
    if not take_number(cursor, limit, &value):
        return False
    value_out[0] = <uint32_t>value
    return True


cdef inline bint take_sector(Cursor* cursor, uint64_t* sector_out) noexcept nogil:
    """Read a sector's number after blanks; -1 (none) is 2**64 - 1, read as 0."""
    cdef const uint8_t* begin
    skip_blanks(cursor)
    begin = cursor.at
    if take_number(cursor, MAX_SECTOR, sector_out):
        return True
    sector_out[0] = 0
    if cursor.end - begin < 20 or memcmp(begin, b"18446744073709551615", 20) != 0:
        return False
    cursor.at = begin + 20
    return True


cdef inline bint take_error(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read a completion's error: a negative number, or its lowest 16 bits."""
    cdef bint negative = take(cursor, c"-")
    cdef uint32_t value = 0
    if not take_u32(cursor, 0xffff, &value):
        return False
    if negative:
        value = (0x10000 - value) & 0xffff
    event.error = value
    return True


cdef inline bint take_cgroup(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read ``%g``: the id's lower and upper half in hexadecimal; ``-`` is none."""
    cdef uint64_t low
    cdef uint64_t high
    if take(cursor, c"-"):
        return True
    if not (
        take_hex(cursor, &low) and take(cursor, c",") and take_hex(cursor, &high)
    ):
        return False
    event.cgroup = high << 32 | low
    return True


cdef inline bint take_name(
    Cursor* cursor, TextEvent* event, uint8_t close
) noexcept nogil:
    """Read a process name up to the line's last ``close``: it may hold any itself."""
    cdef const uint8_t* last = cursor.end
    while last != cursor.at and (last - 1)[0] != close:
        last -= 1
    if last == cursor.at:
        return False
    event.text = cursor.at
    event.text_bytes = <size_t>(last - 1 - cursor.at)
    cursor.at = last
    return True


cdef inline bint is_hex_dump(const Cursor* cursor) noexcept nogil:
    """Tell ``(12 00 ..)`` from ``(     123)``, the elapsed time of ``-t``."""
    return (
        cursor.end - cursor.at >= 4
        and digit_value(cursor.at[1]) < 16
        and digit_value(cursor.at[2]) < 16
        and (cursor.at[3] == c" " or cursor.at[3] == c")")
    )


cdef inline bint skip_brackets(Cursor* cursor) noexcept nogil:
    """Step over ``(...)`` and the blanks after it."""
    while not at_end(cursor) and cursor.at[0] != c")":
        cursor.at += 1
    if not take(cursor, c")"):
        return False
    skip_blanks(cursor)
    return True


cdef inline bint line_range(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read ``sector + n`` or what stands instead, up to the ``[``."""
    cdef uint64_t value
    cdef uint32_t n_sectors = 0
    skip_blanks(cursor)
    if peek(cursor) == c"[":
        # of a completion without range: passthrough
        if event.letter == LETTER_C or event.letter == LETTER_R:
            event.category |= CAT_PASSTHROUGH
        return True
    if peek(cursor) == c"(":
        event.category |= CAT_PASSTHROUGH
        return skip_brackets(cursor)
    if not take_sector(cursor, &value):
        return False
    skip_blanks(cursor)
    if take(cursor, c"+"):
        if not take_u32(cursor, MAX_SECTORS, &n_sectors):
            return False
        skip_blanks(cursor)
    elif event.letter != LETTER_C and event.letter != LETTER_R and (
        peek(cursor) != c"(" or is_hex_dump(cursor)
    ):
        # the one number was bytes
        event.category |= CAT_PASSTHROUGH
        if value > <uint64_t>0xffffffff:
            return False
        event.nbytes = <uint32_t>value
        value = 0
    event.sector = value
    if n_sectors:
        event.nbytes = n_sectors << 9
    return peek(cursor) != c"(" or skip_brackets(cursor)


cdef inline bint line_remap(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read ``sector + n <- (major,minor) sector``."""
    cdef uint32_t n_sectors = 0
    cdef uint32_t device = event.device
    if not take_sector(cursor, &event.sector):
        return False
    skip_blanks(cursor)
    if take(cursor, c"+"):
        if not take_u32(cursor, MAX_SECTORS, &n_sectors):
            return False
        skip_blanks(cursor)
    event.nbytes = n_sectors << 9
    if not (take(cursor, c"<") and take(cursor, c"-")):
        return False
    skip_blanks(cursor)
    if not (take(cursor, c"(") and take_device(cursor, event)):
        return False
    event.other_device = event.device
    event.device = device
    event.has_other = True
    return take(cursor, c")") and take_sector(cursor, &event.other_sector)


cdef inline bint line_split(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read ``sector / sector of the rest [process]``; the length is what lies between."""
    if not take_sector(cursor, &event.sector):
        return False
    skip_blanks(cursor)
    if not (take(cursor, c"/") and take_sector(cursor, &event.other_sector)):
        return False
    event.has_other = True
    if (
        event.other_sector > event.sector
        and event.other_sector - event.sector <= <uint64_t>MAX_SECTORS
    ):
        event.nbytes = <uint32_t>(event.other_sector - event.sector) << 9
    skip_blanks(cursor)
    return take(cursor, c"[") and take_name(cursor, event, c"]")


cdef inline bint line_tail(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read what follows the flags, by action."""
    cdef uint8_t letter = event.letter
    if letter == LETTER_A:
        return line_remap(cursor, event)
    if letter == LETTER_X:
        return line_split(cursor, event)
    if letter == LETTER_P or letter == LETTER_U or letter == LETTER_T:
        skip_blanks(cursor)
        if not (take(cursor, c"[") and take_name(cursor, event, c"]")):
            return False
        return letter == LETTER_P or take_u32(cursor, 0xffffffff, &event.count)
    if not line_range(cursor, event) or not take(cursor, c"["):
        return False
    if letter == LETTER_C or letter == LETTER_R:
        return take_error(cursor, event) and take(cursor, c"]")
    return take_name(cursor, event, c"]")


cdef inline bint line_default(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read a line of the default format."""
    cdef uint64_t seconds
    cdef uint64_t fraction
    cdef Cursor ahead
    if not (
        take_device(cursor, event)
        and take_u32(cursor, 0xffff, &event.cpu)
        and take_u32(cursor, 0xffffffff, &event.sequence)
    ):
        return False
    skip_blanks(cursor)
    if not (
        take_number(cursor, MAX_SECONDS, &seconds)
        and take(cursor, c".")
        and take_fraction(cursor, &fraction)
    ):
        return False
    event.time_ns = seconds * <uint64_t>1000000000 + fraction
    if not take_u32(cursor, 0xffffffff, &event.pid):
        return False
    skip_blanks(cursor)
    if not is_letter(peek(cursor)) or digit_value(peek(cursor)) < 16:
        # a cgroup begins like an action C or D: it has a comma
        ahead = cursor[0]
        if take_cgroup(&ahead, event) and event.cgroup:
            cursor[0] = ahead
            skip_blanks(cursor)
    if not take_action(cursor, event):
        return False
    skip_blanks(cursor)
    if not take_rwbs(cursor, event):
        return False
    if event.letter == LETTER_MESSAGE:
        take(cursor, c" ")
        event.text = cursor.at
        event.text_bytes = <size_t>(cursor.end - cursor.at)
        return True
    if not line_tail(cursor, event):
        return False
    skip_blanks(cursor)
    return at_end(cursor)
