"""A capture that is decoded in slices of time: its rows are those of one pass."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from replay.common.errors import TraceError
from replay.trace.blktrace.batches import BlktraceBatches, CaptureFile
from replay.trace.blktrace.captures import CaptureBatches
from replay.trace.blktrace.slices import SliceReader, SliceSizes
from replay.trace.file.metadata import Summary
from replay.trace.rows import Disordered
from support.blktrace import (
    Event,
    cpu_files,
    decode,
    event_bytes,
    process_note,
    writes,
)
from support.recordings import TRACES

SMALL = SliceSizes(slice_bytes=2000, lead_bytes=500, patience=1 << 30)


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> list[SliceReader]:
    """Collect whoever reads in slices."""
    made: list[SliceReader] = []
    whole = SliceReader.batches

    def batches(self: SliceReader) -> Iterator[pa.RecordBatch]:
        made.append(self)
        return whole(self)

    monkeypatch.setattr(SliceReader, "batches", batches)
    return made


def both(
    files: Sequence[bytes], sizes: SliceSizes = SMALL, *, batch_rows: int = 7
) -> Summary:
    """Decode in one pass and in slices; check that they are the same."""
    table, summary = decode(files, batch_rows=batch_rows)
    again, summary_again = decode(files, batch_rows=batch_rows, sizes=sizes)
    assert again.equals(table)
    # batches, too; and the order in which things are told
    assert again.column(0).num_chunks == table.column(0).num_chunks
    assert repr(summary_again) == repr(summary)
    return summary


def test_slices_are_joined(readers: list[SliceReader]) -> None:
    # GIVEN writes one after another on two CPUs
    files = [writes(400), writes(400, start_ns=1900, cgroup=59)]
    # WHEN they are decoded in slices; THEN nearly all of them are used
    both(files)
    assert readers[0].n_joined > 50
    assert readers[0].n_again < 5


def test_requests_open_at_every_seam_are_those_of_one_pass(
    readers: list[SliceReader],
) -> None:
    # GIVEN 8 requests in flight at any time
    events = []
    for number in range(300):
        sector = 8 * number
        for letter, after_ns in (("Q", 0), ("G", 10), ("D", 20), ("C", 860)):
            cpu = number % 3 if letter != "C" else 0
            events.append(
                Event(letter, 1000 + 100 * number + after_ns, sector, cpu=cpu)
            )
    events.sort(key=lambda event: event.time_ns)
    # THEN a lead that they end in is enough, and a shorter one is noticed
    both(cpu_files(events), SliceSizes(slice_bytes=9000, lead_bytes=3000))
    assert (readers[0].n_joined > 3, readers[0].n_again) == (True, 0)
    both(cpu_files(events), SliceSizes(slice_bytes=900, lead_bytes=100))
    assert readers[1].n_again > 0


def test_what_is_lost_at_a_seam_is_counted_once() -> None:
    # GIVEN gaps in the sequence numbers all over, on a CPU that is often silent
    events = [
        Event(letter, 1000 + 50 * n, 8 * n) for n in range(400) for letter in "DC"
    ]
    dense = b"".join(
        event_bytes(event, 1 + number + number // 30 * 5)
        for number, event in enumerate(events)
    )
    rare = b"".join(
        event_bytes(Event("P", 1000 + 1700 * n, cpu=2), 1 + 3 * n) for n in range(12)
    )
    summary = both([dense, rare])
    assert summary.quality.lost == {"0": 130, "2": 22}


def test_a_request_that_never_ends_is_held_as_in_one_pass(
    readers: list[SliceReader],
) -> None:
    stuck = event_bytes(Event("D", 900, 1 << 30, cpu=3), 1)
    summary = both([stuck, writes(400)])
    assert summary.quality.unfinished == 1
    # nothing can be joined, and after some slices it is no longer tried
    both([stuck, writes(400)], SliceSizes(slice_bytes=2000, lead_bytes=500, patience=2))
    assert (readers[1].n_joined, readers[1].n_again) == (0, 2)


def test_names_and_damage_are_told_as_in_one_pass() -> None:
    names = b"".join(
        process_note(b"name%d" % n, pid=n % 5, time_ns=1000 + 9000 * n)
        for n in range(60)
    )
    data = writes(400)
    damaged = data[:30_001] + b"\xff" * 100 + data[30_101:-20]
    summary = both([names + writes(30, cgroup=59), damaged])
    assert summary.quality.refused_bytes > 0
    assert summary.quality.truncated_bytes == 28
    assert summary.quality.damage == {"test.blktrace.1": 29_976}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [7, 8])
def test_layouts_are_cut_alike(version: int, order: str) -> None:
    events = [
        Event(letter, 1000 + 90 * n, 8 * n, cpu=n % 2)
        for n in range(200)
        for letter in "QDC"
    ]
    assert order in ("<", ">")
    both(cpu_files(events, version=version, order=order))  # type: ignore[arg-type]


def test_the_same_is_refused_in_the_same_words() -> None:
    data = b"".join(
        event_bytes(Event("D", 1 + device, device=device), 1)
        for device in range((1 << 16) + 1)
    )
    told = []
    for sizes in (None, SliceSizes(slice_bytes=1 << 19, lead_bytes=1 << 16)):
        with pytest.raises(TraceError) as refused:
            decode([data], sizes=sizes)
        told.append(str(refused.value))
    assert told[0] == told[1]
    assert "65536 devices and more in the first 65537 records" in told[0]


def slice_threads() -> list[str]:
    """Name the threads that decode slices."""
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("slice")
    ]


def test_an_iteration_that_ends_early_leaves_nothing_behind() -> None:
    # GIVEN a capture that is being decoded in slices
    data = bytearray(writes(4000))
    rows = BlktraceBatches([CaptureFile("t", data)], batch_rows=64)
    rows.use_threads(3)
    rows.sizes = SliceSizes(slice_bytes=20_000, lead_bytes=2000)
    iteration = iter(rows)
    for _ in range(20):
        next(iteration)
    assert slice_threads()
    # WHEN nobody wants more; THEN no thread is left, and no buffer is held
    del iteration
    assert slice_threads() == []
    data.clear()


def test_another_thread_ends_it() -> None:
    rows = BlktraceBatches([CaptureFile("t", writes(4000))], batch_rows=64)
    rows.use_threads(2)
    rows.sizes = SliceSizes(slice_bytes=20_000, lead_bytes=2000)
    iteration = iter(rows)
    next(iteration)
    rows.halt()
    with pytest.raises(TraceError, match="reading it was given up"):
        list(iteration)
    assert slice_threads() == []


def one_capture(paths: Sequence[Path], sizes: SliceSizes | None) -> CaptureBatches:
    rows = CaptureBatches(paths, batch_rows=5000)
    rows.use_threads(1 if sizes is None else 2)
    rows.sizes = sizes
    return rows


def read(rows: CaptureBatches) -> tuple[list[pa.RecordBatch], str]:
    try:
        batches = list(rows)
    except Disordered:
        rows.sort_on_disk()
        batches = list(rows)
    return batches, repr(rows.summary)


def captures(root: Path) -> Iterator[list[Path]]:
    """Find the captures below a directory."""
    sets: dict[Path, list[Path]] = {}
    for path in sorted(root.rglob("*.blktrace.*")):
        if path.suffix[1:].isdigit() and path.is_file():
            sets.setdefault(path.with_suffix(""), []).append(path)
    yield from sets.values()


def check_recordings(root: Path) -> int:
    """Compare slices of a twentieth with one pass; return how many there are."""
    n_captures = 0
    for paths in captures(root):
        n_bytes = sum(path.stat().st_size for path in paths)
        if n_bytes == 0:
            continue
        size = n_bytes // 20 + 1
        sizes = SliceSizes(slice_bytes=size, lead_bytes=size // 8, patience=1 << 30)
        expected = read(one_capture(paths, None))
        assert read(one_capture(paths, sizes)) == expected, paths
        n_captures += 1
    return n_captures


def test_recordings_in_slices_are_those_of_one_pass() -> None:
    assert check_recordings(TRACES) > 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ground-truth", "public-traces"])
def test_all_recordings_in_slices_are_those_of_one_pass(
    shared: Path, kind: str
) -> None:
    if not (shared / kind).is_dir():
        pytest.skip(f"no {kind}")
    assert check_recordings(shared / kind) > 0
