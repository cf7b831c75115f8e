"""What must not matter does not: batches, a second run, the cgroups' numbers."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from replay.engine.columns import Columns
from replay.engine.raw import Raw
from replay.engine.setup import Setup
from support.engines import difference, run_engine
from support.strategies import runs

Run = tuple[Setup, Columns]

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


@given(runs())
def test_a_second_run_gives_the_same(run: Run) -> None:
    assert difference(run_engine(*run), run_engine(*run)) is None


@given(runs(), st.integers(1, 9))
def test_batches_do_not_matter(run: Run, batch_rows: int) -> None:
    assert difference(run_engine(*run), run_engine(*run, batch_rows)) is None


@st.composite
def renumberings(draw: st.DrawFn, /) -> tuple[Setup, Columns, NDArray[np.int64]]:
    """Return a run and a new number for each cgroup, parents still first."""
    setup, columns = draw(runs())
    n_cgroups = len(setup.parent)
    new = np.zeros(n_cgroups, np.int64)
    left = set(range(1, n_cgroups))
    for number in range(1, n_cgroups):
        ready = sorted(one for one in left if setup.parent[one] not in left)
        new[(chosen := draw(st.sampled_from(ready)))] = number
        left.remove(chosen)
    return setup, columns, new


def renumbered(
    setup: Setup, columns: Columns, new: NDArray[np.int64]
) -> tuple[Setup, Columns]:
    """Return the same run with other numbers for its cgroups."""
    old = np.argsort(new)
    parent = setup.parent[old]
    return (
        replace(
            setup,
            parent=np.where(parent < 0, -1, new[parent]).astype(np.int32),
            blkcg=new[setup.blkcg[old]].astype(np.uint32),
            memory_css=new[setup.memory_css[old]].astype(np.uint32),
            memory_max=setup.memory_max[old],
            memory_high=setup.memory_high[old],
            memory_min=setup.memory_min[old]
            if len(setup.memory_min)
            else setup.memory_min,
            memory_low=setup.memory_low[old]
            if len(setup.memory_low)
            else setup.memory_low,
            oom_group=setup.oom_group[old] if len(setup.oom_group) else setup.oom_group,
            bfq_weight=setup.bfq_weight[old]
            if len(setup.bfq_weight)
            else setup.bfq_weight,
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


@given(renumberings())
def test_other_numbers_for_the_cgroups_change_the_numbers_alone(
    case: tuple[Setup, Columns, NDArray[np.int64]],
) -> None:
    setup, columns, new = case
    wanted = renumbered_result(run_engine(setup, columns), new)
    found = run_engine(*renumbered(setup, columns, new))
    assert difference(wanted, found) is None


def longer(values: NDArray[Any]) -> NDArray[Any]:
    """Return a zero more for one cgroup more; tables that nobody needs are empty."""
    return np.append(values, np.zeros(min(1, len(values)), values.dtype))


@given(runs())
def test_cgroups_without_requests_limits_or_tasks_change_nothing(run: Run) -> None:
    # GIVEN a run, and the same with a cgroup more below the root
    setup, columns = run
    n_cgroups = len(setup.parent)
    wider = replace(
        setup,
        parent=np.append(setup.parent, np.int32(0)),
        blkcg=np.append(setup.blkcg, np.uint32(n_cgroups)),
        memory_css=np.append(setup.memory_css, np.uint32(n_cgroups)),
        memory_max=np.append(setup.memory_max, np.int64(-1)),
        memory_high=np.append(setup.memory_high, np.int64(-1)),
        memory_min=longer(setup.memory_min),
        memory_low=longer(setup.memory_low),
        oom_group=longer(setup.oom_group),
        bfq_weight=np.pad(
            setup.bfq_weight, (0, len(setup.bfq_weight) > 0), constant_values=100
        ),
        iocost_weight=np.pad(
            setup.iocost_weight, ((0, 0), (0, 1)), constant_values=100
        ),
        iolatency_target=np.pad(setup.iolatency_target, ((0, 0), (0, 1))),
    )
    raw, more = run_engine(setup, columns), run_engine(wider, columns)
    # THEN it has a row of zeros in memory, and all else is the same
    assert all(values[-1] == 0 for values in more["memory"].values())
    more["memory"] = {name: values[:-1] for name, values in more["memory"].items()}
    assert difference(raw, more) is None
