"""Waits of requests for their cgroup's I/O controllers, and the events that end them.

Above the driver the issuer waits, with ``queue`` events alone; below it, with direct
I/O, ``io.max`` holds the request and ``io.weight`` holds its worker too.
"""

from typing import Protocol

from replay.engine.reference.controllers.iocost import Iocost, is_asked_flush
from replay.engine.reference.controllers.iolatency import Iolatency
from replay.engine.reference.controllers.iomax import Iomax, direction_of
from replay.engine.reference.counting.charges import Tables
from replay.engine.reference.counting.waits import Interference
from replay.engine.reference.driver.workers import Worker
from replay.engine.reference.state.events import Kind
from replay.engine.reference.state.jiffies import time_of
from replay.engine.reference.state.nested import is_outer
from replay.engine.reference.state.requests import Request
from replay.engine.reference.state.run import Run
from replay.engine.reference.state.split_counts import extra_ios
from replay.engine.reference.state.streams import Dependents
from replay.engine.setup import BACKING_DEVICE, Policy, Resource
from replay.trace.file.schema import OP_CODES

FLUSH = OP_CODES["flush"]


class NextStages(Protocol):
    """The next stages of requests that go on: methods of `Stages`."""

    device_is_on: bool

    def waits_above(self, request: Request) -> bool:
        """Return True if the device's own limits and tags are replayed."""

    def only_submits(self, request: Request) -> bool:
        """Return True if the worker is free again once it has submitted a request."""

    def enter_queue(self, request: Request, now: int) -> None:
        """Go on behind the traced device's limits."""

    def serve(self, request: Request, now: int) -> None:
        """Go on behind the limits of the device below."""

    def worker_of(self, request: Request) -> Worker:
        """Return the worker that serves a request."""

    def next_command(self, request: Request, now: int) -> Request | None:
        """Take the worker's next command."""

    def start(self, request: Request | None, now: int) -> None:
        """Let a worker handle its next commands."""


class Controllers:
    """The limits of a run, and what waits for them."""

    def __init__(
        self,
        run: Run,
        stages: NextStages,
        streams: Dependents,
        out: Tables,
        interference: Interference,
    ) -> None:
        self.run = run
        self.stages = stages
        self.streams = streams
        self.out = out
        self.interference = interference
        self.setup = run.setup
        self.iomax = Iomax(run.setup, interference)
        # in the order in which they were woken, whatever woke them
        self.fresh: list[Request] = []
        self.iocost = Iocost(run.setup, self.fresh)
        self.iolatency = Iolatency(run.setup, self.fresh)
        self.woken: list[Request] = []

    # -- on the way in ----------------------------------------------------------

    def above(self, request: Request, now: int) -> bool:
        """Pass the limits of the traced device and return True, or wait for them."""
        limit = self.iomax.find(self.blkcg(request), request.device)
        return self.passes(request, limit, now) and self.issues_above(request, now)

    def below(self, request: Request, now: int) -> bool:
        """Pass the limits of the device below and return True, or wait for them."""
        limit = self.iomax.find(request.io_payer, BACKING_DEVICE)
        if not self.passes(request, limit, now) or not self.rest_passes(request, now):
            return False
        return self.issues_below(
            request, now, holds_worker=self.setup.policy != Policy.PASS_THROUGH
        )

    def rest_passes(self, request: Request, now: int) -> bool:
        """Pass the rest of a request through the limits again; True if it passes.

        Its bytes are paid, so that limits of I/Os alone hold it: if there is none on
        the way, it is not even looked at.
        Up to 5.17 nothing holds it, and it counts later.
        Source: block/blk-throttle.h:blk_should_throtl(), v6.1;
        block/blk-throttle.c:blk_throtl_charge_bio_split(), v5.10.
        """
        limit = self.iomax.find(request.io_payer, BACKING_DEVICE)
        rw = direction_of(request)
        if self.setup.iomax_splits_late:
            request.passes = 1 + extra_ios(self.setup, request)
            self.iomax.charge_late(limit, rw, request.passes - 1)
            return True
        while True:
            request.passes += 1
            if request.passes > extra_ios(self.setup, request):
                return True
            if not self.iomax.limits_ios(limit, rw):
                return True
            if not self.passes(request, limit, now):
                return False

    def blkcg(self, request: Request) -> int:
        """Return whose bio it is on the traced device: a flush has none."""
        if request.op == FLUSH and self.setup.policy != Policy.PASS_THROUGH:
            return 0
        return int(self.setup.blkcg[request.issuer])

    def passes(self, request: Request, limit: int, now: int) -> bool:
        """Pass ``io.max`` from a limit up and return True, or wait there."""
        passed = self.iomax.enter(request, limit, now)
        self.arm_iomax(now)
        return passed

    def issues_above(self, request: Request, now: int) -> bool:
        """Issue on the traced device and return True, or wait for budget or a place."""
        cgroup = self.blkcg(request)
        if self.setup.iocost_flush_costs and is_asked_flush(request):
            cgroup = int(self.setup.blkcg[request.issuer])
        return self.issues(request, request.device, cgroup, now, is_bio=True)

    def issues_below(self, request: Request, now: int, *, holds_worker: bool) -> bool:
        """Issue on the device below and return True, or wait for budget or a place.

        What ``io.max`` held back is submitted by another thread, not by the worker;
        with policy ``pass-through`` there is none.
        """
        if self.setup.policy == Policy.BACKCHARGE:
            self.backcharge(request, now)
        is_bio = self.setup.policy == Policy.PASS_THROUGH
        passed = self.issues(
            request, BACKING_DEVICE, request.io_payer, now, is_bio=is_bio
        )
        request.holds_worker = holds_worker and not passed
        return passed

    def issues(
        self, request: Request, place: int, cgroup: int, now: int, *, is_bio: bool
    ) -> bool:
        """Take budget and a place in flight and return True, or wait for them."""
        request.issued_ns[place == BACKING_DEVICE] = now
        request.waits_at = -1
        passed = self.iocost.enter(request, place, cgroup, now, is_bio=is_bio)
        self.streams.delay(request.stream, self.iocost.delay_ns)
        if passed:
            passed = self.iolatency.enter(request, place, cgroup, now, is_bio=is_bio)
            self.streams.delay(request.stream, self.iolatency.delay_ns)
        self.arm_others(now)
        return passed

    # -- debt -------------------------------------------------------------------

    def backcharge(self, request: Request, now: int) -> None:
        """Add what a request costs on the device below to its issuer's debt."""
        blkcg = int(self.setup.blkcg[request.issuer])
        owes = self.iocost.owe(request, BACKING_DEVICE, blkcg, now) > 0
        self.arm_others(now)
        if request.pid in self.setup.kernel_pids:
            return  # it never sleeps
        if owes and request.stream >= 0:
            self.streams[request.stream].owes = True
        elif owes:
            # recorded arrivals come when they came: it is counted, and nobody sleeps
            self.count_delay(self.delay_of(blkcg))

    def delay_of(self, cgroup: int) -> int:
        """Return for how long tasks of a cgroup sleep when they leave the kernel now.

        Source: block/blk-cgroup.c:blkcg_maybe_throttle_blkg(), v6.1: the longest of the
        cgroup's own delay and those above; kernel threads do not sleep. The kernel
        marks only who submits himself; policy `backcharge` takes it that the driver
        marks who issued.
        """
        device = self.iocost.devices.get(BACKING_DEVICE)
        if device is None:
            return 0
        group = device.groups[cgroup]
        return max(
            (one.delay_ns for one in group.ancestors[1:] if one.in_delay), default=0
        )

    def count_delay(self, delay_ns: int) -> None:
        """Count a sleep that somebody's debt is the reason of."""
        self.out.counts["delays"] += 1
        self.out.counts["delayed_ns"] += delay_ns

    def stream_delay(self, index: int, issuer: int) -> int:
        """Return for how long a stream sleeps before its next request is queued."""
        stream = self.streams[index]
        if not stream.owes:
            return 0
        stream.owes = False
        delay_ns = self.delay_of(int(self.setup.blkcg[issuer]))
        if delay_ns:
            self.count_delay(delay_ns)
        return delay_ns

    # -- timers -----------------------------------------------------------------

    def arm_iomax(self, now: int) -> None:
        """Set the timers of the groups whose next dispatch has moved."""
        for index in self.iomax.changed:
            group = self.iomax.groups[index]
            if group.dispatch_at >= 0:
                at = max(now, time_of(self.setup, group.dispatch_at))
                self.run.push(at, Kind.IOMAX, index, group.version)
        self.iomax.changed.clear()

    def arm_others(self, now: int) -> None:
        """Set the timers of periods and waits, and let the woken go on."""
        n_cgroups = len(self.setup.parent)
        for device, at in self.iocost.started:
            self.run.push(max(now, at), Kind.PERIOD, device.place + 1)
        self.iocost.started.clear()
        for place, at in self.iolatency.started:
            self.run.push(max(now, at), Kind.IOLATENCY, place + 1)
        self.iolatency.started.clear()
        for device in self.iocost.devices.values():
            for group in device.set_timers:
                at = group.timer_ns + device.slack_ns
                where = (device.place + 1) * n_cgroups + group.cgroup
                self.run.push(at, Kind.IOCOST, where, group.version)
            device.set_timers.clear()
        if self.fresh and not self.woken:
            self.run.push(now, Kind.WOKEN, 0)
        self.woken += self.fresh
        self.fresh.clear()

    # -- events -----------------------------------------------------------------

    def event(self, event: int, sequence: int, payload: int, now: int) -> None:
        """Run one of the limits' timers."""
        if event == Kind.IOMAX:
            self.iomax_event(sequence, payload, now)
        elif event == Kind.WOKEN:
            self.woken_event(now)
        elif event == Kind.IOCOST:
            place, cgroup = divmod(sequence, len(self.setup.parent))
            self.iocost.wake(place - 1, cgroup, payload, now)
            self.arm_others(now)
        elif event == Kind.PERIOD:
            self.iocost.period(self.iocost.devices[sequence - 1], now)
            self.arm_others(now)
        else:
            self.iolatency.timer(sequence - 1, now)

    def iomax_event(self, index: int, version: int, now: int) -> None:
        """Let what a group's limits held back go on."""
        if version != self.iomax.groups[index].version:
            return
        passed = self.iomax.dispatch(index, now)
        self.arm_iomax(now)
        for request in passed:
            if request.start_ns < 0:
                if self.issues_above(request, now):
                    self.stages.enter_queue(request, now)
            elif self.rest_passes(request, now) and self.issues_below(
                request, now, holds_worker=False
            ):
                self.stages.serve(request, now)

    def woken_event(self, now: int) -> None:
        """Let those go on whose cgroup has budget or a place in flight for them."""
        woken, self.woken = self.woken, []
        for request in woken:
            above = request.start_ns < 0
            place = request.device if above else BACKING_DEVICE
            cgroup = self.blkcg(request) if above else request.io_payer
            is_bio = above or self.setup.policy == Policy.PASS_THROUGH
            blocking = cgroup if request.waits_at < 0 else request.waits_at
            waited_ns = now - request.throttled_from_ns
            self.interference.add(
                request.issuer, blocking, Resource.THROTTLE, waited_ns, 1
            )
            if request.waits_at < 0:
                passed = self.iolatency.enter(
                    request, place, cgroup, now, is_bio=is_bio
                )
            else:
                passed = self.iolatency.resume(request, place, now, is_bio=is_bio)
            self.streams.delay(request.stream, self.iolatency.delay_ns)
            self.arm_others(now)
            if not passed:
                continue
            if above:
                self.stages.enter_queue(request, now)
                continue
            self.stages.serve(request, now)
            if request.holds_worker:
                self.stages.worker_of(request).busy_ns += now - request.start_ns
                self.stages.start(self.stages.next_command(request, now), now)

    # -- completion -------------------------------------------------------------

    def done(self, request: Request, now: int) -> None:
        """Tell the device's limits that a request is done."""
        if not self.iocost.devices and not self.iolatency.devices:
            return
        if self.stages.waits_above(request):
            cgroup = self.blkcg(request)
            self.iocost.done(request, request.device, cgroup, now)
            self.iolatency.done(request, request.device, cgroup, now, is_bio=True)
            wait_ns = request.dispatch_ns - request.tag_ns
            self.iocost.served(
                request, request.device, now - request.queued_ns, wait_ns
            )
        if self.stages.only_submits(request) and not is_outer(self.setup, request):
            is_bio = self.setup.policy == Policy.PASS_THROUGH
            cgroup = request.io_payer
            self.iocost.done(request, BACKING_DEVICE, cgroup, now)
            self.iolatency.done(request, BACKING_DEVICE, cgroup, now, is_bio=is_bio)
            took_ns = now - request.device_ns
            wait_ns = took_ns - request.service_ns if self.stages.device_is_on else 0
            self.iocost.served(request, BACKING_DEVICE, took_ns, wait_ns)
        self.arm_others(now)
