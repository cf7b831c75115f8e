"""Growing arrays addressed by index, and a hash from 64-bit keys to such indices.

Entry 0 of every arena is a scratch entry: when memory runs out, `arena_add` answers 0
and leaves a mark, so that the code of one event needs no checks and the loop stops
behind it. No pointer into an arena may live across an `arena_add` of the same arena.
Entry i of an arena of T is ``(<T *> arena.data) + i``: the compiler knows its stride.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

cdef extern from *:
    """
    #include <stdlib.h>
    #include <string.h>
    #ifdef __linux__
    #include <sys/mman.h>
    #endif
    #define REPLAY_LARGE ((size_t)2 << 20)

    /* Memory for a table. Large ones ask for pages of 2 MiB: fewer faults, fewer misses
       of the TLB. It is a wish: what the kernel makes of it changes no result. */
    static inline void *replay_allocate(size_t n_bytes)
    {
        void *data;
        if (n_bytes < 2 * REPLAY_LARGE)
            return malloc(n_bytes);
        if (n_bytes > SIZE_MAX - REPLAY_LARGE)
            return NULL;
        n_bytes = (n_bytes + REPLAY_LARGE - 1) / REPLAY_LARGE * REPLAY_LARGE;
        data = aligned_alloc(REPLAY_LARGE, n_bytes);
    #if defined(__linux__) && defined(MADV_HUGEPAGE)
        if (data)
            (void)madvise(data, n_bytes, MADV_HUGEPAGE);
    #endif
        return data;
    }
    static inline void *replay_allocate_zeroed(size_t n, size_t n_bytes)
    {
        void *data;
        if (n > SIZE_MAX / 2 / n_bytes || n * n_bytes < 2 * REPLAY_LARGE)
            return calloc(n, n_bytes);
        data = replay_allocate(n * n_bytes);
        return data ? memset(data, 0, n * n_bytes) : NULL;
    }
    static inline void *replay_grow(void *data, size_t n_used, size_t n_bytes)
    {
        void *larger;
        if (n_bytes < 2 * REPLAY_LARGE)
            return realloc(data, n_bytes);
        larger = replay_allocate(n_bytes);
        if (larger) {
            memcpy(larger, data, n_used);
            free(data);
        }
        return larger;
    }
    """
    # free() gives back what these return; NULL if memory ran out
    void *allocate "replay_allocate"(size_t n_bytes) noexcept nogil
    void *allocate_zeroed "replay_allocate_zeroed"(size_t n, size_t n_bytes) noexcept nogil
    void *allocation_grow "replay_grow"(
        void *data, size_t n_used, size_t n_bytes
    ) noexcept nogil

cdef enum:
    FIRST_CAPACITY = 64
    MAX_CAPACITY = 1 << 30

cdef struct Arena:
    uint8_t *data
    uint32_t length
    uint32_t capacity
    uint32_t item_bytes
    bint failed


cdef inline void arena_open(Arena *arena, uint32_t item_bytes) noexcept nogil:
    """Make an empty arena with its scratch entry; `failed` tells if memory ran out."""
    arena.item_bytes = item_bytes
    arena.capacity = FIRST_CAPACITY
    arena.length = 1
    arena.data = <uint8_t *> allocate_zeroed(FIRST_CAPACITY, item_bytes)
    arena.failed = arena.data == NULL


cdef inline void arena_close(Arena *arena) noexcept nogil:
    """Give the memory back."""
    free(arena.data)
    arena.data = NULL
    arena.length = arena.capacity = 0


cdef inline uint32_t arena_add(Arena *arena) noexcept nogil:
    """Append a zeroed entry; return its index, or 0 if memory ran out."""
    cdef uint8_t *data
    cdef size_t capacity
    if arena.failed:
        return 0
    if arena.length == arena.capacity:
        if arena.capacity == MAX_CAPACITY:
            arena.failed = True
            return 0
        # what is not used yet costs addresses, no memory
        capacity = min(<size_t> arena.capacity * 4, <size_t> MAX_CAPACITY)
        data = <uint8_t *> allocation_grow(
            arena.data,
            <size_t> arena.length * arena.item_bytes,
            capacity * arena.item_bytes,
        )
        if data == NULL:
            arena.failed = True
            return 0
        arena.data = data
        arena.capacity = <uint32_t> capacity
    memset(
        arena.data + <size_t> arena.length * arena.item_bytes, 0, arena.item_bytes
    )
    arena.length += 1
    return arena.length - 1


cdef struct Slot:
    uint64_t key
    uint32_t value          # 0 = free

cdef struct KeyMap:
    Slot *slots
    uint32_t mask
    uint32_t length
    bint failed


cdef inline void keymap_open(KeyMap *map, uint32_t capacity) noexcept nogil:
    """Make an empty map; the capacity is a power of two."""
    map.slots = <Slot *> allocate_zeroed(capacity, sizeof(Slot))
    map.mask = capacity - 1
    map.length = 0
    map.failed = map.slots == NULL


cdef inline void keymap_close(KeyMap *map) noexcept nogil:
    """Give the memory back."""
    free(map.slots)
    map.slots = NULL


cdef inline uint64_t keymap_mix(uint64_t key) noexcept nogil:
    """Spread a key over 64 bits (the finalizer of MurmurHash3)."""
    key ^= key >> 33
    key *= <uint64_t> 0xFF51AFD7ED558CCD
    key ^= key >> 33
    return key


cdef inline Slot *keymap_place(const KeyMap *map, uint64_t key) noexcept nogil:
    """Return where a key stands or would stand."""
    cdef uint64_t at = keymap_mix(key) & map.mask
    while map.slots[at].value != 0 and map.slots[at].key != key:
        at = (at + 1) & map.mask
    return &map.slots[at]


cdef inline uint32_t keymap_get(const KeyMap *map, uint64_t key) noexcept nogil:
    """Return the value of a key, 0 if it is not there."""
    return keymap_place(map, key).value


cdef inline void keymap_grow(KeyMap *map) noexcept nogil:
    """Double the capacity, or mark the map as failed."""
    cdef KeyMap larger
    cdef uint32_t i
    if map.mask >= <uint32_t> 1 << 30:
        map.failed = True
        return
    keymap_open(&larger, (map.mask + 1) * 2)
    if larger.failed:
        map.failed = True
        return
    for i in range(map.mask + 1):
        if map.slots[i].value != 0:
            keymap_place(&larger, map.slots[i].key)[0] = map.slots[i]
    larger.length = map.length
    keymap_close(map)
    map[0] = larger


cdef inline void keymap_set(KeyMap *map, uint64_t key, uint32_t value) noexcept nogil:
    """Add a key that is not there; the value is not 0."""
    cdef Slot *slot
    if 2 * map.length > map.mask:
        keymap_grow(map)
        if map.failed:
            return
    slot = keymap_place(map, key)
    slot.key = key
    slot.value = value
    map.length += 1


cdef inline void keymap_put(KeyMap *map, uint64_t key, uint32_t value) noexcept nogil:
    """Give a key a value, whether it is there or not; the value is not 0."""
    cdef Slot *slot = keymap_place(map, key)
    if slot.value != 0:
        slot.value = value
    else:
        keymap_set(map, key, value)
