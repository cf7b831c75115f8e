"""What is in a trace: exact in JSON, in words for a person."""

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from replay.report.info import info_page
from replay.report.quality import heavy_losses, quality_lines
from replay.report.text import render_text
from replay.trace.file.info import TraceInfo, trace_info, wall_clock_text
from replay.trace.file.metadata import (
    Cgroup,
    Device,
    Message,
    Metadata,
    Process,
    ProcessName,
    Quality,
    SourceFile,
    Summary,
)
from replay.trace.file.read import open_trace
from replay.trace.file.schema import SCHEMA_VERSION
from replay.trace.file.write import write_trace
from support.traces import FakeRows, batch_of, metadata_of, summary_of

LOOP0, LOOP1 = 7 << 20, 7 << 20 | 1
ROWS: list[dict[str, Any]] = [
    {"op": "write", "device": LOOP1, "nbytes": 4_294_967_295, "n_bios": 2},
    {"op": "write", "device": LOOP1, "nbytes": 4_294_967_295, "n_bios": 3},
    {"op": "flush", "device": LOOP0, "nbytes": 0, "n_bios": 1},
    {"op": "read", "device": LOOP0, "nbytes": 512, "n_bios": 1},
]
QUALITY = Quality(
    records=22,
    events={"Q": 7, "C": 4, "D": 4},
    notes={"process": 5, "message": 1},
    unknown=1,
    lost={"10": 2, "9": 1000},
    messages=1,
)


@pytest.fixture
def info(tmp_path: Path) -> TraceInfo:
    def describe(_: Summary) -> Metadata:
        return Metadata(
            schema_version=SCHEMA_VERSION,
            writer="test 1",
            sources=[
                SourceFile(path="d/loop0.blktrace.0", nbytes=48),
                SourceFile(path="d/loop0.blktrace.2", nbytes=1000),
                SourceFile(path="d/ids", nbytes=9, role="cgroups"),
            ],
            summary=summary_of(
                4,
                devices=[
                    Device(device=LOOP1, n_requests=2),
                    Device(device=LOOP0, n_requests=2),
                ],
                cgroups=[
                    Cgroup(id=0, n_requests=1, n_bios=1, nbytes=0),
                    Cgroup(id=9, n_requests=2, n_bios=5, nbytes=8_589_934_590),
                    Cgroup(id=7, n_requests=1, n_bios=1, nbytes=512, path="/a\x1b"),
                ],
                processes=[
                    Process(pid=1, names=[], n_requests=0),
                    Process(
                        pid=5,
                        names=[
                            ProcessName(time_ns=0, name="cat"),
                            ProcessName(time_ns=9, name="cat"),
                            ProcessName(time_ns=20, name="bash"),
                        ],
                        n_requests=4,
                        first_ns=0,
                        last_ns=1_500_000_000,
                    ),
                ],
                messages=[Message(time_ns=4, cpu=1, text="hello")],
                quality=QUALITY,
            ),
        )

    path = tmp_path / "t.arrow"
    write_trace(path, FakeRows([batch_of(ROWS[:3]), batch_of(ROWS[3:])]), describe)
    with open_trace(path) as trace:
        return trace_info(trace)


def test_requests_are_added_up_by_device_and_operation(info: TraceInfo) -> None:
    # two writes of 4 GiB less a byte: more than 32 bits hold
    assert [msgspec.to_builtins(count) for count in info.counts] == [
        {"device": "7:0", "op": "read", "requests": 1, "bios": 1, "bytes": 512},
        {"device": "7:0", "op": "flush", "requests": 1, "bios": 1, "bytes": 0},
        {
            "device": "7:1",
            "op": "write",
            "requests": 2,
            "bios": 5,
            "bytes": 8_589_934_590,
        },
    ]


def _unseen(n_rows: int) -> pa.Array:
    buffers = [pa.py_buffer(bytes(-(-n_rows // 8))), pa.py_buffer(b"\xff" * 8 * n_rows)]
    return pa.Array.from_buffers(pa.int64(), n_rows, buffers)


def test_sums_stay_exact_beyond_what_a_float_holds(tmp_path: Path) -> None:
    # GIVEN 2**21 + 1 rows of 4 GiB less a byte: 53 bits are too few for their sum
    n_rows = (1 << 21) + 1
    one = batch_of([{"nbytes": 4_294_967_295, "issue_ns": 0, "complete_ns": 0}])
    many = pa.RecordBatch.from_arrays(
        [
            # taking a null leaves a 0 in its value slot
            column if not column.null_count else _unseen(n_rows)
            for column in one.take(pa.repeat(0, n_rows)).columns
        ],
        schema=one.schema,
    )
    write_trace(tmp_path / "t", FakeRows([many]), metadata_of)
    # WHEN they are added up
    with open_trace(tmp_path / "t") as trace:
        (count,) = trace_info(trace).counts
    # THEN the sum is exact
    assert count.bytes == n_rows * 4_294_967_295


def test_facts_are_in_a_fixed_order(info: TraceInfo) -> None:
    assert info.devices == ["7:0", "7:1"]
    assert [cgroup.id for cgroup in info.cgroups] == [9, 7, 0]
    assert [process.pid for process in info.processes] == [5, 1]
    assert info.missing_cpus == {"d/loop0": [1]}
    assert info.requests == 4
    assert info.span_ns == 2_000_000_000


def test_the_keys_of_the_json_are_documented_and_stable(
    info: TraceInfo, top: Path
) -> None:
    document = (top / "docs" / "info.md").read_text()

    def keys(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(keys, value))
        if not isinstance(value, dict):
            return set()
        return set(value) | keys(
            [one for name, one in value.items() if name not in BY_NAME]
        )

    named = keys(msgspec.to_builtins(info))
    assert {"requests", "path", "bios", "quality", "time_ns", "pid"} <= named
    assert [name for name in sorted(named) if f"`{name}`" not in document] == []


#: Objects whose keys are data.
BY_NAME = {"missing_cpus", "events", "notes", "lost", "unmatched", "filtered"}


@pytest.mark.parametrize(
    ("wall_clock_ns", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000000000Z"),
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1 << 90, None),
    ],
)
def test_the_wall_clock_is_shown_to_the_nanosecond(
    wall_clock_ns: int | None, text: str | None
) -> None:
    assert wall_clock_text(wall_clock_ns) == text


def test_a_person_reads_a_page(info: TraceInfo) -> None:
    page = render_text(info_page(info), width=200)
    lines = [line.split() for line in page.splitlines()]
    first = "4 requests in 2.000000 s, from 2023-11-14T22:13:20.000000001Z"
    assert first.split() in lines
    assert ["read", "from", "2", "files,", "1,048", "bytes,", "as", "blktrace"] in lines
    assert ["7:1", "write", "2", "5", "8,589,934,590"] in lines
    assert ["9", "not", "known", "2", "5", "8,589,934,590"] in lines
    assert ["7", r"/a\x1b", "1", "1", "512"] in lines
    assert ["0", "none", "recorded", "1", "1", "0"] in lines
    assert ["5", "cat", "→", "bash", "4", "0.000000", "1.500000"] in lines
    assert "\x1b" not in page


def test_records_are_told_by_what_they_say_in_a_requests_order(info: TraceInfo) -> None:
    quality = Quality(
        records=31,
        events={"C": 5, "D": 7, "Q": 8, "zone_plug": 1},
        notes={"process": 9, "timestamp": 1},
    )
    page = render_text(
        info_page(msgspec.structs.replace(info, quality=quality)), width=300
    )
    assert (
        "31 records: 8 queued (Q), 7 issued (D), 5 completed (C), 1 zone_plug, "
        "9 process names, 1 time of day\n"
    ) in page
    rows = Quality(records=4, events={"request": 4})
    page = render_text(info_page(msgspec.structs.replace(info, quality=rows)))
    assert "4 rows, each a request\n" in page


def test_what_to_do_about_unknown_cgroups_is_said(info: TraceInfo) -> None:
    # GIVEN ids, one without a path; none at all; and all with one
    nobody = [msgspec.structs.replace(info.cgroups[0], id=0, path=None)]
    known = [msgspec.structs.replace(one, path="/a") for one in info.cgroups]
    for cgroups, hint in (
        (info.cgroups, "Ids without a path: name them by --cgroups"),
        (nobody, "No request carries a cgroup: all are the root's"),
        (known, None),
    ):
        shown = msgspec.structs.replace(info, cgroups=cgroups)
        page = render_text(info_page(shown), width=200)
        assert ("Ids without" in page or "No request carries" in page) == bool(hint)
        assert hint is None or hint in page


def test_processes_that_are_not_recorded_have_no_table(info: TraceInfo) -> None:
    shown = msgspec.structs.replace(info, processes=[])
    assert "Processes" not in render_text(info_page(shown))


def test_a_long_table_is_cut_and_says_so(info: TraceInfo) -> None:
    one = info.cgroups[0]
    many = [msgspec.structs.replace(one, id=1000 + n) for n in range(31)]
    page = render_text(
        info_page(msgspec.structs.replace(info, cgroups=many, top_cgroups=many)),
        width=200,
    )
    assert "1019 " in page
    assert "1020 " not in page
    assert "and 11 more: see --json" in page


def test_a_clean_trace_says_so(info: TraceInfo) -> None:
    clean = msgspec.structs.replace(
        info, quality=Quality(records=1), missing_cpus={}, sources=[]
    )
    page = render_text(info_page(clean), width=200)
    assert "Nothing was lost, and every event found its request.\n" in page


def files(*cpus: int, name: str = "d/sda") -> list[str]:
    return [f"{name}.blktrace.{cpu}" for cpu in cpus]


def test_every_loss_has_a_line_with_its_count() -> None:
    # GIVEN every number a different one
    numbers: dict[str, Any] = {
        "unknown": 2,
        "refused_bytes": 3,
        "truncated_bytes": 4,
        "out_of_order": 5,
        "unfinished": 6,
        "never_issued": 7,
        "late_completions": 8,
        "names_dropped": 9,
        "processes_dropped": 13,
    }
    unmatched = {"complete": 10, "issue_without_queue": 11, "new_kind": 12, "merge": 0}
    quality = Quality(**numbers, unmatched=unmatched, lost={"10": 20, "9": 1000})
    # WHEN they are put in words
    lines = quality_lines(quality, files(0, 4, 5, 6, 8))
    # THEN each has its line, what is zero has none
    assert lines[0].startswith("d/sda: there is no file of CPUs 1-3 and 7: ")
    assert lines[1].startswith("1,020 events lost while recording (1,000 on CPU 9, 20 ")
    assert sorted(int(line.split()[0]) for line in lines[2:]) == list(range(2, 14))


def test_one_is_not_many() -> None:
    assert quality_lines(Quality(unfinished=1)) == [
        "1 issued request never completes: there is no completion in the recording"
    ]


def test_missing_files_explain_what_never_completes() -> None:
    quality = Quality(unfinished=31_939, events={"D": 31_939, "Q": 31_939})
    lines = quality_lines(quality, files(1, 2, 3, 4, 5, *range(7, 15), *range(16, 24)))
    assert lines[-1] == (
        "31,939 issued requests never complete:"
        " the files of CPUs 0, 6 and 15 are missing"
    )
    (_, line) = quality_lines(quality, files(0, 1, 2, 4))
    assert line.endswith("never complete: the file of CPU 3 is missing")
    (*_, line) = quality_lines(quality, files(0, 1, 2, 4) + files(0, 3, name="d/sdb"))
    assert line.endswith(
        "the file of CPU 3 of d/sda and the files of CPUs 1-2 of d/sdb are missing"
    )


def test_files_above_the_highest_are_suspected() -> None:
    # GIVEN one CPU's file: what other CPUs completed is not there, nor issued
    events = {"Q": 2876, "D": 2876, "C": 2624}
    quality = Quality(events=events, unfinished=2072, unmatched={"complete": 1820})
    absent = "files of other CPUs seem to be missing (there is CPU 0 of d/sda)"
    assert quality_lines(quality, files(0)) == [
        f"2,072 issued requests never complete: {absent}",
        f"1,820 events completed a request that was never seen to be issued: {absent}",
    ]
    (line,) = quality_lines(Quality(events={"D": 99}, unfinished=99), files(0, 1, 2))
    assert line.endswith("missing (there are CPUs 0-2 of d/sda)")
    # BUT not for what a recording's begin and end explain, or lost events, or a dump
    few = Quality(events=events, unfinished=32, unmatched={"complete": 32})
    lost = msgspec.structs.replace(quality, lost={"0": 4000})
    for one, where in ((few, files(0)), (lost, files(0)), (quality, ["dump.bin"])):
        assert "missing" not in "".join(quality_lines(one, where))


def test_damage_is_told_by_its_place_and_not_as_a_loss() -> None:
    # GIVEN a file whose beginning is damaged
    quality = Quality(
        records=30,
        events={"D": 15, "C": 15},
        refused_bytes=333,
        damage={"d/sda.blktrace.1": 0},
        damaged_events=5,
        unmatched={"complete": 1},
        unfinished=1,
    )
    # WHEN it is put in words THEN place, bytes and events stand in one line
    assert quality_lines(quality, files(0, 1)) == [
        "damaged: d/sda.blktrace.1 at byte 0: 333 bytes skipped, which hold no valid "
        "record; 5 events are missing with them; copy the file again if you can",
        "1 issued request never completes: in flight at the end, or the completion "
        "stood in the damage",
        "1 event completed a request that was never seen to be issued: it may have "
        "stood in the damage",
    ]


def test_heavy_losses_are_one_line_with_their_shares() -> None:
    # GIVEN losses of which some are below a hundredth
    quality = Quality(
        records=900,
        events={"Q": 300, "D": 300, "C": 300},
        lost={"0": 100},
        refused_bytes=9,
        unfinished=3,
        unmatched={"complete": 75, "issue_without_queue": 2},
    )
    # WHEN they are told THEN the larger ones are, the largest first
    assert heavy_losses(quality, n_rows=300, n_bytes=50_000) == (
        "Incomplete recording: 20 % of the requests lack their issue: left out (75), "
        "10 % of the events lost while recording (100), "
        "1 % of the requests never complete (3)"
    )
    # AND nothing is said of what a recording did not record, or lost little of
    assert heavy_losses(Quality(records=9, unfinished=9, events={"D": 9}), 9, 9) is None
    few = msgspec.structs.replace(quality, lost={"0": 8}, unmatched={}, unfinished=2)
    assert heavy_losses(few, 300, 50_000) is None


def test_damage_has_its_share_of_bytes_where_events_are_not_numbered() -> None:
    quality = Quality(records=9, events={"request": 9}, refused_bytes=600)
    (share, compressed) = (heavy_losses(quality, 9, size) for size in (1000, 100))
    assert share == "Incomplete recording: 60 % of the bytes damaged (600)"
    assert compressed == "Incomplete recording: 100 % of the bytes damaged (600)"


def test_what_is_not_recorded_at_all_is_said_once() -> None:
    quality = Quality(
        unfinished=2,
        events={"D": 4, "C": 2},
        unmatched={"issue_without_queue": 4},
    )
    assert quality_lines(quality) == [
        "2 issued requests never complete: in flight when the recording ended, or the"
        " completion is lost",
        "4 events issued a request that was never seen to be queued: there is no"
        " queueing in the recording",
    ]


def test_what_filters_left_out_is_counted_by_filter() -> None:
    quality = Quality(filtered={"time": 1_000, "op": 234}, filtered_bios=1_300)
    assert quality_lines(quality) == [
        "1,234 requests filtered out (1,000 by time, 234 by op)"
    ]


def test_events_of_which_blkparse_printed_but_the_plugs_are_told_apart() -> None:
    # GIVEN text without a request, since blkparse 1.2.0 skips what has a cgroup id
    (line,) = quality_lines(Quality(events={"P": 9}, lost={"0": 30}))
    assert line.startswith(
        "30 events lost while recording (30 on CPU 0): give blktrace"
    )
    assert line.endswith("('Bad fs action'): give the recording itself")
    # AND not where there are requests, or nothing at all
    for events in ({"P": 9, "D": 1}, {}):
        (line,) = quality_lines(Quality(events=events, lost={"0": 30}))
        assert line.endswith("larger buffers (-n, -b)")
