"""``io.latency``: when a cgroup misses its target, siblings' queue depth is halved.

Of siblings, those with a larger target, or with none.

Source: block/blk-iolatency.c, v6.1: blkcg_iolatency_throttle(), check_scale_change(),
scale_change(), scale_cookie_change(), blkcg_iolatency_done_bio(),
iolatency_check_latencies(), blkiolatency_timer_fn().
"""

from collections import deque
from dataclasses import dataclass, field

from replay.engine.reference.controllers.iocost_period import timer_time
from replay.engine.reference.state.requests import Request
from replay.engine.setup import BACKING_DEVICE, Setup

NS_PER_MS = 10**6
NS_PER_S = 10**9
#: Of who is not throttled.
NO_DEPTH = (1 << 32) - 1
#: The cookie of a level where nobody is.
DEFAULT_COOKIE = 1_000_000
ADJUST_NS = 500 * NS_PER_MS
FORGET_NS = 5 * NS_PER_S
GOOD_SAMPLES = 5
MOST_DELAY_NS = 250 * NS_PER_MS


@dataclass
class LatencySamples:
    """Iolatency of a window: how many, how many late, their sum."""

    total: int = 0
    missed: int = 0
    sum_ns: int = 0


@dataclass(eq=False)
class IolatencyGroup:
    """A cgroup on a device where a target is set."""

    cgroup: int
    parent: "IolatencyGroup | None"
    target_ns: int
    window_ns: int
    window_start: int = 0
    cookie: int = DEFAULT_COOKIE
    depth: int = NO_DEPTH
    in_flight: int = 0
    waiting: deque[Request] = field(default_factory=deque)
    now: LatencySamples = field(default_factory=LatencySamples)
    kept: LatencySamples = field(default_factory=LatencySamples)
    samples: int = 0
    # what the children of this group share
    child_cookie: int = DEFAULT_COOKIE
    child_event: int = -ADJUST_NS
    child_target: int = 0
    child_samples: int = 0
    child_owner: "IolatencyGroup | None" = None
    # the delay of tasks, see block/blk-cgroup.c:blkcg_scale_delay()
    use_delay: int = 0
    delay_ns: int = 0
    delay_start: int = -2 * NS_PER_S
    last_delay: int = 0
    last_use: int = 0


@dataclass(eq=False)
class IolatencyDevice:
    """A device where a target is set."""

    place: int
    groups: list[IolatencyGroup]
    requests: int
    rotates: bool
    timer_is_set: bool = False


class Iolatency:
    """All devices where a target is set."""

    def __init__(self, setup: Setup, woken: list[Request]) -> None:
        self.setup = setup
        self.devices: dict[int, IolatencyDevice] = {}
        #: Requests that may go on, and timers that were set: for the loop to take.
        self.woken = woken
        self.started: list[tuple[int, int]] = []
        self.delay_ns = 0
        for i, place in enumerate(setup.iolatency_device.tolist()):
            groups: list[IolatencyGroup] = []
            targets = setup.iolatency_target[i].tolist()
            for cgroup, parent in enumerate(setup.parent.tolist()):
                window_ns = max(100 * NS_PER_MS, min(targets[cgroup] << 4, NS_PER_S))
                above = groups[parent] if parent >= 0 else None
                groups.append(IolatencyGroup(cgroup, above, targets[cgroup], window_ns))
            self.devices[place] = IolatencyDevice(
                *(place, groups, int(setup.iolatency_requests[i])),
                rotates=bool(setup.iolatency_rotates[i]),
            )

    def enter(
        self, request: Request, place: int, cgroup: int, now: int, *, is_bio: bool
    ) -> bool:
        """Take a place at every level from a cgroup up and return True, or wait.

        For how long the issuer's tasks are delayed stands in ``delay_ns``.
        """
        self.delay_ns = 0
        device = self.devices.get(place)
        if device is None:
            return True
        return self.climb(request, device, device.groups[cgroup], now, is_bio)

    def resume(self, request: Request, place: int, now: int, *, is_bio: bool) -> bool:
        """Go on above the level where a request waited: True; or wait again: False."""
        self.delay_ns = 0
        device = self.devices[place]
        group = device.groups[request.waits_at].parent
        return self.climb(request, device, group, now, is_bio)

    def climb(
        self,
        request: Request,
        device: IolatencyDevice,
        group: IolatencyGroup | None,
        now: int,
        is_bio: bool,
    ) -> bool:
        """Take a place at every level from a group up and return True, or wait."""
        while group is not None and group.parent is not None:
            self.check_scale(device, group)
            if group.use_delay:
                self.delay_ns = max(self.delay_ns, delay_of(group, now))
            if is_bio and request.is_meta:
                group.in_flight += 1
            elif group.waiting or group.in_flight >= group.depth:
                group.waiting.append(request)
                request.waits_at = group.cgroup
                request.throttled_from_ns = now
                return False
            else:
                group.in_flight += 1
            group = group.parent
        if not device.timer_is_set:
            device.timer_is_set = True
            self.started.append((device.place, timer_time(self.setup, 10**6, now)))
        return True

    def wake(self, group: IolatencyGroup, most: int) -> None:
        """Let as many of those who wait take a place as there are places."""
        while group.waiting and most and group.in_flight < group.depth:
            group.in_flight += 1
            self.woken.append(group.waiting.popleft())
            most -= 1

    def check_scale(self, device: IolatencyDevice, group: IolatencyGroup) -> None:
        """Follow the cookie that the siblings share."""
        above = group.parent
        assert above is not None
        if above.child_cookie == group.cookie:
            return
        up = above.child_cookie > group.cookie
        group.cookie = above.child_cookie
        if not up and group.target_ns:
            if not above.child_target or group.target_ns <= above.child_target:
                return
            if group.samples <= max(1, above.child_samples * 5 // 100):
                return
        if group.depth == 1 and not up:
            group.use_delay += 1
        elif group.cookie == DEFAULT_COOKIE:
            group.use_delay = 0
            group.depth = NO_DEPTH
            self.wake(group, len(group.waiting))
        else:
            self.change_depth(device, group, up)

    def change_depth(
        self, device: IolatencyDevice, group: IolatencyGroup, up: bool
    ) -> None:
        """Halve a group's depth, or give back a sixteenth of the device's."""
        depth = min(group.depth, device.requests)
        if not up:
            group.depth = max(depth >> 1, 1)
        elif depth == 1 and group.use_delay:
            group.use_delay -= 1
        elif depth < device.requests:
            group.depth = min(depth + step(device, True), device.requests)
            self.wake(group, len(group.waiting))

    def done(
        self, request: Request, place: int, cgroup: int, now: int, *, is_bio: bool
    ) -> None:
        """Give a request's places back, count how long it took, look at the window."""
        device = self.devices.get(place)
        if device is None:
            return
        issued_ns = request.issued_ns[place == BACKING_DEVICE]
        group: IolatencyGroup | None = device.groups[cgroup]
        while group is not None and group.parent is not None:
            group.in_flight -= 1
            if group.target_ns:
                meta = is_bio and request.is_meta and group.depth != NO_DEPTH
                record(group, now - issued_ns, meta, now)
                if now - group.window_start >= group.window_ns:
                    group.window_start = now
                    iolatency_check(device, group, now)
            self.wake(group, 1)
            group = group.parent

    def timer(self, place: int, now: int) -> None:
        """Scale up where nobody needs the others held, forget who did for 5 s."""
        device = self.devices[place]
        device.timer_is_set = False
        for group in device.groups:
            if group.child_cookie >= DEFAULT_COOKIE or group.child_event >= now:
                continue
            if group.child_owner is None:
                change_cookie(device, group, True)
            elif now - group.child_event >= FORGET_NS:
                group.child_owner = None


def step(device: IolatencyDevice, up: bool) -> int:
    """Return by how much is scaled at once."""
    return max(device.requests >> (4 if up else 2), 1)


def change_cookie(device: IolatencyDevice, group: IolatencyGroup, up: bool) -> None:
    """Tell a group's children to scale up or down; not deeper than twice the depth."""
    most, old = device.requests, group.child_cookie
    below = max(0, DEFAULT_COOKIE - old)
    if up:
        one = 1 if below > most else step(device, True)
        over = old + step(device, True) > DEFAULT_COOKIE
        group.child_cookie = DEFAULT_COOKIE if over else old + one
    elif below <= most:
        group.child_cookie -= step(device, False)
    elif below < 2 * most:
        group.child_cookie -= 1


def record(group: IolatencyGroup, took_ns: int, meta: bool, now: int) -> None:
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


def is_ok(
    device: IolatencyDevice, group: IolatencyGroup, samples: LatencySamples
) -> bool:
    """Return True if a target was met: by the mean on a rotating disk, else by 90 %."""
    if not device.rotates:
        return samples.missed < max(samples.total // 10, 1)
    return not samples.total or samples.sum_ns // samples.total <= group.target_ns


def iolatency_check(device: IolatencyDevice, group: IolatencyGroup, now: int) -> None:
    """Look at a window that is over, and scale the siblings if need be."""
    stat, group.now = group.now, LatencySamples()
    above = group.parent
    assert above is not None
    good = is_ok(device, group, stat)
    if good and above.child_cookie == DEFAULT_COOKIE:
        return
    kept = group.kept
    kept.total += stat.total
    kept.missed += stat.missed
    above.child_samples += kept.total - group.samples
    group.samples = kept.total
    if above.child_event >= now or now - above.child_event < ADJUST_NS:
        return
    # of a disk that turns the kernel keeps no mean over windows (it sums what is empty)
    if good and (device.rotates or is_ok(device, group, kept)):
        if kept.total < GOOD_SAMPLES:
            return
        if above.child_owner is group:
            above.child_event = now
            change_cookie(device, above, True)
    elif not above.child_target or above.child_target >= group.target_ns:
        above.child_event = now
        if above.child_owner is None or above.child_target > group.target_ns:
            above.child_target = group.target_ns
            above.child_owner = group
        change_cookie(device, above, False)
    group.kept = LatencySamples()


def scale_delay(group: IolatencyGroup, now: int) -> None:
    """Take off once a second what was delayed since."""
    if group.delay_start + NS_PER_S >= now:
        return
    less = min(group.last_delay, now - group.delay_start)
    group.delay_start = now
    if group.use_delay < group.last_use:
        less = max(less, group.last_delay >> 1)
    group.delay_ns = group.last_delay = max(0, group.delay_ns - less)
    group.last_use = group.use_delay


def delay_of(group: IolatencyGroup, now: int) -> int:
    """Return for how long a group's tasks are delayed when they return, ns."""
    scale_delay(group, now)
    return min(group.delay_ns, MOST_DELAY_NS)
