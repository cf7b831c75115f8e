"""Lines of tables made regular, and times of any kind: what `pyarrow.csv` cannot read.

Nothing is assumed of the text: a line that does not fit stays as it is, and the reader
of the table refuses it by its number.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint8_t
from libc.string cimport memchr

from replay.trace.formats._words cimport MAX_WORDS, MOST_DIGITS, put_row


cdef enum:
    NS_OF_SECOND = 1000000000
    DAY_S = 86400

#: Kinds of times, as bits: a number, a time of day, a date.
NUMBER = 1
CLOCK = 2
DATE = 4
#: What a blank time is.
BLANK = INT64_MIN


def by_blanks(
    lines: bytes, n_columns: int, wide: int, optional: int, joined: int = -1
) -> bytes:
    """Make columns that blanks separate ones that tabs do.

    Parameters
    ----------
    lines : bytes
        Whole lines.
    n_columns : int
        How many there are, at most 256.
    wide : int
        The column that may hold blanks, or be empty; -1: none.
    optional : int
        The column, behind ``wide`` and behind a number, that may be missing where it is
        blank; -1: none. It holds no number.
    joined : int
        The column, behind the others, of sizes that the next one's times may follow
        without a blank; -1: none. Where it is not sure which digit is whose the size has
        all, and the time is blank.

    Returns
    -------
    bytes
        No line is left out; what does not fit has as many columns as it has words.
    """
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(lines)
    cdef const uint8_t* end = at + len(lines)
    cdef const uint8_t* newline
    cdef const uint8_t* stop
    cdef int columns = min(n_columns, <int>MAX_WORDS)
    cdef int name = wide
    cdef int blank = optional
    cdef int size = joined
    cdef Py_ssize_t n_lines = lines.count(b"\n") + 1
    # every line may get tabs that it had no blanks for
    out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>len(lines) + n_lines * (columns + 1))
    cdef uint8_t* begin = <uint8_t*>PyBytes_AS_STRING(out)
    cdef uint8_t* to = begin
    with nogil:
        while at != end:
            newline = <const uint8_t*>memchr(at, c"\n", <size_t>(end - at))
            stop = end if newline == NULL else newline
            newline = stop
            while stop != at and (
                (stop - 1)[0] == c"\r" or (stop - 1)[0] == c" " or (stop - 1)[0] == c"\t"
            ):
                stop -= 1
            if stop != at:
                to = put_row(to, at, stop, columns, name, blank, size)
            to[0] = c"\n"
            to += 1
            at = newline if newline == end else newline + 1
    return out[: to - begin]


def first_columns(lines: bytes, n_columns: int) -> bytes:
    """Keep the first columns that commas separate, without blanks around the commas.

    Parameters
    ----------
    lines : bytes
        Whole lines.
    n_columns : int

    Returns
    -------
    bytes
        Lines with fewer columns stay as they are.
    """
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(lines)
    cdef const uint8_t* end = at + len(lines)
    cdef int most = n_columns
    cdef int n
    cdef bint keep
    out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>len(lines))
    cdef uint8_t* begin = <uint8_t*>PyBytes_AS_STRING(out)
    cdef uint8_t* to = begin
    with nogil:
        n = 1
        keep = True
        while at != end:
            if at[0] == c"\n":
                keep = True
                n = 1
            elif at[0] == c",":
                n += 1
                keep = n <= most
            if keep and at[0] != c" " and at[0] != c"\t" and at[0] != c"\r":
                to[0] = at[0]
                to += 1
            at += 1
    return out[: to - begin]


# --- times ----------------------------------------------------------------------------


cdef struct Cursor:
    const uint8_t* at
    const uint8_t* end


cdef int take_int(Cursor* cursor, int most, int64_t* value) noexcept nogil:
    """Read up to ``most`` digits; return how many there were, -1 for more."""
    cdef int n = 0
    value[0] = 0
    while cursor.at != cursor.end and c"0" <= cursor.at[0] <= c"9":
        if n == most:
            return -1
        value[0] = 10 * value[0] + (cursor.at[0] - <uint8_t>c"0")
        cursor.at += 1
        n += 1
    return n


cdef bint take_fraction(Cursor* cursor, int64_t scale, int64_t* ns) noexcept nogil:
    """Read digits behind a point as parts of ``scale`` ns, rounded."""
    cdef int64_t value = 0
    cdef int64_t unit = 1
    cdef int n = 0
    while cursor.at != cursor.end and c"0" <= cursor.at[0] <= c"9":
        if n < 9:
            value = 10 * value + (cursor.at[0] - <uint8_t>c"0")
            unit *= 10
        cursor.at += 1
        n += 1
    # below 2**63: 10**9 each at most
    ns[0] = (value * scale + unit // 2) // unit
    return n > 0


cdef bint number_ns(Cursor* cursor, int64_t scale, int64_t* ns) noexcept nogil:
    """Read a number of units of ``scale`` ns, as programs print them: 1.5, -3, 2e-05."""
    cdef int64_t whole = 0
    cdef int64_t part = 0
    cdef int64_t exponent = 0
    cdef bint negative = False
    cdef bint below = False
    cdef int n
    cdef int has_point = 0
    cdef int64_t bound = (<int64_t>1 << 62) // scale
    if cursor.at != cursor.end and (cursor.at[0] == c"-" or cursor.at[0] == c"+"):
        negative = cursor.at[0] == c"-"
        cursor.at += 1
    n = take_int(cursor, MOST_DIGITS + 1, &whole)
    if n < 0 or whole > bound:
        return False
    if cursor.at != cursor.end and cursor.at[0] == c".":
        cursor.at += 1
        has_point = 1
        if not take_fraction(cursor, scale, &part) and n == 0:
            return False
    if n == 0 and not has_point:
        return False
    ns[0] = whole * scale + part
    if cursor.at != cursor.end and (cursor.at[0] == c"e" or cursor.at[0] == c"E"):
        cursor.at += 1
        if cursor.at != cursor.end and (cursor.at[0] == c"-" or cursor.at[0] == c"+"):
            below = cursor.at[0] == c"-"
            cursor.at += 1
        if take_int(cursor, 2, &exponent) <= 0:
            return False
        while exponent:
            if below:
                ns[0] = (ns[0] + 5) // 10
            elif ns[0] > (<int64_t>1 << 62) // 10:
                return False
            else:
                ns[0] *= 10
            exponent -= 1
    if negative:
        ns[0] = -ns[0]
    return True


cdef bint clock_ns(Cursor* cursor, int64_t* ns) noexcept nogil:
    """Read hours:minutes:seconds, with a fraction or without."""
    cdef int64_t hours = 0
    cdef int64_t minutes = 0
    cdef int64_t seconds = 0
    cdef int64_t part = 0
    if take_int(cursor, 4, &hours) <= 0:
        return False
    if cursor.at == cursor.end or cursor.at[0] != c":":
        return False
    cursor.at += 1
    if take_int(cursor, 2, &minutes) <= 0 or minutes > 59:
        return False
    if cursor.at != cursor.end and cursor.at[0] == c":":
        cursor.at += 1
        if take_int(cursor, 2, &seconds) <= 0 or seconds > 60:
            return False
        if cursor.at != cursor.end and (cursor.at[0] == c"." or cursor.at[0] == c","):
            cursor.at += 1
            if not take_fraction(cursor, NS_OF_SECOND, &part):
                return False
    ns[0] = (3600 * hours + 60 * minutes + seconds) * <int64_t>NS_OF_SECOND + part
    return True


cdef int64_t days_of(int64_t year, int64_t month, int64_t day) noexcept nogil:
    """Days since 1970 of a date of the Gregorian calendar."""
    cdef int64_t shifted = year - (1 if month <= 2 else 0)
    cdef int64_t era = shifted // 400
    cdef int64_t of_era = shifted - 400 * era
    cdef int64_t of_year = (153 * (month + (9 if month <= 2 else -3)) + 2) // 5 + day - 1
    return 146097 * era + 365 * of_era + of_era // 4 - of_era // 100 + of_year - 719468


cdef bint two_digits(Cursor* cursor, int64_t* value) noexcept nogil:
    """Read exactly two digits, whatever follows: 02 of 0200."""
    if cursor.end - cursor.at < 2:
        return False
    if not (c"0" <= cursor.at[0] <= c"9" and c"0" <= cursor.at[1] <= c"9"):
        return False
    value[0] = 10 * (cursor.at[0] - c"0") + (cursor.at[1] - c"0")
    cursor.at += 2
    return True


cdef bint is_word(const uint8_t* at, const char* word, Py_ssize_t n) noexcept nogil:
    """Compare with a word in lower case; no harm is done to what is no letter."""
    cdef Py_ssize_t place
    for place in range(n):
        if at[place] | 0x20 != <uint8_t>word[place]:
            return False
    return True


cdef bint says_nothing(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Return True if a field is blank, or one of the words that stand for that."""
    cdef Py_ssize_t n = end - at
    if n == 1:
        return at[0] == c"-"
    if n == 2:
        return is_word(at, b"na", n)
    if n == 3:
        return is_word(at, b"nan", n) or is_word(at, b"n/a", n)
    if n == 4:
        return is_word(at, b"null", n) or is_word(at, b"none", n)
    return n == 0


cdef bint date_ns(Cursor* cursor, int64_t* ns) noexcept nogil:
    """Read 2024-01-15, and a time of day with a zone where it has them (else UTC)."""
    cdef int64_t year = 0
    cdef int64_t month = 0
    cdef int64_t day = 0
    cdef int64_t clock = 0
    cdef int64_t hours = 0
    cdef int64_t minutes = 0
    cdef uint8_t mark
    if take_int(cursor, 4, &year) != 4 or cursor.at == cursor.end:
        return False
    mark = cursor.at[0]
    if mark != c"-" and mark != c"/":
        return False
    cursor.at += 1
    if take_int(cursor, 2, &month) <= 0 or not 1 <= month <= 12:
        return False
    if cursor.at == cursor.end or cursor.at[0] != mark:
        return False
    cursor.at += 1
    if take_int(cursor, 2, &day) <= 0 or not 1 <= day <= 31 or year < 1970:
        return False
    ns[0] = days_of(year, month, day) * DAY_S * <int64_t>NS_OF_SECOND
    if year > 2200:
        return False
    if cursor.at == cursor.end:
        return True
    if cursor.at[0] != c"T" and cursor.at[0] != c" " and cursor.at[0] != c"_":
        return False
    cursor.at += 1
    if not clock_ns(cursor, &clock):
        return False
    ns[0] += clock
    while cursor.at != cursor.end and cursor.at[0] == c" ":
        cursor.at += 1
    if cursor.at == cursor.end:
        return True
    mark = cursor.at[0]
    cursor.at += 1
    if mark == c"Z":
        return True
    if cursor.end - cursor.at == 2 and (
        (mark == c"U" and cursor.at[0] == c"T" and cursor.at[1] == c"C")
        or (mark == c"G" and cursor.at[0] == c"M" and cursor.at[1] == c"T")
    ):
        cursor.at += 2
        return True
    if mark != c"+" and mark != c"-":
        return False
    if not two_digits(cursor, &hours):
        return False
    if cursor.at != cursor.end and cursor.at[0] == c":":
        cursor.at += 1
    if cursor.at != cursor.end and not two_digits(cursor, &minutes):
        return False
    clock = (3600 * hours + 60 * minutes) * <int64_t>NS_OF_SECOND
    ns[0] += clock if mark == c"-" else -clock
    return True


cdef int time_kind(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Tell a number from a time of day and a date: by what stands behind the digits."""
    cdef const uint8_t* begin = at
    while at != end and c"0" <= at[0] <= c"9":
        at += 1
    if at == begin or at == end:
        return 1
    if at[0] == c":":
        return 2
    if (at[0] == c"-" or at[0] == c"/") and at - begin == 4:
        return 4
    return 1


def parse_times(
    data: object,
    offsets: object,
    first: int,
    n_rows: int,
    scale: int,
    dated: bool,
    out: object,
) -> tuple[int, int]:
    """Read a column of times as ns.

    Parameters
    ----------
    data : buffer or None
        The text of all rows.
    offsets : buffer
        Where each row's begins, int32; one more than rows.
    first, n_rows : int
        The rows that are wanted.
    scale : int
        ns of a number's unit, at most 10**9.
    dated : bool
        They are dates or times of day, else numbers.
    out : ndarray of int64, shape (n_rows,)
        `BLANK` where nothing stands. A time of day counts from midnight, a date from
        1970.

    Returns
    -------
    tuple of int
        The first row that is no time, -1 if all are; and the kinds that occur, as bits.
    """
    cdef const uint8_t[::1] text = memoryview(data if data is not None else b"\0").cast("B")
    cdef const int32_t[::1] places = memoryview(offsets).cast("B").cast("i")
    cdef int64_t[::1] ns = out
    cdef int64_t unit = scale
    cdef Py_ssize_t row
    cdef Py_ssize_t base = first
    cdef Py_ssize_t n = n_rows
    cdef int kinds = 0
    cdef int kind
    cdef bint good
    cdef bint is_dated = dated
    cdef Cursor cursor
    if n and places[base + n] > text.shape[0]:
        raise ValueError("the offsets are beyond the text")
    with nogil:
        for row in range(n):
            cursor.at = &text[0] + places[base + row]
            cursor.end = &text[0] + places[base + row + 1]
            while cursor.at != cursor.end and cursor.at[0] == c" ":
                cursor.at += 1
            while cursor.at != cursor.end and (cursor.end - 1)[0] == c" ":
                cursor.end -= 1
            if says_nothing(cursor.at, cursor.end):
                ns[row] = INT64_MIN
                continue
            kind = time_kind(cursor.at, cursor.end)
            kinds |= kind
            if (kind != 1) != is_dated:
                good = False
            elif kind == 1:
                good = number_ns(&cursor, unit, &ns[row])
            elif kind == 2:
                good = clock_ns(&cursor, &ns[row])
            else:
                good = date_ns(&cursor, &ns[row])
            if not good or cursor.at != cursor.end:
                break
        else:
            row = -1
    return row, kinds
