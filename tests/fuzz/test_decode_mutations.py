"""Damaged captures: each gives what can be read and a count, or is refused.

Run on a build with sanitizers to see more than a crash. ``REPLAY_FUZZ_EXAMPLES`` sets
the number of mutants for a longer run.
"""

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.common.errors import TraceError
from replay.trace.file.metadata import Summary
from support.blktrace import Event, cpu_files, decode, note, process_note, rows_of

LONGER = int(os.environ.get("REPLAY_FUZZ_EXAMPLES", "0"))
LIMITS = (0, 1, 7, 8, 0x7F, 0x80, 0xFF)
#: (offset in the v7 header, width): every field, to be set to its limits.
FIELDS = (
    (0, 4),
    (4, 4),
    (8, 8),
    (16, 8),
    (24, 4),
    (28, 4),
    (32, 4),
    (36, 4),
    (40, 4),
    (44, 2),
    (46, 2),
)
#: A damaged capture of this size must not take longer; whole ones take milliseconds.
MOST_SECONDS = 5.0
REAL = (
    "fs-on-loop/loop0",
    "direct-iomax/vdc",
)
PUBLIC = (
    "NetSys_disaggregation/0-disk-ec2-54-145-159-16",
    "Romeus_blkparseanalyzer/trace_x_0_y_0.bin",
)


fuzzing = settings(max_examples=LONGER) if LONGER else settings()


def record_starts(data: bytes) -> list[int]:
    """Offsets of the records of an undamaged v7 file."""
    starts = []
    offset = 0
    while offset + 48 <= len(data):
        starts.append(offset)
        offset += 48 + struct.unpack_from("<H", data, offset + 46)[0]
    return starts


def hand_made() -> list[bytes]:
    """Two CPUs' files with every kind of record."""
    events = []
    for i in range(40):
        first = Event("Q", 1_000 * i, 64 * i, 8192, cpu=i % 2, cgroup=23, pid=i)
        steps = [("Q", 8192), ("G", 8192), ("D", 8192), ("C", 4096), ("C", 4096)]
        for step, (letter, nbytes) in enumerate(steps):
            sector = first.sector + (8 if step == 4 else 0)
            events.append(
                Event(letter, first.time_ns + 90 * step, sector, nbytes, cpu=i % 2)
            )
        events.append(Event("X", 1_000 * i + 5, 64 * i, 4096, rest=64 * i + 8))
    files = cpu_files(events)
    files[0] = process_note(b"fio", pid=3) + files[0] + note(2, b"odd", time_ns=9)
    files[1] = note(1, struct.pack("<II", 1, 2)) + files[1]
    return files


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A few blows to one file."""
    n_blows = draw(st.integers(1, 4))
    blows = [
        (
            draw(st.sampled_from(("flip", "cut", "splice", "limit", "repeat", "drop"))),
            draw(st.floats(0, 1, exclude_max=True)),
            draw(st.floats(0, 1, exclude_max=True)),
            draw(st.integers(0, 255)),
        )
        for _ in range(n_blows)
    ]

    def apply(data: bytes) -> bytes:
        damaged = bytearray(data)
        starts = record_starts(data) or [0]
        for kind, where, whence, value in blows:
            if not damaged:
                break
            at = int(where * len(damaged))
            source = int(whence * len(damaged))
            if kind == "flip":
                damaged[at] ^= 1 << value % 8
            elif kind == "cut":
                del damaged[at:]
            elif kind == "splice":
                damaged[at:at] = damaged[source : source + value]
            elif kind == "limit":
                offset, width = FIELDS[int(whence * len(FIELDS))]
                offset += starts[int(where * len(starts))]
                fill = LIMITS[value % len(LIMITS)]
                damaged[offset : offset + width] = bytes([fill]) * width
            elif kind == "repeat":
                damaged += damaged[at : at + 4096]
            else:
                del damaged[at : at + value]
        return bytes(damaged)

    return apply


def check(files: list[bytes], window: int) -> None:
    """Decode; whatever comes out must be a valid trace that adds up."""
    began = time.monotonic()
    refusal = ""
    try:
        table, summary = decode(files, window=window)
    except TraceError as error:
        refusal = str(error)
    assert time.monotonic() - began < MOST_SECONDS
    if refusal:
        assert refusal.startswith("test.blktrace.")
        assert "\n" not in refusal
    else:
        check_counts(files, table, summary)


def check_counts(files: list[bytes], table: pa.Table | None, summary: Summary) -> None:
    quality = summary.quality
    rows = rows_of(table)
    n_known = sum(quality.events.values()) + sum(quality.notes.values())
    assert quality.records == n_known + quality.unknown
    n_bytes = sum(map(len, files))
    assert (
        48 * quality.records + quality.refused_bytes + quality.truncated_bytes
        <= n_bytes
    )
    n_bios = quality.events.get("Q", 0) + quality.events.get("X", 0)
    n_bios -= quality.unmatched.get("split", 0)
    assert sum(int(str(row["n_bios"])) for row in rows) == n_bios
    keys = [
        int(str(row["queue_ns"] if row["issue_ns"] is None else row["issue_ns"]))
        for row in rows
    ]
    assert keys == sorted(keys)
    n_complete = sum(row["complete_ns"] is not None for row in rows)
    assert (
        len(rows)
        == n_complete + quality.unfinished + quality.never_issued
        == (summary.n_rows)
    )


@given(
    damage=damages(), which=st.integers(0, 1), window=st.sampled_from((1, 16, 1 << 20))
)
@fuzzing
def test_damaged_capture_is_read_or_refused(
    damage: Callable[[bytes], bytes], which: int, window: int
) -> None:
    files = hand_made()
    files[which] = damage(files[which])
    check(files, window)


def check_damaged(damage: Callable[[bytes], bytes], paths: list[Path]) -> None:
    # the head of each file: where notes, names and the first requests are
    files = [path.read_bytes()[:24_000] for path in paths]
    files[0] = damage(files[0])
    check(files, 64)


@given(damage=damages(), name=st.sampled_from(REAL))
@fuzzing
def test_damaged_recording_is_read_or_refused(
    recording: Callable[[str], Path], damage: Callable[[bytes], bytes], name: str
) -> None:
    scenario, device = name.split("/")
    paths = sorted(recording(scenario).glob(f"{device}.blktrace.*"))
    assert paths
    check_damaged(damage, paths)


@given(damage=damages(), name=st.sampled_from(PUBLIC))
@fuzzing
def test_damaged_trace_of_others_is_read_or_refused(
    public_trace: Callable[[str], Path], damage: Callable[[bytes], bytes], name: str
) -> None:
    start = public_trace(name)
    check_damaged(damage, sorted(start.parent.glob(f"{start.name}*")))


@given(data=st.binary(max_size=400), order=st.sampled_from((b"\x07tae", b"")))
def test_noise_is_read_or_refused(data: bytes, order: bytes) -> None:
    check([order + data], 16)


@given(payload=st.binary(max_size=64), version=st.sampled_from((7, 8)))
def test_magic_everywhere_does_not_slow_the_search(
    payload: bytes, version: int
) -> None:
    # GIVEN a file in which every fourth byte could begin a record
    magic = (0x65617400 | version).to_bytes(4, "little")
    check([magic * 20_000 + payload], 16)
