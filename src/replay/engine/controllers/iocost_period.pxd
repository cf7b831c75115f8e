"""``io.weight``: what happens once a period: usage, donation, the rate of virtual time.

Source: block/blk-iocost.c, v6.1: ioc_timer_fn(), ioc_check_iocgs(), ioc_lat_stat(),
ioc_adjust_base_vrate(), ioc_refresh_vrate(), ioc_forgive_debts(), ioc_start_period().
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from replay.engine.controllers.iocost_donation cimport share_after_donation, transfer
from replay.engine.controllers.iocost_wait cimport iocost_now, kick
from replay.engine.controllers.iocost_weights cimport (
    commit_weights,
    largest_share,
    refresh_margins,
    refresh_shares,
    set_weights,
)
from replay.engine.state.events cimport push
from replay.engine.state.iocost cimport (
    WHOLE,
    IocostDevice,
    IocostGroup,
    IocostNow,
    absolute_of,
    ahead_of,
    cut_div,
    mul_div,
    mul_div_up,
)
from replay.engine.state.jiffies cimport jiffies_at, time_of_jiffy
from replay.engine.state.sim cimport EVENT_PERIOD, Sim

cdef enum:
    MILLION = 1000000
    # percent of a period spent waiting for a request: more is a busy device
    RQ_WAIT_BUSY = 5
    CLAMP_STEP = 4
    LEAST_RATE = 1374           # VRATE_MIN: a hundredth
    MOST_LEVEL = 1000
    MAX_LAGGING_PERIODS = 10
    FORGIVE_US = 100000
    FORGIVE_PERCENT = 50


cdef inline int64_t wheel_time(
    const Sim *sim, int64_t delay_us, int64_t now
) noexcept nogil:
    """Return when a timer of the timer wheel fires.

    Source: kernel/time/timer.c:calc_wheel_index(), v6.1: the further away, the coarser,
    never early; so a timer of one tick fires with the second one.
    """
    cdef int64_t tick_us = MILLION // sim.set.hz
    cdef int64_t ticks = (delay_us + tick_us - 1) // tick_us
    cdef int64_t expires = jiffies_at(sim, now) + ticks
    cdef int shift = 0
    while ticks >= <int64_t> 63 << shift:
        shift += 3
    return time_of_jiffy(sim, ((expires >> shift) + 1) << shift)


cdef inline bint is_stuck(const IocostDevice *device) noexcept nogil:
    """Return True if nothing changes until something in flight completes.

    Deviation: the kernel's timer goes on; nothing would come of it but time.
    """
    cdef uint32_t at = device.first_active
    cdef const IocostGroup *group
    if device.touched or at == 0:
        return False
    while at != 0:
        group = &device.groups[at]
        if group.head != 0 or group.debt != 0 or group.delay != 0:
            return False
        at = group.next
    return True


cdef inline void start_period(
    Sim *sim, IocostDevice *device, const IocostNow *now
) noexcept nogil:
    """Begin a period."""
    device.period_at = now.us
    device.period_at_v = now.v
    if device.paused:
        return
    push(
        sim,
        max(now.ns, wheel_time(sim, device.period_us, now.ns)),
        EVENT_PERIOD,
        device.place + 1,
        0,
    )


cdef inline bint is_idle(
    const IocostDevice *device, const IocostGroup *group
) noexcept nogil:
    """Return True if a group did nothing in this period and has nothing in flight."""
    return (
        group.active_period != device.period
        and group.done_vtime == group.vtime
        and group.head == 0
        and group.debt == 0
        and group.delay == 0
    )


cdef inline void flush_waits(IocostGroup *group, const IocostNow *now) noexcept nogil:
    """Count up to now what a group waits, owes and is delayed."""
    if group.wait_since >= 0:
        group.wait += now.us - group.wait_since
        group.wait_since = now.us
    if group.indebt_since >= 0:
        group.indebt += now.us - group.indebt_since
        group.indebt_since = now.us
    if group.indelay_since >= 0:
        group.indelay += now.us - group.indelay_since
        group.indelay_since = now.us


cdef inline void retire(
    IocostDevice *device, IocostGroup *group, const IocostNow *now
) noexcept nogil:
    """Take a group's share away; what it saved beyond half a period is thrown away."""
    cdef int64_t excess = ahead_of(now.v, group.vtime) - device.margin_target
    flush_waits(group, now)
    if excess > 0:
        refresh_shares(device, group)
        device.vtime_err -= mul_div(excess, group.hw_inuse, WHOLE)
    set_weights(device, group, 0, 0, now, False)
    group.is_active = False
    if group.previous != 0:
        device.groups[group.previous].next = group.next
    else:
        device.first_active = group.next
    if group.next != 0:
        device.groups[group.next].previous = group.previous


cdef inline int64_t check_groups(
    Sim *sim, IocostDevice *device, const IocostNow *now
) noexcept nogil:
    """Wake who slept too long, retire who is idle; return the number of debtors."""
    cdef uint32_t at = device.first_active
    cdef uint32_t following
    cdef int64_t debtors = 0
    cdef IocostGroup *group
    while at != 0:
        group = &device.groups[at]
        following = group.next
        if group.head != 0 or group.debt != 0 or group.delay != 0:
            flush_waits(group, now)
            kick(sim, device, group, now)
            debtors += group.debt != 0 or group.delay != 0
        elif is_idle(device, group):
            retire(device, group, now)
        at = following
    commit_weights(device)
    return debtors


cdef inline void flush_usage(
    const IocostDevice *device, IocostGroup *group
) noexcept nogil:
    """Count what a group used in whole us of the device; the rest is dropped."""
    group.usage_delta = group.usage_v // device.base_rate
    group.usage += group.usage_delta
    group.usage_v = 0


cdef inline bint lags(
    const IocostDevice *device,
    const IocostGroup *group,
    const IocostNow *now,
    int64_t period_v,
) noexcept nogil:
    """Return True if I/O of an earlier period is still in flight."""
    return (
        (device.qos[0] > 0 or device.qos[2] > 0)
        and not group.in_delay
        and ahead_of(now.v, group.vtime) < MAX_LAGGING_PERIODS * period_v
        and ahead_of(group.vtime, group.done_vtime) > 0
        and ahead_of(now.v, group.done_vtime) > period_v
    )


cdef inline bint has_surplus(
    const IocostDevice *device, const IocostGroup *group, const IocostNow *now
) noexcept nogil:
    """Return True if a group donates already or saved enough to begin."""
    if group.hw_inuse < group.hw_active:
        return True
    return group.head == 0 and ahead_of(now.v, group.vtime) > device.margin_low


cdef inline int64_t usage_share(
    const IocostDevice *device, const IocostGroup *group, const IocostNow *now
) noexcept nogil:
    """Return which share of the device a group used, what is in flight included."""
    cdef int64_t usage = group.usage_delta
    cdef int64_t since = max(group.activated_at, device.period_at)
    cdef int64_t in_flight = ahead_of(group.vtime, group.done_vtime)
    if in_flight != 0:
        in_flight = absolute_of(in_flight, group.hw_inuse)
        usage = max(usage, (in_flight + device.base_rate - 1) // device.base_rate)
    usage = mul_div_up(usage, WHOLE, max(now.us - since, 1))
    return max(1, min(usage, WHOLE))


cdef inline int64_t late_ppm(int64_t met, int64_t missed) noexcept nogil:
    """Return which share of requests was late."""
    return mul_div_up(missed, MILLION, met + missed) if met + missed != 0 else 0


cdef inline bint set_busy_level(
    IocostDevice *device, int64_t shortages, int64_t lagging
) noexcept nogil:
    """Count in how many periods the device was saturated, or had room to spare.

    Returns
    -------
    bint
        Whether requests wait for a place.
    """
    cdef int64_t waited = mul_div(100, device.rq_wait_ns, device.period_us * 1000)
    cdef int64_t reads = late_ppm(device.met[0], device.missed[0])
    cdef int64_t writes = late_ppm(device.met[1], device.missed[1])
    cdef int64_t most_reads = MILLION - device.qos[0]
    cdef int64_t most_writes = MILLION - device.qos[2]
    if waited > RQ_WAIT_BUSY or reads > most_reads or writes > most_writes:
        device.busy_level = min(max(device.busy_level, 0) + 1, MOST_LEVEL)
    elif (
        waited <= RQ_WAIT_BUSY * 75 // 100
        and reads <= most_reads * 75 // 100
        and writes <= most_writes * 75 // 100
        and shortages > 0
    ):
        device.busy_level = min(device.busy_level, 0)
        if lagging == 0:
            device.busy_level = max(device.busy_level - 1, -MOST_LEVEL)
    else:
        device.busy_level = 0
    device.met[0] = device.met[1] = 0
    device.missed[0] = device.missed[1] = 0
    device.rq_wait_ns = 0
    return waited > RQ_WAIT_BUSY


cdef inline int64_t rate_step(int64_t level) noexcept nogil:
    """Return by how many percent the rate moves at a level of saturation."""
    if level < 4:
        return 0
    if level < 20:
        return 1
    if level < 36:
        return 2
    if level < 44:
        return 4
    return 8 if level < 52 else 16


cdef inline void adjust_rate(
    IocostDevice *device, int64_t lagging, bint least_holds
) noexcept nogil:
    """Slow virtual time down on a saturated device, speed it up if there is room.

    In 5.10 the least rate of the user does not hold while requests wait for a place.
    """
    cdef int64_t level = device.busy_level
    cdef int64_t rate = device.base_rate
    cdef int64_t least = device.vrate_min if least_holds else LEAST_RATE
    if level == 0 or (level < 0 and lagging > 0):
        return
    if rate < least:
        rate = min(rate * (100 + CLAMP_STEP) // 100, least)
    elif rate > device.vrate_max:
        rate = max(rate * (100 - CLAMP_STEP) // 100, device.vrate_max)
    else:
        if level > 0:
            rate = mul_div_up(rate, 100 - rate_step(level), 100)
        else:
            rate = mul_div_up(rate, 100 + rate_step(-level), 100)
        rate = max(least, min(rate, device.vrate_max))
    device.base_rate = rate
    refresh_margins(device)


cdef inline void compensate(IocostDevice *device, const IocostNow *now) noexcept nogil:
    """Give back in this period, by a faster rate, the budget that was thrown away."""
    cdef int64_t left = device.period_at + device.period_us - now.us
    cdef int64_t most = device.period_us * device.base_rate
    cdef int64_t extra
    if left > 0:
        extra = -cut_div(1, device.vtime_err, left)
        extra = max(-(device.base_rate >> 1), min(extra, device.base_rate))
        device.vtime_err += extra * left
        device.rate = device.base_rate + extra
    device.vtime_err = max(-most, min(device.vtime_err, most))


cdef inline void forgive_debts(
    Sim *sim, IocostDevice *device, int64_t usage, int64_t debtors, const IocostNow *now
) noexcept nogil:
    """Halve debts and delays every 100 ms in which the device was half idle."""
    cdef int64_t took, percent, halvings
    cdef uint32_t at
    cdef IocostGroup *group
    if debtors == 0:
        device.forgive_at = now.us
        device.forgive_rest = device.forgive_usage = 0
        return
    if device.busy_level > 0:
        usage = max(usage, device.period_us)
    device.forgive_usage += usage
    took = now.us - device.forgive_at
    if took < FORGIVE_US:
        return
    percent = mul_div(100, device.forgive_usage, took)
    device.forgive_at = now.us
    device.forgive_usage = 0
    if percent > FORGIVE_PERCENT:
        device.forgive_rest = 0
        return
    halvings = min((took + device.forgive_rest) // FORGIVE_US, 63)
    device.forgive_rest = (took + device.forgive_rest) % FORGIVE_US
    at = device.first_active
    while at != 0:
        group = &device.groups[at]
        if group.debt != 0 or group.delay != 0:
            if group.debt != 0:
                group.debt = max(1, group.debt >> halvings)
            if group.delay != 0:
                group.delay = max(1, group.delay >> halvings)
            kick(sim, device, group, now)
        at = group.next


cdef inline void run_period(Sim *sim, IocostDevice *device, int64_t now_ns) noexcept nogil:
    """End a period and begin the next, if anybody is active."""
    cdef IocostNow now = iocost_now(sim, device, now_ns)
    cdef int64_t period_v = ahead_of(now.v, device.period_at_v)
    cdef int64_t debtors = check_groups(sim, device, &now)
    cdef int64_t shortages = 0
    cdef int64_t lagging = 0
    cdef int64_t usage_sum = 0
    cdef int64_t usage, largest, after
    cdef uint32_t donors = 0
    cdef bint waits
    cdef uint32_t at = device.first_active
    cdef IocostGroup *group
    while at != 0:
        flush_usage(device, &device.groups[at])
        at = device.groups[at].next
    at = device.first_active
    while at != 0:
        group = &device.groups[at]
        refresh_shares(device, group)
        lagging += lags(device, group, &now, period_v)
        usage_sum += group.usage_delta
        if not has_surplus(device, group, &now):
            shortages += 1
            at = group.next
            continue
        usage = usage_share(device, group, &now)
        largest = largest_share(device, group)
        after = share_after_donation(device, group, largest, usage, &now)
        if after < largest and group.hw_active >= 2:
            group.hw_donating = group.hw_active
            group.hw_after = after
            group.next_donor = donors
            donors = at
        elif group.debt == 0:
            set_weights(device, group, group.active, group.active, &now, True)
            shortages += 1
        at = group.next
    if donors != 0 and shortages > 0:
        transfer(device, donors, &now)
    commit_weights(device)
    waits = set_busy_level(device, shortages, lagging)
    adjust_rate(device, lagging, sim.set.iocost_min_holds or not waits)
    forgive_debts(sim, device, usage_sum, debtors, &now)
    device.period += 1
    device.paused = is_stuck(device)
    device.touched = False
    if device.first_active != 0:
        start_period(sim, device, &now)
    else:
        device.busy_level = device.vtime_err = 0
        device.running = False
    compensate(device, &now)


cdef inline IocostNow touch(Sim *sim, IocostDevice *device, int64_t now_ns) noexcept nogil:
    """Return the time; where no period runs though some are active, begin one."""
    cdef IocostNow now = iocost_now(sim, device, now_ns)
    device.touched = True
    if device.paused and now.us > device.period_at:
        run_period(sim, device, now_ns)
        device.touched = True
        return iocost_now(sim, device, now_ns)
    if device.paused:
        # it was paused in this microsecond
        device.paused = False
        start_period(sim, device, &now)
    return now


cdef inline void touch_only(Sim *sim, IocostDevice *device, int64_t now_ns) noexcept nogil:
    """As `touch`, for those who do not ask for the time."""
    device.touched = True
    if device.paused:
        touch(sim, device, now_ns)


cdef inline void usage_finish(IocostDevice *device) noexcept nogil:
    """Count usage up to the end, as the period's timer would."""
    cdef uint32_t at = device.first_active
    cdef IocostGroup *group
    while at != 0:
        group = &device.groups[at]
        if not is_idle(device, group):
            group.usage += group.usage_v // device.base_rate
            group.usage_v = 0
        at = group.next
