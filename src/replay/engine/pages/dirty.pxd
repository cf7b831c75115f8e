"""Counts of dirty pages, and the thresholds of background write-back.

Source: mm/page-writeback.c:domain_dirty_limits(), mdtc_calc_avail(),
wb_over_bg_thresh(), mm/memcontrol.c:mem_cgroup_wb_stats(), v6.1.
See reference/pages/dirty.py.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

from replay.engine.state.pages cimport PageLists
from replay.engine.state.sim cimport Sim
from replay.engine.state.units cimport PAGE_BYTES, PAGE_SHIFT

cdef extern from *:
    """
    typedef __int128 replay_dirty_product;
    """
    # products of two numbers of pages
    ctypedef long long dirty_product "replay_dirty_product"

cdef enum:
    UNKNOWN = -1


cdef inline int dirty_load(Sim *sim, object setup) except -1:
    """Set the thresholds; the state need not be open."""
    sim.set.dirty.background_bytes = setup.dirty_background_bytes
    sim.set.dirty.background_share = setup.dirty_background_ratio * PAGE_BYTES // 100
    sim.set.dirty.limit_bytes = setup.dirty_bytes
    sim.set.dirty.iomax_share = setup.dirty_ratio * PAGE_BYTES // 100
    sim.set.dirty.expire_ns = setup.dirty_expire_ns
    sim.set.dirty.interval_ns = setup.dirty_writeback_ns
    sim.set.dirty.balanced = setup.dirty_background_bytes > 0 or (
        setup.memory_max[0] >= 0
    )
    return 0


cdef inline int64_t most_pages() noexcept nogil:
    """Return more pages than any machine has."""
    return <int64_t> 1 << 50


cdef inline void dirty_count(
    Sim *sim, uint32_t payer, int64_t writer, int64_t n_pages
) noexcept nogil:
    """Add (or, if negative, remove) a payer's dirty pages of a writer's file."""
    cdef int32_t at = <int32_t> payer
    sim.lists[writer].to_write += n_pages
    while at >= 0:
        sim.lists[at].dirty += n_pages
        at = sim.groups[at].parent


cdef inline int64_t available_memory(const Sim *sim) noexcept nogil:
    """Return the pages of the machine that may be dirty, UNKNOWN without its memory."""
    cdef const PageLists *all_ = sim.lists
    cdef int64_t free_pages
    if sim.groups[0].limit < 0:
        return UNKNOWN
    free_pages = sim.groups[0].limit - sim.groups[0].usage
    free_pages += all_.inactive.total + all_.active.total
    return min(max(free_pages, 0) + 1, most_pages())


cdef inline int64_t below_limit(int64_t background, int64_t limit) noexcept nogil:
    """Return a background threshold; half the limit where it is not below that."""
    if limit == UNKNOWN:
        return background
    limit = min(limit, <int64_t> 0xFFFFFFFF)
    return limit // 2 if background >= limit else background


cdef inline int64_t global_background(const Sim *sim) noexcept nogil:
    """Return the machine's background threshold, UNKNOWN if it is not."""
    cdef int64_t available = available_memory(sim)
    cdef int64_t background = UNKNOWN
    cdef int64_t limit = UNKNOWN
    if sim.set.dirty.background_bytes > 0:
        background = (sim.set.dirty.background_bytes - 1) // PAGE_BYTES + 1
    elif available != UNKNOWN:
        background = sim.set.dirty.background_share * available >> PAGE_SHIFT
    if sim.set.dirty.limit_bytes > 0:
        limit = (sim.set.dirty.limit_bytes - 1) // PAGE_BYTES + 1
    elif available != UNKNOWN:
        limit = sim.set.dirty.iomax_share * available >> PAGE_SHIFT
    return UNKNOWN if background == UNKNOWN else below_limit(background, limit)


cdef inline int64_t share_of_machine(
    int64_t share, int64_t nbytes, int64_t available
) noexcept nogil:
    """Return a threshold's part of memory, in 4096ths; bytes scale by the machine's."""
    if nbytes == 0:
        return share
    if available == UNKNOWN:
        return UNKNOWN
    return min((nbytes - 1) // available + 1, PAGE_BYTES)


cdef inline int64_t own_background(const Sim *sim, uint32_t cgroup) noexcept nogil:
    """Return a cgroup's background threshold, UNKNOWN where nothing bounds it."""
    cdef const PageLists *lists = &sim.lists[cgroup]
    cdef int64_t available = available_memory(sim)
    cdef int64_t background = share_of_machine(
        sim.set.dirty.background_share, sim.set.dirty.background_bytes, available
    )
    cdef int64_t limit = share_of_machine(
        sim.set.dirty.iomax_share, sim.set.dirty.limit_bytes, available
    )
    cdef int64_t file_pages = lists.inactive.total + lists.active.total
    cdef int64_t headroom = UNKNOWN
    cdef int64_t ceiling, clean
    cdef int32_t at = <int32_t> cgroup
    if background == UNKNOWN:
        return UNKNOWN
    while at > 0:
        ceiling = sim.groups[at].limit
        if sim.groups[at].high >= 0 and (ceiling < 0 or sim.groups[at].high < ceiling):
            ceiling = sim.groups[at].high
        if ceiling >= 0:
            ceiling = max(0, ceiling - sim.groups[at].usage)
            headroom = ceiling if headroom == UNKNOWN else min(headroom, ceiling)
        at = sim.groups[at].parent
    if available != UNKNOWN:
        clean = available - min(available, sim.lists[0].dirty)
        clean -= min(clean, file_pages - min(file_pages, lists.dirty))
        headroom = clean if headroom == UNKNOWN else min(headroom, clean)
    if headroom == UNKNOWN:
        return UNKNOWN
    headroom = min(file_pages + headroom, most_pages())
    return below_limit(
        background * headroom >> PAGE_SHIFT,
        UNKNOWN if limit == UNKNOWN else limit * headroom >> PAGE_SHIFT,
    )


cdef inline bint is_over_background(const Sim *sim, uint32_t writer) noexcept nogil:
    """Return True if what is written in a cgroup's name is too much to be left dirty.

    The machine's threshold is shared by what each has written so far: who has written
    nothing yet has no share, whatever the machine's memory is. From 6.14 on an eighth of
    what is left of it is everybody's at least.
    """
    cdef const PageLists *mine = &sim.lists[writer]
    cdef int64_t background = global_background(sim)
    cdef int64_t share = 0
    if background != UNKNOWN and sim.lists[0].dirty > background:
        return True
    if writer == 0:
        return False
    if mine.written == 0 and not sim.set.share_floor:
        return mine.to_write > 0
    if background != UNKNOWN:
        if mine.written > 0:
            share = <int64_t> (
                <dirty_product> background * mine.written // sim.written
            )
        if sim.set.share_floor:
            share = max(share, (background - sim.lists[0].dirty) // 8)
        if mine.to_write > share:
            return True
    background = own_background(sim, writer)
    return background != UNKNOWN and max(mine.dirty, mine.to_write) > background
