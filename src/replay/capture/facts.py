"""What a recording's directory says of itself, as facts that a replay begins with.

Limits that held are given as ``recorded.memory.max`` and so on: they explain recorded
waits and are not applied again. Everything can be replaced by a scenario.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from replay.capture.saved import BEGIN, END, MACHINE, SCENARIO, read_saved, recording_of
from replay.common.bounded import SMALL_BYTES, read_bounded
from replay.scenario.keys.paths import check_path
from replay.scenario.keys.table import SECTION_KEYS
from replay.scenario.writing.cgroups import machine_toml, scenario_toml
from replay.scenario.writing.found_loops import Loop
from replay.scenario.writing.found_tree import Tree, merged

#: Limits whose effect lies in the recorded times.
_LIMITS: Final = ("memory.max", "memory.high", "io.max")
_Known = TypeVar("_Known", str, int)
#: Sections of what `record` wrote that are facts of the machine.
_SECTIONS: Final = ("trace", "driver", "backing")


def recorded_facts(inputs: object) -> dict[str, Any]:
    """Find what was saved beside a trace, in the form of a scenario.

    Parameters
    ----------
    inputs : object
        What `replay.run` is given as a trace: only a path, or a list of one, to a
        directory of `replay record`, or to a file or base name in one, says more.

    Returns
    -------
    dict
        Empty if there is nothing.

    Raises
    ------
    CaptureError
        A file there is not what it should be.
    """
    place = _place(inputs)
    if place is None or not any((place / part).is_dir() for part in (BEGIN, END)):
        return {}
    machine = _toml(place / BEGIN / MACHINE, place)
    facts = _of_loops(machine) if machine else _of_scenario(place)
    # a version is told of by the trace itself
    for section in ("trace", "driver"):
        facts.get(section, {}).pop("kernel", None)
    settings = _of_machine(machine)
    if settings:
        facts["machine"] = settings
    if reclaim := _of_reclaim(machine):
        facts["backing"] = {**facts.get("backing", {}), "reclaim": reclaim}
    if queue := _of_queues(machine):
        facts["trace"] = {**facts.get("trace", {}), **queue}
    begin, end = (read_saved(place / part) for part in (BEGIN, END))
    facts["cgroups"] = _of_cgroups(merged(begin, end))
    return {name: table for name, table in facts.items() if table}


def _parsed(text: str) -> dict[str, Any]:
    """Read TOML."""
    # most runs read none
    import tomllib

    return tomllib.loads(text)


def _place(inputs: object) -> Path | None:
    """Return the directory that the only input is, or lies in."""
    if isinstance(inputs, (str, os.PathLike)):
        path = Path(inputs)
    elif isinstance(inputs, Sequence) and len(inputs) == 1:
        path = Path(inputs[0])
    else:
        return None
    return recording_of(path)


def _toml(path: Path, within: Path) -> dict[str, Any]:
    """Read a file that `record` wrote; empty if it is not there, or not understood."""
    try:
        text = read_bounded(path, SMALL_BYTES, within=within).decode("utf-8")
        return _parsed(text)
    except (OSError, ValueError, RecursionError):
        return {}


def _of_loops(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the loop devices that were recorded have in common."""
    loops = [
        Loop(
            name=name,
            file=str(one.get("file", "")),
            direct_io=one.get("direct_io") == 1,
            filesystem=_known(one.get("filesystem"), str),
            device=_known(one.get("device"), str),
            size=_known(one.get("size"), int),
        )
        for name, one in _table(machine, "loops").items()
        if isinstance(one, Mapping)
    ]
    lines = machine_toml(loops, str(machine.get("kernel", "")))
    return _parsed("\n".join(lines))


def _of_scenario(place: Path) -> dict[str, Any]:
    """Return the machine's sections of ``scenario.toml``, of older recordings."""
    found = _toml(place / SCENARIO, place)
    return {name: dict(_table(found, name)) for name in _SECTIONS if name in found}


def _of_machine(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the machine's settings that a scenario has keys for."""
    given = {"hz": machine.get("hz"), "cpus": machine.get("cpus")}
    given |= _table(machine, "dirty")
    settings = {}
    for name, value in given.items():
        key = SECTION_KEYS.get(f"machine.{name}")
        if key is None or value is None:
            continue
        try:
            key.kind.parse(value)
        except ValueError:
            # of a machine beyond what the model takes
            continue
        settings[name] = value
    return settings


def _of_reclaim(machine: Mapping[str, Any]) -> str:
    """Return how page cache is reclaimed; empty if that is not known.

    Source: Documentation/admin-guide/mm/multigen_lru.rst, v6.12: the lowest bit of
    ``lru_gen/enabled``. A kernel that was built without has no such file.
    """
    enabled = _table(machine, "mm").get("lru_gen/enabled")
    try:
        return "mglru" if int(str(enabled), 16) & 1 else "classic"
    except ValueError:
        return ""


def _of_queues(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the disks' queues have in common that times depend on."""
    queues = [
        (_chosen(one.get("scheduler")), one.get("wbt_lat_usec"))
        for name, one in _table(machine, "disks").items()
        if isinstance(one, Mapping) and not name.startswith("loop")
    ]
    found: dict[str, Any] = {}
    schedulers = {scheduler for scheduler, _ in queues}
    if len(schedulers) == 1:
        (scheduler,) = schedulers
        try:
            SECTION_KEYS["trace.scheduler"].kind.parse(scheduler)
            found["scheduler"] = scheduler
        except ValueError:
            # none is told, or one that is not known here
            pass
    # the file is there where the kernel has it, 0 where it is off
    told = {bool(usec) for _, usec in queues if isinstance(usec, int)}
    if len(told) == 1:
        found["wbt"] = told.pop()
    return found


def _chosen(schedulers: object) -> str | None:
    """Return the one in brackets: ``none [mq-deadline] kyber``."""
    words = schedulers.split() if isinstance(schedulers, str) else []
    return next((one[1:-1] for one in words if one[:1] == "["), None)


def _of_cgroups(tree: Tree) -> dict[str, Any]:
    """Return each cgroup's controllers, and the limits that held."""
    cgroups: dict[str, dict[str, Any]] = {}
    text = scenario_toml(tree, "") if tree else ""
    for path, given in _parsed(text).get("cgroups", {}).items():
        try:
            check_path(path)
        except ValueError:
            # a name with a line break in it, for example
            continue
        flat = dict(_flat(given))
        kept = {f"recorded.{name}": flat[name] for name in _LIMITS if name in flat}
        if "controllers" in flat:
            kept["controllers"] = flat["controllers"]
        cgroups[path] = kept
    return cgroups


def _flat(table: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Give nested tables the dotted names of their values."""
    found = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{above}{name}.")
        else:
            found.append((above + name, value))
    return found


def _known(value: object, kind: type[_Known]) -> _Known | None:
    return value if isinstance(value, kind) else None


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}
