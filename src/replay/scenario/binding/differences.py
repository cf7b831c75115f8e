"""Settings of a replay that could make a request slower than it was recorded.

Where there is nothing, requests come when they did; else each process waits for its
own.
"""

from collections.abc import Collection, Iterator

from replay.scenario.keys.kernel_rules import REQUEST_AT_ONCE
from replay.scenario.keys.load import Scenario
from replay.scenario.keys.policies import ONE_QUEUE
from replay.scenario.keys.values import CgroupValues, DeviceLines, limits_by_device


def slower_by(scenario: Scenario, devices: Collection[int]) -> list[str]:
    """Say what differs from the recording and could slow a request.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.
    devices : collection of int
        Those that are replayed, ``major << 20 | minor``.

    Returns
    -------
    list of str
        Keys, as a user would write them; empty: nothing.
    """
    found = list(_driver(scenario))
    if scenario.service.model in ("linear", "device"):
        found.append(f"service.model = {scenario.service.model}")
    if scenario.machine.memory is not None and _charges(scenario):
        found.append("machine.memory")
    for cgroup in scenario.cgroups:
        found += [
            name if cgroup.path == "/" else f"{cgroup.path}/{name}"
            for name in _limits(scenario, devices, cgroup)
        ]
    return found


def _charges(scenario: Scenario) -> bool:
    """Return True if requests touch pages in the model."""
    return not scenario.driver.direct_io


def _driver(scenario: Scenario) -> Iterator[str]:
    """Name what is another driver, where that is a matter of time.

    With direct I/O a worker only submits: whose it is makes no difference.
    """
    driver, trace = scenario.driver, scenario.trace
    if driver.direct_io and trace.direct_io:
        return
    if driver.direct_io != trace.direct_io:
        yield f"driver.direct_io = {str(driver.direct_io).lower()}"
    policy = str(driver.policy)
    if _queues(policy) != _queues(str(trace.policy)):
        yield f"driver.policy = {policy}"
    elif _queues(policy) == "per-cgroup" and (
        driver.alloc_fail.probability or driver.alloc_fail.requests
    ):
        yield "driver.alloc_fail"
    assert driver.kernel is not None
    assert trace.kernel is not None
    if REQUEST_AT_ONCE.holds(driver.kernel) != REQUEST_AT_ONCE.holds(trace.kernel):
        yield f"driver.kernel = {driver.kernel}"


def _queues(policy: str) -> str:
    """Return who waits for whom: policies under which it is the same are one."""
    if policy in ONE_QUEUE:
        return "one queue"
    return "per-cgroup" if policy == "enospc" else policy


def _limits(
    scenario: Scenario, devices: Collection[int], cgroup: CgroupValues
) -> Iterator[str]:
    """Name a cgroup's limits that were not there, or not the same, in the recording."""
    if _charges(scenario):
        if cgroup.memory_max not in (None, cgroup.recorded_memory_max):
            yield "memory.max"
        if cgroup.memory_high not in (None, cgroup.recorded_memory_high):
            yield "memory.high"
    acting = {scenario.backing.device, scenario.backing.loop}
    if scenario.arrivals.event == "queue":
        acting |= set(devices)
    recorded = limits_by_device(cgroup.recorded_io_max)

    def acts(lines: DeviceLines) -> bool:
        return any(
            device in acting and limits != recorded.get(device)
            for device, limits in limits_by_device(lines).items()
        )

    if acts(cgroup.io_max):
        yield "io.max"
    if acts(cgroup.io_latency):
        yield "io.latency"
    if any(
        device in acting and dict(pairs).get("enable") == "1"
        for device, pairs in cgroup.io_cost_qos
    ):
        yield "io.cost.qos"
