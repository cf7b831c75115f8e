"""One or two histograms read together: the buckets that hold values, in order.

What is read costs no more than there are values in it, since most histograms of many
cgroups hold few.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc

from replay.engine.structures.arena cimport index_in
from replay.engine.structures.histogram cimport (
    FEW,
    N_OCTAVES,
    SUB,
    WIDE,
    Histogram,
    Histograms,
    Octave,
    WideOctave,
    bucket_midpoint,
    octave_of,
)

cdef enum:
    # buckets of one histogram, at most
    MAX_BUCKETS = N_OCTAVES * SUB

cdef struct Bucket:
    uint32_t number
    int64_t count

cdef struct Reading:
    Bucket *buckets
    Bucket *first           # of the two that are read together
    Bucket *second
    uint32_t length
    int64_t count           # of values above 0
    int64_t sum_ns
    int64_t min_ns
    int64_t max_ns


cdef inline bint reading_open(Reading *reading) noexcept nogil:
    """Make room for what is read; return False if memory ran out."""
    reading.first = <Bucket *> malloc(3 * MAX_BUCKETS * sizeof(Bucket))
    if reading.first == NULL:
        return False
    reading.second = reading.first + MAX_BUCKETS
    reading.buckets = reading.second + MAX_BUCKETS
    return True


cdef inline void reading_close(Reading *reading) noexcept nogil:
    """Give the memory back."""
    free(reading.first)
    reading.first = NULL


cdef inline uint32_t few_read(const Histogram *one, Bucket *buckets) noexcept nogil:
    """Sort the values of a histogram that is not spread; return how many buckets."""
    cdef uint16_t sorted[FEW]
    cdef const uint16_t *few = <const uint16_t *> one.words
    cdef uint32_t n_buckets = 0
    cdef int64_t i, at
    for i in range(one.count):
        at = i
        while at > 0 and sorted[at - 1] > few[i]:
            sorted[at] = sorted[at - 1]
            at -= 1
        sorted[at] = few[i]
    for i in range(one.count):
        if n_buckets == 0 or buckets[n_buckets - 1].number != sorted[i]:
            buckets[n_buckets] = Bucket(sorted[i], 0)
            n_buckets += 1
        buckets[n_buckets - 1].count += 1
    return n_buckets


cdef inline uint32_t histogram_read(
    const Histograms *all, const Histogram *one, Bucket *buckets
) noexcept nogil:
    """Write the buckets with values down in their order; return how many."""
    cdef const Octave *octave
    cdef const WideOctave *wide
    cdef uint32_t n_buckets = 0
    cdef uint32_t i, j, index
    cdef int64_t count
    if not one.is_spread:
        return few_read(one, buckets)
    if one.count == 0:
        return 0
    for i in range(N_OCTAVES):
        index = octave_of(all, one, i)
        if index == 0:
            continue
        octave = NULL
        wide = NULL
        if index & WIDE:
            wide = (<const WideOctave *> all.wide.data) + index_in(&all.wide, index - WIDE)
        else:
            octave = (<const Octave *> all.octaves.data) + index_in(&all.octaves, index)
        for j in range(SUB):
            count = octave.counts[j] if wide == NULL else <int64_t> wide.counts[j]
            if count != 0:
                buckets[n_buckets] = Bucket(i * SUB + j, count)
                n_buckets += 1
    return n_buckets


cdef inline void reading_add(Reading *reading, const Histogram *one) noexcept nogil:
    """Add a histogram to what is known of all values."""
    if one.count == 0:
        return
    reading.min_ns = one.min_ns if reading.count == 0 else min(reading.min_ns, one.min_ns)
    reading.max_ns = max(reading.max_ns, one.max_ns)
    reading.count += one.count
    reading.sum_ns += one.sum_ns


cdef inline void reading_of(
    Reading *reading, const Histograms *all, const Histogram *a, const Histogram *b
) noexcept nogil:
    """Read two histograms as if they were one."""
    cdef uint32_t n_first = histogram_read(all, a, reading.first)
    cdef uint32_t n_second = histogram_read(all, b, reading.second)
    cdef uint32_t i = 0
    cdef uint32_t j = 0
    cdef uint32_t n = 0
    reading.count = reading.sum_ns = reading.min_ns = reading.max_ns = 0
    reading_add(reading, a)
    reading_add(reading, b)
    while i < n_first or j < n_second:
        if j == n_second or (
            i < n_first and reading.first[i].number <= reading.second[j].number
        ):
            reading.buckets[n] = reading.first[i]
            i += 1
            if j < n_second and reading.second[j].number == reading.buckets[n].number:
                reading.buckets[n].count += reading.second[j].count
                j += 1
        else:
            reading.buckets[n] = reading.second[j]
            j += 1
        n += 1
    reading.length = n


cdef inline int64_t reading_percentile(
    const Reading *reading, int64_t n_zeros, int64_t thousandths
) noexcept nogil:
    """Return the midpoint of the bucket of the nearest rank; zeros count as values."""
    cdef int64_t rank = ((reading.count + n_zeros) * thousandths + 999) // 1000
    cdef int64_t seen = n_zeros
    cdef uint32_t i
    if rank <= seen:
        return 0
    for i in range(reading.length):
        seen += reading.buckets[i].count
        if seen >= rank:
            return bucket_midpoint(reading.buckets[i].number)
    return 0
