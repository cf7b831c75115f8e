"""``io.latency``: when a cgroup misses its target, siblings' queue depth is halved.

Of siblings, those with a larger target, or with none.

Source: block/blk-iolatency.c, v6.1: blkcg_iolatency_throttle(), check_scale_change(),
scale_change(), scale_cookie_change(), blkcg_iolatency_done_bio(),
iolatency_check_latencies(), blkiolatency_timer_fn().
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.string cimport memset

from replay.engine.controllers.iocost_period cimport wheel_time
from replay.engine.controllers.iocost_wait cimport woken_add
from replay.engine.state.events cimport push
from replay.engine.state.iolatency cimport IolatencyDevice, IolatencyGroup, Samples
from replay.engine.state.requests cimport controls_of, request_at
from replay.engine.state.sim cimport EVENT_IOLATENCY, Request, Sim
from replay.engine.state.streams cimport delay_stream

cdef enum:
    # the cookie of a level where nobody is throttled
    DEFAULT_COOKIE = 1000000
    GOOD_SAMPLES = 5
    ADJUST_MS = 500
    FORGET_S = 5
    MOST_DELAY_MS = 250
    NS_PER_MS = 1000000


cdef inline int64_t second_ns() noexcept nogil:
    """Return a second."""
    return 1000000000


cdef inline int64_t no_depth() noexcept nogil:
    """Return the depth of who is not throttled."""
    return 0xFFFFFFFFU


cdef inline IolatencyDevice *iolatency_device(const Sim *sim, int place) noexcept nogil:
    """Return a device where a target is set, NULL for none; -1 is the one below."""
    return NULL if sim.iolatency_at == NULL else sim.iolatency_at[place + 1]


cdef inline int64_t scale_step(const IolatencyDevice *device, bint up) noexcept nogil:
    """Return by how much is scaled at once."""
    return max(device.requests >> (4 if up else 2), 1)


cdef inline void scale_delay(IolatencyGroup *group, int64_t now) noexcept nogil:
    """Take off once a second what was delayed since."""
    cdef int64_t less
    if group.delay_start + second_ns() >= now:
        return
    less = min(group.last_delay, now - group.delay_start)
    group.delay_start = now
    if group.use_delay < group.last_use:
        less = max(less, group.last_delay >> 1)
    group.delay_ns = group.last_delay = max(0, group.delay_ns - less)
    group.last_use = group.use_delay


cdef inline void places_wake(
    Sim *sim, IolatencyGroup *group, bint every, int64_t now
) noexcept nogil:
    """Let one of those who wait take a place, or as many as there are places."""
    cdef uint32_t slot
    while group.head != 0 and group.in_flight < group.depth:
        slot = group.head
        group.head = request_at(sim, slot).next
        if group.head == 0:
            group.tail = 0
        group.in_flight += 1
        woken_add(sim, slot, now)
        if not every:
            return


cdef inline void change_depth(
    Sim *sim, IolatencyDevice *device, IolatencyGroup *group, bint up, int64_t now
) noexcept nogil:
    """Halve a group's depth, or give back a sixteenth of the device's."""
    cdef int64_t depth = min(group.depth, device.requests)
    if not up:
        group.depth = max(depth >> 1, 1)
    elif depth == 1 and group.use_delay > 0:
        group.use_delay -= 1
    elif depth < device.requests:
        group.depth = min(depth + scale_step(device, True), device.requests)
        places_wake(sim, group, True, now)


cdef inline void check_scale(
    Sim *sim, IolatencyDevice *device, IolatencyGroup *group, int64_t now
) noexcept nogil:
    """Follow the cookie that the siblings share."""
    cdef const IolatencyGroup *above = &device.groups[group.parent]
    cdef bint up = above.child_cookie > group.cookie
    if above.child_cookie == group.cookie:
        return
    group.cookie = above.child_cookie
    if not up and group.target_ns != 0:
        if above.child_target == 0 or group.target_ns <= above.child_target:
            return
        if group.samples <= max(1, above.child_samples * 5 // 100):
            return
    if group.depth == 1 and not up:
        group.use_delay += 1
    elif group.cookie == DEFAULT_COOKIE:
        group.use_delay = 0
        group.depth = no_depth()
        places_wake(sim, group, True, now)
    else:
        change_depth(sim, device, group, up, now)


cdef inline bint iolatency_climb(
    Sim *sim,
    IolatencyDevice *device,
    uint32_t slot,
    int32_t cgroup,
    bint is_bio,
    int64_t now,
) noexcept nogil:
    """Take a place at every level from a cgroup up and return True, or wait."""
    cdef Request *request = request_at(sim, slot)
    cdef IolatencyGroup *group
    cdef int64_t delay_ns = 0
    while device.groups[cgroup].parent >= 0:
        group = &device.groups[cgroup]
        check_scale(sim, device, group, now)
        if group.use_delay > 0:
            scale_delay(group, now)
            delay_ns = max(delay_ns, min(group.delay_ns, MOST_DELAY_MS * NS_PER_MS))
        if not (is_bio and request.is_meta) and (
            group.head != 0 or group.in_flight >= group.depth
        ):
            request.next = 0
            if group.tail != 0:
                request_at(sim, group.tail).next = slot
            else:
                group.head = slot
            group.tail = slot
            controls_of(sim, slot).waits_at = cgroup
            request.throttled_from_ns = now
            delay_stream(sim, request.stream, delay_ns)
            return False
        group.in_flight += 1
        cgroup = group.parent
    delay_stream(sim, request.stream, delay_ns)
    if not device.timer_is_set:
        device.timer_is_set = True
        push(
            sim,
            max(now, wheel_time(sim, 1000000, now)),
            EVENT_IOLATENCY,
            device.place + 1,
            0,
        )
    return True


cdef inline void change_cookie(
    const IolatencyDevice *device, IolatencyGroup *group, bint up
) noexcept nogil:
    """Tell a group's children to scale up or down; not deeper than twice the depth."""
    cdef int64_t old = group.child_cookie
    cdef int64_t below = max(0, DEFAULT_COOKIE - old)
    cdef int64_t most = device.requests
    if up:
        if old + scale_step(device, True) > DEFAULT_COOKIE:
            group.child_cookie = DEFAULT_COOKIE
        else:
            group.child_cookie += 1 if below > most else scale_step(device, True)
    elif below <= most:
        group.child_cookie -= scale_step(device, False)
    elif below < 2 * most:
        group.child_cookie -= 1


cdef inline bint is_ok(
    const IolatencyDevice *device, const IolatencyGroup *group, const Samples *samples
) noexcept nogil:
    """Return True if a target was met: by the mean on a rotating disk, else by 90 %."""
    if not device.rotates:
        return samples.missed < max(samples.total // 10, 1)
    return samples.total == 0 or samples.sum_ns // samples.total <= group.target_ns


cdef inline void iolatency_record(
    IolatencyGroup *group, int64_t took_ns, bint meta, int64_t now
) noexcept nogil:
    """Count a latency; what META saved by not waiting delays the tasks instead."""
    if took_ns <= 0:
        return
    if meta:
        if took_ns < group.target_ns:
            scale_delay(group, now)
            group.delay_ns += group.target_ns - took_ns
        return
    group.now.total += 1
    group.now.missed += took_ns >= group.target_ns
    group.now.sum_ns += took_ns


cdef inline void iolatency_check(
    IolatencyDevice *device, int32_t cgroup, int64_t now
) noexcept nogil:
    """Look at a window that is over, and scale the siblings if need be."""
    cdef IolatencyGroup *group = &device.groups[cgroup]
    cdef IolatencyGroup *above = &device.groups[group.parent]
    cdef Samples stat = group.now
    cdef bint good = is_ok(device, group, &stat)
    memset(&group.now, 0, sizeof(Samples))
    if good and above.child_cookie == DEFAULT_COOKIE:
        return
    group.kept.total += stat.total
    group.kept.missed += stat.missed
    above.child_samples += group.kept.total - group.samples
    group.samples = group.kept.total
    if above.child_event >= now or (
        now - above.child_event < <int64_t> ADJUST_MS * NS_PER_MS
    ):
        return
    # of a disk that turns the kernel keeps no mean over windows (it sums what is empty)
    if good and (device.rotates or is_ok(device, group, &group.kept)):
        if group.kept.total < GOOD_SAMPLES:
            return
        if above.child_owner == cgroup:
            above.child_event = now
            change_cookie(device, above, True)
    elif above.child_target == 0 or above.child_target >= group.target_ns:
        above.child_event = now
        if above.child_owner < 0 or above.child_target > group.target_ns:
            above.child_target = group.target_ns
            above.child_owner = cgroup
        change_cookie(device, above, False)
    memset(&group.kept, 0, sizeof(Samples))


cdef inline void iolatency_done(
    Sim *sim,
    IolatencyDevice *device,
    uint32_t slot,
    int32_t cgroup,
    bint is_bio,
    int64_t now,
) noexcept nogil:
    """Give a request's places back, count how long it took, look at the windows."""
    cdef const Request *request = request_at(sim, slot)
    cdef int64_t took_ns = now - controls_of(sim, slot).issued_ns[device.place < 0]
    cdef IolatencyGroup *group
    while device.groups[cgroup].parent >= 0:
        group = &device.groups[cgroup]
        group.in_flight -= 1
        if group.target_ns != 0:
            iolatency_record(
                group,
                took_ns,
                is_bio and request.is_meta and group.depth != no_depth(),
                now,
            )
            if now - group.window_start >= group.window_ns:
                group.window_start = now
                iolatency_check(device, cgroup, now)
        places_wake(sim, group, False, now)
        cgroup = group.parent


cdef inline void iolatency_timer(
    const Sim *sim, IolatencyDevice *device, int64_t now
) noexcept nogil:
    """Scale up where nobody needs the others held, forget who did for 5 s."""
    cdef IolatencyGroup *group
    cdef uint32_t i
    device.timer_is_set = False
    for i in range(sim.n_cgroups):
        group = &device.groups[i]
        if group.child_cookie >= DEFAULT_COOKIE or group.child_event >= now:
            continue
        if group.child_owner < 0:
            change_cookie(device, group, True)
        elif now - group.child_event >= FORGET_S * second_ns():
            group.child_owner = -1
