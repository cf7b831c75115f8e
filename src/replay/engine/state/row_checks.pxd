"""Checks of a row before it is replayed, and of the next one."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from replay.engine.state.events cimport max_time_ns, max_sectors
from replay.engine.state.failed cimport run_failed
from replay.engine.state.rows cimport NOT_REPLAYED, Columns
from replay.engine.state.sim cimport (
    NO_TASK,
    N_OPS,
    OP_FLUSH,
    OP_WRITE,
    SIM_ID_RANGE,
    SIM_OK,
    SIM_ORDER,
    SIM_SECTOR_RANGE,
    SIM_TIME_RANGE,
    Sim,
)
from replay.engine.structures.arena cimport CHECKS


cdef inline bint row_arrives(
    Sim *sim, const Columns *columns, int64_t i, int64_t now
) noexcept nogil:
    """Move the time on to a row's; if it lies before now, stop and return False."""
    if now < sim.last_ns or columns.row[i] < 0:
        sim.status = SIM_ORDER
        return False
    if now >= max_time_ns():
        sim.status = SIM_TIME_RANGE
        return False
    sim.last_ns = now
    return True


cdef inline bint run_goes_on(Sim *sim, const Columns *columns, int64_t i) noexcept nogil:
    """Return True if another row may follow; if not, this one is to blame."""
    # scratch entries carry the rows until the next look (see structures/arena.pxd)
    if CHECKS or i & 255 == 255:
        run_failed(sim)
    if sim.status == SIM_OK:
        return True
    if sim.error_row < 0:
        sim.error_row = columns.row[i]
    return False


cdef inline bint beyond_files(
    const Sim *sim, const Columns *columns, int64_t i
) noexcept nogil:
    """Return True if a row touches pages that the model cannot tell apart.

    No file of Linux has as many, so its record is damaged. Where none goes through the
    page cache the sector may be any.
    """
    return (
        sim.set.cache_on
        and columns.nbytes[i] > 0
        and columns.sector[i]
        > max_sectors() - (<uint64_t> columns.nbytes[i] + 511) // 512
    )


cdef inline bint row_replayed(
    Sim *sim, const Columns *columns, int64_t i
) noexcept nogil:
    """Return True if a row is to be replayed; stop the run if the setup lacks it."""
    if columns.device[i] == NOT_REPLAYED:
        sim.counts.other_devices += 1
        return False
    if (
        columns.device[i] >= sim.n_devices
        or columns.issuer[i] >= sim.n_cgroups
        or columns.op[i] < 0
        or columns.op[i] >= N_OPS
        or columns.task[i] < NO_TASK
        or columns.task[i] >= <int32_t> sim.n_tasks
    ):
        sim.status = SIM_ID_RANGE
        sim.error_row = columns.row[i]
        return False
    if (
        columns.queue_ns[i] >= max_time_ns()
        or columns.issue_ns[i] >= max_time_ns()
        or columns.complete_ns[i] >= max_time_ns()
        or columns.service_ns[i] >= max_time_ns()
    ):
        sim.status = SIM_TIME_RANGE
        sim.error_row = columns.row[i]
        return False
    if beyond_files(sim, columns, i):
        sim.status = SIM_SECTOR_RANGE
        sim.error_row = columns.row[i]
        return False
    return True


cdef inline bint row_is_plain(
    const Sim *sim, const Columns *columns, int64_t i
) noexcept nogil:
    """Return True if a row is a read or write that was seen from its issue to its end.

    Shortcuts take no other; what is odd about a row, or to be refused, is left to the
    stages. A shortcut writes it down in fields of 32 and 16 bits. Of a row that was not
    issued no service is known, and no shortcut goes through the page cache, which knows
    of sectors that are none.
    """
    return (
        columns.device[i] < sim.n_devices
        and columns.issuer[i] < sim.n_cgroups
        and <uint8_t> columns.op[i] <= OP_WRITE
        and columns.task[i] == NO_TASK
        and 0 <= columns.service_ns[i] <= <int64_t> 0xFFFFFFFF
        and columns.n_bios[i] <= 0xFFFF
        and columns.queue_ns[i] < max_time_ns()
        and columns.complete_ns[i] < max_time_ns()
    )


cdef inline bint enters_driver(
    const Sim *sim, const Columns *columns, int64_t i
) noexcept nogil:
    """Return True if the driver sees a row: it was issued, or did complete.

    An empty flush bio never is: the driver sees the flush that is made for it, which
    has no bio. Source: block/blk-flush.c:blk_insert_flush(), v6.1. A bio-based device
    has no flush machinery: it gets the bio.
    """
    if columns.issue_ns[i] >= 0:
        return True
    if (
        columns.op[i] == OP_FLUSH
        and columns.n_bios[i] > 0
        and not sim.set.pass_through
    ):
        return False
    return sim.set.by_queue or columns.complete_ns[i] >= 0
