"""The columns of one Arrow batch that rows are written to, each a plain C array.

The arrays belong to the caller (``pyarrow`` buffers); here they are pointers for as
long as one batch is filled.
"""

from libc.stdint cimport (
    int8_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t
)

from replay.trace.blktrace._record cimport OP_FLUSH, OP_FLUSH_BIO
from replay.trace.pairing.open_requests cimport Slot


cdef enum:
    N_COLUMNS = 14


ctypedef struct Columns:
    #: The columns come first, in their order.
    int64_t* queue_ns
    int64_t* issue_ns
    int64_t* complete_ns
    int64_t* last_issue_ns
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
    size_t n_rows
    size_t capacity
    #: Times that were not seen, which are -1.
    size_t n_null_queue
    size_t n_null_issue
    size_t n_null_complete
    size_t n_null_last_issue


cdef inline void columns_write(Columns* columns, const Slot* slot) noexcept nogil:
    """Append a row; there must be room."""
    cdef size_t row = columns.n_rows
    columns.queue_ns[row] = slot.queue_ns
    columns.issue_ns[row] = slot.issue_ns
    columns.complete_ns[row] = slot.complete_ns
    columns.last_issue_ns[row] = slot.last_issue_ns
    columns.n_null_queue += slot.queue_ns < 0
    columns.n_null_issue += slot.issue_ns < 0
    columns.n_null_complete += slot.complete_ns < 0
    columns.n_null_last_issue += slot.last_issue_ns < 0
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
