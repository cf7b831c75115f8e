"""``io.weight`` with the linear cost model: who may issue now, and who waits.

Every cgroup has a budget of virtual time on a device, which comes at the rate of its
share; a request costs what the model says and goes if the budget has it. Else its
submitter waits: below a loop device that is the worker, with all behind it.

Source: block/blk-iocost.c, v6.1: ioc_rqos_throttle(), iocg_activate(),
adjust_inuse_and_calc_cost(), calc_vtime_cost_builtin(), ioc_rqos_done(),
ioc_rqos_done_bio().

**Debt**, for what must not wait (policy ``backcharge``, META and SWAP bios): `iocost_owe`
lets the I/O go at once and adds its cost to the issuer's debt. It returns for how many
ns the issuer's tasks are delayed when they next come from the kernel (0 for not at
all); the caller delays their next arrivals (`delay_stream`). While a group owes, its
requests wait and its share is lent to the others; debt is paid once a period.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from replay.engine.controllers.iocost_period cimport start_period, touch, touch_only
from replay.engine.controllers.iocost_wait cimport (
    iocost_commit,
    iocost_now,
    incur_debt,
    kick,
    kick_delay,
    request_cost,
)
from replay.engine.controllers.iocost_weights cimport change_weights, refresh_shares
from replay.engine.controllers.iolatency cimport iolatency_device, iolatency_done
from replay.engine.driver.nested cimport is_inside
from replay.engine.driver.submits cimport is_outer, only_submits
from replay.engine.state.iocost cimport (
    ABOVE,
    BELOW,
    FAR,
    PER_NS,
    IocostDevice,
    IocostGroup,
    IocostNow,
    ahead_of,
    iocost_of,
)
from replay.engine.state.iolatency cimport IolatencyDevice
from replay.engine.state.requests cimport request_at
from replay.engine.state.sim cimport (
    OP_FLUSH,
    OP_FLUSH,
    OP_READ,
    OP_WRITE,
    SIM_END_RANGE,
    Request,
    Sim,
)
from replay.engine.state.streams cimport delay_stream
from replay.engine.structures.arena cimport arena_add

cdef enum:
    # further away than this, in pages, is not sequential
    SEEK_PAGES = 4096
    STEP_PERCENT = 25
    PAGE_SHIFT = 12


cdef inline IocostDevice *iocost_device(const Sim *sim, int place) noexcept nogil:
    """Return a device's cost model, NULL for none; -1 is the device below."""
    return NULL if sim.iocost_at == NULL else sim.iocost_at[place + 1]


cdef inline bint is_asked_flush(const Request *request) noexcept nogil:
    """Return True if a flush is a bio's, and not the flush machinery's own."""
    return request.op == OP_FLUSH and request.n_bios > 0


cdef inline int64_t absolute_cost(
    const Sim *sim,
    const IocostDevice *device,
    const IocostGroup *group,
    const Request *request,
) noexcept nogil:
    """Return what a request costs of the device: a seek or none, and its pages.

    Up to 6.1 a bio without data that asks for a flush costs a write of a page.
    """
    cdef const int64_t *model = &device.coefficients[0]
    cdef uint64_t seek, back
    cdef int64_t nbytes = request.nbytes
    cdef int64_t whole = 0
    cdef bint is_flush = sim.set.iocost_flush_costs and is_asked_flush(request)
    if request.op == OP_WRITE or is_flush:
        model = &device.coefficients[3]
    elif request.op != OP_READ:
        return 0
    if nbytes == 0 and not is_flush:
        return 0
    # the distance either way, 0 from no place at all: nobody foresees which of them
    back = -<uint64_t> (group.cursor > request.sector)
    seek = ((request.sector - group.cursor) ^ back) - back
    seek &= -<uint64_t> (group.cursor != 0)
    if nbytes > device.max_bytes:
        # each part that the queue cuts off is an I/O that follows the one before
        whole = (nbytes - 1) // device.max_bytes
        nbytes -= whole * device.max_bytes
    return (
        model[2 if seek >> 3 > SEEK_PAGES else 1]
        + whole * (model[1] + max(device.max_bytes >> PAGE_SHIFT, 1) * model[0])
        + max(nbytes >> PAGE_SHIFT, 1) * model[0]
    )


cdef inline bint iocost_activate(
    Sim *sim, IocostDevice *device, IocostGroup *group, const IocostNow *now
) noexcept nogil:
    """Give a group that was idle half a period's budget; return True if it may.

    Above and below an active group nobody has a share: they issue as the root.
    """
    cdef uint64_t moved
    cdef const IocostGroup *above
    if group.is_active:
        group.active_period = device.period
        return True
    if group.child_active_sum != 0:
        return False
    group.active_period = device.period
    above = &device.groups[group.parent]
    while above.parent >= 0:
        if above.is_active:
            return False
        above = &device.groups[above.parent]
    moved = now.v - <uint64_t> device.margin_target - group.vtime
    group.vtime += moved
    group.done_vtime += moved
    group.generation = device.generation - 1
    group.is_active = True
    group.previous = 0
    group.next = device.first_active
    if group.next != 0:
        device.groups[group.next].previous = <uint32_t> (group - device.groups)
    device.first_active = <uint32_t> (group - device.groups)
    change_weights(
        device,
        group,
        group.weight,
        group.last_inuse if group.last_inuse != 0 else group.weight,
        now,
        True,
    )
    group.activated_at = now.us
    if not device.running:
        device.running = True
        device.forgive_at = now.us
        device.forgive_rest = 0
        start_period(sim, device, now)
    return True


cdef inline int64_t group_cost(IocostGroup *group, int64_t absolute) noexcept nogil:
    """Return what a request iocost a group; divides only if the last one cost other."""
    if absolute != group.asked_absolute or group.hw_inuse != group.asked_share:
        group.asked_absolute = absolute
        group.asked_share = group.hw_inuse
        group.asked_cost = iocost_of(absolute, group.hw_inuse)
    return group.asked_cost


cdef inline int64_t raise_inuse(
    IocostDevice *device, IocostGroup *group, int64_t absolute, const IocostNow *now
) noexcept nogil:
    """Take back lent weight, in steps, where it runs short; return the group's cost."""
    cdef int64_t cost, margin, inuse, step
    refresh_shares(device, group)
    cost = group_cost(group, absolute)
    margin = ahead_of(now.v, group.vtime) - cost
    if (
        group.debt != 0
        or margin >= group.saved_margin
        or margin >= device.margin_low
        or group.inuse == group.active
    ):
        return cost
    inuse = group.inuse
    step = (group.active * STEP_PERCENT + 99) // 100
    while True:
        inuse += step
        change_weights(device, group, group.active, inuse, now, True)
        refresh_shares(device, group)
        cost = iocost_of(absolute, group.hw_inuse)
        if ahead_of(now.v, group.vtime) >= cost or group.inuse == group.active:
            return cost


cdef inline int64_t owe(
    Sim *sim, IocostDevice *device, IocostGroup *group, int64_t absolute, const IocostNow *now
) noexcept nogil:
    """Add to a group's debt; return for how long its tasks are delayed, ns."""
    incur_debt(sim, device, group, absolute, now)
    return group.delay_ns if kick_delay(sim, device, group, now) else 0


cdef inline bint iocost_enter(
    Sim *sim,
    IocostDevice *device,
    uint32_t slot,
    uint32_t cgroup,
    bint is_bio,
    int64_t now_ns,
) noexcept nogil:
    """Issue a request and return True, or let it wait.

    What its issuer submitted himself owes if it is META.
    """
    cdef Request *request = request_at(sim, slot)
    cdef IocostGroup *group
    cdef IocostNow now
    cdef int64_t absolute, cost
    if device == NULL or cgroup == 0:
        return True
    group = &device.groups[cgroup]
    absolute = absolute_cost(sim, device, group, request)
    if absolute == 0:
        return True
    now = touch(sim, device, now_ns)
    if not iocost_activate(sim, device, group, &now):
        return True
    group.cursor = request.sector + (request.nbytes >> 9)
    cost = raise_inuse(device, group, absolute, &now)
    if cost >= FAR:
        sim.status = SIM_END_RANGE
        return True
    if group.head == 0 and group.debt == 0 and ahead_of(now.v, group.vtime) >= cost:
        iocost_commit(sim, device, group, slot, absolute, cost)
        return True
    if is_bio and request.is_meta:
        delay_stream(sim, request.stream, owe(sim, device, group, absolute, &now))
        return True
    if group.debt == 0 and group.inuse != group.active:
        change_weights(device, group, group.active, group.active, &now, True)
    request_cost(sim, device, slot)[0] = absolute
    request.throttled_from_ns = now_ns
    request.next = 0
    if group.tail != 0:
        request_at(sim, group.tail).next = slot
    else:
        group.head = slot
    group.tail = slot
    kick(sim, device, group, &now)
    return False


cdef inline int64_t iocost_owe(
    Sim *sim, IocostDevice *device, uint32_t slot, uint32_t cgroup, int64_t now_ns
) noexcept nogil:
    """Let a request go and add its cost to a cgroup's debt.

    Returns for how long the cgroup's tasks are delayed, ns; see the file's head.
    """
    cdef Request *request = request_at(sim, slot)
    cdef IocostGroup *group
    cdef IocostNow now
    cdef int64_t absolute
    if device == NULL or cgroup == 0:
        return 0
    group = &device.groups[cgroup]
    absolute = absolute_cost(sim, device, group, request)
    if absolute == 0:
        return 0
    now = touch(sim, device, now_ns)
    if not iocost_activate(sim, device, group, &now):
        return 0
    group.cursor = request.sector + (request.nbytes >> 9)
    return owe(sim, device, group, absolute, &now)


cdef inline void iocost_wake(
    Sim *sim, IocostDevice *device, uint32_t cgroup, uint32_t version, int64_t now_ns
) noexcept nogil:
    """Let those go whose budget has come."""
    cdef IocostGroup *group = &device.groups[cgroup]
    cdef IocostNow now
    if version == group.version:
        group.timer_ns = -1
        now = iocost_now(sim, device, now_ns)
        kick(sim, device, group, &now)


cdef inline void iocost_served(
    IocostDevice *device, const Request *request, int64_t took_ns, int64_t wait_ns
) noexcept nogil:
    """Count whether a request was in time, and for how long it waited for a place.

    The time that its size takes does not count.
    """
    cdef int rw = request.op == OP_WRITE
    cdef int64_t size_ns
    if rw == 0 and request.op != OP_READ:
        return
    size_ns = (
        <int64_t> (request.nbytes >> PAGE_SHIFT) * device.coefficients[3 * rw] // PER_NS
    )
    if took_ns - size_ns <= device.qos[2 * rw + 1] * 1000:
        device.met[rw] += 1
    else:
        device.missed[rw] += 1
    device.rq_wait_ns += wait_ns


cdef inline void iocost_complete(
    Sim *sim, IocostDevice *device, uint32_t cgroup, int64_t cost, int64_t now_ns
) noexcept nogil:
    """Count that what a request cost is no longer in flight."""
    if cost != 0:
        touch_only(sim, device, now_ns)
        device.groups[cgroup].done_vtime += <uint64_t> cost


cdef inline uint32_t bio_cgroup(const Sim *sim, const Request *request) noexcept nogil:
    """Return whose bio a request is on the traced device: a flush has none."""
    if request.op == OP_FLUSH and not sim.set.pass_through:
        return 0
    return sim.blkcg[request.issuer]


cdef inline void iocost_begin(Sim *sim, uint32_t slot) noexcept nogil:
    """Make room for what limits note of a new request; it costs nothing yet."""
    cdef Request *request = request_at(sim, slot)
    request.cost[ABOVE] = request.cost[BELOW] = 0
    if sim.n_iolatencies == 0:
        return
    while sim.request_controls.length <= slot and not sim.request_controls.failed.no_memory:
        arena_add(&sim.request_controls)


cdef inline void iocost_done(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Tell the device's limits that a request is done."""
    cdef const Request *request = request_at(sim, slot)
    cdef uint32_t cgroup
    cdef IocostDevice *iocost
    cdef IolatencyDevice *iolatency
    cdef int64_t took_ns, wait_ns
    if sim.set.by_queue or is_inside(sim, slot):
        cgroup = bio_cgroup(sim, request)
        iocost = iocost_device(sim, request.device)
        if iocost != NULL:
            iocost_complete(sim, iocost, cgroup, request_cost(sim, iocost, slot)[0], now)
            wait_ns = request.dispatch_ns - request.tag_ns
            iocost_served(iocost, request, now - request.queued_ns, wait_ns)
        iolatency = iolatency_device(sim, request.device)
        if iolatency != NULL:
            iolatency_done(sim, iolatency, slot, <int32_t> cgroup, True, now)
    if only_submits(sim, request) and not is_outer(sim, request):
        cgroup = request.io_payer
        iocost = iocost_device(sim, -1)
        if iocost != NULL:
            iocost_complete(sim, iocost, cgroup, request_cost(sim, iocost, slot)[0], now)
            took_ns = now - request.device_ns
            wait_ns = took_ns - request.service_ns if sim.set.device_on else 0
            iocost_served(iocost, request, took_ns, wait_ns)
        iolatency = iolatency_device(sim, -1)
        if iolatency != NULL:
            iolatency_done(
                sim, iolatency, slot, <int32_t> cgroup, sim.set.pass_through, now
            )
