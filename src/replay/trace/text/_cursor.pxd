"""Reading text: a checked cursor over one line. Nothing is read at or after its end."""

from libc.stdint cimport uint8_t, uint64_t


ctypedef struct Cursor:
    const uint8_t* at
    const uint8_t* end


cdef inline bint at_end(const Cursor* cursor) noexcept nogil:
    """Return True if nothing is left."""
    return cursor.at == cursor.end


cdef inline uint8_t peek(const Cursor* cursor) noexcept nogil:
    """The next character, 0 at the end."""
    return 0 if cursor.at == cursor.end else cursor.at[0]


cdef inline void skip_blanks(Cursor* cursor) noexcept nogil:
    """Step over blanks and tabs."""
    while cursor.at != cursor.end and (cursor.at[0] == c" " or cursor.at[0] == b"\t"):
        cursor.at += 1


cdef inline bint take(Cursor* cursor, uint8_t character) noexcept nogil:
    """Step over this character; false if another stands there."""
    if cursor.at == cursor.end or cursor.at[0] != character:
        return False
    cursor.at += 1
    return True


cdef inline bint is_letter(uint8_t character) noexcept nogil:
    """Tell letters of ASCII."""
    return c"A" <= character <= c"Z" or c"a" <= character <= c"z"


cdef inline int digit_value(uint8_t character) noexcept nogil:
    """Value of a hexadecimal digit, or 16."""
    if c"0" <= character <= c"9":
        return character - c"0"
    if c"a" <= character <= c"f":
        return character - c"a" + 10
    if c"A" <= character <= c"F":
        return character - c"A" + 10
    return 16


cdef inline bint take_number(
    Cursor* cursor, uint64_t limit, uint64_t* value_out
) noexcept nogil:
    """Read decimal digits; false if there are none or the value is above ``limit``.

    ``limit`` must be below 2**64 / 10 - 1.
    """
    cdef uint64_t value = 0
    cdef const uint8_t* begin = cursor.at
    while cursor.at != cursor.end and c"0" <= cursor.at[0] <= c"9":
        value = 10 * value + (cursor.at[0] - <uint8_t>c"0")
        if value > limit:
            return False
        cursor.at += 1
    value_out[0] = value
    return cursor.at != begin


cdef inline bint take_hex(Cursor* cursor, uint64_t* value_out) noexcept nogil:
    """Read 1 to 8 hexadecimal digits; false if there are none or more."""
    cdef uint64_t value = 0
    cdef int n_digits = 0
    cdef int digit
    while cursor.at != cursor.end:
        digit = digit_value(cursor.at[0])
        if digit == 16:
            break
        if n_digits == 8:
            return False
        value = value << 4 | <uint64_t>digit
        n_digits += 1
        cursor.at += 1
    value_out[0] = value
    return n_digits > 0


cdef inline bint take_fraction(Cursor* cursor, uint64_t* ns_out) noexcept nogil:
    """Read the digits after a decimal point of seconds as ns; false unless 1 to 9."""
    cdef uint64_t value = 0
    cdef int n_digits = 0
    while cursor.at != cursor.end and c"0" <= cursor.at[0] <= c"9":
        if n_digits == 9:
            return False
        value = 10 * value + (cursor.at[0] - <uint8_t>c"0")
        n_digits += 1
        cursor.at += 1
    if n_digits == 0:
        return False
    while n_digits < 9:
        value *= 10
        n_digits += 1
    ns_out[0] = value
    return True
