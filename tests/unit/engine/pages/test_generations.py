"""Reclaim by the multi-generational LRU (docs/model.md, Page cache)."""

from typing import Any

import numpy as np
import pytest

from replay.engine.raw import Raw
from replay.engine.setup import Mglru, Setup
from support.engines import ROOT, A, B, pick, replayed, request, setup_of

KINDS = [Mglru.V6_12, Mglru.V6_14, Mglru.V7_2]


def cached(**fields: Any) -> Setup:
    """Make a setup over a disk file that was laid out, a page a read."""
    values: dict[str, Any] = {"tmpfs": False, "cached": True, "laid_out": True}
    return setup_of(**(values | {"readahead_pages": 0} | fields))


def reads(*pages: int) -> list[dict[str, Any]]:
    return [request(i * 2000, A, "read", page=page) for i, page in enumerate(pages)]


# The 64th page finds 63 and the tree's one. A CPU puts in 31 at once, of which the last
# was not read yet: 30 and 61 are of the oldest generation, all others of the next.
# Priorities 5 to 1 look at 1, 3, 7, 13 and 19 pages: 43 go, these two first
@pytest.mark.parametrize(
    ("again", "refaults"), [(30, 1), (61, 1), (0, 1), (41, 1), (42, 0), (60, 0)]
)
def test_pages_that_nobody_read_when_they_were_put_in_go_first(
    again: int, refaults: int
) -> None:
    setup = cached(limits={A: 64}, mglru=Mglru.V7_2)
    raw = replayed(setup, *reads(*range(64), again))
    found = pick(raw, "memory", "own_refaults", "own_activations", "own_file")
    assert found[A] == (refaults, 0, 63 - 43 + 1 + refaults)
    assert found[ROOT] == (0, 0, 0)


def test_up_to_7_1_a_batch_of_64_goes_at_once() -> None:
    # GIVEN 63 pages in the oldest generation that has any
    setup = cached(limits={A: 64}, mglru=Mglru.V6_12)
    raw = replayed(setup, *reads(*range(64)))
    # THEN all go, though 32 were wanted
    assert pick(raw, "memory", "own_file", "max")[A] == (1, 1)


def hot_and_cold(*, hot_reads: int) -> int:
    """Return the refaults of a set that is read often, beside a long stream."""
    stream, cold = [], iter(range(1000, 4000))
    for _ in range(20):
        for page in range(8):
            stream += [page, 5000] * hot_reads
        stream += [next(cold) for _ in range(100)]
    raw = replayed(cached(limits={A: 80}, mglru=Mglru.V7_2), *reads(*stream))
    return int(pick(raw, "memory", "own_refaults")[A])


def test_pages_that_are_read_often_are_spared_once_they_come_back() -> None:
    # GIVEN nine hot pages that a stream of 100 others drives out twenty times
    # THEN they are spared after few of these, though nobody else is
    assert 0 < hot_and_cold(hot_reads=8) < hot_and_cold(hot_reads=1)


def dense(kind: Mglru, **fields: Any) -> Raw:
    """Replay reads, writes and discards of two cgroups, each on few pages."""
    rng = np.random.default_rng(7)
    rows, at = [], 0
    for _ in range(1200):
        at += int(rng.choice([500, 3000, 2_000_000]))
        op = rng.choice(["read"] * 6 + ["write", "discard"])
        page = int(rng.integers(0, rng.choice([20, 180])))
        owner = (A, B)[int(rng.integers(0, 2))]
        rows.append(request(at, owner, str(op), page=page + 1000 * owner))
    return replayed(cached(mglru=kind, **fields), *rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fields",
    [
        {"limits": {A: 70, B: 150}},
        {"limits": {ROOT: 170, A: 90}},
        {"limits": {A: 90}, "readahead_pages": 8},
    ],
)
def test_engine_and_reference_drop_the_same_pages(
    kind: Mglru, fields: dict[str, Any]
) -> None:
    # WHEN pages are read, written, discarded and dropped (`replayed` compares both)
    raw = dense(kind, **fields)
    # THEN some come back
    assert raw["memory"]["own_refaults"].sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_memory_low_is_spared_as_long_as_others_have_pages(kind: Mglru) -> None:
    low = np.zeros(3, np.int64)
    low[A] = 120
    spared = dense(kind, limits={ROOT: 170}, memory_low=low)["memory"]["own_refaults"]
    shared = dense(kind, limits={ROOT: 170})["memory"]["own_refaults"]
    assert spared[A] < shared[A]
    assert spared[B] > shared[B]
