"""What to tell who reads the results: estimates, and what is not modelled."""

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from replay.scenario.assign import AssignRule
from replay.scenario.kernel import is_loop
from replay.scenario.keys import CGROUP_KEYS, SECTION_KEYS, Key
from replay.scenario.load import Scenario, key_value
from replay.scenario.processes import ProcessTable
from replay.scenario.sizes import format_size
from replay.scenario.tree import Tree
from replay.trace.metadata import Summary

WITHOUT = "is not modelled yet: replayed without it"


def scenario_notes(scenario: Scenario) -> list[str]:
    """Note what the sections ask for and the engine does not do.

    Parameters
    ----------
    scenario : Scenario
        With what the trace decides filled in.

    Returns
    -------
    list of str
    """
    driver, backing = scenario.driver, scenario.backing
    notes = [
        f"{name} = {_text(key, key_value(scenario, name))} {WITHOUT}"
        for name, key in SECTION_KEYS.items()
        if not key.modelled and key_value(scenario, name) != key.default_value()
    ]
    loops = {is_loop(device) for device in scenario.trace.devices or ()}
    if len(loops) == 2:
        notes.append(
            "trace.devices names loop devices and others: all are replayed as loop "
            "devices of one driver.direct_io and one backing.filesystem"
        )
    if scenario.arrivals.event == "queue":
        notes.append(
            "arrivals.event = queue: an estimate, requests keep their recorded merges"
        )
    if driver.kernel.is_uncertain:
        notes.append(
            f"driver.kernel {driver.kernel}: not known to carry the change of 6.15, "
            "taken as without it (EIO for every failed write, a lock for each page)"
        )
    if backing.filesystem != "tmpfs":
        if not driver.direct_io:
            notes.append(
                f"backing.filesystem = {backing.filesystem}: the page cache is not "
                "modelled yet, no memory is charged"
            )
        if backing.size is not None:
            size = format_size(backing.size)
            notes.append(f"backing.size = {size} {WITHOUT} on {backing.filesystem}")
    elif driver.kernel.charges_hole_reads:
        notes.append(
            f"driver.kernel {driver.kernel}: before 5.18 reading a hole charged its "
            "pages; this is not modelled yet"
        )
    return notes


def cgroup_notes(scenario: Scenario) -> list[str]:
    """Note the interface files whose effect is not modelled."""
    return [
        f"{cgroup.path}: {name} = {_text(key, key_value(cgroup, name))} {WITHOUT}"
        for cgroup in scenario.cgroups
        for name, key in CGROUP_KEYS.items()
        if not key.modelled and key_value(cgroup, name) != key.default_value()
    ]


def _text(key: Key, value: object) -> str:
    """Write a value as it would stand in the file."""
    shown = key.kind.show(value)
    if isinstance(shown, Mapping):
        return ", ".join(f"{device} {text}" for device, text in shown.items())
    return str(shown)


def trace_notes(
    scenario: Scenario,
    tree: Tree,
    summary: Summary,
    dense: Mapping[int, int],
    assigns: Sequence[AssignRule],
    processes: ProcessTable,
) -> list[str]:
    """Note what the scenario says and the trace has nothing of.

    Parameters
    ----------
    scenario : Scenario
    tree : Tree
    summary : Summary
    dense : mapping of int to int
        Dense cgroup of each id.
    assigns : sequence of AssignRule
        Compiled ``scenario.assign``.
    processes : ProcessTable

    Returns
    -------
    list of str
    """
    ids = {cgroup.id for cgroup in summary.cgroups if cgroup.n_requests}
    notes = []
    if ids <= {0} and summary.n_rows and not assigns:
        notes.append(
            "no request carries a cgroup id: all are the root's; record with the "
            "blk_cgroup option on, or name their cgroups by [[assign]]"
        )
    traced = {process.pid for process in summary.processes}
    names = {name for names in processes.pid_names for name in names}
    devices = {device.device for device in summary.devices}
    for position, rule in enumerate(assigns):
        if (
            rule.volume is not None
            or (rule.pid is not None and rule.pid not in traced)
            or (rule.device is not None and rule.device not in devices)
            or (
                rule.comm is not None
                and not any(fnmatchcase(name, rule.comm) for name in names | {""})
            )
        ):
            notes.append(f"assign[{position}] matches no request of the trace")
    used = np.zeros(len(tree.names), dtype=np.bool_)
    used[[dense[id_] for id_ in ids]] = True
    used[[rule.cgroup for rule in assigns]] = True
    busy = tree.above(used.tolist())
    near = [tree.names[cgroup] for cgroup in np.flatnonzero(used)]
    for cgroup in scenario.cgroups:
        if not busy[tree.index[cgroup.path]]:
            meant = difflib.get_close_matches(cgroup.path, near, 1, 0.7)
            notes.append(
                f"{cgroup.path}: no request of the trace belongs to it or below it"
                + (f"; did you mean {meant[0]}?" if meant else "")
            )
    return notes
