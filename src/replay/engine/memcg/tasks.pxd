"""Tasks of cgroups: their memory, the OOM killer and the reaper.

Source: mm/oom_kill.c:select_bad_process(), oom_kill_process(), oom_reaper(), v6.1.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from replay.engine.memcg.counters cimport ceil_pages, is_below, memory_count
from replay.engine.memcg.victims cimport (
    dying_add,
    dying_count,
    dying_pop,
    victim_below,
    victim_set,
)
from replay.engine.state.counts cimport Kill
from replay.engine.state.sim cimport Bio, Group, Request, Sim, Task
from replay.engine.state.units cimport PAGE_BYTES
from replay.engine.structures.arena cimport arena_add, index_in

cdef enum:
    # OOM_REAPER_DELAY
    REAPER_SECONDS = 2
    NEVER = -1000               # OOM_SCORE_ADJ_MIN


cdef inline int64_t reaper_ns() noexcept nogil:
    """Return how long after a kill the reaper comes."""
    return <int64_t> REAPER_SECONDS * 1000000000


cdef inline void task_shrink(Sim *sim, Task *task, int64_t resident) noexcept nogil:
    """Set how many pages a task holds."""
    memory_count(sim, task.cgroup, resident - task.resident)
    sim.groups[task.cgroup].rss += resident - task.resident
    task.resident = resident


cdef inline void killable_count(Sim *sim, const Task *task, int n) noexcept nogil:
    """Count a task that may be killed, in its cgroup and every ancestor."""
    cdef int32_t at = <int32_t> task.cgroup
    if task.adj == NEVER:
        return
    victim_set(sim, <uint32_t> (task - sim.tasks), n > 0)
    while at >= 0:
        sim.groups[at].n_killable += n
        at = sim.groups[at].parent


cdef inline void task_ends(Sim *sim, Task *task) noexcept nogil:
    """A task that lives has no request left: it ends and gives its memory back."""
    task.ended = True
    if not task.kernel:
        sim.groups[task.cgroup].n_alive -= 1
        killable_count(sim, task, -1)
    task_shrink(sim, task, 0)


cdef inline Bio *bio_at(const Sim *sim, uint32_t index) noexcept nogil:
    """Return a task's bio."""
    return (<Bio *> sim.bios.data) + index


cdef inline uint32_t bio_of(
    Sim *sim, Task *task, const Request *request, int64_t queue_ns
) noexcept nogil:
    """Return the bio that a request is a part of; makes it for the first one.

    What follows the task's last request without a gap, and was queued with it, is the
    next part of a bio that the block layer split.
    Source: block/blk-merge.c:bio_submit_split(), block/bio.c:bio_chain(), v6.1.
    """
    cdef uint32_t index = task.bio
    if not (
        index != 0
        and queue_ns >= 0
        and task.bio_queue_ns == queue_ns
        and task.bio_device == request.device
        and task.bio_op == request.op
        and task.bio_end == request.sector
    ):
        index = sim.free_bio
        if index != 0:
            sim.free_bio = bio_at(sim, index).next_free
        else:
            index = arena_add(&sim.bios)
        bio_at(sim, index).nbytes = 0
        bio_at(sim, index).in_flight = 0
    task.bio = index
    task.bio_queue_ns = queue_ns
    task.bio_device = request.device
    task.bio_op = request.op
    task.bio_end = request.sector + (<uint64_t> request.nbytes + 511) // 512
    return index


cdef inline void task_begins(Sim *sim, Task *task) noexcept nogil:
    """A task lives from now on: its memory counts."""
    task.started = True
    if not task.kernel:
        sim.groups[task.cgroup].n_alive += 1
        killable_count(sim, task, 1)
    task.resident = task.rss
    memory_count(sim, task.cgroup, task.rss)
    sim.groups[task.cgroup].rss += task.rss


cdef inline void task_arrives(
    Sim *sim, int32_t index, Request *request, int64_t queue_ns
) noexcept nogil:
    """A request of a task is queued: with its first one the task begins."""
    cdef Task *task = &sim.tasks[index]
    cdef int64_t nbytes = request.nbytes
    request.bio = bio_of(sim, task, request, queue_ns)
    bio_at(sim, request.bio).in_flight += 1
    bio_at(sim, request.bio).nbytes += nbytes
    if not task.started:
        task_begins(sim, task)
    task.in_flight_bytes += nbytes


cdef inline void task_completes(
    Sim *sim, int32_t index, const Request *request
) noexcept nogil:
    """A request of a task is done: give back what only it kept in memory.

    The pages of a split bio stay until its last part ends.
    """
    cdef Task *task = &sim.tasks[index]
    cdef Bio *bio = bio_at(sim, request.bio)
    bio.in_flight -= 1
    if bio.in_flight == 0:
        task.in_flight_bytes -= bio.nbytes
        if task.bio == request.bio:
            task.bio = 0
        bio.next_free = sim.free_bio
        sim.free_bio = request.bio
    task.requests_left -= 1
    if task.killed_ns >= 0:
        if task.in_flight_bytes == 0 and task.reap_ns >= 0:
            task.reap_ns = -1   # it could exit
            dying_count(sim, task, -1)
        if task.reap_ns < 0:
            task_shrink(
                sim, task, min(task.resident, ceil_pages(task.in_flight_bytes))
            )
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
    """Return True if a request queued now is one that a kill stopped.

    A killed task's own; a kernel thread's, if no other task of the cgroup lives.
    """
    cdef const Task *task = &sim.tasks[index]
    cdef const Group *group = &sim.groups[task.cgroup]
    if not task.kernel:
        return 0 <= task.killed_ns < queue_ns
    return 0 <= group.last_kill_ns < queue_ns and group.n_alive == 0


cdef inline void tasks_reap(Sim *sim, int64_t now) noexcept nogil:
    """Give back what killed tasks held, once the reaper has come to them."""
    cdef Task *task
    while sim.victims.first_dying != 0:
        task = &sim.tasks[sim.victims.first_dying - 1]
        if task.reap_ns > now:
            return
        dying_pop(sim)
        if task.reap_ns >= 0:
            task.reap_ns = -1
            dying_count(sim, task, -1)
            task_shrink(
                sim, task, min(task.resident, ceil_pages(task.in_flight_bytes))
            )


cdef inline int64_t dying_until(const Sim *sim, int32_t over) noexcept nogil:
    """Return when a killed task below a limit gives its memory back, -1 for none."""
    cdef uint32_t index = sim.victims.first_dying
    cdef const Task *task
    if sim.n_dying == 0 or sim.victims.n_dying[over] == 0:
        return -1
    while index != 0:
        task = &sim.tasks[index - 1]
        if task.reap_ns >= 0 and is_below(sim, <int32_t> task.cgroup, over):
            return task.reap_ns
        index = task.next_dying
    return -1


cdef inline bint is_killable(const Task *task) noexcept nogil:
    """Return True if the OOM killer may choose a task."""
    return (
        task.started
        and not task.ended
        and not task.kernel
        and task.killed_ns < 0
        and task.adj != NEVER
    )


cdef inline void task_kill(
    Sim *sim,
    uint32_t victim,
    int32_t over,
    int64_t usage,
    const Request *request,
    int64_t now,
) noexcept nogil:
    """Kill one task.

    One that waits for its own I/O cannot exit: the reaper gives its pages back 2 s
    later, but those that its requests in flight pin.
    """
    cdef Task *task = &sim.tasks[victim]
    cdef uint32_t index = arena_add(&sim.kills)
    cdef Kill *kill = (<Kill *> sim.kills.data) + index_in(&sim.kills, index)
    task.killed_ns = now
    kill.time_ns = now
    kill.limit_cgroup = <uint32_t> over
    kill.victim_cgroup = task.cgroup
    kill.task = <int32_t> victim
    kill.usage_bytes = usage * PAGE_BYTES
    kill.row = request.row
    sim.groups[task.cgroup].last_kill_ns = now
    sim.groups[task.cgroup].n_alive -= 1
    killable_count(sim, task, -1)
    kill_count(sim, <int32_t> task.cgroup)
    if task.in_flight_bytes > 0:
        task.reap_ns = now + reaper_ns()
        dying_add(sim, victim)
    else:
        task_shrink(sim, task, 0)


cdef inline void kill_count(Sim *sim, int32_t at) noexcept nogil:
    """Count a kill in the victim's cgroup and every ancestor but the root."""
    while at > 0:
        sim.groups[at].oom_kill += 1
        at = sim.groups[at].parent


cdef inline bint oom_kill(
    Sim *sim, int32_t over, const Request *request, int64_t now
) noexcept nogil:
    """Kill the task of the highest score below a limit, and what goes with it.

    Of equals the last. The highest cgroup from its own up to the limit's that has
    ``memory.oom.group`` loses all its tasks; the victim counts twice then.

    Returns
    -------
    bint
        Whether there was one.
    """
    cdef int64_t usage = sim.groups[over].usage
    cdef int32_t victim
    cdef int32_t group = -1
    cdef int32_t at
    cdef uint32_t i
    cdef const Task *task
    if sim.groups[over].n_killable == 0:
        return False
    victim = victim_below(sim, over)
    if victim < 0:
        return False
    at = <int32_t> sim.tasks[victim].cgroup
    while at > 0:
        if sim.groups[at].oom_group:
            group = at
        if at == over:
            break
        at = sim.groups[at].parent
    task_kill(sim, <uint32_t> victim, over, usage, request, now)
    if group < 0:
        return True
    at = group
    while at > 0:
        sim.groups[at].oom_group_kill += 1
        at = sim.groups[at].parent
    kill_count(sim, <int32_t> sim.tasks[victim].cgroup)
    i = sim.victims.first_task[group]
    while sim.groups[group].n_killable > 0:
        task = &sim.tasks[i]
        if is_killable(task) and is_below(sim, <int32_t> task.cgroup, group):
            task_kill(sim, i, over, usage, request, now)
        i += 1
    return True
