"""Pages that come into a tmpfs file, and those that it had before the trace.

Source: mm/shmem.c:shmem_add_to_page_cache(), v6.1. See reference/charging/tmpfs.py.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine.memcg.counters cimport kernel_pages, memory_count
from replay.engine.pages.owners cimport (
    LEAF_SHIFT,
    WORDS,
    WORD_PAGES,
    leaf_get,
    leaf_make,
    tree_insert,
    tree_missing,
    word_put,
)
from replay.engine.state.pages cimport File, Leaf, Word
from replay.engine.state.sim cimport Sim
from replay.engine.state.units cimport NODE_BYTES
from replay.engine.structures.bits cimport popcount


cdef inline int64_t pages_put(
    Sim *sim, File *file, Word *word, uint64_t page, uint64_t mask, uint32_t payer
) noexcept nogil:
    """Put absent pages of one word in; return what they and their nodes cost, pages.

    ``page`` is the first of the mask: only it can need nodes.
    """
    cdef int64_t nodes = tree_missing(file, word, page)
    cdef int64_t n_pages = popcount(mask)
    cdef int64_t cost
    cdef uint64_t second
    if word.present == 0 or file.height == 0:
        tree_insert(file, word, page, payer)
        second = mask & (mask - 1)
        if page == 0 and nodes == 0 and file.height == 0 and second != 0:
            # page 0 alone needs no node, the page behind it does: for both
            word_put(file, word, 1, payer, 1)
            mask = second
            nodes = tree_missing(file, word, 1)
            tree_insert(file, word, 1, payer)
    word_put(file, word, mask, payer, popcount(mask))
    sim.fs_used += n_pages
    sim.groups[payer].shmem += n_pages
    if nodes == 0:
        return n_pages
    cost = n_pages + kernel_pages(sim, payer, nodes * NODE_BYTES)
    sim.groups[payer].kernel_bytes += nodes * NODE_BYTES
    return cost


cdef inline Leaf *leaf_laid_out(Sim *sim, File *file, uint64_t page) noexcept nogil:
    """Return a page's leaf; of a file laid out before the trace, with all its pages.

    How long such a file is the trace does not say: its pages count from the first time
    the trace touches their 2 MiB.
    """
    cdef Leaf *leaf = leaf_get(file, page)
    cdef uint32_t word, owner
    cdef uint64_t first
    cdef int64_t cost
    if leaf == NULL:
        leaf = leaf_make(file, page)
        if sim.set.laid_out_by >= 0:
            owner = <uint32_t> sim.set.laid_out_by
            first = page >> LEAF_SHIFT << LEAF_SHIFT
            for word in range(WORDS):
                cost = pages_put(
                    sim,
                    file,
                    &leaf.words[word],
                    first + word * WORD_PAGES,
                    ~<uint64_t> 0,
                    owner,
                )
                memory_count(sim, owner, cost)
    return leaf
