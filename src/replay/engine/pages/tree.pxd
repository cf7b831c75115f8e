"""Nodes of the page tree that freeing pages frees.

Source: lib/xarray.c:xas_delete_node(), xas_shrink(), v6.1.
"""

from libc.stdint cimport int32_t, uint32_t, uint64_t

from replay.engine.memcg.counters cimport kernel_pages, memory_count
from replay.engine.pages.owners cimport (
    NO_NODE,
    WORD_PAGES,
    leaf_make,
    node_make,
    tree_only_slot_0,
)
from replay.engine.state.pages cimport File, Node, Word
from replay.engine.state.sim cimport Sim
from replay.engine.state.units cimport NODE_BYTES


cdef inline uint64_t word_mask(uint64_t first, uint64_t end, uint64_t base) noexcept nogil:
    """Return which pages of the word that begins at `base` lie in [first, end)."""
    cdef uint64_t mask = ~<uint64_t> 0
    if first > base:
        mask <<= first - base
    if end - base < WORD_PAGES:
        mask &= (<uint64_t> 1 << (end - base)) - 1
    return mask


cdef inline void node_free(Sim *sim, uint32_t payer) noexcept nogil:
    """Give back what a node of the page tree cost."""
    if sim.set.reclaim_lru:
        return
    memory_count(sim, payer, kernel_pages(sim, payer, -NODE_BYTES))
    sim.groups[payer].kernel_bytes -= NODE_BYTES


cdef inline void tree_removed(
    Sim *sim, File *file, const Word *word, uint64_t page
) noexcept nogil:
    """Free the nodes that pages just taken out of one word leave empty."""
    cdef int32_t level
    cdef Node *node
    if word.present == 0 and file.height > 0:
        if word.payer != NO_NODE:
            node_free(sim, word.payer)
        for level in range(2, file.height + 1):
            node = node_make(file, level, page)
            node.children -= 1
            if node.children != 0:
                break
            node_free(sim, node.payer)
    if file.n_pages == 0:
        file.height = 0
    while file.height > 0 and tree_only_slot_0(file):
        if file.height == 1:
            node_free(sim, leaf_make(file, 0).words[0].payer)
        else:
            node = node_make(file, file.height, 0)
            node.children = 0
            node_free(sim, node.payer)
        file.height -= 1
