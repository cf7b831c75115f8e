"""Kernels from 5.10 to 7.3: what each counted, replayed by its own rules.

Recordings name their kernel; what the trace does not hold (the file system, limits) is
said, and nothing else.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import replay
from fidelity.page.cost import TENTH, completions
from fidelity.page.kernels import FIO
from fidelity.page.tables import means, only
from replay.verify.counters import read_counters

Find = Callable[[str], Path]

#: What fio's own files of a job take on the tmpfs where they lie.
FIO_FILES = 8192
BELOW = {
    "backing.filesystem": "ext4",
    "backing.device": "254:32",
    "backing.laid_out_by": "/",
}


def run(folder: Path, settings: dict[str, str] | None = None, **more: Any) -> Any:
    given = [f"{name}={value}" for name, value in (settings or {}).items()]
    return replay.run(folder, overrides=given, **more)


def memory(result: Any, path: str) -> dict[str, Any]:
    return only(result.memory, cgroup=path)


def below(result: Any, path: str) -> dict[str, Any]:
    return only(result.io_stat, cgroup=path, device="254:32")


def counted(folder: Path, path: str) -> Any:
    return read_counters(folder / "end")[path]


# -- 5.10: one thread, the root pays


def test_5_10_kills_nobody_and_the_root_pays(recording: Find) -> None:
    # WHEN a recording of the old driver is replayed and nothing else is said
    result = run(recording("5.10/seed-40"))
    # THEN the root pays for every page, as there: 40M of the writer held nothing
    assert memory(result, "/")["shmem"] == 157_286_400
    assert memory(result, "/web.slice")["current"] == 0
    assert result.kills.num_rows == 0


def test_5_10_charges_holes_that_are_read(recording: Find) -> None:
    result = run(recording("5.10/three-mixed"))
    # 29,097,984 B of it were read and never written
    assert memory(result, "/")["shmem"] == 102_400_000


def test_5_10_sleeps_for_no_memory_high(recording: Find) -> None:
    result = run(recording("5.10/tmpfs-high"), {"/a/memory.high": "24M"})
    assert memory(result, "/a")["high"] == 0


@pytest.mark.parametrize("name", ["direct-base", "direct-rbps"])
def test_direct_io_below_is_the_issuers_to_the_byte(recording: Find, name: str) -> None:
    for kernel in ("5.10", "6.12", "7.3"):
        folder = recording(f"{kernel}/{name}")
        result = run(folder, BELOW | {"driver.direct_io": "true"})
        end = read_counters(folder / "end")
        for path in ("/r", "/w"):
            found = below(result, path)
            lines = end[path]["io.stat"]
            for column in ("rbytes", "wbytes", "rios", "wios"):
                assert found[column] == lines["254:32"][column], (kernel, path)


# -- memory


def test_7_3_split_writes_keep_their_pages_until_the_last_part_ends(
    recording: Find,
) -> None:
    # GIVEN dd writing 768K at once, of which the device takes 512K
    limit = {
        "/web.slice/memory.max": "40M",
        "/web.slice/tasks": '[{ comm = "dd", rss = "768K" }]',
    }
    result = run(recording("7.3/seed-40-base"), limit)
    # THEN one kill, where the kernel had 41,054,208 B of its pages then
    assert memory(result, "/web.slice")["oom_kill"] == 1
    assert memory(result, "/web.slice")["shmem"] == pytest.approx(41_054_208, rel=0.001)


def test_7_3_write_zeroes_that_failed_freed_nothing(recording: Find) -> None:
    result = run(recording("7.3/trim"))
    assert memory(result, "/w")["shmem"] == 18_792_448
    assert memory(result, "/z")["shmem"] == 1_048_576
    assert any("recorded: 1 write_zeroes" in one for one in result.info["notes"])


@pytest.mark.parametrize("kernel", ["6.12", "7.3"])
def test_huge_pages_of_tmpfs_are_charged_whole(recording: Find, kernel: str) -> None:
    result = run(recording(f"{kernel}/tmpfs-huge"), {"backing.huge": "always"})
    for path in ("/a", "/b"):
        assert memory(result, path)["shmem"] + FIO_FILES == 23_076_864


@pytest.mark.parametrize("kernel", ["6.12", "7.3"])
def test_direct_io_on_tmpfs_is_charged_to_the_issuer(
    recording: Find, kernel: str
) -> None:
    settings = {"backing.filesystem": "tmpfs", "driver.direct_io": "true"}
    result = run(recording(f"{kernel}/tmpfs-dio"), settings)
    assert memory(result, "/a")["shmem"] == 16_777_216
    # AND a kernel that refuses it is told
    settings["driver.kernel"] = "6.1"
    with pytest.raises(replay.ScenarioError, match=r"6\.1 refuses direct I/O on tmpfs"):
        run(recording(f"{kernel}/tmpfs-dio"), settings)


def test_7_3_pages_of_a_removed_cgroup_are_its_parents(recording: Find) -> None:
    result = run(recording("7.3/rmdir"), {"/p/a/online": "false"})
    # 8 MiB after the removal, of which b discards 4
    charged = [row for row in result.charges.to_pylist() if row["charged_bytes"]]
    assert [(row["payer"], row["charged_bytes"]) for row in charged] == [
        ("/p", 8_388_608)
    ]
    assert memory(result, "/p")["shmem"] == 4_194_304
    assert memory(result, "/p/a")["shmem"] == 0


def test_memory_high_of_7_3_is_predicted_from_6_1(recording: Find) -> None:
    # dd's own memory is 1.3 MiB, by memory.peak
    settings = {
        "/a/memory.high": "24M",
        "/a/tasks": '[{ comm = "dd", rss = "1300K" }]',
    }
    result = run(recording("6.1/high-unlimited"), settings | {"driver.kernel": "7.3"})
    assert memory(result, "/a")["high"] == 187
    # AND from the recording with the limit within 10 %
    result = run(recording("7.3/tmpfs-high"), settings)
    assert memory(result, "/a")["high"] == pytest.approx(187, rel=0.1)


@pytest.mark.parametrize(
    ("kernel", "payer", "high", "slept_s"),
    [
        ("5.10", "/", 0, 0),
        ("5.15", "/a", 0, 0),
        ("6.0", "/a", 358, 28.1),
        ("6.1", "/a", 187, 14.0),
        ("6.12", "/a", 187, 14.0),
        ("6.18", "/a", 187, 14.0),
        ("7.3", "/a", 187, 14.0),
    ],
)
def test_one_trace_on_seven_kernels(
    recording: Find, kernel: str, payer: str, high: int, slept_s: float
) -> None:
    """The table of docs/kernels.md."""
    settings = {
        "driver.kernel": kernel,
        "/a/memory.high": "24M",
        "/a/tasks": '[{ comm = "dd", rss = "1300K" }]',
    }
    result = run(recording("6.1/high-unlimited"), settings)
    payers = {
        row["payer"] for row in result.charges.to_pylist() if row["issuer"] == "/a"
    }
    assert payers == {payer}
    assert memory(result, "/a")["high"] == high
    slept = [row for row in result.latency.to_pylist() if row["stage"] == "memory"]
    assert sum(row["sum_ns"] for row in slept) / 1e9 == pytest.approx(slept_s, abs=0.05)


def test_shares_of_io_cost_are_predicted_with_a_period_of_50_ms(
    recording: Find,
) -> None:
    # GIVEN three readers recorded without io.cost, on 7.3
    rates = "bps=1000000000 {0}seqiops=1600 {0}randiops=1600"
    model = " ".join(f"{one}{rates.format(one)}" for one in "rw")
    qos = "enable=1 ctrl=user rpct=0 rlat=25000 wpct=0 wlat=25000 min=100 max=100"
    weights = {"/gold": 400, "/silver": 200, "/tin": 100}
    root = {
        "io.cost.model": f"254:32 ctrl=user model=linear {model}",
        "io.cost.qos": f"254:32 {qos}",
    }
    scenario = {
        "backing": {"filesystem": "ext4", "device": "254:32"},
        "driver": {"direct_io": True},
        "cgroups": {"/": root, **{at: {"io.weight": n} for at, n in weights.items()}},
    }
    # WHEN 1,600 reads a second are shared 400 : 200 : 100
    result = replay.run(recording("7.3/cost-base"), scenario, requests=True)
    # THEN the cost is the kernel's to the microsecond
    usage = {path: below(result, path)["cost_usage_us"] for path in weights}
    assert usage == {"/gold": 1_250_000, "/silver": 937_500, "/tin": 500_000}
    # AND so are completions in the median 100 ms while all three run
    done = {path: completions(result, path) for path in weights}
    start = max(begin for _, begin in done.values()) + 2 * TENTH
    tenths = np.arange(start, min(ends.max() for ends, _ in done.values()), TENTH)
    for path, counted in {"/gold": 91, "/silver": 46, "/tin": 23}.items():
        found = np.median(np.histogram(done[path][0], tenths)[0])
        assert found == pytest.approx(counted, rel=0.05), path


# -- the page cache


def test_5_10_reads_ahead_of_what_it_read_below(recording: Find) -> None:
    result = run(recording("5.10/cache-24"), BELOW)
    found = below(result, "/")
    assert (found["rbytes"], found["rios"]) == (42_188_800, 3168)
    assert below(result, "/rd")["rbytes"] == 0


def test_7_3_reads_8m_ahead_of_a_disk_that_rotates(recording: Find) -> None:
    result = run(recording("7.3/seq-read"), BELOW)
    found = below(result, "/a")
    assert (found["rbytes"], found["rios"]) == (41_943_040, 13)


def test_7_3_reads_128k_ahead_where_that_is_set(recording: Find) -> None:
    settings = BELOW | {"backing.readahead": "128K"}
    found = below(run(recording("7.3/seq-read-128"), settings), "/a")
    assert (found["rbytes"], found["rios"]) == (33_685_504, 257)


@pytest.mark.parametrize(
    ("name", "path", "limit", "rbytes", "refaults"),
    [
        # 140,390,400 B in 10,277 ios, and 15,122,432 in 3,610; by two lists it would be
        # 151,814,144 B and 26,396 refaults, and 14,409,728 B and 204
        ("cache-24", "/rd", "24M", 0.02, 0.02),
        ("zipf-limit", "/a", "16M", 0.03, 0.15),
        ("seq-read-limit", "/a", "16M", 0.03, 0.05),
    ],
)
def test_7_3_reads_again_what_its_generations_dropped(
    recording: Find, name: str, path: str, limit: str, rbytes: float, refaults: float
) -> None:
    # GIVEN a reader that may hold less than it reads
    folder = recording(f"7.3/{name}")
    settings = BELOW | {f"{path}/memory.max": limit, f"{path}/tasks": FIO}
    # WHEN its pages are reclaimed by the multi-generational LRU
    result = run(folder, settings)
    # THEN as much is read again as the kernel read
    lines = counted(folder, path)
    expected = lines["io.stat"]["254:32"]["rbytes"]
    assert below(result, path)["rbytes"] == pytest.approx(expected, rel=rbytes)
    expected = lines["memory.stat"]["workingset_refault_file"]
    found = memory(result, path)["workingset_refault_file"]
    assert found == pytest.approx(expected, rel=refaults)
    # AND no read through a loop device activates
    assert memory(result, path)["workingset_activate_file"] == 0
    # AND the limit was met as often, for a folio charged is one round: of the stream
    # 1,033 times, page by page it would be 1,924
    expected = lines["memory.events"]["max"]
    assert memory(result, path)["max"] == pytest.approx(expected, rel=0.3)


def test_6_12_counts_high_of_a_writer_by_its_generations(recording: Find) -> None:
    settings = BELOW | {"/a/memory.high": "16M", "/a/tasks": FIO}
    folder = recording("6.12/write-high-ext4")
    # 101 counted; by two lists it would be 46
    high = memory(run(folder, settings), "/a")["high"]
    events = counted(folder, "/a")["memory.events"]
    assert high == pytest.approx(events["high"], rel=0.3)
    classic = run(folder, settings | {"backing.reclaim": "classic"})
    assert memory(classic, "/a")["high"] == 46


def test_first_dirty_pages_go_at_once_up_to_6_12_and_late_from_6_14_on(
    recording: Find,
) -> None:
    folder = recording("6.12/wb-first")
    settings = {
        "backing.filesystem": "ext4",
        "backing.device": "254:32",
        "machine.memory": "1500M",
    }
    # 6.12 wrote them within 6 s, in 4 bios; 7.3 had written nothing after 18 s
    assert below(run(folder, settings), "/a")["wios"] == 4
    late = run(folder, settings | {"driver.kernel": "7.3"})
    assert below(late, "/a")["wios"] == 1


# -- blktrace


@pytest.mark.parametrize("name", ["trim-v7", "fs-fsync-v7"])
def test_what_version_7_lost_is_told(recording: Find, name: str) -> None:
    notes = run(recording(f"7.3/{name}")).info["notes"]
    assert any("leaves out of it FUA writes" in note for note in notes)
    # of a journal what was issued and completed is there, without its queueing
    if name == "trim-v7":
        assert any("holds 92.6% of the bytes that io.stat" in note for note in notes)


def test_what_version_8_holds_is_not_called_lost(recording: Find) -> None:
    notes = run(recording("7.3/trim")).info["notes"]
    assert not any("leaves out of it FUA writes" in note for note in notes)


# -- io.max

#: What `direct-rbps` has and `direct-base` has not, each process waiting for its own.
RATES = BELOW | {
    "driver.direct_io": "true",
    "arrivals.mode": "dependent",
    "/r/io.max": "254:32 rbps=3145728",
    "/w/io.max": "254:32 wbps=1048576",
}


@pytest.mark.parametrize("kernel", ["5.10", "6.12", "7.3"])
def test_rates_are_predicted_from_a_run_without_them(
    recording: Find, kernel: str
) -> None:
    # GIVEN how long requests took without a limit
    # WHEN the limits are added
    result = run(recording(f"{kernel}/direct-base"), RATES)
    # THEN means are those of the recording with limits, Q to C
    expected = {
        "5.10": (14_262, 14_144),
        "6.12": (13_926, 14_068),
        "7.3": (14_225, 14_243),
    }[kernel]
    found = means(result)
    for path, mean_us in zip(("/r", "/w"), expected, strict=True):
        if (kernel, path) != ("6.12", "/w"):  # its slices: the next test
            assert found[path] / 1000 == pytest.approx(mean_us, rel=0.05), path


def slices(arrival_ns: Any, completion_ns: Any) -> tuple[list[int], float]:
    """Return how many requests each slice of io.max let go, and how long all took.

    A slice begins with requests that waited 40 ms or more for it.
    """
    waited = np.sort(completion_ns[completion_ns - arrival_ns >= 40_000_000])
    begins = waited[np.diff(waited, prepend=-(10**9)) > 20_000_000]
    counts = np.diff(np.searchsorted(np.sort(completion_ns), begins))
    return sorted(counts.tolist()), float(completion_ns.max() - arrival_ns.min())


def test_every_slice_of_6_12_lets_as_many_go_as_in_the_kernel(recording: Find) -> None:
    """The mean of /w cannot be told from `direct-base`: 14,068 us, 14,988 predicted.

    Two requests are in flight at a time, so that a request's time and the time from a
    completion to the next request are 15.47 ms together, which is what the limit
    decides (two times 5.42 s by 700). The second part is the program's and the
    processors': 0.48 ms a request without limits, 1.40 ms with them, when a processor
    that sleeps between slices is woken on a busy host. The first trace does not hold
    that; with it, the mean is what is left of 15.47 ms, whatever the rule.
    """
    # GIVEN the requests of /w as they were recorded with the limits
    with replay.open_or_convert(recording("6.12/direct-rbps")) as trace:
        rows = trace.table().to_pandas()
    rows = rows[(rows["device"] == 7 << 20) & (rows["op"] == "write")]
    rows = rows[rows["nbytes"] == 8192]
    counts, took = slices(rows["queue_ns"].to_numpy(), rows["complete_ns"].to_numpy())
    # WHEN the limits are added to the recording without them
    result = run(recording("6.12/direct-base"), RATES, requests=True)
    rows = result.requests.to_pandas()
    rows = rows[rows["issuer"] == "/w"]
    found = slices(rows["arrival_ns"].to_numpy(), rows["completion_ns"].to_numpy())
    # THEN each slice lets as many go, and all take as long
    assert counts == [12] * 10 + [13] * 43 == found[0]
    assert found[1] == pytest.approx(took, rel=0.01)
