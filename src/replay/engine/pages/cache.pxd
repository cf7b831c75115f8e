"""Pages of cached files: their bits, their owners, their places in the lists.

A cached file has a `CacheLeaf` beside every `Leaf`. `Leaf.present` then says which pages
stand in the page tree: evicted ones stay there as shadows.

Source: mm/filemap.c, mm/swap.c:folio_mark_accessed(), lru_move_tail_fn(),
mm/workingset.c, v6.1.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from replay.engine.counting.charges cimport charge_of
from replay.engine.memcg.counters cimport kernel_pages, memory_count
from replay.engine.pages.owners cimport (
    LEAF_PAGES,
    LEAF_SHIFT,
    WORDS,
    WORD_SHIFT,
    leaf_index,
    leaf_record,
    word_owner,
)
from replay.engine.pages.lrugen cimport GENERATION, lrugen_shadow, state_read
from replay.engine.pages.workingset cimport shadow_put, workingset_age
from replay.engine.state.pages cimport (
    N_GENS,
    NOT_YET,
    CacheLeaf,
    File,
    Leaf,
    Links,
    PageList,
)
from replay.engine.state.sim cimport N_IO, Request, Sim
from replay.engine.state.units cimport PAGE_BYTES
from replay.engine.structures.arena cimport arena_add, index_in

cdef enum:
    # a buffer head: 104 and the object's own pointer; fs/buffer.c:alloc_page_buffers()
    BUFFER_BYTES = 112
    MAX_LINKS = 1 << 23     # so that a page's place fits 32 bits


cdef inline CacheLeaf *cache_at(const File *file, uint32_t index) noexcept nogil:
    """Return the bits of 512 pages; the pointer lives until the next leaf is made."""
    return (<CacheLeaf *> file.cache.data) + index_in(&file.cache, index)


cdef inline Leaf *leaf_at(const File *file, uint32_t index) noexcept nogil:
    """Return the owners of 512 pages, likewise."""
    return (<Leaf *> file.leaves.data) + index_in(&file.leaves, index)


cdef inline uint32_t word_of(uint64_t page) noexcept nogil:
    """Return the word of a leaf that a page stands in."""
    return <uint32_t> (page >> WORD_SHIFT) & (WORDS - 1)


cdef inline uint32_t page_owner(
    const File *file, uint32_t index, uint64_t page
) noexcept nogil:
    """Return the owner of a page that is cached."""
    return word_owner(
        file, &leaf_at(file, index).words[word_of(page)], <uint32_t> page & 63
    )


cdef inline uint64_t bit_of(uint64_t page) noexcept nogil:
    """Return a page's bit in its word."""
    return <uint64_t> 1 << (page & 63)


cdef inline uint32_t cache_find(File *file, uint64_t page) noexcept nogil:
    """Return the index of a page's leaf, 0 if it was never touched."""
    cdef uint64_t number = page >> LEAF_SHIFT
    cdef uint32_t index
    if file.found != 0 and file.found_number == number:
        return file.found
    index = leaf_index(file, number)
    if index != 0:
        file.found = index
        file.found_number = number
    return index


cdef inline bint cache_has(File *file, uint64_t page) noexcept nogil:
    """Return True if a page is in the cache."""
    cdef uint32_t index = cache_find(file, page)
    return index != 0 and (
        cache_at(file, index).cached[word_of(page)] & bit_of(page)
    ) != 0


cdef inline uint32_t cache_make(Sim *sim, File *file, uint64_t page) noexcept nogil:
    """Return the index of a page's leaf; makes it.

    Of a file laid out before the trace every page is on the disk. How long it is the
    trace does not say: for the size of the file system its pages count from here on.
    """
    cdef uint32_t index = cache_find(file, page)
    cdef uint32_t word
    cdef CacheLeaf *leaf
    if index != 0:
        return index
    index = arena_add(&file.leaves)
    if arena_add(&file.cache) != index or index == 0:
        file.cache.failed.no_memory = True
        return 0
    leaf_record(file, page >> LEAF_SHIFT, index)
    leaf = cache_at(file, index)
    leaf.number = page >> LEAF_SHIFT
    if sim.set.laid_out:
        for word in range(WORDS):
            leaf.on_disk[word] = ~<uint64_t> 0
        sim.fs_used += LEAF_PAGES
    return index


cdef inline void kernel_count(Sim *sim, uint32_t payer, int64_t nbytes) noexcept nogil:
    """Count what the kernel keeps, where no limit is looked at."""
    if sim.set.reclaim_lru:
        return
    memory_count(sim, payer, kernel_pages(sim, payer, nbytes))
    sim.groups[payer].kernel_bytes += nbytes


cdef inline int64_t *backing_of(Sim *sim, uint32_t cgroup) noexcept nogil:
    """Return a cgroup's I/O on the device below, NULL if nobody asks for it."""
    return NULL if sim.backing_io == NULL else sim.backing_io + <size_t> cgroup * N_IO


# -- the lists ------------------------------------------------------------------------


cdef inline bint is_listed(const Sim *sim, uint32_t owner) noexcept nogil:
    """Return True if a limit can ever reclaim a cgroup's pages."""
    return sim.groups[owner].limited >= 0 or sim.groups[owner].highs >= 0


cdef inline Links *links_at(const Sim *sim, uint32_t place) noexcept nogil:
    """Return the block that a page's place stands in."""
    return (<Links *> sim.links.data) + index_in(&sim.links, place >> LEAF_SHIFT)


cdef inline uint32_t place_of(
    Sim *sim, uint32_t device, uint32_t index, uint64_t page
) noexcept nogil:
    """Return a page's place; makes its leaf's block of places."""
    cdef CacheLeaf *leaf = cache_at(&sim.devices[device].file, index)
    cdef Links *links
    if leaf.links == 0:
        leaf.links = arena_add(&sim.links)
        if leaf.links >= MAX_LINKS:
            sim.links.failed.no_memory = True
            leaf.links = 0
        links = (<Links *> sim.links.data) + index_in(&sim.links, leaf.links)
        links.leaf = index
        links.device = <unsigned short> device
    return leaf.links << LEAF_SHIFT | <uint32_t> (page & (LEAF_PAGES - 1))


cdef inline PageList *list_of(
    Sim *sim, uint32_t owner, int at
) noexcept nogil:
    """Return one of a cgroup's lists: the inactive or active one, or a generation."""
    if sim.lrugens != NULL:
        return &sim.lrugens[owner].pages[at]
    return &sim.lists[owner].active if at else &sim.lists[owner].inactive


cdef inline void list_count(
    Sim *sim, uint32_t owner, int which, int64_t n_pages
) noexcept nogil:
    """Count pages that come into a list, there and in every ancestor."""
    cdef int32_t at = <int32_t> owner
    list_of(sim, owner, which).length += n_pages
    if sim.lrugens != NULL:
        sim.lists[owner].inactive.length += n_pages
        while at >= 0:
            sim.lists[at].inactive.total += n_pages
            at = sim.groups[at].parent
        return
    while at >= 0:
        list_of(sim, <uint32_t> at, which).total += n_pages
        at = sim.groups[at].parent


cdef inline void list_push(
    Sim *sim, uint32_t owner, int which, uint32_t place, bint oldest
) noexcept nogil:
    """Put a page in, as a list's newest or as its oldest."""
    cdef PageList *pages = list_of(sim, owner, which)
    cdef Links *links = links_at(sim, place)
    cdef uint32_t slot = place & (LEAF_PAGES - 1)
    links.older[slot] = 0 if oldest else pages.newest
    links.newer[slot] = pages.oldest if oldest else 0
    if oldest:
        if pages.oldest != 0:
            links_at(sim, pages.oldest).older[pages.oldest & (LEAF_PAGES - 1)] = place
        pages.oldest = place
        if pages.newest == 0:
            pages.newest = place
    else:
        if pages.newest != 0:
            links_at(sim, pages.newest).newer[pages.newest & (LEAF_PAGES - 1)] = place
        pages.newest = place
        if pages.oldest == 0:
            pages.oldest = place
    list_count(sim, owner, which, 1)


cdef inline void list_remove(
    Sim *sim, uint32_t owner, int which, uint32_t place
) noexcept nogil:
    """Take a page out."""
    cdef PageList *pages = list_of(sim, owner, which)
    cdef Links *links = links_at(sim, place)
    cdef uint32_t slot = place & (LEAF_PAGES - 1)
    cdef uint32_t older = links.older[slot]
    cdef uint32_t newer = links.newer[slot]
    if older != 0:
        links_at(sim, older).newer[older & (LEAF_PAGES - 1)] = newer
    else:
        pages.oldest = newer
    if newer != 0:
        links_at(sim, newer).older[newer & (LEAF_PAGES - 1)] = older
    else:
        pages.newest = older
    list_count(sim, owner, which, -1)


cdef inline uint8_t *state_of(const Sim *sim, uint32_t place) noexcept nogil:
    """Return a page's state, which lives until the next block of places is made."""
    return &links_at(sim, place).state[place & (LEAF_PAGES - 1)]


cdef inline void generation_put(
    Sim *sim, uint32_t owner, uint32_t place, int64_t generation, bint oldest
) noexcept nogil:
    """Put a page in as a generation's newest, or as its oldest."""
    cdef int at = <int> (generation % N_GENS)
    cdef uint8_t *state = state_of(sim, place)
    state[0] = (state[0] & ~GENERATION) | at
    list_push(sim, owner, at, place, oldest)


cdef inline void generation_leave(
    Sim *sim, uint32_t owner, uint32_t place
) noexcept nogil:
    """Take a page out of its generation."""
    list_remove(sim, owner, state_of(sim, place)[0] & GENERATION, place)


cdef inline void page_used(Sim *sim, uint32_t place) noexcept nogil:
    """Note that a page is used now; `reclaim = "lru"` alone looks at it."""
    sim.uses += 1
    links_at(sim, place).used[place & (LEAF_PAGES - 1)] = sim.uses


cdef inline void page_move(
    Sim *sim, CacheLeaf *leaf, uint32_t owner, uint64_t page, uint32_t place, bint active
) noexcept nogil:
    """Make a page the newest of one of its owner's lists."""
    cdef uint32_t word = word_of(page)
    cdef uint64_t bit = bit_of(page)
    list_remove(sim, owner, (leaf.active[word] & bit) != 0, place)
    if active:
        leaf.active[word] |= bit
    else:
        leaf.active[word] &= ~bit
    list_push(sim, owner, active, place, False)


cdef inline void page_accessed(
    Sim *sim, uint32_t device, uint32_t index, uint64_t page
) noexcept nogil:
    """A page is read: the second time makes it active."""
    cdef File *file = &sim.devices[device].file
    cdef CacheLeaf *leaf = cache_at(file, index)
    cdef uint32_t owner = page_owner(file, index, page)
    cdef uint32_t word = word_of(page)
    cdef uint64_t bit = bit_of(page)
    cdef uint32_t place
    if not is_listed(sim, owner):
        return
    place = place_of(sim, device, index, page)
    if sim.lrugens != NULL:
        state_of(sim, place)[0] = state_read(sim, state_of(sim, place)[0])
    elif sim.set.reclaim_lru:
        page_move(sim, leaf, owner, page, place, False)
        page_used(sim, place)
    elif leaf.referenced[word] & bit == 0:
        leaf.referenced[word] |= bit
    elif leaf.active[word] & bit == 0:
        page_move(sim, leaf, owner, page, place, True)
        leaf.referenced[word] &= ~bit
        workingset_age(sim, owner)


cdef inline void page_cleaned(
    Sim *sim, uint32_t device, uint32_t index, uint64_t page, uint32_t owner
) noexcept nogil:
    """A page was written back: it goes first if reclaim met it while it was dirty.

    Source: mm/filemap.c:folio_end_writeback(), mm/swap.c:lru_move_tail_fn(), v6.1.
    """
    cdef CacheLeaf *leaf = cache_at(&sim.devices[device].file, index)
    cdef uint32_t word = word_of(page)
    cdef uint64_t bit = bit_of(page)
    cdef uint32_t place
    leaf.dirty[word] &= ~bit
    if leaf.marked[word] & bit == 0:
        return
    leaf.marked[word] &= ~bit
    if not is_listed(sim, owner):
        return
    place = place_of(sim, device, index, page)
    if sim.lrugens != NULL:
        if state_of(sim, place)[0] & GENERATION != NOT_YET:
            generation_leave(sim, owner, place)
            generation_put(sim, owner, place, sim.lrugens[owner].oldest, True)
        return
    list_remove(sim, owner, (leaf.active[word] & bit) != 0, place)
    leaf.active[word] &= ~bit
    list_push(sim, owner, False, place, True)


cdef inline void page_evict(
    Sim *sim,
    const Request *request,
    uint32_t device,
    uint32_t index,
    uint64_t page,
    int32_t over,
) noexcept nogil:
    """Drop a clean page; its place in the tree stays. The request is what needs it.

    ``over`` is the cgroup whose reclaim drops it, -1 where the page's data goes.
    """
    cdef File *file = &sim.devices[device].file
    cdef CacheLeaf *leaf = cache_at(file, index)
    cdef uint32_t owner = page_owner(file, index, page)
    cdef uint32_t word = word_of(page)
    cdef uint64_t bit = bit_of(page)
    cdef uint32_t place, slot
    cdef Links *links
    if is_listed(sim, owner):
        place = place_of(sim, device, index, page)
        links = links_at(sim, place)
        slot = place & (LEAF_PAGES - 1)
        if sim.lrugens != NULL:
            generation_leave(sim, owner, place)
        else:
            list_remove(sim, owner, (leaf.active[word] & bit) != 0, place)
        if over >= 0 and sim.lrugens != NULL:
            lrugen_shadow(sim, links, slot, owner)
        elif over >= 0:
            shadow_put(sim, links, slot, <uint32_t> over)
    leaf.cached[word] &= ~bit
    leaf.marked[word] &= ~bit
    leaf.referenced[word] &= ~bit
    leaf.active[word] &= ~bit
    sim.groups[owner].file -= 1
    memory_count(sim, owner, -1)
    charge_of(sim, request, owner).uncharged_bytes += PAGE_BYTES
    if leaf.buffers[word] & bit != 0:
        leaf.buffers[word] &= ~bit
        kernel_count(sim, owner, -BUFFER_BYTES)
