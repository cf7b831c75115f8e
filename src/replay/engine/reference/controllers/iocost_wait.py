"""``io.weight``: waiting for budget, debt and the delay that comes of it.

Source: block/blk-iocost.c, v6.1: iocg_kick_waitq(), iocg_wake_fn(), iocg_incur_debt(),
iocg_pay_debt(), iocg_kick_delay().
"""

from replay.engine.reference.controllers.iocost_weights import (
    IocostDevice,
    IocostGroup,
    Now,
    absolute_of,
    ceil_div,
    change_weights,
    cut_div,
    iocost_of,
    refresh_shares,
)
from replay.engine.reference.state.requests import Request

#: Percent of a period by which a group is over its budget: where its delay begins, and
#: where it is longest.
LEAST_OVER, MOST_OVER = 500, 25_000
LEAST_DELAY_US, MOST_DELAY_US = 250, 250_000
US_PER_S = 10**6


def commit(group: IocostGroup, request: Request, absolute: int, cost: int) -> None:
    """Let a request go: its group pays."""
    request.cost[request.iocost_at] = cost
    group.vtime += cost
    group.usage_v += absolute


def kick(device: IocostDevice, group: IocostGroup, now: Now) -> None:
    """Pay debt, let those go who fit the budget, set the timer for the next one."""
    refresh_shares(device, group)
    share = group.hw_active
    budget = now.v - group.vtime
    if group.debt and budget > 0:
        pays = min(absolute_of(budget, share), group.debt)
        cost = iocost_of(pays, share)
        group.vtime += cost
        group.done_vtime += cost
        budget -= cost
        pay_debt(device, group, pays, now)
    if group.debt or group.delay:
        kick_delay(device, group, now)
    if group.debt:
        budget = min(0, budget - iocost_of(group.debt, share))
    refresh_shares(device, group)
    while group.waiting:
        request = group.waiting[0]
        absolute = request.cost[request.iocost_at]
        cost = iocost_of(absolute, group.hw_inuse)
        budget -= cost
        if budget < 0:
            break
        commit(group, group.waiting.popleft(), absolute, cost)
        device.woken.append(request)
    if not group.waiting:
        if group.wait_since >= 0:
            group.wait += now.us - group.wait_since
            group.wait_since = -1
        return
    if group.wait_since < 0:
        group.wait_since = now.us
    at = now.ns + ceil_div(-budget, device.base_rate) * 1000 + device.slack_ns
    if group.timer_ns < 0 or abs(group.timer_ns - at) > device.slack_ns:
        group.timer_ns = at
        group.version += 1
        device.set_timers.append(group)


def incur_debt(
    device: IocostDevice, group: IocostGroup, absolute: int, now: Now
) -> None:
    """Let I/O go whatever the budget says; the group's share is lent meanwhile."""
    if not group.debt and absolute:
        group.indebt_since = now.us
        change_weights(device, group, group.active, 0, now, False)
    group.debt += absolute
    group.usage_v += absolute


def pay_debt(device: IocostDevice, group: IocostGroup, pays: int, now: Now) -> None:
    """Pay; once nothing is owed the group has its share again."""
    group.debt -= pays
    if not group.debt:
        group.indebt += now.us - group.indebt_since
        group.indebt_since = -1
        change_weights(device, group, group.active, group.last_inuse, now, False)


def kick_delay(device: IocostDevice, group: IocostGroup, now: Now) -> bool:
    """Set the delay of the group's tasks; return True if there is one."""
    halvings = (now.us - group.delay_at) // US_PER_S
    delay = group.delay >> halvings if halvings < 64 else 0
    refresh_shares(device, group)
    over = group.vtime + iocost_of(group.debt, group.hw_active) - now.v
    percent = cut_div(100 * over, device.period_us * device.base_rate)
    if percent <= LEAST_OVER:
        longer = 0
    elif percent >= MOST_OVER:
        longer = MOST_DELAY_US
    else:
        span = MOST_DELAY_US - LEAST_DELAY_US
        longer = span * (percent - LEAST_OVER) // (MOST_OVER - LEAST_OVER)
        longer += LEAST_DELAY_US
    if longer > delay:
        group.delay, group.delay_at = longer, now.us
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
