"""The timeline of a few requests by hand, and how long its intervals may be."""

from pathlib import Path

import pytest

import replay
from replay.common.errors import ModelError
from replay.common.intervals import (
    MOST_CELLS,
    fit_interval,
    interval_text,
    parse_interval,
)
from replay.engine.setup import Policy
from support.blktrace import writes
from support.engines import A, B, pick, replayed, request, setup_of, write

ROOT_ROW = 0


def test_what_is_counted_falls_into_the_interval_in_which_it_happens() -> None:
    # GIVEN one queue, 1000 ns each: a's write 0-1000; b's read, from 100 on, 1000-2000
    setup = setup_of(policy=Policy.NAIVE, interval_ns=1000, tmpfs=False)
    raw = replayed(setup, write(0), request(100, B))
    names = ("interval", "cgroup", "wbytes", "rbytes", "requests", "dispatch_ns")
    assert pick(raw, "timeline", *names) == [
        # THEN I/O counts when a worker gets it
        (0, A, 4096, 0, 0, 0),
        (0, B, 0, 4096, 0, 0),
        # AND times when the request completes, at 1000 and at 2000
        (1, A, 0, 0, 1, 0),
        (2, B, 0, 0, 1, 900),
    ]
    # AND that b waited for a when a let go
    assert pick(raw, "timeline", "interval", "blocked_ns")[2] == (1, 900)


def test_usage_is_that_at_the_end_of_the_interval_ancestors_included() -> None:
    # GIVEN a page at 1000 ns and another at 6000 ns; stocks of 64 pages are left out
    setup = setup_of(interval_ns=5000)
    raw = replayed(setup, write(0), write(5000, page=64))
    rows = pick(raw, "timeline", "interval", "cgroup", "usage_bytes")
    # page 0 alone needs no node; page 64 needs two more levels' 3 nodes: one page
    assert rows == [
        *((0, ROOT_ROW, 4096), (0, A, 4096)),
        *((1, ROOT_ROW, 3 * 4096), (1, A, 3 * 4096)),
    ]


def test_intervals_in_which_nothing_happens_have_no_rows() -> None:
    raw = replayed(setup_of(interval_ns=10, tmpfs=False), request(0), request(10**9))
    assert pick(raw, "timeline", "interval") == [0, 100, 10**8, 10**8 + 100]


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1s", 10**9),
        ("100ms", 10**8),
        ("2.5 us", 2500),
        ("1min", 60 * 10**9),
        (" 7ns ", 7),
        (5, 5),
    ],
)
def test_interval_is_a_number_and_a_unit(text: str | int, ns: int) -> None:
    assert parse_interval(text) == ns


@pytest.mark.parametrize(
    "text", ["1ns", "16384ns", "100ms", "90s", "1min", "1500us", "2h"]
)
def test_interval_is_written_in_the_largest_whole_unit(text: str) -> None:
    assert interval_text(parse_interval(text)) == text


@pytest.mark.parametrize("text", ["", "1", "s", "-1s", "1e3s", "0s", "0.1ns", 0, -5])
def test_other_intervals_are_refused(text: str | int) -> None:
    with pytest.raises(ModelError, match="interval"):
        parse_interval(text)


def test_interval_is_doubled_until_the_timeline_fits() -> None:
    hour = 3600 * 10**9
    assert fit_interval(10**9, hour, 100) == 10**9
    # 3.6 million intervals of 100 cgroups: 1024 ms are the first that fit
    assert fit_interval(10**6, hour, 100) == 1024 * 10**6
    assert (hour // (512 * 10**6) + 1) * 100 > MOST_CELLS
    # so many cgroups that no interval does: one for all
    assert fit_interval(1, hour, MOST_CELLS * 2) > hour


def recording(folder: Path) -> Path:
    """Write a recording of ten writes."""
    path = folder / "sda.blktrace.0"
    path.write_bytes(writes(10))
    return path


def test_a_run_with_an_interval_has_a_timeline_and_says_when_it_was_worst(
    tmp_path: Path,
) -> None:
    trace = recording(tmp_path)
    out = tmp_path / "out"
    result = replay.run(trace, output=out, interval="1ms")
    assert result.timeline is not None
    assert result.info["interval_ns"] == 10**6
    assert "Timeline" in result.summary()
    assert "1 interval of 1ms" in result.summary()
    # AND what memory is meant, and when: as memory.current of the interval's end
    assert "held most memory at an interval's end, t=" in result.summary()
    assert " KiB of memory.current\n" in result.summary()
    starts = result.timeline["start_ns"].to_pylist()
    numbers = result.timeline["interval"].to_pylist()
    assert starts == [number * 10**6 for number in numbers]
    # AND it is there when it is opened again
    assert replay.open_results(out).timeline == result.timeline
    # AND without it there is none
    plain = replay.run(trace, output=tmp_path / "plain")
    assert plain.timeline is None
    assert plain.info["interval_ns"] is None
    assert not (tmp_path / "plain" / "timeline.parquet").exists()


def test_a_widened_interval_is_noted(tmp_path: Path) -> None:
    trace = recording(tmp_path)
    result = replay.run(trace, interval=1)
    span = result.info["trace"]["span_ns"]
    if span * 2 > MOST_CELLS:
        assert any("widened" in note for note in result.info["notes"])
        assert result.info["interval_ns"] > 1
