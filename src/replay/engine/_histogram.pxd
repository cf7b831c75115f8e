"""Log-linear histograms: 64 buckets an octave, exact below 64 ns.

A histogram keeps only values above 0 and the octaves that occur; zeros follow from the
number of requests. Most stages of most requests take no time at all.

    bucket of 1000:  octave of 1000 is 2**9, 64 buckets of 8 ns: (9 - 6 + 1) * 64 + 61
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from replay.engine._arena cimport Arena, arena_add

cdef extern from *:
    """
    #define replay_log2(value) (63 - __builtin_clzll(value))
    """
    int log2_floor "replay_log2"(uint64_t value) noexcept nogil

cdef enum:
    SUB_BITS = 6
    SUB = 64
    N_OCTAVES = 58

cdef struct Octave:
    uint32_t counts[SUB]

cdef struct Histogram:
    int64_t count       # of values above 0
    int64_t sum_ns
    int64_t min_ns
    int64_t max_ns
    uint32_t octaves[N_OCTAVES]     # index of an Octave, 0 = none

cdef struct Sample:
    # a request's time in a stage, not yet counted
    int64_t value_ns
    uint32_t account
    uint8_t op
    uint8_t stage

cdef struct SampleLog:
    Sample *samples
    Sample *sorted          # as many: room to sort them
    uint32_t length
    uint32_t capacity


cdef inline uint32_t bucket_of(uint64_t value) noexcept nogil:
    """Return the bucket of a value; buckets are in the order of their values."""
    # values below 64 count to the octave of 64, without a branch
    cdef int shift = log2_floor(value | SUB) - SUB_BITS
    return <uint32_t> (shift * SUB + <int> (value >> shift))


cdef inline int64_t bucket_midpoint(uint32_t bucket) noexcept nogil:
    """Return the value that stands for a bucket: the middle of its range."""
    cdef uint32_t shift
    if bucket < SUB:
        return bucket
    shift = bucket // SUB - 1
    return (<int64_t> (SUB + bucket % SUB) << shift) + ((<int64_t> 1 << shift) - 1) // 2


cdef inline void histogram_extend(Histogram *one, int64_t value) noexcept nogil:
    """Count a value in all but its bucket."""
    one.count += 1
    one.sum_ns += value
    one.min_ns = min(one.min_ns, value)
    one.max_ns = max(one.max_ns, value)


cdef inline void histogram_add(
    Arena *histograms, Arena *octaves, uint32_t *index, int64_t value
) noexcept nogil:
    """Count a value above 0 in the histogram at an index; 0 there makes a new one."""
    cdef Histogram *one
    cdef uint32_t bucket = bucket_of(<uint64_t> value)
    cdef uint32_t octave
    if index[0] == 0:
        index[0] = arena_add(histograms)
        one = (<Histogram *> histograms.data) + index[0]
        one.min_ns = value
    one = (<Histogram *> histograms.data) + index[0]
    octave = one.octaves[bucket // SUB]
    if octave == 0:
        octave = arena_add(octaves)
        one.octaves[bucket // SUB] = octave
    ((<Octave *> octaves.data) + octave).counts[bucket % SUB] += 1
    histogram_extend(one, value)


cdef inline void histogram_merge(
    Histogram *into, Octave *counts, const Histogram *one, const Arena *octaves
) noexcept nogil:
    """Add a histogram to one whose octaves lie side by side."""
    cdef const Octave *octave
    cdef uint32_t i, j
    if one.count == 0:
        return
    for i in range(N_OCTAVES):
        if one.octaves[i] == 0:
            continue
        octave = (<const Octave *> octaves.data) + one.octaves[i]
        for j in range(SUB):
            counts[i].counts[j] += octave.counts[j]
    into.min_ns = one.min_ns if into.count == 0 else min(into.min_ns, one.min_ns)
    into.max_ns = max(into.max_ns, one.max_ns)
    into.count += one.count
    into.sum_ns += one.sum_ns


cdef inline int64_t counts_percentile(
    const Octave *counts, int64_t n_zeros, int64_t n_values, int64_t thousandths
) noexcept nogil:
    """Return the midpoint of the bucket of the nearest rank; zeros count as values."""
    cdef int64_t rank = ((n_values + n_zeros) * thousandths + 999) // 1000
    cdef int64_t seen = n_zeros
    cdef uint32_t i, j
    if rank <= seen:
        return 0
    for i in range(N_OCTAVES):
        for j in range(SUB):
            seen += counts[i].counts[j]
            if seen >= rank:
                return bucket_midpoint(i * SUB + j)
    return 0
