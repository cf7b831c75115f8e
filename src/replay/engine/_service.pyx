"""Service times of a trace's rows."""

from libc.stdint cimport int8_t, int64_t, uint32_t

from replay.engine._columns cimport Batch
from replay.engine.structures.arena cimport (
    arena_close,
    arena_open,
    keymap_close,
    keymap_open,
)

from replay.engine.setup import Policy, ServiceModel


cdef class Services:
    """Service times of a trace's rows, batch after batch in the trace's order.

    Parameters
    ----------
    setup : replay.engine.setup.Setup
    """

    cdef Service service
    cdef const int8_t[::1] scheduler
    cdef const int64_t[:, ::1] pipe

    def __cinit__(self, setup):
        self.service.set.linear = setup.service == ServiceModel.LINEAR
        self.service.set.trace_direct_io = setup.trace_direct_io
        self.service.set.by_cgroup = (
            setup.same_driver and setup.trace_policy == Policy.PER_CGROUP
        )
        self.service.set.by_thread = (
            setup.same_driver and setup.trace_policy == Policy.SYNCHRONOUS
        )
        self.service.set.trace_pass_through = setup.trace_policy == Policy.PASS_THROUGH
        self.service.set.pass_through = setup.policy == Policy.PASS_THROUGH
        self.service.set.read_base_ns = setup.read_base_ns
        self.service.set.read_ns_per_byte = setup.read_ns_per_byte
        self.service.set.read_random_ns = setup.read_random_ns
        self.service.set.write_base_ns = setup.write_base_ns
        self.service.set.write_ns_per_byte = setup.write_ns_per_byte
        self.service.set.write_random_ns = setup.write_random_ns
        self.scheduler = setup.disk_scheduler
        self.pipe = setup.disk_pipe
        if len(self.scheduler) != len(self.pipe) or self.pipe.shape[1] != N_PIPE:
            raise ValueError("setup: tables of disks differ in length")
        if len(self.scheduler) > 0 and setup.direct_io and setup.nested < 0:
            self.service.set.n_disks = <uint32_t> len(self.scheduler)
            self.service.set.scheduler = &self.scheduler[0]
            self.service.set.pipe = &self.pipe[0, 0]
        keymap_open(&self.service.latest_map, 64, &self.service.failed)
        arena_open(
            &self.service.latest, sizeof(int64_t), &self.service.failed
        )
        if self.service.failed.no_memory:
            raise MemoryError

    def __dealloc__(self):
        keymap_close(&self.service.latest_map)
        arena_close(&self.service.latest)

    def fill(self, columns, out):
        """Compute the service of every row of a batch.

        Parameters
        ----------
        columns : replay.engine.columns.Columns
        out : array of int64, shape (n_rows,)
            Filled in, ns; -1 where the completion was not seen.

        Raises
        ------
        MemoryError
            More traced workers than memory.
        """
        cdef Batch batch = Batch(columns)
        cdef int64_t[::1] filled = out
        if filled.shape[0] != batch.at.n_rows:
            raise ValueError("out: not the length of the batch")
        if batch.at.n_rows == 0:
            return
        with nogil:
            service_fill(&self.service, &batch.at, &filled[0])
        if self.service.failed.no_memory:
            raise MemoryError
