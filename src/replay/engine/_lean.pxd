"""Requests whose end is known when they arrive: the lean path.

Where workers do the I/O themselves and nothing but its worker can hold a request (no
limit on memory or I/O, no lock, no tags, no model of a device), and nobody asks what
happened between two moments, a request is counted when it arrives, without an event and
without a place in `Sim.requests`. What remains are who touches a page first
(`_lean_pages.pxd`) and which worker has idled for a minute (`_lean_workers.pxd`). All
tables are those of the events in `_loop.pxd`.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc

from replay.engine._accounts cimport (
    account_of,
    count_charged,
    count_completed,
    io_add,
)
from replay.engine._arena cimport arena_open
from replay.engine._heap cimport heap_open
from replay.engine._lean_pages cimport MIN_SETTLED, lean_touch, touches_run
from replay.engine._lean_types cimport (
    Lean,
    LeanDevice,
    LeanEnd,
    LeanTouch,
    LeanWorker,
    lean_failed,
)
from replay.engine._lean_workers cimport (
    lean_begin,
    lean_pick,
    lean_timers_end,
    lean_workers_end,
)
from replay.engine._rows cimport enters_driver, row_replayed
from replay.engine._streams cimport max_event_ns
from replay.engine._types cimport (
    POLICY_PER_CGROUP,
    SIM_END_RANGE,
    Account,
    Columns,
    Request,
    Sim,
)


cdef inline bint lean_fits(const Sim *sim, setup) except -1:
    """Tell whether a run's requests end when they would, whatever the others do."""
    return (
        not sim.set.direct_io
        and sim.set.policy <= POLICY_PER_CGROUP
        and sim.set.keeps_idle
        and not sim.set.limits_active
        and setup.mode == 0     # recorded arrivals
        and not sim.set.by_queue
        and not sim.set.lock_on
        and not sim.set.device_on
        and not sim.set.cache_on
        and not sim.set.issue_limits
        and len(setup.throttle_cgroup) == 0
        and sim.n_tasks == 0
        and not (
            sim.set.pages_on
            and (
                setup.fs_pages >= 0
                or (setup.memory_max >= 0).any()
                or (setup.memory_high >= 0).any()
            )
        )
        and not sim.set.want_requests
        and setup.interval_ns == 0
    )


cdef inline int lean_open(Sim *sim, setup) except -1:
    """Take the lean path if a run can; the rest of its state is open."""
    cdef Lean *lean = &sim.lean
    cdef uint32_t i
    sim.set.lean = lean_fits(sim, setup)
    if not sim.set.lean:
        return 0
    arena_open(&lean.workers, sizeof(LeanWorker))
    arena_open(&lean.ends, sizeof(LeanEnd))
    arena_open(&lean.touches, sizeof(LeanTouch))
    arena_open(&lean.settled, sizeof(LeanTouch))
    heap_open(&lean.order)
    lean.most_settled = MIN_SETTLED
    lean.devices = <LeanDevice *> calloc(sim.n_devices, sizeof(LeanDevice))
    lean.n_issuers = <uint32_t *> calloc(sim.n_cgroups, sizeof(uint32_t))
    if lean.devices == NULL or lean.n_issuers == NULL or lean_failed(lean):
        raise MemoryError
    for i in range(sim.n_devices):
        lean.devices[i].idled_ns = -1
    for i in range(sim.n_cgroups):
        lean.n_issuers[sim.blkcg[i]] += 1
    return 0


cdef inline void lean_row(
    Sim *sim, const Columns *columns, int64_t i, int64_t now
) noexcept nogil:
    """A row arrives: all of it is counted, but for the pages that it touches first."""
    cdef Request request
    cdef int64_t begin, done_ns
    if not row_replayed(sim, columns, i):
        return
    request.row = columns.row[i]
    request.device = columns.device[i]
    request.op = <unsigned char> columns.op[i]
    request.sector = columns.sector[i]
    request.nbytes = columns.nbytes[i]
    request.n_bios = columns.n_bios[i]
    request.issuer = columns.issuer[i]
    request.service_ns = max(0, columns.service_ns[i])
    request.account = account_of(sim, request.issuer, request.device)
    if not enters_driver(sim, columns, i):
        sim.end_ns = max(sim.end_ns, now)
        sim.counts.unissued += 1
        io_add(
            ((<Account *> sim.accounts.data) + request.account).unissued,
            request.op,
            request.nbytes,
            request.n_bios,
        )
        return
    sim.counts.requests += 1
    lean_pick(sim, &request, now)
    count_charged(sim, &request)
    begin = lean_begin(sim, &request, now)
    done_ns = begin + request.service_ns
    if done_ns >= max_event_ns():
        sim.status = SIM_END_RANGE
        return
    sim.end_ns = max(sim.end_ns, done_ns)
    request.known = columns.service_ns[i] >= 0
    request.error = 0
    request.arrival_ns = request.tag_ns = request.dispatch_ns = now
    request.start_ns = request.lock_ns = request.device_ns = begin
    request.served_ns = done_ns
    request.memory_ns = 0
    count_completed(sim, &request, done_ns)
    lean_touch(sim, &request, now, done_ns)


cdef inline void lean_end(Sim *sim) noexcept nogil:
    """All rows were given: what was put off is done."""
    lean_timers_end(sim)
    touches_run(sim, max_event_ns())
    lean_workers_end(sim)
