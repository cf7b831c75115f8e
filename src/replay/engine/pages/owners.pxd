"""Owners of a backing file's pages, and the page tree above them.

A leaf is 2 MiB in eight words. A word is one node of the kernel's page tree (64 slots):
64 bits of presence and one owner, or an owner a page once two cgroups share it. A first
touch of 64 pages costs one bit operation and one node; a page's word is 16 bytes.

    page 0x12345 -> leaf 0x91, word 5, bit 5     (page >> 9, page >> 6 & 7, page & 63)

Source: lib/xarray.c:xas_expand(), xas_create(), xas_delete_node(), xas_shrink(), v6.1.
A lone page 0 stands in the tree's head and needs no node. What exists is a function of
the set of pages alone; who paid for a node is whoever made it.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from replay.engine.state.pages cimport CacheLeaf, File, Leaf, Node, Owners, Word
from replay.engine.structures.arena cimport (
    Failed,
    arena_add,
    arena_close,
    arena_open,
    index_in,
    keymap_close,
    keymap_get,
    keymap_open,
    keymap_set,
)
from replay.engine.structures.bits cimport lowest_bit


cdef enum:
    MIN_TABLE_LEAVES = 512
    MAX_TABLE_LEAVES = 1 << 22      # 8 TiB of a file
    OWNERS_MARK = 1 << 30   # cgroups and tables are fewer
    NO_NODE = 0x7FFFFFFF    # payer of 64 pages that are a large page, or a part of one
    LEAF_SHIFT = 9
    LEAF_PAGES = 512
    WORD_SHIFT = 6          # also a tree node's slots
    WORD_PAGES = 64
    WORDS = 8
    NODE_LEVEL_SHIFT = 58   # key of a node: level | index; 2**58 nodes of 64 pages


cdef inline void file_open(File *file, bint cached, Failed *failed) noexcept nogil:
    """Make an empty file; sets `failed` if memory ran out."""
    keymap_open(&file.leaf_map, 64, failed)
    keymap_open(&file.node_map, 64, failed)
    arena_open(&file.leaves, sizeof(Leaf), failed)
    arena_open(&file.nodes, sizeof(Node), failed)
    arena_open(&file.owners, sizeof(Owners), failed)
    file.leaf_table = NULL
    file.n_leaf_table = 0
    file.n_pages = 0
    file.height = 0
    if cached:
        arena_open(&file.cache, sizeof(CacheLeaf), failed)
        arena_open(&file.dirty_leaves, sizeof(uint64_t), failed)


cdef inline void file_close(File *file) noexcept nogil:
    """Give the memory back."""
    free(file.leaf_table)
    file.leaf_table = NULL
    keymap_close(&file.leaf_map)
    keymap_close(&file.node_map)
    arena_close(&file.cache)
    arena_close(&file.dirty_leaves)
    arena_close(&file.leaves)
    arena_close(&file.nodes)
    arena_close(&file.owners)


cdef inline uint32_t leaf_index(const File *file, uint64_t number) noexcept nogil:
    """Return the index of a leaf, 0 if none of it was ever touched."""
    if number < file.n_leaf_table:
        return file.leaf_table[number]
    if number < MAX_TABLE_LEAVES:
        return 0
    return keymap_get(&file.leaf_map, number)


cdef inline void leaf_table_grow(File *file, uint64_t number) noexcept nogil:
    """Make the table reach to a leaf; what is never touched costs addresses alone."""
    cdef uint64_t n = max(<uint64_t> MIN_TABLE_LEAVES, file.n_leaf_table)
    cdef uint32_t *larger
    while n <= number:
        n *= 2
    larger = <uint32_t *> calloc(n, sizeof(uint32_t))
    if larger == NULL:
        file.leaves.failed.no_memory = True
        return
    if file.n_leaf_table > 0:
        memcpy(larger, file.leaf_table, file.n_leaf_table * sizeof(uint32_t))
    free(file.leaf_table)
    file.leaf_table = larger
    file.n_leaf_table = n


cdef inline Leaf *leaf_get(const File *file, uint64_t page) noexcept nogil:
    """Return the leaf of a page, NULL if none of it was ever touched."""
    cdef uint32_t index = leaf_index(file, page >> LEAF_SHIFT)
    if index == 0:
        return NULL
    return (<Leaf *> file.leaves.data) + index_in(&file.leaves, index)


cdef inline void leaf_record(File *file, uint64_t number, uint32_t index) noexcept nogil:
    """Remember where a leaf stands."""
    if index == 0:
        return
    if number >= MAX_TABLE_LEAVES:
        keymap_set(&file.leaf_map, number, index)
        return
    if number >= file.n_leaf_table:
        leaf_table_grow(file, number)
    if number < file.n_leaf_table:
        file.leaf_table[number] = index


cdef inline Leaf *leaf_make(File *file, uint64_t page) noexcept nogil:
    """Return the leaf of a page; makes it."""
    cdef uint64_t number = page >> LEAF_SHIFT
    cdef uint32_t index = leaf_index(file, number)
    if index == 0:
        index = arena_add(&file.leaves)
        leaf_record(file, number, index)
    return (<Leaf *> file.leaves.data) + index_in(&file.leaves, index)


cdef inline Word *word_at(Leaf *leaf, uint64_t page) noexcept nogil:
    """Return the word of a page, in its leaf."""
    return &leaf.words[<uint32_t> (page >> WORD_SHIFT) & (WORDS - 1)]


cdef inline uint32_t word_owner(
    const File *file, const Word *word, uint32_t slot
) noexcept nogil:
    """Return the owner of a present page."""
    if not word.owner & OWNERS_MARK:
        return word.owner
    return ((<Owners *> file.owners.data) + index_in(&file.owners, word.owner ^ OWNERS_MARK)).pages[slot]


cdef inline void word_share(File *file, Word *word) noexcept nogil:
    """Give a word of one owner an owner a page."""
    cdef uint32_t index = arena_add(&file.owners)
    cdef Owners *owners = (<Owners *> file.owners.data) + index_in(&file.owners, index)
    cdef uint32_t i
    for i in range(WORD_PAGES):
        owners.pages[i] = word.owner
    word.owner = OWNERS_MARK | index


cdef inline void word_own(
    File *file, Word *word, uint64_t mask, uint32_t owner
) noexcept nogil:
    """Give pages of a word an owner."""
    cdef Owners *owners
    cdef uint64_t rest = mask
    if word.owner != owner:
        if word.owner & OWNERS_MARK:
            pass            # it keeps its table, even if it was emptied
        elif word.present == 0:
            word.owner = owner
        else:
            word_share(file, word)
        if word.owner & OWNERS_MARK:
            owners = (<Owners *> file.owners.data) + index_in(&file.owners, word.owner ^ OWNERS_MARK)
            while rest != 0:
                owners.pages[lowest_bit(rest)] = owner
                rest &= rest - 1


cdef inline void word_put(
    File *file, Word *word, uint64_t mask, uint32_t owner, int64_t n_pages
) noexcept nogil:
    """Mark absent pages of a word, so many, as present and owned."""
    word_own(file, word, mask, owner)
    word.present |= mask
    file.n_pages += n_pages


cdef inline int32_t height_for(uint64_t page) noexcept nogil:
    """Return the levels that a tree needs to reach a page; 0 for page 0."""
    cdef int32_t height = 0
    while page != 0:
        page >>= WORD_SHIFT
        height += 1
    return height


cdef inline uint64_t node_key(int32_t level, uint64_t page) noexcept nogil:
    """Return the key of the node of a level that a page lies under."""
    if WORD_SHIFT * level >= 64:
        return <uint64_t> level << NODE_LEVEL_SHIFT
    return <uint64_t> level << NODE_LEVEL_SHIFT | page >> (WORD_SHIFT * level)


cdef inline Node *node_make(File *file, int32_t level, uint64_t page) noexcept nogil:
    """Return a node of level 2 or up; makes it, without children."""
    cdef uint64_t key = node_key(level, page)
    cdef uint32_t index = keymap_get(&file.node_map, key)
    if index == 0:
        index = arena_add(&file.nodes)
        if index != 0:
            keymap_set(&file.node_map, key, index)
    return (<Node *> file.nodes.data) + index_in(&file.nodes, index)


cdef inline uint32_t node_children(
    const File *file, int32_t level, uint64_t page
) noexcept nogil:
    """Return the children of a node of level 2 or up, 0 if it does not exist."""
    cdef uint32_t index = keymap_get(&file.node_map, node_key(level, page))
    return 0 if index == 0 else ((<Node *> file.nodes.data) + index_in(&file.nodes, index)).children


cdef inline int64_t tree_missing(
    const File *file, const Word *word, uint64_t page
) noexcept nogil:
    """Return how many nodes an absent page needs that are not there."""
    cdef int32_t height, level
    cdef int64_t missing = 0
    if word.present != 0 and file.height > 0:
        return 0
    height = max(file.height, height_for(page))
    if file.n_pages > 0:
        # the old head becomes slot 0 of every level put on top of it
        missing += height - file.height
    for level in range(1, height + 1):
        if level > file.height and file.n_pages > 0 and (
            page >> min(63, WORD_SHIFT * level)
        ) == 0:
            continue        # one of those just counted
        if level == 1:
            if word.present != 0 and file.height > 0:
                break
        elif level <= file.height and node_children(file, level, page) != 0:
            break
        missing += 1
    return missing


cdef inline void tree_insert(
    File *file, Word *word, uint64_t page, uint32_t payer
) noexcept nogil:
    """Make the nodes that an absent page needs; call before `word_put`."""
    cdef int32_t height, level
    cdef Node *node
    cdef bint exists
    if word.present != 0 and file.height > 0:
        return
    height = max(file.height, height_for(page))
    if file.n_pages > 0:
        for level in range(file.height + 1, height + 1):
            if level == 1:
                leaf_make(file, 0).words[0].payer = payer
            else:
                node = node_make(file, level, 0)
                node.children = 1
                node.payer = payer
    if height == 0:
        return
    exists = word.present != 0      # the lone page 0 has just got its node
    if not exists:
        word.payer = payer
    file.height = height
    for level in range(2, height + 1):
        if exists:
            return
        node = node_make(file, level, page)
        exists = node.children != 0
        if not exists:
            node.payer = payer
        node.children += 1


cdef inline int32_t large_height(uint64_t page, int order) noexcept nogil:
    """Return the levels that ``2**order`` pages, 64 or more, need."""
    return max(2, height_for(page + (<uint64_t> 1 << order) - 1))


cdef inline int64_t large_missing(
    const File *file, uint64_t page, int order
) noexcept nogil:
    """Return how many nodes are missing for pages that take slots of level 2."""
    cdef int32_t height = max(file.height, large_height(page, order))
    cdef int32_t level
    cdef int64_t missing = 0
    if file.n_pages > 0:
        missing += height - file.height
    for level in range(2, height + 1):
        if level > file.height and file.n_pages > 0 and (
            page >> min(63, WORD_SHIFT * level)
        ) == 0:
            continue
        if level <= file.height and node_children(file, level, page) != 0:
            break
        missing += 1
    return missing


cdef inline void large_insert(
    File *file, uint64_t page, int order, uint32_t payer
) noexcept nogil:
    """Make the nodes for pages that take slots of level 2; before `word_put`."""
    cdef int32_t height = max(file.height, large_height(page, order))
    cdef uint32_t more = 1 << (order - WORD_SHIFT)
    cdef Leaf *leaf = leaf_make(file, page)
    cdef int32_t level
    cdef uint32_t i
    cdef bint exists = False
    cdef Node *node
    if file.n_pages > 0:
        for level in range(file.height + 1, height + 1):
            if level == 1:
                leaf_make(file, 0).words[0].payer = payer
            else:
                node = node_make(file, level, 0)
                node.children = 1
                node.payer = payer
        leaf = leaf_make(file, page)
    file.height = height
    for i in range(more):
        word_at(leaf, page + i * WORD_PAGES).payer = NO_NODE
    for level in range(2, height + 1):
        if exists:
            return
        node = node_make(file, level, page)
        exists = node.children != 0
        if not exists:
            node.payer = payer
        node.children += more
        more = 1


cdef inline bint tree_only_slot_0(const File *file) noexcept nogil:
    """Return True if the root node holds nothing but its slot 0."""
    cdef const Leaf *leaf
    if file.height == 1:
        leaf = leaf_get(file, 0)
        return leaf != NULL and leaf.words[0].present == 1
    if node_children(file, file.height, 0) != 1:
        return False
    if file.height == 2:
        leaf = leaf_get(file, 0)
        return (
            leaf != NULL
            and leaf.words[0].present != 0
            and leaf.words[0].payer != NO_NODE
        )
    return node_children(file, file.height - 1, 0) != 0
