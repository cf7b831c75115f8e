"""The engine's C structures for the tests, each against a Python oracle."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from replay.engine.counting.bucket_rows cimport BucketRow
from replay.engine.counting.latency_rows cimport LatencyRow
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
from replay.engine.state.counts cimport Failure, Kill
from replay.engine.state.iocost cimport IocostRow
from replay.engine.state.pages cimport File, Leaf, PageLists, Word
from replay.engine.state.queues cimport Wait
from replay.engine.state.sim cimport Account, Charge, Done, Group, Worker
from replay.engine.state.timeline cimport TimelineRow
from replay.engine.structures.arena cimport (
    CHECKS,
    Arena,
    Failed,
    KeyMap,
    arena_add,
    arena_close,
    arena_open,
    check,
    check_text,
    index_in,
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


ctypedef fused Leaving:
    Account
    BucketRow
    Charge
    Done
    Failure
    Group
    IocostRow
    Kill
    LatencyRow
    PageLists
    TimelineRow
    Wait
    Worker


cdef list bytes_of(Leaving *one):
    """Return, for each byte of a struct, its fields' values where only it is set."""
    cdef size_t i
    found = []
    memset(one, 0, sizeof(Leaving))
    for i in range(sizeof(Leaving)):
        (<char *> one)[i] = 1
        found.append(one[0])
        (<char *> one)[i] = 0
    return found


def struct_bytes():
    """Return what each byte of every struct that leaves the engine belongs to.

    Returns
    -------
    dict of str to list of dict
        By the name that `replay.engine.layout` knows it under. For each byte the struct
        as a dict, in which nothing but this byte is set: so a field that is not 0 has
        the byte, and where no field is, the byte is padding.
    """
    cdef Account account
    cdef BucketRow bucket
    cdef Charge charge
    cdef Done done
    cdef Failure failure
    cdef Group group
    cdef IocostRow cost
    cdef Kill kill
    cdef LatencyRow latency
    cdef PageLists lists
    cdef TimelineRow row
    cdef Wait wait
    cdef Worker worker
    return {
        "Account": bytes_of(&account),
        "Bucket": bytes_of(&bucket),
        "Charge": bytes_of(&charge),
        "Cost": bytes_of(&cost),
        "Done": bytes_of(&done),
        "Failure": bytes_of(&failure),
        "Group": bytes_of(&group),
        "Kill": bytes_of(&kill),
        "Latency": bytes_of(&latency),
        "PageLists": bytes_of(&lists),
        "TimelineRow": bytes_of(&row),
        "Wait": bytes_of(&wait),
        "Worker": bytes_of(&worker),
    }


cdef class CheckHarness:
    """An arena of numbers whose indices are checked, in builds with checks."""

    cdef Arena arena
    cdef Failed failed

    checks = bool(CHECKS)

    def __cinit__(self):
        arena_open(&self.arena, sizeof(uint64_t), &self.failed)

    def __dealloc__(self):
        arena_close(&self.arena)

    def add(self, uint64_t value):
        """Add a number; return True if the others moved."""
        cdef const void *before = self.arena.data
        cdef uint32_t index = arena_add(&self.arena)
        ((<uint64_t *> self.arena.data) + index_in(&self.arena, index))[0] = value
        return before != self.arena.data

    def get(self, uint32_t index):
        """Return a number; raise AssertionError if there is none."""
        cdef uint32_t found = index_in(&self.arena, index)
        check(&self.failed, found < 1000)
        if self.failed.check != NULL:
            raise AssertionError(check_text(&self.failed, -1))
        return ((<uint64_t *> self.arena.data) + found)[0]


cdef class HeapHarness:
    """A heap of events."""

    cdef Heap heap
    cdef Failed failed

    def __cinit__(self):
        heap_open(&self.heap, &self.failed)

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
    cdef Failed failed
    cdef Arena arena

    def __cinit__(self):
        keymap_open(&self.map, 4, &self.failed)
        arena_open(&self.arena, sizeof(uint64_t), &self.failed)

    def __dealloc__(self):
        keymap_close(&self.map)
        arena_close(&self.arena)

    def __len__(self):
        return self.map.length

    def add(self, uint64_t key, uint64_t value):
        """Add a key that is not there."""
        cdef uint32_t index = arena_add(&self.arena)
        ((<uint64_t *> self.arena.data) + index_in(&self.arena, index))[0] = value
        keymap_set(&self.map, key, index)

    def get(self, uint64_t key):
        """Return the value of a key, None if it is not there."""
        cdef uint32_t index = keymap_get(&self.map, key)
        if index == 0:
            return None
        return ((<uint64_t *> self.arena.data) + index_in(&self.arena, index))[0]


cdef class HistogramHarness:
    """One histogram."""

    cdef Histograms all
    cdef Failed failed
    cdef Reading reading
    cdef uint32_t index
    cdef int64_t n_zeros

    def __cinit__(self):
        histograms_open(&self.all, &self.failed)
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
    cdef Failed failed

    def __cinit__(self):
        file_open(&self.file, False, &self.failed)
        if self.failed.no_memory:
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
