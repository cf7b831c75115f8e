"""Limits of memory, named and shown as the scenario has them."""

from collections.abc import Mapping
from typing import Any


def limit_name(cgroup: str) -> str:
    """Name the key of a limit that was met: the root's is the machine's memory."""
    return "machine.memory" if cgroup == "/" else f"memory.max of {cgroup}"


def limit_key(cgroup: str) -> str:
    """Name it as ``--set`` takes it."""
    return "machine.memory" if cgroup == "/" else f"{cgroup}/memory.max"


def limit_value(scenario: Mapping[str, Any], cgroup: str) -> str:
    """Return a limit as the scenario of ``run.json`` has it; "" if it has none."""
    if cgroup == "/":
        machine = scenario.get("machine")
        return str(machine.get("memory", "")) if isinstance(machine, dict) else ""
    cgroups = scenario.get("cgroups")
    found = cgroups.get(cgroup) if isinstance(cgroups, dict) else None
    return str(found.get("memory.max", "")) if isinstance(found, dict) else ""
