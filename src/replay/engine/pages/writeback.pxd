"""Write-back of dirty page cache: when, and in whose name.

Sources: fs/fs-writeback.c:wbc_account_cgroup_owner(), wbc_detach_inode(),
writeback_chunk_size(), mm/page-writeback.c, v6.1. See reference/pages/writeback.py.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport qsort

from replay.engine.pages.cache cimport (
    backing_of,
    bit_of,
    cache_at,
    cache_find,
    page_cleaned,
    page_owner,
    word_of,
)
from replay.engine.pages.dirty cimport (
    dirty_count,
    global_background,
    is_over_background,
)
from replay.engine.pages.owners cimport LEAF_SHIFT, WORDS, WORD_PAGES
from replay.engine.state.events cimport max_event_ns, push
from replay.engine.state.halting cimport PAGE_WORK, goes_on
from replay.engine.state.pages cimport CacheLeaf, File, InodeOwner
from replay.engine.state.sim cimport EVENT_TIMER, IO_WBYTES, IO_WIOS, Sim
from replay.engine.state.split_counts cimport begins_part
from replay.engine.state.units cimport PAGE_BYTES
from replay.engine.structures.arena cimport arena_add
from replay.engine.structures.bits cimport low_bits, popcount
from replay.engine.structures.heap cimport RANK_KIND_SHIFT, Event, Heap, heap_first

cdef enum:
    CHUNK_PAGES = 13312
    BANDWIDTH = 25600           # INIT_BW, pages a second
    TIME_SHIFT = 13             # WB_FRN_TIME_SHIFT
    AVERAGE_SHIFT = 3           # WB_FRN_TIME_AVG_SHIFT
    CUT = 8                     # WB_FRN_TIME_CUT_DIV
    SLOT = 1024                 # WB_FRN_HIST_UNIT
    MOST_SLOTS = 5              # WB_FRN_HIST_MAX_SLOTS
    SWITCH = 8                  # WB_FRN_HIST_THR_SLOTS
    # events that are looked through for what may happen next
    MOST_AHEAD = 64

cdef struct Round:
    # one round of write-back, its pages in their order
    int64_t own             # pages of the inode's owner,
    int64_t last            # of the last round's winner,
    int64_t candidate       # and the majority vote over the others'
    int64_t candidate_id
    int64_t pages
    int64_t bios
    int64_t length          # of the run of pages so far
    uint64_t behind         # the page behind it
    int64_t max_sectors     # of a bio


cdef inline void round_open(const Sim *sim, Round *round) noexcept nogil:
    """Begin a round."""
    round.max_sectors = sim.set.max_sectors
    round.own = round.last = round.candidate = round.pages = round.bios = 0
    round.length = 0
    round.behind = 0
    round.candidate_id = -1


cdef inline void round_add(
    Round *round, const InodeOwner *owner, uint64_t page, uint32_t whose
) noexcept nogil:
    """Write one page; majority vote by Boyer and Moore."""
    round.length = round.length + 1 if round.length > 0 and round.behind == page else 1
    round.behind = page + 1
    round.bios += begins_part(round.max_sectors, round.length)
    round.pages += 1
    if whose == owner.memory:
        round.own += 1
        return
    if whose == owner.winner:
        round.last += 1
    if round.candidate == 0:
        round.candidate_id = whose
    if whose == round.candidate_id:
        round.candidate += 1
    elif round.candidate > 0:
        round.candidate -= 1


cdef inline void round_end(Sim *sim, File *file, Round *round) noexcept nogil:
    """Count a round's I/O for the inode's owner, and switch the owner if need be.

    Who is foreign in more than 8 of the last 16 slots of an eighth of a second of I/O
    becomes the owner. A round shifts in 5 slots at most; one below an eighth of the
    average counts for nothing.
    """
    cdef int64_t winner, most, time_, average, slots
    cdef int64_t *io
    cdef InodeOwner *owner = &file.owner
    if round.pages == 0:
        return
    sim.lists[owner.memory].written += round.pages
    sim.written += round.pages
    io = backing_of(sim, sim.blkcg[owner.memory])
    if io != NULL:
        io[IO_WBYTES] += round.pages * PAGE_BYTES
        io[IO_WIOS] += round.bios
    if round.own >= round.last and round.own >= round.candidate:
        winner = owner.memory
        most = round.own
    elif round.last >= round.candidate:
        winner = owner.winner
        most = round.last
    else:
        winner = round.candidate_id
        most = round.candidate
    time_ = ((most << TIME_SHIFT) + BANDWIDTH - 1) // BANDWIDTH
    average = time_
    if owner.average != 0:
        average = (
            owner.average + (time_ >> AVERAGE_SHIFT) - (owner.average >> AVERAGE_SHIFT)
        )
    owner.average = min(average, 0xFFFF)
    owner.winner = winner
    if time_ >= average // CUT:
        slots = min((time_ + SLOT - 1) // SLOT, MOST_SLOTS)
        owner.history = (owner.history << slots) & 0xFFFF
        if winner != owner.memory:
            owner.history |= (<uint32_t> 1 << slots) - 1
        if popcount(owner.history) > SWITCH:
            sim.lists[owner.memory].to_write -= file.n_dirty
            sim.lists[winner].to_write += file.n_dirty
            owner.memory = winner
            owner.winner = -1
            owner.average = 0
            owner.history = 0


cdef inline void word_clean(
    Sim *sim,
    uint32_t device,
    uint32_t index,
    uint32_t word,
    uint64_t mask,
    Round *round,
) noexcept nogil:
    """Write back the dirty pages of one word that lie in a mask."""
    cdef File *file = &sim.devices[device].file
    cdef uint64_t dirty = cache_at(file, index).dirty[word] & mask
    cdef uint64_t first = (
        cache_at(file, index).number << LEAF_SHIFT
    ) + word * WORD_PAGES
    cdef uint64_t page
    cdef uint32_t owner
    file.n_dirty -= popcount(dirty)
    while dirty != 0:
        page = first + popcount((dirty & -dirty) - 1)
        dirty &= dirty - 1
        owner = page_owner(file, index, page)
        round_add(round, &file.owner, page, owner)
        dirty_count(sim, owner, file.owner.memory, -1)
        page_cleaned(sim, device, index, page, owner)


cdef inline void page_write_back(
    Sim *sim, uint32_t device, uint32_t index, uint64_t page
) noexcept nogil:
    """Write one dirty page back: a round of its own."""
    cdef Round round
    round_open(sim, &round)
    word_clean(sim, device, index, word_of(page), bit_of(page), &round)
    round_end(sim, &sim.devices[device].file, &round)


cdef inline int number_compare(const void *a, const void *b) noexcept nogil:
    """Order two numbers of leaves."""
    cdef uint64_t left = (<const uint64_t *> a)[0]
    cdef uint64_t right = (<const uint64_t *> b)[0]
    return (left > right) - (left < right)


cdef inline void file_write(
    Sim *sim, uint32_t device, int64_t chunk, bint background
) noexcept nogil:
    """Write a file back, in rounds of at most so many pages.

    Writes all of it; in the background only until the dirty pages are below the
    threshold.
    """
    cdef File *file = &sim.devices[device].file
    cdef uint64_t *numbers = <uint64_t *> file.dirty_leaves.data
    cdef uint32_t n = file.dirty_leaves.length
    cdef uint32_t i, index, word, kept
    cdef uint64_t some, dirty
    cdef Round round
    if file.n_dirty == 0:
        return
    sim.changes += 1
    qsort(numbers + 1, n - 1, sizeof(uint64_t), number_compare)
    round_open(sim, &round)
    for i in range(1, n):
        index = cache_find(file, numbers[i] << LEAF_SHIFT)
        cache_at(file, index).listed_dirty = False
        for word in range(WORDS):
            dirty = cache_at(file, index).dirty[word]
            while dirty != 0 and goes_on(sim, PAGE_WORK):
                if round.pages == chunk:
                    round_end(sim, file, &round)
                    round_open(sim, &round)
                    if background and not is_over_background(
                        sim, <uint32_t> file.owner.memory
                    ):
                        cache_at(file, index).listed_dirty = True
                        for kept in range(i, n):
                            numbers[kept - i + 1] = numbers[kept]
                        file.dirty_leaves.length = n - i + 1
                        return
                some = low_bits(dirty, chunk - round.pages)
                word_clean(sim, device, index, word, some, &round)
                dirty &= ~some
    round_end(sim, file, &round)
    file.dirty_leaves.length = 1


cdef inline void file_sync(Sim *sim, uint32_t device, int64_t chunk) noexcept nogil:
    """Write all of a file back, in rounds of at most so many pages."""
    file_write(sim, device, chunk, False)


cdef inline void flushers_wake(Sim *sim) noexcept nogil:
    """Write back all that is dirty: reclaim met nothing else.

    Source: mm/vmscan.c:shrink_inactive_list(),
    fs/fs-writeback.c:wakeup_flusher_threads(), v6.1.
    """
    cdef uint32_t device
    for device in range(sim.n_devices):
        file_sync(sim, device, CHUNK_PAGES)


cdef inline void files_sync(Sim *sim) noexcept nogil:
    """Write back all that is dirty, as ``sync`` does."""
    cdef uint32_t device
    for device in range(sim.n_devices):
        file_sync(sim, device, sim.devices[device].file.n_dirty)


cdef inline void write_back_arm(
    Sim *sim, uint32_t device, int64_t now
) noexcept nogil:
    """Set when the flusher thread looks at a file."""
    cdef int64_t when_ns = now + sim.set.dirty.interval_ns
    if sim.set.dirty.interval_ns > 0:
        sim.devices[device].file.armed = True
        push(sim, when_ns, EVENT_TIMER, sim.n_devices + device, 0)


cdef inline void page_dirty(
    Sim *sim, uint32_t device, uint32_t index, uint64_t page, int64_t now
) noexcept nogil:
    """A clean page becomes dirty; the first one of a file sets its timer."""
    cdef File *file = &sim.devices[device].file
    cdef CacheLeaf *leaf = cache_at(file, index)
    cdef uint32_t entry
    leaf.dirty[word_of(page)] |= bit_of(page)
    if file.owner.memory < 0:
        file.owner.memory = page_owner(file, index, page)
    if file.n_dirty == 0:
        file.dirtied_ns = now
        if not file.armed:
            write_back_arm(sim, device, now)
    file.n_dirty += 1
    dirty_count(sim, page_owner(file, index, page), file.owner.memory, 1)
    if not leaf.listed_dirty:
        leaf.listed_dirty = True
        entry = arena_add(&file.dirty_leaves)
        (<uint64_t *> file.dirty_leaves.data)[entry] = leaf.number


cdef inline void write_back_timer(
    Sim *sim, uint32_t device, int64_t now
) noexcept nogil:
    """The flusher thread looks at a file: is it dirty for too long, or too much?

    Source: fs/fs-writeback.c:wb_do_writeback(), wb_check_old_data_flush(),
    wb_check_background_flush(), v6.1.
    """
    cdef File *file = &sim.devices[device].file
    file.armed = False
    if file.n_dirty == 0:
        return
    if file.dirtied_ns + sim.set.dirty.expire_ns <= now:
        file_sync(sim, device, CHUNK_PAGES)
        return
    if is_over_background(sim, <uint32_t> file.owner.memory):
        file_write(sim, device, CHUNK_PAGES, True)
    if file.n_dirty > 0:
        file.looked_at = sim.changes
        write_back_arm(sim, device, last_quiet_look(sim, file, now))


cdef inline int64_t quiet_until(const Sim *sim, const File *file) noexcept nogil:
    """Return a time before which nothing happens but that flushers look in vain.

    One that has looked since something changed finds the same again, until its pages
    have been dirty for too long.
    """
    cdef int64_t until = min(
        sim.next_row_ns, file.dirtied_ns + sim.set.dirty.expire_ns
    )
    cdef const Heap *heap = &sim.heap
    cdef size_t i
    if heap.length > MOST_AHEAD:
        # then something happens soon
        return min(until, heap_first(heap).when_ns)
    for i in range(heap.lane_first, heap.lane_end):
        until = min(until, may_change_at(sim, &heap.lane[i]))
    for i in range(heap.n_events):
        until = min(until, may_change_at(sim, &heap.events[i]))
    return until


cdef inline int64_t may_change_at(const Sim *sim, const Event *event) noexcept nogil:
    """Return before when an event changes nothing: a flusher may look in vain."""
    cdef uint64_t sequence = event.rank & ((<uint64_t> 1 << RANK_KIND_SHIFT) - 1)
    cdef const File *file
    if event.rank >> RANK_KIND_SHIFT != EVENT_TIMER or sequence < sim.n_devices:
        return event.when_ns
    file = &sim.devices[sequence - sim.n_devices].file
    if file.n_dirty == 0:
        return max_event_ns()
    if file.looked_at == sim.changes:
        return file.dirtied_ns + sim.set.dirty.expire_ns
    return event.when_ns


cdef inline int64_t last_quiet_look(
    const Sim *sim, const File *file, int64_t now
) noexcept nogil:
    """Return when the flusher looks for the last time before anything can happen."""
    cdef int64_t until = min(quiet_until(sim, file), max_event_ns())
    return now + max(0, (until - 1 - now) // sim.set.dirty.interval_ns) * (
        sim.set.dirty.interval_ns
    )


cdef inline void dirty_balance(Sim *sim) noexcept nogil:
    """A worker has dirtied pages: above the machine's threshold the root's go.

    A worker's own cgroup is the root, and it is that one's flusher that it wakes.
    Source: mm/page-writeback.c:balance_dirty_pages(), v6.1.
    """
    cdef uint32_t device
    cdef int64_t background
    if sim.lists[0].to_write == 0:
        return
    background = global_background(sim)
    if background < 0 or sim.lists[0].dirty <= background:
        return
    for device in range(sim.n_devices):
        if sim.devices[device].file.owner.memory == 0 and is_over_background(sim, 0):
            file_write(sim, device, CHUNK_PAGES, True)
