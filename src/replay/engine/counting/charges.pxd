"""Counts by account: I/O, charges, latencies, errors."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from replay.engine.counting.latencies cimport sample_add, samples_reserve
from replay.engine.state.counts cimport Failure
from replay.engine.state.entries cimport account_at, charge_at, failure_at, worker_at
from replay.engine.state.sim cimport (
    IO_DBYTES,
    IO_DIOS,
    IO_RBYTES,
    IO_RIOS,
    IO_WBYTES,
    IO_WIOS,
    N_IO,
    OP_DISCARD,
    OP_READ,
    SIM_SUM_RANGE,
    STAGE_BACKING,
    STAGE_DEBT,
    STAGE_DEVICE,
    STAGE_DEVICE_WAITED,
    STAGE_DISPATCH,
    STAGE_LOCK,
    STAGE_MEMORY,
    STAGE_QUEUE,
    STAGE_TAG,
    STAGE_THROTTLE,
    STAGE_TOTAL,
    Account,
    Charge,
    Done,
    Request,
    Sim,
)
from replay.engine.state.split_counts cimport ios_below
from replay.engine.structures.arena cimport (
    CHECKS,
    arena_add,
    check,
    index_in,
    keymap_get,
    keymap_set,
)


cdef inline void io_add(
    int64_t *io, unsigned int op, int64_t nbytes, int64_t n_bios
) noexcept nogil:
    """Count bytes and bios in their column.

    Source: block/blk-cgroup.c:blk_cgroup_io_type(), v6.1: discards apart, all else that
    is not a read is a write.
    """
    if op == OP_READ:
        io[IO_RBYTES] += nbytes
        io[IO_RIOS] += n_bios
    elif op == OP_DISCARD:
        io[IO_DBYTES] += nbytes
        io[IO_DIOS] += n_bios
    else:
        io[IO_WBYTES] += nbytes
        io[IO_WIOS] += n_bios


cdef inline uint64_t account_key(uint32_t issuer, unsigned int device) noexcept nogil:
    """Return the key of an issuer on a device."""
    return <uint64_t> device << 32 | issuer


cdef inline uint32_t account_find(
    const Sim *sim, uint32_t issuer, unsigned int device
) noexcept nogil:
    """Return the account of an issuer on a device, 0 if there is none yet."""
    check(sim.accounts.failed, issuer < sim.n_cgroups and device < sim.n_devices)
    if CHECKS and not (issuer < sim.n_cgroups and device < sim.n_devices):
        return 0
    if sim.account_table != NULL:
        return sim.account_table[<size_t> device * sim.n_cgroups + issuer] // 2
    return keymap_get(&sim.account_map, account_key(issuer, device))


cdef inline uint32_t account_of(
    Sim *sim, uint32_t issuer, unsigned int device
) noexcept nogil:
    """Return the account of an issuer on a device; makes it."""
    cdef uint32_t index = account_find(sim, issuer, device)
    cdef Account *account
    if index == 0:
        index = arena_add(&sim.accounts)
        account = account_at(sim, index)
        account.issuer = issuer
        account.device = <unsigned short> device
        if sim.account_table != NULL:
            sim.account_table[<size_t> device * sim.n_cgroups + issuer] = index * 2
        elif index != 0:
            keymap_set(&sim.account_map, account_key(issuer, device), index)
    return index


cdef inline Charge *charge_find(
    Sim *sim, const Request *request, uint32_t payer
) noexcept nogil:
    """Return the charge of a request's issuer to another payer than last; makes it."""
    cdef Account *account = account_at(sim, request.account)
    cdef uint64_t key
    cdef uint32_t index
    cdef Charge *charge
    key = <uint64_t> request.account << 32 | payer
    index = account.first_charge
    if index != 0 and account.first_payer != payer:
        index = keymap_get(&sim.charge_map, key)
    if index == 0:
        index = arena_add(&sim.charges)
        charge = charge_at(sim, index)
        charge.device = request.device
        charge.issuer = request.issuer
        charge.payer = payer
        if account.first_charge == 0:
            account.first_charge = index
            account.first_payer = payer
        elif index != 0:
            keymap_set(&sim.charge_map, key, index)
    account.charge = index
    account.charge_payer = payer
    return charge_at(sim, index)


cdef inline Charge *charge_of(
    Sim *sim, const Request *request, uint32_t payer
) noexcept nogil:
    """Return the charge of a request's issuer to a payer; makes it."""
    cdef const Account *account = account_at(sim, request.account)
    if account.charge != 0 and account.charge_payer == payer:
        return charge_at(sim, account.charge)
    return charge_find(sim, request, payer)


cdef inline void count_unissued(Sim *sim, const Request *request) noexcept nogil:
    """Count what the issuer submitted and the driver never saw.

    ``io.stat`` of the traced device counts it with what is charged below.
    """
    cdef Account *account = account_at(sim, request.account)
    io_add(account.unissued, request.op, request.nbytes, request.n_bios)


cdef inline void count_charged(Sim *sim, const Request *request) noexcept nogil:
    """Count in whose name the driver does the request's I/O."""
    cdef Charge *charge = charge_of(sim, request, request.io_payer)
    io_add(charge.io, request.op, request.nbytes, request.n_bios)
    if sim.backing_io != NULL and not sim.set.cache_on and not (
        sim.set.nested and request.device != sim.set.inner
    ):
        io_add(
            sim.backing_io + <size_t> request.io_payer * N_IO,
            request.op,
            request.nbytes,
            ios_below(sim, request),
        )


cdef inline void failure_add(
    Sim *sim, uint32_t issuer, int32_t code, int64_t nbytes, int64_t now
) noexcept nogil:
    """Count an issuer's bytes that failed; code 0: that were lost in silence."""
    cdef uint64_t key = <uint64_t> issuer << 32 | <uint32_t> code
    cdef uint32_t index = keymap_get(&sim.failure_map, key)
    cdef Failure *failure
    if index == 0:
        index = arena_add(&sim.failures)
        failure = failure_at(sim, index)
        failure.cgroup = issuer
        failure.code = code
        failure.first_ns = now
        if index != 0:
            keymap_set(&sim.failure_map, key, index)
    failure = failure_at(sim, index)
    failure.count += 1
    failure.nbytes += nbytes


cdef inline void write_fails(
    Sim *sim, Request *request, uint64_t page, int64_t now
) noexcept nogil:
    """Fail a write at a page; from 6.15 on only if that is its first.

    Else the driver takes the short write for a whole one and says that it is done: the
    tail is lost. Source: drivers/block/loop.c:lo_rw_aio_complete(), lo_complete_rq(),
    v6.15.
    """
    cdef int64_t written = <int64_t> (page - request.sector // 8) * 4096 - (
        <int64_t> (request.sector % 8) * 512
    )
    if sim.set.short_writes and written > 0:
        request.error = 0
        failure_add(sim, request.issuer, 0, request.nbytes - written, now)


cdef inline void count_stage(
    Sim *sim, const Request *request, uint8_t stage, int64_t wait_ns
) noexcept nogil:
    """Count a stage's time, if it took any."""
    if wait_ns > 0:
        sample_add(sim, request.account, request.op, stage, wait_ns)


cdef inline void stages_above(
    const Sim *sim, const Request *request, int64_t *stage_ns
) noexcept nogil:
    """Fill in the stages ahead of the driver: what was replayed, and what was recorded."""
    stage_ns[STAGE_THROTTLE] = request.queued_ns - request.arrival_ns
    stage_ns[STAGE_QUEUE] = request.tag_ns - request.queued_ns
    stage_ns[STAGE_TAG] = request.dispatch_ns - request.tag_ns
    stage_ns[sim.devices[request.device].prior_stage] += request.prior_ns


cdef inline void count_stages(
    Sim *sim, const Request *request, int64_t now
) noexcept nogil:
    """Count the times of a request that completed."""
    cdef int64_t device_ns = request.served_ns - request.device_ns
    cdef int64_t before_ns = request.prior_ns + request.debt_ns
    cdef int64_t stage_ns[3]
    cdef uint8_t stage
    samples_reserve(sim)
    if (
        request.device_ns == request.arrival_ns
        and request.memory_ns == 0
        and before_ns == 0
    ):
        sample_add(sim, request.account, request.op, STAGE_DEVICE, device_ns)
        return
    sample_add(sim, request.account, request.op, STAGE_DEVICE_WAITED, device_ns)
    stages_above(sim, request, stage_ns)
    if sim.set.as_queued and request.dispatch_ns > request.tag_ns:
        # all else in this stage was recorded, see `own_waits_tell`
        account_at(sim, request.account).replayed_ns += request.dispatch_ns - request.tag_ns
        account_at(sim, request.account).replayed += 1
    for stage in range(STAGE_THROTTLE, STAGE_TAG + 1):
        count_stage(sim, request, stage, stage_ns[stage])
    count_stage(sim, request, STAGE_DISPATCH, request.start_ns - request.dispatch_ns)
    count_stage(sim, request, STAGE_LOCK, request.lock_ns - request.start_ns)
    count_stage(sim, request, STAGE_MEMORY, request.memory_ns)
    count_stage(sim, request, STAGE_BACKING, request.device_ns - request.lock_ns)
    count_stage(sim, request, STAGE_DEBT, request.debt_ns)
    count_stage(sim, request, STAGE_TOTAL, now - request.arrival_ns + before_ns)


cdef inline void count_done(Sim *sim, const Request *request, int64_t now) noexcept nogil:
    """Add a row to the `requests` table."""
    cdef uint32_t index = arena_add(&sim.done)
    cdef Done *done = (<Done *> sim.done.data) + index_in(&sim.done, index)
    done.row = request.row
    done.arrival_ns = request.arrival_ns - request.prior_ns - request.debt_ns
    done.start_ns = request.start_ns
    done.completion_ns = now if request.known else -1
    stages_above(sim, request, done.stage_ns)
    done.stage_ns[STAGE_DISPATCH] = request.start_ns - request.dispatch_ns
    done.stage_ns[STAGE_LOCK] = request.lock_ns - request.start_ns
    done.stage_ns[STAGE_BACKING] = request.device_ns - request.lock_ns
    done.stage_ns[STAGE_MEMORY] = request.memory_ns
    done.stage_ns[STAGE_DEBT] = request.debt_ns
    done.stage_ns[STAGE_DEVICE] = request.served_ns - request.device_ns
    done.issuer = request.issuer
    done.payer = request.io_payer
    done.worker = worker_at(sim, request.worker).index
    done.error = request.error
    done.device = request.device


cdef inline void count_took(
    Sim *sim, const Request *request, int64_t now
) noexcept nogil:
    """Count how long a request took on a device."""
    sim.total_ns += now - request.arrival_ns + request.prior_ns + request.debt_ns
    if sim.total_ns >= <int64_t> 1 << 62:
        sim.status = SIM_SUM_RANGE
    if request.known:
        count_stages(sim, request, now)
    if sim.set.want_requests:
        count_done(sim, request, now)


cdef inline void count_completed(
    Sim *sim, const Request *request, int64_t now
) noexcept nogil:
    """Count a request that the driver is done with."""
    if request.error != 0:
        sim.counts.failed += 1
        failure_add(sim, request.issuer, request.error, request.nbytes, now)
    elif request.known:
        sim.counts.completed += 1
    else:
        sim.counts.unfinished += 1
    count_took(sim, request, now)
