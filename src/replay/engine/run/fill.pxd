"""Cgroups and tasks of a setup, as the engine keeps them."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc

from replay.engine.memcg.counters cimport preorder_fill
from replay.engine.memcg.tasks cimport task_begins
from replay.engine.memcg.victims cimport victims_fill
from replay.engine.state.pages cimport Protection
from replay.engine.state.sim cimport Group, Sim, Task


cdef inline int groups_fill(Sim *sim, object setup) except -1:
    """Fill in the tree, the limits and the protection of every cgroup."""
    cdef const int32_t[::1] parent = setup.parent
    cdef const int64_t[::1] limit = setup.memory_max
    cdef const int64_t[::1] high = setup.memory_high
    cdef const uint8_t[::1] oom_group = setup.oom_group.view("u1")
    cdef Group *group
    cdef uint32_t i
    if len(limit) != sim.n_cgroups or len(high) != sim.n_cgroups or not (
        len(oom_group) in (0, sim.n_cgroups)
    ):
        raise ValueError("setup: tables of cgroups differ in length")
    for i in range(sim.n_cgroups):
        if not (parent[i] == -1 if i == 0 else 0 <= parent[i] < <int32_t> i):
            raise ValueError("setup: a cgroup stands before its parent")
        group = &sim.groups[i]
        group.parent = parent[i]
        group.limit = limit[i]
        group.high = high[i]
        group.last_kill_ns = -1
        group.oom_group = i > 0 and oom_group.shape[0] > 0 and oom_group[i] != 0
        if limit[i] >= 0:
            group.limited = <int32_t> i
        else:
            group.limited = -1 if i == 0 else sim.groups[parent[i]].limited
        if high[i] >= 0:
            group.highs = <int32_t> i
        else:
            group.highs = -1 if i == 0 else sim.groups[parent[i]].highs
    if sim.preorder != NULL:
        preorder_fill(sim)
        protection_fill(sim, setup)
    return 0


cdef inline int protection_fill(Sim *sim, object setup) except -1:
    """Fill in memory.min and memory.low, if any cgroup has one."""
    cdef const int64_t[::1] least = setup.memory_min
    cdef const int64_t[::1] low = setup.memory_low
    cdef uint32_t i
    if not (len(least) in (0, sim.n_cgroups) and len(low) in (0, sim.n_cgroups)):
        raise ValueError("setup: tables of cgroups differ in length")
    if not (setup.memory_min.any() or setup.memory_low.any()):
        return 0
    sim.protection = <Protection *> calloc(sim.n_cgroups, sizeof(Protection))
    if sim.protection == NULL:
        raise MemoryError
    for i in range(sim.n_cgroups):
        sim.protection[i].least = least[i] if least.shape[0] > 0 else 0
        sim.protection[i].low = low[i] if low.shape[0] > 0 else 0
    return 0


cdef inline int tasks_fill(Sim *sim, object setup) except -1:
    """Fill in the tasks; those that live through the trace begin."""
    cdef const uint32_t[::1] cgroup = setup.task_cgroup
    cdef const int64_t[::1] rss = setup.task_rss
    cdef const int64_t[::1] adj = setup.task_adj
    cdef const int64_t[::1] requests = setup.task_requests
    cdef const uint8_t[::1] kernel = setup.task_kernel.view("u1")
    cdef const uint8_t[::1] always = setup.task_always.view("u1")
    cdef Task *task
    cdef uint32_t i
    if {len(rss), len(requests), len(kernel), len(adj) or len(rss)} != {sim.n_tasks}:
        raise ValueError("setup: tables of tasks differ in length")
    if len(always) not in (0, sim.n_tasks):
        raise ValueError("setup: tables of tasks differ in length")
    for i in range(sim.n_tasks):
        task = &sim.tasks[i]
        task.cgroup = cgroup[i]
        if task.cgroup >= sim.n_cgroups:
            raise ValueError("setup: a task of a cgroup beyond the last")
        task.rss = rss[i]
        task.adj = adj[i] if adj.shape[0] > 0 else 0
        task.requests_left = requests[i]
        task.kernel = kernel[i] != 0
        task.killed_ns = -1
        task.reap_ns = -1
    if sim.n_tasks > 0:
        victims_fill(sim)
    for i in range(<uint32_t> always.shape[0]):
        if always[i]:
            # one more than there are: it never ends
            sim.tasks[i].requests_left += 1
            task_begins(sim, &sim.tasks[i])
    return 0
