"""Check that cgroups' keys of the command line name what is there."""

from collections.abc import Sequence
from typing import Final

from replay.common.errors import ScenarioError
from replay.scenario.bind import Binding
from replay.scenario.keys.given import overridden_cgroup, overridden_devices
from replay.scenario.notes.effects import ABSENT
from replay.scenario.setup.devices import place_of
from replay.trace.file.schema import device_text

#: Cgroups that are named where a user may have mistyped one.
SOME: Final = 8


def check_overrides(
    overrides: Sequence[str], binding: Binding, *, option: str = "--set"
) -> None:
    """Refuse what names a cgroup that does nothing here, or a device that is not.

    In a file it is a note: one scenario may be for many traces.

    Parameters
    ----------
    overrides : sequence of str
        ``KEY=VALUE``.
    binding : Binding
        The scenario with them, bound to the trace.
    option : str
        Where they were given.

    Raises
    ------
    ScenarioError
        No request of the trace belongs to the cgroup or below it, or a device is
        neither replayed nor ``backing.device``.
    """
    # of devices that are replayed as one the note says which to name
    devices = [] if binding.one_device else binding.setup.devices.tolist()
    for argument in overrides:
        if (path := overridden_cgroup(argument)) in binding.idle:
            there = [name for name in binding.cgroup_names if name not in binding.idle]
            some = ", ".join(there[:SOME]) + (", ..." if len(there) > SOME else "")
            raise ScenarioError(
                f"{option} {argument}: {path}: {binding.idle[path]} (there are {some})"
            )
        for device in overridden_devices(argument) if devices else ():
            if place_of(binding.scenario, devices, device) is None:
                name = device_text(device)
                some = ", ".join(binding.device_names[:SOME])
                raise ScenarioError(
                    f"{option} {argument}: {name} is not there: {ABSENT} "
                    f"(replayed: {some})"
                )
