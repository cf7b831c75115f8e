"""The OOM killer's choice among many tasks, without a look at each.

Tasks of one `oom_score_adj` differ by their memory alone, whatever the limit is, and those
below one cgroup stand in one piece. So the best of each piece is kept in a tree, node i
having the better of 2 i and 2 i + 1, and the choice is among as many as there are values
of `oom_score_adj`.

    best   1: of all that may be killed
          2 3: of a half each (a power of two or not: a node's range need not be one piece)
        ... n .. 2 n - 1: each place's task, 0 if it may not be killed

Source of the rule: mm/oom_kill.c:oom_badness(), oom_evaluate_task(), v6.1.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport calloc, free, qsort

from replay.engine.state.sim cimport Sim, Task
from replay.engine.state.victims cimport Candidate, Victims


cdef inline int candidate_compare(const void *a, const void *b) noexcept nogil:
    """Order by score's adjustment, then by cgroup, then by task."""
    cdef const Candidate *left = <const Candidate *> a
    cdef const Candidate *right = <const Candidate *> b
    if left.adj != right.adj:
        return 1 if left.adj > right.adj else -1
    if left.at != right.at:
        return 1 if left.at > right.at else -1
    return 1 if left.task > right.task else -1


cdef inline bint victims_open(Sim *sim) noexcept nogil:
    """Make room for all tasks; return False if memory ran out."""
    cdef Victims *victims = &sim.victims
    cdef size_t n = sim.n_tasks
    if n == 0:
        return True
    victims.candidates = <Candidate *> calloc(n, sizeof(Candidate))
    victims.place = <uint32_t *> calloc(n, sizeof(uint32_t))
    victims.best = <uint32_t *> calloc(2 * n, sizeof(uint32_t))
    victims.starts = <uint32_t *> calloc(n + 1, sizeof(uint32_t))
    victims.first_task = <uint32_t *> calloc(sim.n_cgroups, sizeof(uint32_t))
    victims.n_dying = <uint32_t *> calloc(sim.n_cgroups, sizeof(uint32_t))
    return (
        victims.candidates != NULL
        and victims.place != NULL
        and victims.best != NULL
        and victims.starts != NULL
        and victims.first_task != NULL
        and victims.n_dying != NULL
    )


cdef inline void victims_close(Sim *sim) noexcept nogil:
    """Give the memory back."""
    free(sim.victims.candidates)
    free(sim.victims.place)
    free(sim.victims.best)
    free(sim.victims.starts)
    free(sim.victims.first_task)
    free(sim.victims.n_dying)


cdef inline void victims_fill(Sim *sim) noexcept nogil:
    """Give each task its place; none may be killed yet."""
    cdef Victims *victims = &sim.victims
    cdef uint32_t i, task
    cdef int32_t at
    for i in range(sim.n_tasks):
        victims.candidates[i].adj = sim.tasks[i].adj
        victims.candidates[i].at = sim.preorder_at[sim.tasks[i].cgroup]
        victims.candidates[i].task = i
    qsort(victims.candidates, sim.n_tasks, sizeof(Candidate), candidate_compare)
    victims.n_starts = 0
    for i in range(sim.n_tasks):
        victims.place[victims.candidates[i].task] = i
        if i == 0 or victims.candidates[i].adj != victims.candidates[i - 1].adj:
            victims.starts[victims.n_starts] = i
            victims.n_starts += 1
    victims.starts[victims.n_starts] = sim.n_tasks
    for i in range(sim.n_cgroups):
        victims.first_task[i] = sim.n_tasks
    for i in range(sim.n_tasks):
        task = sim.n_tasks - 1 - i
        at = <int32_t> sim.tasks[task].cgroup
        while at >= 0 and victims.first_task[at] != task:
            victims.first_task[at] = task
            at = sim.groups[at].parent


cdef inline uint32_t better(const Sim *sim, uint32_t a, uint32_t b) noexcept nogil:
    """Return whom the killer prefers of two tasks of one adjustment; of equals the last.

    Tasks are given as their number + 1, and 0 for none.
    """
    cdef int64_t left, right
    if a == 0 or b == 0:
        return a | b
    left = sim.tasks[a - 1].rss
    right = sim.tasks[b - 1].rss
    if left != right:
        return a if left > right else b
    return max(a, b)


cdef inline void victim_set(Sim *sim, uint32_t task, bint killable) noexcept nogil:
    """Note whether a task may be killed."""
    cdef uint32_t *best = sim.victims.best
    cdef uint32_t node = sim.n_tasks + sim.victims.place[task]
    best[node] = task + 1 if killable else 0
    while node > 1:
        node >>= 1
        best[node] = better(sim, best[2 * node], best[2 * node + 1])


cdef inline uint32_t best_of(const Sim *sim, uint32_t low, uint32_t high) noexcept nogil:
    """Return the best task of some places, from one up to another, + 1; 0 for none."""
    cdef const uint32_t *best = sim.victims.best
    cdef uint32_t found = 0
    low += sim.n_tasks
    high += sim.n_tasks
    while low < high:
        if low & 1:
            found = better(sim, found, best[low])
            low += 1
        if high & 1:
            high -= 1
            found = better(sim, found, best[high])
        low >>= 1
        high >>= 1
    return found


cdef inline uint32_t place_from(
    const Sim *sim, uint32_t low, uint32_t high, uint32_t at
) noexcept nogil:
    """Return the first of some places, one adjustment's, whose cgroup is not before."""
    cdef uint32_t middle
    while low < high:
        middle = low + (high - low) // 2
        if sim.victims.candidates[middle].at < at:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline int32_t victim_below(const Sim *sim, int32_t over) noexcept nogil:
    """Return the task of the highest score below a limit, of equals the last; or -1."""
    cdef const Victims *victims = &sim.victims
    cdef int64_t share = sim.groups[over].limit // 1000
    cdef int64_t score
    cdef int64_t most = 0
    cdef int32_t victim = -1
    cdef uint32_t i, low, high, found
    cdef const Task *task
    for i in range(victims.n_starts):
        low = place_from(
            sim, victims.starts[i], victims.starts[i + 1], sim.preorder_at[over]
        )
        high = place_from(sim, low, victims.starts[i + 1], sim.preorder_end[over])
        found = best_of(sim, low, high)
        if found == 0:
            continue
        task = &sim.tasks[found - 1]
        score = task.rss + task.adj * share
        if (
            victim < 0
            or score > most
            or (score == most and <int32_t> found - 1 > victim)
        ):
            victim = <int32_t> found - 1
            most = score
    return victim


# -- who waits for the reaper ---------------------------------------------------------


cdef inline void dying_count(Sim *sim, const Task *task, int n) noexcept nogil:
    """Count a task that the reaper is to come to, in its cgroup and above."""
    cdef int32_t at = <int32_t> task.cgroup
    sim.n_dying += n
    while at >= 0:
        sim.victims.n_dying[at] += n
        at = sim.groups[at].parent


cdef inline void dying_add(Sim *sim, uint32_t index) noexcept nogil:
    """A killed task waits for the reaper, behind those killed before."""
    cdef Victims *victims = &sim.victims
    sim.tasks[index].next_dying = 0
    if victims.last_dying != 0:
        sim.tasks[victims.last_dying - 1].next_dying = index + 1
    else:
        victims.first_dying = index + 1
    victims.last_dying = index + 1
    dying_count(sim, &sim.tasks[index], 1)


cdef inline void dying_pop(Sim *sim) noexcept nogil:
    """Take the first out, to whom the reaper came or need not any more."""
    cdef Victims *victims = &sim.victims
    victims.first_dying = sim.tasks[victims.first_dying - 1].next_dying
    if victims.first_dying == 0:
        victims.last_dying = 0
