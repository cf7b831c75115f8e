"""The histograms' buckets as rows, so that latencies of several runs can be merged."""

from libc.stdint cimport int64_t, uint32_t

from replay.engine._arena cimport Arena, arena_add
from replay.engine._histogram cimport N_OCTAVES, SUB, Histogram, Octave
from replay.engine._tables cimport StageKey, histogram_of, stage_bytes
from replay.engine._types cimport (
    STAGE_DEVICE,
    STAGE_DEVICE_WAITED,
    STAGE_TOTAL,
    LatencyBlock,
    Sim,
)

cdef struct BucketRow:
    StageKey key
    uint32_t bucket
    int64_t count


cdef inline void bucket_row(
    Arena *rows, const StageKey *key, uint32_t bucket, int64_t count
) noexcept nogil:
    """Add a row for a bucket with values in it."""
    cdef uint32_t index = arena_add(rows)
    cdef BucketRow *row = (<BucketRow *> rows.data) + index
    row.key = key[0]
    row.bucket = bucket
    row.count = count


cdef inline void bucket_rows(
    const Sim *sim, Arena *rows, const StageKey *key, const LatencyBlock *block
) noexcept nogil:
    """Add the buckets of one stage, whose values lie in one or two histograms.

    A request that waited nowhere is counted under its device alone, for `total` too.
    """
    cdef int stage = key.stage
    cdef const Histogram *one = histogram_of(sim, block, stage)
    cdef const Histogram *other = NULL
    cdef const Octave *octaves = <const Octave *> sim.octaves.data
    cdef const Octave *a
    cdef const Octave *b
    cdef int64_t n_values = one.count
    cdef int64_t count
    cdef uint32_t i, j
    if stage == STAGE_DEVICE:
        other = histogram_of(sim, block, STAGE_DEVICE_WAITED)
    elif stage == STAGE_TOTAL:
        other = histogram_of(sim, block, STAGE_DEVICE)
    if other != NULL:
        n_values += other.count
    if block.count > n_values:
        bucket_row(rows, key, 0, block.count - n_values)
    for i in range(N_OCTAVES):
        # entry 0 of the arena is empty
        a = octaves + one.octaves[i]
        b = octaves + (0 if other == NULL else other.octaves[i])
        if a == octaves and b == octaves:
            continue
        for j in range(SUB):
            count = <int64_t> a.counts[j] + b.counts[j]
            if count != 0:
                bucket_row(rows, key, i * SUB + j, count)


cdef inline bytes buckets_bytes(Sim *sim):
    """Return a row for every bucket with values; those of one account are in order."""
    return stage_bytes(sim, sizeof(BucketRow), bucket_rows)
