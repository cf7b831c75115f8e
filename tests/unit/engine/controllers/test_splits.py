"""Requests that are longer than what the device below takes at once."""

from typing import Any

import numpy as np
import pytest

from replay.engine.reference.state.split_counts import begins_part, parts_of
from replay.engine.setup import NO_LIMIT, ArrivalMode, Policy, Setup
from replay.scenario.keys.load import Scenario
from support.engines import A, B, Row, by_row, pick, replayed, request, setup_of, write

MS = 10**6
JIFFY = 4 * MS
#: 64 KiB.
MAX = 128
PER_US = 137_438


def direct(**fields: Any) -> Setup:
    """Make a loop device with direct I/O on a disk that takes 64 KiB at once."""
    return setup_of(
        **{
            "direct_io": True,
            "tmpfs": False,
            "backing_device": True,
            "max_sectors": MAX,
            **fields,
        }
    )


def limited(bps: int = NO_LIMIT, iops: int = NO_LIMIT, **fields: Any) -> Setup:
    """Make the same with a limit of a's writes below."""
    none = np.array([NO_LIMIT])
    return direct(
        **{
            "iomax_cgroup": np.array([A], np.uint32),
            "iomax_device": np.array([-1], np.int32),
            "iomax_rbps": none,
            "iomax_wbps": np.array([bps]),
            "iomax_riops": none,
            "iomax_wiops": np.array([iops]),
            **fields,
        }
    )


def test_every_part_is_an_io_below_and_bytes_count_once() -> None:
    # GIVEN 256 KiB, 64 KiB, a page more than that, and a discard
    rows = [
        write(0, pages=64),
        write(0, B, pages=16),
        request(0, B, pages=17),
        request(0, A, "discard", pages=64),
    ]
    raw = replayed(direct(), *rows)
    # THEN they are 4, 1, 2 and 1 on the disk
    columns = ("cgroup", "wbytes", "wios", "rbytes", "rios", "dios")
    assert pick(raw, "backing_io", *columns) == [
        (A, 64 * 4096, 4, 0, 0, 1),
        (B, 16 * 4096, 1, 17 * 4096, 2, 0),
    ]
    # AND what the loop device counts is what it was
    assert pick(raw, "io", "cgroup", "wios", "rios") == [(A, 1, 0), (B, 1, 1)]


def test_bios_merged_above_are_one_below_unless_they_are_passed_on() -> None:
    # GIVEN three bios that became one request of the loop device
    merged = write(0, pages=4, n_bios=3)
    # THEN the driver hands one to the disk
    assert pick(replayed(direct(), merged), "backing_io", "wios") == [1]
    # AND a bio-based device hands on all, and what is longer than they can be in parts
    passing = direct(policy=Policy.PASS_THROUGH)
    raw = replayed(passing, merged, write(0, B, pages=80, n_bios=3))
    assert pick(raw, "backing_io", "cgroup", "wios") == [(A, 3), (B, 5)]


def test_a_limit_of_ios_counts_every_part() -> None:
    # GIVEN 40 writes a second, 4 a slice of 25 jiffies, and three writes of 4 parts
    rows = [write(0, pages=64) for _ in range(3)]
    raw = replayed(limited(iops=40), *rows)
    # THEN the first uses the first slice up; in the next the second passes three times
    # (the queue being empty when it comes again) and the third once, then one and three
    assert by_row(raw, "backing_ns") == [0, 50 * JIFFY, 50 * JIFFY]
    # AND whole they would all have gone in the first
    whole = limited(iops=40, max_sectors=2560)
    assert by_row(replayed(whole, *rows), "backing_ns") == [0, 0, 0]
    # AND all waited for their own cgroup's limit
    assert pick(raw, "interference", "waiting", "blocking", "wait_ns") == [
        (A, A, 100 * JIFFY)
    ]


def test_what_is_left_waits_behind_who_waits_already() -> None:
    # GIVEN 20 a second, 2 a slice: a write of 3 parts and one of 1
    rows = [write(0, pages=48), write(1, pages=16)]
    raw = replayed(limited(iops=20), *rows)
    # THEN two parts go at once, and the third is ahead of the second write
    assert by_row(raw, "backing_ns") == [25 * JIFFY, 25 * JIFFY - 1]
    # GIVEN two of 3 parts: the first of the second one is ahead of the last but one
    rows = [write(0, pages=80), write(1, pages=48)]
    raw = replayed(limited(iops=20), *rows)
    # THEN the order is 1 1 | 1 2 | 1 2 | 1 2: the first has 5 parts, the second 3
    assert by_row(raw, "backing_ns") == [75 * JIFFY, 75 * JIFFY - 1]


def test_bytes_are_paid_once_and_what_is_left_is_not_looked_at() -> None:
    # GIVEN a limit of bytes alone: 64 KiB a slice, so the first 256 KiB take 4 slices
    setup = limited(bps=640 << 10)
    raw = replayed(setup, write(0, pages=64), write(0, pages=64))
    # THEN 4 slices, less the one that is there at once, and as many for the second
    first, second = by_row(raw, "backing_ns")
    assert first == 100 * JIFFY
    assert second == 200 * JIFFY
    # AND parts change nothing
    whole = limited(bps=640 << 10, max_sectors=2560)
    again = replayed(whole, write(0, pages=64), write(0, pages=64))
    assert by_row(again, "backing_ns") == [first, second]


def test_16_writes_of_256_kib_at_1_mib_a_second_as_a_kernel_took_them() -> None:
    # GIVEN direct writes, one after the other, on a disk of max_sectors_kb 127
    setup = limited(
        bps=1 << 20,
        max_sectors=254,
        mode=ArrivalMode.DEPENDENT,
        write_base_ns=100_000,
    )
    rows: list[Row] = [
        write(i * 200, pages=64, page=64 * i, complete_ns=i * 200 + 200)
        for i in range(16)
    ]
    raw = replayed(setup, *rows)
    # THEN they are 48 I/Os, and take the 3.93 to 3.96 s that kernels took on null_blk,
    # within a slice: where in one the first comes is chance
    assert pick(raw, "backing_io", "wbytes", "wios") == [(4 << 20, 48)]
    end = max(by_row(raw, "completion_ns"))
    assert 3.93 - 0.1 < end / 1e9 < 3.96 + 0.1


def test_a_cost_model_charges_an_io_for_every_part() -> None:
    # GIVEN a page of 1 us, a sequential I/O of 10 us and a random one of 100 us
    model = np.array([[PER_US, 10 * PER_US, 100 * PER_US] * 2])
    setup = direct(
        iocost_device=np.array([-1], np.int32),
        iocost_coefficients=model,
        iocost_qos=np.array([[0, 0, 0, 0, 10**6, 10**6]]),
        iocost_weight=np.array([[100, 100, 100]], np.uint32),
    )
    # WHEN 72 pages are written in 5 parts, then far away 16 in one
    rows = [write(0, pages=72), write(0, page=10_000, pages=16)]
    raw = replayed(setup, *rows)
    # THEN that is 72 pages and 5 sequential I/Os, and 16 and a random one
    assert pick(raw, "cost", "usage_us") == [72 + 5 * 10 + 16 + 100]


@pytest.mark.parametrize(("max_sectors", "bios"), [(2560, 1), (MAX, 7), (31, 26)])
def test_write_back_is_counted_in_parts(max_sectors: int, bios: int) -> None:
    # GIVEN 100 pages in one piece, written to a cached file and synced at the end
    setup = setup_of(
        tmpfs=False, cached=True, backing_device=True, max_sectors=max_sectors
    )
    raw = replayed(setup, write(0, pages=100))
    assert pick(raw, "backing_io", "wios") == [bios]


def test_parts_of_a_run_add_up_to_those_of_the_whole() -> None:
    for most in (8, 31, 254, 255, 2560):
        parts = 0
        for length in range(1, 700):
            parts += begins_part(length, most)
            assert parts == parts_of(length * 4096, most)


def test_the_key_is_the_kernels_file(tmp_path: Any) -> None:
    scenario = Scenario.from_dict({"backing": {"max_sectors_kb": 127}})
    assert scenario.backing.max_sectors_kb == 127
    with pytest.raises(Exception, match="max_sectors_kb"):
        Scenario.from_dict({"backing": {"max_sectors_kb": 3}})
