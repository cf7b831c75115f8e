"""A timeline is the totals, told apart by when."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from replay.engine.columns import Columns
from replay.engine.raw import IO_COLUMNS, TIMELINE_CELLS, Raw
from replay.engine.setup import PAGE_BYTES, Setup, Stage
from support.engines import difference, run_engine
from support.strategies import runs

Run = tuple[Setup, Columns]

STAGES = {f"{stage.name.lower()}_ns": stage for stage in Stage}
PAID = (*IO_COLUMNS, "charged_bytes", "uncharged_bytes", "refused_bytes")
EVENTS = ("high", "max", "oom", "oom_kill")


def by_cgroup(raw: Raw, table: str, key: str, value: str) -> dict[int, int]:
    """Sum a column by a cgroup's column."""
    found: Counter[int] = Counter()
    columns = raw[table]
    for cgroup, number in zip(
        columns[key].tolist(), columns[value].tolist(), strict=True
    ):
        found[cgroup] += number
    return {cgroup: number for cgroup, number in found.items() if number}


def chosen(raw: Raw, stage: Stage) -> Raw:
    """Return the latencies of one stage alone."""
    rows = raw["latency"]["stage"] == stage
    return {"latency": {name: one[rows] for name, one in raw["latency"].items()}}


@given(runs(), st.sampled_from([1, 50, 1000, 10**9, 10**12]))
def test_intervals_sum_to_the_totals(run: Run, interval_ns: int) -> None:
    # GIVEN any run with a timeline
    setup, columns = run
    raw = run_engine(replace(setup, interval_ns=interval_ns), columns)
    # THEN the payers' intervals sum to the charges
    for name in PAID:
        wanted = by_cgroup(raw, "charges", "payer", name)
        assert by_cgroup(raw, "timeline", "cgroup", name) == wanted
    # AND the issuers' to the latencies, the blockers' to the interference
    for name, stage in STAGES.items():
        wanted = by_cgroup(chosen(raw, stage), "latency", "cgroup", "sum_ns")
        assert by_cgroup(raw, "timeline", "cgroup", name) == wanted
    wanted = by_cgroup(chosen(raw, Stage.TOTAL), "latency", "cgroup", "count")
    assert by_cgroup(raw, "timeline", "cgroup", "requests") == wanted
    wanted = by_cgroup(raw, "interference", "blocking", "wait_ns")
    # those that a shared lock does not tell apart have no cells
    wanted.pop(len(setup.parent), None)
    assert by_cgroup(raw, "timeline", "cgroup", "blocked_ns") == wanted
    # AND the events to the memory's, whose `current` is what was used last
    used = [0] * len(setup.parent)
    for cgroup, usage in zip(
        raw["timeline"]["cgroup"].tolist(),
        raw["timeline"]["usage_bytes"].tolist(),
        strict=True,
    ):
        used[cgroup] = usage
    assert used == (raw["memory"]["current"] * PAGE_BYTES).tolist()
    for name in EVENTS:
        sums = by_cgroup(raw, "timeline", "cgroup", name)
        assert [sums.get(i, 0) for i in range(len(used))] == raw["memory"][
            name
        ].tolist()


@given(runs(interval_ns=500))
def test_rows_are_in_order_within_the_run_and_say_something(run: Run) -> None:
    raw = run_engine(*run)
    timeline = raw["timeline"]
    keys = list(
        zip(timeline["interval"].tolist(), timeline["cgroup"].tolist(), strict=True)
    )
    assert keys == sorted(set(keys))
    flows = [name for name in TIMELINE_CELLS if name != "usage_bytes"]
    last: dict[int, int] = {}
    for row, (interval, cgroup) in enumerate(keys):
        usage = int(timeline["usage_bytes"][row])
        changed = any(timeline[name][row] for name in flows)
        assert changed or usage != last.get(cgroup, 0)
        last[cgroup] = usage
        assert 0 <= interval * 500 <= int(raw["counts"]["end_ns"][0])


@given(runs(interval_ns=0))
def test_a_timeline_changes_nothing_else(run: Run) -> None:
    setup, columns = run
    without = run_engine(setup, columns)
    found = run_engine(replace(setup, interval_ns=1000), columns)
    timeline = found.pop("timeline")
    assert difference(without, found) is None
    assert timeline["interval"].dtype == np.int64
