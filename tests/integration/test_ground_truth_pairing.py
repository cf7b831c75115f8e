"""Requests paired from the kernel's own recordings against the kernel's counters.

``io.stat`` counts bios and bytes of a cgroup with its descendants. `/` is left out: the
kernel shows disk statistics there, not a sum.
"""

import mmap
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from replay.trace.blktrace.batches import BlktraceBatches, CaptureFile
from replay.trace.file.metadata import Summary

Recording = Callable[[str], Path]

SCENARIOS = (
    "buffered-limit",
    "buffered-two",
    "direct-iocost",
    "direct-iocost-base",
    "direct-iomax",
    "direct-two",
    "direct-unlimited",
    "fs-on-loop",
    "high-alone",
    "high-unlimited",
    "nested-unlimited",
    "seed-oom",
    "seed-oom-direct",
    "seed-swap",
    "seed-unlimited",
    "tmpfs-enospc",
    "tmpfs-high",
    "tmpfs-nested",
    "tmpfs-rewrite",
    "workers-many",
    "workers-per-cgroup",
    "workers-root",
)
#: The first of them have a trace of the disk below, too.
N_WITH_DISK = 7
#: Device file name -> number as io.stat shows it.
DEVICES = {"loop0": "7:0", "vdc": "254:32"}
DIRECTION = {"read": "r", "write": "w", "flush": "w", "discard": "d"}


def pair_files(directory: Path, name: str) -> tuple[pa.Table, Summary]:
    """Decode a set through maps, as the converter does."""
    sources = []
    for path in sorted(directory.glob(f"{name}.blktrace.[0-9]*")):
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        sources.append(CaptureFile(str(path), data))
    batches = BlktraceBatches(sources)
    table = pa.Table.from_batches(list(batches))
    return table, batches.summary


def read_stat(path: Path, device: str) -> Counter[str]:
    """One device's line of an io.stat file."""
    stat: Counter[str] = Counter()
    if path.exists():
        for line in path.read_text().splitlines():
            name, *pairs = line.split()
            if name == device:
                for pair in pairs:
                    key, _, value = pair.partition("=")
                    if key[1:] in ("bytes", "ios"):
                        stat[key] = int(value)
    return stat


def counted(table: pa.Table) -> dict[int, Counter[str]]:
    """Sum rows by cgroup as io.stat does."""
    stats: dict[int, Counter[str]] = {}
    columns = ("cgroup", "op", "nbytes", "n_bios")
    for row in table.select(columns).to_pylist():
        letter = DIRECTION[row["op"]]
        stat = stats.setdefault(row["cgroup"], Counter())
        stat[f"{letter}bytes"] += row["nbytes"]
        stat[f"{letter}ios"] += row["n_bios"]
    return stats


def with_descendants(
    own: dict[int, Counter[str]], paths: dict[int, str], path: str
) -> Counter[str]:
    total: Counter[str] = Counter()
    for cgroup, stat in own.items():
        if paths.get(cgroup, "/") == path or paths.get(cgroup, "").startswith(
            path + "/"
        ):
            total += stat
    return total


@pytest.mark.parametrize(
    ("scenario", "name"),
    [(scenario, "loop0") for scenario in SCENARIOS]
    + [(scenario, "vdc") for scenario in SCENARIOS[:N_WITH_DISK]],
)
def test_bios_and_bytes_equal_io_stat(
    recording: Recording, scenario: str, name: str
) -> None:
    # GIVEN a recording with cgroup ids, and the counters of the same run
    directory = recording(scenario)
    paths = {
        int(id_): path
        for id_, path in (
            line.split(maxsplit=1)
            for line in (directory / "ids").read_text().splitlines()
        )
    }
    # WHEN its records are paired
    table, summary = pair_files(directory, name)
    own = counted(table)
    # THEN every cgroup but the root has the kernel's numbers
    for path in paths.values():
        if path == "/":
            continue
        folder = path.strip("/").replace("/", "__")
        expected = read_stat(directory / "end" / folder / "io.stat", DEVICES[name])
        expected -= read_stat(directory / "begin" / folder / "io.stat", DEVICES[name])
        assert with_descendants(own, paths, path) == expected, path
    # and no bio is lost or invented
    quality = summary.quality
    n_bios = quality.events.get("Q", 0) + quality.events.get("X", 0)
    assert sum(table["n_bios"].to_pylist()) == n_bios
    assert quality.unmatched == {}
    assert quality.lost == {}
    assert quality.refused_bytes == quality.truncated_bytes == 0


def test_merged_bios_are_counted_in_their_request(recording: Recording) -> None:
    # a buffered dd: 16,038 bios of a page each, merged to the driver's largest size
    table, summary = pair_files(recording("seed-oom"), "loop0")
    assert table.num_rows == 157
    assert sum(table["n_bios"].to_pylist()) == 16_038
    assert sum(table["nbytes"].to_pylist()) == 65_691_648
    assert table["complete_ns"].null_count == 0
    assert summary.cgroups[0].n_requests == 157
    assert summary.wall_clock_ns is not None


def test_file_system_on_loop_device(recording: Recording) -> None:
    # GIVEN ext4 on a loop device: flushes, FUA writes of the journal, discards
    table, summary = pair_files(recording("fs-on-loop"), "loop0")
    rows = table.to_pylist()
    # THEN the driver's own flushes have neither bio nor cgroup, and are complete
    flushes = [row for row in rows if row["op"] == "flush" and row["n_bios"] == 0]
    assert len(flushes) == 82
    assert {row["cgroup"] for row in flushes} == {0}
    assert all(row["complete_ns"] is not None for row in flushes)
    # and discards hold the bios that were merged into them
    discards = [row for row in rows if row["op"] == "discard"]
    assert len(discards) == 29
    assert sum(row["n_bios"] for row in discards) == 52
    # and a FUA write keeps its flags though the driver saw a plain one
    fua = [row for row in rows if row["flags"] & 4 and row["nbytes"]]
    assert len(fua) == summary.quality.flush_sequences == 40
    # and an fsync without data is a bio that waits for the flush
    empty = [row for row in rows if row["op"] == "flush" and row["n_bios"] == 1]
    assert len(empty) == 9
    assert all(row["issue_ns"] is None for row in empty)
    assert all(row["complete_ns"] is not None for row in rows)
