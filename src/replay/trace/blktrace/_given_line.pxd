"""One line of blkparse's text in the format that its ``-f`` was given.

The format string is made into steps (`replay.trace.blktrace.blkparse.compile_format`): blanks,
one character that must stand there, or a field. Fields are read whatever width they
were printed with.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from replay.trace.blktrace._cursor cimport (
    Cursor, at_end, peek, skip_blanks, take, take_hex, take_number
)
from replay.trace.blktrace._event_line cimport (
    LETTER_T,
    LETTER_U,
    LETTER_X,
    MAX_SECONDS,
    MAX_SECTORS,
    TextEvent,
    take_action,
    take_cgroup,
    take_device,
    take_error,
    take_name,
    take_rwbs,
    take_sector,
    take_u32,
)


cdef enum:
    N_STEPS = 128


# Kinds of steps.
cdef enum:
    STEP_BLANKS = 1
    STEP_CHARACTER = 2
    STEP_FIELD = 3


ctypedef struct Step:
    uint8_t kind
    #: The character, or the field's letter.
    uint8_t character


ctypedef struct Steps:
    Step items[128]
    uint32_t n
    #: The action of every line where no field says it, else 0.
    uint8_t letter


cdef inline uint8_t step_close(const Steps* steps, uint32_t number) noexcept nogil:
    """The character at which the field before step ``number`` ends; 0: the line's."""
    if number >= steps.n:
        return 0
    if steps.items[number].kind == STEP_CHARACTER:
        return steps.items[number].character
    return c" "


cdef inline bint field_name(
    Cursor* cursor, TextEvent* event, uint8_t close
) noexcept nogil:
    """Read a process name up to the last ``close``, which stays."""
    if close == 0:
        event.text = cursor.at
        event.text_bytes = <size_t>(cursor.end - cursor.at)
        cursor.at = cursor.end
        return True
    if not take_name(cursor, event, close):
        return False
    cursor.at -= 1
    return True


cdef inline void skip_field(Cursor* cursor, uint8_t close) noexcept nogil:
    """Step over what is not needed, up to the next ``close``."""
    while not at_end(cursor) and cursor.at[0] != close:
        cursor.at += 1


cdef inline bint field_read(
    Cursor* cursor, TextEvent* event, uint8_t field, uint8_t close
) noexcept nogil:
    """Read one field."""
    cdef uint64_t value = 0
    cdef uint32_t number = 0
    if field == c"C":
        return field_name(cursor, event, close)
    skip_blanks(cursor)
    if field == c"a":
        return take_action(cursor, event)
    if field == c"d":
        return take_rwbs(cursor, event)
    if field == c"D":
        return take_device(cursor, event)
    if field == c"M" or field == c"m":
        if not take_u32(cursor, 0xfff if field == c"M" else 0xfffff, &number):
            return False
        event.device |= number << 20 if field == c"M" else number
        return True
    if field == c"c":
        return take_u32(cursor, 0xffff, &event.cpu)
    if field == c"s":
        return take_u32(cursor, 0xffffffff, &event.sequence)
    if field == c"p":
        return take_u32(cursor, 0xffffffff, &event.pid)
    if field == c"T":
        if not take_number(cursor, MAX_SECONDS, &value):
            return False
        event.time_ns += value * <uint64_t>1000000000
        return True
    if field == c"t":
        if not take_number(cursor, 999999999, &value):
            return False
        event.time_ns += value
        return True
    if field == c"S":
        return take_sector(cursor, &event.sector)
    if field == c"n":
        if not take_u32(cursor, MAX_SECTORS, &number):
            return False
        # the exact length, if the format has it too, is taken
        if event.nbytes >> 9 != number or event.nbytes == 0:
            event.nbytes = number << 9
        return True
    if field == c"N":
        return take_u32(cursor, 0xffffffff, &event.nbytes)
    if field == c"e":
        return take_error(cursor, event)
    if field == c"g":
        return take_cgroup(cursor, event)
    if field == c"U":
        if not take_sector(cursor, &value):
            return False
        if event.letter == LETTER_X:
            event.other_sector = value
            event.has_other = True
        elif event.letter == LETTER_U or event.letter == LETTER_T:
            event.count = <uint32_t>value
        return True
    skip_field(cursor, close)
    return True


cdef inline bint line_given(
    Cursor* cursor, TextEvent* event, const Steps* steps
) noexcept nogil:
    """Read a line of a given format; all of it must fit."""
    cdef uint32_t number
    cdef uint8_t character
    event.letter = steps.letter
    for number in range(steps.n):
        character = steps.items[number].character
        if steps.items[number].kind == STEP_BLANKS:
            skip_blanks(cursor)
        elif steps.items[number].kind == STEP_CHARACTER:
            if peek(cursor) != character and peek(cursor) == c" ":
                # a field printed with a width to the left has blanks behind it
                skip_blanks(cursor)
            if not take(cursor, character):
                return False
        elif not field_read(cursor, event, character, step_close(steps, number + 1)):
            return False
    skip_blanks(cursor)
    return at_end(cursor)
