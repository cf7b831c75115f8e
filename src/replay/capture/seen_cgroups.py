"""Cgroups while a recording runs, and what is saved of them."""

import platform
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Self

from replay.capture.cgroup_events import CgroupEvents
from replay.capture.host import machine_facts
from replay.capture.machine import IoTree, Machine
from replay.capture.saved import (
    BEGIN,
    END,
    IDS,
    MACHINE,
    MOVES,
    SCENARIO,
    save_tree,
    write_ids_file,
    write_new,
)
from replay.scenario.writing.cgroups import scenario_toml
from replay.scenario.writing.found_tree import COUNTERS, LIMITS, Tree, merged

#: Limits and counters of every cgroup are saved, and what delegates its controllers.
SAVED: Final = (*LIMITS, *COUNTERS, "cgroup.subtree_control", "cgroup.procs")
#: How often the tree is searched where the kernel does not tell of new cgroups.
_SEARCH_S: Final = 1.0


class SeenCgroups:
    """The tree while a recording runs: saved twice, and searched for what is new.

    A context manager: while it is open the kernel tells of every cgroup that is made;
    where it cannot, the tree is searched.

    Parameters
    ----------
    tree : IoTree
    machine : Machine
    devices : sequence of Path
        Those that are recorded.
    directory : Path

    Attributes
    ----------
    ids : dict of int to str
        Id and path of every cgroup that was seen.
    """

    def __init__(
        self, tree: IoTree, machine: Machine, devices: Sequence[Path], directory: Path
    ) -> None:
        self._tree = tree
        self._machine = machine
        self._devices = devices
        self._directory = directory
        self._events = CgroupEvents(machine.tracing(), tree.number)
        self._search_at = 0.0
        self._trees: dict[str, Tree] = {}
        self.ids: dict[int, str] = {}

    def __enter__(self) -> Self:
        """Let the kernel tell of cgroups."""
        self._events.__enter__()
        return self

    def __exit__(self, *_: Any) -> None:
        """Let it tell no more."""
        self._events.__exit__()

    def look(self) -> None:
        """Note what is new; a search of the tree only where the kernel cannot tell."""
        self._events.read()
        now = time.monotonic()
        if self._events.works or now < self._search_at:
            return
        self.ids |= self._tree.ids()
        # in a tree of very many cgroups, a tenth of the time at most
        took = time.monotonic() - now
        self._search_at = now + max(_SEARCH_S, 10 * took)

    def save(self, part: str) -> None:
        """Save all cgroups, with their counters, as ``begin`` or ``end``."""
        machine, place = self._machine, self._directory / part
        tree = self._tree.read(machine.proc, SAVED)
        self._trees[part] = tree
        self._events.read()
        # an id is never given twice; of a path's names the kernel's last is right
        self.ids |= self._tree.ids() | self._events.ids
        save_tree(tree, place)
        facts = machine_facts(self._devices, sys=machine.sys, proc=machine.proc)
        write_new(place / MACHINE, facts)
        # written at once: it is there even if there never is an end
        write_ids_file(self._directory / IDS, self.ids)

    def write_moves(self) -> None:
        """Write which process came into which cgroup when, if any did."""
        moves = self._events.moves
        lines = "".join(
            f"{one.time_ns} {one.pid} {one.cgroup} {one.comm}\n" for one in moves
        )
        if lines:
            write_new(self._directory / MOVES, lines)

    def write_scenario(self, head: Iterable[str]) -> None:
        """Write the cgroups of begin and end as a scenario, below some lines."""
        tree = merged(self._trees[BEGIN], self._trees[END])
        title = f"Cgroups of {platform.node() or 'this machine'} while it was recorded"
        text = scenario_toml(tree, title, head)
        write_new(self._directory / SCENARIO, text)
