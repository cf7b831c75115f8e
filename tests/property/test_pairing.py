"""The compiled pairing against the oracle, over random and adversarial events."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.trace.blktrace.slices import SliceSizes
from replay.trace.file.metadata import Quality
from support.blktrace import OP_CATEGORIES, ByteOrder, Event, cpu_files, decode, rows_of
from support.oracle import pair

DEVICES = (7 << 20, 8 << 20 | 16)
COMMON = ("read", "write", "write", "write")
DISCARDS = ("discard", "discard", "discard", "write")
EXTRA = st.sampled_from(((), (), (), ("sync",), ("flush", "fua"), ("meta", "ahead")))
#: The order in which a request's events come, with what may be left out.
LIVES = (
    "QGDC",
    "QGIDC",
    "QC",
    "DC",
    "QMDC",
    "QGD",
    "QGDRDC",
    "QXGDC",
    "QGDCC",
    "QGFDC",
)


@st.composite
def chaos(draw: st.DrawFn) -> list[Event]:
    """Any letter at any place: few places, so that they meet."""
    ops = draw(st.sampled_from((COMMON, DISCARDS, tuple(OP_CATEGORIES))))
    events = []
    time_ns = 10_000
    for _ in range(draw(st.integers(1, 60))):
        time_ns += draw(st.sampled_from((0, 0, 1, 500)))
        sector = 8 * draw(st.integers(0, 4))
        nbytes = draw(st.sampled_from((0, 4096, 4096, 4096, 8192, 12288, 512)))
        letter = draw(st.sampled_from("QQQGMFXIDDDCCCRPA"))
        events.append(
            Event(
                letter,
                time_ns,
                sector,
                nbytes,
                op=draw(st.sampled_from(ops)),
                extra=draw(EXTRA),
                device=DEVICES[draw(st.sampled_from((0, 0, 0, 1)))],
                cpu=draw(st.integers(0, 2)),
                pid=draw(st.integers(1, 3)),
                cgroup=draw(st.sampled_from((0, 23, 59))),
                error=draw(st.sampled_from((0, 0, 0, -5))),
                rest=sector + (nbytes >> 9) if letter == "X" else None,
            )
        )
    return events


@st.composite
def lives(draw: st.DrawFn) -> list[Event]:
    """Requests that live as real ones do, interleaved; some events are lost."""
    timed: list[tuple[int, int, Event]] = []
    for number in range(draw(st.integers(1, 12))):
        first = Event(
            "Q",
            0,
            8 * draw(st.integers(0, 6)),
            4096 * draw(st.integers(1, 4)),
            op=draw(st.sampled_from(("read", "write"))),
            device=DEVICES[draw(st.integers(0, 1))],
            cpu=draw(st.integers(0, 2)),
            pid=draw(st.integers(1, 3)),
            cgroup=draw(st.sampled_from((23, 59))),
        )
        time_ns = draw(st.integers(0, 40))
        part = draw(st.sampled_from((0, 0, 0, 4096)))
        for letter in draw(st.sampled_from(LIVES)):
            time_ns += draw(st.integers(0, 10))
            event = replace(first, letter=letter, time_ns=1000 + time_ns)
            if letter in "DC" and 0 < part < first.nbytes:
                event = replace(event, nbytes=part)
            if letter == "X":
                event = replace(event, nbytes=4096, rest=first.sector + 8)
            if letter == "C" and draw(st.booleans()):
                event = replace(event, cpu=0)
            if draw(st.integers(0, 15)):
                timed.append((event.time_ns, number, event))
    return [event for *_, event in sorted(timed, key=lambda entry: entry[:2])]


#: Letters, each with the part of a request of two that it is of.
WHOLE, FIRST, SECOND = "w", "1", "2"
#: Lives that end: a back merge, a front merge, a split, a flush, a requeue among them.
ENDING = (
    "Qw Gw Dw Cw",
    "Qw Gw Iw Dw Cw",
    "Qw Cw",
    "Dw Cw",
    "Qw Gw Dw Rw Dw Cw",
    "Qw Gw Dw C1 C2",
    "Q1 G1 Q2 M2 Dw Cw",
    "Q2 G2 Q1 F1 Dw Cw",
    "Qw Xw G1 G2 D1 C1 D2 C2",
    "fQ fD fC",
    "Aw Qw Gw Dw Cw",
)


@st.composite
def ending(draw: st.DrawFn) -> list[Event]:
    """Requests that all end, in groups between which none may be open."""
    timed: list[tuple[int, int, Event]] = []
    base_ns = 1000
    for number in range(draw(st.integers(1, 16))):
        base_ns += draw(st.sampled_from((0, 0, 5, 60)))
        sector = 64 * number
        parts = {
            WHOLE: (sector, 8192),
            FIRST: (sector, 4096),
            SECOND: (sector + 8, 4096),
        }
        cpu = draw(st.integers(0, 2))
        device = DEVICES[draw(st.integers(0, 1))]
        time_ns = base_ns
        for step in draw(st.sampled_from(ENDING)).split():
            time_ns += draw(st.sampled_from((0, 0, 1, 7)))
            letter, (at, nbytes) = step[0], parts.get(step[1], (0, 0))
            extra: tuple[str, ...] = ()
            if step[0] == "f":
                letter, extra = step[1], ("flush",)
            if letter == "X":
                nbytes = 4096
            event = Event(
                letter,
                time_ns,
                at,
                nbytes,
                op="write",
                extra=extra,
                device=device,
                cpu=draw(st.integers(0, 2)) if letter in "C" else cpu,
                cgroup=23 + number % 3,
                pid=1 + number % 5,
                rest=sector + 8 if letter == "X" else None,
            )
            timed.append((time_ns, number, event))
    return [event for *_, event in sorted(timed, key=lambda entry: entry[:2])]


def packed(events: list[Event]) -> list[bytes]:
    """The files, of the version that knows all operations."""
    return cpu_files(events, version=8)


def merged(events: list[Event]) -> list[Event]:
    """The decoder's order: time, cpu, then each CPU's own order."""
    return sorted(events, key=lambda event: (event.time_ns, event.cpu))


def reasons(quality: Quality) -> dict[str, int]:
    """Everything that the pairing counts, zeros left out."""
    found = dict(quality.unmatched)
    for name in (
        "unfinished",
        "never_issued",
        "late_completions",
        "partial_completions",
        "requeues",
        "flush_sequences",
    ):
        found[name] = getattr(quality, name)
    return {name: count for name, count in found.items() if count}


SEQUENCES = st.one_of(chaos(), lives())


@given(events=SEQUENCES, window=st.sampled_from((1, 2, 5, 40, 1000)))
def test_pairing_equals_the_oracle(events: list[Event], window: int) -> None:
    # GIVEN events in per-CPU files
    expected = pair(merged(events), window)
    # WHEN they are decoded and paired
    table, summary = decode(packed(events), window=window)
    # THEN rows and counts are the oracle's
    assert rows_of(table) == expected.rows
    assert reasons(summary.quality) == dict(expected.counts)


@given(events=SEQUENCES, batch_rows=st.integers(1, 9), window=st.integers(1, 12))
def test_batch_size_changes_nothing(
    events: list[Event], batch_rows: int, window: int
) -> None:
    files = packed(events)
    table, summary = decode(files, window=window)
    again, summary_again = decode(files, batch_rows=batch_rows, window=window)
    assert rows_of(again) == rows_of(table)
    assert summary_again == summary


@given(
    events=st.one_of(ending(), ending(), SEQUENCES),
    slice_bytes=st.sampled_from((1, 70, 200, 500, 1500)),
    lead_bytes=st.sampled_from((1, 70, 200, 700)),
    batch_rows=st.integers(1, 9),
    window=st.sampled_from((1, 5, 1000)),
    lost=st.lists(st.integers(0, 60), max_size=3),
    cut=st.tuples(st.integers(0, 2), st.integers(0, 3000), st.binary(max_size=5)),
)
def test_slices_change_nothing(
    events: list[Event],
    slice_bytes: int,
    lead_bytes: int,
    batch_rows: int,
    window: int,
    lost: list[int],
    cut: tuple[int, int, bytes],
) -> None:
    # GIVEN files in which records are missing, and bytes are too few or too many
    files = packed(events)
    kept = packed([event for n, event in enumerate(events) if n not in lost])
    number, place, junk = cut
    if lost and number < len(files):
        files[number] = (
            files[number][:place] + junk + files[number][place + len(junk) :]
        )
    elif lost:
        files = kept
    table, summary = decode(files, batch_rows=batch_rows, window=window)
    # WHEN they are decoded in slices with seams all over
    sizes = SliceSizes(slice_bytes=slice_bytes, lead_bytes=lead_bytes, patience=1 << 30)
    again, summary_again = decode(
        files, batch_rows=batch_rows, window=window, sizes=sizes
    )
    # THEN rows, batches and everything told are those of one pass
    assert rows_of(again) == rows_of(table)
    assert repr(summary_again) == repr(summary)


@given(events=SEQUENCES)
def test_counts_add_up(events: list[Event]) -> None:
    # GIVEN any events; WHEN they are decoded
    table, summary = decode(packed(events), window=3)
    rows = rows_of(table)
    quality = summary.quality
    # THEN every record is one event, and every event has become something
    assert quality.records == len(events) == sum(quality.events.values())
    n_q, n_x, n_d, n_c = (quality.events.get(letter, 0) for letter in "QXDC")
    n_bios = sum(int(str(row["n_bios"])) for row in rows)
    assert n_bios == n_q + n_x - quality.unmatched.get("split", 0)
    n_issued = sum(row["issue_ns"] is not None for row in rows)
    n_complete = sum(row["complete_ns"] is not None for row in rows)
    assert n_issued <= n_d
    assert n_c == (
        n_complete
        + quality.partial_completions
        + quality.late_completions
        + quality.flush_sequences
        + quality.unmatched.get("complete", 0)
    )
    assert len(rows) == n_complete + quality.unfinished + quality.never_issued
    assert sum(device.n_requests for device in summary.devices) == len(rows)
    assert sum(cgroup.n_bios for cgroup in summary.cgroups) == n_bios
    assert sum(process.n_requests for process in summary.processes) == len(rows)


@given(events=SEQUENCES)
def test_rows_leave_in_order(events: list[Event]) -> None:
    table, _ = decode(packed(events))
    keys = [
        row["queue_ns"] if row["issue_ns"] is None else row["issue_ns"]
        for row in rows_of(table)
    ]
    assert keys == sorted(keys, key=lambda key: int(str(key)))


@given(events=lives(), window=st.integers(1, 6))
def test_window_only_decides_what_is_left_unfinished(
    events: list[Event], window: int
) -> None:
    # GIVEN the rows of a window that holds everything
    whole, _ = decode(packed(events))
    # WHEN the window is small
    small, summary = decode(packed(events), window=window)
    # THEN what differs is late, and counted
    left_early = summary.quality.unmatched.get("late_issue", 0)
    left_early += summary.quality.late_completions
    left_early += sum(
        summary.quality.unmatched.get(name, 0)
        for name in ("merge", "split", "complete", "requeue", "issue_without_queue")
    )
    if not left_early:
        assert rows_of(small) == rows_of(whole)


@pytest.mark.parametrize("version", [7, 8])
@pytest.mark.parametrize("order", ["<", ">"])
@given(events=chaos())
def test_version_and_byte_order_change_nothing(
    version: int, order: ByteOrder, events: list[Event]
) -> None:
    if version == 7:
        # version 7 has no category for these two
        known = [e for e in events if e.op not in ("zone", "write_zeroes")]
        events = known or [Event("Q", 1)]
    expected = pair(merged(events), 1000)
    table, summary = decode(cpu_files(events, version=version, order=order))
    assert rows_of(table) == expected.rows
    assert reasons(summary.quality) == dict(expected.counts)
