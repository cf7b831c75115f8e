"""``io.weight``: groups of a device with a cost model, their weights and shares.

Source: block/blk-iocost.c, v6.1: __propagate_weights(), current_hweight(),
current_hweight_max(), ioc_now().
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from replay.engine.reference.state.requests import Request
from replay.engine.setup import Setup

#: A share of the whole device.
WHOLE = 1 << 16
#: Virtual time of a microsecond: 2**37 a second.
PER_US = (1 << 37) // 10**6
#: What the engine's 64 bits hold of a cost; it is years of the device.
FAR = 1 << 61


class Now(NamedTuple):
    """A time as the controller sees it."""

    ns: int
    us: int
    v: int


@dataclass(eq=False)
class IocostGroup:
    """A cgroup on a device with a cost model; times in us, ``v`` in virtual time."""

    cgroup: int
    weight: int
    ancestors: list["IocostGroup"]  # from the root down, itself the last
    is_active: bool = False
    active: int = 0
    inuse: int = 0
    last_inuse: int = 0
    saved_margin: int = 0
    child_active_sum: int = 0
    child_inuse_sum: int = 0
    child_adjusted_sum: int = 0
    generation: int = -1
    hw_active: int = WHOLE
    hw_inuse: int = WHOLE
    hw_donating: int = 0
    hw_after: int = 0
    cursor: int = 0
    vtime: int = 0
    done_vtime: int = 0
    debt: int = 0
    delay: int = 0
    delay_at: int = 0
    delay_ns: int = 0
    in_delay: bool = False
    active_period: int = 0
    activated_at: int = 0
    waiting: deque[Request] = field(default_factory=deque)
    timer_ns: int = -1
    version: int = 0
    usage_v: int = 0
    usage_delta: int = 0
    usage: int = 0
    wait: int = 0
    indebt: int = 0
    indelay: int = 0
    wait_since: int = -1
    indebt_since: int = -1
    indelay_since: int = -1

    @property
    def level(self) -> int:
        """Depth in the tree; the root's is 0."""
        return len(self.ancestors) - 1


@dataclass(eq=False)
class IocostDevice:
    """A device with a cost model."""

    place: int
    setup: Setup
    groups: list[IocostGroup]
    coefficients: list[int]  # page, sequential, random of reads, then of writes
    qos: list[int]  # ppm and us of reads, of writes; least and most vrate in ppm
    period_us: int
    slack_ns: int
    vrate_min: int
    vrate_max: int
    period_at: int
    base_rate: int = PER_US
    rate: int = PER_US
    vtime_err: int = 0
    margins: tuple[int, int, int] = (0, 0, 0)
    running: bool = False
    #: Anything was issued, went or completed in this period.
    touched: bool = False
    #: No timer runs: all that is active waits for what is in flight.
    paused: bool = False
    period_at_v: int = 0
    period: int = 0
    busy_level: int = 0
    weights_updated: bool = False
    generation: int = 0
    #: The last one made active stands first.
    active: list[IocostGroup] = field(default_factory=list)
    met: list[int] = field(default_factory=lambda: [0, 0])
    missed: list[int] = field(default_factory=lambda: [0, 0])
    rq_wait_ns: int = 0
    forgive_at: int = 0
    forgive_rest: int = 0
    forgive_usage: int = 0
    #: Requests that may go, and groups whose timer was set: for the loop to take.
    woken: list[Request] = field(default_factory=list)
    set_timers: list[IocostGroup] = field(default_factory=list)

    def now(self, ns: int) -> Now:
        """Return a time and the device's virtual time then."""
        us = (ns + self.setup.boot_ns) // 1000
        return Now(ns, us, self.period_at_v + (us - self.period_at) * self.rate)

    def refresh_margins(self) -> None:
        """Set how much budget is little, low and aimed at: 10, 20 and 50 %."""
        least, low, target = (
            self.period_us * percent // 100 * self.base_rate for percent in (10, 20, 50)
        )
        self.margins = least, low, target


def ceil_div(number: int, divisor: int) -> int:
    """Divide, rounded up."""
    return -(-number // divisor)


def cut_div(number: int, divisor: int) -> int:
    """Divide as C does: rounded towards 0."""
    return number // divisor if number >= 0 else -(-number // divisor)


def iocost_of(absolute: int, share: int) -> int:
    """Return what a cost of the device is in the time of a group with a share."""
    return min(ceil_div(absolute * WHOLE, share), FAR)


def absolute_of(cost: int, share: int) -> int:
    """Return what a group's time is of the device."""
    return ceil_div(cost * share, WHOLE)


def set_weights(
    device: IocostDevice,
    group: IocostGroup,
    active: int,
    inuse: int,
    now: Now,
    save: bool,
) -> None:
    """Set a group's weights and carry the change up."""
    if not group.is_active and group.child_active_sum:
        inuse = ceil_div(active * group.child_inuse_sum, group.child_active_sum)
    else:
        inuse = min(inuse, active) or 1
    group.last_inuse = group.inuse
    if save:
        group.saved_margin = now.v - group.vtime
    if (active, inuse) == (group.active, group.inuse):
        return
    for level in range(group.level - 1, -1, -1):
        parent, child = group.ancestors[level], group.ancestors[level + 1]
        parent.child_active_sum += active - child.active
        parent.child_inuse_sum += inuse - child.inuse
        child.active, child.inuse = active, inuse
        active = inuse = 0
        if parent.child_active_sum:
            active = parent.weight
            inuse = ceil_div(active * parent.child_inuse_sum, parent.child_active_sum)
        if (active, inuse) == (parent.active, parent.inuse):
            break
    device.weights_updated = True


def commit_weights(device: IocostDevice) -> None:
    """Let shares be computed anew."""
    if device.weights_updated:
        device.generation += 1
        device.weights_updated = False


def change_weights(
    device: IocostDevice,
    group: IocostGroup,
    active: int,
    inuse: int,
    now: Now,
    save: bool,
) -> None:
    """Set a group's weights at once."""
    set_weights(device, group, active, inuse, now, save)
    commit_weights(device)


def refresh_shares(device: IocostDevice, group: IocostGroup) -> None:
    """Bring a group's shares up to date: products of its weights among siblings."""
    if group.generation == device.generation:
        return
    of_active = of_inuse = WHOLE
    for parent, child in zip(group.ancestors[:-1], group.ancestors[1:], strict=True):
        if not parent.child_active_sum or not parent.child_inuse_sum:
            continue
        active_sum = max(child.active, parent.child_active_sum)
        of_active = of_active * child.active // active_sum
        inuse_sum = max(child.inuse, parent.child_inuse_sum)
        of_inuse = of_inuse * child.inuse // inuse_sum
    group.hw_active = max(of_active, 1)
    group.hw_inuse = max(of_inuse, 1)
    group.generation = device.generation


def largest_share(group: IocostGroup) -> int:
    """Return the share that a group would have if it donated nothing."""
    share, inuse = WHOLE, group.active
    for level in range(group.level - 1, -1, -1):
        parent, child = group.ancestors[level], group.ancestors[level + 1]
        inuse_sum = parent.child_inuse_sum + inuse - child.inuse
        share = share * inuse // inuse_sum
        inuse = ceil_div(parent.active * inuse_sum, parent.child_active_sum)
    return max(share, 1)
