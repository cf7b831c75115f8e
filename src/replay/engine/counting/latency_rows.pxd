"""The state's structs as bytes; `replay.engine.layout` knows what stands where."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from replay.engine.state.entries cimport account_at
from replay.engine.state.sim cimport (
    N_OPS,
    N_STAGES,
    STAGE_DEVICE,
    STAGE_DEVICE_WAITED,
    STAGE_TOTAL,
    Account,
    LatencyBlock,
    Sim,
)
from replay.engine.structures.arena cimport (
    Arena,
    Failed,
    arena_add,
    arena_close,
    arena_open,
    index_in,
)
from replay.engine.structures.histogram cimport Histogram, histogram_at
from replay.engine.structures.histogram_read cimport (
    Reading,
    reading_close,
    reading_of,
    reading_open,
    reading_percentile,
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


cdef inline const Histogram *histogram_of(
    const Sim *sim, const LatencyBlock *block, int stage
) noexcept nogil:
    """Return a histogram of a block; the scratch entry, which is empty, for none."""
    return histogram_at(&sim.histograms, block.stages[stage])


cdef inline void stage_read(
    const Sim *sim, Reading *reading, const LatencyBlock *block, int stage
) noexcept nogil:
    """Read the values above 0 of one stage, which lie in one or two histograms.

    A request that waited nowhere is counted under its device alone, for `total` too.
    """
    cdef const Histogram *other = histogram_at(&sim.histograms, 0)
    if stage == STAGE_DEVICE:
        other = histogram_of(sim, block, STAGE_DEVICE_WAITED)
    elif stage == STAGE_TOTAL:
        other = histogram_of(sim, block, STAGE_DEVICE)
    reading_of(reading, &sim.histograms, histogram_of(sim, block, stage), other)


# adds the rows of one stage of one operation of an account, whose values were read
ctypedef void (*StageRows)(
    Arena *rows, const StageKey *key, int64_t n_zeros, const Reading *reading
) noexcept nogil


cdef inline bytes stage_bytes(const Sim *sim, size_t row_bytes, StageRows add):
    """Return the rows of every stage of every operation of every account, in order.

    Raises MemoryError.
    """
    cdef Arena rows
    cdef Failed failed
    cdef StageKey key
    cdef uint32_t i
    cdef int op, stage
    cdef const Account *account
    cdef const LatencyBlock *block
    cdef Reading reading
    failed.no_memory = False
    failed.check = NULL
    if not reading_open(&reading):
        raise MemoryError
    arena_open(&rows, row_bytes, &failed)
    try:
        with nogil:
            for i in range(1, sim.accounts.length):
                account = account_at(sim, i)
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
                        stage_read(sim, &reading, block, stage)
                        add(&rows, &key, block.count - reading.count, &reading)
        if failed.no_memory:
            raise MemoryError
        return arena_bytes(&rows)
    finally:
        arena_close(&rows)
        reading_close(&reading)


cdef inline void latency_row(
    Arena *rows, const StageKey *key, int64_t n_zeros, const Reading *reading
) noexcept nogil:
    """Add the row of one stage."""
    cdef uint32_t index = arena_add(rows)
    cdef LatencyRow *row = (<LatencyRow *> rows.data) + index_in(rows, index)
    row.key = key[0]
    row.count = n_zeros + reading.count
    row.sum_ns = reading.sum_ns
    row.min_ns = 0 if n_zeros > 0 else reading.min_ns
    row.max_ns = reading.max_ns
    row.p50_ns = reading_percentile(reading, n_zeros, 500)
    row.p90_ns = reading_percentile(reading, n_zeros, 900)
    row.p99_ns = reading_percentile(reading, n_zeros, 990)
    row.p999_ns = reading_percentile(reading, n_zeros, 999)


cdef inline bytes latency_bytes(Sim *sim):
    """Return a row for every stage of every operation of every account."""
    return stage_bytes(sim, sizeof(LatencyRow), latency_row)
