"""Counts, bytes and times against the packaged blkparse and btt.

blkparse 1.2.0 refuses events that carry a cgroup id, sets in which a CPU is missing,
and files whose suffix is not their records' CPU. For those it gets a copy without ids
and with each record in its CPU's file; the decoder always reads the original.
"""

import re
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc

from replay.trace.events import convert_events
from replay.trace.file.metadata import Summary
from support.blktrace import decode

PUBLIC = {
    "netsys-0": "NetSys_disaggregation/0-disk-ec2-54-145-159-16",
    "netsys-1": "NetSys_disaggregation/1-disk-ec2-174-129-163-112",
    "liuzel01": "liuzel01_mynotes/sda",
    "asifazamali": "asifazamali-zz_kernel/sda1",
    "isotopp": "isotopp_blktrace_to_influx/keks",
    "takeoverjp": "takeoverjp_blktrace_viewer/sample",
    "romeus-0": "Romeus_blkparseanalyzer/trace_x_0_y_0.bin",
    "romeus-1": "Romeus_blkparseanalyzer/trace_x_0_y_1.bin",
}
#: Those that blkparse reads as they are.
READABLE = ("netsys-0", "netsys-1", "liuzel01", "asifazamali", "isotopp")
GROUND_TRUTH = (
    "buffered-two/vdc",
    "direct-iomax/vdc",
    "direct-two/loop0",
    "fs-on-loop/loop0",
    "seed-oom/loop0",
    "workers-many/loop0",
)
DIRECTION = {"read": "R", "write": "W", "discard": "D"}
Files = Callable[[str], list[Path]]
HEADER = struct.Struct("<IIQQIIIIIHH")


@pytest.fixture
def trace_files(request: pytest.FixtureRequest) -> Files:
    """A capture's files by its name."""

    def find(name: str) -> list[Path]:
        if name in PUBLIC:
            start = request.getfixturevalue("public_trace")(PUBLIC[name])
        else:
            scenario, device = name.split("/")
            start = request.getfixturevalue("recording")(scenario) / device
        if start.is_file():
            return [start]
        return sorted(start.parent.glob(f"{start.name}.blktrace.*"))

    return find


def plain_copy(files: list[Path], directory: Path) -> None:
    """Write what blkparse 1.2.0 can read: no ids, each record in its CPU's file."""
    records: dict[int, list[bytes]] = {}
    for path in files:
        data = path.read_bytes()
        offset = 0
        while offset < len(data):
            fields = list(HEADER.unpack_from(data, offset))
            end = offset + HEADER.size + fields[10]
            payload = data[offset + HEADER.size : end]
            if fields[5] & 1 << 8:
                fields[5] &= ~(1 << 8)
                payload = payload[8:]
                fields[10] = len(payload)
            records.setdefault(fields[8], []).append(HEADER.pack(*fields) + payload)
            offset = end
    for cpu in range(max(records) + 1):
        path = directory / f"plain.blktrace.{cpu}"
        path.write_bytes(b"".join(records.get(cpu, [])))


def run_tool(*command: str, cwd: Path | None = None) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def capture(
    request: pytest.FixtureRequest, trace_files: Files, tmp_path: Path
) -> tuple[str, str, pa.Table, Summary]:
    """The name, the base name that blkparse can read, and what we read."""
    name = request.param
    files = trace_files(name)
    if name in READABLE:
        base = str(files[0]).rpartition(".blktrace.")[0]
    else:
        plain_copy(files, tmp_path)
        base = str(tmp_path / "plain")
    table, summary = decode([path.read_bytes() for path in files])
    return name, base, table, summary


def rwbs_direction(rwbs: str) -> str:
    """The letter of the direction: behind an F that says flush."""
    return rwbs.removeprefix("F")[:1]


@pytest.mark.parametrize("capture", [*PUBLIC, *GROUND_TRUTH], indirect=True)
def test_events_and_bytes_equal_blkparse(
    capture: tuple[str, str, pa.Table, Summary],
) -> None:
    # GIVEN what blkparse prints of each event: letter, direction, bytes
    _, base, table, summary = capture
    letters: Counter[str] = Counter()
    nbytes: Counter[tuple[str, str]] = Counter()
    for line in run_tool("blkparse", "-i", base, "-q", "-f", "%a %d %N\n").splitlines():
        # messages and the list of inputs are printed in a form of their own
        if not (printed := re.fullmatch(r"([A-Z]+) (\w+) (\d+)", line)):
            continue
        letter, rwbs, count = printed.groups()
        letters["T" if letter == "UT" else letter] += 1
        if int(count) and letter in "QDC":
            nbytes[letter, rwbs_direction(rwbs)] += int(count)
    # WHEN the same records are decoded and paired
    rows = table.to_pylist()
    # THEN the events are the same, and each event's bytes are in its requests
    assert summary.quality.events == dict(letters)
    ours: Counter[tuple[str, str]] = Counter()
    for row in rows:
        direction = DIRECTION.get(row["op"], "")
        if row["n_bios"]:
            ours["Q", direction] += row["nbytes"]
        if row["issue_ns"] is not None:
            ours["D", direction] += row["nbytes"]
        if row["complete_ns"] is not None:
            ours["C", direction] += row["nbytes"]
    assert +ours == +nbytes


def btt_means(base: str, directory: Path) -> dict[str, tuple[float, int]]:
    """The first table of btt: name -> (average in s, count)."""
    dump = directory / "btt.dump"
    run_tool("blkparse", "-i", base, "-q", "-O", "-d", str(dump))
    means = {}
    # btt leaves files of its own where it is run
    for line in run_tool("btt", "-i", str(dump), cwd=directory).splitlines():
        fields = line.split()
        # it takes virtio's major number for the device mapper's, and says so
        name = fields[0].removesuffix("dm") if fields else ""
        if len(fields) == 5 and name in ("D2C", "Q2C"):
            means[name] = (float(fields[2]), int(fields[4]))
    return means


def queue_times(events: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[int]:
    """Q to C of each bio, as btt counts it: from its own Q, merged ones included.

    Independent of the pairing: by the places on the device alone. Of a request the bios
    are those that lie in it, were queued before its issue and are in no earlier one.
    """
    waiting: dict[int, list[dict[str, Any]]] = {}
    for event in events:
        if event["action"] == "Q" and event["nbytes"]:
            waiting.setdefault(event["device"], []).append(event)
    times = []
    for row in rows:
        if not row["nbytes"] or not row["n_bios"]:
            continue
        begin, end = row["sector"], row["sector"] + row["nbytes"] // 512
        queued = waiting[row["device"]]
        mine = [
            event
            for event in queued
            if event["time_ns"] <= row["issue_ns"]
            and begin <= event["sector"]
            and event["sector"] + event["nbytes"] // 512 <= end
            and (event["op"] == row["op"])
        ]
        assert len(mine) == row["n_bios"], row
        taken = {id(event) for event in mine}
        waiting[row["device"]] = [one for one in queued if id(one) not in taken]
        if row["complete_ns"] is not None:
            times += [row["complete_ns"] - event["time_ns"] for event in mine]
    return times


@pytest.mark.parametrize("capture", [*PUBLIC, *GROUND_TRUTH], indirect=True)
def test_mean_times_equal_btt(
    capture: tuple[str, str, pa.Table, Summary], trace_files: Files, tmp_path: Path
) -> None:
    # GIVEN btt's means, which count a request once for each of its bios
    name, base, table, _ = capture
    means = btt_means(base, tmp_path)
    rows = table.to_pylist()
    assert_issue_to_completion_equals(base, rows)
    # WHEN our rows are counted so, flushes without data aside
    whole = [row for row in rows if row["complete_ns"] and row["nbytes"]]
    n_bios = sum(row["n_bios"] for row in whole)
    if not n_bios:
        # no Q, and so nothing to count for btt
        assert (name, means) == ("isotopp", {})
        return
    # THEN they are the same to the nanosecond that btt prints
    weighted = sum(
        (row["complete_ns"] - row["issue_ns"]) * row["n_bios"] for row in whole
    )
    assert means["D2C"][1] == n_bios
    assert weighted / n_bios == pytest.approx(means["D2C"][0] * 1e9, abs=1)
    # AND so are the times from each bio's own Q, as every record as a row has it
    output = tmp_path / "events.arrow"
    convert_events(trace_files(name), output)
    with ipc.open_file(output) as file:
        events = file.read_all().to_pylist()
    times = queue_times(events, rows)
    assert means["Q2C"][1] == len(times) == n_bios
    assert sum(times) / n_bios == pytest.approx(means["Q2C"][0] * 1e9, abs=1)


def assert_issue_to_completion_equals(base: str, rows: list[dict[str, Any]]) -> None:
    """Hold the rows' D to C against the D and C that blkparse prints, where data is."""
    open_: dict[tuple[str, str], list[int]] = {}
    times = []
    fields = "%a %M,%m %S %n %T %t\n"
    for line in run_tool("blkparse", "-i", base, "-q", "-f", fields).splitlines():
        if not (found := re.fullmatch(r"([DC]) (\S+) (\d+) (\d+) (\d+) (\d+)", line)):
            continue
        letter, device, sector, count, seconds, ns = found.groups()
        time_ns = int(seconds) * 10**9 + int(ns)
        waiting = open_.setdefault((device, sector), [])
        if letter == "D" and int(count):
            waiting.append(time_ns)
        elif waiting and int(count):
            times.append(time_ns - waiting.pop())
    ours = [
        row["complete_ns"] - row["issue_ns"]
        for row in rows
        if row["nbytes"] and None not in (row["issue_ns"], row["complete_ns"])
    ]
    assert (len(ours), sum(ours)) == (len(times), sum(times))


def test_capture_with_only_issue_and_completion(trace_files: Files) -> None:
    # GIVEN a ZFS pool's disk, where no Q is traced
    files = trace_files("isotopp")
    # WHEN it is paired
    table, summary = decode([path.read_bytes() for path in files])
    # THEN issues make the rows; those never completed are counted, one by one
    rows = table.to_pylist()
    assert len(rows) == 1192
    assert all(row["queue_ns"] is None and row["n_bios"] == 0 for row in rows)
    quality = summary.quality
    assert quality.records == 2589
    assert quality.unmatched == {"issue_without_queue": 1168}
    assert quality.unfinished == 10
    # 24 flushes: C of the flush, then an empty C of the bio that asked for it
    assert quality.flush_sequences == 24
    assert sum(row["op"] == "flush" for row in rows) == 24


def test_capture_without_completions(trace_files: Files) -> None:
    # GIVEN the same without the CPU on which everything completes
    files = trace_files("isotopp")
    kept = [path for path in files if not path.name.endswith(".3")]
    # WHEN it is paired
    table, summary = decode([path.read_bytes() for path in kept])
    # THEN every request is there and unfinished
    assert "C" not in summary.quality.events
    assert table["complete_ns"].null_count == table.num_rows
    assert summary.quality.unfinished == summary.quality.events["D"] == table.num_rows


def test_file_with_another_cpu_in_its_name(trace_files: Files) -> None:
    # GIVEN a file that blkparse refuses; WHEN it is paired
    files = trace_files("takeoverjp")
    table, summary = decode([path.read_bytes() for path in files])
    # THEN all of it is there
    assert summary.quality.records == 6743
    assert table.num_rows == 963
    times = zip(
        table["issue_ns"].to_pylist(), table["complete_ns"].to_pylist(), strict=True
    )
    mean_ns = sum(done - issued for issued, done in times) / 963
    assert mean_ns == pytest.approx(55_900, abs=50)
    assert table["cpu"].unique().to_pylist() == [1]


def test_dump_whose_notes_keep_absolute_times(trace_files: Files) -> None:
    # GIVEN a dump of `blkparse -d`: events from 0, notes an hour later
    files = trace_files("romeus-0")
    # WHEN it is paired
    table, summary = decode([path.read_bytes() for path in files])
    # THEN the notes moved no event, and the names hold from the start
    assert summary.quality.records == 5379
    assert summary.start_ns == 0
    assert summary.quality.out_of_order == 0
    assert table.num_rows == 768
    assert table["complete_ns"].null_count == 0
    assert summary.wall_clock_ns is None
    names = {p.pid: [n.name for n in p.names] for p in summary.processes}
    assert names == {6695: ["loop0"], 6775: ["blktst"]}
    assert all(n.time_ns == 0 for p in summary.processes for n in p.names)


def test_notes_full_of_garbage_are_ignored(trace_files: Files) -> None:
    # GIVEN 760 process notes with garbage in sector, bytes, error and sequence
    files = trace_files("netsys-0")
    _, summary = decode([path.read_bytes() for path in files])
    assert summary.quality.notes == {"process": 760, "timestamp": 1}
    assert summary.quality.lost == {}
    assert summary.quality.unmatched == {}
    assert all(p.pid >= 0 for p in summary.processes)
