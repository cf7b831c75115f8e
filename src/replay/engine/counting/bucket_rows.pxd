"""The histograms' buckets as rows, so that latencies of several runs can be merged."""

from libc.stdint cimport int64_t, uint32_t

from replay.engine.counting.latency_rows cimport StageKey, stage_bytes
from replay.engine.state.sim cimport Sim
from replay.engine.structures.arena cimport Arena, arena_add, index_in
from replay.engine.structures.histogram_read cimport Reading

cdef struct BucketRow:
    StageKey key
    uint32_t bucket
    int64_t count


cdef inline void bucket_row(
    Arena *rows, const StageKey *key, uint32_t bucket, int64_t count
) noexcept nogil:
    """Add a row for a bucket with values in it."""
    cdef uint32_t index = arena_add(rows)
    cdef BucketRow *row = (<BucketRow *> rows.data) + index_in(rows, index)
    row.key = key[0]
    row.bucket = bucket
    row.count = count


cdef inline void bucket_rows(
    Arena *rows, const StageKey *key, int64_t n_zeros, const Reading *reading
) noexcept nogil:
    """Add the buckets of one stage."""
    cdef uint32_t i
    if n_zeros > 0:
        bucket_row(rows, key, 0, n_zeros)
    for i in range(reading.length):
        bucket_row(rows, key, reading.buckets[i].number, reading.buckets[i].count)


cdef inline bytes buckets_bytes(Sim *sim):
    """Return a row for every bucket with values; those of one account are in order."""
    return stage_bytes(sim, sizeof(BucketRow), bucket_rows)
