"""Columns of a batch, as the engine reads them: in place, through pointers."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t


cdef class Batch:
    """Columns of a batch, held for as long as the engine reads them.

    Parameters
    ----------
    columns : replay.engine.columns.Columns
        C-contiguous arrays of the documented dtypes.
    service_ns : array of int64, shape (n_rows,) or None
        As `Services.fill` gave it; None only to fill it.
    """

    def __cinit__(self, columns, service_ns=None):
        cdef const int64_t[::1] row = columns.row
        cdef const int64_t[::1] queue = columns.queue_ns
        cdef const int64_t[::1] issue = columns.issue_ns
        cdef const int64_t[::1] complete = columns.complete_ns
        cdef const uint64_t[::1] sector = columns.sector
        cdef const uint32_t[::1] nbytes = columns.nbytes
        cdef const uint32_t[::1] n_bios = columns.n_bios
        cdef const uint16_t[::1] flags = columns.flags
        cdef const int8_t[::1] op = columns.op
        cdef const int32_t[::1] pid = columns.pid
        cdef const uint32_t[::1] issuer = columns.issuer
        cdef const uint32_t[::1] recorded = columns.recorded
        cdef const uint16_t[::1] device = columns.device
        cdef const int32_t[::1] task = columns.task
        cdef const int64_t[::1] service = row if service_ns is None else service_ns
        cdef Py_ssize_t n = row.shape[0]
        self.views = (
            row, queue, issue, complete, sector, nbytes, n_bios, flags, op, pid,
            issuer, recorded, device, task, service,
        )
        for view in self.views:
            if len(view) != n:
                raise ValueError("the columns of a batch differ in length")
        self.at.n_rows = n
        if n > 0:
            self.at.row = &row[0]
            self.at.queue_ns = &queue[0]
            self.at.issue_ns = &issue[0]
            self.at.complete_ns = &complete[0]
            self.at.sector = &sector[0]
            self.at.nbytes = &nbytes[0]
            self.at.n_bios = &n_bios[0]
            self.at.flags = &flags[0]
            self.at.op = &op[0]
            self.at.pid = &pid[0]
            self.at.issuer = &issuer[0]
            self.at.recorded = &recorded[0]
            self.at.device = &device[0]
            self.at.task = &task[0]
            self.at.service_ns = &service[0]
