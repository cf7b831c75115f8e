"""The event loop: arrivals, stages, completions, in a total order.

Arrivals come sorted and stay out of the heap, which holds completions, timers and,
with dependent arrivals, one release for each stream.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from replay.engine.charging.tmpfs cimport memory_touch
from replay.engine.controllers.backcharge cimport stream_delay
from replay.engine.controllers.iocost cimport iocost_begin, iocost_done
from replay.engine.counting.charges cimport (
    account_of,
    count_completed,
    count_took,
    count_unissued,
)
from replay.engine.counting.journal cimport journal_fails, journal_stops
from replay.engine.counting.latencies cimport samples_fold
from replay.engine.counting.timeline cimport timeline_cut
from replay.engine.counting.waits cimport wait_add
from replay.engine.disk.disk cimport disk_completed, disk_served
from replay.engine.driver.nested cimport is_inside, nested_begin, surface
from replay.engine.driver.submits cimport (
    is_disk,
    is_outer,
    only_submits,
)
from replay.engine.driver.workers cimport workers_reap
from replay.engine.memcg.tasks cimport (
    task_arrives,
    task_completes,
    task_skips,
    task_stopped,
    tasks_reap,
)
from replay.engine.pages.writeback cimport write_back_timer
from replay.engine.queues.server cimport server_leave
from replay.engine.queues.shared_lock cimport (
    shared_finished,
    shared_freeze,
    shared_thaw,
)
from replay.engine.run.controller_events cimport controller_event
from replay.engine.run.stages cimport (
    arrive,
    device_leave,
    dispatch,
    next_command,
    run_queue,
    schedule_lock,
    serve,
    served_from,
    start,
)
from replay.engine.shortcuts.bulk cimport (
    bulk_release,
    bulk_row,
    bulk_settle,
    bulk_settle_device,
)
from replay.engine.shortcuts.lean cimport lean_end
from replay.engine.shortcuts.prefetch_rows cimport prefetch_rows
from replay.engine.state.entries cimport worker_at
from replay.engine.state.events cimport push, max_event_ns
from replay.engine.state.failed cimport conserves, run_failed, time_passes
from replay.engine.state.halting cimport EVENT_WORK, ROW_WORK, goes_on
from replay.engine.state.queues cimport SharedLock
from replay.engine.state.requests cimport request_at, request_new
from replay.engine.state.row_checks cimport (
    enters_driver,
    row_arrives,
    row_replayed,
    run_goes_on,
)
from replay.engine.state.rows cimport Columns
from replay.engine.state.sim cimport (
    EVENT_ARRIVE,
    EVENT_COMPLETE,
    EVENT_ENDED,
    EVENT_IOLATENCY,
    EVENT_LOCK,
    EVENT_MEMORY,
    EVENT_PERIOD,
    EVENT_QUEUE,
    EVENT_RELEASE,
    EVENT_SERVED,
    EVENT_IOMAX,
    EVENT_TIMER,
    FLAG_FAILED,
    FLAG_META,
    NO_TASK,
    OP_READ,
    OP_WRITE,
    RESOURCE_MEMORY,
    RESOURCE_THROTTLE,
    SHORTCUT_BULK,
    SHORTCUT_EARLY,
    SHORTCUT_LEAN,
    SIM_OK,
    Request,
    Sim,
)
from replay.engine.state.streams cimport (
    part_of,
    release_next,
    starts_of,
    stream_completes,
)
from replay.engine.structures.heap cimport RANK_KIND_SHIFT, Event, heap_first, heap_pop


# -- completion -----------------------------------------------------------------------


cdef inline void let_go(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Give back device, lock, worker and tag; whoever waits for each goes on."""
    cdef Request *request = request_at(sim, slot)
    cdef uint32_t device = request.device
    cdef uint32_t issuer = request.issuer
    cdef uint32_t worker_index = request.worker
    cdef uint32_t successor
    if sim.set.issue_controllers:
        iocost_done(sim, slot, now)
    if is_disk(sim, device):
        disk_completed(sim, slot, now)
    elif sim.set.device_on and not (is_outer(sim, request) or request.shares_lock):
        successor = device_leave(sim, device, issuer, now)
        if successor != 0:
            served_from(sim, successor, now)
    if request.holds_lock:
        successor = server_leave(sim, &sim.devices[device].lock, issuer, now)
        if successor != 0:
            request_at(sim, successor).lock_ns = now
            serve(sim, successor, now)
    if not only_submits(sim, request):
        worker_at(sim, worker_index).busy_ns += now - request.start_ns
        successor = next_command(sim, worker_index, issuer, now)
        if successor != 0:
            start(sim, successor, now)
    if (sim.set.by_queue or is_inside(sim, slot)) and not is_disk(sim, device):
        successor = server_leave(sim, &sim.devices[device].tags, issuer, now)
        if successor != 0:
            dispatch(sim, successor, now)


cdef inline void complete(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """The request is served: its pages are touched."""
    cdef Request *request = request_at(sim, slot)
    cdef int64_t until
    request.served_ns = now
    if request.worker != 0 and not is_outer(sim, request):
        until = memory_touch(sim, request, now)
        if until >= 0:
            sleep_until(sim, slot, now, until)
            return
    end_request(sim, slot, now)


cdef inline void sleep_until(
    Sim *sim, uint32_t slot, int64_t now, int64_t until
) noexcept nogil:
    """Let the worker sleep for a limit, with all that it holds."""
    cdef Request *request = request_at(sim, slot)
    request.memory_ns += until - now
    wait_add(
        sim, request.issuer, request.blocking, RESOURCE_MEMORY, until - now, 1
    )
    if request.shares_lock:
        shared_freeze(&sim.devices[request.device].shared, now)
        schedule_lock(sim, request.device)
    push(sim, until, EVENT_MEMORY, request.row, slot)


cdef inline void wake(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Go on touching pages after a sleep."""
    cdef Request *request = request_at(sim, slot)
    cdef int64_t until
    if request.shares_lock:
        shared_thaw(sim, &sim.devices[request.device].shared, request.issuer, now)
    tasks_reap(sim, now)
    until = memory_touch(sim, request, now)
    if until >= 0:
        sleep_until(sim, slot, now, until)
        return
    if request.shares_lock:
        schedule_lock(sim, request.device)
    end_request(sim, slot, now)


cdef inline void end_request(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """A request is done: let go of all it holds, count it."""
    cdef Request *request = request_at(sim, slot)
    cdef int32_t stream = request.stream
    cdef uint32_t starts = request.starts
    cdef bint dispatched = request.worker != 0
    sim.end_ns = max(sim.end_ns, now)
    if is_inside(sim, slot):
        count_took(sim, request, now)
        let_go(sim, slot, now)
        surface(sim, slot)
        request = request_at(sim, slot)
        request.served_ns = now
    if dispatched:
        count_completed(sim, request, now)
        if sim.set.journaled and request.error != 0:
            journal_fails(sim, request, now)
    if request.task != NO_TASK:
        task_completes(sim, request.task, request)
    if dispatched:
        let_go(sim, slot, now)
    sim.counts.in_flight -= 1
    request_at(sim, slot).next = sim.free_request
    sim.free_request = slot
    stream_completes(sim, stream, starts, now)


cdef inline void lock_event(Sim *sim, uint32_t device, int64_t now) noexcept nogil:
    """One or more holders of the shared lock are done, or will be later."""
    cdef SharedLock *lock = &sim.devices[device].shared
    cdef uint32_t slot
    cdef Request *request
    if now != lock.event_ns:
        return              # another one came before
    if now == lock.finish_ns:
        while True:
            slot = shared_finished(sim, lock, now)
            if slot == 0:
                break
            request = request_at(sim, slot)
            request.lock_ns = request.device_ns = now - request.service_ns
            complete(sim, slot, now)
    lock.event_ns = -1
    schedule_lock(sim, device)


# -- arrival --------------------------------------------------------------------------


cdef inline void row_never_comes(Sim *sim, int32_t task, int32_t stream) noexcept nogil:
    """A row is not queued: neither its task nor its stream waits for it."""
    if task != NO_TASK:
        task_skips(sim, task)
    if stream >= 0:
        # nothing else completes that the stream's next request could wait for
        sim.streams[stream].completions += starts_of(sim, stream)


cdef inline void queue_row(
    Sim *sim, const Columns *columns, int64_t i, int64_t now, int32_t stream
) noexcept nogil:
    """A row is queued (or issued, with recorded arrivals by issue)."""
    cdef int64_t queue_ns = columns.queue_ns[i]
    cdef int64_t issue_ns = columns.issue_ns[i]
    cdef int32_t task = columns.task[i]
    cdef uint32_t nbytes = columns.nbytes[i]
    cdef int64_t queued_ns
    cdef uint32_t slot
    cdef Request *request
    if not row_replayed(sim, columns, i):
        return
    queued_ns = now if stream >= 0 or queue_ns < 0 else queue_ns
    if task != NO_TASK and task_stopped(sim, task, queued_ns):
        sim.counts.stopped += 1
        row_never_comes(sim, task, stream)
        return
    if sim.set.journaled and journal_stops(
        sim,
        columns.device[i],
        <unsigned char> columns.op[i],
        columns.issuer[i],
        nbytes,
        queued_ns,
    ):
        row_never_comes(sim, task, stream)
        return
    if stream >= 0:
        sim.streams[stream].unknown += 1
    slot = request_new(sim)
    request = request_at(sim, slot)
    request.row = columns.row[i]
    request.device = columns.device[i]
    request.op = <unsigned char> columns.op[i]
    request.sector = columns.sector[i]
    request.nbytes = nbytes
    request.n_bios = columns.n_bios[i]
    request.issuer = columns.issuer[i]
    request.service_ns = max(0, columns.service_ns[i])
    request.known = columns.service_ns[i] >= 0
    request.counts_early = (
        sim.set.shortcut >= SHORTCUT_EARLY
        and task == NO_TASK
        and (request.op == OP_READ or request.op == OP_WRITE)
    )
    request.stream = stream
    request.starts = starts_of(sim, stream) if stream >= 0 else 1
    request.task = task
    request.worker = 0
    request.bytes_paid = False
    request.failed = columns.flags[i] & FLAG_FAILED != 0
    if sim.set.by_thread or sim.set.backcharges:
        request.pid = columns.pid[i]
    request.start_ns = -1
    request.memory_ns = 0
    request.prior_ns = request.debt_ns = 0
    if stream >= 0:
        request.debt_ns = sim.streams[stream].debt_ns
    if sim.set.as_queued and 0 <= queue_ns < issue_ns:
        request.prior_ns = issue_ns - queue_ns
    request.next_page = 0
    request.oom_rounds = 0
    request.shares_lock = False
    request.error = 0
    request.holds_lock = False
    request.account = account_of(sim, request.issuer, request.device)
    if sim.set.nested:
        nested_begin(sim, slot)
    sim.end_ns = max(sim.end_ns, now)
    if task != NO_TASK:
        task_arrives(sim, task, request, queue_ns)
    sim.counts.in_flight += 1
    if enters_driver(sim, columns, i):
        sim.counts.requests += 1
        # who owed slept for nobody else
        wait_add(
            sim,
            request.issuer,
            request.issuer,
            RESOURCE_THROTTLE,
            request.debt_ns,
            1,
        )
        if sim.set.wants_meta:
            request.is_meta = columns.flags[i] & FLAG_META != 0
            if sim.set.issue_controllers:
                iocost_begin(sim, slot)
        if stream >= 0 and not sim.set.by_queue and 0 <= queue_ns < issue_ns:
            push(sim, now + (issue_ns - queue_ns), EVENT_ARRIVE, request.row, slot)
        else:
            arrive(sim, slot, now)
        return
    # The driver never saw it; if it did end, its stream still waits for that. Else
    # nothing else completes that the stream's next request could wait for.
    sim.counts.unissued += 1
    count_unissued(sim, request)
    if stream >= 0 and columns.complete_ns[i] >= 0:
        push(
            sim,
            now + max(0, columns.complete_ns[i] - max(queue_ns, 0)),
            EVENT_COMPLETE,
            request.row,
            slot,
        )
        return
    if stream >= 0:
        sim.streams[stream].unknown -= 1
        sim.streams[stream].completions += starts_of(sim, stream)
    request.stream = -1
    complete(sim, slot, now)


# -- the loop -------------------------------------------------------------------------


cdef inline void run_event(Sim *sim) noexcept nogil:
    """Run the first pending event."""
    cdef Event event = heap_pop(&sim.heap)
    cdef uint64_t kind = event.rank >> RANK_KIND_SHIFT
    cdef uint64_t sequence = event.rank & ((<uint64_t> 1 << RANK_KIND_SHIFT) - 1)
    cdef int64_t position, when_ns
    cdef const Columns *columns
    time_passes(sim, event.when_ns)
    if event.when_ns >= sim.timeline.cut_ns:
        timeline_cut(sim, event.when_ns)
    if kind == EVENT_TIMER and sequence >= sim.n_devices:
        write_back_timer(sim, <uint32_t> sequence - sim.n_devices, event.when_ns)
        return
    if kind == EVENT_TIMER:
        sim.changes += 1
        bulk_settle_device(sim, <uint32_t> sequence)
        if workers_reap(sim, &sim.devices[sequence], event.when_ns):
            when_ns = sim.devices[sequence].timer_ns
            push(sim, when_ns, EVENT_TIMER, <int64_t> sequence, 0)
        return
    sim.changes += 1
    sim.pending -= kind != EVENT_PERIOD and kind != EVENT_IOLATENCY
    if kind == EVENT_COMPLETE:
        complete(sim, event.payload, event.when_ns)
    elif kind == EVENT_ENDED:
        stream_completes(
            sim, <int32_t> event.payload, <uint32_t> sequence, event.when_ns
        )
    elif kind == EVENT_MEMORY:
        wake(sim, event.payload, event.when_ns)
    elif kind == EVENT_LOCK:
        lock_event(sim, <uint32_t> sequence, event.when_ns)
    elif EVENT_IOMAX <= kind <= EVENT_IOLATENCY:
        controller_event(sim, kind, sequence, event.payload, event.when_ns)
    elif kind == EVENT_ARRIVE:
        arrive(sim, event.payload, event.when_ns)
    elif kind == EVENT_SERVED:
        disk_served(sim, event.payload, event.when_ns)
    elif kind == EVENT_QUEUE:
        sim.disks[sequence].stopped = sim.disks[sequence].waking = False
        run_queue(sim, <unsigned int> sequence, event.when_ns)
    else:
        if sim.set.backcharges:
            when_ns = stream_delay(sim, <int32_t> event.payload)
            if when_ns > 0:
                sim.streams[event.payload].debt_ns += when_ns
                when_ns += event.when_ns
                push(sim, when_ns, EVENT_RELEASE, <int64_t> sequence, event.payload)
                return
        position = <int64_t> sequence
        columns = part_of(sim, &position)
        sim.streams[event.payload].next += 1
        if sim.set.shortcut != SHORTCUT_BULK or not bulk_release(
            sim, columns, position, event.when_ns, <int32_t> event.payload
        ):
            queue_row(sim, columns, position, event.when_ns, <int32_t> event.payload)
        release_next(sim, <int32_t> event.payload, event.when_ns)


cdef inline void timers_run(Sim *sim) noexcept nogil:
    """Run the timers up to the end of requests that were counted ahead of it.

    Nothing else is pending. Those at the end itself come behind the last request.
    """
    while (
        sim.heap.length > 0
        and heap_first(&sim.heap).when_ns < sim.end_ns
        and goes_on(sim, EVENT_WORK)
    ):
        run_event(sim)


cdef inline bint run_some(Sim *sim, int64_t limit) noexcept nogil:
    """Run at most `limit` pending events; return True if a request waits for more."""
    sim.next_row_ns = max_event_ns()
    while sim.pending > 0 and limit > 0 and goes_on(sim, EVENT_WORK):
        run_event(sim)
        conserves(sim)
        limit -= 1
    if sim.pending == 0:
        if sim.set.shortcut == SHORTCUT_LEAN:
            lean_end(sim)
        if sim.set.shortcut >= SHORTCUT_EARLY:
            timers_run(sim)
        samples_fold(sim)
        bulk_settle(sim)
    run_failed(sim)
    return sim.pending > 0 and sim.status == SIM_OK


cdef inline void run_rows(
    Sim *sim, const Columns *columns, int64_t first, int64_t end
) noexcept nogil:
    """Replay rows of a batch in their order, and every event before each."""
    cdef int64_t i, now
    cdef uint64_t rank
    cdef const Event *head
    for i in range(first, end):
        if sim.set.by_queue:
            now = columns.queue_ns[i] if columns.queue_ns[i] >= 0 else columns.issue_ns[i]
        else:
            now = columns.issue_ns[i] if columns.issue_ns[i] >= 0 else columns.queue_ns[i]
        if row_arrives(sim, columns, i, now):
            prefetch_rows(sim, columns, i)
            sim.next_row_ns = now
            rank = <uint64_t> EVENT_ARRIVE << RANK_KIND_SHIFT | <uint64_t> columns.row[i]
            while sim.heap.length > 0 and goes_on(sim, EVENT_WORK):
                head = heap_first(&sim.heap)
                if head.when_ns > now or (head.when_ns == now and head.rank > rank):
                    break
                run_event(sim)
                conserves(sim)
            time_passes(sim, now)
            if now >= sim.timeline.cut_ns:
                timeline_cut(sim, now)
            sim.changes += 1
            if sim.set.shortcut != SHORTCUT_BULK or not bulk_row(sim, columns, i, now):
                queue_row(sim, columns, i, now, -1)
        if not (run_goes_on(sim, columns, i) and goes_on(sim, ROW_WORK)):
            return
    run_failed(sim)
