"""Columns of a batch while the decoder writes them: the caller's buffers, held."""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stddef cimport size_t
from libc.string cimport memset

from replay.trace.blktrace._event_rows cimport TEXT_BYTES

cdef enum:
    #: Pointers in ``EventFields``; rows of requests have fewer columns.
    N_FIELDS = 19

#: Bytes that so many rows take in a column.
ctypedef size_t (*ColumnBytes)(int column, size_t n_rows) noexcept

cdef struct Held:
    #: The buffers held so far, and where each begins.
    int n
    Py_buffer buffers[19]
    void *starts[19]


cdef inline size_t row_bytes(int column, size_t n_rows) noexcept:
    """Bytes that rows of requests take in a column of ``Columns``."""
    cdef size_t *each = [8, 8, 8, 8, 4, 8, 4, 4, 1, 2, 8, 4, 2, 4]
    return each[column] * n_rows


cdef inline size_t event_bytes(int column, size_t n_rows) noexcept:
    """Bytes that rows of events take in a field of ``EventFields``."""
    cdef size_t *each = [8, 1, 4, 8, 4, 1, 2, 8, 4, 2, 4, 4, 8, 4, 4]
    if column >= 16:
        return (n_rows + 7) // 8
    if column == 15:
        return TEXT_BYTES
    return each[column] * (n_rows + (column == 14))


cdef inline int held_take(
    Held *held, object columns, int n_columns, size_t n_rows, ColumnBytes bytes_of
) except -1:
    """Hold a batch's columns; what was held before an error is to be let go of.

    Raises
    ------
    ValueError
        A buffer is too small or one is missing.
    """
    cdef size_t n_bytes
    memset(held, 0, sizeof(held[0]))
    if len(columns) != n_columns:
        raise ValueError(f"{len(columns)} columns, need {n_columns}")
    for column in columns:
        PyObject_GetBuffer(column, &held.buffers[held.n], PyBUF_WRITABLE)
        held.starts[held.n] = held.buffers[held.n].buf
        held.n += 1
        n_bytes = bytes_of(held.n - 1, n_rows)
        if <size_t>held.buffers[held.n - 1].len < n_bytes:
            raise ValueError(f"column {held.n - 1}: below {n_bytes} bytes")
    return 0


cdef inline void held_drop(Held *held) noexcept:
    """Let go of the columns."""
    cdef int index
    for index in range(held.n):
        PyBuffer_Release(&held.buffers[index])
    held.n = 0
