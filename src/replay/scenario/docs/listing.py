"""The keys of a scenario, listed for a person: ``replay keys``."""

import json
from collections.abc import Iterator

from replay.scenario.docs.kernels import rule_lines
from replay.scenario.keys.table import (
    ASSIGN_KEYS,
    CGROUP_KEYS,
    SECTION_KEYS,
    TASK_KEYS,
    Key,
)


def key_lines(pattern: str = "") -> Iterator[str]:
    """Describe the keys of a scenario, one after the other.

    Parameters
    ----------
    pattern : str
        Only keys in whose path or meaning this stands, in any case.

    Yields
    ------
    str
        A line with path and default, then one with what it means.
    """
    groups = (
        ("", SECTION_KEYS),
        ("assign[].", ASSIGN_KEYS),
        ('cgroups."/PATH".', CGROUP_KEYS),
        ('cgroups."/PATH".tasks[].', TASK_KEYS),
    )
    for prefix, keys in groups:
        for name, key in keys.items():
            path = prefix + name
            if pattern.lower() in f"{path} {key.text}".lower():
                default = key.default_text
                if key.default is not None:
                    default = json.dumps(key.default)
                yield f"{path}  [default: {default}]"
                yield f"    {meaning(key)}"
                if pattern and path == "driver.kernel":
                    yield from rule_lines()


def meaning(key: Key) -> str:
    """Say in a line what a key means and which values it takes.

    Parameters
    ----------
    key : Key

    Returns
    -------
    str
    """
    text = key.text.replace(": see [policies.md](policies.md)", "")
    text = text.replace(": [kernels.md](kernels.md) says which differ", "")
    values = key.kind.text.replace("`", "")
    unit = f", {key.unit}" if key.unit and key.unit not in values else ""
    return f"{text} ({values}{unit})"
