"""``io.weight``: who does not use its share lends it to those who are short.

Source: block/blk-iocost.c, v6.1: hweight_after_donation(), transfer_surpluses(),
iocg_build_inner_walk().
"""

from libc.stdint cimport int64_t, uint32_t

from replay.engine.controllers.iocost_weights cimport refresh_shares, set_weights
from replay.engine.state.iocost cimport (
    WHOLE,
    IocostDevice,
    IocostGroup,
    IocostNow,
    ahead_of,
    iocost_parent,
    mul_div,
    mul_div_up,
)


cdef inline int64_t share_after_donation(
    IocostDevice *device,
    IocostGroup *group,
    int64_t largest,
    int64_t usage,
    const IocostNow *now,
) noexcept nogil:
    """Return which share would do for a group; what it saved beyond is thrown away."""
    cdef int64_t budget = ahead_of(now.v, group.vtime)
    cdef int64_t left, needed
    cdef int64_t excess = budget - device.margin_target
    if group.debt != 0:
        return 1
    if group.head != 0 or budget < device.margin_least:
        return largest
    if excess > 0:
        group.vtime += <unsigned long long> excess
        group.done_vtime += <unsigned long long> excess
        budget -= excess
        device.vtime_err -= mul_div(excess, group.hw_inuse, WHOLE)
    left = mul_div(WHOLE, budget, ahead_of(now.v, device.period_at_v))
    # 32 bits in the kernel: a usage of the whole device wraps round to nothing
    needed = <int64_t> (<uint32_t> (WHOLE * usage)) // (WHOLE - WHOLE // 2 + left)
    return max(1, min(needed, largest))


cdef inline void scale_down(IocostDevice *device, uint32_t donors) noexcept nogil:
    """Keep the sum of what donors would keep below the whole."""
    cdef uint32_t at = donors
    cdef IocostGroup *group
    cdef int64_t after_sum = 0
    cdef int64_t over_sum = 0
    cdef int64_t target
    while at != 0:
        group = &device.groups[at]
        refresh_shares(device, group)
        after_sum += group.hw_after
        if group.hw_after > group.hw_active:
            over_sum += group.hw_after
        at = group.next_donor
    if after_sum < WHOLE:
        return
    target = over_sum - (after_sum - (WHOLE - 1))
    at = donors
    while at != 0 and target > 0:
        group = &device.groups[at]
        if group.hw_after > group.hw_active:
            group.hw_after = max(1, mul_div(group.hw_after, target, over_sum))
        at = group.next_donor


cdef inline uint32_t walk_inner(IocostDevice *device, uint32_t donors) noexcept nogil:
    """List all that lies above donors behind the root, parents first; return the last.

    The list is linked by `below`, and back by `walk_previous`.
    """
    cdef uint32_t last = 0
    cdef uint32_t at, chain, donor
    cdef IocostGroup *group
    donor = donors
    device.groups[0].in_walk = True
    while donor != 0:
        # no node above a donor is the root's own id but the root
        at = <uint32_t> device.groups[donor].parent
        chain = 0
        while not device.groups[at].in_walk:
            group = &device.groups[at]
            group.below = chain
            group.in_walk = True
            chain = at
            at = <uint32_t> group.parent
        while chain != 0:
            group = &device.groups[chain]
            group.walk_previous = last
            device.groups[last].below = chain
            last = chain
            chain = group.below
        donor = device.groups[donor].next_donor
    device.groups[last].below = 0
    return last


cdef inline void adjust_inner(
    IocostDevice *device, IocostGroup *group, int64_t rate
) noexcept nogil:
    """Share out what a subtree has after the donation among its children."""
    cdef const IocostGroup *parent = iocost_parent(device, group)
    cdef int64_t kept = group.hw_active - group.hw_donating
    cdef int64_t inuse, donating, before, after
    group.hw_inuse = max(1, mul_div_up(rate, kept, WHOLE) + group.hw_after)
    inuse = mul_div_up(parent.child_adjusted_sum, group.hw_inuse, parent.hw_inuse)
    donating = mul_div_up(
        group.child_active_sum, group.hw_donating, group.hw_active
    )
    before = mul_div_up(group.active, group.hw_donating, group.hw_active)
    after = mul_div_up(inuse, group.hw_after, group.hw_inuse)
    group.child_adjusted_sum = group.child_active_sum - donating
    group.child_adjusted_sum += mul_div_up(donating, after, max(1, before))


cdef inline void give_up(IocostDevice *device, const IocostGroup *group) noexcept nogil:
    """Add what a subtree donates to what the one above it does."""
    cdef IocostGroup *parent
    if group.parent >= 0:
        parent = iocost_parent(device, group)
        parent.hw_donating += group.hw_donating
        parent.hw_after += group.hw_after


cdef inline void bound_inner(IocostDevice *device, IocostGroup *group) noexcept nogil:
    """Compute an inner node's share; bound what it donates by it."""
    cdef const IocostGroup *parent
    if group.parent >= 0:
        parent = iocost_parent(device, group)
        group.hw_active = mul_div_up(
            parent.hw_active, group.active, parent.child_active_sum
        )
    group.hw_donating = min(group.hw_donating, group.hw_active)
    group.hw_after = min(group.hw_after, group.hw_donating - 1)


cdef inline void transfer(
    IocostDevice *device, uint32_t donors, const IocostNow *now
) noexcept nogil:
    """Lower the weights of those who donate so that the others gain in proportion."""
    cdef IocostGroup *root = device.groups
    cdef IocostGroup *group
    cdef const IocostGroup *parent
    cdef uint32_t at, last
    cdef int64_t rate
    scale_down(device, donors)
    last = walk_inner(device, donors)
    at = 0
    while True:
        group = &device.groups[at]
        group.child_adjusted_sum = group.hw_donating = group.hw_after = 0
        at = group.below
        if at == 0:
            break
    at = donors
    while at != 0:
        give_up(device, &device.groups[at])
        at = device.groups[at].next_donor
    at = last
    while at != 0:
        give_up(device, &device.groups[at])
        at = device.groups[at].walk_previous
    at = 0
    while True:
        bound_inner(device, &device.groups[at])
        at = device.groups[at].below
        if at == 0:
            break
    rate = mul_div_up(
        WHOLE - root.hw_after, WHOLE, WHOLE - min(root.hw_donating, WHOLE - 1)
    )
    root.child_adjusted_sum = mul_div_up(
        root.child_active_sum, WHOLE - root.hw_donating, WHOLE - root.hw_after
    )
    root.in_walk = False
    at = root.below
    while at != 0:
        group = &device.groups[at]
        adjust_inner(device, group, rate)
        group.in_walk = False
        at = group.below
    at = donors
    while at != 0:
        group = &device.groups[at]
        if group.debt == 0:
            parent = iocost_parent(device, group)
            set_weights(
                device,
                group,
                group.active,
                mul_div_up(
                    parent.child_adjusted_sum, group.hw_after, parent.hw_inuse
                ),
                now,
                True,
            )
        at = group.next_donor
