"""How many threads are begun: what the user says, or by processors and size."""

import os
from pathlib import Path

import pytest

from replay.common import processors as module
from replay.common.processors import (
    FEW_BYTES,
    MOST_THREADS,
    processors,
    threads_for,
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have 64 processors, and be in the cgroup /a/b; return its tree."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    own = tmp_path / "own"
    own.write_text("4:cpu,cpuacct:/v1\n0::/a/b\n")
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    monkeypatch.setattr(module, "_OWN", own)
    monkeypatch.setattr(module, "_CGROUPS", tree)
    return tree


def test_affinity_counts(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert processors() == 64
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    assert processors() == 2


@pytest.mark.parametrize(
    ("own", "above", "count"),
    [
        ("max 100000", "max 100000", 64),
        ("300000 100000", "max 100000", 3),
        ("max 100000", "250000 100000", 3),
        ("400000 100000", "200000 100000", 2),
        ("1000 100000", "max 100000", 1),
        ("9900000 100000", "max 100000", 64),
        ("nonsense", "max 100000", 64),
    ],
)
def test_the_least_quota_of_the_cgroups_above_counts(
    machine: Path, own: str, above: str, count: int
) -> None:
    (machine / "a" / "b" / "cpu.max").write_text(f"{own}\n")
    (machine / "a" / "cpu.max").write_text(f"{above}\n")
    assert processors() == count


def test_a_machine_without_cgroups_has_its_affinity(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_OWN", machine / "none")
    assert processors() == 64


@pytest.mark.parametrize(
    ("n_bytes", "wanted", "count"),
    [
        (FEW_BYTES - 1, None, 1),
        (FEW_BYTES, None, MOST_THREADS),
        (1, 3, 3),
        (FEW_BYTES, 1, 1),
        (FEW_BYTES, 100, 100),
    ],
)
@pytest.mark.usefixtures("machine")
def test_small_inputs_have_one_thread_unless_the_user_says_so(
    n_bytes: int, wanted: int | None, count: int
) -> None:
    assert threads_for(n_bytes, wanted) == count
