"""The compiled engine: owns a run's state and hands batches to the loop."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_Occurred
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport calloc, free

from replay.engine._columns cimport Batch
from replay.engine.charging.charge cimport stocks_drain
from replay.engine.controllers.bfq_open cimport bfq_open
from replay.engine.controllers.iocost_open cimport iocost_bytes, iocost_open
from replay.engine.controllers.iolatency_open cimport iolatency_open
from replay.engine.controllers.iomax_open cimport iomax_open
from replay.engine.counting.bucket_rows cimport buckets_bytes
from replay.engine.counting.latencies cimport samples_fold
from replay.engine.counting.latency_rows cimport arena_bytes, latency_bytes
from replay.engine.counting.timeline cimport timeline_cut, timeline_open
from replay.engine.counting.waits cimport waits_fold
from replay.engine.disk.disk_open cimport disks_open
from replay.engine.driver.policies cimport is_kernel_pid
from replay.engine.driver.policies_open cimport devices_load, policies_load
from replay.engine.pages.dirty cimport dirty_load
from replay.engine.pages.writeback cimport files_sync
from replay.engine.run.fill cimport groups_fill, tasks_fill
from replay.engine.run.loop cimport run_rows, run_some
from replay.engine.run.open_close cimport sim_close, sim_open
from replay.engine.shortcuts.bulk cimport are_all_submitted, bulk_open, bulk_settle
from replay.engine.shortcuts.flats cimport flats_open
from replay.engine.shortcuts.lean cimport lean_open, lean_rows
from replay.engine.state.failed cimport run_failed
from replay.engine.state.pages cimport PageLists
from replay.engine.state.rows cimport Columns
from replay.engine.state.sim cimport (
    N_IO,
    SIM_CHECK,
    SHORTCUT_LEAN,
    SIM_END_RANGE,
    SIM_HALTED,
    SIM_ID_RANGE,
    SIM_NO_MEMORY,
    SIM_OK,
    SIM_ORDER,
    SIM_SECTOR_RANGE,
    SIM_SUM_RANGE,
    SIM_TIMELINE,
    SIM_TIME_RANGE,
    Group,
    ShortcutKind,
    Sim,
)
from replay.engine.state.stream_types cimport Stream
from replay.engine.state.streams cimport release_next
from replay.engine.structures.arena cimport check_text

from replay.common.errors import ModelError
from replay.engine.setup import ArrivalEvent, ArrivalMode
from replay.engine.shortcuts import Shortcut, has_tables, shortcut_of

cdef enum:
    EVENTS_AT_ONCE = 1 << 20
    MAX_CGROUPS = 1 << 24

cdef class Engine:
    """One run of the compiled engine.

    Parameters
    ----------
    setup : replay.engine.setup.Setup
    requests : bool
        Keep a row for every request (`take_requests`).

    Raises
    ------
    ModelError
        The setup is beyond what the engine's tables hold.
    """

    cdef Sim sim
    cdef const uint32_t[::1] blkcg
    cdef const uint32_t[::1] memory_css
    cdef const int64_t[::1] fail_rows
    cdef const int32_t[::1] kernel_pids
    cdef const int64_t[::1] order
    cdef const int64_t[::1] think_ns
    cdef const int64_t[::1] needs
    cdef const uint32_t[::1] starts
    cdef list batches
    cdef Columns *parts
    cdef int64_t *part_start

    def __cinit__(self, setup, bint requests=False):
        cdef Sim *sim = &self.sim
        cdef uint32_t i
        self.blkcg = setup.blkcg
        self.memory_css = setup.memory_css
        self.fail_rows = setup.alloc_fail_rows
        if not 0 < len(setup.parent) < MAX_CGROUPS:
            raise ModelError(f"{len(setup.parent)} cgroups: at most {MAX_CGROUPS - 1}")
        if not 0 < len(setup.devices) < 0xFFFF:
            raise ModelError(f"{len(setup.devices)} devices: 1 to 65534 can be replayed")
        sim.n_cgroups = <uint32_t> len(setup.parent)
        sim.n_devices = <uint32_t> len(setup.devices)
        sim.n_tasks = <uint32_t> len(setup.task_cgroup)
        sim.n_fail_rows = self.fail_rows.shape[0]
        if len(self.blkcg) != sim.n_cgroups or len(self.memory_css) != sim.n_cgroups:
            raise ValueError("setup: tables of cgroups differ in length")
        for i in range(sim.n_cgroups):
            if self.blkcg[i] >= sim.n_cgroups or self.memory_css[i] >= sim.n_cgroups:
                raise ValueError("setup: a cgroup beyond the last")
        sim.blkcg = &self.blkcg[0]
        sim.memory_css = &self.memory_css[0]
        sim.fail_rows = &self.fail_rows[0] if sim.n_fail_rows > 0 else NULL
        self.kernel_pids = setup.kernel_pids
        sim.n_kernel_pids = self.kernel_pids.shape[0]
        sim.kernel_pids = &self.kernel_pids[0] if sim.n_kernel_pids > 0 else NULL
        sim.error_row = -1
        sim.max_told = <int64_t> 1 << 31
        self._settings(setup, requests)
        if not sim_open(sim) or not timeline_open(sim, setup.interval_ns):
            raise MemoryError
        devices_load(sim, setup)
        groups_fill(sim, setup)
        tasks_fill(sim, setup)
        iomax_open(sim, setup)
        bfq_open(sim, setup)
        disks_open(sim, setup)
        iocost_open(sim, setup)
        iolatency_open(sim, setup)
        if not bulk_open(sim) or not flats_open(sim):
            raise MemoryError
        lean_open(sim)

    cdef int _settings(self, setup, bint requests) except -1:
        cdef Sim *sim = &self.sim
        policies_load(sim, setup)
        sim.set.direct_io = setup.direct_io
        sim.set.dependent = setup.mode == ArrivalMode.DEPENDENT
        sim.set.by_queue = setup.event == ArrivalEvent.QUEUE
        sim.set.as_queued = setup.event == ArrivalEvent.AS_QUEUED
        sim.set.lock_parallel = setup.lock_is_parallel
        sim.set.lock_on = not setup.direct_io and (
            not sim.set.lock_parallel or setup.may_sleep
        )
        sim.set.lock_shared = sim.set.lock_parallel or (
            setup.lock_per_page and setup.tmpfs
        )
        sim.set.device_on = setup.has_places
        sim.set.places_are_processors = setup.tmpfs
        sim.set.pages_on = setup.tmpfs and not setup.direct_io
        sim.set.cache_on = setup.cached and not setup.direct_io
        sim.set.laid_out = setup.laid_out
        sim.set.reclaim_lru = sim.set.cache_on and setup.reclaim_lru
        sim.set.mglru = 0
        if sim.set.cache_on and not setup.reclaim_lru:
            sim.set.mglru = <int> int(setup.mglru)
        dirty_load(sim, setup)
        sim.set.page_at_once = setup.lock_per_page
        sim.set.readahead_pages = setup.readahead_pages
        sim.set.readahead_by_marks = setup.readahead_by_marks
        sim.set.readahead_stops = setup.readahead_stops
        sim.set.readahead_rounds = setup.readahead_rounds
        sim.set.large_folios = setup.large_folios
        sim.set.share_floor = setup.share_floor
        sim.set.file_pages = setup.file_pages
        if not 8 <= setup.max_sectors < 1 << 32:
            raise ValueError("setup: max_sectors is 8 to 2**32 - 1")
        sim.set.max_sectors = setup.max_sectors
        sim.set.max_bytes = sim.set.max_sectors * 512
        sim.set.backing_device = setup.backing_device and (
            setup.direct_io or setup.cached
        )
        sim.set.want_requests = requests
        sim.set.issue_controllers = (
            len(setup.iocost_device) > 0 or len(setup.iolatency_device) > 0
        )
        sim.set.shortcut = <ShortcutKind> <int> shortcut_of(setup, requests=requests)
        sim.set.has_tables = has_tables(setup)
        sim.set.alloc_fail_threshold = setup.alloc_fail_threshold >> 1
        sim.set.alloc_fail_seed = setup.alloc_fail_seed & 0xFFFFFFFFFFFFFFFF
        sim.set.fs_pages = setup.fs_pages
        sim.set.laid_out_by = setup.laid_out_by
        sim.set.oom_kills = setup.oom_kills
        if not (0 < setup.charge_batch < 128 and setup.stock_slots in (1, 7)):
            raise ValueError("setup: charges are of 1 to 127 pages, stocks of 1 or 7")
        sim.set.charge_batch = setup.charge_batch
        sim.set.stock_slots = setup.stock_slots
        sim.set.high_in_charge = setup.high_in_charge
        sim.set.hole_reads_charge = setup.hole_reads_charge
        sim.set.huge = setup.huge
        sim.set.huge_orders = setup.huge_orders
        sim.set.refusals_count = setup.refusals_count
        sim.set.write_errno = setup.write_errno
        sim.set.enospc_errno = setup.enospc_errno
        sim.set.short_writes = setup.short_writes
        sim.set.recursive_protection = setup.recursive_protection
        sim.set.tags = setup.tags
        sim.set.parallel = setup.processors if setup.tmpfs else setup.parallel
        sim.set.hz = setup.hz
        sim.set.boot_ns = setup.boot_ns
        sim.set.waits_for_io = setup.iomax_waits_for_io
        sim.set.meta_debt = setup.iomax_meta_debt
        sim.set.iomax_keeps_slice = setup.iomax_keeps_slice
        sim.set.iomax_two_queues = setup.iomax_two_queues
        sim.set.iomax_splits_late = setup.iomax_splits_late
        sim.set.iocost_flush_costs = setup.iocost_flush_costs
        sim.set.iocost_min_holds = setup.iocost_min_holds
        sim.set.journaled = setup.journaled
        sim.set.wants_meta = (
            sim.set.issue_controllers or setup.iomax_meta_debt or sim.set.journaled
        )
        return 0

    def __dealloc__(self):
        sim_close(&self.sim)
        free(self.parts)
        free(self.part_start)

    cdef int _check(self) except -1:
        """Turn a status into its exception."""
        cdef int64_t row = self.sim.error_row
        # what was refused behind a check that does not hold is no reason
        run_failed(&self.sim)
        if self.sim.status == SIM_OK:
            return 0
        if self.sim.status == SIM_CHECK:
            raise AssertionError(check_text(&self.sim.failed, self.sim.error_row))
        if self.sim.status == SIM_HALTED:
            if PyErr_Occurred() != NULL:
                # what the signal's handler raised
                return -1
            raise ModelError("this run was interrupted: begin another one")
        if self.sim.status == SIM_NO_MEMORY:
            raise MemoryError("the engine ran out of memory")
        if self.sim.status == SIM_TIME_RANGE:
            raise ModelError(
                f"row {row}: a time of more than 104 days after the trace's start; "
                "cut the trace to the window of interest"
            )
        if self.sim.status == SIM_SECTOR_RANGE:
            raise ModelError(
                f"row {row}: ends beyond sector 2**60, which is more than any disk has: "
                "the record is damaged; leave it out by --from and --until"
            )
        if self.sim.status == SIM_END_RANGE:
            raise ModelError(
                "a request would wait until more than 208 days after the trace's start; "
                "raise the limit or shorten the service that holds it, or cut the trace"
            )
        if self.sim.status == SIM_SUM_RANGE:
            raise ModelError(
                "the requests wait for more than 146 years in sum: they come faster than "
                "they are served; take arrivals.mode = dependent, or cut the trace"
            )
        if self.sim.status == SIM_TIMELINE:
            raise ModelError(
                "the timeline gets too many intervals, since the replay lasts much longer "
                "than the trace: ask for longer ones (--interval)"
            )
        if self.sim.status == SIM_ORDER:
            raise ModelError(
                f"row {row}: arrives before the row ahead of it; convert the trace again"
            )
        assert self.sim.status == SIM_ID_RANGE
        raise ModelError(
            f"row {row}: a cgroup, device, operation or task that the scenario was not "
            "bound to; bind it to this trace"
        )

    @property
    def shortcut(self):
        """Return the `replay.engine.shortcuts.Shortcut` that the run takes."""
        return Shortcut(self.sim.set.shortcut)

    def tell_after(self, int64_t n_requests):
        """Empty counts of 32 bits after so many requests: for tests, which have few.

        Parameters
        ----------
        n_requests : int
            At most 2**31, which is what they are emptied after.
        """
        self.sim.max_told = min(self.sim.max_told, n_requests)

    def feed(self, columns, service_ns):
        """Replay a batch; its rows come in the order of their arrival.

        Parameters
        ----------
        columns : replay.engine.columns.Columns
        service_ns : array of int64, shape (n_rows,)
            From `Services.fill`.

        Raises
        ------
        ModelError
            Rows out of order, times or ids out of range: with the row.
        """
        cdef Batch batch = Batch(columns, service_ns)
        self._check()
        with nogil:
            if self.sim.set.shortcut == SHORTCUT_LEAN:
                lean_rows(&self.sim, &batch.at)
            else:
                run_rows(&self.sim, &batch.at, 0, batch.at.n_rows)
        self._check()

    def follow(self, batches, services, streams):
        """Make ready to replay all rows of a trace with dependent arrivals.

        Parameters
        ----------
        batches : list of replay.engine.columns.Columns
            The whole trace, in the order of its rows.
        services : list of arrays of int64
            Service of each batch.
        streams : replay.engine.dependence.Streams

        Raises
        ------
        ModelError
            Times out of range: with the row.
        ValueError
            The setup is one of recorded arrivals.
        """
        cdef Sim *sim = &self.sim
        cdef const int64_t[::1] start = streams.start
        cdef const int32_t[::1] pid = streams.pid
        cdef int64_t i
        cdef int64_t n_rows = 0
        cdef Batch batch
        self._check()
        if not sim.set.dependent:
            raise ValueError("setup: arrivals are recorded, not dependent")
        self.batches = [
            Batch(columns, service)
            for columns, service in zip(batches, services, strict=True)
        ]
        self.order = streams.order
        self.think_ns = streams.think_ns
        self.needs = streams.needs
        self.starts = streams.starts
        for batch in self.batches:
            n_rows += batch.at.n_rows
        # streams hold what is replayed alone
        sim.counts.other_devices += n_rows - len(self.order)
        n_rows = 0
        if len(self.order) == 0:
            return
        self.parts = <Columns *> calloc(len(self.batches), sizeof(Columns))
        self.part_start = <int64_t *> calloc(len(self.batches), sizeof(int64_t))
        sim.n_streams = pid.shape[0]
        sim.streams = <Stream *> calloc(<size_t> sim.n_streams, sizeof(Stream))
        if self.parts == NULL or self.part_start == NULL or sim.streams == NULL:
            raise MemoryError
        for i, batch in enumerate(self.batches):
            self.parts[i] = batch.at
            self.part_start[i] = n_rows
            n_rows += batch.at.n_rows
        sim.parts = self.parts
        sim.part_start = self.part_start
        sim.n_parts = len(self.batches)
        sim.order = &self.order[0]
        sim.think_ns = &self.think_ns[0]
        sim.needs = &self.needs[0]
        sim.starts = &self.starts[0]
        with nogil:
            sim.never_busy = are_all_submitted(sim)
            for i in range(sim.n_streams):
                sim.streams[i].next = start[i]
                sim.streams[i].end = start[i + 1]
                sim.streams[i].is_kernel = is_kernel_pid(sim, pid[i])
                release_next(sim, <int32_t> i, 0)

    def advance(self, int64_t n_events=EVENTS_AT_ONCE):
        """Run what is pending; call it until nothing is left, then read the tables.

        Parameters
        ----------
        n_events : int
            How many events at most.

        Returns
        -------
        bool
            Whether requests wait for more events.

        Raises
        ------
        ModelError
            Ids out of range: with the row.
        """
        cdef bint more
        with nogil:
            more = run_some(&self.sim, n_events)
        self._check()
        return more

    def take_requests(self):
        """Return the requests done since the last call, as bytes of `Done` structs."""
        cdef bytes taken = arena_bytes(&self.sim.done)
        self.sim.done.length = 1
        return taken

    def tables(self):
        """Return the state's structs as bytes, by the name of the struct.

        Returns
        -------
        dict of str to bytes
            Laid out as `replay.engine.layout` says.
        """
        cdef Sim *sim = &self.sim
        cdef bytes io = b""
        cdef bytes lists = b""
        if sim.set.cache_on:
            files_sync(sim)
        samples_fold(sim)
        bulk_settle(sim)
        waits_fold(sim)
        if run_failed(sim):
            self._check()
        if sim.timeline.interval_ns > 0:
            timeline_cut(sim, sim.timeline.cut_ns)
        self._check()
        stocks_drain(sim, 0)    # `current` is exact: without what is in stock
        if sim.backing_io != NULL:
            io = PyBytes_FromStringAndSize(
                <const char *> sim.backing_io,
                <Py_ssize_t> (<size_t> sim.n_cgroups * N_IO * sizeof(int64_t)),
            )
        if sim.lists != NULL:
            lists = PyBytes_FromStringAndSize(
                <const char *> sim.lists,
                <Py_ssize_t> (<size_t> sim.n_cgroups * sizeof(PageLists)),
            )
        return {
            "Account": arena_bytes(&sim.accounts),
            "BackingIo": io,
            "Bucket": buckets_bytes(sim),
            "Charge": arena_bytes(&sim.charges),
            "Cost": iocost_bytes(sim),
            "Failure": arena_bytes(&sim.failures),
            "Group": PyBytes_FromStringAndSize(
                <const char *> sim.groups,
                <Py_ssize_t> (<size_t> sim.n_cgroups * sizeof(Group)),
            ),
            "Kill": arena_bytes(&sim.kills),
            "Latency": latency_bytes(sim),
            "PageLists": lists,
            "TimelineRow": arena_bytes(&sim.timeline.rows),
            "Wait": arena_bytes(&sim.waits),
            "Worker": arena_bytes(&sim.workers),
        }

    def counts(self):
        """Return the run's scalars.

        Returns
        -------
        dict of str to int
            The names of `replay.engine.raw.COUNTS`.
        """
        cdef Sim *sim = &self.sim
        return {
            "requests": sim.counts.requests,
            "completed": sim.counts.completed,
            "failed": sim.counts.failed,
            "unfinished": sim.counts.unfinished,
            "in_flight": sim.counts.in_flight,
            "stopped": sim.counts.stopped,
            "read_only": sim.counts.read_only,
            "unissued": sim.counts.unissued,
            "other_devices": sim.counts.other_devices,
            "workers_peak": sim.counts.workers_peak,
            "css_refs": sim.counts.css_refs,
            "allocations": <int64_t> sim.attempts,
            "leaked_refs": sim.counts.leaked_refs,
            "delays": sim.counts.delays,
            "delayed_ns": sim.counts.delayed_ns,
            "end_ns": sim.end_ns,
        }
