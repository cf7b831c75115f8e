"""Backing files: who owns which page, and the page cache of those on a disk."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from replay.engine.structures.arena cimport Arena, KeyMap

cdef enum:
    N_GENS = 4              # MAX_NR_GENS
    LEAST_GENS = 2          # MIN_NR_GENS
    N_TIERS = 4             # MAX_NR_TIERS
    NOT_YET = 4             # the list of pages that a CPU gathers

cdef struct Word:
    # 64 pages: one node of the page tree
    uint64_t present
    uint32_t payer          # of the node
    uint32_t owner          # of all that is present, or OWNERS_MARK | index of an Owners

cdef struct Leaf:
    # 512 pages
    Word words[8]

cdef struct Owners:
    uint32_t pages[64]

cdef struct Node:
    # of level 2 and up; level 1 is a word of Leaf.present
    uint32_t children
    uint32_t payer

cdef struct CacheLeaf:
    # 512 pages of a cached file; beside the Leaf of the same index, whose `present`
    # then means: in the page tree, be it as a shadow
    uint64_t cached[8]
    uint64_t dirty[8]
    uint64_t on_disk[8]
    uint64_t buffers[8]     # has buffer heads
    uint64_t marked[8]      # PG_readahead; of a dirty page PG_reclaim, the same bit
    uint64_t referenced[8]
    uint64_t active[8]
    uint64_t number         # page >> 9
    uint32_t links          # index of a Links, 0 = none of its pages is in a list
    bint listed_dirty       # its number stands in File.dirty_leaves

cdef struct Links:
    # places in the lists of 512 pages; a page is index << 9 | slot
    uint32_t older[512]
    uint32_t newer[512]
    uint64_t used[512]      # when it was used last; see also pages/workingset.pxd
    uint8_t state[512]      # of the multi-generational LRU: pages/lrugen.pxd
    uint32_t leaf
    uint16_t device

cdef struct PageList:
    uint32_t oldest
    uint32_t newest
    int64_t length
    int64_t total           # with descendants

cdef struct PageLists:
    PageList inactive
    PageList active
    uint64_t age            # pages dropped or activated, with descendants
    int64_t refaults        # dropped pages that it read again
    int64_t activations     # of those
    int64_t dirty           # pages that are, with descendants
    int64_t to_write        # dirty pages of files that are written back in its name
    int64_t written         # pages that were

cdef struct Tiers:
    # what the controller counts, by how often a page was read
    int64_t refaulted[4]
    int64_t evicted[4]
    int64_t protected_pages[4]

cdef struct Lrugen:
    # the generations of a cgroup; then the inactive list counts all of their pages
    PageList pages[5]       # by the number of a generation, modulo 4; then NOT_YET
    int64_t newest
    int64_t oldest
    Tiers history[4]        # by the oldest generation then, modulo 4
    int64_t average_refaulted[4]
    int64_t average_total[4]

cdef struct DirtySettings:
    # vm.dirty_*
    int64_t background_bytes
    int64_t background_share    # in 4096ths of what may be dirty
    int64_t limit_bytes
    int64_t iomax_share
    int64_t expire_ns
    int64_t interval_ns         # of the flusher threads, 0: they never wake by time
    bint balanced               # the machine's threshold may be known

cdef struct Protection:
    # memory.min and memory.low of a cgroup; pages
    int64_t least
    int64_t low
    int64_t effective_least     # as the last reclaim that came by found them
    int64_t effective_low
    int64_t children_least      # what its children use of their own
    int64_t children_low

cdef struct Window:
    # readahead; pages
    int64_t start
    int64_t size
    int64_t ahead
    int64_t position        # sector behind the last that was read, -1 = none
    int order               # of two, to which the next marked window is rounded down

cdef struct InodeOwner:
    # reference/pages/writeback.py
    int64_t memory          # cgroup, -1 = nobody
    int64_t winner
    int64_t average
    uint32_t history

cdef struct File:
    uint32_t *leaf_table    # index of a Leaf by its number, 0 = none
    uint64_t n_leaf_table
    KeyMap leaf_map         # leaves whose number is beyond MAX_TABLE_LEAVES
    KeyMap node_map         # level << 58 | index
    Arena leaves
    Arena nodes
    Arena owners
    int64_t n_pages
    int32_t height
    # of cached files alone
    Arena cache             # CacheLeaf
    Arena dirty_leaves      # uint64_t, numbers
    uint64_t found_number   # the last leaf that was looked for
    uint32_t found
    int64_t n_dirty
    int64_t dirtied_ns
    bint armed
    int64_t looked_at       # Sim.changes when the flusher last looked and found nothing
    Window window
    InodeOwner owner
