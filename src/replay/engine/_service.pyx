"""Service times of a trace's rows."""

from cpython.exc cimport PyErr_Occurred
from libc.stdint cimport int8_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free

from replay.engine._columns cimport Batch
from replay.engine.structures.arena cimport (
    arena_close,
    arena_open,
    keymap_close,
    keymap_open,
)
from replay.engine.structures.heap cimport heap_close, heap_open

from replay.common.errors import ModelError
from replay.engine.setup import Policy, ServiceModel

#: Rows that are taken in behind an open one before it is settled as it is.
WINDOW = 1 << 20


cdef class Services:
    """Service times of a trace's rows, batch after batch in the trace's order.

    Parameters
    ----------
    setup : replay.engine.setup.Setup
    window : int
        Rows that are taken in behind an open one at most; a power of two.
    """

    cdef Service service
    cdef const int8_t[::1] scheduler
    cdef bytes loops
    cdef const int64_t[:, ::1] pipe
    cdef list outs

    def __cinit__(self, setup, int64_t window=WINDOW):
        cdef ServiceSettings *set = &self.service.set
        if window < 1 or window & window - 1:
            raise ValueError("window: a power of two")
        lock = setup.traced_lock
        set.linear = setup.service == ServiceModel.LINEAR
        set.trace_direct_io = setup.trace_direct_io
        set.by_cgroup = setup.trace_policy == Policy.PER_CGROUP
        set.by_thread = setup.trace_policy == Policy.SYNCHRONOUS
        set.trace_pass_through = setup.trace_policy == Policy.PASS_THROUGH
        set.pass_through = setup.policy == Policy.PASS_THROUGH
        set.lock_shared = lock == "shared"
        set.lock_exclusive = lock == "exclusive"
        if setup.tmpfs and not setup.trace_direct_io and not setup.same_driver:
            set.processors = setup.processors
        set.window = window
        set.read_base_ns = setup.read_base_ns
        set.read_ns_per_byte = setup.read_ns_per_byte
        set.read_random_ns = setup.read_random_ns
        set.write_base_ns = setup.write_base_ns
        set.write_ns_per_byte = setup.write_ns_per_byte
        set.write_random_ns = setup.write_random_ns
        self.loops = bytes(setup.are_loops) + b"\0"
        set.loops = self.loops
        self.scheduler = setup.disk_scheduler
        self.pipe = setup.disk_pipe
        if len(self.scheduler) != len(self.pipe) or self.pipe.shape[1] != N_PIPE:
            raise ValueError("setup: tables of disks differ in length")
        if len(self.scheduler) > 0 and setup.direct_io and setup.nested < 0:
            set.n_disks = <unsigned int> len(self.scheduler)
            set.scheduler = &self.scheduler[0]
            set.pipe = &self.pipe[0, 0]
        self.outs = []
        keymap_open(&self.service.cursor_map, 64, &self.service.failed)
        keymap_open(&self.service.worker_map, 64, &self.service.failed)
        keymap_open(&self.service.file_map, 16, &self.service.failed)
        arena_open(&self.service.cursors, sizeof(uint64_t), &self.service.failed)
        arena_open(&self.service.workers, sizeof(TracedWorker), &self.service.failed)
        arena_open(&self.service.files, sizeof(TracedFile), &self.service.failed)
        arena_open(&self.service.rows, sizeof(OpenRow), &self.service.failed)
        heap_open(&self.service.open, &self.service.failed)
        self.service.is_open = <unsigned char *> calloc(<size_t> window, 1)
        self._check()

    def __dealloc__(self):
        keymap_close(&self.service.cursor_map)
        keymap_close(&self.service.worker_map)
        keymap_close(&self.service.file_map)
        arena_close(&self.service.cursors)
        arena_close(&self.service.workers)
        arena_close(&self.service.files)
        arena_close(&self.service.rows)
        heap_close(&self.service.open)
        free(self.service.is_open)

    cdef int _check(self) except -1:
        if self.service.halted:
            if PyErr_Occurred() != NULL:
                # what the signal's handler raised
                return -1
            raise ModelError("this run was interrupted: begin another one")
        if self.service.is_open == NULL or self.service.failed.no_memory:
            raise MemoryError
        return 0

    def fill(self, columns, out):
        """Take the rows of a batch in.

        Parameters
        ----------
        columns : replay.engine.columns.Columns
        out : array of int64, shape (n_rows,)
            Filled in, ns, once the rows are settled; -1 where the completion was not
            seen.

        Returns
        -------
        int
            How many rows of all batches, from the first on, are settled.

        Raises
        ------
        MemoryError
            More traced workers than memory.
        ModelError
            A signal has ended the work before.
        """
        cdef Batch batch = Batch(columns)
        cdef int64_t[::1] filled = out
        cdef int64_t n_settled
        self._check()
        if filled.shape[0] != batch.at.n_rows:
            raise ValueError("out: not the length of the batch")
        if batch.at.n_rows > 0:
            # the memory that open rows point to
            self.outs.append((self.service.n_rows + batch.at.n_rows, filled))
            with nogil:
                service_fill(&self.service, &batch.at, &filled[0])
            self._check()
        n_settled = service_settled(&self.service)
        while self.outs and self.outs[0][0] <= n_settled:
            del self.outs[0]
        return n_settled

    def end(self):
        """Settle all rows: no others come.

        Returns
        -------
        int
            How many rows there were.

        Raises
        ------
        ModelError
            A signal has ended the work before.
        """
        self._check()
        with nogil:
            service_end(&self.service)
        self._check()
        self.outs.clear()
        return service_settled(&self.service)
