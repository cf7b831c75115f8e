"""The decoder's memory, for those who cut a capture into slices."""

from libc.stdint cimport uint32_t, uint64_t

from replay.trace.blktrace._decode cimport Decode
from replay.trace.blktrace._source cimport Source


cdef class Decoder:
    cdef Decode decode
    cdef Source* sources
    cdef Py_buffer* buffers
    cdef uint32_t n_sources
    cdef uint32_t n_buffers
    cdef uint64_t first_ns
    cdef bint finished
    #: What comes after the last record is another's: no row leaves for want of more.
    cdef bint is_slice
    cdef list names

    cdef int check_halted(self) except -1
    cdef void release_buffers(self) noexcept
    cdef int attach(self, object data) except -1
    cdef object refusal(self, uint32_t index)
    cdef int check_sources(self) except -1
    cdef int make_room(self) except -1
    cdef int check_limits(self) except -1
    cdef int run(self) except -1
