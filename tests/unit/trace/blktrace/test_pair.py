"""Pairing, one rule a test; ``tests/property`` holds all of them together."""

from support.blktrace import (
    Event,
    decode_events,
)


def times(row: dict[str, object]) -> tuple[object, ...]:
    return row["queue_ns"], row["issue_ns"], row["complete_ns"]


def test_completion_on_another_cpu_is_the_requests() -> None:
    rows, _ = decode_events(
        [Event("Q", 0, cpu=1), Event("D", 5, cpu=1), Event("C", 9, cpu=3)]
    )
    assert [times(row) for row in rows] == [(0, 5, 9)]
    assert rows[0]["cpu"] == 1


def test_back_and_front_merges_make_one_request_of_three_bios() -> None:
    # GIVEN a request, a bio behind it and a bio in front of it, of other processes
    rows, summary = decode_events(
        [
            Event("Q", 0, 16, pid=1, cgroup=23),
            Event("G", 1, 16, pid=1, cgroup=23),
            Event("Q", 2, 24, pid=2, cgroup=23),
            Event("M", 3, 24, pid=2, cgroup=23),
            Event("Q", 4, 8, pid=3, cgroup=23),
            Event("F", 5, 8, pid=3, cgroup=23),
            Event("D", 6, 8, 12288, cgroup=23),
            Event("C", 9, 8, 12288, cgroup=23),
        ]
    )
    # THEN it starts where the front bio does and belongs to the first
    assert len(rows) == 1
    assert (rows[0]["sector"], rows[0]["nbytes"]) == (8, 12288)
    assert (rows[0]["n_bios"], rows[0]["pid"]) == (3, 1)
    assert times(rows[0]) == (0, 6, 9)
    assert summary.quality.unmatched == {}


def test_merge_of_two_requests_adds_their_bios() -> None:
    rows, _ = decode_events(
        [
            Event("Q", 0, 0),
            Event("G", 0, 0),
            Event("Q", 1, 16),
            Event("G", 1, 16),
            Event("Q", 2, 24),
            Event("M", 2, 24),
            Event("Q", 3, 8),
            Event("M", 3, 8),
            # the gap is closed: the second request joins the first
            Event("M", 3, 16, 8192),
            Event("D", 4, 0, 16384),
        ]
    )
    assert [(row["n_bios"], row["nbytes"]) for row in rows] == [(4, 16384)]


def test_merge_into_nothing_is_counted_and_the_bio_stays() -> None:
    rows, summary = decode_events([Event("Q", 0, 8), Event("M", 1, 8)])
    assert summary.quality.unmatched == {"merge": 1}
    assert summary.quality.never_issued == 1
    assert len(rows) == 1


def test_merge_prefers_the_same_cgroup() -> None:
    # GIVEN two requests that end at one sector
    events = [
        Event("Q", 0, 0, 8192, cgroup=59),
        Event("Q", 1, 8, cgroup=23),
        Event("Q", 2, 16, cgroup=59),
        Event("M", 3, 16, cgroup=59),
    ]
    rows, _ = decode_events(events)
    assert [(row["cgroup"], row["n_bios"]) for row in rows] == [(59, 2), (23, 1)]


def test_split_makes_two_requests_of_one_queue_time() -> None:
    # GIVEN a bio of 3 pages that is split twice
    rows, summary = decode_events(
        [
            Event("Q", 0, 0, 12288, pid=4, cgroup=23),
            Event("X", 1, 0, 4096, rest=8),
            Event("G", 2, 0, 4096),
            Event("X", 3, 8, 4096, rest=16),
            Event("G", 4, 8, 4096),
            Event("G", 5, 16, 4096),
            Event("D", 6, 0, 4096),
            Event("D", 7, 8, 4096),
            Event("D", 8, 16, 4096),
        ]
    )
    # THEN every part is a request with one bio, of the bio's issuer
    assert [row["sector"] for row in rows] == [0, 8, 16]
    assert {row["queue_ns"] for row in rows} == {0}
    assert {row["pid"] for row in rows} == {4}
    assert {row["cgroup"] for row in rows} == {23}
    assert [row["n_bios"] for row in rows] == [1, 1, 1]
    assert summary.quality.unmatched == {}


def test_split_of_an_unknown_bio_is_counted() -> None:
    _, summary = decode_events([Event("X", 1, 0, 4096, rest=8)])
    assert summary.quality.unmatched == {"split": 1}


def test_issue_without_queue_takes_the_issuer_of_the_issue() -> None:
    rows, summary = decode_events([Event("D", 3, 8, pid=11, cpu=2, cgroup=59)])
    assert times(rows[0]) == (None, 0, None)
    assert (rows[0]["n_bios"], rows[0]["pid"], rows[0]["cpu"]) == (0, 11, 2)
    assert rows[0]["cgroup"] == 59
    assert summary.quality.unmatched == {"issue_without_queue": 1}


def test_issue_longer_than_known_takes_in_bios_whose_merge_was_lost() -> None:
    # GIVEN a request, a bio behind it, and one that the issue leaves out
    rows, _ = decode_events(
        [
            Event("Q", 0, 0),
            Event("Q", 1, 8),
            Event("Q", 2, 16),
            Event("D", 4, 0, 8192),
        ]
    )
    assert [(r["sector"], r["n_bios"], r["nbytes"]) for r in rows] == [
        (16, 1, 4096),
        (0, 2, 8192),
    ]


def test_requests_that_an_old_kernel_joined_in_silence_are_one() -> None:
    # GIVEN two requests side by side, and one issue of both: before 5.9
    rows, summary = decode_events(
        [
            Event("Q", 0, 0),
            Event("G", 1, 0),
            Event("Q", 2, 8),
            Event("G", 3, 8),
            Event("D", 4, 0, 8192),
            Event("C", 9, 0, 8192),
        ]
    )
    # THEN their bytes count once, and both bios are in it
    assert [(r["n_bios"], r["nbytes"], times(r)) for r in rows] == [
        (2, 8192, (0, 4, 9))
    ]
    assert summary.quality.unmatched == {}


def test_discards_of_several_ranges_are_one_command() -> None:
    # GIVEN ranges that do not touch; no event tells that they were joined
    rows, summary = decode_events(
        [
            Event("Q", 0, 800, cgroup=23, op="discard"),
            Event("G", 1, 800, cgroup=23, op="discard"),
            Event("Q", 2, 0, cgroup=23, op="discard"),
            Event("Q", 3, 400, cgroup=59, op="discard"),
            Event("Q", 3, 1600, cgroup=23, op="discard"),
            Event("G", 3, 1600, cgroup=23, op="discard"),
            Event("Q", 4, 80, 8192, cgroup=23, op="discard"),
            Event("D", 5, 800, 16384, cgroup=23, op="discard"),
            Event("C", 9, 800, 16384, cgroup=23, op="discard"),
        ]
    )
    # THEN the command has its cgroup's bios that became no request, and their bytes
    assert [(r["sector"], r["n_bios"], r["nbytes"]) for r in rows] == [
        (400, 1, 4096),
        (1600, 1, 4096),
        (800, 3, 16384),
    ]
    assert summary.quality.never_issued == 2


def test_partial_completions_end_with_the_last() -> None:
    rows, summary = decode_events(
        [
            Event("Q", 0, 0, 12288),
            Event("D", 1, 0, 12288),
            Event("C", 4, 0, 4096, error=-5),
            Event("C", 6, 8, 8192),
        ]
    )
    assert times(rows[0]) == (0, 1, 6)
    assert rows[0]["nbytes"] == 12288
    assert rows[0]["error"] == -5
    assert summary.quality.partial_completions == 1


def test_request_completed_in_part_is_unfinished() -> None:
    rows, summary = decode_events([Event("D", 1, 0, 8192), Event("C", 4, 0, 4096)])
    assert rows[0]["complete_ns"] is None
    assert summary.quality.unfinished == 1


def test_completion_after_a_lost_part_is_found_by_its_range() -> None:
    rows, _ = decode_events([Event("D", 1, 0, 12288), Event("C", 4, 16, 4096)])
    assert rows[0]["complete_ns"] == 3


def test_requeued_request_keeps_its_first_issue_and_its_row() -> None:
    rows, summary = decode_events(
        [
            Event("Q", 0, 0),
            Event("D", 1, 0),
            Event("R", 2, 0),
            Event("D", 3, 8),
            Event("D", 4, 0),
            Event("C", 5, 8),
            Event("C", 6, 0),
        ]
    )
    assert [(row["sector"], times(row)) for row in rows] == [
        (0, (0, 1, 6)),
        (8, (None, 3, 5)),
    ]
    # AND knows when it was issued for the last time
    assert [row["last_issue_ns"] for row in rows] == [4, None]
    assert summary.quality.requeues == 1


def test_rest_of_a_partly_completed_request_may_be_requeued() -> None:
    rows, summary = decode_events(
        [
            Event("Q", 0, 0, 8192),
            Event("D", 1, 0, 8192),
            Event("C", 2, 0, 4096),
            Event("R", 3, 8, 4096),
            Event("D", 4, 8, 4096),
            Event("C", 5, 8, 4096),
        ]
    )
    assert [(times(row), row["nbytes"]) for row in rows] == [((0, 1, 5), 8192)]
    assert summary.quality.unmatched == {}


def test_write_through_the_flush_machinery_completes_with_its_data() -> None:
    # GIVEN a journal commit: PREFLUSH and FUA on a device that has only flushes
    asked = ("flush", "fua", "sync")
    rows, summary = decode_events(
        [
            Event("Q", 0, 100, extra=asked, cgroup=1),
            Event("G", 1, 100, extra=asked, cgroup=1),
            Event("D", 2, 0, 0, op="flush"),
            Event("C", 3, 0, 0, op="flush"),
            Event("D", 4, 100, extra=("sync",), cgroup=1),
            Event("C", 5, 100, extra=("sync",), cgroup=1),
            Event("D", 6, 0, 0, op="flush"),
            Event("C", 7, 0, 0, op="flush"),
            Event("C", 8, 100, 0, cgroup=1),
        ]
    )
    # THEN the data is complete as the driver saw it, between two flushes of no one
    assert [(row["op"], times(row), row["n_bios"]) for row in rows] == [
        ("flush", (None, 2, 3), 0),
        ("write", (0, 4, 5), 1),
        ("flush", (None, 6, 7), 0),
    ]
    assert [row["cgroup"] for row in rows] == [0, 1, 0]
    assert rows[1]["flags"] == 1 | 4 | 8
    assert summary.quality.flush_sequences == 1
    assert summary.quality.unmatched == {}


def test_flush_bio_waits_for_the_flush_and_is_not_issued() -> None:
    rows, summary = decode_events(
        [
            Event("Q", 0, 0, 0, op="flush_bio", pid=4, cgroup=23),
            Event("G", 1, 0, 0, op="flush_bio", pid=4, cgroup=23),
            Event("D", 2, 0, 0, op="flush", pid=60),
            Event("C", 3, 0, 0, op="flush"),
            Event("C", 4, 0, 0, op="write", extra=("sync",), cgroup=23),
        ]
    )
    assert [(row["op"], times(row), row["n_bios"]) for row in rows] == [
        ("flush", (0, None, 4), 1),
        ("flush", (None, 2, 3), 0),
    ]
    assert [(row["pid"], row["flags"]) for row in rows] == [(4, 9), (60, 0)]
    assert summary.quality.never_issued == 0
    assert summary.quality.unmatched == {}


def test_bio_of_a_device_without_requests_completes_unissued() -> None:
    rows, summary = decode_events([Event("Q", 0, 8), Event("C", 5, 8)])
    assert times(rows[0]) == (0, None, 5)
    assert summary.quality.never_issued == 0


def test_passthrough_completes_whatever_length_is_reported() -> None:
    rows, summary = decode_events(
        [
            Event("D", 0, 0, 36, op="passthrough"),
            Event("D", 1, 0, 0, op="passthrough"),
            Event("C", 2, 0, 0, op="passthrough"),
            Event("C", 3, 0, 12, op="passthrough"),
        ]
    )
    assert [(row["op"], times(row)) for row in rows] == [
        ("passthrough", (None, 0, 3)),
        ("passthrough", (None, 1, 2)),
    ]
    assert summary.quality.unmatched == {}


def test_unmatched_events_are_counted_by_reason() -> None:
    _, summary = decode_events(
        [
            Event("G", 0),
            Event("I", 1),
            Event("R", 2),
            Event("C", 3),
            Event("C", 4, 0, 0, op="flush"),
        ]
    )
    assert summary.quality.unmatched == {
        "get": 1,
        "insert": 1,
        "requeue": 1,
        "complete": 2,
    }


def test_lost_completion_spoils_one_request_only() -> None:
    # GIVEN a sector written again and again, the first completion lost
    events = [Event("D", 0, 0)]
    for i in range(1, 4):
        events += [Event("D", 100 * i, 0), Event("C", 100 * i + 7, 0)]
    rows, _ = decode_events(events)
    done = [(row["issue_ns"], row["complete_ns"]) for row in rows]
    assert done == [(0, None), (100, 107), (200, 207), (300, 307)]


def test_queued_head_holds_back_what_was_issued_after_it() -> None:
    # GIVEN a bio that waits long, and one that overtakes it
    rows, _ = decode_events(
        [
            Event("Q", 0, 0),
            Event("Q", 1, 8),
            Event("D", 2, 8),
            Event("C", 3, 8),
            Event("D", 4, 0),
            Event("C", 5, 0),
        ]
    )
    assert [row["sector"] for row in rows] == [8, 0]


def test_row_leaves_unfinished_after_window_later_ones() -> None:
    # GIVEN a window of 3, and a request that outlasts it
    events = [Event("D", 0, 800)]
    for i in range(1, 6):
        events += [Event("D", 10 * i, 8 * i), Event("C", 10 * i + 1, 8 * i)]
    events.append(Event("C", 999, 800))
    rows, summary = decode_events(events, window=3)
    assert times(rows[0]) == (None, 0, None)
    assert summary.quality.unfinished == 1
    assert summary.quality.late_completions == 1
    assert "complete" not in summary.quality.unmatched


def test_late_issue_makes_no_second_row() -> None:
    events = [Event("Q", 0, 800)]
    for i in range(1, 6):
        events += [Event("D", 10 * i, 8 * i), Event("C", 10 * i + 1, 8 * i)]
    events += [Event("D", 900, 800), Event("C", 999, 800)]
    rows, summary = decode_events(events, window=3)
    assert [row["sector"] for row in rows] == [800, 8, 16, 24, 32, 40]
    assert summary.quality.never_issued == 1
    assert summary.quality.unmatched["late_issue"] == 1
    assert summary.quality.late_completions == 1
