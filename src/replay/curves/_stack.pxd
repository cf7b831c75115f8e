"""LRU stack distances of pages, exact, in O(log n) an access.

The distance of an access is the number of different pages used since the last access to
the same page, that page included: a cache of so many pages or more holds it, a smaller one
does not (Mattson, 1970). Each page has a mark at the time of its last access, and a
Fenwick tree over times counts the marks behind one.

    accesses   a b c a      times 1 2 3 4; before the last one marks stand at 1, 2, 3
    distance of the second a: marks behind time 1 are 2 (b, c), itself is 1: 3

A page that is discarded leaves a hole: a cache that held it has room for one more, one
that did not has not. The mark stays, as a hole. What is used from below it moves the
pages above down into it, up to the first hole: that one goes, and the place that the page
leaves is a hole instead (none for a new page).
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from replay.engine.structures.arena cimport (
    Arena,
    Failed,
    KeyMap,
    arena_add,
    arena_close,
    arena_open,
    index_in,
    keymap_close,
    keymap_get,
    keymap_open,
    keymap_set,
)

cdef enum:
    FIRST_TIMES = 1 << 10
    MOST_TIMES = 1 << 30

cdef enum:
    HOLE = 0xFFFFFFFFU      # in place of a page

cdef enum:
    NOT_SAMPLED = -1
    NO_MEMORY = -2

cdef struct Page:
    uint32_t time           # of its last access, 0 = not there

cdef struct LruStack:
    Failed failed
    KeyMap map
    Arena pages
    uint32_t *tree          # marks, as a Fenwick tree over times 1 to capacity
    uint32_t *holes         # those of them that are holes, likewise
    uint32_t *page_at       # index of the page with its mark at a time, 0 = none
    uint32_t capacity
    uint32_t now
    uint32_t n_marks
    uint32_t n_holes
    uint64_t threshold      # pages whose hash is below it are looked at
    int64_t *counts         # needed uses by distance
    int64_t *on_disk        # of them, those of pages that stand on the disk
    int64_t n_counts
    int64_t n_needed        # needed uses, those that are not looked at too


cdef inline uint64_t spread(uint64_t key) noexcept nogil:
    """Hash a page for the sample (splitmix64: neighbours must be independent)."""
    key += <uint64_t> 0x9E3779B97F4A7C15
    key = (key ^ (key >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    key = (key ^ (key >> 27)) * <uint64_t> 0x94D049BB133111EB
    return key ^ (key >> 31)


cdef inline int64_t fenwick_sum(const uint32_t *tree, uint32_t time) noexcept nogil:
    """Add up the values at a time and before."""
    cdef int64_t found = 0
    while time > 0:
        found += tree[time]
        time &= time - 1
    return found


cdef inline void fenwick_add(
    uint32_t *tree, uint32_t capacity, uint32_t time, int change
) noexcept nogil:
    """Change the value at a time."""
    while time <= capacity:
        tree[time] = <uint32_t> (<int64_t> tree[time] + change)
        time += time & (0 - time)


cdef inline void fenwick_build(uint32_t *tree, uint32_t capacity) noexcept nogil:
    """Make a tree of the values in its place."""
    cdef uint32_t time, parent
    for time in range(1, capacity + 1):
        parent = time + (time & (0 - time))
        if parent <= capacity:
            tree[parent] += tree[time]


cdef inline bint stack_open(LruStack *stack, uint64_t threshold) noexcept nogil:
    """Make an empty stack; return False if memory ran out. Close it in either case."""
    memset(stack, 0, sizeof(LruStack))
    stack.threshold = threshold
    stack.capacity = FIRST_TIMES
    keymap_open(&stack.map, 64, &stack.failed)
    arena_open(&stack.pages, sizeof(Page), &stack.failed)
    stack.tree = <uint32_t *> calloc(FIRST_TIMES + 1, sizeof(uint32_t))
    stack.holes = <uint32_t *> calloc(FIRST_TIMES + 1, sizeof(uint32_t))
    stack.page_at = <uint32_t *> calloc(FIRST_TIMES + 1, sizeof(uint32_t))
    return not (
        stack.failed.no_memory
        or stack.tree == NULL
        or stack.holes == NULL
        or stack.page_at == NULL
    )


cdef inline void stack_close(LruStack *stack) noexcept nogil:
    """Give the memory back."""
    keymap_close(&stack.map)
    arena_close(&stack.pages)
    free(stack.tree)
    free(stack.holes)
    free(stack.page_at)
    free(stack.counts)
    free(stack.on_disk)


cdef inline void stack_clear(LruStack *stack, uint32_t time) noexcept nogil:
    """Take the mark at a time away."""
    fenwick_add(stack.tree, stack.capacity, time, -1)
    stack.page_at[time] = 0
    stack.n_marks -= 1


cdef inline void stack_make_hole(LruStack *stack, uint32_t time) noexcept nogil:
    """Let the mark of a page be a hole."""
    stack.page_at[time] = HOLE
    fenwick_add(stack.holes, stack.capacity, time, 1)
    stack.n_holes += 1


cdef inline uint32_t stack_last_hole(LruStack *stack) noexcept nogil:
    """Return the time of the last hole, 0 if there is none."""
    cdef uint32_t time = 0
    cdef uint32_t step = stack.capacity      # a power of two
    cdef uint32_t left = stack.n_holes
    if left == 0:
        return 0
    while step > 0:
        if time + step <= stack.capacity and stack.holes[time + step] < left:
            time += step
            left -= stack.holes[time]
        step >>= 1
    return time + 1


cdef inline bint stack_renumber(LruStack *stack) noexcept nogil:
    """Give the marks the first times, in order; return False if memory ran out."""
    cdef uint32_t wanted = stack.capacity
    cdef uint32_t n = 0
    cdef uint32_t time
    cdef uint32_t *tree
    cdef uint32_t *holes
    cdef uint32_t *page_at
    if stack.n_marks > stack.capacity // 2:
        if stack.capacity >= MOST_TIMES:
            return False
        wanted = stack.capacity * 2
    tree = <uint32_t *> calloc(<size_t> wanted + 1, sizeof(uint32_t))
    holes = <uint32_t *> calloc(<size_t> wanted + 1, sizeof(uint32_t))
    page_at = <uint32_t *> calloc(<size_t> wanted + 1, sizeof(uint32_t))
    if tree == NULL or holes == NULL or page_at == NULL:
        free(tree)
        free(holes)
        free(page_at)
        return False
    for time in range(1, stack.capacity + 1):
        if stack.page_at[time] == 0:
            continue
        n += 1
        page_at[n] = stack.page_at[time]
        tree[n] = 1
        if page_at[n] == HOLE:
            holes[n] = 1
        else:
            ((<Page *> stack.pages.data) + index_in(&stack.pages, page_at[n])).time = n
    fenwick_build(tree, wanted)
    fenwick_build(holes, wanted)
    free(stack.tree)
    free(stack.holes)
    free(stack.page_at)
    stack.tree = tree
    stack.holes = holes
    stack.page_at = page_at
    stack.capacity = wanted
    stack.now = n
    return True


cdef inline int64_t stack_touch(LruStack *stack, uint64_t key) noexcept nogil:
    """Use a page; return its distance, 0 at first, -2 if there is no memory."""
    cdef uint32_t index = keymap_get(&stack.map, key)
    cdef int64_t distance = 0
    cdef uint32_t hole
    cdef Page *page
    if index == 0:
        index = arena_add(&stack.pages)
        if index == 0:
            return NO_MEMORY
        keymap_set(&stack.map, key, index)
        if stack.failed.no_memory:
            return NO_MEMORY
    if stack.now == stack.capacity and not stack_renumber(stack):
        return NO_MEMORY
    page = (<Page *> stack.pages.data) + index_in(&stack.pages, index)
    if page.time != 0:
        distance = <int64_t> stack.n_marks - fenwick_sum(stack.tree, page.time) + 1
    hole = stack_last_hole(stack)
    if hole > page.time:
        stack_clear(stack, hole)
        fenwick_add(stack.holes, stack.capacity, hole, -1)
        stack.n_holes -= 1
        if page.time != 0:
            stack_make_hole(stack, page.time)
    elif page.time != 0:
        stack_clear(stack, page.time)
    stack.now += 1
    page.time = stack.now
    stack.page_at[stack.now] = index
    fenwick_add(stack.tree, stack.capacity, stack.now, 1)
    stack.n_marks += 1
    return distance


cdef inline bint stack_grow(
    LruStack *stack, int64_t **counts, int64_t capacity
) noexcept nogil:
    """Let a histogram have more distances; return False if memory ran out."""
    cdef int64_t *grown = <int64_t *> realloc(
        counts[0], <size_t> capacity * sizeof(int64_t)
    )
    if grown == NULL:
        return False
    memset(
        grown + stack.n_counts,
        0,
        <size_t> (capacity - stack.n_counts) * sizeof(int64_t),
    )
    counts[0] = grown
    return True


cdef inline bint stack_count(
    LruStack *stack, int64_t distance, bint on_disk
) noexcept nogil:
    """Count a needed use at its distance; return False if memory ran out."""
    cdef int64_t capacity
    if distance >= stack.n_counts:
        capacity = max(distance + 1, 2 * stack.n_counts)
        if not (
            stack_grow(stack, &stack.counts, capacity)
            and stack_grow(stack, &stack.on_disk, capacity)
        ):
            return False
        stack.n_counts = capacity
    stack.counts[distance] += 1
    stack.on_disk[distance] += on_disk
    return True


cdef inline int64_t stack_use(
    LruStack *stack, uint64_t key, bint needed, bint on_disk
) noexcept nogil:
    """Use a page; return its distance, see `Stack.use`, or NO_MEMORY."""
    cdef int64_t distance
    stack.n_needed += needed
    if spread(key) > stack.threshold:
        return NOT_SAMPLED
    distance = stack_touch(stack, key)
    if needed and distance >= 0 and not stack_count(stack, distance, on_disk):
        return NO_MEMORY
    return distance


cdef inline void stack_forget(LruStack *stack, uint32_t index) noexcept nogil:
    """Forget a page by its index, 0 for none."""
    cdef Page *page = (<Page *> stack.pages.data) + index_in(&stack.pages, index)
    if index != 0 and page.time != 0:
        stack_make_hole(stack, page.time)
        page.time = 0


cdef inline void stack_drop(
    LruStack *stack, uint64_t key, uint64_t n_pages
) noexcept nogil:
    """Forget pages from one on; there may be far fewer of them."""
    cdef uint64_t i
    cdef uint32_t slot
    if n_pages <= stack.map.length:
        for i in range(n_pages):
            stack_forget(stack, keymap_get(&stack.map, key + i))
    else:
        for slot in range(stack.map.mask + 1):
            if stack.map.slots[slot].key - key < n_pages:
                stack_forget(stack, stack.map.slots[slot].value)


cdef class Stack:
    cdef LruStack stack

    cdef bytes _bytes(self, const int64_t *counts)
