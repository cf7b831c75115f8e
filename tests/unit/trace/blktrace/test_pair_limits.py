"""Pairing at its limits: many open requests, long traces, short memory."""

import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from replay.common.errors import TraceError
from replay.trace.blktrace.batches import BlktraceBatches, CaptureFile
from support.blktrace import (
    LOOP0,
    Event,
    cpu_files,
    decode,
    decode_events,
    event_bytes,
    rows_of,
)


def test_many_open_requests_each_find_their_own_completion() -> None:
    # GIVEN 30,000 requests in flight at once, completed in another order
    rng = random.Random(1)
    sectors = rng.sample(range(0, 1 << 40, 8), 30_000)
    events = [Event("D", i, s, cpu=0) for i, s in enumerate(sectors)]
    expected = {}
    for i, sector in enumerate(rng.sample(sectors, len(sectors))):
        expected[sector] = 100_000 + i
        events.append(Event("C", 100_000 + i, sector, cpu=1))
    # WHEN they are paired
    rows, summary = decode_events(events)
    # THEN each has its own time, and nothing is left
    assert {row["sector"]: row["complete_ns"] for row in rows} == expected
    assert summary.quality.unfinished == 0


def test_one_sector_in_flight_many_times_stays_fast() -> None:
    # GIVEN 100,000 requests of one sector, all open: a hostile trace
    issue = event_bytes(Event("D", 5, 8), 1)
    done = event_bytes(Event("C", 6, 8, 512), 2)
    _, summary = decode([issue * 100_000 + done * 50_000])
    # THEN nothing walks all of them for each event, or this would take minutes
    assert summary.quality.partial_completions == 50_000
    assert summary.n_rows == 100_000


def test_memory_does_not_grow_with_the_trace() -> None:
    # GIVEN one request that never completes, and many that do
    stuck = event_bytes(Event("D", 1, 1 << 30), 1)
    turn = b"".join(event_bytes(Event(letter, 2, 8, cgroup=23), 2) for letter in "QGDC")
    data = stuck + turn * 200_000

    def read(n_bytes: int) -> int:
        batches = BlktraceBatches(
            [CaptureFile("t", memoryview(data)[:n_bytes])], batch_rows=1024, window=1024
        )
        n_rows = sum(int(batch.num_rows) for batch in batches)
        assert batches.bytes_read == batches.bytes_total == n_bytes
        return n_rows

    # WHEN ten times as much is read
    assert read(len(stuck) + len(turn) * 20_000) == 20_001
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read(len(data)) == 200_001
    # THEN the peak rose by less than the batches' size (KiB)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 8192


def test_more_devices_than_any_machine_has_are_refused() -> None:
    data = b"".join(
        event_bytes(Event("D", 1, device=device), 1) for device in range((1 << 16) + 1)
    )
    with pytest.raises(TraceError, match="65536 devices"):
        list(BlktraceBatches([CaptureFile("t", data)]))


@pytest.mark.parametrize("limit", [{"batch_rows": 0}, {"window": 0}])
def test_sizes_out_of_range_are_refused(limit: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="is "):
        BlktraceBatches([], **limit)


def test_summary_is_known_after_the_last_batch_only() -> None:
    batches = BlktraceBatches([CaptureFile("t", cpu_files([Event("Q", 1)])[0])])
    with pytest.raises(RuntimeError, match="after the last batch"):
        _ = batches.summary
    assert len(list(batches)) == len(list(batches)) == 1
    assert batches.summary.devices[0].device == LOOP0


def test_buffers_are_let_go_when_the_iteration_ends_early() -> None:
    data = bytearray(cpu_files([Event("Q", i, 8 * i) for i in range(9)])[0])
    iteration = iter(BlktraceBatches([CaptureFile("t", data)], batch_rows=1))
    next(iteration)
    with pytest.raises(BufferError):
        data.clear()
    del iteration
    data.clear()


SHORT_OF_MEMORY = """
import resource, sys
sys.path[:0] = sys.argv[1:]
from support.blktrace import Event, event_bytes
from replay.trace.blktrace.batches import BlktraceBatches, CaptureFile
issue = event_bytes(Event("D", 1, 8), 1)
batches = BlktraceBatches([CaptureFile("t", issue * 900_000)], batch_rows=64)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20), resource.RLIM_INFINITY))
try:
    list(batches)
except MemoryError:
    print("MemoryError")
"""


def test_short_memory_raises_memory_error() -> None:
    # GIVEN a process with room for half of the open requests; a sanitizer's own
    # shadow memory would not fit
    if "libasan" in Path("/proc/self/maps").read_text():
        pytest.skip("the address sanitizer reserves more than any limit")
    done = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY, *sys.path],
        capture_output=True,
        text=True,
        check=False,
    )
    # THEN it is told so, and does not crash
    assert (done.returncode, done.stdout) == (0, "MemoryError\n"), done.stderr


def test_rows_of_one_batch_or_many_are_the_same() -> None:
    events = [Event("Q", i, 8 * i, pid=i) for i in range(100)]
    whole, _ = decode(cpu_files(events), batch_rows=1 << 20)
    single, _ = decode(cpu_files(events), batch_rows=1)
    assert rows_of(single) == rows_of(whole)
