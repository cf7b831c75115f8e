"""What docs/tables.md says of each table holds, whatever the runner does with a trace.

Where the engine alone is asked, see ``test_conservation``; here stands what a user
reads: names in place of numbers, sums over devices, tables of one result side by side.
"""

from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

import replay
from replay.results.tables import STAGE_NAMES
from support.replays import (
    PATHS,
    Row,
    recorded_rows,
    recorded_scenarios,
    replayed,
)
from support.waits import STAGES_OF, waits_of, waits_that_are_off

IO = ("rbytes", "wbytes", "rios", "wios", "dbytes", "dios")
LETTER = {"read": "r", "write": "w", "discard": "d"}


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Row], replay.Result]:
    """Draw rows, some of them unfinished, and their replay with every table."""
    rows = draw(recorded_rows(unfinished=True))
    scenario = draw(recorded_scenarios(rows))
    return rows, replayed(rows, scenario, requests=True, interval=1000)


def summed(table: pa.Table, by: tuple[str, ...]) -> dict[tuple[str, ...], Counter[str]]:
    """Sum the I/O columns of a table over all but some."""
    found: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for row in table.to_pylist():
        found[tuple(row[name] for name in by)].update({io: row[io] for io in IO})
    return dict(found)


def submitted(rows: list[Row]) -> dict[tuple[str, ...], Counter[str]]:
    """Sum what each cgroup asked each device for."""
    found: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for row in rows:
        key = (f"{row['device'] >> 20}:0", PATHS[row["cgroup"]])
        # an empty flush is a write without bytes
        letter = LETTER.get(row["op"], "w")
        found[key].update({f"{letter}ios": 1})
        if row["nbytes"]:
            found[key].update({f"{letter}bytes": row["nbytes"]})
    return dict(found)


@given(st.data())
def test_waits_sum_to_the_stages(data: st.DataObject) -> None:
    # GIVEN any requests, and a replay of them as they were or of a disk's model
    rows = data.draw(recorded_rows())
    result = replayed(rows, data.draw(recorded_scenarios(rows)))
    # THEN what was waited for others is what the stages say, and no more
    assert waits_that_are_off(result) == {}


@given(runs())
def test_waits_are_those_of_requests_that_ended_and_of_those_that_did_not(
    run: tuple[list[Row], replay.Result],
) -> None:
    _, result = run
    assert result.requests is not None
    ended: Counter[tuple[str, str]] = Counter()
    every: Counter[tuple[str, str]] = Counter()
    for row in result.requests.to_pylist():
        for resource, stages in STAGES_OF.items():
            wait_ns = sum(row[f"{stage}_ns"] for stage in stages)
            every[row["issuer"], resource] += wait_ns
            if row["completion_ns"] is not None:
                ended[row["issuer"], resource] += wait_ns
    waited = waits_of(result)
    for key in {*every, *waited}:
        assert waited[key] <= every[key]
        # the device also serves
        assert key[1] == "device" or waited[key] >= ended[key]


@given(runs())
def test_charges_over_all_payers_are_what_the_issuer_submitted(
    run: tuple[list[Row], replay.Result],
) -> None:
    rows, result = run
    # GIVEN what each cgroup asked each device for
    wanted = submitted(rows)
    # THEN the payers together have that
    charged = summed(result.charges, ("device", "issuer"))
    assert {key: +sums for key, sums in charged.items()} == wanted


@given(st.data())
def test_on_a_plain_disk_each_pays_for_its_own(data: st.DataObject) -> None:
    rows = data.draw(recorded_rows(unfinished=True, loops=False))
    result = replayed(rows, data.draw(recorded_scenarios(rows)))
    assert result.charges["payer"].equals(result.charges["issuer"])


@given(runs())
def test_io_stat_has_descendants_and_the_root_has_all(
    run: tuple[list[Row], replay.Result],
) -> None:
    rows, result = run
    asked = submitted(rows)
    found = summed(result.io_stat, ("device", "cgroup"))
    devices = {device for device, _ in found}
    cgroups = {cgroup for _, cgroup in found}
    # one row for every cgroup and every device that saw I/O
    assert result.io_stat.num_rows == len(devices) * len(cgroups)
    for device, cgroup in found:
        below = cgroup.rstrip("/") + "/"
        whole: Counter[str] = Counter()
        for (at, issuer), sums in asked.items():
            if at == device and (issuer == cgroup or issuer.startswith(below)):
                whole.update(sums)
        assert +found[device, cgroup] == +whole


@given(runs())
def test_latencies_are_those_of_the_requests_that_ended(
    run: tuple[list[Row], replay.Result],
) -> None:
    _, result = run
    assert result.requests is not None
    # GIVEN the times of each request that ended without an error
    times: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for row in result.requests.to_pylist():
        if row["completion_ns"] is None:
            continue
        stages = {stage: row[f"{stage}_ns"] for stage in STAGE_NAMES}
        total = row["completion_ns"] - row["arrival_ns"]
        # THEN its stages are the whole
        assert sum(stages.values()) == total
        for stage, took in {**stages, "total": total}.items():
            times[row["issuer"], row["device"], row["op"], stage].append(took)
    # AND the table has their sums, its mean is cut, and its ends are exact
    seen = set()
    for row in result.latency.to_pylist():
        key = (row["cgroup"], row["device"], row["op"], row["stage"])
        seen.add(key)
        took = times[key]
        assert (row["count"], row["sum_ns"]) == (len(took), sum(took))
        assert row["mean_ns"] == sum(took) // len(took)
        assert (row["min_ns"], row["max_ns"]) == (min(took), max(took))
        for name, part in (("p50_ns", 0.5), ("p90_ns", 0.9), ("p99_ns", 0.99)):
            ranked = sorted(took)[max(0, -int(-len(took) * part // 1) - 1)]
            assert abs(row[name] - ranked) <= max(1, ranked // 100)
    assert {key for key in times if key[3] == "total"} <= seen


@given(runs())
def test_intervals_sum_to_the_other_tables(
    run: tuple[list[Row], replay.Result],
) -> None:
    _, result = run
    assert result.timeline is not None
    over_time = summed(result.timeline, ("cgroup",))
    paid = summed(result.charges, ("payer",))
    assert {key: +sums for key, sums in over_time.items() if +sums} == {
        key: +sums for key, sums in paid.items() if +sums
    }
    blocked: Counter[str] = Counter()
    for row in result.timeline.to_pylist():
        blocked[row["cgroup"]] += row["blocked_ns"]
    waited: Counter[str] = Counter()
    for row in result.interference.to_pylist():
        waited[row["blocking"]] += row["wait_ns"]
    if result.info["scenario"]["arrivals"]["mode"] == "recorded":
        assert +blocked == +waited
    took: Counter[tuple[str, str]] = Counter()
    for row in result.latency.to_pylist():
        took[row["cgroup"], row["stage"]] += row["sum_ns"]
    for row in result.timeline.to_pylist():
        for stage in (*STAGE_NAMES, "total"):
            took[row["cgroup"], stage] -= row[f"{stage}_ns"]
    assert not any(took.values())


@given(runs())
def test_a_result_that_was_written_is_the_one_that_was_made(
    run: tuple[list[Row], replay.Result],
) -> None:
    _, result = run
    with TemporaryDirectory() as place:
        result.write(Path(place) / "out")
        kept = replay.open_results(Path(place) / "out")
        for name, table in result.tables.items():
            assert kept.tables[name].equals(table), name
