"""A look at a capture before it is decoded: its clock, and whose records it holds.

What ``blktrace -o -`` writes is one stream of chunks, each of one device and CPU and in
order of time. It is taken apart into one stretch of memory for each device and CPU,
which are then merged like the files of a set.
"""

from cpython.buffer cimport (
    PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
)
from cpython.exc cimport PyErr_Occurred
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from replay.trace.pairing.facts cimport IdMap, idmap_get
from replay.trace.pairing.grow cimport idmap_grow, zeroed
from replay.trace.blktrace._record cimport (
    KIND_EVENT, KIND_TIMESTAMP, header_bytes, load_u16, load_u32
)
from replay.trace.blktrace._source cimport Source, source_next, source_open
from replay.trace.pairing.open_requests cimport NIL

from os import urandom


cdef enum:
    #: Pairs of device and CPU that are told apart; no capture has as many.
    MAX_PARTS = 0x1000


cdef inline size_t head_bytes(const Source* source) noexcept nogil:
    """Length of the source's current record with its payload."""
    cdef size_t header = header_bytes(&source.format)
    # the last two bytes before v8's padding, and of v7
    cdef size_t where = 46 if header == 48 else 50
    return header + load_u16(source.data + source.at + where, source.format.swap)


cdef class Scan:
    """The records of one source, one after the other.

    Parameters
    ----------
    data : buffer
        Held until the object is gone.
    """

    cdef Source source
    cdef Py_buffer buffer
    cdef bint held
    cdef bint found
    cdef IdMap ids
    cdef uint64_t* sizes

    def __cinit__(self, data: object) -> None:
        cdef uint64_t seed
        cdef const uint8_t[::1] noise = urandom(sizeof(seed))
        memcpy(&seed, &noise[0], sizeof(seed))
        self.ids.seed = seed
        PyObject_GetBuffer(data, &self.buffer, PyBUF_SIMPLE)
        self.held = True
        self.sizes = <uint64_t*>zeroed(MAX_PARTS, sizeof(uint64_t))
        idmap_grow(&self.ids, MAX_PARTS)
        self.restart()

    def __dealloc__(self) -> None:
        if self.held:
            PyBuffer_Release(&self.buffer)
        free(self.sizes)
        free(self.ids.ids)
        free(self.ids.places)

    cdef int restart(self) except -1:
        """Stand before the first record."""
        memset(&self.source, 0, sizeof(Source))
        self.source.data = <const uint8_t*>self.buffer.buf
        self.source.size = <size_t>self.buffer.len
        with nogil:
            self.found = source_open(&self.source)
        self.source.live = self.found and self.source.size > 0
        return self.check_halted()

    cdef int check_halted(self) except -1:
        """Return what the handler of a signal raised."""
        if not self.source.halted:
            return 0
        if PyErr_Occurred() != NULL:
            return -1
        raise RuntimeError("the scan was interrupted")

    def clock(self) -> tuple[int | None, int | None, int]:
        """Find what relates the capture's clock to the wall clock.

        Returns
        -------
        tuple
            Time of the first event, then of the first timestamp note (ns, as they
            stand there) or None, and the wall clock of the note, ns since 1970.
        """
        cdef Source* source
        cdef uint64_t wall_ns = 0
        self.restart()
        first = note = None
        source = &self.source
        while source.live and (first is None or note is None):
            source_next(source)
            self.check_halted()
            if not source.live:
                break
            if source.head.kind == KIND_EVENT:
                if first is None:
                    first = source.head.time_ns
            elif (
                source.head.kind == KIND_TIMESTAMP
                and note is None
                and source.head.payload_bytes >= 8
            ):
                note = source.head.time_ns
                wall_ns = load_u32(source.head.payload, source.format.swap)
                wall_ns *= 1000000000
                wall_ns += load_u32(source.head.payload + 4, source.format.swap)
        return first, note, wall_ns

    def parts(self) -> list[tuple[int, int, int]]:
        """Measure the records of each device and CPU.

        Returns
        -------
        list of tuple
            (device, CPU, bytes) in order of appearance; empty if there are more than
            any capture has, and the source is better left as it is.
        """
        cdef Source* source = &self.source
        cdef uint32_t index = 0
        cdef bint fits = True
        self.restart()
        self.ids.n = 0
        memset(self.ids.places, 0, (<size_t>self.ids.mask + 1) * sizeof(uint32_t))
        memset(self.sizes, 0, MAX_PARTS * sizeof(uint64_t))
        with nogil:
            while source.live:
                source_next(source)
                if not source.live:
                    break
                index = self.part()
                if index == <uint32_t>NIL:
                    fits = False
                    break
                self.sizes[index] += head_bytes(source)
        self.check_halted()
        if not fits:
            return []
        return [
            (self.ids.ids[index] >> 32, self.ids.ids[index] & 0xffffffff,
             self.sizes[index])
            for index in range(self.ids.n)
        ]

    def spans(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Find when the events of each device and CPU begin and end.

        Returns
        -------
        dict
            Device and CPU to the least and the greatest time of its events, ns, as they stand
            there; empty if there are more devices and CPUs than any capture has.
        """
        cdef Source* source = &self.source
        cdef uint64_t* bounds = NULL
        cdef uint64_t time_ns
        cdef uint32_t index = 0
        cdef bint fits = True
        self.restart()
        self.ids.n = 0
        memset(self.ids.places, 0, (<size_t>self.ids.mask + 1) * sizeof(uint32_t))
        bounds = <uint64_t*>zeroed(2 * MAX_PARTS, sizeof(uint64_t))
        try:
            with nogil:
                while source.live:
                    source_next(source)
                    if not source.live:
                        break
                    # notes may be on another clock
                    if source.head.kind != KIND_EVENT:
                        continue
                    index = self.part()
                    if index == <uint32_t>NIL:
                        fits = False
                        break
                    # one more than it is, so that 0 is "none yet"
                    time_ns = source.head.time_ns + 1
                    if not bounds[2 * index] or time_ns < bounds[2 * index]:
                        bounds[2 * index] = time_ns
                    if time_ns > bounds[2 * index + 1]:
                        bounds[2 * index + 1] = time_ns
            self.check_halted()
            return {
                (self.ids.ids[index] >> 32, self.ids.ids[index] & 0xffffffff):
                (bounds[2 * index] - 1, bounds[2 * index + 1] - 1)
                for index in range(self.ids.n if fits else 0)
            }
        finally:
            free(bounds)

    cdef uint32_t part(self) noexcept nogil:
        """The current record's part; ``NIL`` if there are too many."""
        return idmap_get(
            &self.ids,
            <uint64_t>self.source.head.device << 32 | self.source.head.cpu,
        )

    def split(self, out: object, places: list[int]) -> tuple[int, int]:
        """Copy the records of each part to a place of its own.

        Parameters
        ----------
        out : writable buffer
            As long as all parts together.
        places : list of int
            Where each part of `parts` begins in it; the order is the caller's.

        Returns
        -------
        tuple of int
            Bytes refused and bytes cut off: they are in no part.

        Raises
        ------
        ValueError
            ``out`` or ``places`` does not fit what `parts` found.
        """
        cdef Source* source = &self.source
        cdef Py_buffer target
        cdef uint8_t* to
        cdef uint64_t* ends = NULL
        cdef uint32_t index
        cdef size_t length
        cdef bint fits = True
        if len(places) != self.ids.n:
            raise ValueError(f"{len(places)} places for {self.ids.n} parts")
        PyObject_GetBuffer(out, &target, PyBUF_WRITABLE)
        try:
            ends = <uint64_t*>zeroed(self.ids.n, sizeof(uint64_t))
            for index in range(self.ids.n):
                if places[index] + self.sizes[index] > <uint64_t>target.len:
                    raise ValueError(f"{target.len} bytes are too few")
                ends[index] = places[index]
            to = <uint8_t*>target.buf
            self.restart()
            with nogil:
                while source.live:
                    source_next(source)
                    if not source.live:
                        break
                    index = self.part()
                    length = head_bytes(source)
                    # the data lies in a file, which may have changed since
                    if (
                        index == <uint32_t>NIL
                        or ends[index] + length > <uint64_t>target.len
                    ):
                        fits = False
                        break
                    memcpy(to + ends[index], source.data + source.at, length)
                    ends[index] += length
            self.check_halted()
        finally:
            PyBuffer_Release(&target)
            free(ends)
        if not fits:
            raise ValueError("the data changed while it was read")
        return source.refused_bytes, source.truncated_bytes
