"""Memory counters of cgroups, their limits, tasks, and the OOM killer.

Source: mm/memcontrol.c:try_charge_memcg(), mm/oom_kill.c:select_bad_process(), v6.1.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

from replay.engine._arena cimport arena_add
from replay.engine._types cimport Group, Kill, Request, Sim, Task

cdef enum:
    PAGE_BYTES = 4096
    PAGE_SHIFT = 12
    # memcg counts 576 bytes and the object's own pointer for one node of the page tree
    NODE_BYTES = 584
    # `max` events of the first failing round of a charge, and of each further one
    MAX_EVENTS_FIRST = 18
    MAX_EVENTS_NEXT = 17


cdef inline int64_t ceil_pages(int64_t nbytes) noexcept nogil:
    """Return bytes in whole pages, rounded up."""
    return (nbytes + PAGE_BYTES - 1) >> PAGE_SHIFT


cdef inline int64_t node_pages(
    const Sim *sim, uint32_t payer, int64_t nodes
) noexcept nogil:
    """Return by how many whole pages more (or fewer) nodes change the charge."""
    cdef int64_t before = sim.groups[payer].node_bytes
    return ceil_pages(before + nodes * NODE_BYTES) - ceil_pages(before)


cdef inline void memory_count(Sim *sim, uint32_t cgroup, int64_t pages) noexcept nogil:
    """Add pages (or take them away) here and in every ancestor."""
    cdef int32_t at = <int32_t> cgroup
    cdef Group *group
    while at >= 0:
        group = &sim.groups[at]
        group.usage += pages
        if group.usage > group.peak:
            group.peak = group.usage
        at = group.parent


cdef inline int64_t memory_room(
    const Sim *sim, uint32_t cgroup, int64_t wanted
) noexcept nogil:
    """Return how many of the wanted pages fit below every limit on the way up."""
    cdef int32_t at = sim.groups[cgroup].limited
    cdef const Group *group
    while at >= 0:
        group = &sim.groups[at]
        wanted = min(wanted, max(0, group.limit - group.usage))
        at = -1 if group.parent < 0 else sim.groups[group.parent].limited
    return wanted


cdef inline int32_t memory_exceeded(
    const Sim *sim, uint32_t cgroup, int64_t pages
) noexcept nogil:
    """Return the first cgroup on the way up whose limit has no room, -1 if all have."""
    cdef int32_t at = sim.groups[cgroup].limited
    cdef const Group *group
    while at >= 0:
        group = &sim.groups[at]
        if group.usage + pages > group.limit:
            return at
        at = -1 if group.parent < 0 else sim.groups[group.parent].limited
    return -1


cdef inline void task_shrink(Sim *sim, Task *task, int64_t resident) noexcept nogil:
    """Set how many pages a task holds."""
    memory_count(sim, task.cgroup, resident - task.resident)
    sim.groups[task.cgroup].rss += resident - task.resident
    task.resident = resident


cdef inline void task_ends(Sim *sim, Task *task) noexcept nogil:
    """A task that lives has no request left: it ends and gives its memory back."""
    task.ended = True
    if not task.kernel:
        sim.groups[task.cgroup].n_alive -= 1
    task_shrink(sim, task, 0)


cdef inline void task_arrives(Sim *sim, int32_t index, int64_t nbytes) noexcept nogil:
    """A request of a task is queued: with its first one the task's memory counts."""
    cdef Task *task = &sim.tasks[index]
    if not task.started:
        task.started = True
        if not task.kernel:
            sim.groups[task.cgroup].n_alive += 1
        task.resident = task.rss
        memory_count(sim, task.cgroup, task.rss)
        sim.groups[task.cgroup].rss += task.rss
    task.in_flight_bytes += nbytes


cdef inline void task_completes(Sim *sim, int32_t index, int64_t nbytes) noexcept nogil:
    """A request of a task is done: give back what only it kept in memory."""
    cdef Task *task = &sim.tasks[index]
    task.in_flight_bytes -= nbytes
    task.requests_left -= 1
    if task.killed_ns >= 0:
        task_shrink(sim, task, min(task.resident, ceil_pages(task.in_flight_bytes)))
    elif task.requests_left == 0:
        task_ends(sim, task)


cdef inline void task_skips(Sim *sim, int32_t index) noexcept nogil:
    """A request of a task is not replayed."""
    cdef Task *task = &sim.tasks[index]
    task.requests_left -= 1
    if task.requests_left == 0 and (
        task.started and not task.ended and task.killed_ns < 0
    ):
        task_ends(sim, task)


cdef inline bint task_stopped(
    const Sim *sim, int32_t index, int64_t queue_ns
) noexcept nogil:
    """Tell whether a request queued now is one that a kill stopped.

    A killed task's own; a kernel thread's, if no other task of the cgroup lives.
    """
    cdef const Task *task = &sim.tasks[index]
    cdef const Group *group = &sim.groups[task.cgroup]
    if not task.kernel:
        return 0 <= task.killed_ns < queue_ns
    return 0 <= group.last_kill_ns < queue_ns and group.n_alive == 0


cdef inline bint is_below(
    const Sim *sim, int32_t cgroup, int32_t ancestor
) noexcept nogil:
    """Tell whether a cgroup is another one or lies under it."""
    while cgroup >= 0:
        if cgroup == ancestor:
            return True
        cgroup = sim.groups[cgroup].parent
    return False


cdef inline bint oom_kill(
    Sim *sim, int32_t over, const Request *request, int64_t now
) noexcept nogil:
    """Kill the largest task below a limit; tell whether there was one.

    Equal ones: the later. Its pages are given back at once, but those that its
    requests in flight pin: they stay charged until that I/O ends.
    """
    cdef int32_t victim = -1
    cdef int32_t at
    cdef uint32_t i, index
    cdef Task *task
    cdef Kill *kill
    for i in range(sim.n_tasks):
        task = &sim.tasks[i]
        if task.kernel or not task.started or task.ended or task.killed_ns >= 0:
            continue
        if not is_below(sim, <int32_t> task.cgroup, over):
            continue
        if victim < 0 or task.rss >= sim.tasks[victim].rss:
            victim = <int32_t> i
    if victim < 0:
        return False
    task = &sim.tasks[victim]
    task.killed_ns = now
    index = arena_add(&sim.kills)
    kill = (<Kill *> sim.kills.data) + index
    kill.time_ns = now
    kill.limit_cgroup = <uint32_t> over
    kill.victim_cgroup = task.cgroup
    kill.task = victim
    kill.usage_bytes = sim.groups[over].usage * PAGE_BYTES
    kill.row = request.row
    sim.groups[task.cgroup].last_kill_ns = now
    sim.groups[task.cgroup].n_alive -= 1
    at = <int32_t> task.cgroup
    while at > 0:
        sim.groups[at].oom_kill += 1
        at = sim.groups[at].parent
    task_shrink(sim, task, min(task.resident, ceil_pages(task.in_flight_bytes)))
    return True


cdef inline bint charge_waits(
    Sim *sim, uint32_t payer, int64_t pages, const Request *request, int64_t now
) noexcept nogil:
    """Make room for pages at a limit by killing; tell whether they fit.

    `max` counts 18 for the first failing round of a charge (one, one after draining
    the stocks, 16 retries) and 17 for each further one, `oom` 1 a round.
    """
    cdef int32_t over
    cdef int32_t at
    cdef int64_t events = MAX_EVENTS_FIRST
    while True:
        over = memory_exceeded(sim, payer, pages)
        if over < 0:
            return True
        at = over
        while at > 0:
            sim.groups[at].max_events += events
            sim.groups[at].oom += 1
            at = sim.groups[at].parent
        events = MAX_EVENTS_NEXT
        if not oom_kill(sim, over, request, now):
            return False
