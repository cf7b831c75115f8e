"""What a machine can record and show, and what it lacks for it."""

import importlib.util
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from replay.capture.machine import BLKTRACE, BPF, KERNEL, RECORDERS, Machine
from replay.common.errors import ReplayError
from replay.common.version import VERSION
from replay.scenario.keys.kernel import kernel_in
from replay.scenario.keys.kernel_rules import policy_of

_COMMANDS: Final = {
    KERNEL: "replay record",
    BLKTRACE: "replay record --with blktrace",
    BPF: "replay record --with bpf",
}
#: Libraries that not everybody installs: their module, what for, the extra.
_EXTRAS: Final = (
    ("vl_convert", "pages and pictures", "plots"),
    ("distributed", "replay batch --cluster", "cluster"),
)
_LIBRARIES: Final = ("pyarrow", "numpy", "click", "msgspec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """Something that can be done here, or not.

    Attributes
    ----------
    name : str
        The command, or what a library is for.
    missing : tuple of str
        What is missing and what to do, a line each; empty: it can be done.
    """

    name: str
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was found of a machine.

    Attributes
    ----------
    versions : dict of str to str
        Of replay, Python, libraries and the kernel (``linux``).
    recording : tuple of Ability
        Of each way to record.
    devices : tuple of str
        Block devices that hold something.
    doubts : tuple of str
        What makes a recording say less than it could.
    extras : tuple of Ability
        Of libraries that are optional.
    rules : str
        Whose rules a recording of this machine is replayed by.
    """

    versions: dict[str, str]
    recording: tuple[Ability, ...]
    devices: tuple[str, ...]
    doubts: tuple[str, ...]
    extras: tuple[Ability, ...]
    rules: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)


def examine(machine: Machine | None = None) -> Examination:
    """Find out what this machine can record and show.

    Parameters
    ----------
    machine : Machine or None
        Where things are; None is where they always are.

    Returns
    -------
    Examination
        Nothing is changed and nothing is recorded for it.
    """
    machine = machine or Machine()
    release = platform.release()
    return Examination(
        versions={
            "replay": VERSION,
            "python": platform.python_version(),
            **{name: _version(name) for name in _LIBRARIES},
            "linux": release,
        },
        recording=tuple(
            Ability(name=_COMMANDS[how], missing=tuple(machine.missing((), how)))
            for how in RECORDERS
        ),
        devices=tuple(_devices(machine)),
        doubts=tuple(machine.doubts_of_ids()),
        extras=tuple(
            Ability(name=what, missing=_lacks(module, extra))
            for module, what, extra in _EXTRAS
        ),
        rules=_rules(release),
    )


def _devices(machine: Machine) -> list[str]:
    """Name the disks that are not empty."""
    found = []
    for place in sorted((machine.sys / "block").glob("*")):
        try:
            n_sectors = int((place / "size").read_text("ascii"))
        except (OSError, ValueError):
            continue
        if n_sectors:
            found.append(place.name)
    return found


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _lacks(module: str, extra: str) -> tuple[str, ...]:
    if importlib.util.find_spec(module) is not None:
        return ()
    return (f"{module} is not installed: pip install 'cgroup-replay[{extra}]'",)


def _rules(release: str) -> str:
    """Say whose rules hold for a recording of this kernel."""
    try:
        kernel = kernel_in(release)
    except ReplayError as error:
        return str(error)
    if kernel is None:
        return f"{release} names no version: give trace.kernel"
    return f"of Linux {kernel}, driver policy {policy_of(kernel)}"
