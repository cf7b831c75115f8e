"""Charges, memory and waits of each cgroup in each interval.

Everything counted is a sum that only grows (but memory in use), so an interval's part is
the difference of two looks at the state. A run without a timeline pays one comparison an
event, a run with one a pass over accounts and cgroups an interval.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from replay.engine.counting.latencies cimport samples_fold
from replay.engine.counting.waits cimport waits_fold
from replay.engine.state.entries cimport (
    account_at,
    block_at,
    charge_at,
    wait_at,
    worker_at,
)
from replay.engine.state.queues cimport Wait
from replay.engine.state.sim cimport (
    N_IO,
    N_OPS,
    SIM_TIMELINE,
    STAGE_DEVICE,
    STAGE_DEVICE_WAITED,
    STAGE_TOTAL,
    Account,
    Charge,
    Group,
    LatencyBlock,
    Shelf,
    Sim,
    Worker,
)
from replay.engine.state.timeline cimport (
    CELL_BLOCKED,
    CELL_CHARGED,
    CELL_HIGH,
    CELL_IO,
    CELL_MAX,
    CELL_OOM,
    CELL_OOM_KILL,
    CELL_REFUSED,
    CELL_REQUESTS,
    CELL_STAGES,
    CELL_UNCHARGED,
    CELL_USAGE,
    N_CELLS,
    Timeline,
    TimelineRow,
)
from replay.engine.state.units cimport PAGE_BYTES
from replay.engine.structures.arena cimport arena_add, arena_close, arena_open, index_in
from replay.engine.structures.histogram cimport histogram_at


cdef inline int64_t most_cells() noexcept nogil:
    """Return how many cgroups a run looks at for its timeline, over all intervals."""
    return <int64_t> 1 << 25


cdef inline uint32_t most_rows() noexcept nogil:
    """Return how many rows a timeline may have."""
    return <uint32_t> 1 << 20


cdef inline bint timeline_open(Sim *sim, int64_t interval_ns) noexcept nogil:
    """Set the interval's length, 0 for none; return False if memory ran out."""
    cdef Timeline *timeline = &sim.timeline
    timeline.interval_ns = interval_ns
    timeline.cut_ns = interval_ns if interval_ns > 0 else <int64_t> 1 << 62
    arena_open(&timeline.rows, sizeof(TimelineRow), &sim.failed)
    if interval_ns == 0:
        return True
    timeline.before = <int64_t *> calloc(
        <size_t> sim.n_cgroups * N_CELLS, sizeof(int64_t)
    )
    timeline.now = <int64_t *> calloc(
        <size_t> sim.n_cgroups * N_CELLS, sizeof(int64_t)
    )
    return timeline.before != NULL and timeline.now != NULL


cdef inline void timeline_close(Sim *sim) noexcept nogil:
    """Give the memory back."""
    free(sim.timeline.before)
    free(sim.timeline.now)
    arena_close(&sim.timeline.rows)


cdef inline int64_t *cells_of(Sim *sim, uint32_t cgroup) noexcept nogil:
    """Return a cgroup's cells of the present look."""
    return sim.timeline.now + <size_t> cgroup * N_CELLS


cdef inline int64_t stage_sum(
    const Sim *sim, const LatencyBlock *block, int stage
) noexcept nogil:
    """Return the time that a block's requests spent in a stage."""
    return histogram_at(&sim.histograms, block.stages[stage]).sum_ns


cdef inline void look_at_iolatency(Sim *sim) noexcept nogil:
    """Add up what issuers waited, by stage, over devices and operations."""
    cdef const Account *account
    cdef const LatencyBlock *block
    cdef int64_t *cells
    cdef int64_t device_ns
    cdef uint32_t i
    cdef int op, stage
    for i in range(1, sim.accounts.length):
        account = account_at(sim, i)
        cells = cells_of(sim, account.issuer)
        for op in range(N_OPS):
            if account.latency[op] == 0:
                continue
            block = block_at(sim, account.latency[op])
            cells[CELL_REQUESTS] += block.count
            for stage in range(STAGE_DEVICE):
                cells[CELL_STAGES + stage] += stage_sum(sim, block, stage)
            # see STAGE_DEVICE_WAITED
            device_ns = stage_sum(sim, block, STAGE_DEVICE)
            cells[CELL_STAGES + STAGE_DEVICE] += device_ns + stage_sum(
                sim, block, STAGE_DEVICE_WAITED
            )
            cells[CELL_STAGES + STAGE_TOTAL] += device_ns + stage_sum(
                sim, block, STAGE_TOTAL
            )


cdef inline void look_at_charges(Sim *sim) noexcept nogil:
    """Add up what payers paid, and who was waited for."""
    cdef const Charge *charge
    cdef const Wait *wait
    cdef int64_t *cells
    cdef uint32_t i
    cdef int column
    for i in range(1, sim.charges.length):
        charge = charge_at(sim, i)
        cells = cells_of(sim, charge.payer)
        for column in range(N_IO):
            cells[CELL_IO + column] += charge.io[column]
        cells[CELL_CHARGED] += charge.charged_bytes
        cells[CELL_UNCHARGED] += charge.uncharged_bytes
        cells[CELL_REFUSED] += charge.refused_bytes
    for i in range(1, sim.waits.length):
        wait = wait_at(sim, i)
        if wait.blocking < sim.n_cgroups:   # or a shared lock does not tell it apart
            cells_of(sim, wait.blocking)[CELL_BLOCKED] += wait.wait_ns


cdef inline void take_off(Sim *sim, uint32_t cgroup, int64_t pages) noexcept nogil:
    """Leave pages of a stock out of what its cgroup and those above use."""
    cdef int32_t at = <int32_t> cgroup
    if pages == 0:
        return
    while at >= 0:
        cells_of(sim, <uint32_t> at)[CELL_USAGE] -= pages * PAGE_BYTES
        at = sim.groups[at].parent


cdef inline void look_at_memory(Sim *sim) noexcept nogil:
    """Read every cgroup's memory, without stocks, and its events."""
    cdef const Group *group
    cdef const Worker *worker
    cdef const Shelf *shelf
    cdef int64_t *cells
    cdef uint32_t i, slot
    for i in range(sim.n_cgroups):
        group = &sim.groups[i]
        cells = cells_of(sim, i)
        cells[CELL_USAGE] = group.usage * PAGE_BYTES
        cells[CELL_HIGH] = group.high_events
        cells[CELL_MAX] = group.max_events
        cells[CELL_OOM] = group.oom
        cells[CELL_OOM_KILL] = group.oom_kill
    for i in range(1, sim.workers.length):
        worker = worker_at(sim, i)
        take_off(sim, worker.stock_cgroup, worker.stock_pages)
        if worker.shelf != 0:
            shelf = (<const Shelf *> sim.shelves.data) + worker.shelf
            for slot in range(sim.set.stock_slots):
                if slot != shelf.at:
                    take_off(sim, shelf.cgroup[slot], shelf.pages[slot])


cdef inline void timeline_emit(Sim *sim) noexcept nogil:
    """Add a row for every cgroup of which something has changed."""
    cdef Timeline *timeline = &sim.timeline
    cdef TimelineRow *row
    cdef const int64_t *before
    cdef const int64_t *now
    cdef uint32_t cgroup, index
    cdef int cell
    cdef bint changed
    for cgroup in range(sim.n_cgroups):
        before = timeline.before + <size_t> cgroup * N_CELLS
        now = timeline.now + <size_t> cgroup * N_CELLS
        changed = False
        for cell in range(N_CELLS):
            changed = changed or now[cell] != before[cell]
        if not changed:
            continue
        index = arena_add(&timeline.rows)
        row = (<TimelineRow *> timeline.rows.data) + index_in(&timeline.rows, index)
        row.interval = timeline.index
        row.cgroup = cgroup
        for cell in range(N_CELLS):
            row.cells[cell] = now[cell] - before[cell]
        row.cells[CELL_USAGE] = now[CELL_USAGE]


cdef inline void timeline_cut(Sim *sim, int64_t now) noexcept nogil:
    """Time has passed the present interval's end: write it down, begin another one."""
    cdef Timeline *timeline = &sim.timeline
    cdef int64_t *before = timeline.before
    samples_fold(sim)
    waits_fold(sim)
    memset(timeline.now, 0, <size_t> sim.n_cgroups * N_CELLS * sizeof(int64_t))
    look_at_iolatency(sim)
    look_at_charges(sim)
    look_at_memory(sim)
    timeline_emit(sim)
    timeline.before = timeline.now
    timeline.now = before
    timeline.index = now // timeline.interval_ns
    timeline.cut_ns = (timeline.index + 1) * timeline.interval_ns
    timeline.n_cells_seen += sim.n_cgroups
    if timeline.n_cells_seen > most_cells() or timeline.rows.length > most_rows():
        sim.status = SIM_TIMELINE
