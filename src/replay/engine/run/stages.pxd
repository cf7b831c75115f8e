"""The stages of a request on its way in: limits, tag, worker, lock, device."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from replay.engine.controllers.backcharge cimport backcharge
from replay.engine.controllers.bfq cimport bfq_enter, bfq_leave
from replay.engine.controllers.iocost cimport (
    bio_cgroup,
    iocost_device,
    iocost_enter,
    is_asked_flush,
)
from replay.engine.controllers.iolatency cimport iolatency_climb, iolatency_device
from replay.engine.controllers.iomax cimport iomax_enter
from replay.engine.controllers.splits cimport rest_passes
from replay.engine.counting.charges cimport count_charged, count_completed
from replay.engine.disk.disk cimport disk_enter, disk_run, disk_serve
from replay.engine.driver.nested cimport descend, goes_down, is_inside
from replay.engine.driver.policies cimport policy_pick
from replay.engine.driver.submits cimport is_disk, is_outer, only_submits
from replay.engine.driver.workers cimport worker_idles, worker_pick
from replay.engine.queues.server cimport server_enter, server_leave
from replay.engine.queues.shared_lock cimport shared_enter, shared_next_finish
from replay.engine.shortcuts.bulk cimport bulk_ready
from replay.engine.state.entries cimport worker_at
from replay.engine.state.events cimport max_event_ns, push
from replay.engine.state.iocost cimport RequestControls
from replay.engine.state.iolatency cimport IolatencyDevice
from replay.engine.state.queues cimport SharedLock
from replay.engine.state.requests cimport controls_of, request_at
from replay.engine.state.sim cimport (
    EVENT_COMPLETE,
    EVENT_LOCK,
    EVENT_TIMER,
    OP_DISCARD,
    OP_FLUSH,
    OP_WRITE,
    OP_WRITE_ZEROES,
    POLICY_PER_CGROUP,
    SHORTCUT_BULK,
    Request,
    Sim,
    Worker,
)
from replay.engine.state.streams cimport stream_foresees


cdef inline void served_early(
    Sim *sim, Request *request, int64_t done_ns
) noexcept nogil:
    """Count direct I/O when it is served: its end changes nothing for others.

    Nobody waits for its place, and it touches no page.
    """
    request.served_ns = done_ns
    sim.end_ns = max(sim.end_ns, done_ns)
    count_completed(sim, request, done_ns)
    sim.counts.in_flight -= 1
    stream_foresees(sim, request.stream, request.starts, done_ns)
    if sim.set.shortcut == SHORTCUT_BULK:
        bulk_ready(sim, request)


cdef inline void served_from(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """The device works on the request."""
    cdef Request *request = request_at(sim, slot)
    cdef int64_t done_ns = now + request.service_ns
    if request.counts_early and done_ns < max_event_ns():
        served_early(sim, request, done_ns)
        request.next = sim.free_request
        sim.free_request = slot
        return
    push(sim, done_ns, EVENT_COMPLETE, request.row, slot)


cdef inline bint device_enter(
    Sim *sim, unsigned int device, uint32_t slot, int64_t now
) noexcept nogil:
    """Take a place of the device and return True, or wait for one."""
    if sim.bfq != NULL and not sim.set.places_are_processors:
        return bfq_enter(sim, device, slot, now)
    return server_enter(sim, &sim.devices[device].device, slot, now)


cdef inline uint32_t device_leave(
    Sim *sim, unsigned int device, uint32_t issuer, int64_t now
) noexcept nogil:
    """Give a place of the device back; return the slot that gets it, 0 if none waits."""
    if sim.bfq != NULL and not sim.set.places_are_processors:
        return bfq_leave(sim, device, issuer, now)
    return server_leave(sim, &sim.devices[device].device, issuer, now)


cdef inline void serve(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Wait for a place in the device, then be served."""
    cdef Request *request = request_at(sim, slot)
    request.device_ns = now
    if is_outer(sim, request):
        if goes_down(request):
            descend(sim, slot, now)
        else:
            served_from(sim, slot, now)
        return
    if is_disk(sim, request.device):
        disk_serve(sim, slot, now)
        return
    if sim.set.device_on and not device_enter(sim, request.device, slot, now):
        return
    served_from(sim, slot, now)


cdef inline void schedule_lock(Sim *sim, uint32_t device) noexcept nogil:
    """Find out when the shared lock's first holder is done.

    An event that comes too early asks again, so there is mostly one at a time.
    """
    cdef SharedLock *lock = &sim.devices[device].shared
    lock.finish_ns = -1
    if lock.holders.length > 0 and lock.frozen_ns < 0:
        lock.finish_ns = shared_next_finish(lock)
        if lock.event_ns < 0 or lock.finish_ns < lock.event_ns:
            lock.event_ns = lock.finish_ns
            push(sim, lock.finish_ns, EVENT_LOCK, device, 0)


cdef inline void take_lock(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Take the backing file's lock where the operation needs it alone."""
    cdef Request *request = request_at(sim, slot)
    if is_outer(sim, request) or not sim.set.lock_on or not (
        request.op == OP_WRITE
        or request.op == OP_DISCARD
        or request.op == OP_WRITE_ZEROES
    ):
        request.lock_ns = now
        serve(sim, slot, now)
        return
    if sim.set.lock_shared:
        request.shares_lock = True
        shared_enter(sim, &sim.devices[request.device].shared, slot, now)
        schedule_lock(sim, request.device)
        return
    request.holds_lock = True
    if server_enter(sim, &sim.devices[request.device].lock, slot, now):
        request.lock_ns = now
        serve(sim, slot, now)


cdef inline uint32_t next_command(
    Sim *sim, uint32_t worker_index, uint32_t issuer, int64_t now
) noexcept nogil:
    """The worker is done with a command: return the next, or idle and return 0.

    Where few workers may run at once, the one that idles makes room for another one,
    whose first command is the next.
    """
    cdef Worker *worker = worker_at(sim, worker_index)
    cdef uint32_t successor = server_leave(sim, &worker.server, issuer, now)
    if successor == 0 and worker_idles(sim, worker_index, now):
        push(
            sim,
            sim.devices[worker.device].timer_ns,
            EVENT_TIMER,
            worker.device,
            0,
        )
    if successor == 0 and sim.set.limits_active:
        successor = server_leave(
            sim, &sim.devices[worker.device].active, issuer, now
        )
    return successor


cdef inline void start(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Let a worker handle its next commands until one keeps it busy."""
    cdef Request *request
    cdef uint32_t issuer, worker_index
    cdef int32_t index
    while slot != 0:
        request = request_at(sim, slot)
        request.start_ns = now
        if not only_submits(sim, request):
            take_lock(sim, slot, now)
            return
        request.lock_ns = now
        issuer = request.issuer
        worker_index = request.worker
        if is_outer(sim, request):
            serve(sim, slot, now)
            slot = next_command(sim, worker_index, issuer, now)
            continue
        index = iomax_below(sim, request.io_payer)
        if index < 0 or (
            iomax_enter(sim, slot, index, now) and rest_passes(sim, slot, index, now)
        ):
            if issues_below(sim, slot, not sim.set.pass_through, now):
                serve(sim, slot, now)
            elif not sim.set.pass_through:
                return
        slot = next_command(sim, worker_index, issuer, now)


cdef inline bint issues(
    Sim *sim, uint32_t slot, int place, uint32_t cgroup, bint is_bio, int64_t now
) noexcept nogil:
    """Take budget and a place in flight and return True, or wait for them."""
    cdef RequestControls *controls
    cdef IolatencyDevice *device = iolatency_device(sim, place)
    if sim.n_iolatencies > 0:
        controls = controls_of(sim, slot)
        controls.issued_ns[place < 0] = now
        controls.waits_at = -1
    if not iocost_enter(sim, iocost_device(sim, place), slot, cgroup, is_bio, now):
        return False
    return device == NULL or iolatency_climb(
        sim, device, slot, <int32_t> cgroup, is_bio, now
    )


cdef inline bint issues_below(
    Sim *sim, uint32_t slot, bint holds_worker, int64_t now
) noexcept nogil:
    """Issue on the device below and return True, or wait for budget or a place.

    What ``io.max`` held back is submitted by another thread, not by the worker; with
    policy `pass-through` there is none.
    """
    cdef Request *request
    if not sim.set.issue_controllers:
        return True
    request = request_at(sim, slot)
    request.holds_worker = holds_worker
    if sim.set.backcharges:
        backcharge(sim, slot, now)
    return issues(sim, slot, -1, request.io_payer, sim.set.pass_through, now)


cdef inline bint issues_above(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Issue on the traced device and return True, or wait for budget or a place."""
    cdef const Request *request
    cdef uint32_t cgroup
    if not sim.set.issue_controllers:
        return True
    request = request_at(sim, slot)
    cgroup = bio_cgroup(sim, request)
    if sim.set.iocost_flush_costs and is_asked_flush(request):
        cgroup = sim.blkcg[request.issuer]
    return issues(sim, slot, request.device, cgroup, True, now)


cdef inline void dispatch(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Hand the command to its worker."""
    cdef uint32_t worker_index
    cdef Request *request = request_at(sim, slot)
    if sim.set.policy <= POLICY_PER_CGROUP:
        worker_index = worker_pick(sim, request, now)
    else:
        worker_index = policy_pick(sim, slot, now)
    request.dispatch_ns = now
    count_charged(sim, request)
    if not server_enter(sim, &worker_at(sim, worker_index).server, slot, now):
        return
    if sim.set.limits_active and not server_enter(
        sim, &sim.devices[request.device].active, slot, now
    ):
        return
    start(sim, slot, now)


cdef inline int32_t iomax_below(const Sim *sim, uint32_t cgroup) noexcept nogil:
    """Return the nearest limit of a cgroup on the device below, -1 for none."""
    return -1 if sim.iomax_of[0] == NULL else sim.iomax_of[0][cgroup]


cdef inline int32_t iomax_above(const Sim *sim, const Request *request) noexcept nogil:
    """Return the nearest limit of an issuer on the traced device, -1 for none."""
    cdef const int32_t *groups = sim.iomax_of[request.device + 1]
    if groups == NULL:
        return -1
    if request.op == OP_FLUSH and not sim.set.pass_through:
        return groups[0]    # it has no bio and so no cgroup
    return groups[sim.blkcg[request.issuer]]


cdef inline void arrive(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Begin: by queue events at the traced device's own limits."""
    cdef Request *request = request_at(sim, slot)
    request.arrival_ns = now
    if (sim.set.by_queue or is_inside(sim, slot)) and not (
        iomax_enter(sim, slot, iomax_above(sim, request), now)
        and issues_above(sim, slot, now)
    ):
        return
    enter_queue(sim, slot, now)


cdef inline void enter_queue(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Wait in the traced device's queue, if it is a plain disk."""
    cdef Request *request = request_at(sim, slot)
    request.queued_ns = now
    if is_disk(sim, request.device):
        disk_enter(sim, request.device, slot, now)
        run_queue(sim, request.device, now)
        return
    take_tag(sim, slot, now)


cdef inline void run_queue(Sim *sim, unsigned int device, int64_t now) noexcept nogil:
    """Issue what a disk has room for."""
    cdef uint32_t slot = disk_run(sim, device, now)
    cdef uint32_t following
    while slot != 0:
        following = request_at(sim, slot).next
        request_at(sim, slot).tag_ns = now
        dispatch(sim, slot, now)
        slot = following


cdef inline void take_tag(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Enter the driver; by queue events, once a tag is free."""
    cdef Request *request = request_at(sim, slot)
    request.tag_ns = now
    if (sim.set.by_queue or is_inside(sim, slot)) and not server_enter(
        sim, &sim.devices[request.device].tags, slot, now
    ):
        return
    dispatch(sim, slot, now)
