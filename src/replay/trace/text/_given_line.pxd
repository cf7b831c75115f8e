"""One line of blkparse's text in the format that its ``-f`` was given.

The format string is made into steps (`replay.trace.text.blkparse.compile_format`): blanks,
one character that must stand there, or a field. Fields are read whatever width they
were printed with.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from replay.trace.text._cursor cimport (
    Cursor, at_end, peek, skip_blanks, take, take_hex, take_number
)
from replay.trace.text._event_line cimport (
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

# The field of the process's name.
cdef enum:
    NAME = 67


ctypedef struct Step:
    uint8_t kind
    #: The character, or the field's letter.
    uint8_t character


ctypedef struct Steps:
    Step items[128]
    uint32_t n
    #: The step of the process's name; ``n``: there is none.
    uint32_t name
    #: The action of every line where no field says it, else 0.
    uint8_t letter


cdef inline uint8_t step_close(const Steps* steps, uint32_t number) noexcept nogil:
    """The character at which the field before step ``number`` ends; 0: the line's."""
    if number >= steps.n:
        return 0
    if steps.items[number].kind == STEP_CHARACTER:
        return steps.items[number].character
    return c" "


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


cdef inline bint is_between_fields(const Steps* steps, uint32_t number) noexcept nogil:
    """Return True if a step has a field on either side: no digit of one is the other's."""
    return (
        0 < number < steps.n - 1
        and steps.items[number - 1].kind == STEP_FIELD
        and steps.items[number + 1].kind == STEP_FIELD
    )


cdef inline bint line_steps(
    Cursor* cursor, TextEvent* event, const Steps* steps, uint32_t first
) noexcept nogil:
    """Read a line from step ``first`` on, up to a process's name or the end."""
    cdef uint32_t number
    cdef uint8_t character
    for number in range(first, steps.n):
        character = steps.items[number].character
        if steps.items[number].kind == STEP_BLANKS:
            if peek(cursor) != c" " and is_between_fields(steps, number):
                return False
            skip_blanks(cursor)
        elif steps.items[number].kind == STEP_CHARACTER:
            if peek(cursor) != character and peek(cursor) == c" ":
                # a field printed with a width to the left has blanks behind it
                skip_blanks(cursor)
            if not take(cursor, character):
                return False
        elif character == NAME:
            return number == steps.name
        elif not field_read(cursor, event, character, step_close(steps, number + 1)):
            return False
    skip_blanks(cursor)
    return True


cdef inline void put_text(
    TextEvent* event, const uint8_t* begin, const uint8_t* end
) noexcept nogil:
    """Set the name, without blanks at its end."""
    while end != begin and (end - 1)[0] == c" ":
        end -= 1
    event.text = begin
    event.text_bytes = <size_t>(end - begin)


cdef inline bint rest_of_line(
    Cursor* cursor, TextEvent* event, const Steps* steps, uint32_t number
) noexcept nogil:
    """Read a process name, the field before step ``number``, and all behind it.

    The name may hold the character that stands behind it, and so may what follows: it is
    the longest with which the rest fits. Blanks around it are of its width.
    """
    cdef uint8_t close = step_close(steps, number)
    cdef const uint8_t* begin = cursor.at
    cdef const uint8_t* stop = cursor.end
    cdef TextEvent tried
    cdef Cursor ahead
    while begin != stop and begin[0] == c" ":
        begin += 1
    if close == 0:
        put_text(event, begin, stop)
        return True
    while stop != begin:
        stop -= 1
        if stop[0] != close:
            continue
        tried = event[0]
        put_text(&tried, begin, stop)
        ahead.at = stop
        ahead.end = cursor.end
        if line_steps(&ahead, &tried, steps, number) and at_end(&ahead):
            event[0] = tried
            return True
    return False


cdef inline bint line_given(
    Cursor* cursor, TextEvent* event, const Steps* steps
) noexcept nogil:
    """Read a line of a given format; all of it must fit."""
    event.letter = steps.letter
    if not line_steps(cursor, event, steps, 0):
        return False
    if steps.name < steps.n:
        return rest_of_line(cursor, event, steps, steps.name + 1)
    return at_end(cursor)
