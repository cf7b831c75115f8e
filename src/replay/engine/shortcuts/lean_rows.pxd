"""Requests of the lean path, counted many at once.

What a request adds to its charge and to its histograms does not depend on the order, so
it is written down in a few bytes and counted with others, those of near accounts
together. Sums, extremes and buckets are those of `count_charged` and `count_completed`.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from replay.engine.shortcuts.flats cimport flats_of, flats_tell, time_add
from replay.engine.shortcuts.prefetch_rows cimport PREFETCH_ACCOUNTS
from replay.engine.state.entries cimport account_at, block_at, charge_at
from replay.engine.state.flats cimport (
    FLAT_ACCOUNTS,
    FLAT_DEVICE,
    FLAT_DISPATCH,
    FLAT_NO_WAIT,
    FLAT_PRIOR,
    FLAT_TOTAL,
)
from replay.engine.state.lean cimport Lean, LeanRow
from replay.engine.state.rows cimport Columns
from replay.engine.state.sim cimport (
    IO_RBYTES,
    IO_RIOS,
    SIM_SUM_RANGE,
    STAGE_DEVICE,
    STAGE_DEVICE_WAITED,
    STAGE_DISPATCH,
    STAGE_TAG,
    STAGE_TOTAL,
    Account,
    LatencyBlock,
    Sim,
)
from replay.engine.structures.arena cimport index_in
from replay.engine.structures.flat_histogram cimport Flat, flat_add
from replay.engine.structures.histogram cimport Places, places_of
from replay.engine.structures.log cimport log_grow, log_ordered
from replay.engine.structures.prefetch cimport prefetch

cdef enum:
    # rows that are held for few accounts: 12 KiB
    MIN_ROWS = 1 << 9
    # rows ahead of which a row's lines are fetched
    CHARGE_AHEAD = 64
    BLOCK_AHEAD = 40
    HISTOGRAM_AHEAD = 20


cdef inline void row_spread(Sim *sim, Places *places, const LeanRow *row) noexcept nogil:
    """Count the times of a request of one of many accounts."""
    cdef const Account *account = (
        (<const Account *> sim.accounts.data) + index_in(&sim.accounts, row.account)
    )
    cdef LatencyBlock *block = block_at(sim, account.latency[row.op])
    block.count += 1
    if (row.wait_ns | row.prior_ns) == 0:
        time_add(sim, places, block, STAGE_DEVICE, row.service_ns)
        return
    time_add(sim, places, block, STAGE_DEVICE_WAITED, row.service_ns)
    time_add(sim, places, block, STAGE_DISPATCH, row.wait_ns)
    time_add(
        sim,
        places,
        block,
        sim.devices[account.device].prior_stage,
        row.prior_ns,
    )
    time_add(
        sim,
        places,
        block,
        STAGE_TOTAL,
        <int64_t> row.prior_ns + row.wait_ns + row.service_ns,
    )


cdef inline void rows_prefetch(
    const Sim *sim, const Places *places, const LeanRow *rows
) noexcept nogil:
    """Fetch what rows a little behind the first will touch, each link ahead of the next."""
    cdef const Account *accounts = <const Account *> sim.accounts.data
    cdef const LatencyBlock *blocks = <const LatencyBlock *> sim.blocks.data
    cdef const LeanRow *row = &rows[HISTOGRAM_AHEAD]
    cdef const LatencyBlock *block = blocks + accounts[row.account].latency[row.op]
    if (row.wait_ns | row.prior_ns) == 0:
        prefetch(&places.heads[block.stages[STAGE_DEVICE]])
    else:
        prefetch(&places.heads[block.stages[STAGE_DEVICE_WAITED]])
        prefetch(&places.heads[block.stages[STAGE_DISPATCH]])
        prefetch(&places.heads[block.stages[STAGE_TAG]])
        prefetch(&places.heads[block.stages[STAGE_TOTAL]])
    row = &rows[BLOCK_AHEAD]
    prefetch(blocks + accounts[row.account].latency[row.op])
    row = &rows[CHARGE_AHEAD]
    prefetch(&accounts[row.account].latency[row.op])
    prefetch(&charge_at(sim, row.charge).io[row.op])


cdef inline void rows_count(Sim *sim, const LeanRow *rows, uint32_t n) noexcept nogil:
    """Count requests in their charges and histograms."""
    cdef const LeanRow *row
    cdef Places places = places_of(&sim.histograms)
    cdef Flat *flats
    cdef int64_t *io
    cdef int64_t total_ns = 0
    cdef int64_t took_ns
    cdef uint32_t n_ahead = n if sim.accounts.length >= PREFETCH_ACCOUNTS else 0
    cdef uint32_t i
    for i in range(n):
        if i + CHARGE_AHEAD < n_ahead:
            rows_prefetch(sim, &places, &rows[i])
        row = &rows[i]
        # a read's columns, or behind each of them a write's: as in `io_add`
        io = charge_at(sim, row.charge).io + row.op
        io[IO_RBYTES] += row.nbytes
        io[IO_RIOS] += row.n_bios
        took_ns = <int64_t> row.prior_ns + row.wait_ns + row.service_ns
        total_ns += took_ns
        if row.account >= FLAT_ACCOUNTS:
            row_spread(sim, &places, row)
            continue
        flats = flats_of(sim, row.account, row.op)
        if (row.wait_ns | row.prior_ns) == 0:
            flat_add(&flats[FLAT_NO_WAIT], took_ns)
            continue
        flat_add(&flats[FLAT_DEVICE], row.service_ns)
        flat_add(&flats[FLAT_PRIOR], row.prior_ns)
        if row.wait_ns > 0:
            flat_add(&flats[FLAT_DISPATCH], row.wait_ns)
        flat_add(&flats[FLAT_TOTAL], took_ns)
    sim.counts.requests += n
    sim.counts.completed += n
    sim.total_ns += total_ns
    if sim.total_ns >= <int64_t> 1 << 62:
        sim.status = SIM_SUM_RANGE


cdef inline void rows_fold(Sim *sim) noexcept nogil:
    """Count all requests that are held."""
    cdef Lean *lean = &sim.lean
    cdef const LeanRow *rows
    cdef uint32_t n = lean.rows.length
    if lean.n_told + n > sim.max_told:
        flats_tell(sim)
        lean.n_told = 0
    rows = <const LeanRow *> log_ordered(
        &lean.rows,
        sizeof(LeanRow),
        0,      # `account` is the first field
        sim.accounts.length,
    )
    rows_count(sim, rows, n)
    lean.n_told += n
    lean.rows.length = 0
    log_grow(&lean.rows, sim.accounts.length, sizeof(LeanRow))


cdef inline void row_hold(
    Sim *sim,
    const Columns *columns,
    int64_t i,
    uint32_t account,
    uint32_t prior_ns,
    uint32_t wait_ns,
) noexcept nogil:
    """Write a read or write down, to be counted to its account's last charge."""
    cdef Lean *lean = &sim.lean
    cdef LeanRow *row = (<LeanRow *> lean.rows.items) + lean.rows.length
    row.account = account
    row.charge = account_at(sim, account).charge
    row.nbytes = columns.nbytes[i]
    row.service_ns = <uint32_t> columns.service_ns[i]
    row.wait_ns = wait_ns
    row.prior_ns = prior_ns
    row.n_bios = <uint16_t> columns.n_bios[i]
    row.op = <uint8_t> columns.op[i]
    lean.rows.length += 1
    if lean.rows.length == lean.rows.capacity:
        rows_fold(sim)
