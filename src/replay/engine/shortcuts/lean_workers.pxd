"""Workers of the lean path: when each is free is known as soon as a command arrives.

A command begins when its worker is done with all before it. Its wait is charged to
those it waited behind, once for each of their ends; where a worker has one issuer that
is itself, and a matter of counting the ends to come. Where it has several, the queue
that all servers share says who (`queues/server.pxd`), but only when the next command comes.

An idle moment is noted when it is over. Only the timer that frees idle workers asks for
it: it is armed by the first, and runs a minute later.
"""

from libc.stdint cimport int64_t, uint32_t

from replay.engine.counting.waits cimport wait_add
from replay.engine.driver.workers cimport (
    has_own_worker,
    idle_ns,
    worker_pick,
    workers_reap,
)
from replay.engine.queues.server cimport server_enter, server_leave
from replay.engine.state.entries cimport account_at, worker_at
from replay.engine.state.events cimport max_event_ns, push
from replay.engine.state.halting cimport EVENT_WORK, goes_on
from replay.engine.state.lean cimport Lean, LeanDevice, LeanWorker
from replay.engine.state.requests cimport request_at, request_new
from replay.engine.state.sim cimport (
    EVENT_TIMER,
    OP_READ,
    RESOURCE_WORKER,
    SIM_NO_MEMORY,
    WORKER_IDLES,
    Account,
    Device,
    Request,
    Sim,
    Worker,
)
from replay.engine.structures.arena cimport arena_add, check, index_in
from replay.engine.structures.heap cimport Event, heap_first, heap_pop


cdef enum:
    # 64 bytes, a line of memory
    FIRST_ENDS = 8


cdef inline LeanWorker *lean_at(const Sim *sim, uint32_t index) noexcept nogil:
    """Return what the lean path knows of a worker."""
    return (<LeanWorker *> sim.lean.workers.data) + index_in(&sim.lean.workers, index)


cdef inline void lean_watch(Sim *sim, uint32_t device, int64_t now) noexcept nogil:
    """Look in a minute whether any worker has idled meanwhile."""
    sim.lean.devices[device].watched = now + idle_ns() < max_event_ns()
    if sim.lean.devices[device].watched:
        push(sim, now + idle_ns(), EVENT_TIMER, device, 0)
        sim.lean.timer_ns = min(sim.lean.timer_ns, now + idle_ns())


cdef inline uint32_t usual_worker(
    const Sim *sim, uint32_t account, unsigned int device
) noexcept nogil:
    """Return the worker that an account's reads and writes had last, 0 for none."""
    cdef const Account *of = account_at(sim, account)
    if has_own_worker(sim, sim.blkcg[of.issuer], OP_READ):
        return of.worker
    return sim.devices[device].root_worker


cdef inline uint32_t room_of(const LeanWorker *worker) noexcept nogil:
    """Return how many ends a worker's ring holds."""
    return <uint32_t> 1 << worker.room_shift


cdef inline void ends_grow(Lean *lean, LeanWorker *worker) noexcept nogil:
    """Make room for the ends of more commands; the old place is left behind."""
    cdef uint32_t old = room_of(worker)
    cdef uint32_t room = max(<uint32_t> FIRST_ENDS, 2 * old)
    cdef uint32_t ring = arena_add(&lean.ends)
    cdef int64_t *ends
    cdef uint32_t i, at, _i
    for _i in range(1, room):
        arena_add(&lean.ends)
    if lean.ends.failed.no_memory:
        worker.first = worker.end   # the run stops soon
        return
    ends = <int64_t *> lean.ends.data
    for i in range(worker.end - worker.first):
        at = worker.first + i       # may wrap around
        ends[ring + (at & (room - 1))] = ends[worker.ring + (at & (old - 1))]
    worker.ring = ring
    while room_of(worker) < room:
        worker.room_shift += 1


cdef inline uint32_t lean_pick(Sim *sim, Request *request, int64_t now) noexcept nogil:
    """Choose the worker of any request, and with it who pays."""
    cdef uint32_t index = worker_pick(sim, request, now)
    cdef uint32_t device = request.device
    cdef LeanWorker *worker
    worker_at(sim, index).commands -= 1     # counted here, as all others
    if index < sim.lean.workers.length:
        return index
    while sim.lean.workers.length <= index:
        if arena_add(&sim.lean.workers) == 0:
            # at once: the next row would look for the worker
            sim.status = SIM_NO_MEMORY
            return 0
    worker = lean_at(sim, index)
    worker.free_ns = now
    # as the kernel's jiffies: that it wraps around must not wait for a long run
    worker.first = worker.end = <uint32_t> -16
    worker.issuer = request.issuer
    worker.shared = sim.n_cgroups > 1 and (
        worker_at(sim, index).kind != WORKER_IDLES
        or sim.lean.n_issuers[worker_at(sim, index).cgroup] != 1
    )
    if sim.devices[device].timer_ns < 0 and not sim.lean.devices[device].watched:
        lean_watch(sim, device, now)
    return index


cdef inline void ends_pass(
    Lean *lean, LeanWorker *worker, int64_t now, bint lasts
) noexcept nogil:
    """Forget a busy worker's ends that have passed; count those to come.

    The end of the last command is appended behind the ring; it is kept (`lasts`) if a
    command with service time follows. Usually at most two ends have passed, so three are
    tested branch-free.
    """
    cdef int64_t *ring
    cdef uint32_t mask, first
    if worker.ring == 0 or worker.end - worker.first == room_of(worker):
        ends_grow(lean, worker)
    ring = (<int64_t *> lean.ends.data) + index_in(&lean.ends, worker.ring)
    mask = room_of(worker) - 1
    ring[worker.end & mask] = worker.free_ns    # to come: nothing is passed beyond it
    first = worker.first
    first += ring[first & mask] <= now
    first += ring[first & mask] <= now
    first += ring[first & mask] <= now
    while ring[first & mask] <= now:
        first += 1
    worker.first = first
    worker.wait_count += worker.end - first + 1
    worker.end += lasts


cdef inline void line_leave(
    Sim *sim, uint32_t index, LeanWorker *worker, int64_t now
) noexcept nogil:
    """Charge what was waited at a worker of several issuers up to now."""
    cdef uint32_t slot = worker.serving
    cdef Request *request
    while slot != 0 and request_at(sim, slot).served_ns <= now:
        request = request_at(sim, slot)
        worker.serving = server_leave(
            sim, &worker_at(sim, index).server, request.issuer, request.served_ns
        )
        request.next = sim.free_request
        sim.free_request = slot
        slot = worker.serving


cdef inline void line_enter(
    Sim *sim,
    uint32_t index,
    LeanWorker *worker,
    uint32_t account,
    int64_t now,
    int64_t until,
) noexcept nogil:
    """Stand in the queue of a worker of several issuers, which is free at `until`."""
    cdef uint32_t slot = request_new(sim)
    cdef Request *request = request_at(sim, slot)
    request.account = account
    request.issuer = account_at(sim, account).issuer
    request.served_ns = until
    if server_enter(sim, &worker_at(sim, index).server, slot, now):
        worker.serving = slot


cdef inline void lean_idled(
    Sim *sim, uint32_t index, unsigned int device, int64_t free_ns
) noexcept nogil:
    """A worker idled from `free_ns` on, and no timer is armed: note the first of them.

    What its Worker says, another line of memory, is asked for last: hardly ever.
    """
    cdef LeanDevice *idles = &sim.lean.devices[device]
    if (
        not 0 <= idles.idled_ns <= free_ns
        and lean_at(sim, index).commands > 0
        and worker_at(sim, index).kind == WORKER_IDLES
    ):
        idles.idled_ns = free_ns


cdef inline int64_t lean_begin(
    Sim *sim,
    uint32_t index,
    unsigned int device,
    uint32_t account,
    int64_t service_ns,
    int64_t now,
) noexcept nogil:
    """Give a command to its worker; return when it begins, as soon as that is free."""
    cdef Lean *lean = &sim.lean
    cdef LeanWorker *worker = lean_at(sim, index)
    cdef int64_t begin = max(now, worker.free_ns)
    cdef int64_t until = begin + service_ns
    if worker.free_ns <= now and sim.devices[device].timer_ns < 0:
        lean_idled(sim, index, device, worker.free_ns)
    if worker.shared:
        line_leave(sim, index, worker, now)
        if until > now:
            line_enter(sim, index, worker, account, now, until)
    else:
        if worker.free_ns > now:
            worker.wait_ns += begin - now
            # who comes later waits for it; what takes no time nobody waits for
            ends_pass(lean, worker, now, service_ns > 0)
        else:
            worker.first = worker.end
    check(&sim.failed, until >= worker.free_ns)
    worker.busy_ns += service_ns
    worker.commands += 1
    worker.free_ns = until
    return begin


cdef inline int64_t first_idle(Sim *sim, uint32_t index, int64_t now) noexcept nogil:
    """Tell every worker of a device since when it idles.

    Returns
    -------
    int64_t
        The first idle moment since the timer ran out, -1 if there was none.
    """
    cdef int64_t first = sim.lean.devices[index].idled_ns
    cdef uint32_t at = sim.devices[index].workers
    cdef int64_t free_ns
    while at != 0:
        free_ns = lean_at(sim, at).free_ns
        worker_at(sim, at).idle_since_ns = free_ns if free_ns <= now else -1
        if free_ns <= now and (first < 0 or free_ns < first):
            first = free_ns
        if free_ns <= now - idle_ns():
            lean_at(sim, at).free_ns = -1
        at = worker_at(sim, at).next
    return first


cdef inline void lean_timer(Sim *sim, uint32_t index, int64_t now) noexcept nogil:
    """Free the workers that idled for a minute, if that is what the timer was set for.

    Before any worker idled it is set to when the first could have idled for so long.
    """
    cdef Device *device = &sim.devices[index]
    cdef int64_t first = first_idle(sim, index, now)
    if device.timer_ns < 0 and first < 0:
        lean_watch(sim, index, now)
        return
    sim.lean.devices[index].idled_ns = -1
    sim.lean.devices[index].watched = False
    if device.timer_ns < 0 and first + idle_ns() > now:
        device.timer_ns = first + idle_ns()
        push(sim, device.timer_ns, EVENT_TIMER, index, 0)
    elif workers_reap(sim, device, now):
        push(sim, device.timer_ns, EVENT_TIMER, index, 0)
    elif device.workers != 0:
        lean_watch(sim, index, now)


cdef inline void lean_timers(Sim *sim, int64_t until) noexcept nogil:
    """Run the timers up to a time: no other event is ever pending."""
    cdef Event event
    while (
        sim.heap.length > 0
        and heap_first(&sim.heap).when_ns <= until
        and goes_on(sim, EVENT_WORK)
    ):
        event = heap_pop(&sim.heap)
        lean_timer(sim, <uint32_t> event.rank, event.when_ns)
    sim.lean.timer_ns = max_event_ns()
    if sim.heap.length > 0:
        sim.lean.timer_ns = heap_first(&sim.heap).when_ns


cdef inline void lean_workers_end(Sim *sim) noexcept nogil:
    """Add what was counted here to the workers and to the waits."""
    cdef uint32_t i
    cdef LeanWorker *lean
    cdef Worker *worker
    for i in range(1, sim.lean.workers.length):
        lean = lean_at(sim, i)
        worker = worker_at(sim, i)
        line_leave(sim, i, lean, max_event_ns())
        worker.commands += lean.commands
        worker.busy_ns += lean.busy_ns
        wait_add(
            sim,
            lean.issuer,
            lean.issuer,
            RESOURCE_WORKER,
            lean.wait_ns,
            lean.wait_count,
        )
        lean.commands = lean.busy_ns = lean.wait_ns = lean.wait_count = 0
