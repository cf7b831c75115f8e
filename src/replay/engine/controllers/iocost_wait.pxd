"""``io.weight``: waiting for budget, debt and the delay that comes of it.

Source: block/blk-iocost.c, v6.1: iocg_kick_waitq(), iocg_wake_fn(), iocg_incur_debt(),
iocg_pay_debt(), iocg_kick_delay().
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine.controllers.iocost_weights cimport change_weights, refresh_shares
from replay.engine.queues.server cimport request_prefetch
from replay.engine.state.events cimport push
from replay.engine.state.iocost cimport (
    ABOVE,
    BELOW,
    FAR,
    IocostDevice,
    IocostGroup,
    IocostNow,
    absolute_of,
    ahead_of,
    iocost_of,
    cut_div,
    mul_div,
)
from replay.engine.state.requests cimport request_at
from replay.engine.state.sim cimport EVENT_IOCOST, EVENT_WOKEN, SIM_END_RANGE, Sim

cdef enum:
    # percent of a period by which a group is over its budget: where its delay begins,
    # and where it is longest
    LEAST_OVER = 500
    MOST_OVER = 25000
    LEAST_DELAY_US = 250
    MOST_DELAY_US = 250000
    US_PER_S = 1000000


cdef inline IocostNow iocost_now(
    const Sim *sim, const IocostDevice *device, int64_t ns
) noexcept nogil:
    """Return a time and the device's virtual time then."""
    cdef IocostNow now
    now.ns = ns
    now.us = (ns + sim.set.boot_ns) // 1000
    now.v = device.period_at_v + (
        <uint64_t> (now.us - device.period_at) * <uint64_t> device.rate
    )
    return now


cdef inline int64_t *request_cost(
    const Sim *sim, const IocostDevice *device, uint32_t slot
) noexcept nogil:
    """Return where a request's cost on a device stands."""
    return &request_at(sim, slot).cost[BELOW if device.place < 0 else ABOVE]


cdef inline void iocost_commit(
    Sim *sim,
    const IocostDevice *device,
    IocostGroup *group,
    uint32_t slot,
    int64_t absolute,
    int64_t cost,
) noexcept nogil:
    """Let a request go: its group pays."""
    request_cost(sim, device, slot)[0] = cost
    group.vtime += <uint64_t> cost
    group.usage_v += absolute
    if group.usage_v >= FAR:
        sim.status = SIM_END_RANGE


cdef inline void woken_add(Sim *sim, uint32_t slot, int64_t now) noexcept nogil:
    """Let a request go on behind this event."""
    request_at(sim, slot).next = 0
    if sim.woken_last != 0:
        request_at(sim, sim.woken_last).next = slot
    else:
        sim.woken_first = slot
        push(sim, now, EVENT_WOKEN, 0, 0)
    sim.woken_last = slot


cdef inline bint kick_delay(
    Sim *sim, IocostDevice *device, IocostGroup *group, const IocostNow *now
) noexcept nogil:
    """Set the delay of the group's tasks; return True if there is one."""
    cdef int64_t halvings = (now.us - group.delay_at) // US_PER_S
    cdef int64_t delay = group.delay >> halvings if halvings < 63 else 0
    cdef int64_t longer = 0
    cdef int64_t over, percent
    refresh_shares(device, group)
    over = iocost_of(group.debt, group.hw_active) - ahead_of(now.v, group.vtime)
    percent = cut_div(100, over, device.period_us * device.base_rate)
    if percent >= MOST_OVER:
        longer = MOST_DELAY_US
    elif percent > LEAST_OVER:
        longer = LEAST_DELAY_US + mul_div(
            MOST_DELAY_US - LEAST_DELAY_US, percent - LEAST_OVER, MOST_OVER - LEAST_OVER
        )
    if longer > delay:
        group.delay = longer
        group.delay_at = now.us
        delay = longer
    group.in_delay = delay >= LEAST_DELAY_US
    if group.in_delay:
        group.delay_ns = delay * 1000
        if group.indelay_since < 0:
            group.indelay_since = now.us
        return True
    if group.indelay_since >= 0:
        group.indelay += now.us - group.indelay_since
        group.indelay_since = -1
    group.delay = group.delay_ns = 0
    return False


cdef inline void incur_debt(
    Sim *sim, IocostDevice *device, IocostGroup *group, int64_t absolute, const IocostNow *now
) noexcept nogil:
    """Let I/O go whatever the budget says; the group's share is lent meanwhile."""
    if group.debt == 0 and absolute != 0:
        group.indebt_since = now.us
        change_weights(device, group, group.active, 0, now, False)
    group.debt += absolute
    group.usage_v += absolute
    if group.debt >= FAR or group.usage_v >= FAR:
        sim.status = SIM_END_RANGE


cdef inline void pay_debt(
    IocostDevice *device, IocostGroup *group, int64_t pays, const IocostNow *now
) noexcept nogil:
    """Pay; once nothing is owed the group has its share again."""
    group.debt -= pays
    if group.debt == 0:
        group.indebt += now.us - group.indebt_since
        group.indebt_since = -1
        change_weights(device, group, group.active, group.last_inuse, now, False)


cdef inline void kick(
    Sim *sim, IocostDevice *device, IocostGroup *group, const IocostNow *now
) noexcept nogil:
    """Pay debt, let those go who fit the budget, set the timer for the next one."""
    cdef int64_t share, budget, pays, cost, absolute, at
    cdef uint32_t slot
    refresh_shares(device, group)
    share = group.hw_active
    budget = ahead_of(now.v, group.vtime)
    if group.debt != 0 and budget > 0:
        pays = min(absolute_of(budget, share), group.debt)
        cost = iocost_of(pays, share)
        group.vtime += <uint64_t> cost
        group.done_vtime += <uint64_t> cost
        budget -= cost
        pay_debt(device, group, pays, now)
    if group.debt != 0 or group.delay != 0:
        kick_delay(sim, device, group, now)
    if group.debt != 0:
        budget = min(0, budget - iocost_of(group.debt, share))
    refresh_shares(device, group)
    while group.head != 0:
        slot = group.head
        absolute = request_cost(sim, device, slot)[0]
        cost = iocost_of(absolute, group.hw_inuse)
        budget -= cost
        if budget < 0:
            break
        group.head = request_at(sim, slot).next
        request_prefetch(sim, group.head)
        if group.head == 0:
            group.tail = 0
        iocost_commit(sim, device, group, slot, absolute, cost)
        woken_add(sim, slot, now.ns)
    if group.head == 0:
        if group.wait_since >= 0:
            group.wait += now.us - group.wait_since
            group.wait_since = -1
        return
    if group.wait_since < 0:
        group.wait_since = now.us
    at = now.ns + (-budget + device.base_rate - 1) // device.base_rate * 1000
    at += device.slack_ns
    if group.timer_ns >= 0 and -device.slack_ns <= group.timer_ns - at <= device.slack_ns:
        return
    group.timer_ns = at
    group.version += 1
    push(
        sim,
        at + device.slack_ns,
        EVENT_IOCOST,
        <int64_t> (device.place + 1) * sim.n_cgroups + (group - device.groups),
        group.version,
    )
