"""The engine's C structures against what Python has for the same."""

import heapq
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.engine._harness import (
    CheckHarness,
    FileHarness,
    HeapHarness,
    HistogramHarness,
    MapHarness,
    struct_bytes,
)
from replay.engine.layout import STRUCTS
from replay.engine.raw import TIMELINE_CELLS
from replay.engine.reference.pages.tree import PageTree, height_for

EVENTS = st.tuples(
    st.integers(0, 5), st.integers(0, 4), st.integers(0, 2**56 - 1), st.integers(0, 9)
)
KEYS = st.one_of(st.integers(0, 20), st.integers(0, 2**64 - 1))
#: Near 0, at the edges of a node, a leaf and higher nodes, and as far as sectors reach.
PAGES = st.one_of(
    st.integers(0, 200),
    st.sampled_from([511, 512, 4095, 4096, 2**18 - 1, 2**18, 2**30, 2**61 - 1]),
)


@given(st.lists(st.one_of(EVENTS, st.none())))
def test_heap_gives_events_in_total_order(
    steps: list[tuple[int, int, int, int] | None],
) -> None:
    heap, oracle = HeapHarness(), list[tuple[int, int, int, int]]()
    for step in steps:
        if step is not None:
            heap.push(*step)
            heapq.heappush(oracle, step)
        elif oracle:
            assert heap.pop()[:3] == heapq.heappop(oracle)[:3]
        assert len(heap) == len(oracle)


@pytest.mark.parametrize("spread", [1, 40, 10**6])
def test_heap_keeps_its_order_with_many_events_near_and_far(spread: int) -> None:
    heap, oracle = HeapHarness(), list[tuple[int, int, int, int]]()
    draw = random.Random(spread)
    now = 0
    for i in range(6000):
        # first more come than go, then more go; every 50th lies far ahead
        if draw.random() < (0.7 if i < 3000 else 0.3):
            ahead = 10**9 if i % 50 == 0 else draw.randrange(spread)
            event = (now + ahead, draw.randrange(5), i, i)
            heap.push(*event)
            heapq.heappush(oracle, event)
        elif oracle:
            expected = heapq.heappop(oracle)
            assert heap.pop() == expected
            now = expected[0]
    while oracle:
        assert heap.pop() == heapq.heappop(oracle)
    assert len(heap) == 0


def test_heap_refuses_to_pop_from_nothing() -> None:
    with pytest.raises(IndexError):
        HeapHarness().pop()


@given(st.dictionaries(KEYS, st.integers(0, 2**64 - 1)), st.lists(KEYS))
def test_map_finds_what_was_added_and_nothing_else(
    added: dict[int, int], asked: list[int]
) -> None:
    found = MapHarness()
    for key, value in added.items():
        found.add(key, value)
    assert len(found) == len(added)
    for key in [*added, *asked]:
        assert found.get(key) == added.get(key)


@given(st.lists(st.integers(0, 2**62), min_size=1), st.integers(1, 1000))
def test_percentile_is_within_one_percent_of_the_nearest_rank(
    values: list[int], thousandths: int
) -> None:
    histogram = HistogramHarness()
    for value in values:
        histogram.add(value)
    rank = -(-len(values) * thousandths // 1000)
    exact = sorted(values)[rank - 1]
    assert abs(histogram.percentile(thousandths) - exact) <= exact / 100


@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(1, 2**12), st.integers(1, 2**63 - 1)),
            st.sampled_from([1, 2, 13, 254, 255, 600]),
        )
    )
)
def test_histogram_holds_all_that_was_counted(values: list[tuple[int, int]]) -> None:
    # GIVEN few values or many, near each other or far, and one again and again
    histogram, oracle = HistogramHarness(), dict[int, int]()
    for value, times in values:
        for _ in range(times):
            histogram.add(value)
        middle = HistogramHarness.midpoint(value)
        oracle[middle] = oracle.get(middle, 0) + times
    # THEN each bucket comes once, in order, with all of its values
    assert histogram.buckets() == sorted(oracle.items())


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 1000, 1001, 2**40]),
            st.sampled_from([1, 254, 255, 2**31, 2**32 - 1]),
        )
    )
)
def test_a_bucket_holds_more_values_than_32_bits_count(
    values: list[tuple[int, int]],
) -> None:
    # GIVEN runs of billions of requests, whose counts are told now and then
    histogram, oracle = HistogramHarness(), dict[int, int]()
    for value, times in values:
        histogram.add_many(value, times)
        # and one that comes by itself
        histogram.add(value)
        middle = HistogramHarness.midpoint(value)
        oracle[middle] = oracle.get(middle, 0) + times + 1
    # THEN none is lost
    assert histogram.buckets() == sorted(oracle.items())


@given(st.integers(0, 2**63 - 1))
def test_bucket_stands_within_one_percent_of_its_values(value: int) -> None:
    assert abs(HistogramHarness.midpoint(value) - value) <= value / 100


@given(st.lists(st.tuples(PAGES, st.integers(0, 3))))
def test_pages_and_their_tree_are_those_of_the_reference(
    touches: list[tuple[int, int]],
) -> None:
    file, tree, owner = FileHarness(), PageTree(), dict[int, int]()
    for page, cgroup in touches:
        if page in owner:
            continue
        assert file.missing(page) == len(tree.missing(page))
        file.put(page, cgroup)
        tree.insert(page, cgroup)
        owner[page] = cgroup
        assert file.height == tree.height
    for page, _ in touches:
        assert file.owner(page) == owner[page]
    assert file.owner(2**60) is None


@pytest.mark.parametrize(
    ("page", "height"), [(0, 0), (1, 1), (63, 1), (64, 2), (4095, 2), (4096, 3)]
)
def test_tree_is_as_high_as_its_highest_page_needs(page: int, height: int) -> None:
    assert height_for(page) == height


#: Fields that tables name otherwise than the engine does.
RENAMED = {
    "Cost": {"usage": "usage_us", "wait": "wait_us"}
    | {"indebt": "indebt_us", "indelay": "indelay_us"},
    "Failure": {"code": "errno", "nbytes": "bytes"},
    "Worker": {"index": "worker"},
    "TimelineRow": {f"cells[{i}]": name for i, name in enumerate(TIMELINE_CELLS)},
}


def values_of(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Return a struct's numbers by their names: ``server.head``, ``io[2]``."""
    if isinstance(value, dict):
        for key, one in value.items():
            # what identifies a row stands in a struct of its own
            within = "" if name in ("", "key") else f"{name}."
            yield from values_of(one, within + key)
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from values_of(one, f"{name}[{i}]")
    else:
        yield name, value


def numbers_of(
    dtype: np.dtype[Any], at: int = 0, name: str = ""
) -> Iterator[tuple[str, list[int]]]:
    """Return the bytes of a dtype's numbers by their names."""
    if dtype.fields is not None:
        for key, (inner, offset, *_) in dtype.fields.items():
            yield from numbers_of(inner, at + offset, f"{name}.{key}" if name else key)
    elif dtype.subdtype is not None:
        base, (n,) = dtype.subdtype
        for i in range(n):
            yield from numbers_of(base, at + i * base.itemsize, f"{name}[{i}]")
    else:
        yield name, list(range(at, at + dtype.itemsize))


@pytest.mark.parametrize("struct", struct_bytes())
def test_struct_is_laid_out_as_the_compiler_has_it(struct: str) -> None:
    # GIVEN which number each byte of the compiler's struct changes
    told = struct_bytes()[struct]
    found: dict[str, list[int]] = {}
    for at, one in enumerate(told):
        for name, value in values_of(one):
            if value:
                found.setdefault(RENAMED.get(struct, {}).get(name, name), []).append(at)
    # THEN numpy has the same numbers in the same bytes
    assert dict(numbers_of(STRUCTS[struct])) == found
    assert STRUCTS[struct].itemsize == len(told)


def test_index_beyond_an_arena_is_told_where_there_are_checks() -> None:
    # GIVEN an arena of three numbers
    arena = CheckHarness()
    moved = [arena.add(value) for value in (7, 8, 9)]
    assert [arena.get(i) for i in (1, 2, 3)] == [7, 8, 9]
    # THEN it moves with each, and an index beyond them is an error, not a crash
    assert all(moved) == CheckHarness.checks
    if CheckHarness.checks:
        with pytest.raises(AssertionError, match=r"^check failed: an index in .*arena"):
            arena.get(4)
