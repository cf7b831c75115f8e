"""The decoder as Python sees it: owner of the memory, and of nothing else.

Per-record code is in the ``.pxd`` files; here are construction, growth between two
calls of the loop, and the way of the results out.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals, PyErr_Occurred
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from replay.trace.pairing.layers cimport layers_shown
from replay.trace.pairing.columns cimport Columns, N_COLUMNS as C_N_COLUMNS
from replay.trace.blktrace._decode cimport decode_first_ns, decode_rows, decode_run
from replay.trace.blktrace._event_rows cimport EventFields
from replay.trace.blktrace._held cimport (
    Held, N_FIELDS, event_bytes, held_drop, held_take, row_bytes
)
from replay.trace.pairing.facts cimport (
    CgroupTally, Facts, MAX_CGROUPS, MAX_DEVICES, MAX_ERRNO, MAX_TRACKED, MessageNote,
    NAME_BYTES, NameNote, ProcessTally,
)
from replay.trace.pairing.grow cimport decode_free, decode_grow, decode_start, zeroed
from replay.trace.pairing.merge cimport Loser, merge_start
from replay.trace.pairing.pair cimport Pairing
from replay.trace.pairing.rows cimport (
    STOP_BATCH_FULL, STOP_END, STOP_NEED_ROOM, STOP_NONE, STOP_SEAM, rows_write
)
from replay.trace.blktrace._source cimport Source, source_open
from replay.trace.pairing.open_requests cimport NIL

from os import urandom

from replay.common.errors import TraceError

N_COLUMNS = C_N_COLUMNS

cdef enum:
    #: Records between two looks at signals: some 10 ms.
    CHUNK_RECORDS = 0x40000


cdef class Decoder:
    """Decode and pair the records of one capture.

    Parameters
    ----------
    sources : sequence of (str, buffer, int)
        Name for messages and bytes of each file, and what is added to its times, ns
        (below 2**63). The buffers are held until `close`.
    window : int
        Rows that may be held back, at least 1.

    Raises
    ------
    TraceError
        A source is not blktrace data, or the sources mix versions.
    MemoryError
        No memory for the tables.
    """

    def __cinit__(self, sources: object, window: int) -> None:
        cdef Py_ssize_t n_sources = len(sources)
        cdef uint64_t[6] seeds
        cdef const uint8_t[::1] noise = urandom(sizeof(seeds))
        cdef uint32_t index
        self.names = [str(name) for name, _, _ in sources]
        self.n_sources = <uint32_t>n_sources
        self.sources = <Source*>zeroed(n_sources, sizeof(Source))
        self.buffers = <Py_buffer*>zeroed(n_sources, sizeof(Py_buffer))
        self.decode.merge.sources = self.sources
        self.decode.merge.n_sources = self.n_sources
        self.decode.merge.losers = <Loser*>zeroed(n_sources, sizeof(Loser))
        for index in range(sizeof(seeds)):
            (<uint8_t*>seeds)[index] = noise[index]
        decode_start(&self.decode, window, seeds)
        self.make_room()
        for _, data, shift_ns in sources:
            self.sources[self.n_buffers].shift_ns = shift_ns
            self.attach(data)
        with nogil:
            merge_start(&self.decode.merge)
        self.check_halted()
        self.check_sources()

    def __dealloc__(self) -> None:
        self.release_buffers()
        free(self.sources)
        free(self.buffers)
        decode_free(&self.decode)

    cdef int check_halted(self) except -1:
        """Return what the handler of a signal raised while a source was read."""
        cdef uint32_t index
        for index in range(self.n_sources):
            if self.sources[index].halted:
                if PyErr_Occurred() != NULL:
                    return -1
                raise TraceError(f"{self.names[index]}: reading it was given up")
        return 0

    def halt(self) -> None:
        """Have the decoding end soon, which another thread is at: nobody wants it."""
        cdef uint32_t index
        for index in range(self.n_sources):
            self.sources[index].halted = True

    cdef void release_buffers(self) noexcept:
        cdef uint32_t index
        for index in range(self.n_buffers):
            PyBuffer_Release(&self.buffers[index])
        self.n_buffers = 0

    cdef int attach(self, object data) except -1:
        """Hold the next source's bytes and find their format."""
        cdef Source* source = &self.sources[self.n_buffers]
        cdef Py_buffer* buffer = &self.buffers[self.n_buffers]
        cdef bint found
        PyObject_GetBuffer(data, buffer, PyBUF_SIMPLE)
        source.data = <const uint8_t*>buffer.buf
        source.size = <size_t>buffer.len
        self.n_buffers += 1
        with nogil:
            found = source_open(source)
        self.check_halted()
        if not found:
            raise self.refusal(self.n_buffers - 1)
        return 0

    cdef object refusal(self, uint32_t index):
        """The error for a source in which there is no record."""
        cdef Source* source = &self.sources[index]
        magic = bytes(source.data[: 4 if source.size > 4 else source.size])
        return TraceError(
            f"{self.names[index]}: byte 0: not a blktrace file"
            f" (magic 0x{int.from_bytes(magic, 'little'):08x}, no whole record in"
            f" {source.size} bytes); give the files that blktrace wrote"
        )

    cdef int check_sources(self) except -1:
        """Refuse a source without a record, and a set of two versions."""
        cdef uint32_t index
        cdef uint32_t first = NIL
        for index in range(self.n_sources):
            if self.sources[index].size == 0:
                continue
            if not self.sources[index].is_read:
                raise self.refusal(index)
            if first == <uint32_t>NIL:
                first = index
            elif self.sources[index].format.magic != self.sources[first].format.magic:
                raise TraceError(
                    f"{self.names[index]}: byte 0:"
                    f" version {self.sources[index].format.magic & 0xff} records, but"
                    f" {self.names[first]} has version"
                    f" {self.sources[first].format.magic & 0xff}; convert the captures"
                    " one by one"
                )
        return 0

    cdef int make_room(self) except -1:
        """Grow what is full. Nothing changes if memory is short."""
        decode_grow(&self.decode)
        return self.check_limits()

    cdef int check_limits(self) except -1:
        """Refuse a trace with more ids than any machine has."""
        cdef int64_t n_ids
        cdef int64_t limit
        for n_ids, limit, what in (
            (self.decode.facts.devices.n, MAX_DEVICES, "devices"),
            (self.decode.facts.cgroups.n, MAX_CGROUPS, "cgroups"),
            (self.decode.facts.tracked.n, MAX_TRACKED, "pairs of device and CPU"),
        ):
            if n_ids >= limit:
                raise TraceError(
                    f"{self.names[0]}: {limit} {what} and more in the first"
                    f" {self.decode.n_records} records: the trace is damaged"
                )
        return 0

    @property
    def bytes_read(self) -> int:
        """Bytes of the sources that were read so far."""
        return sum([self.sources[index].offset for index in range(self.n_sources)])

    @property
    def n_ids(self) -> tuple[int, int]:
        """Devices and cgroups in the rows written so far."""
        return self.decode.facts.devices.n, self.decode.facts.cgroups.n

    @property
    def interleaved(self) -> bool:
        """Return True if a source holds several CPUs' records that are not in order."""
        cdef uint32_t index
        for index in range(self.n_sources):
            if self.sources[index].n_turns:
                return True
        return False

    def fill(self, columns: object, capacity: int) -> tuple[int, int, int, int, int]:
        """Decode until a batch is full or the trace ends.

        Parameters
        ----------
        columns : sequence of writable buffers
            In the order of `Columns` (``_columns.pxd``).
        capacity : int
            Rows for which there is room in each.

        Returns
        -------
        tuple of int
            Rows written (fewer than there is room for: the trace, or the slice that was
            asked for, has ended), then how many of them have no
            queue, issue, complete and second issue time: there -1 is written.

        Raises
        ------
        ValueError
            A buffer is too small or one is missing.
        TraceError
            More ids than any machine has.
        """
        cdef Held held
        cdef Columns *target = &self.decode.columns
        memset(target, 0, sizeof(Columns))
        try:
            held_take(&held, columns, C_N_COLUMNS, capacity, row_bytes)
            memcpy(target, held.starts, C_N_COLUMNS * sizeof(void*))
            target.capacity = capacity
            self.run()
        finally:
            held_drop(&held)
            target.capacity = 0
        nulls = target.n_null_queue, target.n_null_issue, target.n_null_complete
        return (target.n_rows, *nulls, target.n_null_last_issue)

    def fill_events(self, columns: object, capacity: int) -> int:
        """Write records as rows instead, until a batch is full or the trace ends.

        Parameters
        ----------
        columns : sequence of writable buffers
            In the order of `EventFields` (``_event_rows.pxd``); all zeros.
        capacity : int
            Rows for which there is room in each.

        Returns
        -------
        int
            Rows written; 0: the trace has ended.

        Raises
        ------
        ValueError
            A buffer is too small or one is missing.
        TraceError
            More ids than any machine has.
        """
        cdef Held held
        cdef int stop = STOP_NONE
        cdef EventFields to
        cdef size_t n_rows = capacity
        cdef size_t text_bytes
        self.decode.columns.n_rows = 0
        try:
            held_take(&held, columns, N_FIELDS, n_rows, event_bytes)
            text_bytes = <size_t>held.buffers[15].len
            memcpy(&to, held.starts, sizeof(to))
            to.text_ends[0] = 0
            if self.decode.n_records == 0:
                self.first_ns = decode_first_ns(&self.decode.merge, self.n_sources)
            while not self.finished:
                with nogil:
                    stop = decode_rows(
                        &self.decode, &to, self.first_ns, n_rows, text_bytes
                    )
                self.check_halted()
                if stop != STOP_NEED_ROOM:
                    break
                self.make_room()
            PyErr_CheckSignals()
        finally:
            held_drop(&held)
        return self.decode.columns.n_rows

    cdef int run(self) except -1:
        """Run the loop until the batch is full or all rows are out."""
        cdef int stop
        while not self.finished:
            with nogil:
                stop = decode_run(&self.decode, CHUNK_RECORDS)
                if stop == STOP_END and self.is_slice:
                    stop = STOP_SEAM
                if stop == STOP_END:
                    stop = rows_write(
                        &self.decode.pair, &self.decode.columns, &self.decode.facts, True
                    )
            self.check_halted()
            if stop == STOP_BATCH_FULL or stop == STOP_SEAM:
                break
            if stop == STOP_NEED_ROOM:
                self.make_room()
            elif stop == STOP_NONE:
                self.finished = True
            PyErr_CheckSignals()
        return 0

    def close(self) -> None:
        """Let go of the sources' buffers; nothing can be decoded afterwards."""
        self.finished = True
        self.release_buffers()

    def counts(self) -> dict[str, int]:
        """Show what became of the events and notes, by name."""
        cdef const Pairing* pair = &self.decode.pair
        cdef uint64_t refused = 0
        cdef uint64_t truncated = 0
        cdef uint64_t spikes = 0
        cdef uint32_t index
        for index in range(self.n_sources):
            refused += self.sources[index].refused_bytes
            truncated += self.sources[index].truncated_bytes
            spikes += self.sources[index].n_spikes
        return {
            "records": self.decode.n_records,
            "unknown": self.decode.facts.n_unknown,
            "note_process": self.decode.facts.n_notes[0],
            "note_timestamp": self.decode.facts.n_notes[1],
            "note_message": self.decode.facts.n_notes[2],
            "refused_bytes": refused,
            "truncated_bytes": truncated,
            "damaged_events": self.decode.facts.n_damaged,
            "out_of_order": self.decode.facts.n_out_of_order + spikes,
            "names_dropped": self.decode.facts.n_names_dropped,
            "processes_dropped": self.decode.facts.n_processes_dropped,
            "get": pair.counts.get,
            "merge": pair.counts.merge,
            "split": pair.counts.split,
            "insert": pair.counts.insert,
            "requeue": pair.counts.requeue,
            "complete": pair.counts.complete,
            "issue_without_queue": pair.counts.issue_without_queue,
            "late_issue": pair.counts.late_issue,
            "late_completions": pair.counts.late_complete,
            "partial_completions": pair.counts.partial,
            "requeues": pair.counts.requeued,
            "flush_sequences": pair.counts.flush_sequence,
            "unfinished": pair.counts.unfinished,
            "never_issued": pair.counts.never_issued,
        }

    def letters(self) -> list[int]:
        """Count events by letter: item 1 is Q, 2 M, … (``_record.pxd``)."""
        return [n for n in self.decode.facts.letters]

    def clock(self) -> tuple[int, int, int | None, int]:
        """Show first and last event time, and the wall clock's note if any.

        Returns
        -------
        tuple
            Start, end (monotonic ns; 0 without events), wall clock (epoch ns) of the
            note or None, and the note's own time.
        """
        return (
            self.decode.start_ns,
            self.decode.end_ns,
            self.decode.facts.wall_ns if self.decode.facts.seen_wall else None,
            self.decode.facts.wall_note_ns,
        )

    def devices(self) -> list[tuple[int, int]]:
        """Tally by device: (id, requests)."""
        cdef const Facts* facts = &self.decode.facts
        return [
            (facts.devices.ids[index], facts.device_requests[index])
            for index in range(facts.devices.n)
        ]

    def cgroups(self) -> list[tuple[int, int, int, int]]:
        """Tally by cgroup: (id, requests, bios, bytes)."""
        cdef const CgroupTally* tally = self.decode.facts.cgroup_tally
        return [
            (
                self.decode.facts.cgroups.ids[index],
                tally[index].n_requests,
                tally[index].n_bios,
                tally[index].nbytes,
            )
            for index in range(self.decode.facts.cgroups.n)
        ]

    def processes(self) -> list[tuple[int, int, int, int]]:
        """Tally by pid, 32 bits: (pid, requests, first ns, last ns)."""
        cdef const ProcessTally* tally = self.decode.facts.process_tally
        return [
            (
                self.decode.facts.processes.ids[index],
                tally[index].n_requests,
                tally[index].first_ns,
                tally[index].last_ns,
            )
            for index in range(self.decode.facts.processes.n)
        ]

    def process_names(self) -> list[tuple[int, int, bytes]]:
        """Show the process notes: (monotonic ns, pid, name up to its NUL)."""
        cdef const NameNote* note
        cdef uint32_t index
        found = []
        for index in range(self.decode.facts.n_names):
            note = &self.decode.facts.names[index]
            name = PyBytes_FromStringAndSize(<const char*>note.name, NAME_BYTES)
            found.append((note.time_ns, note.pid, name.split(b"\0", 1)[0]))
        return found

    def messages(self) -> list[tuple[int, int, bytes]]:
        """Show the first messages: (monotonic ns, cpu, text)."""
        cdef const MessageNote* note
        cdef uint32_t index
        found = []
        for index in range(self.decode.facts.n_messages):
            note = &self.decode.facts.messages[index]
            text = PyBytes_FromStringAndSize(<const char*>note.text, note.length)
            found.append((note.time_ns, note.cpu, text))
        return found

    def errors(self) -> dict[int, int]:
        """Count the rows that failed when they were recorded, by errno."""
        cdef const Facts* facts = &self.decode.facts
        return {n: facts.errors[n] for n in range(1, MAX_ERRNO) if facts.errors[n]}

    def layers(self) -> list[tuple[int, int]]:
        """Show which devices passed bios on to which: (upper, lower)."""
        cdef const Facts* facts = &self.decode.facts
        found = [facts.layers[index] for index in range(facts.n_layers)]
        return [(pair >> 32, pair & 0xffffffff) for pair in found]

    def lost(self) -> list[tuple[int, int, int]]:
        """Show gaps in sequence numbers: (device, cpu, events missing)."""
        cdef const Facts* facts = &self.decode.facts
        pairs = [facts.tracked.ids[index] for index in range(facts.tracked.n)]
        lost = [facts.track_lost[index] for index in range(facts.tracked.n)]
        found = zip(pairs, lost, strict=True)
        return [(id >> 32, id & 0xffffffff, n_lost) for id, n_lost in found if n_lost]

    def stack(self) -> list[tuple[int, int, int, int, int]]:
        """Show what was passed down: (above, below, requests, of them done, ns)."""
        return layers_shown(&self.decode.pair)

    def damage(self) -> list[tuple[str, int]]:
        """Show the sources with refused bytes: (name, offset of the first)."""
        return [
            (self.names[index], self.sources[index].first_refused)
            for index in range(self.n_sources)
            if self.sources[index].refused_bytes
        ]
