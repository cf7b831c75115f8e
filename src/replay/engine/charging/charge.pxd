"""Charging memory: stocks, limits, and the sleep above ``memory.high``.

Source: mm/memcontrol.c:try_charge_memcg(), drain_all_stock(),
mem_cgroup_handle_over_high(), calculate_high_delay(), v6.1.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

from replay.engine.memcg.counters cimport (
    is_below,
    memory_count,
    memory_exceeded,
    memory_room,
)
from replay.engine.memcg.tasks cimport dying_until, oom_kill
from replay.engine.pages.reclaim cimport CLUSTER, reclaim
from replay.engine.state.entries cimport worker_at
from replay.engine.state.halting cimport PAGE_WORK, goes_on
from replay.engine.state.jiffies cimport jiffies_at, time_of_jiffy
from replay.engine.state.sim cimport Group, Request, Shelf, Sim, Worker
from replay.engine.structures.arena cimport arena_add

cdef enum:
    # MAX_RECLAIM_RETRIES: how many times a charge, or a worker above memory.high,
    # retries
    RETRIES = 16
    # charges of up to this many pages retry while reclaim makes progress
    # (PAGE_ALLOC_COSTLY_ORDER)
    COSTLY = 8
    # MEMCG_DELAY_PRECISION_SHIFT and MEMCG_DELAY_SCALING_SHIFT
    PRECISION_SHIFT = 20
    SCALING_SHIFT = 14

cdef enum ChargeResult:
    CHARGE_OK = 0
    CHARGE_FAILED = 1
    CHARGE_SLEEPS = 2


cdef inline Shelf *shelf_at(const Sim *sim, const Worker *worker) noexcept nogil:
    """Return where a worker's other stocks lie; it has some."""
    return (<Shelf *> sim.shelves.data) + worker.shelf


cdef inline void shelf_turn(Sim *sim, Worker *worker, uint32_t at) noexcept nogil:
    """Put the stock in use back, and take another one."""
    cdef Shelf *shelf = shelf_at(sim, worker)
    shelf.cgroup[shelf.at] = worker.stock_cgroup
    shelf.pages[shelf.at] = worker.stock_pages
    shelf.at = at
    worker.stock_cgroup = shelf.cgroup[at]
    worker.stock_pages = shelf.pages[at]


cdef inline bint stock_found(
    Sim *sim, Worker *worker, uint32_t payer, int64_t pages
) noexcept nogil:
    """Take pages from a stock that is not in use; return True if it held as many."""
    cdef const Shelf *shelf
    cdef uint32_t i
    if worker.shelf == 0:
        return False
    shelf = shelf_at(sim, worker)
    for i in range(sim.set.stock_slots):
        if i != shelf.at and shelf.cgroup[i] == payer and shelf.pages[i] >= pages:
            shelf_turn(sim, worker, i)
            worker.stock_pages -= pages
            return True
    return False


cdef inline void stock_put(
    Sim *sim, Worker *worker, uint32_t payer, int64_t pages
) noexcept nogil:
    """Hold pages charged in advance; the payer that makes place gets its own back.

    Source: mm/memcontrol.c:refill_stock(), v6.1 and v6.16.
    """
    cdef Shelf *shelf
    cdef uint32_t i, free_at
    if worker.stock_cgroup == payer and worker.stock_pages > 0:
        worker.stock_pages += pages
        return
    if sim.set.stock_slots == 1:
        if worker.stock_pages > 0:
            memory_count(sim, worker.stock_cgroup, -worker.stock_pages)
    elif worker.shelf != 0 or worker.stock_pages > 0:
        if worker.shelf == 0:
            worker.shelf = arena_add(&sim.shelves)
        shelf = shelf_at(sim, worker)
        shelf_turn(sim, worker, shelf.at)
        free_at = sim.set.stock_slots
        for i in range(sim.set.stock_slots):
            if shelf.pages[i] == 0:
                free_at = min(free_at, i)
            elif shelf.cgroup[i] == payer:
                shelf_turn(sim, worker, i)
                worker.stock_pages += pages
                return
        if free_at == sim.set.stock_slots:
            free_at = shelf.next_out
            shelf.next_out = (free_at + 1) % sim.set.stock_slots
            memory_count(sim, shelf.cgroup[free_at], -shelf.pages[free_at])
        shelf_turn(sim, worker, free_at)
    worker.stock_cgroup = payer
    worker.stock_pages = pages


cdef inline void stock_drain(Sim *sim, Worker *worker, int32_t over) noexcept nogil:
    """Give a CPU's stocks of a cgroup and its descendants back to the counters."""
    cdef Shelf *shelf
    cdef uint32_t i
    if worker.stock_pages > 0 and is_below(sim, <int32_t> worker.stock_cgroup, over):
        memory_count(sim, worker.stock_cgroup, -worker.stock_pages)
        worker.stock_pages = 0
    if worker.shelf != 0:
        shelf = shelf_at(sim, worker)
        for i in range(sim.set.stock_slots):
            if i != shelf.at and shelf.pages[i] > 0 and (
                is_below(sim, <int32_t> shelf.cgroup[i], over)
            ):
                memory_count(sim, shelf.cgroup[i], -shelf.pages[i])
                shelf.pages[i] = 0


cdef inline bint has_stock(const Sim *sim, const Worker *worker) noexcept nogil:
    """Return True if a worker holds pages that are charged in advance."""
    cdef const Shelf *shelf
    cdef uint32_t i
    if worker.stock_pages > 0 or worker.shelf == 0:
        return worker.stock_pages > 0
    shelf = shelf_at(sim, worker)
    for i in range(sim.set.stock_slots):
        if i != shelf.at and shelf.pages[i] > 0:
            return True
    return False


cdef inline void stocks_drain(Sim *sim, int32_t over) noexcept nogil:
    """Give back every stock of a cgroup and its descendants."""
    cdef uint32_t *stocked = <uint32_t *> sim.stocked.data
    cdef uint32_t kept = 1
    cdef uint32_t i
    cdef Worker *worker
    for i in range(1, sim.stocked.length):
        worker = worker_at(sim, stocked[i])
        stock_drain(sim, worker, over)
        if has_stock(sim, worker):
            stocked[kept] = stocked[i]
            kept += 1
        else:
            worker.in_stocked = False
    sim.stocked.length = kept


cdef inline void events_count(
    Sim *sim, int32_t over, int64_t max_events, int64_t oom
) noexcept nogil:
    """Count a failure at a limit, there and in every ancestor but the root."""
    while over > 0:
        sim.groups[over].max_events += max_events
        sim.groups[over].oom += oom
        over = sim.groups[over].parent


cdef inline ChargeResult make_room(
    Sim *sim,
    Request *request,
    int64_t pages,
    int64_t now,
    bint may_fail,
    int64_t *until,
) noexcept nogil:
    """Make room at a limit; `until` is when to try again if the worker must sleep.

    Each time round reclaims, and is one `max`. Where that gives nothing the stocks are
    drained once, and 16 retries later `oom` counts and the OOM killer is asked. With
    policy `enospc` the charge fails there, and one that may fail before.
    """
    cdef int32_t over
    cdef int retries = RETRIES
    cdef bint drained = request.oom_rounds > 0
    cdef int64_t freed
    while goes_on(sim, PAGE_WORK):
        over = memory_exceeded(sim, request.memory_payer, pages)
        if over < 0:
            return CHARGE_OK
        events_count(sim, over, 1, 0)
        freed = reclaim(sim, request, over, pages)
        if sim.groups[over].limit - sim.groups[over].usage >= pages:
            continue
        if not drained:
            stocks_drain(sim, over)
            drained = True
            continue
        if may_fail:
            return CHARGE_FAILED
        if freed > 0 and pages <= COSTLY:
            continue
        if retries > 0:
            retries -= 1
            continue
        retries = RETRIES
        events_count(sim, over, 0, sim.set.oom_kills)
        if not sim.set.oom_kills:
            return CHARGE_FAILED
        request.oom_rounds += 1
        until[0] = dying_until(sim, over)
        if until[0] < 0 and not oom_kill(sim, over, request, now):
            request.oom_rounds = 0
            return CHARGE_FAILED
        until[0] = dying_until(sim, over)
        if until[0] >= 0:
            request.blocking = <uint32_t> over
            return CHARGE_SLEEPS
    return CHARGE_FAILED


cdef inline bint is_high(const Sim *sim, uint32_t cgroup) noexcept nogil:
    """Return True if a cgroup or one above it is over its ``memory.high``."""
    cdef int32_t at = sim.groups[cgroup].highs
    cdef const Group *group
    while at > 0:
        group = &sim.groups[at]
        if group.usage > group.high:
            return True
        at = sim.groups[group.parent].highs
    return False


cdef inline ChargeResult charge_batch(
    Sim *sim,
    Request *request,
    int64_t pages,
    int64_t now,
    bint may_fail,
    bint reclaims,
    int64_t *until,
) noexcept nogil:
    """Charge pages that the stock does not hold: 64 at once where they fit.

    What does not reclaim (a huge page) fails at once where they do not.

    With policy `backcharge` they are charged whatever the limits say, and the worker,
    which is the root's, does not sleep for anybody.
    """
    cdef uint32_t payer = request.memory_payer
    cdef Worker *worker = worker_at(sim, request.worker)
    cdef int64_t batch = max(sim.set.charge_batch, pages)
    cdef uint32_t entry
    cdef ChargeResult result
    if stock_found(sim, worker, payer, pages):
        return CHARGE_OK
    if sim.set.reclaim_lru or payer == 0:
        batch = pages
    if memory_room(sim, payer, batch) < batch:
        batch = pages
        if sim.set.backcharges:
            events_count(sim, memory_exceeded(sim, payer, pages), 1, 0)
        elif not reclaims:
            if memory_room(sim, payer, pages) < pages:
                events_count(
                    sim,
                    memory_exceeded(sim, payer, pages),
                    sim.set.refusals_count,
                    0,
                )
                return CHARGE_FAILED
        else:
            result = make_room(sim, request, pages, now, may_fail, until)
            if result != CHARGE_OK:
                return result
    request.oom_rounds = 0
    memory_count(sim, payer, batch)
    if batch > pages:
        stock_put(sim, worker, payer, batch - pages)
        if not worker.in_stocked:
            worker.in_stocked = True
            entry = arena_add(&sim.stocked)
            (<uint32_t *> sim.stocked.data)[entry] = request.worker
    if is_high(sim, payer) and not sim.set.backcharges:
        worker.over_high += batch
    return CHARGE_OK


cdef inline int64_t throttled_until(
    Sim *sim, Request *request, int64_t now
) noexcept nogil:
    """Return until when the worker sleeps for what it charged high, -1 for not at all.

    Every pass reclaims from all that are above, and is one `high`. Where nothing can be
    reclaimed (tmpfs, dirty pages) it sleeps after 17 of them.
    """
    cdef Worker *worker = worker_at(sim, request.worker)
    cdef int64_t n_pages = worker.over_high
    cdef int64_t wanted = n_pages
    cdef int64_t hz = sim.set.hz
    cdef int64_t penalty = 0, freed
    cdef int retries = RETRIES
    if n_pages <= sim.set.charge_batch or not sim.set.high_in_charge:
        return -1
    worker.over_high = 0
    while goes_on(sim, PAGE_WORK):
        freed = high_reclaim(sim, request, wanted)
        wanted = CLUSTER
        penalty = high_penalty(sim, request, n_pages)
        if penalty <= hz // 100:
            return -1
        if freed == 0:
            if retries == 0:
                break
            retries -= 1
    return time_of_jiffy(sim, jiffies_at(sim, now) + penalty)


cdef inline int64_t high_reclaim(
    Sim *sim, Request *request, int64_t wanted
) noexcept nogil:
    """Reclaim from every cgroup on the way up that is high; return how many pages."""
    cdef int32_t at = sim.groups[request.memory_payer].highs
    cdef int32_t above
    cdef int64_t freed = 0
    while at > 0:
        if sim.groups[at].usage > sim.groups[at].high:
            above = at
            while above > 0:
                sim.groups[above].high_events += 1
                above = sim.groups[above].parent
            freed += reclaim(sim, request, at, wanted)
        at = sim.groups[sim.groups[at].parent].highs
    return freed


cdef inline int64_t high_penalty(
    const Sim *sim, Request *request, int64_t n_pages
) noexcept nogil:
    """Return how long a worker sleeps, jiffies; by the cgroup that is highest above."""
    cdef int32_t at = sim.groups[request.memory_payer].highs
    cdef int64_t worst = 0
    cdef int64_t overage, penalty
    cdef const Group *group
    while at > 0:
        group = &sim.groups[at]
        overage = 0
        if group.usage > group.high:
            overage = ((group.usage - group.high) << PRECISION_SHIFT) // max(
                1, group.high
            )
        if overage > worst:
            worst = overage
            request.blocking = <uint32_t> at
        at = sim.groups[group.parent].highs
    # beyond 2**20 times its limit the clamp below is certain
    worst = min(worst, <int64_t> 1 << 26)
    penalty = (worst * worst * sim.set.hz >> PRECISION_SHIFT) >> SCALING_SHIFT
    return min(penalty * n_pages // sim.set.charge_batch, 2 * sim.set.hz)
