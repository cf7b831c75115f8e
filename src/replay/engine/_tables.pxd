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

cdef struct StageKey:
    uint32_t cgroup
    uint16_t device
    uint8_t op
    uint8_t stage

cdef struct LatencyRow:
    StageKey key
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


# adds the rows of one stage of one operation of an account
ctypedef void (*StageRows)(
    const Sim *sim, Arena *rows, const StageKey *key, const LatencyBlock *block
) noexcept nogil


cdef inline bytes stage_bytes(const Sim *sim, size_t row_bytes, StageRows add):
    """Return the rows of every stage of every operation of every account, in order.

    Raises MemoryError.
    """
    cdef Arena rows
    cdef StageKey key
    cdef uint32_t i
    cdef int op, stage
    cdef const Account *account
    cdef const LatencyBlock *block
    arena_open(&rows, row_bytes)
    try:
        with nogil:
            for i in range(1, sim.accounts.length):
                account = (<const Account *> sim.accounts.data) + i
                for op in range(N_OPS):
                    if account.latency[op] == 0:
                        continue
                    block = <const LatencyBlock *> sim.blocks.data
                    block += account.latency[op]
                    for stage in range(N_STAGES):
                        key = StageKey(
                            account.issuer,
                            account.device,
                            <uint8_t> op,
                            <uint8_t> stage,
                        )
                        add(sim, &rows, &key, block)
        if rows.failed:
            raise MemoryError
        return arena_bytes(&rows)
    finally:
        arena_close(&rows)


cdef inline void latency_row(
    const Sim *sim, Arena *rows, const StageKey *key, const LatencyBlock *block
) noexcept nogil:
    """Add the row of one stage."""
    cdef Octave counts[N_OCTAVES]
    cdef uint32_t index = arena_add(rows)
    cdef LatencyRow *row = (<LatencyRow *> rows.data) + index
    row.key = key[0]
    latency_fill(sim, row, block, key.stage, counts)


cdef inline bytes latency_bytes(Sim *sim):
    """Return a row for every stage of every operation of every account."""
    return stage_bytes(sim, sizeof(LatencyRow), latency_row)
