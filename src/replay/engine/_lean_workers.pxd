"""Workers of the lean path: when each is free is known as soon as a command arrives.

A command begins when its worker is done with all before it. Its wait is charged to
those it waited behind, once for each of their ends; where a worker has one issuer that
is itself, and a matter of counting the ends to come. Where it has several, the queue
that all servers share says who (`_server.pxd`), but only when the next command comes.

An idle moment is noted when it is over. Only the timer that frees idle workers asks for
it: it is armed by the first, and runs a minute later.
"""

from libc.stdint cimport int64_t, uint32_t

from replay.engine._arena cimport arena_add
from replay.engine._heap cimport heap_first, heap_pop
from replay.engine._lean_types cimport Lean, LeanDevice, LeanEnd, LeanWorker
from replay.engine._server cimport (
    request_at,
    request_new,
    server_enter,
    server_leave,
)
from replay.engine._streams cimport max_event_ns, push
from replay.engine._types cimport (
    EVENT_TIMER,
    OP_FLUSH,
    RESOURCE_WORKER,
    Account,
    Device,
    Request,
    Sim,
    WORKER_IDLES,
    Worker,
)
from replay.engine._waits cimport wait_add
from replay.engine._workers cimport (
    idle_ns,
    worker_at,
    worker_pick,
    workers_reap,
)


cdef inline LeanWorker *lean_at(const Sim *sim, uint32_t index) noexcept nogil:
    """Return what the lean path knows of a worker."""
    return (<LeanWorker *> sim.lean.workers.data) + index


cdef inline void lean_watch(Sim *sim, uint32_t device, int64_t now) noexcept nogil:
    """Look in a minute whether any worker has idled meanwhile."""
    sim.lean.devices[device].watched = now + idle_ns() < max_event_ns()
    if sim.lean.devices[device].watched:
        push(sim, now + idle_ns(), EVENT_TIMER, device, 0)


cdef inline uint32_t lean_pick(Sim *sim, Request *request, int64_t now) noexcept nogil:
    """Choose the worker of a request, and with it who pays."""
    cdef const Account *account = (<Account *> sim.accounts.data) + request.account
    cdef uint32_t index = account.worker
    cdef LeanWorker *worker
    if (
        index != 0
        and lean_at(sim, index).free_ns >= 0
        and request.op != OP_FLUSH
    ):
        request.io_payer = sim.blkcg[request.issuer]
        request.memory_payer = sim.memory_css[request.io_payer]
        request.worker = index
        return index
    index = worker_pick(sim, request, now)
    worker_at(sim, index).commands -= 1     # counted here, as all others
    if index < sim.lean.workers.length:
        return index
    while sim.lean.workers.length <= index and not sim.lean.workers.failed:
        arena_add(&sim.lean.workers)
    worker = lean_at(sim, index)
    worker.free_ns = now
    worker.issuer = request.issuer
    worker.shared = (
        worker_at(sim, index).kind != WORKER_IDLES
        or sim.lean.n_issuers[worker_at(sim, index).cgroup] != 1
    )
    if (
        sim.devices[request.device].timer_ns < 0
        and not sim.lean.devices[request.device].watched
    ):
        lean_watch(sim, request.device, now)
    return index


cdef inline void ends_drop(Lean *lean, LeanWorker *worker) noexcept nogil:
    """Forget all ends of a worker's commands."""
    if worker.first != 0:
        ((<LeanEnd *> lean.ends.data) + worker.last).next = lean.free_end
        lean.free_end = worker.first
        worker.first = worker.last = worker.n_ends = 0


cdef inline void ends_pass(Lean *lean, LeanWorker *worker, int64_t now) noexcept nogil:
    """Forget the ends that are past; one to come remains."""
    cdef LeanEnd *ends = <LeanEnd *> lean.ends.data
    cdef uint32_t index = worker.first
    cdef uint32_t following
    while ends[index].done_ns <= now:
        following = ends[index].next
        ends[index].next = lean.free_end
        lean.free_end = index
        worker.n_ends -= 1
        index = following
    worker.first = index


cdef inline void ends_add(
    Lean *lean, LeanWorker *worker, int64_t done_ns
) noexcept nogil:
    """Note the end of a worker's last command."""
    cdef uint32_t index = lean.free_end
    cdef LeanEnd *end
    if index != 0:
        lean.free_end = ((<LeanEnd *> lean.ends.data) + index).next
    else:
        index = arena_add(&lean.ends)
    end = (<LeanEnd *> lean.ends.data) + index
    end.done_ns = done_ns
    end.next = 0
    if worker.first == 0:
        worker.first = index
    else:
        ((<LeanEnd *> lean.ends.data) + worker.last).next = index
    worker.last = index
    worker.n_ends += 1


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
    const Request *request,
    int64_t now,
    int64_t until,
) noexcept nogil:
    """Stand in the queue of a worker of several issuers, which is free at `until`."""
    cdef uint32_t slot = request_new(sim)
    request_at(sim, slot).issuer = request.issuer
    request_at(sim, slot).account = request.account
    request_at(sim, slot).served_ns = until
    if server_enter(sim, &worker_at(sim, index).server, slot, now):
        worker.serving = slot


cdef inline int64_t lean_begin(
    Sim *sim, const Request *request, int64_t now
) noexcept nogil:
    """Give a command to its worker; return when it begins."""
    cdef Lean *lean = &sim.lean
    cdef LeanWorker *worker = lean_at(sim, request.worker)
    cdef LeanDevice *device = &lean.devices[request.device]
    cdef int64_t begin = max(now, worker.free_ns)
    cdef int64_t until = begin + request.service_ns
    worker.busy_ns += request.service_ns
    if worker.shared:
        line_leave(sim, request.worker, worker, now)
        if until > now:
            line_enter(sim, request.worker, worker, request, now, until)
    elif worker.free_ns > now:
        ends_pass(lean, worker, now)
        worker.wait_ns += begin - now
        worker.wait_count += worker.n_ends
    else:
        ends_drop(lean, worker)
    if (
        worker.free_ns <= now
        and sim.devices[request.device].timer_ns < 0
        and worker.commands > 0
        and worker_at(sim, request.worker).kind == WORKER_IDLES
        and not 0 <= device.idled_ns <= worker.free_ns
    ):
        device.idled_ns = worker.free_ns
    if until > begin and not worker.shared:
        # who comes later waits for it; what takes no time nobody waits for
        ends_add(lean, worker, until)
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


cdef inline void lean_timers_end(Sim *sim) noexcept nogil:
    """Run the timers before the last request is served."""
    cdef uint32_t index
    cdef int64_t when_ns
    while sim.heap.length > 0 and heap_first(&sim.heap).when_ns < sim.end_ns:
        when_ns = heap_first(&sim.heap).when_ns
        index = <uint32_t> heap_first(&sim.heap).rank
        heap_pop(&sim.heap)
        lean_timer(sim, index, when_ns)


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
