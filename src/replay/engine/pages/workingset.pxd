"""Evicted pages that are read again: how far back they were dropped.

Source: mm/workingset.c:workingset_eviction(), workingset_refault(),
workingset_activation(), workingset_age_nonresident(), v6.1.
See reference/pages/workingset.py.

A shadow lies where the page's place was: `Links.older` has whose reclaim dropped it,
`Links.used` that cgroup's age then.
"""

from libc.stdint cimport int32_t, uint32_t

from replay.engine.state.pages cimport Links
from replay.engine.state.sim cimport Sim


cdef inline void workingset_age(Sim *sim, uint32_t cgroup) noexcept nogil:
    """A page was dropped or became active: here and in every ancestor."""
    cdef int32_t at = <int32_t> cgroup
    while at >= 0:
        sim.lists[at].age += 1
        at = sim.groups[at].parent


cdef inline void shadow_put(
    Sim *sim, Links *links, uint32_t slot, uint32_t over
) noexcept nogil:
    """Note at what age of a cgroup its reclaim dropped a page."""
    links.older[slot] = over
    links.used[slot] = sim.lists[over].age
    workingset_age(sim, over)


cdef inline bint refault(
    Sim *sim, const Links *links, uint32_t slot, uint32_t payer
) noexcept nogil:
    """Count a refault; return True if the page goes straight to the active list.

    It does if its refault distance (evictions and activations in the evicting cgroup
    since) is at most that cgroup's active list.
    """
    cdef uint32_t over = links.older[slot]
    sim.lists[payer].refaults += 1
    if sim.set.reclaim_lru or (
        sim.lists[over].age - links.used[slot]
        > <unsigned long long> sim.lists[over].active.total
    ):
        return False
    workingset_age(sim, payer)
    sim.lists[payer].activations += 1
    return True
