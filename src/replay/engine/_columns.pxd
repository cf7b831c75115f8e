"""A batch's columns as pointers."""

from replay.engine._types cimport Columns


cdef class Batch:
    cdef Columns at
    cdef tuple views
