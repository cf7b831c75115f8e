"""Growing arrays addressed by index, and a hash from 64-bit keys to such indices.

Entry 0 of every arena is a scratch entry: when memory runs out, `arena_add` answers 0
and sets `Failed`, which an owner's structures share, so that the code of one event needs
no checks and the loop stops behind it. No pointer into an arena may live across an
`arena_add` of the same arena. Entry i of an arena of T is
``(<T *> arena.data) + index_in(&arena, i)``: the compiler knows its stride.

Builds with checks (setup.py) look at every such index, and an arena moves whenever an
entry is added, so that a pointer that lives too long is found.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

cdef enum:
    FIRST_CAPACITY = 64
    MAX_CAPACITY = 1 << 30
    # with checks: an arena of fewer entries moves whenever one is added, a larger one
    # once for so many
    MOVES_ALWAYS = 1 << 10
    MOVES_ONCE_FOR = 1 << 8

cdef struct Failed:
    # one for all structures of an owner
    bint no_memory
    const char *check       # the first that failed, NULL: none

cdef struct Arena:
    uint8_t *data
    uint32_t length
    uint32_t capacity
    uint32_t item_bytes
    Failed *failed

cdef extern from *:
    """
    #include <stdlib.h>
    #include <string.h>
    #ifdef __linux__
    #include <sys/mman.h>
    #endif
    #define REPLAY_LARGE ((size_t)2 << 20)

    /* In builds with checks an index beyond an arena's entries becomes 0, and a condition
       must hold; which did not is kept as it stands in the code. */
    #if REPLAY_CHECKS
    #define replay_fail(failed, text) \\
        ((failed)->check = (failed)->check ? (failed)->check : (text))
    #define replay_index(arena, index) __extension__ ({ \\
        uint32_t index_ = (index); \\
        if (index_ >= (arena)->length) { \\
            replay_fail((arena)->failed, "an index in " #arena); \\
            index_ = 0; \\
        } \\
        index_; })
    #define replay_check(failed, condition) \\
        ((condition) ? (void)0 : (void)replay_fail(failed, #condition))
    #else
    #define replay_index(arena, index) (index)
    #define replay_check(failed, condition) ((void)0)
    #endif

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
    bint CHECKS "REPLAY_CHECKS"
    # an index of an arena, checked; and a condition that must hold
    uint32_t index_in "replay_index"(const Arena *arena, uint32_t index) noexcept nogil
    void check "replay_check"(Failed *failed, bint condition) noexcept nogil
    # free() gives back what these return; NULL if memory ran out
    void *allocate "replay_allocate"(size_t n_bytes) noexcept nogil
    void *allocate_zeroed "replay_allocate_zeroed"(size_t n, size_t n_bytes) noexcept nogil
    void *allocation_grow "replay_grow"(
        void *data, size_t n_used, size_t n_bytes
    ) noexcept nogil

cdef inline str check_text(const Failed *failed, int64_t row):
    """Say which check failed, and at which row if that is known."""
    what = failed.check.decode().replace("__pyx_v_", "")
    return f"check failed{f' at row {row}' if row >= 0 else ''}: {what}"


cdef inline void arena_open(
    Arena *arena, uint32_t item_bytes, Failed *failed
) noexcept nogil:
    """Make an empty arena with its scratch entry; sets `failed` if memory ran out."""
    arena.item_bytes = item_bytes
    arena.capacity = FIRST_CAPACITY
    arena.length = 1
    arena.failed = failed
    arena.data = <uint8_t *> allocate_zeroed(FIRST_CAPACITY, item_bytes)
    if arena.data == NULL:
        arena.capacity = 1
        failed.no_memory = True


cdef inline void arena_close(Arena *arena) noexcept nogil:
    """Give the memory back."""
    free(arena.data)
    arena.data = NULL
    arena.length = arena.capacity = 0


cdef inline void arena_move(Arena *arena) noexcept nogil:
    """Move to another place; nothing that is read at the old one makes sense."""
    cdef size_t n_used = <size_t> arena.length * arena.item_bytes
    cdef uint8_t *data = <uint8_t *> allocate(
        <size_t> arena.capacity * arena.item_bytes
    )
    if data == NULL:
        return
    memcpy(data, arena.data, n_used)
    memset(arena.data, 0xA5, n_used)
    free(arena.data)
    arena.data = data


cdef inline uint32_t arena_add(Arena *arena) noexcept nogil:
    """Append a zeroed entry; return its index, or 0 if memory ran out."""
    cdef uint8_t *data
    cdef size_t capacity
    if arena.length == arena.capacity:
        if arena.failed.no_memory or arena.capacity == MAX_CAPACITY:
            arena.failed.no_memory = True
            return 0
        # what is not used yet costs addresses, no memory
        capacity = min(<size_t> arena.capacity * 4, <size_t> MAX_CAPACITY)
        data = <uint8_t *> allocation_grow(
            arena.data,
            <size_t> arena.length * arena.item_bytes,
            capacity * arena.item_bytes,
        )
        if data == NULL:
            arena.failed.no_memory = True
            return 0
        arena.data = data
        arena.capacity = <uint32_t> capacity
    if CHECKS and (
        arena.length < MOVES_ALWAYS or arena.length % MOVES_ONCE_FOR == 0
    ):
        arena_move(arena)
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
    Failed *failed


cdef inline void keymap_open(
    KeyMap *map, uint32_t capacity, Failed *failed
) noexcept nogil:
    """Make an empty map; the capacity is a power of two."""
    map.slots = <Slot *> allocate_zeroed(capacity, sizeof(Slot))
    map.mask = capacity - 1
    map.length = 0
    map.failed = failed
    if map.slots == NULL:
        failed.no_memory = True


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
        map.failed.no_memory = True
        return
    keymap_open(&larger, (map.mask + 1) * 2, map.failed)
    if larger.slots == NULL:
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
        if map.failed.no_memory:
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
