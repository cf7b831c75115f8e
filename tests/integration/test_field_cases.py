"""Cases from people who do this job: their inputs, and the right answers.

Each is rebuilt from a public report, with numbers of its own.
"""

from pathlib import Path

import pytest

from support.samples import brief, paths, read

CASES = Path(__file__).parents[1] / "field_cases"
US = 1000
LIVE = CASES / "03-btrace-wrapped-times"


@pytest.mark.parametrize(
    ("name", "requests", "span_ns"),
    [
        ("input.txt", 12, 1_116_600),
        ("b-made-by-blkparse-1.2.0.txt", 8, 952_600),
        # what it was printed from
        ("b-the-stream-itself.bin", 8, 952_600),
    ],
)
def test_03_a_live_blkparses_times_before_its_first_event(
    name: str, requests: int, span_ns: int
) -> None:
    rows, summary = read(LIVE / name)
    assert len(rows) == requests
    assert summary.end_ns - summary.start_ns == span_ns
    assert {row["complete_ns"] - row["issue_ns"] for row in rows} == {90 * US}
    assert not summary.quality.unmatched
    assert not summary.quality.unfinished


def test_03_text_and_stream_give_the_same_requests() -> None:
    times = ("queue_ns", "issue_ns", "complete_ns", "sector", "pid")
    text, _ = read(LIVE / "b-made-by-blkparse-1.2.0.txt")
    stream, _ = read(LIVE / "b-the-stream-itself.bin")
    assert brief(text, *times) == brief(stream, *times)


def test_11_perf_script() -> None:
    rows, summary = read(CASES / "11-perf-script" / "input.txt")
    assert [
        (row["device"], row["nbytes"], row["complete_ns"] - row["issue_ns"])
        for row in rows
    ] == [
        (8 << 20 | 16, 2048, 2_200_000),
        (8 << 20 | 48, 262_144, 560_000),
        (7 << 20, 4096, 500_000),
    ]
    # the end of a FUA write's flush sequence; a command to no disk
    assert summary.quality.flush_sequences == 1
    assert summary.quality.no_disk == 1


def test_12_ftrace() -> None:
    rows, _ = read(CASES / "12-ftrace-trace" / "input.txt")
    assert [
        (row["nbytes"], row["complete_ns"] and row["complete_ns"] - row["issue_ns"])
        for row in rows
    ] == [(4096, 400_000), (8192, 6_700_000), (0, None)]
    assert rows[2]["op"] == "flush"


def test_12_the_tracer_blk() -> None:
    rows, _ = read(CASES / "12-ftrace-trace" / "b-blktrace-tracer.txt")
    assert brief(rows) == [(0, 1_008_000, 2048, 131_072, "write")]


def test_25_layers_are_no_loss_and_count_once() -> None:
    rows, summary = read(CASES / "25-dmcrypt-stack" / "input.txt")
    assert summary.quality.lost == summary.quality.left_out == {}
    dm2, dm14, sdb = 253 << 20 | 2, 253 << 20 | 14, 8 << 20 | 16
    assert summary.layers == [(dm2, sdb), (dm14, dm2)]
    top = [row for row in rows if row["device"] == dm14]
    assert (len(top), sum(row["nbytes"] for row in top)) == (60, 1_392_640)


@pytest.mark.parametrize(("name", "missing"), [("input.txt", 1076), ("rs.txt", 980)])
def test_28_lines_that_a_filter_left_out_are_no_loss(name: str, missing: int) -> None:
    rows, summary = read(CASES / "28-grep-filtered-blkparse" / name)
    assert len(rows) == 98
    assert summary.quality.lost == {}
    assert sum(summary.quality.left_out.values()) == missing


def test_29_recorded_errors_are_counted() -> None:
    rows, summary = read(CASES / "29-recorded-io-errors" / "input.txt")
    assert brief(rows, "sector", "error") == [(2048, -5), (4096, 0)]
    assert summary.quality.errors == {"EIO": 1}
    assert paths(rows, summary) == [None, None]
