"""From text to the records that it was printed from: blkparse's, or the kernel's trace.

Nothing is assumed of the text: a line is an event as a whole, or it is counted.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memchr, memset

from replay.trace.text._any_line cimport (
    KIND_BLKPARSE,
    KIND_KERNEL,
    LINE_COMMENT,
    LINE_SKIPS,
    ParsedLine,
    count_lines,
    parse_line,
    parse_lines,
)
from replay.trace.text._event_line cimport MAX_SECONDS, TextEvent
from replay.trace.text._given_line cimport NAME, N_STEPS, STEP_FIELD
from replay.trace.text._kernel_event cimport (
    LINE_ERROR,
    LINE_EVENT,
    LINE_LOST,
    LINE_NO_DISK,
    LINE_NO_TIME,
    LINE_OTHER,
)
from replay.trace.blktrace._record cimport LETTER_C
from replay.trace.text._text_slots cimport (
    KnownName,
    KnownPath,
    LATE_BYTES,
    N_KNOWN,
    N_LOST,
    N_PATHS,
    SLOT_BYTES,
    Slot,
    Text,
    WINDOW,
    hold,
    release,
)


#: blkparse prints a time before its first event as 2**64 ns less it, with the seconds
#: cut to 32 bits: 18446744073.709551616 s less four times 2**32 s.
cdef uint64_t WRAP_NS = 1266874889709551616U
#: As long before its first event one may be: ten days.
cdef uint64_t WRAP_SPAN_NS = 864000000000000U


cdef void refuse(Text* text, size_t n_bytes, bint cut) noexcept nogil:
    """Count a line that is none."""
    if cut or text.n_lines == 1:
        text.truncated_bytes += n_bytes
        return
    text.n_refused += 1
    text.refused_bytes += n_bytes + 1
    if text.first_refused == 0:
        text.first_refused = text.n_lines


cdef void note_time(Text* text, TextEvent* event) noexcept nogil:
    """Count what tells times from differences, and make a difference a time."""
    if text.n_times == 0:
        text.begins_at_0 = event.time_ns == 0
    text.n_times += 1
    text.n_steps_back += event.time_ns < text.before_ns
    text.n_below_latest += event.time_ns < text.latest_printed_ns
    text.latest_printed_ns = max(text.latest_printed_ns, event.time_ns)
    text.n_below_second += event.time_ns < 1000000000
    text.n_in_ns += event.time_ns % 1000 != 0
    text.before_ns = event.time_ns
    if text.differences:
        text.sum_ns += event.time_ns
        # no more than a time may be
        text.sum_ns = min(text.sum_ns, MAX_SECONDS * <uint64_t>1000000000)
        event.time_ns = text.sum_ns


cdef void unwrap(Text* text, TextEvent* event) noexcept nogil:
    """Bring back a time before the first event that blkparse printed wrapped."""
    if text.base_ns and event.time_ns <= WRAP_NS and WRAP_NS - event.time_ns < WRAP_SPAN_NS:
        # what is added to all times keeps it above 0
        event.time_ns -= WRAP_NS
        text.n_wrapped += 1


cdef void take_kernel_line(
    Text* text, int found, TextEvent* event, size_t n_bytes, bint cut
) noexcept nogil:
    """Hold what a line of the kernel's trace says, or count it."""
    if (
        found == LINE_EVENT
        or found == LINE_OTHER
        or found == LINE_NO_DISK
        or found == LINE_ERROR
        # a damaged event's time counts
        or event.time_ns
    ):
        note_time(text, event)
    if found == LINE_EVENT or (found == LINE_ERROR and text.n_completed == 0):
        if event.letter == LETTER_C and found == LINE_EVENT:
            text.n_completed += 1
        hold(text, event, True)
    elif found == LINE_LOST:
        text.lost[min(event.cpu, <uint32_t>(N_LOST - 1))] += event.count
        text.n_comments += 1
    elif found == LINE_NO_DISK:
        text.n_no_disk += 1
    elif found == LINE_NO_TIME:
        text.n_no_time += 1
    elif (found == LINE_OTHER and not cut) or found == LINE_ERROR:
        text.n_other += 1
    elif found == LINE_COMMENT:
        text.n_comments += 1
    else:
        refuse(text, n_bytes, cut)


cdef void take_parsed(
    Text* text, int kind, int found, TextEvent* event, size_t n_bytes, bint cut
) noexcept nogil:
    """Hold what a line says, or count it. ``cut``: the file ends within it."""
    text.n_lines += 1
    if kind == KIND_KERNEL:
        take_kernel_line(text, found, event, n_bytes, cut)
    elif found == LINE_EVENT:
        unwrap(text, event)
        hold(text, event, False)
    elif found == LINE_COMMENT or found == LINE_SKIPS:
        text.n_comments += 1
        if found == LINE_SKIPS:
            text.n_skips_lines += 1
            text.n_skips += event.count
    else:
        refuse(text, n_bytes, cut)


cdef void take_line(
    Text* text, int kind, const uint8_t* at, size_t n_bytes, bint cut
) noexcept nogil:
    """Read a line, and hold what it says, or count it."""
    cdef TextEvent event
    cdef int found
    found = parse_line(&text.steps, kind, at, n_bytes, cut, &event)
    take_parsed(text, kind, found, &event, n_bytes, cut)


cdef size_t take_lines(
    Text* text,
    int kind,
    const uint8_t* data,
    size_t size,
    uint8_t* out,
    size_t* n_out,
) noexcept nogil:
    """Take lines until the slots were emptied once or no whole line is left.

    Parameters
    ----------
    text : Text*
    kind : int
        ``KIND_BLKPARSE`` or ``KIND_KERNEL``.
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
            text, kind, data + offset, <size_t>(newline - data) - offset, False
        )
        offset = <size_t>(newline - data) + 1
        if text.n_held == 2 * WINDOW:
            n_out[0] = release(text, WINDOW, out, kind == KIND_KERNEL)
    return offset


cdef class ParsedLines:
    """Lines of text, read by `TextRecords.parse`."""

    #: The lines' bytes, in which the events' names lie.
    cdef bytes data
    cdef ParsedLine* lines
    cdef size_t n_lines

    def __dealloc__(self) -> None:
        free(self.lines)


cdef class TextRecords:
    """Make blktrace records of text.

    Parameters
    ----------
    steps : bytes
        Pairs of kind and character (``_given_line.pxd``) of blkparse's text; empty for
        its default format.
    kernel : bool
        It is the kernel's trace as text, not blkparse's.
    base_ns : int
        Added to all times; without it none may be before the first event.
    letter : int
        The action of every line, where the format given has none; else 0.

    Raises
    ------
    ValueError
        There are too many steps.
    MemoryError
    """

    cdef Text text
    cdef uint8_t* out
    cdef int kind

    def __cinit__(
        self, steps: bytes, kernel: bool = False, base_ns: int = 0, letter: int = 0
    ) -> None:
        cdef uint32_t number
        cdef const uint8_t* pairs = steps
        if len(steps) > 2 * N_STEPS:
            raise ValueError(f"{len(steps) // 2} steps, at most {N_STEPS}")
        self.text.slots = <Slot*>calloc(2 * WINDOW, sizeof(Slot))
        self.text.names = <KnownName*>calloc(N_KNOWN, sizeof(KnownName))
        self.text.paths = <KnownPath*>calloc(N_PATHS, sizeof(KnownPath))
        self.text.late = <uint8_t*>calloc(2 * WINDOW, LATE_BYTES)
        self.out = <uint8_t*>calloc(2 * WINDOW, SLOT_BYTES)
        if (
            self.text.slots == NULL
            or self.text.names == NULL
            or self.text.paths == NULL
            or self.text.late == NULL
            or self.out == NULL
        ):
            raise MemoryError
        self.kind = KIND_KERNEL if kernel else KIND_BLKPARSE
        self.text.base_ns = base_ns
        self.text.steps.letter = <uint8_t>letter
        for number in range(2 * WINDOW):
            self.text.order[number] = number
        self.text.steps.n = <uint32_t>(len(steps) // 2)
        self.text.steps.name = self.text.steps.n
        for number in range(self.text.steps.n):
            self.text.steps.items[number].kind = pairs[2 * number]
            self.text.steps.items[number].character = pairs[2 * number + 1]
            if pairs[2 * number] == STEP_FIELD and pairs[2 * number + 1] == NAME:
                self.text.steps.name = number

    def __dealloc__(self) -> None:
        free(self.text.slots)
        free(self.text.names)
        free(self.text.paths)
        free(self.text.late)
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
            offset += take_lines(
                &self.text, self.kind, at + offset, size - offset, self.out, &n_out
            )
        return offset, PyBytes_FromStringAndSize(<const char*>self.out, <Py_ssize_t>n_out)

    def parse(self, data: bytes) -> ParsedLines:
        """Read lines, for `take_parsed`; several threads may do it at once.

        Parameters
        ----------
        data : bytes
            Whole lines; what stands behind the last one is left out.

        Raises
        ------
        MemoryError
        """
        cdef ParsedLines parsed = ParsedLines()
        cdef const uint8_t* at = data
        cdef size_t size = <size_t>len(data)
        with nogil:
            parsed.n_lines = count_lines(at, size)
            parsed.lines = <ParsedLine*>malloc((parsed.n_lines + 1) * sizeof(ParsedLine))
            if parsed.lines != NULL:
                parse_lines(
                    &self.text.steps,
                    self.kind,
                    at,
                    at + size,
                    parsed.n_lines,
                    parsed.lines,
                )
        if parsed.lines == NULL:
            raise MemoryError
        parsed.data = data
        return parsed

    def take_parsed(self, parsed: ParsedLines, start: int) -> tuple[int, bytes]:
        """Take lines that were read, as `take` does.

        Parameters
        ----------
        parsed : ParsedLines
            Each line of it is to be taken once.
        start : int
            The line to go on with.

        Returns
        -------
        tuple
            The line to go on with next time, and the records that left.
        """
        cdef size_t number = start
        cdef size_t n_out = 0
        cdef ParsedLine* line
        if number > parsed.n_lines:
            raise ValueError(f"{start} is beyond the lines")
        with nogil:
            while n_out == 0 and number < parsed.n_lines:
                line = &parsed.lines[number]
                take_parsed(
                    &self.text, self.kind, line.found, &line.event, line.n_bytes, False
                )
                number += 1
                if self.text.n_held == 2 * WINDOW:
                    n_out = release(
                        &self.text, WINDOW, self.out, self.kind == KIND_KERNEL
                    )
        return number, PyBytes_FromStringAndSize(
            <const char*>self.out, <Py_ssize_t>n_out
        )

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
            take_line(&self.text, self.kind, rest, <size_t>len(rest), True)
        n_out = release(
            &self.text, self.text.n_held, self.out, self.kind == KIND_KERNEL
        )
        return PyBytes_FromStringAndSize(<const char*>self.out, <Py_ssize_t>n_out)

    def restart(self, differences: bool = False) -> None:
        """Begin another file of the same recording: names and cgroups stay known.

        Parameters
        ----------
        differences : bool
            Its times are each the time since the line before (the kernel's trace only).
        """
        cdef Text* text = &self.text
        text.differences = differences
        text.left_ns = text.left_tie = text.latest_ns = 0
        text.n_events = text.n_messages = text.n_names = text.n_comments = 0
        text.n_refused = text.refused_bytes = text.truncated_bytes = 0
        text.n_lines = text.first_refused = text.n_out_of_order = 0
        text.n_wrapped = text.n_other = text.n_no_disk = text.n_no_time = 0
        text.n_completed = text.n_paths_dropped = 0
        text.n_times = text.n_steps_back = text.n_below_latest = 0
        text.n_below_second = text.n_in_ns = 0
        text.before_ns = text.latest_printed_ns = text.sum_ns = 0
        text.begins_at_0 = False
        text.n_skips = text.n_skips_lines = 0
        memset(text.lost, 0, sizeof(text.lost))

    def late(self) -> bytes:
        """Take the records that came too late to leave in order, since the last call.

        To be called after each `take` and `finish`.

        Returns
        -------
        bytes
            `LATE_BYTES` each: time, tie and length, 8 bytes each, and the record.
        """
        cdef Py_ssize_t n_bytes = <Py_ssize_t>self.text.n_late * LATE_BYTES
        self.text.n_late = 0
        return PyBytes_FromStringAndSize(<const char*>self.text.late, n_bytes)

    def paths(self) -> dict[int, bytes]:
        """Show the cgroups' paths that stood in the text, by their numbers."""
        cdef const KnownPath* known
        cdef uint32_t place
        found = {}
        for place in range(N_PATHS):
            known = &self.text.paths[place]
            if known.number:
                path = PyBytes_FromStringAndSize(
                    <const char*>known.path, <Py_ssize_t>known.n_bytes
                )
                found[known.number] = path
        return dict(sorted(found.items()))

    def lost(self) -> dict[int, int]:
        """Show how many events the trace's buffer had no room for, by CPU."""
        cdef uint32_t cpu
        return {
            cpu: self.text.lost[cpu] for cpu in range(N_LOST) if self.text.lost[cpu]
        }

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
            "wrapped": self.text.n_wrapped,
            "other": self.text.n_other,
            "no_disk": self.text.n_no_disk,
            "no_time": self.text.n_no_time,
            "paths_dropped": self.text.n_paths_dropped,
            "times": self.text.n_times,
            "steps_back": self.text.n_steps_back,
            "below_latest": self.text.n_below_latest,
            "below_second": self.text.n_below_second,
            "in_ns": self.text.n_in_ns,
            "skips": self.text.n_skips,
            "skips_lines": self.text.n_skips_lines,
            "begins_at_0": self.text.begins_at_0,
        }
