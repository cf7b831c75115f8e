"""Keys of plain disks that a scenario leaves open, filled in from the trace."""

from dataclasses import replace

from msgspec import structs

from replay.common.errors import ScenarioError
from replay.common.text import count_text, time_text
from replay.runner.identify import IdentifiedDisk, identify
from replay.scenario.bind import Binding
from replay.scenario.keys.values import DiskValues
from replay.scenario.setup.disk import completed, disk_fields, is_complete
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
    given = binding.scenario.disk
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
    scenario = binding.scenario
    if len(disks) == 1 and disks[0] is not None:
        scenario = replace(scenario, disk=disks[0])
    return structs.replace(
        binding,
        setup=structs.replace(binding.setup, **disk_fields(disks)),
        scenario=scenario,
        notes=[*binding.notes, *notes],
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
