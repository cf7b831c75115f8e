"""``io.weight``: weights of groups among their siblings, and the shares they make.

Source: block/blk-iocost.c, v6.1: __propagate_weights(), current_hweight(),
current_hweight_max(), ioc_refresh_margins().
"""

from libc.stdint cimport int64_t, uint32_t

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


cdef inline void refresh_margins(IocostDevice *device) noexcept nogil:
    """Set how much budget is little, low and aimed at: 10, 20 and 50 %."""
    device.margin_least = device.period_us * 10 // 100 * device.base_rate
    device.margin_low = device.period_us * 20 // 100 * device.base_rate
    device.margin_target = device.period_us * 50 // 100 * device.base_rate


cdef inline void set_weights(
    IocostDevice *device,
    IocostGroup *group,
    int64_t active,
    int64_t inuse,
    const IocostNow *now,
    bint save,
) noexcept nogil:
    """Set a group's weights and carry the change up."""
    cdef IocostGroup *child = group
    cdef IocostGroup *parent
    if not group.is_active and group.child_active_sum != 0:
        inuse = mul_div_up(active, group.child_inuse_sum, group.child_active_sum)
    else:
        inuse = max(1, min(inuse, active))
    group.last_inuse = group.inuse
    if save:
        group.saved_margin = ahead_of(now.v, group.vtime)
    if active == group.active and inuse == group.inuse:
        return
    while child.parent >= 0:
        parent = iocost_parent(device, child)
        parent.child_active_sum += active - child.active
        parent.child_inuse_sum += inuse - child.inuse
        child.active = active
        child.inuse = inuse
        active = inuse = 0
        if parent.child_active_sum != 0:
            active = parent.weight
            inuse = mul_div_up(
                active, parent.child_inuse_sum, parent.child_active_sum
            )
        if active == parent.active and inuse == parent.inuse:
            break
        child = parent
    device.weights_updated = True


cdef inline void commit_weights(IocostDevice *device) noexcept nogil:
    """Let shares be computed anew."""
    if device.weights_updated:
        device.generation += 1
        device.weights_updated = False


cdef inline void change_weights(
    IocostDevice *device,
    IocostGroup *group,
    int64_t active,
    int64_t inuse,
    const IocostNow *now,
    bint save,
) noexcept nogil:
    """Set a group's weights at once."""
    set_weights(device, group, active, inuse, now, save)
    commit_weights(device)


cdef inline void compute_shares(IocostDevice *device, IocostGroup *group) noexcept nogil:
    """Multiply a group's weights among siblings, from the root down."""
    cdef uint32_t at = <uint32_t> (group - device.groups)
    cdef uint32_t last = at
    cdef IocostGroup *parent
    cdef IocostGroup *child
    cdef int64_t active = WHOLE
    cdef int64_t inuse = WHOLE
    while device.groups[at].parent >= 0:
        device.groups[device.groups[at].parent].below = at
        at = <uint32_t> device.groups[at].parent
    while at != last:
        parent = &device.groups[at]
        at = parent.below
        child = &device.groups[at]
        if parent.child_active_sum == 0 or parent.child_inuse_sum == 0:
            continue
        active = mul_div(
            active, child.active, max(child.active, parent.child_active_sum)
        )
        inuse = mul_div(inuse, child.inuse, max(child.inuse, parent.child_inuse_sum))
    group.hw_active = max(1, active)
    group.hw_inuse = max(1, inuse)
    group.generation = device.generation


cdef inline void refresh_shares(IocostDevice *device, IocostGroup *group) noexcept nogil:
    """Bring a group's shares up to date."""
    if group.generation != device.generation:
        compute_shares(device, group)


cdef inline int64_t largest_share(
    IocostDevice *device, const IocostGroup *group
) noexcept nogil:
    """Return the share that a group would have if it donated nothing."""
    cdef int64_t share = WHOLE
    cdef int64_t inuse = group.active
    cdef int64_t inuse_sum
    cdef const IocostGroup *child = group
    cdef const IocostGroup *parent
    while child.parent >= 0:
        parent = iocost_parent(device, child)
        inuse_sum = parent.child_inuse_sum + inuse - child.inuse
        share = mul_div(share, inuse, inuse_sum)
        inuse = mul_div_up(parent.active, inuse_sum, parent.child_active_sum)
        child = parent
    return max(1, share)
