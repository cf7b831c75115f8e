"""The state's structs as bytes; `replay.engine.layout` knows what stands where."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from replay.engine._arena cimport Arena, arena_add, arena_close, arena_open
from replay.engine._histogram cimport (
    N_OCTAVES,
    Histogram,
    Octave,
    counts_percentile,
    histogram_merge,
)
from replay.engine._types cimport (
    N_OPS,
    N_STAGES,
    STAGE_DEVICE,
    STAGE_DEVICE_WAITED,
    STAGE_TOTAL,
    Account,
    LatencyBlock,
    Sim,
)

cdef struct LatencyRow:
    uint32_t cgroup
    uint16_t device
    uint8_t op
    uint8_t stage
    int64_t count
    int64_t sum_ns
    int64_t min_ns
    int64_t p50_ns
    int64_t p90_ns
    int64_t p99_ns
    int64_t p999_ns
    int64_t max_ns


cdef inline bytes arena_bytes(const Arena *arena):
    """Return a copy of an arena's entries, without the scratch entry."""
    return PyBytes_FromStringAndSize(
        <const char *> arena.data + arena.item_bytes,
        <Py_ssize_t> (arena.length - 1) * arena.item_bytes,
    )


cdef inline void latency_fill(
    const Sim *sim, LatencyRow *row, const LatencyBlock *block, int stage, Octave *counts
) noexcept nogil:
    """Fill in one stage's row; ``counts`` is room for N_OCTAVES octaves."""
    cdef Histogram merged
    cdef int64_t n_zeros
    memset(&merged, 0, sizeof(Histogram))
    memset(counts, 0, N_OCTAVES * sizeof(Octave))
    histogram_merge(&merged, counts, histogram_of(sim, block, stage), &sim.octaves)
    if stage == STAGE_DEVICE:
        stage = STAGE_DEVICE_WAITED
        histogram_merge(&merged, counts, histogram_of(sim, block, stage), &sim.octaves)
    elif stage == STAGE_TOTAL:
        stage = STAGE_DEVICE
        histogram_merge(&merged, counts, histogram_of(sim, block, stage), &sim.octaves)
    n_zeros = block.count - merged.count
    row.count = block.count
    row.sum_ns = merged.sum_ns
    row.min_ns = 0 if n_zeros > 0 else merged.min_ns
    row.max_ns = merged.max_ns
    row.p50_ns = counts_percentile(counts, n_zeros, merged.count, 500)
    row.p90_ns = counts_percentile(counts, n_zeros, merged.count, 900)
    row.p99_ns = counts_percentile(counts, n_zeros, merged.count, 990)
    row.p999_ns = counts_percentile(counts, n_zeros, merged.count, 999)


cdef inline const Histogram *histogram_of(
    const Sim *sim, const LatencyBlock *block, int stage
) noexcept nogil:
    """Return a histogram of a block; the scratch entry, which is empty, for none."""
    return (<const Histogram *> sim.histograms.data) + block.stages[stage]


cdef inline bytes latency_bytes(Sim *sim):
    """Return a row for every stage of every operation of every account."""
    cdef Arena rows
    cdef Octave counts[N_OCTAVES]
    cdef uint32_t i, index
    cdef int op, stage
    cdef Account *account
    cdef LatencyRow *row
    arena_open(&rows, sizeof(LatencyRow))
    try:
        with nogil:
            for i in range(1, sim.accounts.length):
                account = (<Account *> sim.accounts.data) + i
                for op in range(N_OPS):
                    if account.latency[op] == 0:
                        continue
                    for stage in range(N_STAGES):
                        index = arena_add(&rows)
                        row = (<LatencyRow *> rows.data) + index
                        row.cgroup = account.issuer
                        row.device = account.device
                        row.op = <uint8_t> op
                        row.stage = <uint8_t> stage
                        latency_fill(
                            sim,
                            row,
                            (<LatencyBlock *> sim.blocks.data) + account.latency[op],
                            stage,
                            counts,
                        )
        if rows.failed:
            raise MemoryError
        return arena_bytes(&rows)
    finally:
        arena_close(&rows)
