"""The words of a table's line, as columns with tabs between."""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp


cdef enum:
    MAX_WORDS = 256
    #: Of a size and a time in biosnoop.
    MIN_WIDTH = 7
    SECTOR_BYTES = 512
    #: Digits that a number of 64 bits holds.
    MOST_DIGITS = 18


ctypedef struct Word:
    const uint8_t* begin
    const uint8_t* end


cdef inline bint is_digits(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Tell a whole number, with or without a sign."""
    if at != end and at[0] == c"-":
        at += 1
    if at == end:
        return False
    while at != end:
        if not c"0" <= at[0] <= c"9":
            return False
        at += 1
    return True


cdef inline uint8_t* put_word(
    uint8_t* to, const uint8_t* at, const uint8_t* end
) noexcept nogil:
    """Copy a word; a tab in it becomes a blank, and 2**64 - 1 becomes -1."""
    if end - at == 20 and memcmp(at, b"18446744073709551615", 20) == 0:
        to[0] = c"-"
        to[1] = c"1"
        return to + 2
    while at != end:
        to[0] = c" " if at[0] == c"\t" else at[0]
        to += 1
        at += 1
    return to


cdef inline const uint8_t* size_end(const Word* word) noexcept nogil:
    """Where a size ends that a time follows without a blank: ``10485761234.56``.

    Both are printed at least 7 wide (``%-7s%7.2f``), so none is shorter; a size of 7
    digits is of whole sectors. Returns the word's end if not just one place fits.
    """
    cdef const uint8_t* at = word.begin
    cdef const uint8_t* found = word.end
    cdef int64_t size = 0
    cdef const uint8_t* point
    while at != word.end and c"0" <= at[0] <= c"9":
        at += 1
    point = at
    if at == word.end or at[0] != c".":
        return word.end
    at = word.begin
    while at - word.begin < MOST_DIGITS and word.end - at >= MIN_WIDTH and at < point:
        # a time begins with no 0, and has a digit before its point
        if (
            at - word.begin >= MIN_WIDTH
            and size % SECTOR_BYTES == 0
            and at[0] != c"0"
        ):
            if found != word.end:
                return word.end
            found = at
        size = 10 * size + (at[0] - <uint8_t>c"0")
        at += 1
    return found


cdef inline uint8_t* put_row(
    uint8_t* to,
    const uint8_t* at,
    const uint8_t* end,
    int n_columns,
    int wide,
    int optional,
    int joined,
) noexcept nogil:
    """Write one line's words with tabs between."""
    cdef Word[256] words
    cdef int n = 0
    cdef int column
    cdef int word = 0
    cdef int n_wide
    cdef bint is_missing = False
    cdef int last
    while n < MAX_WORDS - 1:
        while at != end and (at[0] == c" " or at[0] == c"\t"):
            at += 1
        if at == end:
            break
        words[n].begin = at
        while at != end and at[0] != c" " and at[0] != c"\t":
            at += 1
        words[n].end = at
        n += 1
    word = n - n_columns + joined + 1
    if joined >= 0 and word >= 0 and words[word].end - words[word].begin >= 2 * MIN_WIDTH:
        last = n
        while last > word:
            words[last] = words[last - 1]
            last -= 1
        # where no place fits, or several, nothing follows: that is refused
        words[word].end = words[word + 1].begin = size_end(&words[word])
        n += 1
    word = 0
    if optional >= 0 and n >= n_columns - optional:
        # where a name stands a number does: the name is blank, it is the column before
        word = n - (n_columns - optional)
        is_missing = is_digits(words[word].begin, words[word].end)
    n_wide = n - (n_columns - 1) + is_missing
    if wide < 0 or n_wide < 0:
        n_wide = 1
        is_missing = False
        n_columns = n
        wide = -1
    word = 0
    for column in range(n_columns):
        if column:
            to[0] = c"\t"
            to += 1
        if column == wide:
            if n_wide:
                to = put_word(to, words[word].begin, words[word + n_wide - 1].end)
                word += n_wide
        elif not (is_missing and column == optional):
            to = put_word(to, words[word].begin, words[word].end)
            word += 1
    return to
