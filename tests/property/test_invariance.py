"""What must not matter does not: batches, a second run, the cgroups' numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from replay.engine.columns import Columns
from replay.engine.setup import Setup
from support.engines import difference, run_engine
from support.relations import (
    renumbered,
    renumbered_result,
    renumbering,
    with_idle_cgroup,
    without_idle_cgroup,
)
from support.strategies import runs

Run = tuple[Setup, Columns]


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
    new = renumbering(setup, lambda ready: draw(st.sampled_from(ready)))
    return setup, columns, new


@given(renumberings())
def test_other_numbers_for_the_cgroups_change_the_numbers_alone(
    case: tuple[Setup, Columns, NDArray[np.int64]],
) -> None:
    setup, columns, new = case
    wanted = renumbered_result(run_engine(setup, columns), new)
    found = run_engine(*renumbered(setup, columns, new))
    assert difference(wanted, found) is None


@given(runs())
def test_cgroups_without_requests_limits_or_tasks_change_nothing(run: Run) -> None:
    # GIVEN a run, and the same with a cgroup more below the root
    setup, columns = run
    raw = run_engine(setup, columns)
    more = run_engine(with_idle_cgroup(setup), columns)
    # THEN it has a row of zeros in memory, and all else is the same
    assert difference(raw, without_idle_cgroup(more)) is None
