"""The page cache of a file on ext4 against what the kernel counted."""

from typing import Any

import pytest

import replay
from fidelity.page.lab import Lab
from fidelity.page.tables import only

#: The root laid the file out (kernel-lab's `ext4_loop`), the disk below is vdc.
BACKING = {"filesystem": "ext4", "laid_out_by": "/", "device": "254:32"}
IO = ("rbytes", "wbytes", "rios", "wios")
#: Beside the cache each fio has two pages of files of its own on tmpfs.
FIO_FILES = 8192


def io_below(result: replay.Result, cgroup: str) -> dict[str, int]:
    row = only(result.io_stat, cgroup=cgroup, device="254:32")
    return {name: row[name] for name in IO}


def test_buffered_two_has_the_kernels_pages_and_bios(lab: Lab) -> None:
    # GIVEN a's random reads and b's random writes through the page cache
    two = lab["buffered-two"]
    result = replay.run(two.trace, {"backing": BACKING})
    # THEN a holds what it read and read ahead, b what it wrote, exactly
    kernel = two.kernel()
    for path, file in (("/a", 13_168_640), ("/b", 49_152_000)):
        row = only(result.memory, cgroup=path)
        assert row["file"] == row["own_file"] == file
        assert row["shmem"] == 0
        assert kernel[path]["memory.stat"]["file"] == file + FIO_FILES
    # AND the reads below are a's, one bio for each gap that readahead filled
    assert io_below(result, "/a") == {
        **dict.fromkeys(IO, 0),
        "rbytes": 13_168_640,
        "rios": 2992,
    }
    assert {name: kernel["/a"]["io.stat"]["254:32"][name] for name in IO} == io_below(
        result, "/a"
    )
    # AND b's pages are written back in the name of who laid the file out: 561 bios
    # in the recording of 254:32, one for each run of dirty pages
    assert io_below(result, "/b") == dict.fromkeys(IO, 0)
    assert "254:32" not in kernel["/b"]["io.stat"]
    below = io_below(result, "/")
    assert (below["wbytes"], below["wios"]) == (49_152_000, 561)
    below_a = only(
        replay.run(
            two.trace,
            {"backing": BACKING | {"laid_out_by": "/a"}},
        ).io_stat,
        cgroup="/a",
        device="254:32",
    )
    assert below_a["wbytes"] == 49_152_000


def test_buffered_two_charges_page_tree_and_buffer_heads(lab: Lab) -> None:
    # GIVEN b, whose kernel memory is its pages' alone (a's also has fio's inodes)
    two = lab["buffered-two"]
    result = replay.run(two.trace, {"backing": BACKING})
    kernel = two.kernel()["/b"]["memory.stat"]["kernel"]
    assert abs(only(result.memory, cgroup="/b")["kernel"] / kernel - 1) < 0.003


def limited(rss: str, **backing: Any) -> dict[str, Any]:
    return {
        "backing": BACKING | backing,
        "cgroups": {
            "/a": {"memory.max": "16M", "tasks": [{"comm": "fio", "rss": rss}]}
        },
    }


# 8.4 MB as either unit, and what of the 16 MiB the kernel had left for the cache at the
# end: 7,475,200 B of it, the stocks and fio's kernel objects beside
@pytest.mark.parametrize("rss", ["8400K", "8613K", "8720K"])
def test_buffered_limit_reads_again_what_was_reclaimed_and_kills_nobody(
    lab: Lab, rss: str
) -> None:
    # GIVEN a reader of 64 MiB that may hold 16 MiB, fio's own memory included
    taken = lab["buffered-limit"]
    result = replay.run(taken.trace, limited(rss))
    # THEN what is read below is the kernel's within 2 %
    kernel = taken.kernel()["/a"]
    below = io_below(result, "/a")
    assert abs(below["rbytes"] / kernel["io.stat"]["254:32"]["rbytes"] - 1) < 0.02
    assert abs(below["rios"] / kernel["io.stat"]["254:32"]["rios"] - 1) < 0.02
    # AND each `max` is one reclaim of some fifty pages
    row = only(result.memory, cgroup="/a")
    assert abs(row["max"] / kernel["memory.events"]["max"] - 1) < 0.06
    assert (row["oom"], row["oom_kill"]) == (0, 0)
    assert result.kills.num_rows == result.errors.num_rows == 0
    assert row["peak"] == 16 << 20
    # AND so many of the reads are of pages that were dropped; none within the active
    lines = (taken.folder / "end/a/memory.stat").read_text().splitlines()
    stat = {name: int(value) for name, value in map(str.split, lines)}
    refaults = stat["workingset_refault_file"]
    assert abs(row["workingset_refault_file"] / refaults - 1) < 0.08
    assert row["workingset_activate_file"] == stat["workingset_activate_file"] == 0


def test_memory_high_on_clean_cache_hardly_slows(lab: Lab) -> None:
    # GIVEN the same reader under memory.high: clean cache is reclaimed, so that nobody
    # sleeps (docs/model.md, Page cache: Reclaim)
    taken = lab["buffered-limit"]
    scenario = limited("8613K")
    scenario["cgroups"]["/a"]["memory.high"] = "12M"
    result = replay.run(taken.trace, scenario)
    row = only(result.memory, cgroup="/a")
    assert row["high"] > 0
    assert row["max"] == 0
    slept = [one for one in result.latency.to_pylist() if one["stage"] == "memory"]
    assert sum(one["max_ns"] for one in slept) == 0
