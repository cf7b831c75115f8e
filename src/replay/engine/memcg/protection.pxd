"""Memory that ``memory.min`` and ``memory.low`` protect from reclaim.

Sources: mm/memcontrol.c:mem_cgroup_calculate_protection(), effective_protection(),
mm/vmscan.c:shrink_node_memcgs(), get_scan_count(), v6.1. See reference/memcg/protection.py.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

from replay.engine.state.pages cimport Protection
from replay.engine.state.sim cimport Sim

cdef extern from *:
    """
    typedef __int128 replay_page_product;
    """
    # products of two numbers of pages
    ctypedef long long double_pages "replay_page_product"

cdef enum:
    LEAST_SCANNED = 32          # SWAP_CLUSTER_MAX


cdef inline int64_t effective_protection(
    const Sim *sim,
    int64_t usage,
    int64_t parent_usage,
    int64_t setting,
    int64_t parent_effective,
    int64_t siblings,
) noexcept nogil:
    """Return a cgroup's share of what its parent has to give; pages."""
    cdef int64_t protected_ = min(usage, setting)
    if siblings > parent_effective:
        return <int64_t> (<double_pages> protected_ * parent_effective // siblings)
    if (
        sim.set.recursive_protection
        and parent_effective > siblings
        and parent_usage > siblings
        and usage > protected_
    ):
        return protected_ + <int64_t> (
            <double_pages> (parent_effective - siblings)
            * (usage - protected_)
            // (parent_usage - siblings)
        )
    return protected_


cdef inline void protection_enter(
    Sim *sim, uint32_t cgroup, uint32_t over
) noexcept nogil:
    """Work out a cgroup's protection when reclaim comes to it, its parent before.

    The reclaim's own cgroup has none.
    """
    cdef Protection *mine = &sim.protection[cgroup]
    cdef const Protection *above
    cdef int64_t usage = sim.groups[cgroup].usage
    cdef int64_t parent_usage
    cdef uint32_t at = sim.preorder_at[cgroup] + 1
    cdef uint32_t child
    mine.children_least = mine.children_low = 0
    while at < sim.preorder_end[cgroup]:
        child = sim.preorder[at]
        mine.children_least += min(
            sim.groups[child].usage, sim.protection[child].least
        )
        mine.children_low += min(sim.groups[child].usage, sim.protection[child].low)
        at = sim.preorder_end[child]
    if cgroup == over:
        mine.effective_least = mine.effective_low = 0
        return
    if sim.groups[cgroup].parent == <int64_t> over:
        mine.effective_least = mine.least
        mine.effective_low = mine.low
        return
    above = &sim.protection[sim.groups[cgroup].parent]
    parent_usage = sim.groups[sim.groups[cgroup].parent].usage
    mine.effective_least = effective_protection(
        sim, usage, parent_usage, mine.least, above.effective_least, above.children_least
    )
    mine.effective_low = effective_protection(
        sim, usage, parent_usage, mine.low, above.effective_low, above.children_low
    )


cdef inline bint protection_allows(
    Sim *sim, uint32_t cgroup, uint32_t over, bint low_too, bint *low_held
) noexcept nogil:
    """Return True if reclaim may scan a cgroup; memory.low protects as far as it can."""
    cdef int32_t at
    if cgroup == over or cgroup == 0:
        return True
    if sim.protection[cgroup].effective_least >= sim.groups[cgroup].usage:
        return False
    if sim.protection[cgroup].effective_low >= sim.groups[cgroup].usage:
        if not low_too:
            low_held[0] = True
            return False
        at = <int32_t> cgroup
        while at > 0:
            sim.groups[at].low_events += 1
            at = sim.groups[at].parent
    return True


cdef inline int64_t pages_to_scan(
    const Sim *sim, int64_t n_pages, uint32_t cgroup, bint low_too, bint *low_held
) noexcept nogil:
    """Return how many pages of a list count."""
    cdef int64_t least, low, kept
    if sim.protection == NULL:
        return n_pages
    least = sim.protection[cgroup].effective_least
    low = sim.protection[cgroup].effective_low
    if least == 0 and low == 0:
        return n_pages
    kept = least
    if not low_too and low > least:
        low_held[0] = True
        kept = low
    return max(
        n_pages
        - <int64_t> (
            <double_pages> n_pages
            * kept
            // (max(sim.groups[cgroup].usage, kept) + 1)
        ),
        LEAST_SCANNED,
    )
