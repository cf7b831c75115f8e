"""Direct I/O whose completion changes only sums: logged, then counted in bulk.

Direct I/O is submitted in no time and ends without disturbing others. Where its worker is
there and idle, such a request changes only sums, and the order of sums does not matter:
it is written to a log, and counted with the requests of the same cgroups. So a request of
one of many cgroups costs no walk to an account, a worker, a charge and a histogram that
lie anywhere in memory.

    row ── table: is its account ready? ──► BulkRow ── sorted by account ──► Tally
                                                                                │
                        worker, charge, latency block, once in a while ◄────────┘

An account is ready for bulk once a request of it was counted by itself. It is not any
more when the timer looks for idle workers: that needs to know since when, and may free
them.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t

from replay.engine.driver.workers cimport has_own_worker, idle_ns
from replay.engine.shortcuts.flats cimport flats_of, flats_tell, time_add
from replay.engine.shortcuts.prefetch_rows cimport PREFETCH_ACCOUNTS
from replay.engine.state.bulk cimport Bulk, BulkRow, Tally
from replay.engine.state.entries cimport account_at, block_at, charge_at, worker_at
from replay.engine.state.events cimport max_time_ns
from replay.engine.state.flats cimport (
    FLAT_ACCOUNTS,
    FLAT_DEVICE,
    FLAT_NO_WAIT,
    FLAT_PRIOR,
    FLAT_TOTAL,
)
from replay.engine.state.row_checks cimport row_is_plain
from replay.engine.state.rows cimport Columns
from replay.engine.state.sim cimport (
    IO_RBYTES,
    IO_RIOS,
    IO_WBYTES,
    IO_WIOS,
    N_IO,
    OP_READ,
    OP_WRITE,
    SHORTCUT_BULK,
    SIM_SUM_RANGE,
    STAGE_DEVICE,
    STAGE_DEVICE_WAITED,
    STAGE_TOTAL,
    Account,
    Charge,
    LatencyBlock,
    Request,
    Sim,
    Worker,
)
from replay.engine.state.streams cimport starts_of
from replay.engine.structures.arena cimport arena_add, arena_close, arena_open, index_in
from replay.engine.structures.ends cimport ends_push
from replay.engine.structures.flat_histogram cimport Flat, flat_add
from replay.engine.structures.histogram cimport (
    NEAR,
    SUB,
    WIDE,
    Histogram,
    Places,
    bucket_of,
    places_of,
)
from replay.engine.structures.log cimport log_close, log_grow, log_open, log_ordered
from replay.engine.structures.prefetch cimport prefetch

cdef enum:
    # rows that are held for few accounts: 24 KiB
    MIN_ROWS = 1 << 10
    # so few rows are not worth the sorting
    MIN_SORTED = 1 << 11
    # rows ahead of which a row's lines are fetched
    TALLY_AHEAD = 72
    BLOCK_AHEAD = 56
    HISTOGRAM_AHEAD = 40
    OCTAVE_AHEAD = 20
    # in an entry of Sim.account_table, below the account's index
    READY = 1


# -- state ----------------------------------------------------------------------------


cdef inline bint bulk_open(Sim *sim) noexcept nogil:
    """Make the log if requests are counted in bulk; return True if memory sufficed."""
    arena_open(&sim.bulk.tallies, sizeof(Tally), &sim.failed)
    return sim.set.shortcut != SHORTCUT_BULK or log_open(
        &sim.bulk.rows, MIN_ROWS, sizeof(BulkRow)
    )


cdef inline void bulk_close(Sim *sim) noexcept nogil:
    """Give all memory back."""
    log_close(&sim.bulk.rows)
    arena_close(&sim.bulk.tallies)


# -- counting -------------------------------------------------------------------------


cdef inline LatencyBlock *block_of(
    Sim *sim, Tally *tally, const BulkRow *row
) noexcept nogil:
    """Return the latencies that a row counts for; makes them."""
    cdef Account *account
    if tally.block[row.op] == 0:
        account = account_at(sim, row.account)
        if account.latency[row.op] == 0:
            account.latency[row.op] = arena_add(&sim.blocks)
        tally.block[row.op] = account.latency[row.op]
    return block_at(sim, tally.block[row.op])


cdef inline void histogram_prefetch(
    const Places *places, uint32_t index, uint32_t value_ns
) noexcept nogil:
    """Fetch the counts that a value will touch."""
    cdef const Histogram *one = &places.heads[index]
    cdef uint32_t near = bucket_of(value_ns) // SUB - one.base
    if one.is_spread and near < NEAR and not one.words[near] & WIDE:
        prefetch(&places.octaves[one.words[near]])


cdef inline void rows_prefetch(
    const Sim *sim, const Tally *tallies, const Places *places, const BulkRow *rows
) noexcept nogil:
    """Fetch what rows a little behind the first will touch, each link ahead of the next."""
    cdef const LatencyBlock *blocks = <const LatencyBlock *> sim.blocks.data
    cdef const BulkRow *row = &rows[OCTAVE_AHEAD]
    cdef const LatencyBlock *block = &blocks[tallies[row.account].block[row.op]]
    cdef uint8_t stage
    if row.prior_ns == 0:
        histogram_prefetch(places, block.stages[STAGE_DEVICE], row.service_ns)
    else:
        stage = tallies[row.account].prior_stage
        histogram_prefetch(places, block.stages[STAGE_DEVICE_WAITED], row.service_ns)
        histogram_prefetch(places, block.stages[stage], row.prior_ns)
        histogram_prefetch(
            places, block.stages[STAGE_TOTAL], row.prior_ns + row.service_ns
        )
    row = &rows[HISTOGRAM_AHEAD]
    block = &blocks[tallies[row.account].block[row.op]]
    if row.prior_ns == 0:
        prefetch(&places.heads[block.stages[STAGE_DEVICE]])
    else:
        prefetch(&places.heads[block.stages[STAGE_DEVICE_WAITED]])
        prefetch(&places.heads[block.stages[tallies[row.account].prior_stage]])
        prefetch(&places.heads[block.stages[STAGE_TOTAL]])
    row = &rows[BLOCK_AHEAD]
    prefetch(&blocks[tallies[row.account].block[row.op]])
    prefetch(&tallies[rows[TALLY_AHEAD].account])


cdef inline void row_flat(Sim *sim, const BulkRow *row) noexcept nogil:
    """Count the times of a request of one of few accounts."""
    cdef Flat *flats = flats_of(sim, row.account, row.op)
    if row.prior_ns == 0:
        flat_add(&flats[FLAT_NO_WAIT], row.service_ns)
        return
    flat_add(&flats[FLAT_DEVICE], row.service_ns)
    flat_add(&flats[FLAT_PRIOR], row.prior_ns)
    flat_add(&flats[FLAT_TOTAL], <int64_t> row.prior_ns + row.service_ns)


cdef inline void rows_count(Sim *sim, const BulkRow *rows, uint32_t n) noexcept nogil:
    """Count requests in their accounts' tallies and histograms."""
    cdef Tally *tallies = <Tally *> sim.bulk.tallies.data
    cdef const BulkRow *row
    cdef Tally *tally
    cdef LatencyBlock *block
    cdef Places places = places_of(&sim.histograms)
    cdef uint32_t n_ahead = n if sim.accounts.length >= PREFETCH_ACCOUNTS else 0
    cdef uint32_t i
    for i in range(n):
        if i + TALLY_AHEAD < n_ahead:
            rows_prefetch(sim, tallies, &places, &rows[i])
        row = &rows[i]
        tally = &tallies[row.account]
        tally.nbytes[row.op] += row.nbytes
        tally.n_bios[row.op] += row.n_bios
        tally.n_requests[row.op] += 1
        tally.last_ns = max(tally.last_ns, row.start_ns)
        block = block_of(sim, tally, row)
        if row.account < FLAT_ACCOUNTS:
            row_flat(sim, row)
            continue
        if row.prior_ns == 0:
            time_add(sim, &places, block, STAGE_DEVICE, row.service_ns)
            continue
        time_add(sim, &places, block, STAGE_DEVICE_WAITED, row.service_ns)
        time_add(sim, &places, block, tally.prior_stage, row.prior_ns)
        time_add(
            sim, &places, block, STAGE_TOTAL, <int64_t> row.prior_ns + row.service_ns
        )


cdef inline void tally_tell(Sim *sim, uint32_t index) noexcept nogil:
    """Tell worker, charge and latency blocks what an account's tally holds."""
    cdef Tally *tally = (<Tally *> sim.bulk.tallies.data) + index_in(&sim.bulk.tallies, index)
    cdef const Account *account
    cdef Charge *charge
    cdef Worker *worker
    cdef int64_t *backing
    cdef int op
    if tally.n_requests[OP_READ] == 0 and tally.n_requests[OP_WRITE] == 0:
        return
    account = account_at(sim, index)
    charge = charge_at(sim, tally.charge)
    worker = worker_at(sim, tally.worker)
    charge.io[IO_RBYTES] += tally.nbytes[OP_READ]
    charge.io[IO_RIOS] += tally.n_bios[OP_READ]
    charge.io[IO_WBYTES] += tally.nbytes[OP_WRITE]
    charge.io[IO_WIOS] += tally.n_bios[OP_WRITE]
    if sim.backing_io != NULL:
        # each is one bio there, see `ios_below`
        backing = sim.backing_io + <size_t> charge.payer * N_IO
        backing[IO_RBYTES] += tally.nbytes[OP_READ]
        backing[IO_RIOS] += tally.n_requests[OP_READ]
        backing[IO_WBYTES] += tally.nbytes[OP_WRITE]
        backing[IO_WIOS] += tally.n_requests[OP_WRITE]
    if worker.idle_since_ns >= 0:
        worker.idle_since_ns = max(worker.idle_since_ns, tally.last_ns)
    for op in range(OP_READ, OP_WRITE + 1):
        worker.commands += tally.n_requests[op]
        if index >= FLAT_ACCOUNTS:      # else `flats_tell` counts them
            block_at(sim, account.latency[op]).count += tally.n_requests[op]
        tally.nbytes[op] = tally.n_bios[op] = 0
        tally.n_requests[op] = 0


cdef inline void bulk_tell(Sim *sim) noexcept nogil:
    """Tell all that tallies and flat histograms hold."""
    cdef uint32_t i
    for i in range(1, sim.bulk.tallies.length):
        tally_tell(sim, i)
    flats_tell(sim)
    sim.bulk.n_told = 0


cdef inline void rows_fold(Sim *sim) noexcept nogil:
    """Count all requests that are held."""
    cdef Bulk *bulk = &sim.bulk
    cdef const BulkRow *rows = <const BulkRow *> bulk.rows.items
    cdef uint32_t length = bulk.rows.length
    if bulk.n_told + length > sim.max_told:
        bulk_tell(sim)
    if length >= MIN_SORTED:
        rows = <const BulkRow *> log_ordered(
            &bulk.rows,
            sizeof(BulkRow),
            sizeof(int64_t),    # `account` stands behind `start_ns`
            sim.accounts.length,
        )
    rows_count(sim, rows, length)
    bulk.n_told += length
    bulk.rows.length = 0
    log_grow(&bulk.rows, sim.accounts.length, sizeof(BulkRow))


cdef inline void bulk_settle(Sim *sim) noexcept nogil:
    """Bring all counters up to date."""
    if sim.set.shortcut != SHORTCUT_BULK:
        return
    rows_fold(sim)
    bulk_tell(sim)


cdef inline void bulk_settle_device(Sim *sim, uint32_t device) noexcept nogil:
    """Bring a device's counters up to date; no account of it is ready any more."""
    cdef uint32_t *entry
    cdef uint32_t cgroup
    if sim.set.shortcut != SHORTCUT_BULK:
        return
    rows_fold(sim)
    entry = sim.account_table + <size_t> device * sim.n_cgroups
    for cgroup in range(sim.n_cgroups):
        if entry[cgroup] & READY:
            tally_tell(sim, entry[cgroup] // 2)
            entry[cgroup] -= READY


# -- one request ----------------------------------------------------------------------


cdef inline bint is_usual(const Sim *sim, const Request *request) noexcept nogil:
    """Return True if the next requests of an account go the way of this one.

    They do not if no worker could be made for it, since the next one asks again; nor if
    it had to wait, and meanwhile another one of the account had another payer.
    """
    cdef const Account *account = account_at(sim, request.account)
    cdef bint own_worker = has_own_worker(sim, sim.blkcg[request.issuer], request.op)
    return (
        (not own_worker or account.worker == request.worker)
        and account.charge_payer == request.io_payer
    )


cdef inline void bulk_ready(Sim *sim, const Request *request) noexcept nogil:
    """A request was counted by itself: its account's next ones can be in bulk."""
    cdef Tally *tally
    if not is_usual(sim, request):
        return
    while sim.bulk.tallies.length <= request.account:
        if arena_add(&sim.bulk.tallies) == 0:
            return
    tally = (<Tally *> sim.bulk.tallies.data) + index_in(&sim.bulk.tallies, request.account)
    tally.worker = request.worker
    tally.charge = account_at(sim, request.account).charge
    tally.prior_stage = sim.devices[request.device].prior_stage
    sim.account_table[
        <size_t> request.device * sim.n_cgroups + request.issuer
    ] |= READY


cdef inline bint is_busy(const Sim *sim, uint32_t account) noexcept nogil:
    """Return True if the worker of an account that is ready has a command."""
    cdef const Tally *tally = (<const Tally *> sim.bulk.tallies.data) + index_in(&sim.bulk.tallies, account)
    return worker_at(sim, tally.worker).server.in_use > 0


cdef inline bint is_sum(
    const Sim *sim, const Columns *columns, int64_t i, uint32_t entry
) noexcept nogil:
    """Return True if a plain row's completion changes only sums; `entry`: its account.

    What is longer than a request of the device below is split there. Where nothing is in
    flight no worker need be looked at.
    """
    return (
        columns.nbytes[i] <= sim.set.max_bytes
        and entry & READY != 0
        and (sim.counts.in_flight == 0 or not is_busy(sim, entry // 2))
    )


cdef inline uint32_t bulk_account(
    const Sim *sim, const Columns *columns, int64_t i
) noexcept nogil:
    """Return the account of a row whose completion changes only sums, 0 for no such."""
    cdef uint32_t entry
    if not row_is_plain(sim, columns, i):
        return 0
    entry = sim.account_table[
        <size_t> columns.device[i] * sim.n_cgroups + columns.issuer[i]
    ]
    return entry // 2 if is_sum(sim, columns, i, entry) else 0


cdef inline bint row_log(
    Sim *sim, const Columns *columns, int64_t i, int64_t now, uint32_t account
) noexcept nogil:
    """Write down a row that changes only sums; return False if it has no room there."""
    cdef int64_t service_ns = columns.service_ns[i]
    cdef int64_t prior_ns = 0
    cdef BulkRow *row
    if sim.set.as_queued and 0 <= columns.queue_ns[i] < columns.issue_ns[i]:
        prior_ns = columns.issue_ns[i] - columns.queue_ns[i]
        if prior_ns > <int64_t> 0xFFFFFFFF:
            return False
    sim.counts.requests += 1
    sim.counts.completed += 1
    sim.total_ns += prior_ns + service_ns
    if sim.total_ns >= <int64_t> 1 << 62:
        sim.status = SIM_SUM_RANGE
    sim.end_ns = max(sim.end_ns, now + service_ns)
    row = (<BulkRow *> sim.bulk.rows.items) + sim.bulk.rows.length
    row.start_ns = now
    row.account = account
    row.nbytes = columns.nbytes[i]
    row.service_ns = <uint32_t> service_ns
    row.prior_ns = <uint32_t> prior_ns
    row.n_bios = <uint16_t> columns.n_bios[i]
    row.op = <uint8_t> columns.op[i]
    sim.bulk.rows.length += 1
    if sim.bulk.rows.length == sim.bulk.rows.capacity:
        rows_fold(sim)
    return True


cdef inline bint bulk_row(
    Sim *sim, const Columns *columns, int64_t i, int64_t now
) noexcept nogil:
    """Write down a row whose completion changes only sums; return True if it is one."""
    cdef uint32_t account = bulk_account(sim, columns, i)
    return account != 0 and row_log(sim, columns, i, now, account)


cdef inline bint are_all_submitted(const Sim *sim) noexcept nogil:
    """Return True if no row of the trace keeps its worker from serving others."""
    cdef const Columns *columns
    cdef int64_t part, i
    for part in range(sim.n_parts):
        columns = &sim.parts[part]
        for i in range(columns.n_rows):
            if <uint8_t> columns.op[i] > OP_WRITE:
                return False
    return True


cdef inline bint is_foreseen(
    const Sim *sim, uint32_t device, int64_t now, int64_t issued_ns
) noexcept nogil:
    """Return True if a row may be counted when it is queued, ahead of its issue.

    Its worker is idle then, as all are, and no timer looks for idle ones meanwhile.
    """
    cdef int64_t timer_ns = sim.devices[device].timer_ns
    return (
        sim.never_busy
        and issued_ns < (timer_ns if timer_ns >= 0 else now + idle_ns())
    )


cdef inline bint bulk_release(
    Sim *sim, const Columns *columns, int64_t i, int64_t now, int32_t stream
) noexcept nogil:
    """Write down a row of a stream, which knows then when it ends, if it is one."""
    cdef int64_t issued_ns = now
    cdef uint32_t account = bulk_account(sim, columns, i)
    if account == 0:
        return False
    if 0 <= columns.queue_ns[i] < columns.issue_ns[i]:
        issued_ns += columns.issue_ns[i] - columns.queue_ns[i]
    if issued_ns > now and not is_foreseen(sim, columns.device[i], now, issued_ns):
        return False
    # times of a stream may be later than those of its rows
    if issued_ns >= max_time_ns() or not row_log(sim, columns, i, issued_ns, account):
        return False
    ends_push(
        &sim.streams[stream].ends,
        issued_ns + columns.service_ns[i],
        starts_of(sim, stream),
        &sim.failed,
    )
    return True
