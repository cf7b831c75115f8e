"""Runs that must give what another one gave, whatever the rules are.

Each function makes such a run of a run; `tests/property` and `tests/fuzz` compare.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from replay.engine.columns import Columns
from replay.engine.raw import Raw
from replay.engine.setup import Setup

#: Columns that hold a cgroup, by table.
CGROUP_COLUMNS = {
    "io": ("cgroup",),
    "backing_io": ("cgroup",),
    "cost": ("cgroup",),
    "charges": ("issuer", "payer"),
    "latency": ("cgroup",),
    "histograms": ("cgroup",),
    "interference": ("waiting", "blocking"),
    "workers": ("cgroup",),
    "kills": ("limit_cgroup", "victim_cgroup"),
    "errors": ("cgroup",),
    "timeline": ("cgroup",),
    "requests": ("issuer", "payer"),
}
#: How many leading columns tell the rows apart and order them.
KEYS = {
    "io": 2,
    "backing_io": 1,
    "cost": 2,
    "charges": 3,
    "latency": 4,
    "histograms": 5,
    "interference": 3,
    "errors": 2,
    "timeline": 2,
}


def renumbering(
    setup: Setup, choose: Callable[[Sequence[int]], int]
) -> NDArray[np.int64]:
    """Return a new number for each cgroup, parents still first."""
    n_cgroups = len(setup.parent)
    new = np.zeros(n_cgroups, np.int64)
    left = set(range(1, n_cgroups))
    for number in range(1, n_cgroups):
        ready = sorted(one for one in left if setup.parent[one] not in left)
        new[(chosen := choose(ready))] = number
        left.remove(chosen)
    return new


def renumbered(
    setup: Setup, columns: Columns, new: NDArray[np.int64]
) -> tuple[Setup, Columns]:
    """Return the same run with other numbers for its cgroups."""
    old = np.argsort(new)
    parent = setup.parent[old]

    def moved(values: NDArray[Any]) -> NDArray[Any]:
        return values[old] if len(values) else values

    return (
        replace(
            setup,
            parent=np.where(parent < 0, -1, new[parent]).astype(np.int32),
            blkcg=new[setup.blkcg[old]].astype(np.uint32),
            memory_css=new[setup.memory_css[old]].astype(np.uint32),
            memory_max=setup.memory_max[old],
            memory_high=setup.memory_high[old],
            memory_min=moved(setup.memory_min),
            memory_low=moved(setup.memory_low),
            oom_group=moved(setup.oom_group),
            bfq_weight=moved(setup.bfq_weight),
            iocost_weight=np.ascontiguousarray(setup.iocost_weight[:, old]),
            iolatency_target=np.ascontiguousarray(setup.iolatency_target[:, old]),
            instance_cgroup=new[setup.instance_cgroup].astype(np.uint32),
            iomax_cgroup=new[setup.iomax_cgroup].astype(np.uint32),
            task_cgroup=new[setup.task_cgroup].astype(np.uint32),
            laid_out_by=-1 if setup.laid_out_by < 0 else int(new[setup.laid_out_by]),
        ),
        replace(
            columns,
            issuer=new[columns.issuer].astype(np.uint32),
            recorded=new[columns.recorded].astype(np.uint32),
        ),
    )


def renumbered_result(raw: Raw, new: NDArray[np.int64]) -> Raw:
    """Return a result with other numbers for its cgroups, rows in their order."""
    found: Raw = {}
    for table, columns in raw.items():
        named = dict(columns)
        for name in CGROUP_COLUMNS.get(table, ()):
            named[name] = new[columns[name].astype(np.int64)].astype(np.uint32)
        order = np.arange(len(next(iter(named.values()))))
        if table == "memory":
            order = np.argsort(new)
        elif table in KEYS:
            keys = list(named.values())[: KEYS[table]]
            order = np.lexsort(keys[::-1])
        found[table] = {name: values[order] for name, values in named.items()}
    return found


def with_idle_cgroup(setup: Setup) -> Setup:
    """Return a setup with a cgroup more below the root, which does nothing."""
    n_cgroups = len(setup.parent)
    return replace(
        setup,
        parent=np.append(setup.parent, np.int32(0)),
        blkcg=np.append(setup.blkcg, np.uint32(n_cgroups)),
        memory_css=np.append(setup.memory_css, np.uint32(n_cgroups)),
        memory_max=np.append(setup.memory_max, np.int64(-1)),
        memory_high=np.append(setup.memory_high, np.int64(-1)),
        memory_min=_longer(setup.memory_min),
        memory_low=_longer(setup.memory_low),
        oom_group=_longer(setup.oom_group),
        bfq_weight=np.pad(
            setup.bfq_weight, (0, len(setup.bfq_weight) > 0), constant_values=100
        ),
        iocost_weight=np.pad(
            setup.iocost_weight, ((0, 0), (0, 1)), constant_values=100
        ),
        iolatency_target=np.pad(setup.iolatency_target, ((0, 0), (0, 1))),
    )


def without_idle_cgroup(raw: Raw) -> Raw:
    """Return a result without the row of zeros that the last cgroup has in memory."""
    memory = raw["memory"]
    assert all(values[-1] == 0 for values in memory.values())
    return {**raw, "memory": {name: values[:-1] for name, values in memory.items()}}


def _longer(values: NDArray[Any]) -> NDArray[Any]:
    """Return a zero more for one cgroup more; tables that nobody needs are empty."""
    return np.append(values, np.zeros(min(1, len(values)), values.dtype))
