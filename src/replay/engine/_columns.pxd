"""A batch's columns as pointers."""

from replay.engine.state.rows cimport Columns


cdef class Batch:
    cdef Columns at
    cdef tuple views
