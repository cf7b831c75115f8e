"""Questions of the review of 5.14's patches, with the commands that settle them."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import replay
from fidelity.page.tables import means, only
from replay.cli.main import cli

S = 10**9


def asked(top: Path, name: str, *keys: str, scenario: bool = True) -> replay.Result:
    """Replay a recording of ``traces`` under its scenario, with some keys set."""
    trace = top / "traces" / name
    return replay.run(trace, f"{trace}.toml" if scenario else None, overrides=keys)


def total_s(result: replay.Result, path: str) -> float:
    found = only(result.latency, cgroup=path, stage="total")
    return float(found["mean_ns"] * found["count"] / S)


@pytest.mark.parametrize("name", ["high-unlimited", "tmpfs-high"])
def test_the_shipped_scenario_predicts_how_long_b_waits_for_the_lock(
    top: Path, name: str
) -> None:
    # GIVEN nothing but what ships, predicted or of the limited recording itself
    result = asked(top, name)
    # THEN a sleeps and b waits as long as the kernel's did, in all its runs
    assert 15.2 * 0.88 <= total_s(result, "/a") <= 16.9 * 1.12
    assert 14.2 * 0.88 <= total_s(result, "/b") <= 15.9 * 1.12
    wait = only(result.interference, waiting="/b", blocking="/a", resource="lock")
    assert wait["wait_ns"] >= 0.95 * total_s(result, "/b") * S


def test_a_lone_writer_sleeps_as_long_as_the_kernels(top: Path) -> None:
    assert total_s(asked(top, "high-alone"), "/a") == pytest.approx(35.54, rel=0.05)


def test_a_waits_for_the_reaper_of_bs_task(top: Path) -> None:
    result = asked(top, "workers-per-cgroup", "/b/memory.max=16M", scenario=False)
    wait = only(result.interference, waiting="/a", blocking="/b", resource="lock")
    # OOM_REAPER_DELAY
    assert wait["wait_ns"] == pytest.approx(2 * S, rel=0.01)


def test_synchronous_is_as_fast_as_a_worker_each(top: Path) -> None:
    each = asked(top, "workers-per-cgroup", "driver.policy=per-cgroup")
    each_s = means(each)["/a"]
    found = asked(top, "workers-per-cgroup", "driver.policy=synchronous")
    assert means(found)["/a"] == pytest.approx(each_s, rel=0.01)
    assert only(found.latency, cgroup="/a", stage="total")["p50_ns"] > 10_000


def test_where_no_worker_can_be_made_it_is_the_roots_one_queue(top: Path) -> None:
    found: list[tuple[dict[str, Any], int]] = []
    for key in ("driver.alloc_fail.probability=1", "driver.policy=root"):
        result = asked(top, "workers-many", key)
        found.append((means(result), result.info["counts"]["end_ns"]))
    assert found[0] == found[1]
    assert found[0][1] < 0.7 * S


def test_a_writer_with_one_in_flight_loses_no_more_than_one(top: Path) -> None:
    high = "/test.slice/memory.high=32M"
    # GIVEN a limit that slows dd down, and its memory.max of 64M that kills it
    result = asked(top, "seed-unlimited", high)
    # THEN what was in flight fails, and the rest never comes
    assert result.info["counts"]["failed"] == 1
    assert result.info["counts"]["stopped"] == 193
    assert len(result.kills) == 1
    # AND who asks for recorded arrivals by name is told what they do
    done = CliRunner().invoke(
        cli,
        [
            *("run", str(top / "traces/seed-unlimited")),
            *("-s", str(top / "traces/seed-unlimited.toml")),
            *("--set", high, "--set", "arrivals.mode=recorded"),
        ],
    )
    assert "194 failed" in done.output
    assert "more of them fail than a process has in flight" in done.output


#: A database of 30 MiB beside dd's 1 MiB, on a machine of 200 MiB.
BESIDE = (
    "/db/tasks=[{comm='postgres', rss='30M', always=true}]",
    "machine.memory=200M",
)


@pytest.mark.parametrize(
    ("policy", "victim", "limit"),
    [
        ("root", "postgres in /db", "machine.memory = 200M"),
        ("per-cgroup", "dd in /test.slice", "memory.max of /test.slice = 64M"),
    ],
)
def test_before_the_merge_a_bystander_dies_at_the_machines_limit(
    top: Path, policy: str, victim: str, limit: str
) -> None:
    keys = (*BESIDE, f"driver.policy={policy}")
    said = asked(top, "seed-unlimited", *keys).text()
    assert f"{victim} killed: {limit}" in said
    # AND it is said that the kernel would wait there for somebody who may do I/O
    assert "runs short of it kills nobody" in " ".join(said.split())


def test_who_dies_before_and_after_the_merge_is_one_command(top: Path) -> None:
    trace = top / "traces/seed-unlimited"
    sets = [part for key in BESIDE for part in ("--set", key)]
    done = CliRunner().invoke(
        cli,
        [
            *("sweep", str(trace), "-s", f"{trace}.toml", *sets),
            *("-j", "1", "--vary", "driver.policy=root,per-cgroup"),
        ],
    )
    assert "  root: postgres in /db (machine.memory), then dd in" in done.output
    assert "  per-cgroup: dd in /test.slice (memory.max of /test.slice)" in done.output


def test_a_file_system_whose_journal_failed_writes_no_more(top: Path) -> None:
    # GIVEN ext4 on a loop device over a tmpfs that is full after 4 MiB
    result = asked(top, "fs-on-loop", "backing.size=4M")
    counts = result.info["counts"]
    # THEN the first write of its journal that fails is the last one that comes
    assert counts["read_only"] == 911
    assert counts["failed"] == 51
    said = " ".join(result.text().split())
    assert "911 stopped by a read-only file system" in said
    # AND whose data it was is told
    assert "/b: 720 requests, 2.8 MiB, EROFS, first at t=1.12s" in said
    assert "/a: 21 requests, 5.2 MiB, EROFS, first at t=1.12s" in said
    # AND with a driver that cannot fail nothing is stopped
    assert asked(top, "fs-on-loop").info["counts"]["read_only"] == 0


def test_requests_are_told_apart_by_what_they_are_for(top: Path) -> None:
    trace = top / "traces/fs-on-loop"
    result = replay.run(trace, f"{trace}.toml", requests=True)
    rows = result.by_kind()
    assert rows is not None
    found = {(row["issuer"], row["kind"]): row["requests"] for row in rows}
    # the journal is the root's; fsync and direct writes are whoever's they are
    assert {kind for path, kind in found if path == "/"} == {
        *("data", "metadata", "journal", "flush")
    }
    assert found["/", "journal"] == 73
    assert found["/b", "data"] == 1000
    assert sum(found.values()) == result.info["counts"]["requests"]
    assert "journal" in result.text()


def test_workers_and_what_they_lose_are_told(top: Path) -> None:
    said = asked(
        top,
        "workers-many",
        "driver.alloc_fail.probability=0.3",
        "driver.policy=per-cgroup",
        "driver.variant=v5",
    ).text()
    text = " ".join(said.split())
    assert "25 at the peak, 38 commands in the mean, 40 the busiest" in text
    assert "8 of 32 could not be made" in text
    assert "8 references to memory cgroups leaked" in text
    # three times 960 commands in 621 ms
    assert "4,635 a second over 621 ms" in text


def shared(top: Path, policy: str) -> replay.Result:
    """Replay two readers of a disk that io.cost shares 100 to 300."""
    trace = top / "traces/packed/6.1/direct-iocost-base"
    return replay.run(
        f"{trace}.tar.zst",
        f"{trace}.toml",
        overrides=[f"driver.policy={policy}"],
        requests=True,
    )


@pytest.mark.parametrize(
    ("policy", "percent"), [("per-cgroup", 25), ("naive", 50), ("backcharge", 25)]
)
def test_shares_while_both_want_more_are_by_weight_but_for_one_worker(
    top: Path, policy: str, percent: int
) -> None:
    result = shared(top, policy)
    rows = result.shares()
    assert rows is not None
    found = {row["cgroup"]: row["requests"] for row in rows}
    share = 100 * found["/a"] / sum(found.values())
    assert share == pytest.approx(percent, abs=1.5)
    assert "Shares of the device while all want more" in result.text()


def test_backcharges_sleeps_are_a_stage_and_are_told(top: Path) -> None:
    result = shared(top, "backcharge")
    debts_ns = sum(
        row["mean_ns"] * row["count"]
        for row in result.latency.to_pylist()
        if row["stage"] == "debt"
    )
    counts = result.info["counts"]
    assert counts["delays"] > 1000
    assert debts_ns == pytest.approx(counts["delayed_ns"], rel=0.01)
    said = " ".join(result.text().split())
    assert f"{counts['delays']:,} delays of 3.77 s in sum" in said
    assert "/a owed for I/O of the device below for" in said


def test_shares_are_compared(top: Path) -> None:
    # GIVEN one worker for all beside one for each, at weights of 100 and 300
    one, each = shared(top, "naive"), shared(top, "per-cgroup")
    # WHEN they are compared THEN it says what each cgroup has of the device
    said = " ".join(replay.compare(each, one).text().split())
    assert "Shares of the device while all want more /a: 2" in said
    told = json.loads(replay.compare(each, one).to_json())["shares"]
    for side, percent in (("base", 25), ("other", 50)):
        found = {row["cgroup"]: row["requests"] for row in told[side]}
        assert 100 * found["/a"] / sum(found.values()) == pytest.approx(
            percent, abs=1.5
        )


@pytest.mark.parametrize(
    ("controllers", "said"),
    [
        ('["memory"]', "the io controller is off for /p/b: /p, the nearest above that "
         "has it, is charged for its I/O and pages"),
        ('["io"]', "the memory controller is off for /p/b: /p, the nearest above that "
         "has it, is charged for its pages"),
    ],
)  # fmt: skip
def test_who_pays_where_a_controller_is_off_is_told(
    top: Path, controllers: str, said: str
) -> None:
    result = replay.run(
        top / "traces/nested-unlimited", overrides=[f"/p/b/controllers={controllers}"]
    )
    assert said in result.info["notes"]
    charged = {
        row["issuer"]: row["payer"]
        for row in result.charges.to_pylist()
        if row["charged_bytes"]
    }
    assert charged["/p/b"] == "/p"
