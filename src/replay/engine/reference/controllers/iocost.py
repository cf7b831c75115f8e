"""``io.weight`` with the linear cost model: who may issue now, and who waits.

Every cgroup has a budget of virtual time on a device, which comes at the rate of its
share; a request costs what the model says and goes if the budget has it. Else its
submitter waits: below a loop device that is the worker, with all behind it.

Source: block/blk-iocost.c, v6.1: ioc_rqos_throttle(), iocg_activate(),
adjust_inuse_and_calc_cost(), calc_vtime_cost_builtin(), ioc_rqos_done(),
ioc_rqos_done_bio().

**Debt**, for what must not wait (policy ``backcharge``, META and SWAP bios):
`Iocost.owe` lets the I/O go at once and adds its cost to the issuer's debt. It returns
for how many ns the issuer's tasks are delayed when they next come from the kernel (0
for not at all); the caller delays their next arrivals. While a group owes, its requests
wait and its share is lent to the others; debt is paid once a period.
"""

from replay.engine.reference.controllers.iocost_period import (
    is_idle,
    run_period,
    start_period,
)
from replay.engine.reference.controllers.iocost_wait import (
    commit,
    incur_debt,
    kick,
    kick_delay,
)
from replay.engine.reference.controllers.iocost_weights import (
    WHOLE,
    IocostDevice,
    IocostGroup,
    Now,
    change_weights,
    iocost_of,
    refresh_shares,
)
from replay.engine.reference.state.requests import Request
from replay.engine.setup import BACKING_DEVICE, Setup
from replay.trace.file.schema import OP_CODES

READ, WRITE, FLUSH = (OP_CODES[name] for name in ("read", "write", "flush"))
#: Positions in ``Request.cost``.
ABOVE, BELOW = 0, 1
#: Virtual time of a ns, rounded as the kernel has it.
PER_NS = (1 << 37) // 10**9
#: Further away than this, in pages, is not sequential.
SEEK_PAGES = 4096
STEP_PERCENT = 25


class Iocost:
    """All devices with a cost model."""

    def __init__(self, setup: Setup, woken: list[Request]) -> None:
        self.setup = setup
        self.devices: dict[int, IocostDevice] = {}
        #: Periods that begin, with their end: for the loop to take.
        self.started: list[tuple[IocostDevice, int]] = []
        self.delay_ns = 0
        for i, place in enumerate(setup.iocost_device.tolist()):
            self.devices[place] = make_device(setup, i, place)
            self.devices[place].woken = woken

    def enter(
        self, request: Request, place: int, cgroup: int, now_ns: int, *, is_bio: bool
    ) -> bool:
        """Issue a request and return True, or let it wait.

        A META request that its issuer submitted itself leaves a debt; the delay of its
        tasks for it stands in ``delay_ns``.
        """
        self.delay_ns = 0
        device = self.devices.get(place)
        if device is None or cgroup == 0:
            return True
        group = device.groups[cgroup]
        absolute = absolute_cost(device, group, request)
        if not absolute:
            return True
        now = self.touch(device, now_ns)
        if not self.activate(device, group, now):
            return True
        group.cursor = end_sector(request)
        cost = raise_inuse(device, group, absolute, now)
        request.iocost_at = ABOVE if place != BACKING_DEVICE else BELOW
        if not group.waiting and not group.debt and group.vtime + cost <= now.v:
            commit(group, request, absolute, cost)
            return True
        if is_bio and request.is_meta:
            self.delay_ns = owe(device, group, absolute, now)
            return True
        if not group.debt and group.inuse != group.active:
            change_weights(device, group, group.active, group.active, now, True)
        request.cost[request.iocost_at] = absolute
        request.throttled_from_ns = now_ns
        group.waiting.append(request)
        kick(device, group, now)
        return False

    def owe(self, request: Request, place: int, cgroup: int, now_ns: int) -> int:
        """Let a request go and add its cost to a cgroup's debt.

        Returns
        -------
        int
            For how long the cgroup's tasks are delayed, ns.
        """
        device = self.devices.get(place)
        if device is None or cgroup == 0:
            return 0
        group = device.groups[cgroup]
        absolute = absolute_cost(device, group, request)
        if not absolute:
            return 0
        now = self.touch(device, now_ns)
        if not self.activate(device, group, now):
            return 0
        group.cursor = end_sector(request)
        return owe(device, group, absolute, now)

    def activate(self, device: IocostDevice, group: IocostGroup, now: Now) -> bool:
        """Give a group that was idle half a period's budget; return True if it may.

        Above and below an active group nobody has a share: they issue as the root.
        """
        if group.is_active:
            group.active_period = device.period
            return True
        if group.child_active_sum:
            return False
        group.active_period = device.period
        if any(above.is_active for above in group.ancestors[1:-1]):
            return False
        moved = now.v - device.margins[2] - group.vtime
        group.vtime += moved
        group.done_vtime += moved
        group.generation = device.generation - 1
        group.is_active = True
        device.active.insert(0, group)
        inuse = group.last_inuse or group.weight
        change_weights(device, group, group.weight, inuse, now, True)
        group.activated_at = now.us
        if not device.running:
            device.running = True
            device.forgive_at, device.forgive_rest = now.us, 0
            self.started.append((device, start_period(device, now)))
        return True

    def touch(self, device: IocostDevice, now_ns: int) -> Now:
        """Return the time; where no period runs though some are active, begin one."""
        now = device.now(now_ns)
        device.touched = True
        if device.paused and now.us > device.period_at:
            self.period(device, now_ns)
            device.touched = True
            return device.now(now_ns)
        if device.paused:
            # it was paused in this microsecond
            device.paused = False
            self.started.append((device, start_period(device, now)))
        return now

    def period(self, device: IocostDevice, now_ns: int) -> None:
        """End a period and begin the next."""
        at = run_period(device, device.now(now_ns))
        if at is not None:
            self.started.append((device, at))

    def wake(self, place: int, cgroup: int, version: int, now_ns: int) -> None:
        """Let those go whose budget has come."""
        device = self.devices[place]
        group = device.groups[cgroup]
        if version == group.version:
            group.timer_ns = -1
            kick(device, group, device.now(now_ns))

    def done(self, request: Request, place: int, cgroup: int, now_ns: int) -> None:
        """Count that what a request cost is no longer in flight."""
        at = ABOVE if place != BACKING_DEVICE else BELOW
        if request.cost[at]:
            device = self.devices[place]
            self.touch(device, now_ns)
            device.groups[cgroup].done_vtime += request.cost[at]

    def served(self, request: Request, place: int, took_ns: int, wait_ns: int) -> None:
        """Count whether a request was in time, and for how long it waited for a place.

        The time that its size takes does not count.
        """
        device = self.devices.get(place)
        if device is None or request.op not in (READ, WRITE):
            return
        rw = int(request.op == WRITE)
        size_ns = (request.nbytes >> 12) * device.coefficients[3 * rw] // PER_NS
        if took_ns - size_ns <= device.qos[2 * rw + 1] * 1000:
            device.met[rw] += 1
        else:
            device.missed[rw] += 1
        device.rq_wait_ns += wait_ns

    def finish(self) -> None:
        """Count usage up to the end, as the period's timer would."""
        for device in self.devices.values():
            for group in device.active:
                if not is_idle(device, group):
                    group.usage += group.usage_v // device.base_rate
                    group.usage_v = 0

    def rows(self) -> list[tuple[int, ...]]:
        """Return what ``io.stat`` shows of each group that used anything."""
        rows = [
            (
                *(group.cgroup, place),
                *(group.usage, group.wait, group.indebt, group.indelay),
            )
            for place, device in self.devices.items()
            for group in device.groups
        ]
        return [row for row in rows if any(row[2:])]


def make_device(setup: Setup, index: int, place: int) -> IocostDevice:
    """Make a device's model and its groups, all idle."""
    groups: list[IocostGroup] = []
    for cgroup, parent in enumerate(setup.parent.tolist()):
        above = groups[parent].ancestors if parent >= 0 else []
        weight = int(setup.iocost_weight[index, cgroup]) * WHOLE
        group = IocostGroup(cgroup, weight, [])
        group.ancestors = [*above, group]
        groups.append(group)
    qos = setup.iocost_qos[index].tolist()
    ppm, latency = (qos[0], qos[1]) if qos[1] >= qos[3] else (qos[2], qos[3])
    times = max((10**6 - ppm) // 50_000, 2) if ppm else 2
    period_us = max(1000, min(times * latency, 10**6))
    per_us = (1 << 37) // 10**6
    device = IocostDevice(
        place=place,
        setup=setup,
        groups=groups,
        coefficients=setup.iocost_coefficients[index].tolist(),
        qos=qos,
        period_us=period_us,
        slack_ns=period_us * 1000 // 100,
        vrate_min=-(-qos[4] * per_us // 10**6),
        vrate_max=(qos[5] * per_us + setup.iocost_max_up * (10**6 - 1)) // 10**6,
        period_at=setup.boot_ns // 1000,
    )
    device.refresh_margins()
    return device


def absolute_cost(device: IocostDevice, group: IocostGroup, request: Request) -> int:
    """Return what a request costs of the device: a seek or none, and its pages.

    Up to 6.1 a bio without data that asks for a flush costs a write of a page.
    """
    empty = device.setup.iocost_flush_costs and is_asked_flush(request)
    if not empty and (request.op not in (READ, WRITE) or not request.nbytes):
        return 0
    page, near, far = device.coefficients[3 * (request.op != READ) :][:3]
    seek = abs(request.sector - group.cursor) >> 3 if group.cursor else 0
    base = far if seek > SEEK_PAGES else near
    # below, each part that the queue cuts off is an I/O that follows the one before
    if empty:
        return base + page
    most = request.nbytes
    if device.place == BACKING_DEVICE:
        most = min(most, device.setup.max_sectors * 512)
    whole = (request.nbytes - 1) // most
    pages = whole * max(most >> 12, 1) + max(request.nbytes - whole * most >> 12, 1)
    return base + whole * near + pages * page


def is_asked_flush(request: Request) -> bool:
    """Return True if a flush is a bio's, and not the flush machinery's own."""
    return request.op == FLUSH and request.n_bios > 0


def end_sector(request: Request) -> int:
    """Return where a request ends."""
    return (request.sector + request.nbytes // 512) % (1 << 64)


def owe(device: IocostDevice, group: IocostGroup, absolute: int, now: Now) -> int:
    """Add to a group's debt; return for how long its tasks are delayed, ns."""
    incur_debt(device, group, absolute, now)
    return group.delay_ns if kick_delay(device, group, now) else 0


def raise_inuse(
    device: IocostDevice, group: IocostGroup, absolute: int, now: Now
) -> int:
    """Take back lent weight, in steps, where it runs short; return the group's cost."""
    refresh_shares(device, group)
    cost = iocost_of(absolute, group.hw_inuse)
    margin = now.v - group.vtime - cost
    if (
        group.debt
        or margin >= group.saved_margin
        or margin >= device.margins[1]
        or group.inuse == group.active
    ):
        return cost
    inuse = group.inuse
    step = -(-group.active * STEP_PERCENT // 100)
    while True:
        inuse += step
        change_weights(device, group, group.active, inuse, now, True)
        refresh_shares(device, group)
        cost = iocost_of(absolute, group.hw_inuse)
        if group.vtime + cost <= now.v or group.inuse == group.active:
            return cost
