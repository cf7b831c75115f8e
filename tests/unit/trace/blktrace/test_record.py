"""Reading records: layouts, notes, damage."""

import struct
from random import Random

import pytest

from replay.common.errors import TraceError
from replay.trace.blktrace.batches import BlktraceBatches, CaptureFile
from replay.trace.file.schema import TRACE_SCHEMA
from support.blktrace import (
    CATEGORIES,
    LOOP0,
    ByteOrder,
    Event,
    cpu_files,
    decode,
    decode_events,
    event_bytes,
    note,
    process_note,
    record,
    rows_of,
)

#: One 4 KiB write from Q to C.
WRITE = [
    Event("Q", 1_000, 64, pid=7, cgroup=23, extra=("sync",)),
    Event("G", 1_200, 64, pid=7, cgroup=23, extra=("sync",)),
    Event("D", 1_500, 64, pid=9, cgroup=23, extra=("sync", "fs")),
    Event("C", 4_000, 64, pid=0, cgroup=23, extra=("sync", "fs"), error=-5),
]
ROW = {
    "queue_ns": 0,
    "issue_ns": 500,
    "complete_ns": 3_000,
    "last_issue_ns": None,
    "device": LOOP0,
    "sector": 64,
    "nbytes": 4096,
    "n_bios": 1,
    "op": "write",
    "flags": 1,
    "cgroup": 23,
    "pid": 7,
    "cpu": 0,
    "error": -5,
}


@pytest.mark.parametrize("version", [7, 8])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_layout_gives_the_same_row(version: int, order: ByteOrder) -> None:
    table, summary = decode(cpu_files(WRITE, version=version, order=order))
    assert rows_of(table) == [ROW]
    assert table is not None
    assert table.schema.equals(TRACE_SCHEMA, check_metadata=True)
    assert summary.start_ns == 1_000
    assert summary.end_ns == 4_000
    assert summary.quality.events == {"Q": 1, "G": 1, "D": 1, "C": 1}


@pytest.mark.parametrize(
    ("op", "extra", "name", "flags"),
    [
        ("read", (), "read", 0),
        ("write", ("sync", "meta"), "write", 3),
        ("write", ("flush", "fua"), "write", 12),
        ("read", ("ahead",), "read", 16),
        ("discard", (), "discard", 0),
        ("write_zeroes", (), "write_zeroes", 0),
        ("zone", (), "zone", 0),
    ],
)
def test_categories_become_op_and_flags(
    op: str, extra: tuple[str, ...], name: str, flags: int
) -> None:
    rows = rows_of(decode(cpu_files([Event("Q", 5, op=op, extra=extra)], version=8))[0])
    assert (rows[0]["op"], rows[0]["flags"]) == (name, flags)


def test_unseen_times_are_null_and_minus_one() -> None:
    # GIVEN a request of which only the issue was seen
    table, _ = decode(cpu_files([Event("D", 10)]))
    assert table is not None
    # THEN the engine reads -1 where Arrow shows null
    column = table["queue_ns"].chunk(0)
    assert column.null_count == 1
    assert struct.unpack("<q", column.buffers()[1][:8])[0] == -1
    assert table["issue_ns"].null_count == 0


def test_cpus_merge_by_time_then_cpu() -> None:
    # GIVEN equal times on two CPUs, the higher one given first
    late = event_bytes(Event("Q", 10, 8, cpu=3), 1)
    early = event_bytes(Event("Q", 10, 0, cpu=1), 9)
    table, _ = decode([late, early])
    # THEN the lower CPU comes first
    assert [row["sector"] for row in rows_of(table)] == [0, 8]


@pytest.mark.parametrize("n_cpus", [1, 2, 3, 5, 8, 13, 64])
def test_many_cpus_merge_as_if_sorted(n_cpus: int) -> None:
    # GIVEN few times, so that they meet, and files that end early or hold nothing
    random = Random(n_cpus)
    events = [
        Event("D", random.randrange(1, 200), 8 * number, cpu=random.randrange(n_cpus))
        for number in range(600)
    ]
    events.sort(key=lambda event: event.time_ns)
    files = cpu_files(events)
    files.insert(random.randrange(n_cpus), b"")
    # WHEN they are merged
    table, summary = decode(files)
    # THEN the order is that of time, CPU, sequence, and nothing is missing
    ordered = sorted(events, key=lambda event: (event.time_ns, event.cpu))
    assert [row["sector"] for row in rows_of(table)] == [e.sector for e in ordered]
    assert summary.quality.records == 600
    assert summary.quality.lost == {}


def test_devices_of_one_capture_share_their_clock() -> None:
    files = [
        cpu_files([Event("Q", 30, 1, device=8 << 20)])[0],
        cpu_files([Event("Q", 10, 2), Event("Q", 40, 3)])[0],
    ]
    table, summary = decode(files)
    assert [row["sector"] for row in rows_of(table)] == [2, 1, 3]
    assert [row["queue_ns"] for row in rows_of(table)] == [0, 20, 30]
    assert [(d.device, d.n_requests) for d in summary.devices] == [
        (LOOP0, 2),
        (8 << 20, 1),
    ]


def test_names_follow_a_process_through_time() -> None:
    # GIVEN a shell that becomes a cat, named in either order and twice the same
    events = cpu_files([Event("Q", 1_000, pid=5), Event("Q", 9_000, pid=5)])[0]
    notes = [
        process_note(b"cat", pid=5, time_ns=3_000),
        process_note(b"bash", pid=5, time_ns=500),
        process_note(b"cat", pid=5, time_ns=4_000),
        process_note(b"other\xff", pid=6, time_ns=2_000),
    ]
    _, summary = decode([b"".join(notes), events])
    # THEN each name has the time from which it holds
    names = {p.pid: [(n.time_ns, n.name) for n in p.names] for p in summary.processes}
    assert names == {5: [(0, "bash"), (2_000, "cat")], 6: [(1_000, "other\\xff")]}
    assert [(p.pid, p.n_requests) for p in summary.processes] == [(5, 2), (6, 0)]
    assert summary.quality.notes == {"process": 4}


@pytest.mark.parametrize("order", ["<", ">"])
def test_wall_clock_is_that_of_the_first_event(order: ByteOrder) -> None:
    stamp = struct.pack(order + "II", 1_700_000_000, 500)
    first = note(1, stamp, time_ns=400, order=order)
    events = cpu_files([Event("Q", 1_000)], order=order)[0]
    _, summary = decode([first + events])
    assert summary.wall_clock_ns == 1_700_000_000_000_000_500 + 600


def test_notes_do_not_start_the_clock() -> None:
    files = [process_note(b"x", pid=1, time_ns=5) + cpu_files([Event("Q", 1_000)])[0]]
    _, summary = decode(files)
    assert summary.start_ns == 1_000


def test_garbage_in_notes_is_ignored() -> None:
    # GIVEN notes whose sector, bytes, error and sequence were never written
    events = [event_bytes(Event("Q", 100 * seq), seq) for seq in (1, 2, 3)]
    junk = note(0, b"cat".ljust(16, b"\0"), time_ns=150, pid=3, garbage=True)
    message = note(2, b"hello\n", time_ns=250, cgroup=1, cpu=4, garbage=True)
    _, summary = decode([events[0] + junk + events[1] + message + events[2]])
    # THEN no event is lost for it, and the message is its text
    assert summary.quality.lost == {}
    assert [(m.time_ns, m.cpu, m.text) for m in summary.messages] == [(150, 4, "hello")]
    assert summary.quality.notes == {"process": 1, "message": 1}


def test_messages_are_capped_and_counted() -> None:
    events = cpu_files([Event("Q", 1)])[0]
    notes = b"".join(note(2, b"m%d" % i, time_ns=2 + i) for i in range(1_500))
    _, summary = decode([events + notes])
    assert len(summary.messages) == 1_000
    assert summary.messages[999].text == "m999"
    assert summary.quality.messages == 1_500


def test_gaps_in_sequence_are_lost_events_per_cpu() -> None:
    # GIVEN 2, then 5 on one CPU, a restart on another
    events = [
        event_bytes(Event("Q", 10), 2),
        event_bytes(Event("Q", 20), 5),
        event_bytes(Event("Q", 30, cpu=1), 9),
        event_bytes(Event("Q", 40, cpu=1), 1),
        event_bytes(Event("Q", 50, cpu=1), 2),
    ]
    _, summary = decode([b"".join(events)])
    assert summary.quality.lost == {"0": 2}


@pytest.mark.parametrize(
    ("first", "last", "cut", "missing"),
    [
        # the file's beginning is overwritten: what stood there is known by the numbers
        (0, 3, False, 3),
        # in the middle
        (3, 6, False, 3),
        # the file begins within a record: more is missing than the bytes can hold
        (0, 4, True, 4),
    ],
)
def test_events_that_stood_in_damage_were_not_lost_while_recording(
    first: int, last: int, cut: bool, missing: int
) -> None:
    # GIVEN ten events of one CPU, of which some bytes are damaged or cut off
    records = [event_bytes(Event("Q", 10 * n), n) for n in range(1, 11)]
    damaged = b"\xff" * (20 if cut else sum(map(len, records[first:last])))
    data = b"".join([*records[:first], damaged, *records[last:]])
    # WHEN they are decoded
    quality = decode([data])[1].quality
    # THEN the damage is told by its place, with what was in it, and nothing as lost
    assert quality.lost == {}
    assert quality.damaged_events == missing
    assert list(quality.damage.values()) == [sum(map(len, records[:first]))]
    assert quality.refused_bytes == len(damaged)


def test_a_gap_larger_than_the_damage_is_a_loss_for_the_rest() -> None:
    # GIVEN a damaged record behind number 2, and then number 9
    records = [event_bytes(Event("Q", 10 * n), n) for n in (1, 2, 3, 9)]
    records[2] = b"\xff" * len(records[2])
    quality = decode([b"".join(records)])[1].quality
    assert (quality.damaged_events, quality.lost) == (1, {"0": 5})


def test_times_that_go_back_are_clamped_and_counted() -> None:
    rows, summary = decode_events(
        [Event("Q", 100, 0), Event("Q", 50, 8), Event("Q", 120, 16)]
    )
    assert [row["queue_ns"] for row in rows] == [0, 0, 20]
    assert summary.quality.out_of_order == 1


@pytest.mark.parametrize("place", [0, 1, 3])
def test_one_damaged_time_moves_no_other_event(place: int) -> None:
    # GIVEN one event whose time has a high bit flipped
    events = [Event("Q", 1_000 * (i + 1), 8 * i, cpu=0) for i in range(5)]
    times = [event.time_ns for event in events]
    records = [event_bytes(event, i + 1) for i, event in enumerate(events)]
    damaged = bytearray(records[place])
    damaged[14] ^= 0x40
    records[place] = bytes(damaged)
    # WHEN it is merged with another CPU
    other = cpu_files([Event("Q", 2_500, 800, cpu=1)])[0]
    table, summary = decode([b"".join(records), other])
    # THEN all others keep their times, and it lies between its neighbours
    start = times[1] if place == 0 else times[0]
    by_sector = {row["sector"]: row["queue_ns"] for row in rows_of(table)}
    for i, time_ns in enumerate(times):
        if i != place:
            assert by_sector[8 * i] == time_ns - start
    assert by_sector[800] == 2_500 - start
    assert summary.quality.out_of_order == 1


def test_message_with_a_damaged_time_holds_nothing_back() -> None:
    events = [event_bytes(Event("Q", 1_000 * i, 8 * i), i) for i in (1, 2)]
    far = note(2, b"far", time_ns=1 << 60)
    other = cpu_files([Event("Q", 1_500, 800, cpu=1)])[0]
    table, summary = decode([events[0] + far + events[1], other])
    assert [row["sector"] for row in rows_of(table)] == [8, 800, 16]
    assert [(m.time_ns, m.text) for m in summary.messages] == [(0, "far")]


def test_unknown_actions_are_counted() -> None:
    odd = [
        record(0, time_ns=1),
        record(99, time_ns=2),
        record(3 | CATEGORIES["notify"] << 16, time_ns=3),
    ]
    _, summary = decode([b"".join(odd) + cpu_files([Event("Q", 5)])[0]])
    assert summary.quality.unknown == 3
    assert summary.quality.records == 4


def test_truncated_last_record_is_counted() -> None:
    data = cpu_files(WRITE)[0]
    table, summary = decode([data[:-3]])
    assert summary.quality.truncated_bytes == len(data) // 4 - 3
    assert rows_of(table)[0]["complete_ns"] is None
    assert summary.quality.unfinished == 1


@pytest.mark.parametrize("cut", [1, 3, 20, 47, 48, 52])
def test_every_cut_of_the_last_record_is_truncation(cut: int) -> None:
    data = cpu_files(WRITE)[0]
    _, summary = decode([data + data[:cut]])
    assert summary.quality.truncated_bytes == cut
    assert summary.quality.refused_bytes == 0


def test_lost_magic_costs_one_record() -> None:
    # GIVEN a set whose third record lost its magic
    records = [event_bytes(event, i + 1) for i, event in enumerate(WRITE)]
    records[2] = b"\0\0\0\0" + records[2][4:]
    table, summary = decode([b"".join(records)])
    # THEN the others are read on, and its bytes are counted
    assert summary.quality.events == {"Q": 1, "G": 1, "C": 1}
    assert summary.quality.refused_bytes == len(records[2])
    # the completion is of a bio that was never issued
    assert rows_of(table)[0]["complete_ns"] == 3_000


def test_payload_length_past_the_next_record_costs_one_record() -> None:
    records = [event_bytes(event, i + 1) for i, event in enumerate(WRITE)]
    damaged = bytearray(records[1])
    damaged[46] = 100
    records[1] = bytes(damaged)
    _, summary = decode([b"".join(records)])
    assert summary.quality.events == {"Q": 1, "D": 1, "C": 1}
    assert summary.quality.refused_bytes == len(records[1])


def test_payload_length_past_the_end_costs_one_record() -> None:
    records = [event_bytes(event, i + 1) for i, event in enumerate(WRITE)]
    damaged = bytearray(records[0])
    damaged[46:48] = b"\xff\xff"
    records[0] = bytes(damaged)
    _, summary = decode([b"".join(records)])
    assert summary.quality.events == {"G": 1, "D": 1, "C": 1}
    assert summary.quality.refused_bytes == len(records[0])


@pytest.mark.parametrize(
    "bad",
    [
        record(1, cpu=1 << 16),
        record(1, time_ns=1 << 63),
        record(1 | 1 << 8 | 1 << 20, payload=b"short"),
    ],
    ids=["cpu", "time", "id"],
)
def test_impossible_fields_are_refused(bad: bytes) -> None:
    _, summary = decode([bad + cpu_files(WRITE)[0]])
    assert summary.quality.refused_bytes == len(bad)
    assert summary.quality.records == len(WRITE)


def test_records_need_no_alignment() -> None:
    data = b"".join(
        note(2, b"x" * odd, time_ns=1) + event_bytes(Event("Q", 2 + odd), odd)
        for odd in range(1, 9)
    )
    rows = rows_of(decode([data])[0])
    assert len(rows) == 8


def test_empty_files_are_fine_in_a_set() -> None:
    rows = rows_of(decode([b"", cpu_files(WRITE)[0], b""])[0])
    assert rows == [ROW]


def test_nothing_at_all_is_an_empty_trace() -> None:
    table, summary = decode([b"", b""])
    assert table is None
    assert summary.n_rows == 0
    assert summary.quality.records == 0


@pytest.mark.parametrize("data", [b"x", b"no trace at all, but text" * 9, b"\0" * 500])
def test_other_files_are_refused_with_their_magic(data: bytes) -> None:
    magic = int.from_bytes(data[:4], "little")
    with pytest.raises(TraceError, match=rf"f\.0: byte 0: .*0x{magic:08x}"):
        list(BlktraceBatches([CaptureFile("f.0", data)]))


def test_mixed_versions_are_refused_by_name() -> None:
    sources = [
        CaptureFile("old.0", cpu_files(WRITE, version=7)[0]),
        CaptureFile("new.0", cpu_files(WRITE, version=8)[0]),
    ]
    with pytest.raises(TraceError, match=r"new\.0: .*version 8.*old\.0.*version 7"):
        list(BlktraceBatches(sources))


def test_damaged_head_is_stepped_over() -> None:
    _, summary = decode([b"\1\2\3" + cpu_files(WRITE, order=">")[0]])
    assert summary.quality.refused_bytes == 3
    assert summary.quality.records == len(WRITE)
