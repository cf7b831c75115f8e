"""What goes in comes out: nothing is lost or made up, over any setup and rows.

The engine alone is asked: that the reference agrees is tested beside it.
"""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from replay.engine.columns import Columns
from replay.engine.raw import IO_COLUMNS, Raw
from replay.engine.reference.service import services_of
from replay.engine.reference.state.row_checks import prior_of
from replay.engine.reference.structures.histogram import bucket_of
from replay.engine.setup import (
    NO_LIMIT,
    NOT_REPLAYED,
    PAGE_BYTES,
    Huge,
    Policy,
    Resource,
    Setup,
)
from support.engines import run_engine
from support.strategies import DISCARD, FLUSH, READ, WRITE, columns_for, runs, setups

Run = tuple[Setup, Columns]

REGION_PAGES = 512
STAGES = (
    *("throttle", "queue", "tag", "dispatch", "lock"),
    *("memory", "backing", "debt", "device"),
)


def with_rows(setup: Setup) -> st.SearchStrategy[Run]:
    """Return a setup with rows for it."""
    return columns_for(setup).map(lambda columns: (setup, columns))


def count(raw: Raw, name: str) -> int:
    return int(raw["counts"][name][0])


def records(raw: Raw, table: str) -> list[dict[str, int]]:
    """Return a table's rows."""
    columns = raw[table]
    lists = [values.tolist() for values in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def end_of(request: dict[str, int]) -> int:
    """When a request was done, even where the trace does not say."""
    return request["arrival_ns"] + sum(request[f"{stage}_ns"] for stage in STAGES)


def io_by(raw: Raw, columns: Columns, *key: str) -> dict[tuple[int, ...], Counter[str]]:
    """Return bytes and bios of the requests that entered the driver, by columns."""
    found: defaultdict[tuple[int, ...], Counter[str]] = defaultdict(Counter)
    for request in records(raw, "requests"):
        add_io(found[tuple(request[name] for name in key)], columns, request["row"])
    return found


def add_io(counter: Counter[str], columns: Columns, row: int) -> None:
    # block/blk-cgroup.c:blk_cgroup_io_type(), v6.1: what is neither read nor discard is
    # a write
    kind = {READ: "r", DISCARD: "d"}.get(int(columns.op[row]), "w")
    counter[f"{kind}bytes"] += int(columns.nbytes[row])
    counter[f"{kind}ios"] += int(columns.n_bios[row])


def io_rows(raw: Raw, table: str, *key: str) -> dict[tuple[int, ...], Counter[str]]:
    """Return a table's bytes and bios by columns, without rows of zeros."""
    found: defaultdict[tuple[int, ...], Counter[str]] = defaultdict(Counter)
    for row in records(raw, table):
        for name in IO_COLUMNS:
            found[tuple(row[one] for one in key)][name] += row[name]
    return without_zeros(found)


def without_zeros(
    counters: dict[tuple[int, ...], Counter[str]],
) -> dict[tuple[int, ...], Counter[str]]:
    return {key: +counter for key, counter in counters.items() if +counter}


@given(runs(nested=-1))
def test_every_row_is_counted_once_by_what_became_of_it(run: Run) -> None:
    setup, columns = run
    raw = run_engine(setup, columns)
    fates = ("requests", "stopped", "read_only", "unissued", "other_devices")
    assert sum(count(raw, name) for name in fates) == len(columns)
    assert count(raw, "other_devices") == (columns.device == NOT_REPLAYED).sum()
    ends = ("completed", "failed", "unfinished", "in_flight")
    assert count(raw, "requests") == sum(count(raw, name) for name in ends)
    # the run goes on until nothing is left
    assert count(raw, "in_flight") == 0
    assert len(raw["requests"]["row"]) == count(raw, "requests")
    assert len(set(raw["requests"]["row"].tolist())) == count(raw, "requests")
    assert (raw["requests"]["error"] != 0).sum() == count(raw, "failed")
    # errno 0: reported as written, though a part was not (docs/model.md, Memory)
    told = raw["errors"]["errno"] != 0
    stopped = count(raw, "failed") + count(raw, "read_only")
    assert raw["errors"]["count"][told].sum() == stopped


@given(runs())
def test_stages_of_every_request_sum_to_its_total(run: Run) -> None:
    raw = run_engine(*run)
    for request in records(raw, "requests"):
        assert all(request[f"{stage}_ns"] >= 0 for stage in STAGES)
        if request["completion_ns"] >= 0:
            assert end_of(request) == request["completion_ns"]
        waited = sum(
            request[f"{stage}_ns"]
            for stage in ("throttle", "queue", "tag", "dispatch", "debt")
        )
        assert request["start_ns"] - request["arrival_ns"] == waited


@given(runs())
def test_latency_is_the_sum_of_the_requests(run: Run) -> None:
    # GIVEN any run, THEN each stage's sum, count and bounds are those of its requests
    setup, columns = run
    raw = run_engine(setup, columns)
    found: defaultdict[tuple[int, int, int, int], list[int]] = defaultdict(list)
    for request in records(raw, "requests"):
        if request["completion_ns"] < 0:
            continue
        op = int(columns.op[request["row"]])
        times = [request[f"{stage}_ns"] for stage in STAGES]
        for stage, time_ns in enumerate([*times, sum(times)]):
            found[request["issuer"], request["device"], op, stage].append(time_ns)
    table = {
        (row["cgroup"], row["device"], row["op"], row["stage"]): row
        for row in records(raw, "latency")
    }
    assert table.keys() == found.keys()
    held: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for row in records(raw, "histograms"):
        key = (row["cgroup"], row["device"], row["op"], row["stage"])
        held[key][row["bucket"]] += row["count"]
    assert held.keys() == found.keys()
    for key, times in found.items():
        row = table[key]
        exact = (row["count"], row["sum_ns"], row["min_ns"], row["max_ns"])
        assert exact == (len(times), sum(times), min(times), max(times))
        # AND the buckets are those of the same requests
        buckets = Counter(map(bucket_of, times))
        assert held[key] == buckets
        # AND percentiles by nearest rank are within 1 % of the exact ones
        for name, thousandths in (("p50_ns", 500), ("p99_ns", 990)):
            rank = -(-len(times) * thousandths // 1000)
            assert abs(row[name] - sorted(times)[rank - 1]) <= row[name] / 100


@given(runs(nested=-1))
def test_waits_behind_others_sum_to_the_waits(run: Run) -> None:
    # GIVEN any run
    setup, columns = run
    raw = run_engine(setup, columns)
    services = services_of(setup, columns)
    waited: Counter[tuple[int, int]] = Counter()
    for request in records(raw, "requests"):
        issuer = request["issuer"]
        waited[issuer, Resource.QUEUE] += request["queue_ns"]
        waited[issuer, Resource.TAG] += request["tag_ns"]
        prior_ns = prior_of(setup, columns, request["row"])
        if not setup.are_loops[request["device"]]:
            # behind whom it was recorded `replay.runner.ahead` finds in the trace
            waited[issuer, Resource.QUEUE] -= prior_ns
        elif request["completion_ns"] < 0:
            # what was recorded counts with the latency, which is not known
            waited[issuer, Resource.TAG] -= prior_ns
        waited[issuer, Resource.WORKER] += request["dispatch_ns"]
        waited[issuer, Resource.LOCK] += request["lock_ns"]
        waited[issuer, Resource.MEMORY] += request["memory_ns"]
        limits_ns = request["throttle_ns"] + request["backing_ns"]
        limits_ns += request["debt_ns"]
        waited[issuer, Resource.THROTTLE] += limits_ns
        if setup.has_places or setup.is_disk(request["device"]):
            # what is not service is the wait for a place in the device
            # what was not seen to complete is served at once
            service_ns = max(0, services[request["row"]])
            if setup.is_disk(request["device"]):
                service_ns += int(setup.disk_delay_ns[request["device"]])
            waited[issuer, Resource.DEVICE] += request["device_ns"] - service_ns
    # THEN interference says behind whom for every ns of it, and no more
    blamed: Counter[tuple[int, int]] = Counter()
    for row in records(raw, "interference"):
        assert row["wait_ns"] > 0
        blamed[row["waiting"], row["resource"]] += row["wait_ns"]
    assert blamed == +waited


@given(runs(nested=-1))
def test_what_is_charged_is_what_was_issued(run: Run) -> None:
    # GIVEN any run, THEN the charges of a device's issuer, over all payers, are the
    # bytes and bios of its requests
    setup, columns = run
    raw = run_engine(setup, columns)
    requests = without_zeros(io_by(raw, columns, "device", "issuer"))
    assert io_rows(raw, "charges", "device", "issuer") == requests
    # AND the payer's are those of the requests that name it as the payer
    by_payer = without_zeros(io_by(raw, columns, "device", "payer"))
    assert io_rows(raw, "charges", "device", "payer") == by_payer


@given(st.data())
def test_io_is_what_each_cgroup_submitted(data: st.DataObject) -> None:
    # GIVEN no tasks and no journal, so that neither a kill nor an abort stops a request
    none: dict[str, Any] = {
        "journaled": False,
        "task_cgroup": np.zeros(0, np.uint32),
        "task_rss": np.zeros(0, np.int64),
        "task_adj": np.zeros(0, np.int64),
        "task_requests": np.zeros(0, np.int64),
        "task_always": np.zeros(0, np.bool_),
        "task_kernel": np.zeros(0, np.bool_),
    }
    setup = data.draw(setups(**none, nested=-1))
    columns = data.draw(columns_for(setup))
    columns = replace(columns, task=np.full(len(columns), -1, np.int32))
    raw = run_engine(setup, columns)
    # THEN io is what all rows hold, under the cgroup that has the io controller
    expected: defaultdict[tuple[int, ...], Counter[str]] = defaultdict(Counter)
    for row in range(len(columns)):
        device = int(columns.device[row])
        if device != NOT_REPLAYED:
            cgroup = int(setup.blkcg[columns.issuer[row]])
            add_io(expected[cgroup, device], columns, row)
    assert io_rows(raw, "io", "cgroup", "device") == without_zeros(expected)


@given(runs(nested=-1))
def test_pages_charged_and_not_given_back_are_the_payers(run: Run) -> None:
    setup, columns = run
    raw = run_engine(setup, columns)
    kept: Counter[int] = Counter()
    for row in records(raw, "charges"):
        kept[row["payer"]] += row["charged_bytes"] - row["uncharged_bytes"]
    for cgroup, row in enumerate(records(raw, "memory")):
        n_pages = row["own_shmem"] + row["own_file"]
        laid_out = n_pages * PAGE_BYTES - kept[cgroup]
        if cgroup != setup.laid_out_by or not setup.tmpfs:
            assert laid_out == 0
        else:
            # pages that were there before come in whole regions of 2 MiB
            assert laid_out >= 0
            assert laid_out % (REGION_PAGES * PAGE_BYTES) == 0


@given(runs(nested=-1))
def test_memory_of_a_cgroup_is_its_own_and_its_childrens(run: Run) -> None:
    setup, columns = run
    memory = records(run_engine(setup, columns), "memory")
    expected = [
        row["own_shmem"] + row["own_file"] + row["own_kernel"] + row["own_rss"]
        for row in memory
    ]
    # children come after their parents
    for cgroup in reversed(range(1, len(memory))):
        expected[setup.parent[cgroup]] += expected[cgroup]
    assert [row["current"] for row in memory] == expected
    assert all(row["peak"] >= row["current"] >= 0 for row in memory)
    for cgroup in range(1, len(memory)):
        parent = memory[setup.parent[cgroup]]
        assert parent["peak"] >= memory[cgroup]["peak"]
        if setup.parent[cgroup]:
            for name in ("max", "oom", "oom_kill"):
                assert parent[name] >= memory[cgroup][name]
    # mm/memcontrol.c:memory_files[], v6.1: the root has no memory.events
    assert all(memory[0][name] == 0 for name in ("max", "oom", "oom_kill"))


@given(st.data())
def test_no_cgroup_is_ever_over_its_limit(data: st.DataObject) -> None:
    # GIVEN nothing that is charged without being asked: no rss, no pages from before
    setup = data.draw(setups(laid_out_by=-1, tmpfs=True, direct_io=False))
    setup = replace(setup, task_rss=np.zeros_like(setup.task_rss))
    if setup.policy == Policy.BACKCHARGE:
        return  # its pages are charged whatever the limits say
    raw = run_engine(setup, data.draw(columns_for(setup)))
    # THEN no peak is above its limit, and no file system fuller than it is large
    limited = setup.memory_max != NO_LIMIT
    assert (raw["memory"]["peak"][limited] <= setup.memory_max[limited]).all()
    if setup.fs_pages != NO_LIMIT:
        assert raw["memory"]["own_shmem"].sum() <= setup.fs_pages


@given(st.data())
def test_no_page_cache_is_ever_over_its_limit(data: st.DataObject) -> None:
    # GIVEN a page cache whose pages go one for one, and nothing else
    setup = data.draw(
        setups(tmpfs=False, cached=True, direct_io=False, reclaim_lru=True)
    )
    setup = replace(setup, task_rss=np.zeros_like(setup.task_rss))
    if setup.policy == Policy.BACKCHARGE:
        return  # its pages are charged whatever the limits say
    raw = run_engine(setup, data.draw(columns_for(setup)))
    limited = setup.memory_max != NO_LIMIT
    assert (raw["memory"]["peak"][limited] <= setup.memory_max[limited]).all()
    # THEN it fails where a limit has no room for one page, and nowhere else
    if not (setup.memory_max == 0).any() and setup.fs_pages == NO_LIMIT:
        assert len(raw["errors"]["errno"]) == 0


@given(runs(tmpfs=False, cached=True, direct_io=False, backing_device=True, nested=-1))
def test_what_is_below_a_page_cache_is_whole_pages_that_were_asked_for(
    run: Run,
) -> None:
    setup, columns = run
    raw = run_engine(setup, columns)
    rbytes = 0
    for row in records(raw, "backing_io"):
        assert row["rbytes"] % PAGE_BYTES == row["wbytes"] % PAGE_BYTES == 0
        assert 0 <= row["rios"] <= row["rbytes"] // PAGE_BYTES
        assert 0 <= row["wios"] <= row["wbytes"] // PAGE_BYTES
        rbytes += row["rbytes"]
    # what is read is missing, so each page of it was charged
    assert rbytes <= sum(raw["charges"]["charged_bytes"].tolist())


@given(runs(nested=-1))
def test_events_count_18_then_17_and_every_kill(run: Run) -> None:
    # max = 17 * oom + n, n the charges that met a limit (docs/model.md, Memory): some
    # found room once the stocks were drained, the others reached the OOM killer
    setup, columns = run
    raw = run_engine(setup, columns)
    memory, kills = records(raw, "memory"), records(raw, "kills")
    for row in memory:
        n_charges = row["max"] - 17 * row["oom"]
        if setup.oom_kills:
            assert n_charges >= (row["oom"] > 0)
        else:
            # policy enospc: the OOM killer is not asked
            assert row["oom"] == row["oom_kill"] == 0
    for cgroup in range(1, len(memory)):
        below = [
            kill for kill in kills if cgroup in chain(setup, kill["victim_cgroup"])
        ]
        if not setup.oom_group.any():
            assert memory[cgroup]["oom_kill"] == len(below)
            assert memory[cgroup]["oom_group_kill"] == 0
        else:
            # a victim whose whole cgroup goes counts twice
            assert len(below) <= memory[cgroup]["oom_kill"] <= 2 * len(below)
            groups = memory[cgroup]["oom_group_kill"]
            assert groups <= memory[cgroup]["oom_kill"] - len(below)
    # a task dies once, below the limit that was met
    assert len({kill["task"] for kill in kills}) == len(kills)
    for kill in kills:
        assert kill["limit_cgroup"] in chain(setup, kill["victim_cgroup"])
        assert kill["victim_cgroup"] == setup.task_cgroup[kill["task"]]
        assert not setup.task_kernel[kill["task"]]
        assert setup.task_adj[kill["task"]] != -1000


def chain(setup: Setup, cgroup: int) -> list[int]:
    """A cgroup and its ancestors."""
    found = [cgroup]
    while setup.parent[found[-1]] >= 0:
        found.append(int(setup.parent[found[-1]]))
    return found


@given(runs(nested=-1))
def test_time_never_goes_back(run: Run) -> None:
    setup, columns = run
    raw = run_engine(setup, columns)
    end_ns = count(raw, "end_ns")
    requests = records(raw, "requests")
    for request in requests:
        start, end = request["start_ns"], end_of(request)
        assert 0 <= request["arrival_ns"] <= start <= end <= end_ns
    kills = raw["kills"]["time_ns"].tolist()
    assert kills == sorted(kills)
    for worker in records(raw, "workers"):
        created, reaped = worker["created_ns"], worker["reaped_ns"]
        assert created >= 0
        idled_ns = 60 * 10**9 if setup.keeps_idle else 0
        assert reaped == -1 or reaped >= created + idled_ns
    # a worker handles one command at a time, unless it only submits
    if not setup.direct_io:
        busy: defaultdict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for request in requests:
            where = (request["device"], request["worker"])
            busy[where].append((request["start_ns"], end_of(request)))
        for spans in busy.values():
            spans.sort()
            ends = [end for _, end in spans]
            assert all(
                start >= end
                for (start, _), end in zip(spans[1:], ends[:-1], strict=True)
            )


@given(runs(nested=-1))
def test_workers_account_for_their_commands_and_their_css(run: Run) -> None:
    setup, columns = run
    raw = run_engine(setup, columns)
    workers = records(raw, "workers")
    alive = [row for row in workers if row["reaped_ns"] < 0 and row["cgroup"]]
    if setup.policy != Policy.PER_CGROUP:
        alive = []
    # docs/model.md, Dispatch: a worker refers to its cgroup from its creation until it
    # is freed
    assert count(raw, "css_refs") == len(alive)
    held = {(row["device"], row["cgroup"]) for row in alive}
    assert len(held) == len(alive)
    commands = Counter(
        zip(
            raw["requests"]["device"].tolist(),
            raw["requests"]["worker"].tolist(),
            strict=True,
        )
    )
    if setup.policy == Policy.PASS_THROUGH:
        assert not workers
    else:
        assert commands == {
            (row["device"], row["worker"]): row["commands"] for row in workers
        }
    for row in workers:
        end = row["reaped_ns"] if row["reaped_ns"] >= 0 else count(raw, "end_ns")
        if setup.keeps_idle:
            assert row["busy_ns"] + row["idle_ns"] == end - row["created_ns"]
        assert row["busy_ns"] >= 0
        assert row["idle_ns"] >= 0
    assert count(raw, "workers_peak") <= max(len(workers), len(setup.devices))
    if setup.policy in (Policy.ROOT, Policy.NAIVE):
        assert {row["cgroup"] for row in workers} <= {0}
    if setup.policy == Policy.SYNCHRONOUS:
        assert count(raw, "workers_peak") == 0
    if setup.policy == Policy.INSTANCE:
        bound = dict(enumerate(setup.instance_cgroup.tolist()))
        assert all(row["cgroup"] == bound[row["device"]] for row in workers)


@given(runs(tmpfs=True, direct_io=False, nested=-1))
def test_pages_stay_within_what_was_written(run: Run) -> None:
    # docs/model.md, Memory: only a write touches a page, so nobody owns what none wrote
    setup, columns = run
    raw = run_engine(setup, columns)
    if setup.laid_out_by >= 0 or setup.hole_reads_charge or setup.huge != Huge.NEVER:
        # nor what a version or a mount option has filled in beside it
        return
    written = set()
    for row in raw["requests"]["row"].tolist():
        if columns.op[row] == WRITE and columns.nbytes[row]:
            first = int(columns.sector[row]) // 8
            last = (int(columns.sector[row]) * 512 + int(columns.nbytes[row]) - 1) >> 12
            device = int(columns.device[row])
            written |= {(device, page) for page in range(first, last + 1)}
    assert raw["memory"]["own_shmem"].sum() <= len(written)


@given(setups().filter(lambda setup: setup.nested >= 0).flatmap(with_rows))
def test_nested_requests_are_counted_on_both_devices_and_ended_once(run: Run) -> None:
    setup, columns = run
    raw = run_engine(setup, columns)
    ends = ("completed", "failed", "unfinished")
    assert count(raw, "requests") == sum(count(raw, name) for name in ends)
    rows = Counter(raw["requests"]["row"].tolist())
    assert len(rows) == count(raw, "requests")
    inner = raw["requests"]["device"] == setup.nested
    below = set(raw["requests"]["row"][inner].tolist())
    goes_down = (READ, WRITE, FLUSH)
    for request in records(raw, "requests"):
        row = request["row"]
        if request["device"] == setup.nested:
            continue
        # a row of an outer device goes down unless it changes the map below alone
        assert (row in below) == (columns.op[row] in goes_down)
        assert rows[row] == 1 + (row in below)
    # AND what a payer submits above is what it issues below
    above: Counter[tuple[int, str]] = Counter()
    for request in records(raw, "requests"):
        row = request["row"]
        op = int(columns.op[row])
        if request["device"] != setup.nested and op in (READ, WRITE):
            above[request["payer"], "rw"[op == WRITE]] += int(columns.nbytes[row])
    came: Counter[tuple[int, str]] = Counter()
    for request in records(raw, "requests"):
        row = request["row"]
        op = int(columns.op[row])
        nested = request["device"] == setup.nested and rows[row] == 2
        if nested and op in (READ, WRITE):
            came[request["issuer"], "rw"[op == WRITE]] += int(columns.nbytes[row])
    assert above == came
