"""Streams of interleaved CPUs, and several captures on one clock."""

import struct
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from replay.common.errors import TraceError
from replay.trace.blktrace._scan import Scan
from replay.trace.convert import convert
from replay.trace.file.read import Trace
from support.blktrace import LOOP0, Event, cpu_files, event_bytes, note

SECOND = 1_000_000_000


def requests(
    count: int, *, start_ns: int, cpu: int = 0, device: int = LOOP0, sector: int = 0
) -> list[Event]:
    return [
        Event(
            letter,
            start_ns + 2_000 * number + 300 * step,
            sector=sector + 8 * number,
            cpu=cpu,
            device=device,
        )
        for number in range(count)
        for step, letter in enumerate("QGDC")
    ]


def stamp(time_ns: int, wall_ns: int) -> bytes:
    payload = struct.pack("<II", *divmod(wall_ns, SECOND))
    return note(1, payload, time_ns=time_ns)


def read(trace: Trace) -> tuple[pa.Table, Trace]:
    with trace:
        return trace.table().combine_chunks(), trace


def write(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path


def in_chunks(files: Sequence[bytes], sizes: Sequence[int]) -> bytes:
    """Interleave whole records of files in chunks, as blktrace -o - does."""
    out = []
    left = list(files)
    turn = 0
    while any(left):
        for number, data in enumerate(left):
            n_bytes = 48 * sizes[turn % len(sizes)]
            turn += 1
            out.append(data[:n_bytes])
            left[number] = data[n_bytes:]
    return b"".join(out)


@pytest.mark.parametrize("sizes", [(1,), (3, 1, 7), (500,)])
def test_a_stream_gives_what_the_set_gives(
    tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    # GIVEN two devices on three CPUs, as a set and as one stream of chunks
    events = [
        *requests(400, start_ns=1_000, cpu=0),
        *requests(300, start_ns=1_100, cpu=1, sector=1 << 20),
        *requests(200, start_ns=1_200, cpu=2, device=LOOP0 + 1),
    ]
    files = cpu_files(events)
    for cpu, data in enumerate(files):
        write(tmp_path / f"sda.blktrace.{cpu}", data)
    stream = write(tmp_path / "stream", in_chunks(files, sizes))
    # WHEN both are converted
    of_set, one = read(convert(tmp_path / "sda", tmp_path / "a.arrow"))
    of_stream, two = read(convert(stream, tmp_path / "b.arrow"))
    # THEN rows and counts are the same
    assert of_stream.equals(of_set)
    assert one.metadata.summary == two.metadata.summary
    assert two.metadata.summary.quality.out_of_order == 0


def test_what_is_damaged_in_a_stream_is_counted(tmp_path: Path) -> None:
    # GIVEN a stream out of order, with bytes in it that are no record and a torn end
    files = cpu_files(
        [*requests(5, start_ns=50_000, cpu=0), *requests(5, start_ns=1_000, cpu=1)]
    )
    whole = files[0] + files[1]
    damaged = files[0] + b"\xff" * 77 + files[1] + whole[:30]
    # WHEN it is converted
    _, trace = read(convert(write(tmp_path / "s", damaged), tmp_path / "t.arrow"))
    quality = trace.metadata.summary.quality
    # THEN every byte is a record's, refused or cut off
    assert (quality.refused_bytes, quality.truncated_bytes) == (77, 30)
    assert quality.records * 48 + 77 + 30 == len(damaged)
    assert quality.records == sum(quality.events.values()) == 40


def test_a_sorted_dump_of_many_cpus_is_left_as_it_is(tmp_path: Path) -> None:
    events = sorted(
        requests(50, start_ns=1_000, cpu=0)
        + requests(50, start_ns=1_100, cpu=1, sector=1 << 20),
        key=lambda one: one.time_ns,
    )
    by_cpu = {0: 0, 1: 0}
    records = []
    for event in events:
        by_cpu[event.cpu] += 1
        records.append(event_bytes(event, by_cpu[event.cpu]))
    table, trace = read(convert(write(tmp_path / "d", *records), tmp_path / "t.arrow"))
    assert table.num_rows == 100
    assert trace.metadata.summary.quality.lost == {}


def test_parts_too_many_to_be_real_are_not_taken_apart() -> None:
    # a crafted stream must not make as many sources as it has records
    events = [Event("Q", 10_000 - n, device=n) for n in range(5_000)]
    data = b"".join(cpu_files(events))
    assert Scan(data).parts() == []


def test_a_part_needs_its_room() -> None:
    scan = Scan(b"".join(cpu_files(requests(2, start_ns=1))))
    assert scan.parts() == [(LOOP0, 0, 384)]
    with pytest.raises(ValueError, match="1 bytes are too few"):
        scan.split(bytearray(1), [0])
    with pytest.raises(ValueError, match="0 places for 1 parts"):
        scan.split(bytearray(384), [])


def test_captures_of_one_boot_keep_their_clock(tmp_path: Path) -> None:
    # GIVEN two devices recorded at once; NTP moved the wall clock a little
    first = requests(2, start_ns=5 * SECOND)
    second = requests(2, start_ns=5 * SECOND + 1_000, device=LOOP0 + 1)
    a = write(
        tmp_path / "a.blktrace.0", stamp(5 * SECOND, 90 * SECOND), *cpu_files(first)
    )
    b = write(
        tmp_path / "b.blktrace.0",
        stamp(5 * SECOND, 90 * SECOND + 900_000_000),
        *cpu_files(second),
    )
    # WHEN they are merged THEN nothing is shifted
    table, trace = read(convert([a, b], tmp_path / "t.arrow"))
    assert table["queue_ns"].to_pylist() == [0, 1_000, 2_000, 3_000]
    assert trace.metadata.summary.notes == []


def test_a_later_boot_is_shifted_by_the_wall_clock(tmp_path: Path) -> None:
    # GIVEN a capture 7 s after boot, and one 3 s after the next boot, 60 s later
    first = requests(1, start_ns=7 * SECOND)
    second = requests(1, start_ns=3 * SECOND)
    a = write(
        tmp_path / "a.blktrace.0", stamp(6 * SECOND, 1_000 * SECOND), *cpu_files(first)
    )
    b = write(
        tmp_path / "b.blktrace.0",
        *cpu_files(second),
        # a note may be anywhere
        stamp(4 * SECOND, 1_062 * SECOND),
    )
    for order in ([a, b], [b, a]):
        # WHEN they are merged, in any order
        table, trace = read(convert(order, tmp_path / "t.arrow", overwrite=True))
        summary = trace.metadata.summary
        # THEN the second begins 60 s after the first, and this is said
        assert table["queue_ns"].to_pylist() == [0, 60 * SECOND]
        assert summary.wall_clock_ns == 1_001 * SECOND
        line, doubt = summary.notes
        assert "b: was recorded after another boot" in line
        assert "shifted by 64.000 s" in line
        # AND that two machines would look the same
        assert "a and " in doubt or "b and " in doubt
        assert "both hold 7:0, one after the other: taken to be of one machine" in doubt


def test_two_recordings_of_one_device_one_after_the_other_lose_nothing(
    tmp_path: Path,
) -> None:
    # GIVEN two recordings of one boot, each with sequence numbers from 1
    for name, start_ns in (("a", 5 * SECOND), ("b", 90 * SECOND)):
        write(
            tmp_path / f"{name}.blktrace.0",
            stamp(start_ns, 1_000 * SECOND + start_ns),
            *cpu_files(requests(3, start_ns=start_ns)),
        )
    # WHEN their directory is read THEN both are there, and nothing is lost
    table, trace = read(convert(tmp_path, tmp_path / "t.arrow"))
    assert table.num_rows == 6
    assert trace.metadata.summary.quality.lost == {}
    assert trace.metadata.summary.notes == []


@pytest.mark.parametrize("wall_s", [1_000, 1_000.5, 1_060])
def test_one_device_twice_at_one_time_is_refused(tmp_path: Path, wall_s: float) -> None:
    # GIVEN two machines' recordings of 7:0 in one directory: the first from 1,005 s to
    # 1,065 s by the wall clock, the second within that, after the same or another boot
    first = requests(2, start_ns=5 * SECOND)
    first += requests(2, start_ns=65 * SECOND, sector=800)
    write(tmp_path / "a.blktrace.0", stamp(0, 1_000 * SECOND), *cpu_files(first))
    second = requests(2, start_ns=6 * SECOND if wall_s < 1_060 else SECOND)
    write(
        tmp_path / "b.blktrace.3",
        stamp(0, int(wall_s * SECOND)),
        *cpu_files(second),
    )
    # WHEN they are read together THEN both are named
    with pytest.raises(TraceError) as refusal:
        convert(tmp_path, tmp_path / "t.arrow")
    text = str(refusal.value)
    assert text.startswith(f"{tmp_path / 'a'} and {tmp_path / 'b'}: both hold 7:0")
    assert text.endswith("convert them one by one")
    # AND each can be read alone
    for name in "ab":
        read(convert(tmp_path / name, tmp_path / f"{name}.arrow"))


def test_files_of_one_set_may_have_any_names(tmp_path: Path) -> None:
    # GIVEN what two CPUs recorded of a device, not named as a set
    a = write(tmp_path / "first", *cpu_files(requests(3, start_ns=5)))
    b = write(tmp_path / "second", *cpu_files(requests(3, start_ns=9, cpu=1)))
    # WHEN they are named THEN they are read together
    table, _ = read(convert([a, b], tmp_path / "t.arrow"))
    assert table.num_rows == 6
    # BUT the same file twice is no set, nor is a CPU of another boot
    copy = write(tmp_path / "copy", a.read_bytes())
    late = write(tmp_path / "late", stamp(0, 9 * SECOND), b.read_bytes())
    early = write(tmp_path / "early", stamp(0, SECOND), a.read_bytes())
    with pytest.raises(TraceError, match="copies of one recording"):
        convert([a, copy], tmp_path / "u.arrow")
    _, trace = read(convert([early, late], tmp_path / "u.arrow"))
    assert "one after the other" in trace.metadata.summary.notes[-1]


def test_other_boots_at_one_time_are_doubted(tmp_path: Path) -> None:
    first = requests(2, start_ns=5 * SECOND) + requests(2, start_ns=65 * SECOND)
    write(tmp_path / "a.blktrace.0", stamp(0, 1_000 * SECOND), *cpu_files(first))
    second = requests(2, start_ns=SECOND, device=LOOP0 + 1)
    write(tmp_path / "b.blktrace.0", stamp(0, 1_030 * SECOND), *cpu_files(second))
    _, trace = read(convert(tmp_path, tmp_path / "t.arrow"))
    _, doubt = trace.metadata.summary.notes
    assert "overlap in time, though their clocks differ: if they are of two" in doubt


def test_two_machines_sets_in_one_directory_are_refused(
    shared: Path, tmp_path: Path
) -> None:
    directory = shared / "public-traces" / "NetSys_disaggregation"
    with pytest.raises(
        TraceError,
        match=r"0-disk\S+ and \S+1-disk\S+: both hold 202:1 at the same time",
    ):
        convert(directory, tmp_path / "t.arrow")


def test_a_capture_without_wall_clock_is_said_to_be_a_guess(tmp_path: Path) -> None:
    a = write(
        tmp_path / "a.blktrace.0",
        stamp(5, 1_000 * SECOND),
        *cpu_files(requests(1, start_ns=10)),
    )
    b = write(tmp_path / "b.blktrace.0", *cpu_files(requests(1, start_ns=9_000)))
    table, trace = read(convert([a, b], tmp_path / "t.arrow"))
    assert table["queue_ns"].to_pylist() == [0, 8_990]
    (line,) = trace.metadata.summary.notes
    assert "b: does not say what the wall clock was" in line


def test_a_dump_cannot_be_merged_with_captures(tmp_path: Path) -> None:
    a = write(tmp_path / "a.bin", *cpu_files(requests(1, start_ns=0)))
    b = write(tmp_path / "b.blktrace.0", *cpu_files(requests(1, start_ns=9_000)))
    with pytest.raises(TraceError, match=r"a.bin: its times count from 0"):
        convert([a, b], tmp_path / "t.arrow")
    # but it can be read alone
    table, _ = read(convert(a, tmp_path / "t.arrow"))
    assert table.num_rows == 1


def test_versions_are_not_mixed_in_a_set(tmp_path: Path) -> None:
    write(tmp_path / "a.blktrace.0", *cpu_files(requests(1, start_ns=5)))
    write(tmp_path / "a.blktrace.1", *cpu_files(requests(1, start_ns=5), version=8))
    with pytest.raises(TraceError, match=r"version 8 records, but .* has version 7"):
        convert(tmp_path / "a", tmp_path / "t.arrow")


def test_a_set_with_holes_and_wrong_names_is_read_whole(tmp_path: Path) -> None:
    # GIVEN CPU 1 missing, CPU 2 empty, and CPU 3's records in the file of CPU 0
    write(tmp_path / "a.blktrace.0", *cpu_files(requests(3, start_ns=5, cpu=3)))
    write(tmp_path / "a.blktrace.2")
    write(tmp_path / "a.blktrace.5", *cpu_files(requests(2, start_ns=9, cpu=5)))
    table, trace = read(convert(tmp_path / "a", tmp_path / "t.arrow"))
    assert sorted(table["cpu"].to_pylist()) == [3, 3, 3, 5, 5]
    assert trace.metadata.summary.quality.lost == {}
