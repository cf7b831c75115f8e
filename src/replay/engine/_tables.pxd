"""The state's structs as bytes; `replay.engine.layout` knows what stands where."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from replay.engine._arena cimport Arena, arena_add, arena_at, arena_close, arena_open
from replay.engine._histogram cimport Histogram, histogram_percentile
from replay.engine._types cimport (
    N_OPS,
    N_STAGES,
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


cdef inline bytes latency_bytes(Sim *sim):
    """Return a row for every histogram, those of nothing but zeros too."""
    cdef Arena rows
    cdef uint32_t i
    cdef int op, stage
    cdef Account *account
    cdef LatencyBlock *block
    cdef Histogram *one
    cdef LatencyRow *row
    cdef int64_t n_zeros
    arena_open(&rows, sizeof(LatencyRow))
    try:
        for i in range(1, sim.accounts.length):
            account = <Account *> arena_at(&sim.accounts, i)
            for op in range(N_OPS):
                if account.latency[op] == 0:
                    continue
                block = <LatencyBlock *> arena_at(&sim.blocks, account.latency[op])
                for stage in range(N_STAGES):
                    row = <LatencyRow *> arena_at(&rows, arena_add(&rows))
                    row.cgroup = account.issuer
                    row.device = account.device
                    row.op = <uint8_t> op
                    row.stage = <uint8_t> stage
                    row.count = block.count
                    if block.stages[stage] == 0:
                        continue
                    one = <Histogram *> arena_at(
                        &sim.histograms, block.stages[stage]
                    )
                    n_zeros = block.count - one.count
                    row.sum_ns = one.sum_ns
                    row.min_ns = 0 if n_zeros > 0 else one.min_ns
                    row.max_ns = one.max_ns
                    row.p50_ns = histogram_percentile(one, &sim.octaves, n_zeros, 500)
                    row.p90_ns = histogram_percentile(one, &sim.octaves, n_zeros, 900)
                    row.p99_ns = histogram_percentile(one, &sim.octaves, n_zeros, 990)
                    row.p999_ns = histogram_percentile(
                        one, &sim.octaves, n_zeros, 999
                    )
        if rows.failed:
            raise MemoryError
        return arena_bytes(&rows)
    finally:
        arena_close(&rows)
