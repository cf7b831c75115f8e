"""The engine's C structures for the tests, each against a Python oracle."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from replay.engine.pages.owners cimport (
    file_close,
    file_open,
    leaf_get,
    leaf_make,
    tree_insert,
    tree_missing,
    word_at,
    word_owner,
    word_put,
)
from replay.engine.state.pages cimport File, Leaf, Word
from replay.engine.structures.arena cimport (
    Arena,
    KeyMap,
    arena_add,
    arena_close,
    arena_open,
    keymap_close,
    keymap_get,
    keymap_open,
    keymap_set,
)
from replay.engine.structures.flat_histogram cimport Flat, flat_add, flat_tell
from replay.engine.structures.heap cimport (
    RANK_KIND_SHIFT,
    Event,
    Heap,
    heap_close,
    heap_open,
    heap_pop,
    heap_push,
)
from replay.engine.structures.histogram cimport (
    Histograms,
    bucket_midpoint,
    bucket_of,
    histogram_add,
    histogram_at,
    histograms_close,
    histograms_open,
)
from replay.engine.structures.histogram_read cimport (
    Reading,
    reading_close,
    reading_of,
    reading_open,
    reading_percentile,
)


cdef class HeapHarness:
    """A heap of events."""

    cdef Heap heap

    def __cinit__(self):
        heap_open(&self.heap)

    def __dealloc__(self):
        heap_close(&self.heap)

    def __len__(self):
        return self.heap.length

    def push(self, int64_t when_ns, uint64_t kind, uint64_t sequence, uint32_t payload):
        """Add an event."""
        cdef Event event
        event.when_ns = when_ns
        event.rank = kind << RANK_KIND_SHIFT | sequence
        event.payload = payload
        heap_push(&self.heap, event)

    def pop(self):
        """Take the first event out: time, kind, sequence, payload."""
        if self.heap.length == 0:
            raise IndexError("the heap is empty")
        cdef Event event = heap_pop(&self.heap)
        cdef uint64_t sequence = event.rank & ((<uint64_t> 1 << RANK_KIND_SHIFT) - 1)
        return event.when_ns, event.rank >> RANK_KIND_SHIFT, sequence, event.payload


cdef class MapHarness:
    """A map from 64-bit keys to indices of an arena."""

    cdef KeyMap map
    cdef Arena arena

    def __cinit__(self):
        keymap_open(&self.map, 4)
        arena_open(&self.arena, sizeof(uint64_t))

    def __dealloc__(self):
        keymap_close(&self.map)
        arena_close(&self.arena)

    def __len__(self):
        return self.map.length

    def add(self, uint64_t key, uint64_t value):
        """Add a key that is not there."""
        cdef uint32_t index = arena_add(&self.arena)
        ((<uint64_t *> self.arena.data) + index)[0] = value
        keymap_set(&self.map, key, index)

    def get(self, uint64_t key):
        """Return the value of a key, None if it is not there."""
        cdef uint32_t index = keymap_get(&self.map, key)
        if index == 0:
            return None
        return ((<uint64_t *> self.arena.data) + index)[0]


cdef class HistogramHarness:
    """One histogram."""

    cdef Histograms all
    cdef Reading reading
    cdef uint32_t index
    cdef int64_t n_zeros

    def __cinit__(self):
        histograms_open(&self.all)
        if not reading_open(&self.reading):
            raise MemoryError

    def __dealloc__(self):
        histograms_close(&self.all)
        reading_close(&self.reading)

    def add(self, int64_t value):
        """Count a value >= 0."""
        if value == 0:
            self.n_zeros += 1
        else:
            histogram_add(&self.all, &self.index, value)

    def add_many(self, int64_t value, uint32_t n):
        """Count a value > 0 so many times, as a flat histogram that holds it is told."""
        cdef Flat *flat = <Flat *> calloc(1, sizeof(Flat))
        if flat == NULL:
            raise MemoryError
        flat_add(flat, value)
        flat.counts[bucket_of(<uint64_t> value)] = n
        flat_tell(flat, &self.all, &self.index)
        free(flat)

    def buckets(self):
        """Return what stands for the values above 0, and how many of them."""
        self._read()
        return [
            (
                bucket_midpoint(self.reading.buckets[i].number),
                self.reading.buckets[i].count,
            )
            for i in range(self.reading.length)
        ]

    def percentile(self, int64_t thousandths):
        """Return the value of the nearest rank; there are values."""
        self._read()
        return reading_percentile(&self.reading, self.n_zeros, thousandths)

    cdef int _read(self) except -1:
        reading_of(
            &self.reading,
            &self.all,
            histogram_at(&self.all, self.index),
            histogram_at(&self.all, 0),
        )
        return 0

    @staticmethod
    def midpoint(uint64_t value):
        """Return what stands for a value: the middle of its bucket."""
        return bucket_midpoint(bucket_of(value))


cdef class FileHarness:
    """The pages of one file."""

    cdef File file

    def __cinit__(self):
        if not file_open(&self.file, False):
            raise MemoryError

    def __dealloc__(self):
        file_close(&self.file)

    @property
    def height(self):
        """Levels of the page tree."""
        return self.file.height

    def missing(self, uint64_t page):
        """Return how many nodes an absent page needs."""
        cdef Word *word = word_at(leaf_make(&self.file, page), page)
        return tree_missing(&self.file, word, page)

    def put(self, uint64_t page, uint32_t owner):
        """Put an absent page in."""
        cdef Word *word = word_at(leaf_make(&self.file, page), page)
        tree_insert(&self.file, word, page, owner)
        word_put(&self.file, word, <uint64_t> 1 << (page & 63), owner, 1)

    def owner(self, uint64_t page):
        """Return a page's owner, None if it is absent."""
        cdef Leaf *leaf = leaf_get(&self.file, page)
        if leaf == NULL or not (word_at(leaf, page).present >> (page & 63) & 1):
            return None
        return word_owner(&self.file, word_at(leaf, page), <uint32_t> (page & 63))
