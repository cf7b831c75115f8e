"""Keys of plain disks that a scenario leaves open, filled in from the trace."""

from collections.abc import Iterator
from dataclasses import replace

from msgspec import structs

from replay.common.errors import ScenarioError
from replay.common.text import count_text, time_text
from replay.runner.identify import IdentifiedDisk, identify
from replay.scenario.bind import Binding
from replay.scenario.keys.load import Scenario
from replay.scenario.keys.values import DiskValues
from replay.scenario.setup.disk import (
    SCHEDULERS,
    completed,
    disk_fields,
    is_complete,
)
from replay.trace.rows import Rows


def with_disks(binding: Binding, trace: Rows) -> Binding:
    """Return a binding whose setup has its plain disks.

    Parameters
    ----------
    binding : Binding
    trace : Rows
        Read once more, if anything is left to be identified.

    Returns
    -------
    Binding
        With what was identified in its scenario, if it is one disk, and in a note.

    Raises
    ------
    ScenarioError
        Too few requests of a disk completed.
    """
    given = _as_recorded(binding.scenario)
    devices = [int(device) for device in binding.setup.devices]
    wanted = [
        device
        for device, is_disk in zip(devices, binding.disks, strict=True)
        if is_disk
    ]
    found: dict[int, IdentifiedDisk | None] = {}
    if not is_complete(given):
        found = dict(zip(wanted, identify(trace.batches(), wanted), strict=True))
    disks: list[DiskValues | None] = []
    notes: list[str] = []
    for device, name in zip(devices, binding.device_names, strict=True):
        if device not in wanted:
            disks.append(None)
            continue
        one = found.get(device)
        if device in found and one is None:
            raise ScenarioError(
                f"{trace.path}: too few requests of {name} completed to say what a "
                "request takes there: give [disk], or service.model = recorded"
            )
        disks.append(given if one is None else completed(given, one))
        if one is not None:
            notes.append(note_of(one, name, disks[-1]))
        notes += _queue_notes(binding.scenario, name)
    scenario = binding.scenario
    if len(disks) == 1 and disks[0] is not None:
        scenario = replace(scenario, disk=disks[0])
    return structs.replace(
        binding,
        setup=structs.replace(binding.setup, **disk_fields(disks)),
        scenario=scenario,
        notes=[*binding.notes, *notes],
    )


def _as_recorded(scenario: Scenario) -> DiskValues:
    """Return what is given of plain disks, with the recorded scheduler if none is."""
    disk, recorded = scenario.disk, scenario.trace.scheduler
    if disk.scheduler is None and recorded in SCHEDULERS:
        return structs.replace(disk, scheduler=recorded)
    return disk


def _queue_notes(scenario: Scenario, name: str) -> Iterator[str]:
    """Say what held requests back in the recording and is not replayed."""
    if scenario.trace.scheduler == "kyber" and scenario.disk.scheduler is None:
        yield (
            f"{name} had the scheduler kyber when it was recorded, which is not "
            "replayed: requests go by the order that was seen; disk.scheduler names "
            "another one"
        )
    if scenario.trace.wbt:
        yield (
            f"{name}: write-back throttling was on when it was recorded "
            "(queue/wbt_lat_usec), which is not replayed: what the page cache writes "
            "may wait longer than here while reads are slow"
        )
    elif scenario.trace.wbt is None:
        yield (
            f"{name}: whether write-back throttling was on is not told (trace.wbt); it "
            "is not replayed: it would hold what the page cache writes, no direct I/O"
        )


def note_of(disk: IdentifiedDisk, name: str, values: DiskValues | None = None) -> str:
    """Say in one line what a disk was taken for, and how surely."""
    ring = "was never full"
    if disk.descriptors:
        ring = (
            f"a ring of {disk.descriptors} descriptors ({disk.agree:.0%} of "
            f"{count_text(disk.n_refused, 'refusal')} agree)"
        )
    order = {0: "first come, first served", 1: "mq-deadline"}[disk.scheduler]
    if values is not None and values.scheduler not in (None, "none"):
        order = str(values.scheduler)
    return (
        f"{name} is replayed as a place where one waits, identified from "
        f"{count_text(disk.n_requests, 'request')}: {order}, {ring}, "
        f"{time_text(disk.delay_ns)} for each request besides what its pipe takes, "
        f"which explains {disk.explained:.0%} of the busy time"
    )
