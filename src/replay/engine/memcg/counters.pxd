"""Memory counters of cgroups and their limits.

Source: mm/page_counter.c, mm/memcontrol.c, v6.1.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

from replay.engine.state.sim cimport Group, Sim
from replay.engine.state.units cimport PAGE_BYTES, PAGE_SHIFT


cdef inline int64_t ceil_pages(int64_t nbytes) noexcept nogil:
    """Return bytes in whole pages, rounded up."""
    return (nbytes + PAGE_BYTES - 1) >> PAGE_SHIFT


cdef inline int64_t kernel_pages(
    const Sim *sim, uint32_t payer, int64_t nbytes
) noexcept nogil:
    """Return by how many whole pages more (or fewer) kernel bytes change a charge."""
    cdef int64_t before = sim.groups[payer].kernel_bytes
    return ceil_pages(before + nbytes) - ceil_pages(before)


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


cdef inline bint pays_at_once(const Sim *sim, uint32_t payer) noexcept nogil:
    """Return True if a payer needs no stock: the root of a machine with memory enough."""
    return payer == 0 and sim.groups[0].limit < 0


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


cdef inline bint is_below(
    const Sim *sim, int32_t cgroup, int32_t ancestor
) noexcept nogil:
    """Return True if a cgroup is another one or lies under it."""
    while cgroup >= 0:
        if cgroup == ancestor:
            return True
        cgroup = sim.groups[cgroup].parent
    return False


cdef inline void preorder_fill(Sim *sim) noexcept nogil:
    """Order the cgroups so that what is below one stands behind it in one piece."""
    cdef uint32_t *at = sim.preorder_at
    cdef uint32_t *end = sim.preorder_end
    cdef uint32_t i = sim.n_cgroups
    cdef uint32_t parent
    # `end` first holds how many each subtree has, then where its next child goes
    while i > 0:
        i -= 1
        end[i] += 1
        if i > 0:
            end[sim.groups[i].parent] += end[i]
    for i in range(1, sim.n_cgroups):
        at[i] = end[i]
    end[0] = 1
    for i in range(1, sim.n_cgroups):
        parent = <uint32_t> sim.groups[i].parent
        end[i] = end[parent] + 1
        end[parent] += at[i]
        at[i] = end[i] - 1
    at[0] = 0
    for i in range(sim.n_cgroups):
        sim.preorder[at[i]] = i
