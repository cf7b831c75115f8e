"""A file system on the traced device: its journal aborts, and it turns read-only.

Source: fs/jbd2/journal.c:jbd2_journal_abort(), fs/ext4/ext4_jbd2.c:
ext4_journal_check_start(), v6.1.
"""

from libc.errno cimport EROFS
from libc.stdint cimport int64_t, uint32_t

from replay.engine.counting.charges cimport failure_add
from replay.engine.state.sim cimport OP_READ, OP_WRITE, Request, Sim


cdef inline void journal_fails(
    Sim *sim, const Request *request, int64_t now
) noexcept nogil:
    """Abort the device's journal if the failed request is a write with META."""
    cdef int64_t *aborted_ns = &sim.devices[request.device].aborted_ns
    if request.is_meta and request.op == OP_WRITE and aborted_ns[0] < 0:
        aborted_ns[0] = now


cdef inline bint journal_stops(
    Sim *sim,
    uint32_t device,
    unsigned char op,
    uint32_t issuer,
    uint32_t nbytes,
    int64_t queue_ns,
) noexcept nogil:
    """Return True if a request is not queued since its file system is read-only.

    It is counted as a failure with EROFS.
    """
    cdef int64_t aborted_ns = sim.devices[device].aborted_ns
    if op == OP_READ or not 0 <= aborted_ns < queue_ns:
        return False
    failure_add(sim, issuer, EROFS, nbytes, queue_ns)
    sim.counts.read_only += 1
    return True
