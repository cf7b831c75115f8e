"""One line of the kernel's trace as text: what it says, whoever printed it.

The event's own text is the same in ftrace's ``trace`` and ``trace_pipe``, in
``trace-cmd report`` and in ``perf script``; what stands before it differs::

    fio-2601  [015] d.h1. 2017.735401: block_rq_issue: 7,0 WS 4096 () 8 + 8 [fio]
    fio-2601  ( 2601) [015] .... 2017.735401: block_getrq: 7,0 WS 8 + 8 [fio]
    fio-2601    15d.h.  735401us : block_getrq: 7,0 WS 8 + 8 [fio]
    fio  2601 [015]  2017.735401:  block:block_getrq: 7,0 WS 8 + 8 [fio]
    fio-2601    15d.h. 2017.735401: block_getrq: 7,0 WS 8 + 8 [fio]
    2017.735401: block:block_getrq: 7,0 WS 8 + 8 [fio]
    dd-2081   [001]   1234.100001:   7,0    Q  WS 2048 + 256 [dd]
    7,0    1  1234.100001  2081  Q  WS 2048 + 256 [dd]

The last two are of the tracer ``blk``, the second with its option blk_classic. A
process's name may hold anything, so the line is read from the CPU in brackets, or from
the time, on.

Source: kernel/trace/trace_output.c, v5.10 to v6.18; perf's builtin-script.c;
trace-cmd's trace-read.c.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp

from replay.trace.text._cursor cimport (
    Cursor,
    at_end,
    digit_value,
    peek,
    skip_blanks,
    take,
    take_fraction,
    take_number,
)
from replay.trace.text._event_line cimport MAX_SECONDS, TextEvent, take_device
from replay.trace.text._kernel_event cimport (
    LINE_BAD,
    LINE_EVENT,
    LINE_LOST,
    LINE_NO_DISK,
    LINE_NO_TIME,
    LINE_OTHER,
    kernel_event,
    tracer_action,
)


cdef inline void pid_before(const uint8_t* begin, const uint8_t* end, TextEvent* event) noexcept nogil:
    """Read the process's number at the end of ``comm-pid``, ``comm pid`` or those with
    a group's number in brackets or after a slash behind it."""
    cdef const uint8_t* at
    cdef uint64_t value = 0
    cdef Cursor cursor
    while end != begin and ((end - 1)[0] == c" " or (end - 1)[0] == c"\t"):
        end -= 1
    if end != begin and (end - 1)[0] == c")":
        while end != begin and (end - 1)[0] != c"(":
            end -= 1
        if end != begin:
            end -= 1
        while end != begin and (end - 1)[0] == c" ":
            end -= 1
    at = end
    while at != begin and c"0" <= (at - 1)[0] <= c"9":
        at -= 1
    cursor.at = at
    cursor.end = end
    if take_number(&cursor, 0xffffffff, &value):
        event.pid = <uint32_t>value


cdef inline int time_read(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read ``seconds.fraction:``; `LINE_NO_TIME` for a counter, `LINE_BAD` for neither."""
    cdef uint64_t seconds = 0
    cdef uint64_t fraction = 0
    cdef const uint8_t* begin
    if not take_number(cursor, <uint64_t>1 << 56, &seconds):
        return LINE_BAD
    if take(cursor, c":"):
        return LINE_NO_TIME
    if seconds > MAX_SECONDS or not take(cursor, c"."):
        return LINE_BAD
    begin = cursor.at
    if not take_fraction(cursor, &fraction):
        return LINE_BAD
    if cursor.at - begin < 6 or not take(cursor, c":"):
        return LINE_BAD
    event.time_ns = seconds * <uint64_t>1000000000 + fraction
    return LINE_EVENT


cdef inline int after_cpu(Cursor* cursor, TextEvent* event) noexcept nogil:
    """Read ``flags time:`` behind the CPU."""
    cdef Cursor ahead
    cdef int found
    skip_blanks(cursor)
    if cursor.end - cursor.at > 10 and cursor.at[4] == c"-" and cursor.at[7] == c"-":
        # perf's date and time of day (-F +tod)
        cursor.at += 10
        skip_blanks(cursor)
        while not at_end(cursor) and cursor.at[0] != c" ":
            cursor.at += 1
        skip_blanks(cursor)
        return time_read(cursor, event)
    ahead = cursor[0]
    found = time_read(&ahead, event)
    if found == LINE_BAD:
        # flags, which may end with digits: d.h1.
        ahead = cursor[0]
        while not at_end(&ahead) and ahead.at[0] != c" " and ahead.at[0] != c"\t":
            ahead.at += 1
        skip_blanks(&ahead)
        found = time_read(&ahead, event)
    cursor[0] = ahead
    return found


cdef inline int prefix_brackets(Cursor* line, TextEvent* event) noexcept nogil:
    """Find ``[cpu]`` with a time behind it; the cursor is left behind the time."""
    cdef const uint8_t* begin = line.at
    cdef Cursor cursor
    cdef uint64_t cpu = 0
    cdef int found
    cdef const uint8_t* at = line.at
    while at != line.end:
        if at[0] == c"[" and line.end - at > 3 and c"0" <= at[1] <= c"9":
            cursor.at = at + 1
            cursor.end = line.end
            if take_number(&cursor, 0xffff, &cpu) and take(&cursor, c"]"):
                found = after_cpu(&cursor, event)
                if found != LINE_BAD:
                    event.cpu = <uint32_t>cpu
                    pid_before(begin, at, event)
                    line[0] = cursor
                    return found
        at += 1
    return LINE_BAD


cdef inline int prefix_latency(Cursor* line, TextEvent* event) noexcept nogil:
    """Read ``comm-pid cpuflags NNNus :`` (ftrace's option ``latency-format``)."""
    cdef const uint8_t* begin = line.at
    cdef const uint8_t* at = line.at
    cdef const uint8_t* digits
    cdef const uint8_t* flags
    cdef Cursor cursor
    cdef uint64_t value = 0
    while line.end - at > 4:
        if at[0] == c"u" and at[1] == c"s" and at != begin and c"0" <= (at - 1)[0] <= c"9":
            digits = at
            while digits != begin and c"0" <= (digits - 1)[0] <= c"9":
                digits -= 1
            flags = digits
            while flags != begin and (flags - 1)[0] == c" ":
                flags -= 1
            while flags != begin and (flags - 1)[0] != c" ":
                flags -= 1
            cursor.at = digits
            cursor.end = at
            if not take_number(&cursor, <uint64_t>1 << 50, &value):
                return LINE_BAD
            event.time_ns = 1000 * value
            cursor.at = flags
            if not take_number(&cursor, 0xffff, &value):
                return LINE_BAD
            event.cpu = <uint32_t>value
            pid_before(begin, flags, event)
            cursor.at = at + 2
            cursor.end = line.end
            # marks of a delay
            while not at_end(&cursor) and cursor.at[0] != c":":
                if cursor.at - at > 4:
                    return LINE_BAD
                cursor.at += 1
            if not take(&cursor, c":"):
                return LINE_BAD
            line[0] = cursor
            return LINE_EVENT
        at += 1
    return LINE_BAD


cdef inline const uint8_t* cpu_before(
    const uint8_t* begin, const uint8_t* end, TextEvent* event
) noexcept nogil:
    """Read ``15d.h.``, CPU and flags, at the end; return where what is before it ends."""
    cdef Cursor cursor
    cdef uint64_t cpu = 0
    while end != begin and (end - 1)[0] == c" ":
        end -= 1
    cursor.at = cursor.end = end
    while cursor.at != begin and (cursor.at - 1)[0] != c" ":
        cursor.at -= 1
    begin = cursor.at
    # flags have no digit at their end, which a process's number has
    if (
        begin != end
        and not c"0" <= (end - 1)[0] <= c"9"
        and take_number(&cursor, 0xffff, &cpu)
    ):
        event.cpu = <uint32_t>cpu
        return begin
    return end


cdef inline int prefix_no_cpu(Cursor* line, TextEvent* event) noexcept nogil:
    """Read ``comm pid time:``, as of ``perf script -F`` without the CPU.

    The CPU may stand before the time with flags behind it, as of ``trace-cmd -l``; and
    there may be nothing before the time.
    """
    cdef const uint8_t* begin = line.at
    cdef const uint8_t* at = line.at
    cdef Cursor cursor
    while at != line.end:
        if c"0" <= at[0] <= c"9" and (at == begin or (at - 1)[0] == c" "):
            cursor.at = at
            cursor.end = line.end
            if time_read(&cursor, event) == LINE_EVENT:
                pid_before(begin, cpu_before(begin, at, event), event)
                line[0] = cursor
                return LINE_EVENT
        at += 1
    return LINE_BAD


cdef inline int line_classic(Cursor* line, TextEvent* event) noexcept nogil:
    """Read a line of the tracer ``blk`` with its option blk_classic."""
    cdef Cursor cursor = line[0]
    cdef uint64_t value = 0
    cdef uint64_t fraction = 0
    cdef const uint8_t* begin
    skip_blanks(&cursor)
    if not take_device(&cursor, event):
        return LINE_BAD
    skip_blanks(&cursor)
    if not take_number(&cursor, 0xffff, &value):
        return LINE_BAD
    event.cpu = <uint32_t>value
    skip_blanks(&cursor)
    if not (take_number(&cursor, MAX_SECONDS, &value) and take(&cursor, c".")):
        return LINE_BAD
    begin = cursor.at
    if not take_fraction(&cursor, &fraction) or cursor.at - begin < 6:
        return LINE_BAD
    event.time_ns = value * <uint64_t>1000000000 + fraction
    skip_blanks(&cursor)
    if not take_number(&cursor, 0xffffffff, &value):
        return LINE_BAD
    event.pid = <uint32_t>value
    skip_blanks(&cursor)
    if not tracer_action(&cursor, event):
        return LINE_OTHER if event.letter == 0 else LINE_BAD
    return LINE_EVENT if event.device else LINE_NO_DISK


cdef inline const uint8_t* find_word(
    const Cursor* line, const char* word, size_t n_bytes
) noexcept nogil:
    """Return a word's place in the line; NULL if it is not there."""
    cdef const uint8_t* at = line.at
    while <size_t>(line.end - at) >= n_bytes:
        if at[0] == <uint8_t>word[0] and memcmp(at, word, n_bytes) == 0:
            return at
        at += 1
    return NULL


cdef inline bint number_behind(
    const Cursor* line, const char* word, size_t n_word, uint64_t most, uint64_t* value
) noexcept nogil:
    """Read the number that stands behind a word, where it is first in a line."""
    cdef Cursor cursor
    cursor.at = find_word(line, word, n_word)
    cursor.end = line.end
    if cursor.at == NULL:
        return False
    cursor.at += n_word
    return take_number(&cursor, most, value)


cdef inline int line_lost(const Cursor* line, TextEvent* event) noexcept nogil:
    """Read ``CPU:3 [LOST 12 EVENTS]``, and what others print in its place."""
    cdef Cursor cursor
    cdef uint64_t value = 0
    cdef const uint8_t* at
    cursor.end = line.end
    if find_word(line, b"[LOST ", 6) != NULL:
        if not number_behind(line, b"[LOST ", 6, 0xffffffff, &value):
            return LINE_BAD
        event.count = <uint32_t>value
        if number_behind(line, b"CPU:", 4, 0xffff, &value):
            event.cpu = <uint32_t>value
        return LINE_LOST
    if find_word(line, b"DROPPED]", 8) != NULL:
        # trace-cmd's, which may not know how many
        event.count = 1
        if number_behind(line, b"[", 1, 0xffffffff, &value):
            event.count = <uint32_t>value
        if number_behind(line, b"CPU:", 4, 0xffff, &value):
            event.cpu = <uint32_t>value
        return LINE_LOST
    at = line.at
    if line.end - at > 14 and memcmp(at, b"WARNING: ", 9) == 0:
        at += 9
    if line.end - at > 5 and memcmp(at, b"Lost ", 5) == 0:
        # bpftrace's
        cursor.at = at + 5
        if not take_number(&cursor, 0xffffffff, &value):
            return LINE_BAD
        event.count = <uint32_t>value
        return LINE_LOST
    at = find_word(line, b"PERF_RECORD_LOST", 16)
    if at == NULL:
        return LINE_BAD
    cursor.at = line.end
    while cursor.at != at and c"0" <= (cursor.at - 1)[0] <= c"9":
        cursor.at -= 1
    if take_number(&cursor, 0xffffffff, &value):
        event.count = <uint32_t>value
        if number_behind(line, b"[", 1, 0xffff, &value):
            event.cpu = <uint32_t>value
    return LINE_LOST


cdef inline int line_kernel(Cursor* line, TextEvent* event) noexcept nogil:
    """Read a line; its event is filled in where it is one."""
    cdef Cursor cursor = line[0]
    cdef int found
    found = prefix_brackets(&cursor, event)
    if found == LINE_BAD:
        cursor = line[0]
        if line_lost(line, event) == LINE_LOST:
            return LINE_LOST
        found = prefix_latency(&cursor, event)
    if found == LINE_BAD:
        cursor = line[0]
        found = prefix_no_cpu(&cursor, event)
    if found == LINE_BAD:
        return line_classic(line, event)
    if found != LINE_EVENT:
        return found
    found = kernel_event(&cursor, event)
    if found == LINE_OTHER and line_lost(line, event) == LINE_LOST:
        return LINE_LOST
    return found


cdef inline bint starts_with(
    const Cursor* cursor, const char* word, size_t n_bytes
) noexcept nogil:
    """Return True if a word stands at the cursor."""
    return (
        <size_t>(cursor.end - cursor.at) >= n_bytes
        and memcmp(cursor.at, word, n_bytes) == 0
    )


cdef inline bint is_call(Cursor line) noexcept nogil:
    """Tell a line of a call chain, as perf and ftrace print it behind an event.

    It is an address and a name, a name and in brackets the file that it is of, or a
    place in a source file.
    """
    cdef const uint8_t* begin = line.at
    cdef const uint8_t* at
    cdef int n_digits = 0
    while not at_end(&line) and (line.at[0] == c" " or line.at[0] == c"\t"):
        line.at += 1
    if at_end(&line):
        return False
    at = line.at
    while digit_value(peek(&line)) < 16:
        line.at += 1
        n_digits += 1
    if n_digits >= (1 if begin[0] == c"\t" else 4) and (
        at_end(&line) or peek(&line) == c" "
    ):
        return True
    if at == begin:
        return False
    line.at = line.end
    if (line.end - 1)[0] == c")":
        while line.at - at > 2 and not (
            (line.at - 2)[0] == c" " and (line.at - 1)[0] == c"("
        ):
            line.at -= 1
        return line.at - at > 2 and (
            line.at[0] == c"/" or line.at[0] == c"[" or starts_with(&line, b"inlined", 7)
        )
    while line.at != at and c"0" <= (line.at - 1)[0] <= c"9":
        line.at -= 1
    return (
        line.at != line.end
        and line.at - at > 1
        and (line.at - 1)[0] == c":"
        and memchr(at, c" ", <size_t>(line.end - at)) == NULL
    )


cdef inline bint is_kernel_comment(Cursor line) noexcept nogil:
    """Tell headers, call chains and what the tools print around the events."""
    if is_call(line):
        return True
    skip_blanks(&line)
    return (
        at_end(&line)
        or peek(&line) == c"#"
        or starts_with(&line, b"=> ", 3)
        or starts_with(&line, b"cpus=", 5)
        or starts_with(&line, b"version = ", 10)
        or starts_with(&line, b"CPU ", 4)
        or starts_with(&line, b"<stack trace>", 13)
        or starts_with(&line, b"Tracing ", 8)
        or starts_with(&line, b"Attach", 6)
        or starts_with(&line, b"WARNING: ", 9)
        or starts_with(&line, b"Ending tracing", 14)
        or starts_with(&line, b"##### CPU", 9)
    )
