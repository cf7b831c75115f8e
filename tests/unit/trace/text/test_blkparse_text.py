"""Lines of blkparse's text, as records: every form that it prints."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.common.errors import TraceError
from replay.trace.text._blkparse import TextRecords
from replay.trace.text.blkparse import compile_format
from support.samples import brief, read

HEADER = struct.Struct("<IIQQIIQIIHH12x")


def records(text: str, pattern: str | None = None) -> list[tuple[object, ...]]:
    """Make records of text: (action's low half, flags, sector, bytes, payload, …)."""
    reader = TextRecords(b"" if pattern is None else compile_format(pattern))
    data = text.encode()
    offset, out = reader.take(data, 0)
    out += reader.finish(data[offset:])
    found: list[tuple[object, ...]] = []
    at = 0
    while at < len(out):
        magic, sequence, time, sector, nbytes, pid, action, device, cpu, error, n = (
            HEADER.unpack_from(out, at)
        )
        assert magic == 0x65617408
        at += HEADER.size + n
        payload = out[at - n : at]
        found.append(
            (
                action & 0xFFFF,
                action >> 16,
                sector,
                nbytes,
                payload,
                (sequence, time, pid, device, cpu, error),
            )
        )
    return found


def event(tail: str) -> tuple[object, ...]:
    """Make a record of what stands after the pid; names left out."""
    line = f"  8,16   3      101     1.000000007  4162  {tail}\n"
    *notes, last = records(line)
    assert all(note[:2] == (0, 1 << 10) for note in notes)
    assert last[5][:5] == (101, 1_000_000_007, 4162, 8 << 20 | 16, 3)  # type: ignore[index]
    return last


WRITE, FLUSH, SYNC = 1 << 1, 1 << 2, 1 << 3
PASSTHROUGH, AHEAD, META, DISCARD, FUA = 1 << 9, 1 << 11, 1 << 12, 1 << 13, 1 << 15


@pytest.mark.parametrize(
    ("tail", "letter", "flags", "sector", "nbytes"),
    [
        ("Q   W 223490 + 8 [kjournald]", 1, WRITE, 223490, 4096),
        ("M  WS 223490 + 8 [a b/c]", 2, WRITE | SYNC, 223490, 4096),
        ("F  RM 0 + 1 [odd]name] x]", 3, META, 0, 512),
        ("G   R 18446744073709551615 + 8 [x]", 4, 0, (1 << 64) - 1, 4096),
        ("S  RA 9 + 2 [(null)]", 5, AHEAD, 9, 1024),
        ("R   W 223490 + 8 [0]", 6, WRITE, 223490, 4096),
        ("D FWFSM 8 + 8 [x]", 7, FLUSH | WRITE | FUA | SYNC | META, 8, 4096),
        ("D  FN [kworker/0:1H]", 7, FLUSH, 0, 0),
        ("D   W 8 + 8 (   12345) [x]", 7, WRITE, 8, 4096),
        ("C   W 223490 + 8 (25012345) [0]", 8, WRITE, 223490, 4096),
        ("C  FN 0 [0]", 8, FLUSH, 0, 0),
        ("C  WS 746579600 (     901) [0]", 8, WRITE | SYNC, 746579600, 0),
        ("C   N (00 ..) [0]", 8, PASSTHROUGH, 0, 0),
        ("C   R [0]", 8, PASSTHROUGH, 0, 0),
        ("D   R 36 (12 00 00 00 24 00 ..) [smartd]", 7, PASSTHROUGH, 0, 36),
        ("I   W 512 [smartd]", 12, WRITE | PASSTHROUGH, 0, 512),
        ("P   N [x]", 9, 0, 0, 0),
        ("Q   D 16 + 4096 [fstrim]", 1, DISCARD | WRITE, 16, 2 << 20),
    ],
)
def test_a_lines_form_becomes_its_record(
    tail: str, letter: int, flags: int, sector: int, nbytes: int
) -> None:
    found = event(tail)
    # -1 is read as none
    assert found[:4] == (letter, flags, 0 if sector >> 63 else sector, nbytes)


def test_errors_are_16_bits() -> None:
    assert [
        event(f"C   W 8 + 8 [{error}]")[5][5]  # type: ignore[index]
        for error in ("0", "-5", "65531")
    ] == [0, 65531, 65531]


def test_split_remap_and_unplug_carry_their_payloads() -> None:
    assert event("X   R 0 / 128 [x]")[2:5] == (0, 65536, struct.pack(">Q", 128))
    assert event("A  WS 763360920 + 8 <- (259,3) 746579608")[2:5] == (
        763360920,
        4096,
        struct.pack(">IIQ", 259 << 20 | 3, 8 << 20 | 16, 746579608),
    )
    assert event("U   N [x] 5")[4] == struct.pack(">Q", 5)
    assert event("UT  N [x] 2")[:5] == (11, 0, 0, 0, struct.pack(">Q", 2))


def test_messages_keep_their_text_and_their_cgroup() -> None:
    line = "  8,0    1        0     0.000000001     0  m   N cfq4162S / alloced [x]\n"
    assert records(line)[0][:5] == (2, 1 << 10, 0, 0, b"cfq4162S / alloced [x]")
    tagged = line.replace(" m ", "1f,0  m ")
    assert records(tagged)[0][4] == struct.pack("<Q", 0x1F) + b"cfq4162S / alloced [x]"


def test_a_name_is_noted_when_it_is_new() -> None:
    line = "  8,0 1 {} 0.00000000{} 7 Q R 8 + 8 [{}]\n"
    text = "".join(
        line.format(row, row, name)
        for row, name in enumerate(["cat", "cat", "bash"], 1)
    )
    notes = [one[4].rstrip(b"\0") for one in records(text) if one[1] == 1 << 10]  # type: ignore[attr-defined]
    assert notes == [b"cat", b"bash"]


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "  8,0    1       11     0.009507758   697  C   W 223490 + 8",
        "  8,0    1       11     0.009507758   697  C   W 223490 + 8 [0",
        "  8,0    1       11     0.009507758   697  C   W 223490 + 8 [x]",
        "  8,0    1       11     0.009507758   697  Z   W 223490 + 8 [0]",
        "  8,0    1       11     0.009507758   697  C   Y 223490 + 8 [0]",
        "  8,0    1       11     0.0095077580  697  C   W 223490 + 8 [0]",
        "  8,0    1       11     9507758       697  C   W 223490 + 8 [0]",
        "  8,0    1       11     0.009507758   697  C   W 223490 + 99999999 [0]",
        "  8,0    1       11     0.009507758   697  C   W 99999999999999999999 + 8 [0]",
        "  8,0 70000       11     0.009507758   697  C   W 223490 + 8 [0]",
        "4096,0   1       11     0.009507758   697  C   W 223490 + 8 [0]",
        "  8,0    1       11     0.009507758   697  Q   W 223490 + 8 [x] y",
        "  8,0    1       11     0.009507758   697  Q   W 223490 + 8 [x",
        "  8,0    1       11     0.009507758   697  A   W 223490 + 8 <- (8,1) [x]",
        "  8,0    1       11     0.009507758   697  D   R 36 (12 00 [smartd]",
    ],
)
def test_a_line_that_is_no_event_is_counted_as_a_whole(line: str) -> None:
    reader = TextRecords(b"")
    data = f"# comment\n{line}\n".encode()
    offset, out = reader.take(data, 0)
    assert (offset, out, reader.finish(b"")) == (len(data), b"", b"")
    counts = reader.counts()
    assert (counts["events"], counts["refused"], counts["refused_bytes"]) == (
        0,
        1,
        len(line) + 1,
    )
    assert (counts["comments"], counts["first_refused"]) == (1, 2)


GOOD = (
    "  8,0    0        1     0.000000000    41  Q   W 8 + 8 [dd]\n"
    "  8,0    0        2     0.000001000    41  D   W 8 + 8 [dd]\n"
    "  8,0    1        1     0.000003000     0  C   W 8 + 8 [0]\n"
)


def test_header_summary_and_cut_ends_are_no_loss(tmp_path: Path) -> None:
    # GIVEN text as it is found: cut at both ends, with a header and a summary
    path = tmp_path / "t.txt"
    path.write_text(
        "8,0  0 1 0.1 41 Q   W 8 + 8 [dd\n"
        + GOOD
        + "#Maj,Mn CPU   SeqNo\nCPU0 (sda):\n Reads Queued:           0,        0KiB\n"
        "\nTotal (sda):\n Writes Queued:         248,    1,154KiB\n"
        "Throughput (R/W): 0KiB/s / 46KiB/s\nEvents (sda): 1,364 entries\n"
        "Skips: 0 forward (0 -   0.0%)\nInput file sda.blktrace.0 added\n"
        "  8,0    1        3     0.000013"
    )
    # WHEN it is read
    rows, summary = read(path, "blkparse")
    # THEN the request is there, and only the cut lines' bytes are counted
    assert brief(rows) == [(0, 3000, 8, 4096, "write")]
    assert summary.quality.truncated_bytes == 31 + 32
    assert summary.quality.refused_bytes == 0
    assert summary.quality.records == 3
    assert [one.names[0].name for one in summary.processes] == ["dd"]
    assert summary.format == "blkparse"


def test_lines_slightly_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    lines = GOOD.splitlines(keepends=True)
    path = tmp_path / "t.txt"
    path.write_text(lines[2] + lines[1] + lines[0])
    rows, summary = read(path)
    assert brief(rows) == [(0, 3000, 8, 4096, "write")]
    assert summary.quality.out_of_order == 2


def test_damaged_lines_in_the_middle_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(GOOD + "garbage\n")
    assert read(path)[1].quality.refused_bytes == len("garbage\n")


def test_text_of_which_most_is_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(GOOD + "garbage\n" * 4)
    with pytest.raises(
        TraceError, match=r"line 4: is not in blkparse's default format"
    ):
        read(path, "blkparse")


def test_a_remaps_sequence_number_is_no_loss(tmp_path: Path) -> None:
    # GIVEN a remap, which is printed with another device, between events
    lines = GOOD.splitlines(keepends=True)
    remap = "  8,1    0        2     0.000000100    41  A   W 8 + 8 <- (8,2) 9\n"
    path = tmp_path / "t.txt"
    path.write_text(lines[0] + remap + lines[1].replace(" 2 ", " 3 ", 1) + lines[2])
    assert read(path)[1].quality.lost == {}
    # a gap between whole requests is a filter's
    path.write_text(lines[0] + lines[1].replace(" 2 ", " 4 ", 1) + lines[2])
    quality = read(path)[1].quality
    assert quality.lost == {}
    assert quality.left_out == {"0": 2}


def test_a_remap_keeps_its_device_where_its_number_goes_on(tmp_path: Path) -> None:
    # GIVEN two disks on one CPU, whose numbers agree, each with remaps of its own
    events = (
        ("A", "<- (8,9) 9"),
        ("Q", "[x]"),
        ("D", "[x]"),
        ("C", "[0]"),
    )
    path = tmp_path / "t.txt"
    path.write_text(
        "".join(
            f"{device} 1 {4 * n + step} {n}.0000{step}{place} 7 {letter} W"
            f" {8 * n} + 8 {rest}\n"
            for n in range(9)
            for step, (letter, rest) in enumerate(events, start=1)
            for place, device in enumerate(("8,0", "8,16"))
        ).replace(".0000", ".0000000")
    )
    rows, summary = read(path)
    assert len(rows) == 18
    assert summary.quality.lost == summary.quality.left_out == {}


def test_what_is_lost_is_told_from_what_a_filter_left_out(tmp_path: Path) -> None:
    # GIVEN requests of two processes, of which half the events are missing
    lines = [
        f"8,0 0 {3 * n + step} 0.00{n:03}{step}000 {40 + n % 2} {letter}"
        f"  {'RW'[n % 2]} {8 * n} + 8 [{'0' if letter == 'C' else 'x'}]\n"
        for n in range(100)
        for step, letter in enumerate("QDC", start=1)
    ]
    path = tmp_path / "t.txt"
    path.write_text("".join(lines[::2]))
    assert sum(read(path)[1].quality.lost.values()) == 149
    # blkparse's own word counts more
    path.write_text("".join(lines[::2]) + "\nSkips: 0 forward (0 -   0.0%)\n")
    assert sum(read(path)[1].quality.left_out.values()) == 149
    path.write_text("".join(lines[:90] + lines[180:]) + "\nSkips: 1 forward (90)\n")
    assert read(path)[1].quality.lost == {"0": 90}
    # one process's, without the completions, which name none
    path.write_text("".join(one for one in lines if " 41 " in one and "C" not in one))
    assert sum(read(path)[1].quality.left_out.values()) > 100


def test_times_before_the_first_event_are_put_where_they_belong(tmp_path: Path) -> None:
    # GIVEN text of a live blkparse, of which one CPU began earlier, far behind
    early = "8,0 1 {} 1266874889.709{:06} 7 {} W 8 + 8 {}\n"
    late = [
        f"8,0 0 {n + 1} {n // 2}.{n % 2}00000000 9 {'QC'[n % 2]} W {8 * n // 16 * 16}"
        f" + 8 {'[0]' if n % 2 else '[x]'}\n"
        for n in range(30_000)
    ]
    path = tmp_path / "t.txt"
    path.write_text(
        "".join(late)
        + early.format(1, 251616, "Q", "[x]")
        + early.format(2, 351616, "C", "[0]")
    )
    # WHEN it is read
    rows, summary = read(path)
    # THEN the trace begins with it
    assert (rows[0]["queue_ns"], rows[0]["complete_ns"]) == (0, 100_000)
    assert summary.start_ns == -300_000
    assert rows[1]["queue_ns"] == 300_000
    assert "2 times before the first event" in summary.notes[0]


def test_short_text_with_its_summary_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(
        GOOD
        + "CPU0 (7,0):\n Reads Queued:    0,    0KiB\t Writes Queued:  1,   4KiB\n"
        + " Read Dispatches: 0\n IO unplugs: 0\n" * 9
        + "\nThroughput (R/W): 0KiB/s / 0KiB/s\nEvents (7,0): 3 entries\n"
        + "Skips: 0 forward (0 -   0.0%)\n"
    )
    rows, summary = read(path)
    assert summary.format == "blkparse"
    assert len(rows) == 1


def test_a_format_without_action_is_read_where_one_is_said(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("0.000000001 W 8 8\n0.000000100 R 16 8\n")
    rows, _ = read(path, blkparse_format=r"D,%T.%t %d %S %n\n")
    assert brief(rows, "issue_ns", "sector", "op") == [
        (0, 8, "write"),
        (99, 16, "read"),
    ]
    with pytest.raises(TraceError, match=r"'D,%T\.%t %d %S %n"):
        read(path, blkparse_format=r"%T.%t %d %S %n\n")
    with pytest.raises(TraceError, match="%a in it"):
        read(path, blkparse_format=r"D,%T.%t %d %a %S %n\n")


PATTERN = r"%M,%m|%c %s %T.%t pid=%p %a %d %S+%N {%C} %g err %e\n"


def test_a_given_format_is_read_with_its_cgroup(tmp_path: Path) -> None:
    # GIVEN fields in a form of their own, with names that hold what stands behind them
    path = tmp_path / "t.txt"
    path.write_text(
        "7,0|0 1 0.000000000 pid=41 Q W 8+512 {a} {b} 1f,2 err 0\n"
        "7,0|0 2 0.000001000 pid=41 D W 8+512 {a} {b} 1f,2 err 0\n"
        "  7,0    0        0     0.000001500     0  m   N hello\n"
        "7,0|1 1 0.000003000 pid=0 C W 8+512 {} - err -5\n"
    )
    # WHEN it is read by that format
    rows, summary = read(path, blkparse_format=PATTERN)
    # THEN the id's upper half is behind the comma
    assert brief(rows, "cgroup", "nbytes", "error", "pid", "device") == [
        (0x2_0000_001F, 512, -5, 41, 7 << 20)
    ]
    assert [one.names[0].name for one in summary.processes] == ["a} {b"]
    assert [one.text for one in summary.messages] == ["hello"]


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("%D %2c %8s %5T.%9t %5p %2a %3d %S + %n %C,%g", "{} 41  Q  WS 8 + 8 {},1f,2"),
        ("%D %2c %8s %5T.%9t %5p %2a %3d %S + %n %C-%g", "{} 41  Q  WS 8 + 8 {}-1f,2"),
        (
            "%D %2c %8s %5T.%9t %5p %2a %3d %S + %n %-16C %g",
            "{} 41 Q W 8 + 8 {}    1f,2",
        ),
        ("%D %2c %8s %5T.%9t %C,%p,%g %2a %3d %S + %n", "{} {},41,1f,2  Q  WS 8 + 8"),
        ("%D %2c %8s %5T.%9t %20C %p %g %2a %3d %S + %n", "{}    {} 41 1f,2 Q W 8 + 8"),
        ("%D %2c %8s %5T.%9t %C;%g %p %2a %3d %S + %n", "{} {};1f,2 41  Q  WS 8 + 8"),
    ],
)
@pytest.mark.parametrize("name", ["fio", "a,b", "a 1,2", "k-1f,2", "7,0 Q"])
def test_a_name_ends_where_the_rest_fits(
    tmp_path: Path, pattern: str, line: str, name: str
) -> None:
    # GIVEN names that hold what stands behind them, and fields that do
    path = tmp_path / "t.txt"
    path.write_text(line.format("7,0 1 1 2.000000003", name) + "\n")
    # WHEN they are read by their format
    rows, summary = read(path, blkparse_format=pattern)
    # THEN name, process and cgroup are what was printed
    assert brief(rows, "cgroup", "pid", "sector", "nbytes") == [
        (0x2_0000_001F, 41, 8, 4096)
    ]
    assert [one.names[0].name for one in summary.processes] == [name]


def test_no_cgroup_behind_a_name(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("7,0 1 1 2.0 41 Q W 8 + 8 fio--\n7,0 1 2 2.1 41 D W 8 + 8 a-1f,2\n")
    rows, _ = read(path, blkparse_format="%D %c %s %T.%t %p %a %d %S + %n %C-%g")
    assert brief(rows, "cgroup") == [(0,)]


def test_widths_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(GOOD)
    found = read(path)[0]
    pattern = "%D %2c %8s %5T.%9t %5p %2a %3d %S + %n [%C]\\n"
    text = GOOD.replace("[0]", "[(null)]")
    path.write_text(text)
    assert read(path, blkparse_format=pattern)[0] == found


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("%D %c", "has no action"),
        ("%a %d %T.%t %S", "has no number of blocks or bytes"),
        ("%a %d %T.%t %S %n %x", "%x is no field"),
        ("%a %d %T.%t %S %n %", "% is no field"),
        ("%a %d %T.%t %S %n ä", "cannot be in it"),
        ("%a %d %T.%t %S %n %C%g", "between %C and %g"),
        ("%a %d %T.%t %S %n %C %C", "%C more than once"),
    ],
)
def test_a_format_without_what_is_needed_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(TraceError, match=reason):
        compile_format(pattern)


def test_text_that_is_not_in_the_given_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(GOOD)
    with pytest.raises(TraceError, match="is not in the format given"):
        read(path, blkparse_format=PATTERN)


ALPHABET = st.sampled_from(" 0123456789abcdQDCMXAUmWRFNS[]()+-/<>,.\n\r\t#{}|%\x00é")


@given(st.text(ALPHABET, max_size=300), st.booleans())
def test_no_text_makes_anything_but_records_and_counts(text: str, given_: bool) -> None:
    reader = TextRecords(compile_format(PATTERN) if given_ else b"")
    data = (GOOD + text).encode()
    offset, out = reader.take(data, 0)
    out += reader.finish(data[offset:])
    counts = reader.counts()
    assert counts["lines"] >= counts["events"] + counts["refused"] + counts["comments"]
    assert given_ or counts["events"] >= 3
    at = 0
    while at < len(out):
        at += HEADER.size + HEADER.unpack_from(out, at)[-1]
    assert at == len(out)


@given(st.data())
def test_a_mutated_line_never_harms(data: st.DataObject) -> None:
    line = data.draw(st.sampled_from(GOOD.encode().splitlines()))
    at = data.draw(st.integers(0, len(line)))
    text = line[:at] + data.draw(st.binary(max_size=30)) + line[at:]
    reader = TextRecords(b"")
    offset, _ = reader.take(text, 0)
    reader.finish(text[offset:])
    assert reader.counts()["lines"] >= 1


def test_more_lines_than_are_held_back_all_come_out(tmp_path: Path) -> None:
    # GIVEN many more lines than the window, the CPUs' lines not merged by time
    n_requests = 9000
    path = tmp_path / "t.txt"
    with path.open("w") as file:
        for block in range(0, n_requests, 100):
            for letter, tail in (("D", "[x]"), ("C", "[0]")):
                cpu = "DC".index(letter)
                for row in range(block, block + 100):
                    file.write(
                        f"8,0 {cpu} {row + 1} 0.{row * 1000 + cpu * 300:09d} 7 "
                        f"{letter} R {row * 8} + 8 {tail}\n"
                    )
    # WHEN they are read, THEN every request is complete and nothing moved
    rows, summary = read(path)
    assert len(rows) == n_requests
    assert {row["complete_ns"] - row["issue_ns"] for row in rows} == {300}
    assert summary.quality.unmatched == {"issue_without_queue": n_requests}
