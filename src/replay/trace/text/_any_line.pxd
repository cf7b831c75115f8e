"""Any line of text: what it is, and the event that it tells, which depends on it alone.

So lines can be read in any order, by several threads; what a line means for those after
it is found when it is taken, in order (``_blkparse.pyx``).
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memset

from replay.trace.text._cursor cimport Cursor, at_end, peek, skip_blanks, take_number
from replay.trace.text._event_line cimport LETTER_MESSAGE, TextEvent, line_default
from replay.trace.text._given_line cimport Steps, line_given
from replay.trace.text._kernel_event cimport LINE_BAD, LINE_EVENT, LINE_OTHER
from replay.trace.text._kernel_line cimport is_kernel_comment, line_kernel, starts_with


cdef enum:
    #: What the text is: blkparse's, in its default or a given format; the kernel's.
    KIND_BLKPARSE = 0
    KIND_KERNEL = 1


# What a line is, beside what one of the kernel's trace may be (``_kernel_event.pxd``).
cdef enum:
    #: Of the text's head or end, or blank.
    LINE_COMMENT = 7
    #: blkparse's: ``TextEvent.count`` events are missing.
    LINE_SKIPS = 8


ctypedef struct ParsedLine:
    TextEvent event
    size_t n_bytes
    int found


cdef inline bint is_comment(Cursor line) noexcept nogil:
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
        or starts_with(&line, b"=== ", 4)
    )


cdef inline bint is_skips(Cursor line, TextEvent* event) noexcept nogil:
    """Tell where blkparse says how many events are missing in its text."""
    cdef uint64_t value = 0
    skip_blanks(&line)
    if not starts_with(&line, b"Skips:", 6):
        return False
    line.at += 6
    skip_blanks(&line)
    if not take_number(&line, 0xffffffff, &value):
        return False
    skip_blanks(&line)
    event.count = <uint32_t>value
    return starts_with(&line, b"forward", 7)


cdef inline int parse_blkparse(
    const Steps* steps, Cursor begin, TextEvent* event
) noexcept nogil:
    """Read a line of blkparse's text."""
    cdef Cursor line
    if steps.n:
        line = begin
        memset(event, 0, sizeof(TextEvent))
        if line_given(&line, event, steps) and event.letter != LETTER_MESSAGE:
            return LINE_EVENT
    line = begin
    memset(event, 0, sizeof(TextEvent))
    # messages keep the default format, whatever format was given
    if line_default(&line, event) and (
        not steps.n or event.letter == LETTER_MESSAGE
    ):
        return LINE_EVENT
    if is_skips(begin, event):
        return LINE_SKIPS
    return LINE_COMMENT if is_comment(begin) else LINE_BAD


cdef inline int parse_line(
    const Steps* steps,
    int kind,
    const uint8_t* at,
    size_t n_bytes,
    bint cut,
    TextEvent* event,
) noexcept nogil:
    """Tell what a line is; its event is filled in where it is one.

    It depends on the line alone: any thread may do it.
    """
    cdef Cursor line
    cdef Cursor begin
    cdef int found
    begin.at = at
    begin.end = at + n_bytes
    while begin.end != begin.at and (
        (begin.end - 1)[0] == c"\r" or (begin.end - 1)[0] == c" "
    ):
        begin.end -= 1
    if kind == KIND_BLKPARSE:
        return parse_blkparse(steps, begin, event)
    line = begin
    memset(event, 0, sizeof(TextEvent))
    found = line_kernel(&line, event)
    if (found == LINE_BAD or (found == LINE_OTHER and cut)) and is_kernel_comment(begin):
        return LINE_COMMENT
    return found


cdef inline size_t count_lines(const uint8_t* data, size_t size) noexcept nogil:
    """Count the ends of lines."""
    cdef size_t n_lines = 0
    cdef size_t at
    for at in range(size):
        n_lines += data[at] == c"\n"
    return n_lines


cdef inline void parse_lines(
    const Steps* steps,
    int kind,
    const uint8_t* at,
    const uint8_t* end,
    size_t n_lines,
    ParsedLine* lines,
) noexcept nogil:
    """Read as many lines as there are in front of ``end``."""
    cdef const uint8_t* newline
    cdef size_t number
    for number in range(n_lines):
        newline = <const uint8_t*>memchr(at, c"\n", <size_t>(end - at))
        lines[number].n_bytes = <size_t>(newline - at)
        lines[number].found = parse_line(
            steps, kind, at, lines[number].n_bytes, False, &lines[number].event
        )
        at = newline + 1
