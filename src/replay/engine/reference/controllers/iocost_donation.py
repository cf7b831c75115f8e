"""``io.weight``: who does not use its share lends it to those who are short.

Source: block/blk-iocost.c, v6.1: hweight_after_donation(), transfer_surpluses(),
iocg_build_inner_walk().
"""

from collections.abc import Sequence

from replay.engine.reference.controllers.iocost_weights import (
    WHOLE,
    IocostDevice,
    IocostGroup,
    Now,
    ceil_div,
    refresh_shares,
    set_weights,
)

MASK_32 = (1 << 32) - 1


def share_after_donation(
    device: IocostDevice, group: IocostGroup, largest: int, usage: int, now: Now
) -> int:
    """Return which share would do for a group; what it saved beyond is thrown away."""
    least, _, target = device.margins
    if group.debt:
        return 1
    if group.waiting or group.vtime > now.v - least:
        return largest
    excess = now.v - group.vtime - target
    if excess > 0:
        group.vtime += excess
        group.done_vtime += excess
        device.vtime_err -= excess * group.hw_inuse // WHOLE
    left = WHOLE * (now.v - group.vtime) // (now.v - device.period_at_v)
    # 32 bits in the kernel: a usage of the whole device wraps round to nothing
    needed = (WHOLE * usage & MASK_32) // (WHOLE - WHOLE // 2 + left)
    return max(1, min(needed, largest))


def transfer(device: IocostDevice, donors: Sequence[IocostGroup], now: Now) -> None:
    """Lower the weights of those who donate so that the others gain in proportion."""
    scale_down(device, donors)
    inner = inner_nodes(donors)
    for group in inner:
        group.child_adjusted_sum = group.hw_donating = group.hw_after = 0
    for group in [*donors, *reversed(inner)]:
        if group.level:
            parent = group.ancestors[-2]
            parent.hw_donating += group.hw_donating
            parent.hw_after += group.hw_after
    for group in inner:
        if group.level:
            parent = group.ancestors[-2]
            group.hw_active = ceil_div(
                parent.hw_active * group.active, parent.child_active_sum
            )
        group.hw_donating = min(group.hw_donating, group.hw_active)
        group.hw_after = min(group.hw_after, group.hw_donating - 1)
    root = inner[0]
    rate = ceil_div(
        (WHOLE - root.hw_after) * WHOLE, WHOLE - min(root.hw_donating, WHOLE - 1)
    )
    root.child_adjusted_sum = ceil_div(
        root.child_active_sum * (WHOLE - root.hw_donating), WHOLE - root.hw_after
    )
    for group in inner[1:]:
        adjust_inner(group, rate)
    for group in donors:
        if not group.debt:
            parent = group.ancestors[-2]
            inuse = ceil_div(
                parent.child_adjusted_sum * group.hw_after, parent.hw_inuse
            )
            set_weights(device, group, group.active, inuse, now, True)


def scale_down(device: IocostDevice, donors: Sequence[IocostGroup]) -> None:
    """Keep the sum of what donors would keep below the whole."""
    after_sum, over = 0, []
    for group in donors:
        refresh_shares(device, group)
        after_sum += group.hw_after
        if group.hw_after > group.hw_active:
            over.append(group)
    over_sum = sum(group.hw_after for group in over)
    if after_sum >= WHOLE:
        target = over_sum - (after_sum - (WHOLE - 1))
        for group in over if target > 0 else ():
            group.hw_after = max(1, group.hw_after * target // over_sum)


def inner_nodes(donors: Sequence[IocostGroup]) -> list[IocostGroup]:
    """Return all that lies above donors, parents before children."""
    found: dict[int, IocostGroup] = {}
    for donor in donors:
        for group in donor.ancestors[:-1]:
            found.setdefault(group.cgroup, group)
    return list(found.values())


def adjust_inner(group: IocostGroup, rate: int) -> None:
    """Share out what a subtree has after the donation among its children."""
    parent = group.ancestors[-2]
    kept = group.hw_active - group.hw_donating
    group.hw_inuse = max(1, ceil_div(rate * kept, WHOLE) + group.hw_after)
    inuse = ceil_div(parent.child_adjusted_sum * group.hw_inuse, parent.hw_inuse)
    donating = ceil_div(group.child_active_sum * group.hw_donating, group.hw_active)
    before = ceil_div(group.active * group.hw_donating, group.hw_active)
    after = ceil_div(inuse * group.hw_after, group.hw_inuse)
    group.child_adjusted_sum = group.child_active_sum - donating
    group.child_adjusted_sum += ceil_div(donating * after, max(1, before))
