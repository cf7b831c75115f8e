"""Where requests wait for what their cgroup may do on a device, and go on.

Above the driver the issuer waits, with ``queue`` events alone; below it, with direct
I/O, ``io.max`` holds the request and ``io.weight`` holds its worker too.
"""

from typing import TYPE_CHECKING

from replay.engine.reference.clock import time_of
from replay.engine.reference.cost import Costs
from replay.engine.reference.events import Kind
from replay.engine.reference.request import Request
from replay.engine.reference.throttle import Throttles
from replay.engine.setup import BACKING_DEVICE, ArrivalEvent, Policy, Resource
from replay.trace.schema import OP_CODES

if TYPE_CHECKING:
    from replay.engine.reference.loop import Reference

FLUSH = OP_CODES["flush"]


class Limits:
    """The limits of a run, and what waits for them."""

    def __init__(self, run: "Reference") -> None:
        self.run = run
        self.setup = run.setup
        self.throttles = Throttles(run.setup, run.interference)
        self.costs = Costs(run.setup)
        self.woken: list[Request] = []

    # -- on the way in ----------------------------------------------------------

    def above(self, request: Request, now: int) -> bool:
        """Pass the limits of the traced device, or wait for them; tell which."""
        limit = self.throttles.find(self.blkcg(request), request.device)
        return self.passes(request, limit, now) and self.issues_above(request, now)

    def below(self, request: Request, now: int) -> bool:
        """Pass the limits of the device below at once, or wait for them; tell which."""
        limit = self.throttles.find(request.io_payer, BACKING_DEVICE)
        return self.passes(request, limit, now) and self.issues_below(
            request, now, holds_worker=self.setup.policy != Policy.PASS_THROUGH
        )

    def blkcg(self, request: Request) -> int:
        """Return whose bio it is on the traced device: a flush has none."""
        if request.op == FLUSH and self.setup.policy != Policy.PASS_THROUGH:
            return 0
        return int(self.setup.blkcg[request.issuer])

    def passes(self, request: Request, limit: int, now: int) -> bool:
        """Pass ``io.max`` from a limit up, or wait there; tell which."""
        passed = self.throttles.enter(request, limit, now)
        self.arm_throttles(now)
        return passed

    def issues_above(self, request: Request, now: int) -> bool:
        """Have the budget to issue on the traced device, or wait; tell which."""
        cgroup = self.blkcg(request)
        passed = self.costs.enter(request, request.device, cgroup, now, is_bio=True)
        self.run.delay_stream(request.stream, self.costs.delay_ns)
        self.arm_costs(now)
        return passed

    def issues_below(self, request: Request, now: int, *, holds_worker: bool) -> bool:
        """Have the budget to issue below, or wait; tell which.

        What ``io.max`` held back is submitted by another thread, not by the worker;
        with policy ``pass-through`` there is none.
        """
        is_bio = self.setup.policy == Policy.PASS_THROUGH
        passed = self.costs.enter(
            request, BACKING_DEVICE, request.io_payer, now, is_bio=is_bio
        )
        self.run.delay_stream(request.stream, self.costs.delay_ns)
        request.holds_worker = holds_worker and not passed
        self.arm_costs(now)
        return passed

    # -- timers -----------------------------------------------------------------

    def arm_throttles(self, now: int) -> None:
        """Set the timers of the groups whose next dispatch has moved."""
        for index in self.throttles.changed:
            group = self.throttles.groups[index]
            if group.dispatch_at >= 0:
                at = max(now, time_of(self.setup, group.dispatch_at))
                self.run.push(at, Kind.THROTTLE, index, group.version)
        self.throttles.changed.clear()

    def arm_costs(self, now: int) -> None:
        """Set the timers of periods and waits, and let the woken go on."""
        for device, at in self.costs.started:
            self.run.push(max(now, at), Kind.PERIOD, device.place + 1)
        self.costs.started.clear()
        for device in self.costs.devices.values():
            for group in device.set_timers:
                at = group.timer_ns + device.slack_ns
                where = (device.place + 1) * len(self.setup.parent) + group.cgroup
                self.run.push(at, Kind.COST, where, group.version)
            device.set_timers.clear()
            if device.woken and not self.woken:
                self.run.push(now, Kind.WOKEN, 0)
            self.woken += device.woken
            device.woken.clear()

    # -- events -----------------------------------------------------------------

    def event(self, event: int, sequence: int, payload: int, now: int) -> None:
        """Run one of the limits' timers."""
        if event == Kind.THROTTLE:
            self.throttle_event(sequence, payload, now)
        elif event == Kind.WOKEN:
            self.woken_event(now)
        elif event == Kind.COST:
            place, cgroup = divmod(sequence, len(self.setup.parent))
            self.costs.wake(place - 1, cgroup, payload, now)
            self.arm_costs(now)
        else:
            self.costs.period(self.costs.devices[sequence - 1], now)
            self.arm_costs(now)

    def throttle_event(self, index: int, version: int, now: int) -> None:
        """Let what a group's limits held back go on."""
        if version != self.throttles.groups[index].version:
            return
        passed = self.throttles.dispatch(index, now)
        self.arm_throttles(now)
        for request in passed:
            if request.start_ns < 0:
                if self.issues_above(request, now):
                    self.run.take_tag(request, now)
            elif self.issues_below(request, now, holds_worker=False):
                self.run.serve(request, now)

    def woken_event(self, now: int) -> None:
        """Let those go on who waited for their cgroup's budget."""
        woken, self.woken = self.woken, []
        for request in woken:
            above = request.start_ns < 0
            cgroup = self.blkcg(request) if above else request.io_payer
            waited_ns = now - request.throttled_from_ns
            self.run.interference.add(
                request.issuer, cgroup, Resource.THROTTLE, waited_ns, 1
            )
            if above:
                self.run.take_tag(request, now)
                continue
            self.run.serve(request, now)
            if request.holds_worker:
                self.run.worker_of(request).busy_ns += now - request.start_ns
                self.run.start(self.run.next_command(request, now), now)

    # -- completion -------------------------------------------------------------

    def done(self, request: Request, now: int) -> None:
        """Tell the cost models that a request is done."""
        if not self.costs.devices:
            return
        if self.setup.event == ArrivalEvent.QUEUE:
            self.costs.done(request, request.device, self.blkcg(request), now)
            wait_ns = request.dispatch_ns - request.tag_ns
            self.costs.served(request, request.device, now - request.tag_ns, wait_ns)
        if self.run.only_submits(request):
            self.costs.done(request, BACKING_DEVICE, request.io_payer, now)
            took_ns = now - request.device_ns
            wait_ns = took_ns - request.service_ns if self.run.device_is_on else 0
            self.costs.served(request, BACKING_DEVICE, took_ns, wait_ns)
        self.arm_costs(now)
