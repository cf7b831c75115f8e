"""Who waited for whom: ns and incidents by both cgroups and the resource.

Where there are few cgroups, sums are added up in a table and become a `Wait` when
somebody looks. A row is what all waited for one: who leaves a queue adds to one row.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc

from replay.engine.state.entries cimport account_at, block_at, wait_at
from replay.engine.state.queues cimport Wait, WaitCell
from replay.engine.state.sim cimport (
    N_OPS,
    N_RESOURCES,
    RESOURCE_LOCK,
    RESOURCE_TAG,
    STAGE_TAG,
    Account,
    Sim,
)
from replay.engine.structures.arena cimport arena_add, keymap_get, keymap_set
from replay.engine.structures.histogram cimport Histogram, histogram_at

cdef enum:
    MAX_TABLE_CGROUPS = 256     # 7 MB, of which only what is used is ever touched
    # two that share a lock wait alike for one another: they stand there once
    LOCK_PAIRS = N_RESOURCES
    N_TABLES = N_RESOURCES + 1


cdef inline bint waits_open(Sim *sim) noexcept nogil:
    """Make the table of waits if cgroups are few; return False if memory ran out."""
    cdef size_t n = sim.n_cgroups + 1       # and the one called n_cgroups, see _server
    if n > MAX_TABLE_CGROUPS:
        return True
    sim.wait_rows = <uint8_t *> calloc(N_TABLES * n, 1)
    sim.wait_cells = <WaitCell *> calloc(N_TABLES * n * n, sizeof(WaitCell))
    return sim.wait_rows != NULL and sim.wait_cells != NULL


cdef inline uint32_t wait_of(
    Sim *sim, uint32_t waiting, uint32_t blocking, uint8_t resource
) noexcept nogil:
    """Return the index of the Wait of two cgroups on a resource; makes it."""
    cdef uint64_t key = <uint64_t> resource << 56 | <uint64_t> waiting << 28 | blocking
    cdef uint32_t index = keymap_get(&sim.wait_map, key)
    cdef Wait *wait
    if index == 0:
        index = arena_add(&sim.waits)
        wait = wait_at(sim, index)
        wait.waiting = waiting
        wait.blocking = blocking
        wait.resource = resource
        if index != 0:
            keymap_set(&sim.wait_map, key, index)
    return index


cdef inline void wait_count(
    Sim *sim,
    uint32_t waiting,
    uint32_t blocking,
    uint8_t resource,
    int64_t wait_ns,
    int64_t count,
) noexcept nogil:
    """Add to a Wait."""
    cdef uint32_t index = wait_of(sim, waiting, blocking, resource)
    cdef Wait *wait = wait_at(sim, index)
    wait.wait_ns += wait_ns
    wait.count += count


cdef inline WaitCell *wait_row(
    Sim *sim, uint32_t blocking, uint32_t table
) noexcept nogil:
    """Return, by cgroup, what was waited for one on a resource; there is a table."""
    cdef size_t n = sim.n_cgroups + 1
    cdef size_t row = table * n + blocking
    sim.wait_rows[row] = 1
    return sim.wait_cells + row * n


cdef inline void cell_add(
    Sim *sim,
    uint32_t waiting,
    uint32_t blocking,
    uint32_t table,
    int64_t wait_ns,
    int64_t count,
) noexcept nogil:
    """Add a wait to the table, which is there."""
    cdef WaitCell *cell = wait_row(sim, blocking, table) + waiting
    cell.wait_ns += wait_ns
    cell.count += count


cdef inline void wait_more(
    Sim *sim,
    uint32_t waiting,
    uint32_t blocking,
    uint8_t resource,
    int64_t wait_ns,
    int64_t count,
) noexcept nogil:
    """Charge a wait to the one that blocked."""
    if sim.wait_cells == NULL:
        wait_count(sim, waiting, blocking, resource, wait_ns, count)
    else:
        cell_add(sim, waiting, blocking, resource, wait_ns, count)


cdef inline void wait_add(
    Sim *sim,
    uint32_t waiting,
    uint32_t blocking,
    uint8_t resource,
    int64_t wait_ns,
    int64_t count,
) noexcept nogil:
    """Charge a wait to the one that blocked; nothing if nobody waited."""
    if wait_ns > 0:
        wait_more(sim, waiting, blocking, resource, wait_ns, count)


cdef inline void wait_pair_add(
    Sim *sim, uint32_t a, uint32_t b, int64_t wait_ns, int64_t count
) noexcept nogil:
    """Charge to two what each waited for the other, on the shared lock."""
    if sim.wait_cells == NULL:
        wait_count(sim, a, b, RESOURCE_LOCK, wait_ns, count)
        wait_count(sim, b, a, RESOURCE_LOCK, wait_ns, count)
    else:
        cell_add(sim, b, a, LOCK_PAIRS, wait_ns, count)


cdef inline void row_fold(
    Sim *sim, uint32_t blocking, uint32_t table, WaitCell *row
) noexcept nogil:
    """Add a row of the table to the Waits, and empty it."""
    cdef uint32_t waiting
    cdef WaitCell one
    cdef uint8_t resource = <uint8_t> table
    if table == LOCK_PAIRS:
        resource = RESOURCE_LOCK
    for waiting in range(sim.n_cgroups + 1):
        one = row[waiting]
        if one.wait_ns == 0 and one.count == 0:
            continue
        row[waiting].wait_ns = row[waiting].count = 0
        wait_count(sim, waiting, blocking, resource, one.wait_ns, one.count)
        if table == LOCK_PAIRS:
            wait_count(sim, blocking, waiting, resource, one.wait_ns, one.count)


cdef inline void own_waits_tell(Sim *sim) noexcept nogil:
    """Count recorded waits for tags behind the own cgroup: no other is known.

    What a request of a loop device waited between Q and D when it was recorded is no
    event of the run. It stands in the stage, and counts as a wait too, so that what is
    attributed sums up to the stages. All samples are counted.
    """
    cdef Account *account
    cdef const Histogram *one
    cdef int64_t own_ns, own
    cdef uint32_t i
    cdef int op
    if not sim.set.as_queued:
        return
    for i in range(1, sim.accounts.length):
        account = account_at(sim, i)
        if sim.devices[account.device].prior_stage != STAGE_TAG:
            continue
        own_ns = -account.replayed_ns
        own = -account.replayed
        for op in range(N_OPS):
            one = histogram_at(
                &sim.histograms, block_at(sim, account.latency[op]).stages[STAGE_TAG]
            )
            own_ns += one.sum_ns
            own += one.count
        if own_ns > account.own_ns:
            wait_count(
                sim,
                account.issuer,
                account.issuer,
                RESOURCE_TAG,
                own_ns - account.own_ns,
                own - account.own,
            )
        account.own_ns = own_ns
        account.own = own


cdef inline void waits_fold(Sim *sim) noexcept nogil:
    """Bring all Waits up to date."""
    cdef size_t n = sim.n_cgroups + 1
    cdef uint32_t table, blocking
    own_waits_tell(sim)
    if sim.wait_cells == NULL:
        return
    for table in range(N_TABLES):
        for blocking in range(sim.n_cgroups + 1):
            if sim.wait_rows[table * n + blocking]:
                sim.wait_rows[table * n + blocking] = 0
                row_fold(
                    sim, blocking, table, sim.wait_cells + (table * n + blocking) * n
                )
