"""Timers of limits: what waited for ``io.max`` or ``io.weight`` goes on."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from replay.engine.controllers.iocost cimport bio_cgroup, iocost_device, iocost_wake
from replay.engine.controllers.iocost_period cimport run_period
from replay.engine.controllers.iolatency cimport (
    iolatency_climb,
    iolatency_device,
    iolatency_timer,
)
from replay.engine.controllers.iomax cimport iomax_dispatch
from replay.engine.controllers.splits cimport rest_passes
from replay.engine.counting.waits cimport wait_add
from replay.engine.run.stages cimport (
    enter_queue,
    issues_above,
    issues_below,
    iomax_below,
    next_command,
    serve,
    start,
)
from replay.engine.state.entries cimport worker_at
from replay.engine.state.iolatency cimport IolatencyDevice
from replay.engine.state.requests cimport controls_of, request_at
from replay.engine.state.sim cimport (
    EVENT_IOCOST,
    EVENT_PERIOD,
    EVENT_IOMAX,
    EVENT_WOKEN,
    RESOURCE_THROTTLE,
    Request,
    Sim,
)


cdef inline void iomax_event(
    Sim *sim, int32_t index, uint32_t version, int64_t now
) noexcept nogil:
    """Let what a group's limits held back go on."""
    cdef uint32_t slot, following
    cdef const Request *request
    if version != sim.iomax[index].version:
        return
    iomax_dispatch(sim, index, now)
    slot = sim.passed_first
    sim.passed_first = sim.passed_last = 0
    while slot != 0:
        request = request_at(sim, slot)
        following = request.next
        if request.start_ns < 0:
            if issues_above(sim, slot, now):
                enter_queue(sim, slot, now)
        elif rest_passes(
            sim, slot, iomax_below(sim, request.io_payer), now
        ) and issues_below(sim, slot, False, now):
            serve(sim, slot, now)
        slot = following


cdef inline bint goes_on(Sim *sim, uint32_t slot, bint above, int64_t now) noexcept nogil:
    """Charge a wait that is over; return True if the request need not wait again."""
    cdef const Request *request = request_at(sim, slot)
    cdef uint32_t cgroup = bio_cgroup(sim, request) if above else request.io_payer
    cdef IolatencyDevice *device = iolatency_device(sim, request.device if above else -1)
    cdef int32_t waited_at = -1 if device == NULL else controls_of(sim, slot).waits_at
    wait_add(
        sim,
        request.issuer,
        cgroup if waited_at < 0 else <uint32_t> waited_at,
        RESOURCE_THROTTLE,
        now - request.throttled_from_ns,
        1,
    )
    if device == NULL:
        return True
    return iolatency_climb(
        sim,
        device,
        slot,
        <int32_t> cgroup if waited_at < 0 else device.groups[waited_at].parent,
        above or sim.set.pass_through,
        now,
    )


cdef inline void woken_event(Sim *sim, int64_t now) noexcept nogil:
    """Let those go on whose cgroup has budget or a place in flight for them."""
    cdef uint32_t slot = sim.woken_first
    cdef uint32_t following, worker_index, issuer
    cdef Request *request
    cdef bint above
    sim.woken_first = sim.woken_last = 0
    while slot != 0:
        request = request_at(sim, slot)
        following = request.next
        above = request.start_ns < 0
        issuer = request.issuer
        if not goes_on(sim, slot, above, now):
            pass
        elif above:
            enter_queue(sim, slot, now)
        elif request.holds_worker:
            worker_index = request.worker
            worker_at(sim, worker_index).busy_ns += now - request.start_ns
            serve(sim, slot, now)
            start(sim, next_command(sim, worker_index, issuer, now), now)
        else:
            serve(sim, slot, now)
        slot = following


cdef inline void controller_event(
    Sim *sim, uint64_t kind, uint64_t sequence, uint32_t payload, int64_t now
) noexcept nogil:
    """Run one of the limits' timers."""
    cdef int place
    if kind == EVENT_IOMAX:
        iomax_event(sim, <int32_t> sequence, payload, now)
    elif kind == EVENT_WOKEN:
        woken_event(sim, now)
    elif kind == EVENT_IOCOST:
        place = <int> (sequence // sim.n_cgroups) - 1
        iocost_wake(
            sim,
            iocost_device(sim, place),
            <uint32_t> (sequence % sim.n_cgroups),
            payload,
            now,
        )
    elif kind == EVENT_PERIOD:
        run_period(sim, iocost_device(sim, <int> sequence - 1), now)
    else:
        iolatency_timer(sim, iolatency_device(sim, <int> sequence - 1), now)
