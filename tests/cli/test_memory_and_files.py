"""What memory limits and backing files do to a recording, seen by the command line.

A key each, on recordings that ship in ``traces/``; the numbers are the kernel's where
they were recorded, else follow from the rule.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from replay.cli.main import cli

EIO, ENOMEM, ENOSPC = 5, 12, 28
MIB = 1 << 20
LIMIT = "/test.slice/memory.max=64M"
TASK = '/test.slice/tasks=[{comm="dd",rss="1M"}]'
S = 10**9

Tables = dict[str, list[dict[str, Any]]]
Run = Callable[..., Tables]


@pytest.fixture
def run(top: Path, tmp_path: Path) -> Run:
    """Replay a recording with some keys set; return its tables and what was said."""

    def replayed(name: str, *keys: str) -> Tables:
        out = tmp_path / "out"
        options = [part for key in keys for part in ("--set", key)]
        done = CliRunner().invoke(
            cli, ["run", str(top / "traces" / name), *options, "-o", str(out)]
        )
        assert done.exit_code == 0, done.output
        tables = {
            path.stem: pq.read_table(path).to_pylist() for path in out.glob("*.parquet")
        }
        tables["said"] = [{"text": done.output}]
        for path in out.iterdir():
            path.unlink()
        out.rmdir()
        return tables

    return replayed


def memory(tables: Tables, path: str) -> dict[str, Any]:
    (row,) = (row for row in tables["memory"] if row["cgroup"] == path)
    return row


def errors(tables: Tables) -> list[int]:
    return [row["errno"] for row in tables["errors"]]


# -- limits on tmpfs ------------------------------------------------------------------


def test_memory_max_kills_once_and_current_is_exact_where_peak_has_stocks(
    run: Run,
) -> None:
    tables = run("seed-unlimited", LIMIT, TASK)
    row = memory(tables, "/test.slice")
    assert (row["oom_kill"], row["peak"]) == (1, 64 * MIB)
    assert row["max"] >= 18 * row["oom"] - row["oom"]
    # shmem and the page tree alone are left: `current` has no stock
    assert row["current"] == row["shmem"] + row["kernel"] < 64 * MIB
    assert abs(row["shmem"] / 65_896_448 - 1) < 0.003
    # the victim waits for its own I/O: the reaper comes 2 s after the kill
    slept = [r for r in tables["latency"] if r["stage"] == "memory" and r["max_ns"]]
    assert [r["max_ns"] for r in slept] == [2 * S]
    assert errors(tables) == [EIO]


def test_kernel_memory_of_the_page_tree_is_584_bytes_a_node(run: Run) -> None:
    row = memory(run("seed-unlimited"), "/test.slice")
    n_pages = row["shmem"] // 4096
    nodes = n_pages // 64 + n_pages // 64**2 + 1
    assert row["kernel"] == -(-nodes * 584 // 4096) * 4096


def test_limit_of_a_parent_counts_there_and_the_kill_at_both(run: Run) -> None:
    task = '/p/b/tasks=[{comm="dd",rss="1M"}]'
    tables = run("nested-unlimited", "/p/memory.max=96M", task)
    parent, b = memory(tables, "/p"), memory(tables, "/p/b")
    assert (parent["oom_kill"], b["oom_kill"], parent["oom"] > 0) == (1, 1, True)
    assert (b["max"], b["oom"], memory(tables, "/p/a")["oom_kill"]) == (0, 0, 0)


@pytest.mark.parametrize("limit", ["max", "0"])
def test_swap_limit_changes_nothing_since_a_worker_cannot_swap(
    run: Run, limit: str
) -> None:
    tables = run("seed-swap", LIMIT, TASK, f"/test.slice/memory.swap.max={limit}")
    assert memory(tables, "/test.slice")["oom_kill"] == 1
    assert (
        memory(tables, "/test.slice")["shmem"]
        == (memory(run("seed-swap", LIMIT, TASK), "/test.slice")["shmem"])
    )


def test_memory_high_sleeps_and_kills_nobody(run: Run) -> None:
    linear = "service.write={base_ns=1000000,ns_per_byte=5}"
    keys = ("/a/memory.high=24M", '/a/tasks=[{comm="dd",rss="1300K"}]', linear)
    tables = run("high-unlimited", "service.model=linear", *keys)
    row = memory(tables, "/a")
    assert row["high"] >= 17
    assert row["high"] % 17 == row["oom_kill"] == 0
    waits = {r["blocking"]: r["wait_ns"] for r in tables["interference"]}
    assert max(waits.values()) > 10 * S


def test_nobody_to_kill_and_adjusted_or_grouped_tasks(run: Run) -> None:
    never = '/test.slice/tasks=[{comm="dd",rss="1M",oom_score_adj=-1000}]'
    tables = run("seed-unlimited", LIMIT, never)
    row = memory(tables, "/test.slice")
    assert (row["oom_kill"], row["oom"] > 0, errors(tables)) == (0, True, [EIO])
    tables = run("seed-unlimited", LIMIT, TASK, "/test.slice/memory.oom.group=1")
    row = memory(tables, "/test.slice")
    # the victim counts twice
    assert (row["oom_kill"], row["oom_group_kill"]) == (2, 1)


def test_machine_memory_is_a_limit_of_all_together(run: Run) -> None:
    tables = run("nested-unlimited", "machine.memory=48M")
    assert memory(tables, "/")["peak"] == 48 * MIB
    assert memory(tables, "/p")["oom"] == 0
    assert len(tables["kills"]) > 0


# -- the backing file -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "keys", "errno"),
    [
        ("6.1", ["backing.size=16M"], EIO),
        ("6.15", ["backing.size=16M", "driver.errors=strict"], ENOSPC),
        ("6.1", ["backing.quota=16M"], EIO),
        ("6.15", ["backing.quota=16M", "driver.errors=strict"], EIO),
        ("6.15", [LIMIT, "driver.errors=strict"], ENOMEM),
    ],
)
def test_errors_are_those_of_the_kernel_and_the_quotas(
    run: Run, kernel: str, keys: list[str], errno: int
) -> None:
    tables = run("seed-unlimited", f"driver.kernel={kernel}", *keys)
    assert errors(tables) == [errno]
    most = 64 * MIB if LIMIT in keys else 16 * MIB
    assert memory(tables, "/test.slice")["shmem"] <= most
    assert len(tables["kills"]) == (LIMIT in keys)


def test_short_write_of_6_15_is_lost_data_with_errno_0(run: Run) -> None:
    size = f"backing.size={16 * MIB + 8192}"
    tables = run("seed-unlimited", "driver.kernel=6.15", size)
    lost = [row for row in tables["errors"] if row["errno"] == 0]
    assert [row["count"] for row in lost] == [1]
    assert lost[0]["bytes"] > 0


def test_dead_cgroups_charges_are_its_parents(run: Run) -> None:
    tables = run("nested-unlimited", "/p/b/online=false")
    payers = {row["payer"] for row in tables["charges"] if row["issuer"] == "/p/b"}
    assert payers == {"/p"}
    assert memory(tables, "/p/b")["shmem"] == 0
    assert memory(tables, "/p")["own_shmem"] > 0


def test_laid_out_file_charges_who_laid_it_out(run: Run) -> None:
    tables = run("seed-unlimited", "backing.laid_out_by=/")
    assert memory(tables, "/test.slice")["shmem"] == 0
    assert memory(tables, "/")["shmem"] > 0


# -- a disk's page cache --------------------------------------------------------------

EXT4 = ("backing.filesystem=ext4", "backing.device=254:32")


def below(tables: Tables, path: str) -> dict[str, Any]:
    (row,) = (
        row
        for row in tables["io_stat"]
        if (row["cgroup"], row["device"]) == (path, "254:32")
    )
    return row


def test_dirty_pages_at_a_limit_are_written_back_and_nobody_is_killed(
    run: Run,
) -> None:
    tables = run("seed-unlimited", *EXT4, LIMIT, TASK)
    row = memory(tables, "/test.slice")
    assert (row["oom_kill"], row["oom"], tables["errors"]) == (0, 0, [])
    # each `max` is one reclaim of 32 pages or some more, of all that did not fit
    assert 32 <= 192 * MIB // 4096 / row["max"] <= 64
    assert row["peak"] == 64 * MIB
    assert below(tables, "/test.slice")["wbytes"] == 256 * MIB


def test_write_back_is_the_inodes_owners(run: Run) -> None:
    # GIVEN a file of the root's that fs-on-loop's cgroups write: it stays the root's
    tables = run("nested-unlimited", *EXT4, "backing.laid_out_by=/p/a")
    a, b = below(tables, "/p/a")["wbytes"], below(tables, "/p/b")["wbytes"]
    assert a + b == memory(tables, "/p")["file"]
    assert a > memory(tables, "/p/a")["file"]


def test_dirty_background_bytes_write_the_roots_file_back_at_once(run: Run) -> None:
    keys = (*EXT4, "backing.laid_out_by=/")
    late = run("seed-unlimited", *keys)
    early = run("seed-unlimited", *keys, "machine.dirty_background_bytes=1M")
    # the same bytes, in more bios: at 1 MiB each time, not at the end
    of_all = [below(tables, "/") for tables in (late, early)]
    assert of_all[0]["wbytes"] == of_all[1]["wbytes"] == 256 * MIB
    assert of_all[0]["wios"] < of_all[1]["wios"]


@pytest.mark.parametrize("key", ["memory.min", "memory.low"])
def test_protected_cache_stays_while_others_is_reclaimed(run: Run, key: str) -> None:
    keys = (*EXT4, "/p/memory.max=48M")
    without = run("nested-unlimited", *keys)
    kept = run("nested-unlimited", *keys, f"/p/a/{key}=40M")
    names = ("own_file", "workingset_refault_file")
    a, kept_a = (memory(tables, "/p/a") for tables in (without, kept))
    assert a["own_file"] < kept_a["own_file"] == 32 * MIB
    assert [kept_a[name] for name in names[1:]] == [0]
    assert memory(kept, "/p/b")["own_file"] < memory(without, "/p/b")["own_file"]
    assert memory(kept, "/p/a")["low"] == 0
