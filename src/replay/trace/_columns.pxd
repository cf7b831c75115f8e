"""Where rows are written: the columns of one Arrow batch, each a plain C array.

The arrays belong to the caller (``pyarrow`` buffers); here they are pointers for as
long as one batch is filled. Bitmaps have a bit set where the time was seen.
"""

from libc.stdint cimport (
    int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
)

from replay.trace._record cimport OP_FLUSH, OP_FLUSH_BIO
from replay.trace._table cimport Slot


cdef enum:
    N_COLUMNS = 16


ctypedef struct Columns:
    int64_t* queue_ns
    int64_t* issue_ns
    int64_t* complete_ns
    uint32_t* device
    uint64_t* sector
    uint32_t* nbytes
    uint32_t* n_bios
    int8_t* op
    uint16_t* flags
    uint64_t* cgroup
    int32_t* pid
    uint16_t* cpu
    int32_t* error
    uint8_t* queue_seen
    uint8_t* issue_seen
    uint8_t* complete_seen
    size_t n_rows
    size_t capacity
    size_t n_null_queue
    size_t n_null_issue
    size_t n_null_complete


cdef inline void time_write(
    int64_t* times, uint8_t* seen, size_t* n_null, size_t row, int64_t time_ns
) noexcept nogil:
    """Write a time and its validity bit; -1 is not seen."""
    times[row] = time_ns
    if time_ns >= 0:
        seen[row >> 3] |= <uint8_t>(1 << (row & 7))
    else:
        n_null[0] += 1


cdef inline void columns_write(Columns* columns, const Slot* slot) noexcept nogil:
    """Append a row; there must be room."""
    cdef size_t row = columns.n_rows
    time_write(
        columns.queue_ns, columns.queue_seen, &columns.n_null_queue, row, slot.queue_ns
    )
    time_write(
        columns.issue_ns, columns.issue_seen, &columns.n_null_issue, row, slot.issue_ns
    )
    time_write(
        columns.complete_ns,
        columns.complete_seen,
        &columns.n_null_complete,
        row,
        slot.complete_ns,
    )
    columns.device[row] = slot.device
    columns.sector[row] = slot.sector
    columns.nbytes[row] = slot.nbytes
    columns.n_bios[row] = slot.n_bios
    columns.op[row] = <int8_t>(OP_FLUSH if slot.op == OP_FLUSH_BIO else slot.op)
    columns.flags[row] = slot.flags
    columns.cgroup[row] = slot.cgroup
    columns.pid[row] = slot.pid
    columns.cpu[row] = slot.cpu
    columns.error[row] = slot.error
    columns.n_rows = row + 1
