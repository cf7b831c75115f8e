"""Curves against what they stand for: a plain LRU cache, and runs at each limit."""

import errno
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from replay.common.errors import ScenarioError
from replay.curves._stack import Stack
from replay.curves.cache import CacheCurve, CacheWalk, distances_of
from replay.curves.curve import TmpfsCurve, _Tmpfs
from replay.engine.setup import PAGE_BYTES, ArrivalEvent, Setup
from support.engines import columns_of, request, run_engine, setup_of, write

EVERY = 2**64 - 1
PAGE = st.integers(0, 9)
#: A use of pages that is needed or not, or their discard.
USES = st.lists(
    st.tuples(st.sampled_from("rrwwd"), PAGE, st.integers(1, 4)), max_size=60
)


class Cache:
    """A cache of so many pages; gives back the one that was used longest ago."""

    def __init__(self, n_pages: int) -> None:
        self.n_pages = n_pages
        self.held: OrderedDict[int, None] = OrderedDict()
        self.hits = 0

    def use(self, page: int, needed: bool) -> None:
        if page in self.held:
            self.held.move_to_end(page)
            self.hits += needed
            return
        self.held[page] = None
        while len(self.held) > self.n_pages:
            self.held.popitem(last=False)


def counts(stack: Stack) -> np.ndarray:
    return np.frombuffer(stack.distances(), np.int64)


def curve_of(stack: Stack, sample: float = 1.0) -> CacheCurve:
    return CacheCurve(
        cgroup="/a",
        distances=distances_of(stack, sample),
        on_disk=np.frombuffer(stack.distances_on_disk(), np.int64),
        n_pages=stack.n_pages,
        sample=sample,
    )


@given(USES)
def test_one_pass_says_what_a_cache_of_each_size_would_find(
    uses: list[tuple[str, int, int]],
) -> None:
    # GIVEN any uses and discards, WHEN the distances are taken once
    stack = Stack(EVERY)
    for kind, page, n_pages in uses:
        if kind == "d":
            stack.drop(page, n_pages)
        else:
            stack.use(page, n_pages, kind == "r")
    curve = curve_of(stack)
    # THEN a cache of any size finds what the curve says: a page that was discarded is
    # not there in either, and one that was never used is no hit that is lost
    caches = [Cache(n_pages) for n_pages in range(1, 16)]
    for cache in caches:
        for kind, page, n_pages in uses:
            for one in range(page, page + n_pages):
                if kind == "d":
                    cache.held.pop(one, None)
                else:
                    cache.use(one, kind == "r")
        assert curve.uses - curve.lost(cache.n_pages * PAGE_BYTES) == cache.hits
    assert curve.lost(curve.need_bytes) == 0
    if curve.need_bytes:
        assert curve.lost(curve.need_bytes - 1) > 0


def test_distances_outlast_many_renumberings() -> None:
    # GIVEN far more uses than times are kept for, of few pages
    stack = Stack(EVERY)
    for _ in range(5000):
        stack.use(0, 3, True)
    stack.use(7, 1, True)
    # THEN each comes back at its distance, whatever was renumbered
    assert stack.use(0, 1, True) == 4
    assert counts(stack)[3] == 3 * 4999
    assert stack.n_pages == 4


def test_many_pages_grow_the_stack() -> None:
    stack = Stack(EVERY)
    stack.use(0, 100_000, True)
    assert stack.use(0, 1, True) == 100_000
    assert stack.use(99_999, 1, True) == 2
    assert stack.use(50_000, 1, True) == 50_001
    assert counts(stack)[0] == 100_000


@given(USES, st.integers(0, 8), st.integers(20, 60))
def test_a_discard_of_far_more_than_there_is_drops_what_is_there(
    uses: list[tuple[str, int, int]], first: int, n_more: int
) -> None:
    # GIVEN the same uses, WHEN pages are dropped at once and one by one
    stacks = Stack(EVERY), Stack(EVERY)
    for stack in stacks:
        for kind, page, n_pages in uses:
            if kind == "d":
                stack.drop(page, n_pages)
            else:
                stack.use(page, n_pages, kind == "r")
    stacks[0].drop(first, n_more)
    for page in range(first, first + n_more):
        stacks[1].drop(page, 1)
    # THEN both hold the same, and a discard of all blocks there can be ends
    stacks[0].drop(50, 2**51)
    for stack in stacks:
        for page in range(14):
            stack.use(page, 1, True)
    assert stacks[0].distances() == stacks[1].distances()


def test_a_sample_of_the_pages_is_near_the_whole() -> None:
    # GIVEN uses of 20,000 pages, near ones more often
    random = np.random.default_rng(7)
    pages = (20_000 * random.random(200_000) ** 3).astype(int).tolist()
    whole, part = Stack(EVERY), Stack(EVERY // 10)
    for page in pages:
        whole.use(page, 1, True)
        part.use(page, 1, True)
    exact, sampled = curve_of(whole), curve_of(part, 0.1)
    # THEN the share of lost hits is within two of the standard errors that are told
    error = 1 / part.n_pages**0.5
    assert part.n_pages == pytest.approx(2000, rel=0.1)
    for limit in (1000, 5000, 10_000, 15_000):
        one = exact.row(limit * PAGE_BYTES)["lost_share"]
        other = sampled.row(limit * PAGE_BYTES)["lost_share"]
        assert abs(one - other) < 2 * error


class Bound:
    """A binding of a setup that is made by hand."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.cgroup_names = [f"/{n}" if n else "/" for n in range(len(setup.parent))]


def stops_of(setup: Setup, rows: list[dict[str, Any]]) -> dict[int, TmpfsCurve]:
    walk = _Tmpfs(Bound(setup))  # type: ignore[arg-type]
    columns = columns_of(rows)
    # in two parts, as batches come
    walk.add(columns.take(slice(0, len(rows) // 2)))
    walk.add(columns.take(slice(len(rows) // 2, None)))
    return {int(one.cgroup[1:]): one for one in walk.curves()}


#: Near the beginning, where a lone page has no node; at edges of words; far away.
PLACES = st.sampled_from([0, 1, 2, 62, 63, 64, 65, 130, 4095, 4096, 300_000])
ROWS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.sampled_from(["write", "write", "write", "read", "discard", "flush"]),
        PLACES,
        st.sampled_from([1, 2, 64, 130, 256]),
    ),
    min_size=1,
    max_size=14,
)


@given(ROWS, st.data())
def test_the_engine_stops_at_each_limit_where_the_curve_says(
    drawn: list[tuple[int, str, int, int]], data: st.DataObject
) -> None:
    # GIVEN two parents with two children each, one request after the other, a task
    parents, tasks = (-1, 0, 1, 1, 0), [(2, 5, sum(one[0] == 2 for one in drawn))]
    rows = [
        request(
            1000 * 10**9 + at * 10**9,
            cgroup,
            op,
            page=page,
            pages=pages,
            task=0 if cgroup == 2 else -1,
        )
        for at, (cgroup, op, page, pages) in enumerate(drawn)
    ]
    free = setup_of(parents, tasks=tasks)
    curves = stops_of(free, rows)
    # WHEN a cgroup is given a limit, one of those at which something changes
    for cgroup, curve in curves.items():
        need = curve.need_bytes // PAGE_BYTES
        limit = data.draw(
            st.sampled_from(
                sorted({0, 1, need, max(need - 1, 0), *curve.pages})
                + [page - 1 for page in curve.pages]
            )
        )
        raw = run_engine(
            setup_of(parents, tasks=tasks, limits={cgroup: limit}, oom_kills=False),
            columns_of(rows),
        )
        # THEN the first request that fails is the row that the curve says
        failed = raw["requests"]["row"][raw["requests"]["error"] != 0]
        stopped = curve.stopped(limit * PAGE_BYTES)
        first = int(failed.min()) if len(failed) else None
        assert first == (None if stopped is None else stopped[0])


@pytest.mark.parametrize(
    ("event", "time_ns"), [(ArrivalEvent.ISSUE, 200), (ArrivalEvent.QUEUE, 150)]
)
def test_the_time_is_that_of_the_arrival(event: ArrivalEvent, time_ns: int) -> None:
    # GIVEN a row that was queued before it was issued
    row = write(200, page=64, pages=10) | {"queue_ns": 150}
    assert columns_of([row]).queue_ns.tolist() == [150]
    curve = stops_of(replace(setup_of(), event=event), [row])[1]
    # THEN it is stopped when it arrives, as the scenario says
    assert curve.stopped(0) == (0, time_ns)


def test_a_row_that_needs_more_than_the_limit_is_named_with_its_time() -> None:
    # GIVEN writes of 10, 20 and 5 pages, the second one's on the first's
    rows = [
        write(100, page=64, pages=10),
        write(200, page=64, pages=20),
        write(300, page=200, pages=5),
    ]
    curve = stops_of(setup_of(), rows)[1]
    # 10 pages and one page for two nodes; 20 and 1; 25 and 1
    assert curve.pages == [11, 21, 26]
    assert curve.stopped(10 * PAGE_BYTES) == (0, 100)
    assert curve.stopped(11 * PAGE_BYTES) == (1, 200)
    assert curve.stopped(26 * PAGE_BYTES) is None
    assert curve.need_bytes == 26 * PAGE_BYTES
    # AND the engine says the same with errno, at the limit one page below
    raw = run_engine(setup_of(limits={1: 25}, oom_kills=False), columns_of(rows))
    failed = raw["requests"]["row"][raw["requests"]["error"] != 0]
    assert failed.tolist() == [2]
    assert set(raw["errors"]["errno"].tolist()) <= {errno.EIO, -errno.EIO, errno.ENOSPC}


def test_more_devices_than_pages_are_told_apart_by_are_refused() -> None:
    setup = SimpleNamespace(devices=range(4097))
    binding: Any = SimpleNamespace(setup=setup)
    with pytest.raises(ScenarioError, match=r"4,097 devices .* takes 4,096"):
        CacheWalk(binding, 1.0)
