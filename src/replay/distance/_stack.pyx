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

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from replay.engine._arena cimport (
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

cdef enum:
    FIRST_TIMES = 1 << 10
    MOST_TIMES = 1 << 30

cdef enum:
    HOLE = 0xFFFFFFFFU      # in place of a page

cdef struct Page:
    uint32_t time           # of its last access, 0 = not there


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


cdef class Stack:
    """The pages that one cgroup uses, in the order of their last use.

    Parameters
    ----------
    threshold : int
        Pages whose hash is below it are looked at: 2**64 - 1 is every page.
    """

    cdef KeyMap map
    cdef Arena pages
    cdef uint32_t *tree         # marks, as a Fenwick tree over times 1 to capacity
    cdef uint32_t *holes        # those of them that are holes, likewise
    cdef uint32_t *page_at      # index of the page with its mark at a time, 0 = none
    cdef uint32_t capacity
    cdef uint32_t now
    cdef uint32_t n_marks
    cdef uint32_t n_holes
    cdef uint64_t threshold
    cdef int64_t *counts        # needed uses by distance
    cdef int64_t *on_disk       # of them, those of pages that stand on the disk
    cdef int64_t n_counts
    cdef int64_t n_all          # needed uses, those that are not looked at too
    cdef bint failed

    def __cinit__(self, threshold):
        self.threshold = threshold
        self.capacity = FIRST_TIMES
        keymap_open(&self.map, 64)
        arena_open(&self.pages, sizeof(Page))
        self.tree = <uint32_t *> calloc(FIRST_TIMES + 1, sizeof(uint32_t))
        self.holes = <uint32_t *> calloc(FIRST_TIMES + 1, sizeof(uint32_t))
        self.page_at = <uint32_t *> calloc(FIRST_TIMES + 1, sizeof(uint32_t))
        if (
            self.map.failed
            or self.pages.failed
            or self.tree == NULL
            or self.holes == NULL
            or self.page_at == NULL
        ):
            raise MemoryError

    def __dealloc__(self):
        keymap_close(&self.map)
        arena_close(&self.pages)
        free(self.tree)
        free(self.holes)
        free(self.page_at)
        free(self.counts)
        free(self.on_disk)

    def use(self, uint64_t key, int64_t n_pages, bint needed, bint on_disk=False):
        """Use pages one after the other.

        Parameters
        ----------
        key : int
            Of the first page; the others have the next keys.
        n_pages : int
        needed : bool
            What stands in them is read, so that a page that is gone is read again.
        on_disk : bool
            It stands on the disk, where it is read then: a hole is nowhere.

        Returns
        -------
        int
            Distance of the last one; 0: it was not there; -1: it is not looked at.

        Raises
        ------
        MemoryError
            It cannot grow.
        """
        cdef int64_t i
        cdef int64_t distance = -1
        if needed:
            self.n_all += n_pages
        with nogil:
            for i in range(n_pages):
                distance = -1
                if spread(key + <uint64_t> i) <= self.threshold:
                    distance = self._use(key + <uint64_t> i)
                    if distance == -2 or not self._count(
                        distance, needed, on_disk
                    ):
                        break
        if distance == -2 or self.failed:
            raise MemoryError("the stack of pages cannot grow")
        return distance

    def distances(self):
        """Count the needed uses by distance.

        Returns
        -------
        bytes
            int64, by distance from 0, which counts pages that were not there.
        """
        return self._bytes(self.counts)

    def distances_on_disk(self):
        """Count those of them whose pages stand on the disk, likewise."""
        return self._bytes(self.on_disk)

    cdef bytes _bytes(self, const int64_t *counts):
        if self.n_counts == 0:
            return b""
        return PyBytes_FromStringAndSize(
            <const char *> counts,
            <Py_ssize_t> (<size_t> self.n_counts * sizeof(int64_t)),
        )

    def drop(self, uint64_t key, int64_t n_pages):
        """Forget pages: they were discarded.

        Parameters
        ----------
        key : int
            Of the first page; the others have the next keys.
        n_pages : int
            May be far more than there are.
        """
        cdef int64_t i
        cdef uint32_t slot
        with nogil:
            if n_pages <= self.map.length:
                for i in range(n_pages):
                    self._drop(keymap_get(&self.map, key + <uint64_t> i))
            else:
                for slot in range(self.map.mask + 1):
                    if self.map.slots[slot].key - key < <uint64_t> n_pages:
                        self._drop(self.map.slots[slot].value)

    cdef void _drop(self, uint32_t index) noexcept nogil:
        """Forget a page by its index, 0 for none."""
        cdef Page *page = (<Page *> self.pages.data) + index
        if index != 0 and page.time != 0:
            self._make_hole(page.time)
            page.time = 0

    @property
    def n_needed(self):
        """Needed uses of all pages, those too that are not looked at."""
        return self.n_all

    @property
    def n_pages(self):
        """Pages that were ever used."""
        return self.map.length

    cdef bint _count(
        self, int64_t distance, bint needed, bint on_disk
    ) noexcept nogil:
        """Count a use at its distance; tell if there was memory."""
        cdef int64_t capacity
        if not needed:
            return True
        if distance >= self.n_counts:
            capacity = max(distance + 1, 2 * self.n_counts)
            if not (
                self._grow(&self.counts, capacity)
                and self._grow(&self.on_disk, capacity)
            ):
                self.failed = True
                return False
            self.n_counts = capacity
        self.counts[distance] += 1
        self.on_disk[distance] += on_disk
        return True

    cdef bint _grow(self, int64_t **counts, int64_t capacity) noexcept nogil:
        """Let a histogram have more distances; tell if there was memory."""
        cdef int64_t *grown = <int64_t *> realloc(
            counts[0], <size_t> capacity * sizeof(int64_t)
        )
        if grown == NULL:
            return False
        memset(
            grown + self.n_counts,
            0,
            <size_t> (capacity - self.n_counts) * sizeof(int64_t),
        )
        counts[0] = grown
        return True

    cdef int64_t _use(self, uint64_t key) noexcept nogil:
        """Use a page; return its distance, 0 at first, -2 if there is no memory."""
        cdef uint32_t index = keymap_get(&self.map, key)
        cdef int64_t distance = 0
        cdef uint32_t hole
        cdef Page *page
        if index == 0:
            index = arena_add(&self.pages)
            if index == 0:
                return -2
            keymap_set(&self.map, key, index)
            if self.map.failed:
                return -2
        if self.now == self.capacity and not self._renumber():
            return -2
        page = (<Page *> self.pages.data) + index
        if page.time != 0:
            distance = <int64_t> self.n_marks - fenwick_sum(self.tree, page.time) + 1
        hole = self._last_hole()
        if hole > page.time:
            self._clear(hole)
            fenwick_add(self.holes, self.capacity, hole, -1)
            self.n_holes -= 1
            if page.time != 0:
                self._make_hole(page.time)
        elif page.time != 0:
            self._clear(page.time)
        self.now += 1
        page.time = self.now
        self.page_at[self.now] = index
        fenwick_add(self.tree, self.capacity, self.now, 1)
        self.n_marks += 1
        return distance

    cdef void _clear(self, uint32_t time) noexcept nogil:
        """Take the mark at a time away."""
        fenwick_add(self.tree, self.capacity, time, -1)
        self.page_at[time] = 0
        self.n_marks -= 1

    cdef void _make_hole(self, uint32_t time) noexcept nogil:
        """Let the mark of a page be a hole."""
        self.page_at[time] = HOLE
        fenwick_add(self.holes, self.capacity, time, 1)
        self.n_holes += 1

    cdef uint32_t _last_hole(self) noexcept nogil:
        """Return the time of the last hole, 0 if there is none."""
        cdef uint32_t time = 0
        cdef uint32_t step = self.capacity      # a power of two
        cdef uint32_t left = self.n_holes
        if left == 0:
            return 0
        while step > 0:
            if time + step <= self.capacity and self.holes[time + step] < left:
                time += step
                left -= self.holes[time]
            step >>= 1
        return time + 1

    cdef bint _renumber(self) noexcept nogil:
        """Give the marks the first times, in their order; tell if there was memory."""
        cdef uint32_t wanted = self.capacity
        cdef uint32_t n = 0
        cdef uint32_t time
        cdef uint32_t *tree
        cdef uint32_t *holes
        cdef uint32_t *page_at
        if self.n_marks > self.capacity // 2:
            if self.capacity >= MOST_TIMES:
                return False
            wanted = self.capacity * 2
        tree = <uint32_t *> calloc(<size_t> wanted + 1, sizeof(uint32_t))
        holes = <uint32_t *> calloc(<size_t> wanted + 1, sizeof(uint32_t))
        page_at = <uint32_t *> calloc(<size_t> wanted + 1, sizeof(uint32_t))
        if tree == NULL or holes == NULL or page_at == NULL:
            free(tree)
            free(holes)
            free(page_at)
            return False
        for time in range(1, self.capacity + 1):
            if self.page_at[time] == 0:
                continue
            n += 1
            page_at[n] = self.page_at[time]
            tree[n] = 1
            if page_at[n] == HOLE:
                holes[n] = 1
            else:
                ((<Page *> self.pages.data) + page_at[n]).time = n
        fenwick_build(tree, wanted)
        fenwick_build(holes, wanted)
        free(self.tree)
        free(self.holes)
        free(self.page_at)
        self.tree = tree
        self.holes = holes
        self.page_at = page_at
        self.capacity = wanted
        self.now = n
        return True
