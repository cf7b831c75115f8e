"""Histograms with a place for every bucket: where few cgroups have many requests.

A value is counted without asking what there is, so without a branch, zeros included.
They are 15 KB each, of which only what is used is ever touched, and are added to the
run's histograms when somebody looks.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from replay.engine.structures.arena cimport arena_add
from replay.engine.structures.histogram cimport (
    Histogram,
    Histograms,
    bucket_add,
    bucket_of,
    histogram_at,
    histogram_spread,
)

cdef enum:
    # 58 octaves of 64, see structures/histogram.pxd
    FLAT_BUCKETS = 58 * 64

cdef struct Flat:
    int64_t sum_ns
    int64_t max_ns
    uint64_t least          # complement of the least but 1
    uint32_t counts[FLAT_BUCKETS]


cdef inline void flat_add(Flat *flat, int64_t value_ns) noexcept nogil:
    """Count a value; a 0 in the first bucket, which holds nothing else."""
    flat.counts[bucket_of(<uint64_t> value_ns)] += 1
    flat.sum_ns += value_ns
    flat.max_ns = max(flat.max_ns, value_ns)
    # the complement of what is less by one: 0 is less than nothing, and is the largest
    flat.least = max(flat.least, ~(<uint64_t> value_ns - 1))


cdef inline int64_t flat_tell(
    Flat *flat, Histograms *all, uint32_t *index
) noexcept nogil:
    """Add a histogram to the one at an index, and empty it; 0 there makes a new one.

    Returns
    -------
    int64_t
        How many values there were, zeros included.
    """
    cdef Histogram *one
    cdef uint32_t i, end
    cdef int64_t n_zeros = flat.counts[0]
    cdef int64_t n_values = 0
    cdef int64_t least = <int64_t> (~flat.least + 1)
    if flat.max_ns > 0:
        end = bucket_of(<uint64_t> flat.max_ns) + 1
        for i in range(bucket_of(<uint64_t> least), end):
            n_values += flat.counts[i]
        if index[0] == 0:
            index[0] = arena_add(&all.heads)
            histogram_at(all, index[0]).min_ns = least
        one = histogram_at(all, index[0])
        one.min_ns = min(one.min_ns, least)
        one.max_ns = max(one.max_ns, flat.max_ns)
        if not one.is_spread:
            histogram_spread(all, one)
        for i in range(bucket_of(<uint64_t> least), end):
            if flat.counts[i] != 0:
                bucket_add(all, one, i, flat.counts[i])
        one.count += n_values
        one.sum_ns += flat.sum_ns
    if n_values + n_zeros > 0:
        memset(flat, 0, sizeof(Flat))
    return n_values + n_zeros
