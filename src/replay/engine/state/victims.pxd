"""State of the OOM killer's search for a victim."""

from libc.stdint cimport int64_t, uint32_t

cdef struct Candidate:
    # a task's place: all of one oom_score_adj, below one cgroup, stand together
    int64_t adj
    uint32_t at             # of its cgroup in Sim.preorder
    uint32_t task

cdef struct Victims:
    Candidate *candidates
    uint32_t *place         # of each task among them
    uint32_t *best          # a tree of tasks + 1, see memcg/victims.pxd; its leaves from n on
    uint32_t *starts        # where another oom_score_adj begins, and the end
    uint32_t n_starts       # without the end
    uint32_t *first_task    # of each cgroup and those below it
    uint32_t *n_dying       # of each cgroup and those below it: the reaper is to come
    uint32_t first_dying    # task + 1; in the order in which the reaper comes
    uint32_t last_dying
