"""Which pages of files stand on the disk: a read of a hole reads nothing below."""

from libc.stdint cimport uint32_t, uint64_t

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
    WORD_SHIFT = 6

cdef struct Disk:
    KeyMap map              # index of a word of 64 pages, by its first page's key
    Arena words             # bits of the pages that are not as all were at the start
    Failed failed
    bint laid_out           # all pages were there at the start, else none


cdef inline bint disk_open(Disk *disk, bint laid_out) noexcept nogil:
    """Make it; return False if memory ran out. Close it in either case."""
    disk.laid_out = laid_out
    disk.failed.no_memory = False
    disk.failed.check = NULL
    keymap_open(&disk.map, 64, &disk.failed)
    arena_open(&disk.words, sizeof(uint64_t), &disk.failed)
    return not disk.failed.no_memory


cdef inline void disk_close(Disk *disk) noexcept nogil:
    """Give the memory back."""
    keymap_close(&disk.map)
    arena_close(&disk.words)


cdef inline bint disk_has(const Disk *disk, uint64_t key) noexcept nogil:
    """Return True if a page stands there."""
    # entry 0 is the scratch entry, which stays 0
    cdef uint32_t index = keymap_get(&disk.map, key >> WORD_SHIFT)
    cdef uint64_t word = (<const uint64_t *> disk.words.data)[index]
    return ((word >> (key & 63)) & 1) != disk.laid_out


cdef inline bint disk_set(
    Disk *disk, uint64_t first, uint64_t last, bint there
) noexcept nogil:
    """Put pages there or punch a hole, both ends included; False if memory ran out."""
    cdef bint changed = there != disk.laid_out
    cdef uint64_t at = first
    cdef uint64_t word, mask
    cdef uint64_t *bits
    cdef uint32_t index
    while True:
        word = at >> WORD_SHIFT
        mask = ~<uint64_t> 0 << (at & 63)
        if word == last >> WORD_SHIFT:
            mask &= ~<uint64_t> 0 >> (63 - (last & 63))
        index = keymap_get(&disk.map, word)
        if index == 0 and changed:
            index = arena_add(&disk.words)
            if index == 0:
                return False
            keymap_set(&disk.map, word, index)
            if disk.failed.no_memory:
                return False
        if index != 0:
            bits = (<uint64_t *> disk.words.data) + index_in(&disk.words, index)
            bits[0] = bits[0] | mask if changed else bits[0] & ~mask
        if word == last >> WORD_SHIFT:
            return True
        at = (word + 1) << WORD_SHIFT
