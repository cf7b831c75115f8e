"""The kernel's trace as text: the same requests as the records' of the same I/O."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.common.errors import TraceError
from replay.trace.file.metadata import Summary
from replay.trace.text._blkparse import TextRecords
from support.blktrace import Event, cpu_files
from support.kernel_text import (
    PREFIXES,
    life,
    perf,
    printed,
    tracepoint,
    tracer,
)
from support.samples import brief, paths, read

SDA = 8 << 20


#: All that happens to requests, in µs, as a trace's text has them.
EVENTS = [
    *life(10, 800, extra=("sync",)),
    *life(40, 1600, "QGDC", op="read", nbytes=65536, extra=("ahead", "meta"), cpu=3),
    # a merge behind and one before
    *life(80, 4000, "QG"),
    *life(90, 4008, "QM"),
    *life(100, 3992, "QF"),
    *life(110, 3992, "IDC", nbytes=12288),
    # a split, in two requests
    Event("Q", 200_000, 9000, 8192),
    Event("X", 201_000, 9000, 4096, rest=9008),
    *life(203, 9000, "GDC"),
    *life(215, 9008, "GDC"),
    # given back and issued again; in two parts
    *life(300, 7000, "QGDR"),
    *life(320, 7000, "D"),
    *life(330, 7000, "C", nbytes=1024),
    *life(340, 7002, "C", nbytes=3072),
    # of other kinds
    *life(400, 5000, op="discard", nbytes=1 << 20),
    *life(430, 6000, op="write_zeroes", nbytes=1 << 20),
    *life(460, 6500, extra=("fua", "sync")),
    *life(490, 0, "QG", op="flush_bio", nbytes=0),
    *life(500, 0, "DC", op="flush", nbytes=0),
    *life(520, 0, "IDC", op="passthrough", nbytes=36),
    # one that failed, and one that is open at the end, of another disk
    *life(600, 8000, "QGD"),
    *life(640, 8000, "C", error=-5),
    *life(700, 8100, "AQGD", device=SDA, pid=77),
]
SEEN = ("device", "sector", "nbytes", "n_bios", "op", "flags", "error", "cgroup", "pid")


def requests(rows: list[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    times = ("queue_ns", "issue_ns", "complete_ns")
    return [tuple(row[name] for name in (*times, *SEEN, *columns)) for row in rows]


def of_records(directory: Path, events: list[Event]) -> tuple[list[Any], Summary]:
    """What the records of the events give."""
    ordered = sorted(events, key=lambda one: one.time_ns)
    for number, data in enumerate(cpu_files(ordered, version=8, order="<")):
        (directory / f"a.blktrace.{number}").write_bytes(data)
    rows, summary = read(directory)
    return requests(rows), summary


@pytest.mark.parametrize("name", PREFIXES)
@pytest.mark.parametrize("text", [tracepoint, partial(tracepoint, priority="be,0,4")])
def test_text_gives_the_requests_of_the_records(
    tmp_path: Path, name: str, text: Any
) -> None:
    # GIVEN the same events as records, and as one tool prints them
    expected, of_them = of_records(tmp_path, EVENTS)
    path = tmp_path / "t.txt"
    path.write_text(printed(EVENTS, PREFIXES[name], text))
    # WHEN the text is read, without a word on what it is
    rows, summary = read(path)
    # THEN its requests are the same, and so is what is said of them
    assert summary.format == "kernel"
    assert requests(rows) == expected
    assert summary.quality.unmatched == of_them.quality.unmatched
    assert summary.quality.refused_bytes == summary.quality.unknown == 0
    assert summary.quality.errors == of_them.quality.errors == {"EIO": 1}
    assert summary.quality.partial_completions == 1
    names = {one.pid: [n.name for n in one.names] for one in summary.processes}
    assert names == {100: ["task 100"], 77: ["task 77"]}


@pytest.mark.parametrize("path", [None, "/a/c"])
def test_the_tracer_blk_tells_cgroups(tmp_path: Path, path: str | None) -> None:
    # GIVEN lines of the tracer `blk`, with the ids or the paths of cgroups
    events = [
        Event(
            *(one.letter, one.time_ns, one.sector, one.nbytes, one.op, one.extra),
            device=one.device,
            cpu=one.cpu,
            pid=one.pid,
            cgroup=(5 << 32) + 23,
            error=one.error,
            rest=one.rest,
        )
        for one in EVENTS
        # it does not tell write-zeroes from writes, and has no payload of a remap
        if one.op != "write_zeroes" and one.letter != "A"
    ]
    expected, _ = of_records(tmp_path, events)
    text = tmp_path / "t.txt"
    text.write_text(
        "# tracer: blk\n#\n"
        + printed(events, PREFIXES["ftrace"], partial(tracer, path=path))
    )
    # WHEN they are read
    rows, summary = read(text)
    # THEN requests have their cgroup
    if path is None:
        assert requests(rows) == expected
        assert not summary.cgroup_names
    else:
        assert {*paths(rows, summary)} == {path}
        assert summary.cgroup_names
        without = [row[:10] + row[11:] for row in expected]
        assert [row[:10] + row[11:] for row in requests(rows)] == without


def test_what_is_no_event_of_a_disk_is_counted(tmp_path: Path) -> None:
    good = printed(life(10, 800), PREFIXES["ftrace"])
    path = tmp_path / "t.txt"
    path.write_text(
        "# tracer: nop\n#\n# entries-in-buffer/entries-written: 9/109   #P:16\n"
        + good
        + "CPU:3 [LOST 12 EVENTS]\n"
        + "  dd-1 [001] d... 1.000000: sched_switch: prev_comm=dd ==> next_comm=x\n"
        + "  dd-1 [001] d... 1.100000: block_plug: [dd]\n"
        + "  dd-1 [001] d... 1.200000: block_rq_issue: 0,0 N 0 () 0 + 0 [blkid]\n"
        + " => submit_bio\n"
        + "  dd-1 [001] d... 1.300000: block_rq_issue: 8,0 W 40\n"
        + "  dd-1 [001] d... 1.400000: block_rq_iss"
    )
    rows, summary = read(path)
    quality = summary.quality
    assert len(rows) == 1
    assert quality.lost == {"3": 12}
    assert quality.overwritten == 100
    assert quality.no_disk == 1
    assert summary.notes == ["2 other events of the kernel's trace left out."]
    assert quality.refused_bytes == 53
    assert quality.records == quality.events["Q"] * 5 == 5


def test_an_error_counts_once_where_the_completion_tells_it_too(tmp_path: Path) -> None:
    both = (
        "fio 7 [000] 1.000001: block:block_rq_issue: 8,0 W 4096 () 8 + 8 [fio]\n"
        "fio 7 [000] 1.000002: block:block_rq_complete: 8,0 W () 8 + 8 [-5]\n"
        "fio 7 [000] 1.000002: block:block_rq_error: 8,0 W () 8 + 8 [-5]\n"
    )
    path = tmp_path / "t.txt"
    for text in (both, both.replace(both.splitlines()[1] + "\n", "")):
        path.write_text(text)
        rows, summary = read(path)
        assert [row["error"] for row in rows] == [-5]
        assert summary.quality.unmatched == {"issue_without_queue": 1}


def test_a_cgroup_behind_perfs_events_is_its_submitters(tmp_path: Path) -> None:
    lines = printed(life(10, 800), perf).splitlines()
    path = tmp_path / "t.txt"
    path.write_text("".join(f"{line}  /user.slice/a/ \n" for line in lines))
    rows, summary = read(path)
    assert paths(rows, summary) == ["/user.slice/a"]


def test_cgroups_with_blanks_in_their_names(tmp_path: Path) -> None:
    # GIVEN paths as perf prints them, and as the tracer blk does
    perf_lines = printed(life(10, 800), perf).splitlines()
    path = tmp_path / "t.txt"
    path.write_text("".join(f"{line} /a b/my app \n" for line in perf_lines))
    rows, summary = read(path)
    assert paths(rows, summary) == ["/a b/my app"]
    path.write_text(
        "# tracer: blk\n"
        "dd-1 [001] ..... 1.100001:   7,0  /a b/my Q x   Q  WS 8 + 8 [dd]\n"
        "dd-1 [001] ..... 1.100003:   7,0  /a b/my Q x   D  WS 8 + 8 [dd]\n"
    )
    rows, summary = read(path)
    assert paths(rows, summary) == ["/a b/my Q x"]
    assert brief(rows, "issue_ns", "nbytes", "pid") == [(2000, 4096, 1)]


@pytest.mark.parametrize(
    ("lines", "pid", "cpu"),
    [
        # trace-cmd report -l: CPU and flags before the time
        (
            "fio-26 15..... 2.7354{}: block_bio_queue: 7,0 WS 8 + 8 [fio]\n"
            "fio-26 15d..1. 2.7355{}: block_rq_issue: 7,0 WS 4096 () 8 + 8 [fio]\n",
            *(26, 15),
        ),
        # perf script -F time,event,trace
        (
            "2.7354{}: block:block_bio_queue: 7,0 WS 8 + 8 [fio]\n"
            "2.7355{}: block:block_rq_issue: 7,0 WS 4096 () 8 + 8 [fio]\n",
            *(0, 0),
        ),
        # the tracer blk with its option blk_classic
        (
            "  7,0    3     2.7354{}000    26  Q  WS 8 + 8 [fio]\n"
            "  7,0    3     2.7355{}000    26  D  WS 8 + 8 [fio]\n",
            *(26, 3),
        ),
    ],
)
def test_what_stands_before_an_event(
    tmp_path: Path, lines: str, pid: int, cpu: int
) -> None:
    path = tmp_path / "t.txt"
    path.write_text(lines.format("01", "02"))
    rows, summary = read(path)
    assert summary.format == "kernel"
    assert summary.quality.refused_bytes == 0
    assert brief(rows, "issue_ns", "sector", "nbytes", "pid", "cpu") == [
        (101_000, 8, 4096, pid, cpu)
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("dd-1 [001] d... 12345678901: block_getrq: 8,0 W 8 + 8 [x]", "trace_clock"),
        ("dd-1 [001] d... 1.000000: sched_wakeup: comm=block_x", "none of the"),
    ],
)
def test_traces_without_times_or_disks_are_refused_with_what_to_do(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "t.txt"
    path.write_text(f"{text}\n" * 3)
    with pytest.raises(TraceError, match=reason):
        read(path, "kernel")


def test_files_of_cpus_are_merged_and_their_paths_agree(tmp_path: Path) -> None:
    # GIVEN per-CPU traces that see two cgroups in another order
    groups = ("/b", "/a")
    for cpu in (0, 1):
        lines = [
            perf(event, tracepoint(event)) + f" {groups[(cpu + n) % 2]}\n"
            for n in range(4)
            for event in life(100 * n + 50 * cpu, 8 * n + 800 * cpu, cpu=cpu)
        ]
        (tmp_path / f"t{cpu}.txt").write_text("".join(lines))
    from replay.trace.convert import open_or_convert

    with open_or_convert([tmp_path / "t0.txt", tmp_path / "t1.txt"]) as trace:
        rows = trace.table().to_pylist()
        summary = trace.metadata.summary
    # THEN rows are in order of time, each with its cgroup
    assert [row["queue_ns"] for row in rows] == [50_000 * n for n in range(8)]
    assert paths(rows, summary) == ["/b", "/a", "/a", "/b"] * 2


@given(text=st.text(alphabet="[]0123456789.: ,+block_rqissueWSN()-/\n", max_size=300))
def test_no_text_makes_anything_but_records_and_counts(text: str) -> None:
    reader = TextRecords(b"", True)
    data = text.encode()
    offset, out = reader.take(data, 0)
    out += reader.finish(data[offset:])
    counts = reader.counts()
    assert (
        counts["lines"] == len(text.split("\n")) - text.endswith("\n") * 1 or not text
    )
    assert len(out) >= 64 * counts["events"]


@given(data=st.data())
def test_a_mutated_line_never_harms(data: st.DataObject) -> None:
    event = data.draw(st.sampled_from(EVENTS))
    prefix = PREFIXES[data.draw(st.sampled_from(sorted(PREFIXES)))]
    line = bytearray(prefix(event, tracepoint(event)).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(line) - 1))
        line[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    reader = TextRecords(b"", True)
    out = reader.finish(bytes(line).replace(b"\n", b" "))
    assert len(out) % 4 == 0 or out
