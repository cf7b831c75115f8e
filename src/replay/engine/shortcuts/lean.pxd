"""Requests whose end is known when they arrive: the lean path.

Where workers do the I/O themselves and nothing but its worker can hold a request (no
limit on memory or I/O, no lock, no tags, no model of a device), and nobody asks what
happened between two moments, a request is counted when it arrives, without an event and
without a place in `Sim.requests`. What remains are who touches a page first
(`shortcuts/lean_pages.pxd`) and which worker has idled for a minute (`shortcuts/lean_workers.pxd`). All
tables are those of the events in `run/loop.pxd`.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc

from replay.engine.counting.charges cimport (
    account_find,
    account_of,
    count_charged,
    count_completed,
    count_unissued,
)
from replay.engine.driver.workers cimport io_payer_of, memory_payer_of
from replay.engine.shortcuts.flats cimport flats_tell
from replay.engine.shortcuts.lean_pages cimport (
    prefetch_pages,
    row_settles,
    row_touches,
    settled_open,
    settled_reopen,
    touches_run,
)
from replay.engine.shortcuts.lean_rows cimport MIN_ROWS, row_hold, rows_fold
from replay.engine.shortcuts.lean_workers cimport (
    FIRST_ENDS,
    lean_at,
    lean_begin,
    lean_pick,
    lean_timers,
    lean_workers_end,
    usual_worker,
)
from replay.engine.shortcuts.prefetch_rows cimport prefetch_rows
from replay.engine.state.entries cimport account_at
from replay.engine.state.events cimport max_event_ns
from replay.engine.state.failed cimport run_failed
from replay.engine.state.halting cimport ROW_WORK, goes_on
from replay.engine.state.lean cimport (
    Lean,
    LeanCommand,
    LeanDevice,
    LeanRow,
    LeanTouch,
    LeanWorker,
)
from replay.engine.state.row_checks cimport (
    enters_driver,
    row_arrives,
    row_is_plain,
    row_replayed,
    run_goes_on,
)
from replay.engine.state.rows cimport Columns
from replay.engine.state.sim cimport (
    SHORTCUT_LEAN,
    SIM_END_RANGE,
    SIM_NO_MEMORY,
    Account,
    Request,
    Sim,
)
from replay.engine.structures.arena cimport arena_add, arena_open
from replay.engine.structures.heap cimport heap_open
from replay.engine.structures.log cimport log_open


cdef inline int lean_open(Sim *sim) except -1:
    """Make the state of the lean path if it is taken; the rest of the run's is open."""
    cdef Lean *lean = &sim.lean
    cdef uint32_t i, _i
    if sim.set.shortcut != SHORTCUT_LEAN:
        return 0
    arena_open(&lean.workers, sizeof(LeanWorker), &sim.failed)
    arena_open(&lean.ends, sizeof(int64_t), &sim.failed)
    arena_open(&lean.touches, sizeof(LeanTouch), &sim.failed)
    heap_open(&lean.order, &sim.failed)
    lean.timer_ns = max_event_ns()
    lean.devices = <LeanDevice *> calloc(sim.n_devices, sizeof(LeanDevice))
    lean.n_issuers = <uint32_t *> calloc(sim.n_cgroups, sizeof(uint32_t))
    if (
        lean.devices == NULL
        or lean.n_issuers == NULL
        or not log_open(&lean.rows, MIN_ROWS, sizeof(LeanRow))
        or sim.failed.no_memory
    ):
        raise MemoryError
    for _i in range(1, FIRST_ENDS):
        arena_add(&lean.ends)       # each ring lies in a line of memory
    for i in range(sim.n_devices):
        lean.devices[i].idled_ns = -1
    for i in range(sim.n_cgroups):
        lean.n_issuers[sim.blkcg[i]] += 1
    return 0


cdef inline bint row_usual(
    const Sim *sim,
    const Columns *columns,
    int64_t i,
    int64_t now,
    LeanCommand *command,
) noexcept nogil:
    """Find who serves a row that is like most; return True if it is one.

    A plain row of an account whose worker, charge and latencies are there.
    """
    cdef uint32_t issuer = columns.issuer[i]
    cdef uint32_t device = columns.device[i]
    cdef const Account *account
    if not row_is_plain(sim, columns, i):
        return False
    command.account = account_find(sim, issuer, device)
    command.worker = usual_worker(sim, command.account, device)
    command.io_payer = io_payer_of(sim, sim.blkcg[issuer], False)
    command.memory_payer = memory_payer_of(sim, sim.blkcg[issuer])
    account = account_at(sim, command.account)
    # an account that has latencies has a worker
    return (
        account.latency[columns.op[i]] != 0
        and lean_at(sim, command.worker).free_ns >= 0
        and account.charge_payer == command.io_payer
    )


cdef inline bint row_odd(
    Sim *sim, const Columns *columns, int64_t i, int64_t now, LeanCommand *command
) noexcept nogil:
    """Find who serves any row; return True if the driver sees it.

    Stops the run if it is beyond the setup.
    """
    cdef Request request
    if not row_replayed(sim, columns, i):
        return False
    sim.end_ns = max(sim.end_ns, now)
    request.row = columns.row[i]
    request.device = columns.device[i]
    request.op = <uint8_t> columns.op[i]
    request.nbytes = columns.nbytes[i]
    request.n_bios = columns.n_bios[i]
    request.issuer = columns.issuer[i]
    request.account = account_of(sim, request.issuer, request.device)
    if not enters_driver(sim, columns, i):
        sim.counts.unissued += 1
        count_unissued(sim, &request)
        return False
    command.account = request.account
    command.worker = lean_pick(sim, &request, now)
    command.io_payer = request.io_payer
    command.memory_payer = request.memory_payer
    return True


cdef inline void row_count(
    Sim *sim,
    const Columns *columns,
    int64_t i,
    const LeanCommand *command,
    int64_t now,
    int64_t prior_ns,
    int64_t begin,
    int64_t done_ns,
) noexcept nogil:
    """Count one row by itself."""
    cdef Request request
    sim.counts.requests += 1
    request.row = columns.row[i]
    request.device = columns.device[i]
    request.op = <uint8_t> columns.op[i]
    request.nbytes = columns.nbytes[i]
    request.n_bios = columns.n_bios[i]
    request.issuer = columns.issuer[i]
    request.account = command.account
    request.io_payer = command.io_payer
    count_charged(sim, &request)
    request.known = columns.service_ns[i] >= 0
    request.error = 0
    request.arrival_ns = request.queued_ns = request.tag_ns = now
    request.dispatch_ns = now
    request.start_ns = request.lock_ns = request.device_ns = begin
    request.served_ns = done_ns
    request.memory_ns = 0
    request.prior_ns = prior_ns
    request.debt_ns = 0
    count_completed(sim, &request, done_ns)


cdef inline void lean_row(
    Sim *sim, const Columns *columns, int64_t i, int64_t now
) noexcept nogil:
    """A row arrives: all of it is counted, but for the pages that it touches first."""
    cdef LeanCommand command
    cdef bint usual = row_usual(sim, columns, i, now, &command)
    cdef int64_t service_ns = max(0, columns.service_ns[i])
    cdef int64_t prior_ns = 0
    cdef int64_t begin, done_ns
    sim.lean.settled_ns[i] = 0
    if not usual and not row_odd(sim, columns, i, now, &command):
        return
    begin = lean_begin(
        sim, command.worker, columns.device[i], command.account, service_ns, now
    )
    done_ns = begin + service_ns
    if done_ns >= max_event_ns():
        sim.status = SIM_END_RANGE
        return
    sim.end_ns = max(sim.end_ns, done_ns)
    if sim.set.as_queued and 0 <= columns.queue_ns[i] < columns.issue_ns[i]:
        prior_ns = columns.issue_ns[i] - columns.queue_ns[i]
    if usual and max(begin - now, prior_ns) <= <int64_t> 0xFFFFFFFF:
        row_hold(
            sim,
            columns,
            i,
            command.account,
            <uint32_t> prior_ns,
            <uint32_t> (begin - now),
        )
    else:
        row_count(sim, columns, i, &command, now, prior_ns, begin, done_ns)
    if not usual or not row_settles(sim, columns, i, done_ns):
        row_touches(
            sim, columns, i, command.worker, command.memory_payer, now, done_ns
        )


cdef inline void lean_rows(Sim *sim, const Columns *columns) noexcept nogil:
    """Replay the rows of a batch in their order, as `run_rows` does."""
    cdef int64_t i, now
    if not settled_open(&sim.lean, columns.n_rows):
        sim.status = SIM_NO_MEMORY
        return
    for i in range(columns.n_rows):
        now = columns.issue_ns[i] if columns.issue_ns[i] >= 0 else columns.queue_ns[i]
        if row_arrives(sim, columns, i, now):
            prefetch_rows(sim, columns, i)
            if sim.lean.wide:
                prefetch_pages(sim, columns, i)
            if now >= sim.lean.timer_ns:
                lean_timers(sim, now)
            lean_row(sim, columns, i, now)
        if not (run_goes_on(sim, columns, i) and goes_on(sim, ROW_WORK)):
            return
    # what may still find its pages gone needs the batch no more
    settled_reopen(sim, columns, columns.n_rows, sim.last_ns)
    run_failed(sim)


cdef inline void lean_end(Sim *sim) noexcept nogil:
    """All rows were given: what was put off is done."""
    # those at the end itself come behind the last request
    lean_timers(sim, sim.end_ns - 1)
    rows_fold(sim)
    flats_tell(sim)
    touches_run(sim, max_event_ns())
    lean_workers_end(sim)
