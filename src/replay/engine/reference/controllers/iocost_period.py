"""``io.weight``: what happens once a period: usage, donation, the rate of virtual time.

Source: block/blk-iocost.c, v6.1: ioc_timer_fn(), ioc_check_iocgs(), ioc_lat_stat(),
ioc_adjust_base_vrate(), ioc_refresh_vrate(), ioc_forgive_debts(), ioc_start_period().
"""

from replay.engine.reference.controllers.iocost_donation import (
    share_after_donation,
    transfer,
)
from replay.engine.reference.controllers.iocost_wait import kick
from replay.engine.reference.controllers.iocost_weights import (
    PER_US,
    WHOLE,
    IocostDevice,
    IocostGroup,
    Now,
    absolute_of,
    ceil_div,
    commit_weights,
    cut_div,
    largest_share,
    refresh_shares,
    set_weights,
)
from replay.engine.reference.state.jiffies import jiffies_at, time_of
from replay.engine.setup import Setup

MILLION = 10**6
#: More of a period than this spent waiting for a request is a busy device.
RQ_WAIT_BUSY = 5
#: By how many percent the rate moves at a level of saturation.
RATE_STEPS = (*[0] * 4, *[1] * 16, *[2] * 16, *[4] * 8, *[8] * 8, 16)
CLAMP_STEP = 4
#: VRATE_MIN: a hundredth.
LEAST_RATE = PER_US * 10_000 // 10**6
MOST_LEVEL = 1000
MAX_LAGGING_PERIODS = 10
FORGIVE_US = 100_000
FORGIVE_PERCENT = 50


def start_period(device: IocostDevice, now: Now) -> int:
    """Begin a period; return when its timer fires, ns."""
    device.period_at, device.period_at_v = now.us, now.v
    return timer_time(device.setup, device.period_us, now.ns)


def timer_time(setup: Setup, delay_us: int, now_ns: int) -> int:
    """Return when a timer of the timer wheel fires.

    Source: kernel/time/timer.c:calc_wheel_index(), v6.1: the further away, the coarser,
    never early; so a timer of one tick fires with the second one.
    """
    ticks = ceil_div(delay_us, MILLION // setup.hz)
    expires, shift = jiffies_at(setup, now_ns) + ticks, 0
    while ticks >= 63 << shift:
        shift += 3
    return time_of(setup, ((expires >> shift) + 1) << shift)


def run_period(device: IocostDevice, now: Now) -> int | None:
    """End a period; return when the next one's timer fires, None if nobody is active.

    Requests that may go are in ``device.woken``.
    """
    missed, waited = latencies(device)
    period_v = now.v - device.period_at_v
    debtors = check_groups(device, now)
    for group in device.active:
        flush_usage(device, group)
    donors: list[IocostGroup] = []
    shortages = lagging = usage_sum = 0
    for group in device.active:
        refresh_shares(device, group)
        lagging += lags(device, group, now, period_v)
        usage_sum += group.usage_delta
        if not has_surplus(device, group, now):
            shortages += 1
            continue
        usage = usage_share(device, group, now)
        largest = largest_share(group)
        after = share_after_donation(device, group, largest, usage, now)
        if after < largest and group.hw_active >= 2:
            group.hw_donating, group.hw_after = group.hw_active, after
            donors.insert(0, group)
        elif not group.debt:
            set_weights(device, group, group.active, group.active, now, True)
            shortages += 1
    if donors and shortages:
        transfer(device, donors, now)
    commit_weights(device)
    set_busy_level(device, missed, waited, shortages, lagging)
    adjust_rate(device, lagging, waited)
    forgive_debts(device, usage_sum, debtors, now)
    device.period += 1
    at = None
    device.paused = is_stuck(device)
    device.touched = False
    if device.active:
        at = start_period(device, now)
    else:
        device.busy_level = device.vtime_err = 0
        device.running = False
    compensate(device, now)
    return None if device.paused else at


def is_stuck(device: IocostDevice) -> bool:
    """Return True if nothing changes until something in flight completes.

    Deviation: the kernel's timer goes on; nothing would come of it but time.
    """
    if device.touched or not device.active:
        return False
    return not any(
        group.waiting or group.debt or group.delay for group in device.active
    )


def latencies(device: IocostDevice) -> tuple[list[int], int]:
    """Return which share of reads and of writes was late, ppm, and % waited for rqs."""
    missed = [
        ceil_div(late * MILLION, in_time + late) if in_time + late else 0
        for in_time, late in zip(device.met, device.missed, strict=True)
    ]
    waited = device.rq_wait_ns * 100 // (device.period_us * 1000)
    device.met, device.missed, device.rq_wait_ns = [0, 0], [0, 0], 0
    return missed, waited


def is_idle(device: IocostDevice, group: IocostGroup) -> bool:
    """Return True if a group did nothing in this period and has nothing in flight."""
    return (
        group.active_period != device.period
        and group.done_vtime == group.vtime
        and not (group.waiting or group.debt or group.delay)
    )


def check_groups(device: IocostDevice, now: Now) -> int:
    """Wake who slept too long, retire who is idle; return the number of debtors."""
    debtors = 0
    for group in list(device.active):
        if group.waiting or group.debt or group.delay:
            flush_waits(group, now)
            kick(device, group, now)
            debtors += bool(group.debt or group.delay)
        elif is_idle(device, group):
            flush_waits(group, now)
            excess = now.v - group.vtime - device.margins[2]
            if excess > 0:
                refresh_shares(device, group)
                device.vtime_err -= excess * group.hw_inuse // WHOLE
            set_weights(device, group, 0, 0, now, False)
            group.is_active = False
            device.active.remove(group)
    commit_weights(device)
    return debtors


def flush_waits(group: IocostGroup, now: Now) -> None:
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


def flush_usage(device: IocostDevice, group: IocostGroup) -> None:
    """Count what a group used in whole us of the device; the rest is dropped."""
    group.usage_delta = group.usage_v // device.base_rate
    group.usage += group.usage_delta
    group.usage_v = 0


def lags(device: IocostDevice, group: IocostGroup, now: Now, period_v: int) -> bool:
    """Return True if I/O of an earlier period is still in flight."""
    return (
        (device.qos[0] > 0 or device.qos[2] > 0)
        and not group.in_delay
        and now.v - MAX_LAGGING_PERIODS * period_v < group.vtime
        and group.done_vtime < group.vtime
        and group.done_vtime < now.v - period_v
    )


def has_surplus(device: IocostDevice, group: IocostGroup, now: Now) -> bool:
    """Return True if a group donates already or saved enough to begin."""
    if group.hw_inuse < group.hw_active:
        return True
    return not group.waiting and group.vtime < now.v - device.margins[1]


def usage_share(device: IocostDevice, group: IocostGroup, now: Now) -> int:
    """Return which share of the device a group used, what is in flight included."""
    usage = group.usage_delta
    if group.done_vtime != group.vtime:
        in_flight = absolute_of(group.vtime - group.done_vtime, group.hw_inuse)
        usage = max(usage, ceil_div(in_flight, device.base_rate))
    since = max(group.activated_at, device.period_at)
    return max(1, min(ceil_div(usage * WHOLE, max(now.us - since, 1)), WHOLE))


def set_busy_level(
    device: IocostDevice, missed: list[int], waited: int, shortages: int, lagging: int
) -> None:
    """Count in how many periods the device was saturated, or had room to spare."""
    limits = [MILLION - device.qos[0], MILLION - device.qos[2]]
    level = device.busy_level
    if waited > RQ_WAIT_BUSY or missed[0] > limits[0] or missed[1] > limits[1]:
        level = max(level, 0) + 1
    elif (
        waited <= RQ_WAIT_BUSY * 75 // 100
        and missed[0] <= limits[0] * 75 // 100
        and missed[1] <= limits[1] * 75 // 100
        and shortages
    ):
        level = min(level, 0) - (not lagging)
    else:
        level = 0
    device.busy_level = max(-MOST_LEVEL, min(level, MOST_LEVEL))


def adjust_rate(device: IocostDevice, lagging: int, waited: int) -> None:
    """Slow virtual time down on a saturated device, speed it up if there is room.

    In 5.10 the least rate of the user does not hold while requests wait for a place.
    """
    level, rate = device.busy_level, device.base_rate
    least = device.vrate_min
    if waited > RQ_WAIT_BUSY and not device.setup.iocost_min_holds:
        least = LEAST_RATE
    if not level or (level < 0 and lagging):
        return
    if rate < least:
        rate = min(rate * (100 + CLAMP_STEP) // 100, least)
    elif rate > device.vrate_max:
        rate = max(rate * (100 - CLAMP_STEP) // 100, device.vrate_max)
    else:
        step = RATE_STEPS[min(abs(level), len(RATE_STEPS) - 1)]
        rate = ceil_div(rate * (100 - step if level > 0 else 100 + step), 100)
        rate = max(least, min(rate, device.vrate_max))
    device.base_rate = rate
    device.refresh_margins()


def compensate(device: IocostDevice, now: Now) -> None:
    """Give back in this period, by a faster rate, the budget that was thrown away."""
    left = device.period_at + device.period_us - now.us
    most = device.period_us * device.base_rate
    if left > 0:
        extra = -cut_div(device.vtime_err, left)
        extra = max(-(device.base_rate >> 1), min(extra, device.base_rate))
        device.vtime_err += extra * left
        device.rate = device.base_rate + extra
    device.vtime_err = max(-most, min(device.vtime_err, most))


def forgive_debts(device: IocostDevice, usage: int, debtors: int, now: Now) -> None:
    """Halve debts and delays every 100 ms in which the device was half idle."""
    if not debtors:
        device.forgive_at = now.us
        device.forgive_rest = device.forgive_usage = 0
        return
    if device.busy_level > 0:
        usage = max(usage, device.period_us)
    device.forgive_usage += usage
    took = now.us - device.forgive_at
    if took < FORGIVE_US:
        return
    percent = 100 * device.forgive_usage // took
    device.forgive_at, device.forgive_usage = now.us, 0
    if percent > FORGIVE_PERCENT:
        device.forgive_rest = 0
        return
    times, device.forgive_rest = divmod(took + device.forgive_rest, FORGIVE_US)
    for group in device.active:
        if group.debt or group.delay:
            halvings = min(times, 63)
            if group.debt:
                group.debt = group.debt >> halvings or 1
            if group.delay:
                group.delay = group.delay >> halvings or 1
            kick(device, group, now)
