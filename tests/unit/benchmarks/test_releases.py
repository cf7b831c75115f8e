"""What a release measured is kept, and what changed since the last one is told."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.measure import Result, Spent
from benchmarks.releases import PLACE, changes, kept, last_before, write

MACHINE = {"CPU": "one, 2 cores"}


def found(*cpu_ns: float, case: str = "a", count: int = 1000, peak: int = 0) -> Any:
    """Keep a case whose repeats took so many ns a unit."""
    spent = tuple(Spent(2e-9 * one * count, 1e-9 * one * count) for one in cpu_ns)
    result = Result(
        case=case, what="", unit="event", count=count, spent=spent, bytes_peak=peak
    )
    return kept([result], MACHINE, "2026-11-30")


def test_what_is_written_is_read_again_newest_first(tmp_path: Path) -> None:
    for version, ns in (("0.9.0", 5.0), ("0.10.0", 6.0), ("0.11.0", 7.0)):
        write(found(ns), version, tmp_path)
    # of the version at hand it is what it is compared with, not itself
    before = last_before("0.11.0", tmp_path)
    assert before is not None
    assert (before[0], before[1]) == ("0.10.0", found(6.0))
    assert last_before("0.9.0", tmp_path) is None
    assert changes(found(1.0), None) == ""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ((100.0,), (109.0,), False),
        ((100.0,), (112.0,), True),
        ((112.0,), (100.0,), True),
        # whose own repeats lie as far apart
        ((100.0, 130.0), (120.0,), False),
        ((100.0,), (120.0, 160.0), False),
        ((100.0, 103.0), (120.0, 121.0), True),
    ],
)
def test_more_than_the_noise_is_told(
    old: tuple[float, ...], new: tuple[float, ...], told: bool
) -> None:
    text = changes(found(*new), ("0.1.0", found(*old)))
    row = f"| a | {min(old):,.1f} ns | {min(new):,.1f} ns | {min(new) / min(old):.2f} |"
    assert (row in text) is told
    assert ("nothing" in text) is not told


def test_memory_is_told_and_other_sizes_are_not_compared() -> None:
    before = ("0.1.0", found(1.0, peak=100_000_000))
    text = changes(found(1.0, peak=150_000_000), before)
    assert "| a | 100.0 MB | 150.0 MB | 1.50 |" in text
    assert "nothing" in changes(found(9.0, count=2000), before)
    assert "nothing" in changes(found(9.0, case="b"), before)


def test_another_machine_is_named() -> None:
    old = {**found(1.0), "machine": {"CPU": "one, 2 cores", "caches": "other"}}
    assert "another machine (one, 2 cores; other)" in changes(
        found(1.0), ("0.1.0", old)
    )


def test_a_release_is_kept() -> None:
    before = last_before("0.2.0")
    assert before is not None
    assert before[0] == "0.1.0"
    assert before[1]["cases"]["decode.10-cgroups"]["cpu_ns"] > 0
    assert PLACE.is_dir()
