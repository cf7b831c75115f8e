"""Curves of a page cache against the engine, run at every limit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from replay.curves.cache import CacheCurve, CacheWalk
from replay.engine.raw import Raw
from replay.engine.setup import NOT_REPLAYED, PAGE_BYTES, Policy, Setup
from support.engines import ROOT, SECOND, columns_of, replayed, request, setup_of

#: A parent of two, and one beside it.
PARENTS = (-1, 0, 1, 1, 0)
BELOW = {1: (1, 2, 3), 2: (2,), 3: (3,), 4: (4,)}
DEVICES = {2: 0, 3: 1, 4: 2}
Drawn = list[tuple[int, str, int, int]]
#: Who, what, from which sector, how many sectors: parts of pages too.
ROWS: st.SearchStrategy[Drawn] = st.lists(
    st.tuples(
        st.sampled_from([2, 2, 3, 4]),
        st.sampled_from(["read"] * 4 + ["write"] * 2 + ["discard", "flush"]),
        st.one_of(
            st.integers(0, 9).map(lambda page: 8 * page), st.sampled_from([3, 21, 4090])
        ),
        st.one_of(st.sampled_from([8, 8, 16, 32]), st.integers(1, 20)),
    ),
    min_size=1,
    max_size=24,
)


class Bound:
    """A binding of a setup that is made by hand."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.cgroup_names = [f"/{n}" if n else "/" for n in range(len(setup.parent))]


def setup(laid_out: bool, **fields: Any) -> Setup:
    return setup_of(
        PARENTS,
        policy=Policy.PER_CGROUP,
        devices=np.array([7 << 20, 8 << 20, 9 << 20], np.uint32),
        tmpfs=False,
        cached=True,
        laid_out=laid_out,
        laid_out_by=ROOT if laid_out else -1,
        backing_device=True,
        readahead_pages=0,
        reclaim_lru=True,
        oom_kills=False,
        **fields,
    )


def rows_of(drawn: Drawn, devices: dict[int, int]) -> list[dict[str, Any]]:
    """Make rows far enough apart that each is done before the next."""
    rows = []
    for at, (cgroup, op, sector, sectors) in enumerate(drawn):
        nbytes = 0 if op == "flush" else 512 * sectors
        place = {"sector": sector, "nbytes": nbytes, "device": devices[cgroup]}
        rows.append(request((1000 + at) * SECOND, cgroup, op, **place))
    return rows


def curves_of(setup: Setup, rows: list[dict[str, Any]]) -> dict[int, CacheCurve]:
    walk = CacheWalk(Bound(setup), 1.0)  # type: ignore[arg-type]
    columns = columns_of(rows)
    walk.add(columns.take(slice(0, len(rows) // 2)))
    walk.add(columns.take(slice(len(rows) // 2, None)))
    return {int(one.cgroup[1:]): one for one in walk.curves()}


def read_below(raw: Raw, cgroup: int) -> int:
    """Return what a cgroup and its descendants read from the device below."""
    read = dict(
        zip(
            raw["backing_io"]["cgroup"].tolist(),
            raw["backing_io"]["rbytes"].tolist(),
            strict=True,
        )
    )
    return sum(read.get(one, 0) for one in BELOW[cgroup])


def limits_of(curve: CacheCurve) -> range:
    """Every limit in pages at which a page fits, and some where nothing is lost."""
    return range(1, curve.need_bytes // PAGE_BYTES + 3)


@settings(max_examples=25)
@given(ROWS, st.booleans())
def test_the_engine_reads_at_each_limit_what_the_curve_says(
    drawn: Drawn, laid_out: bool
) -> None:
    # GIVEN reads, writes, discards of cgroups that have a file each
    rows = rows_of(drawn, DEVICES)
    for cgroup, curve in curves_of(setup(laid_out), rows).items():
        for limit in limits_of(curve):
            # WHEN one of them, or the parent of two, has a limit
            raw = replayed(setup(laid_out, limits={cgroup: limit}), *rows)
            # THEN it reads from the disk, in bytes, what the one pass says
            assert read_below(raw, cgroup) == curve.read_bytes(limit * PAGE_BYTES)


@settings(max_examples=25)
@given(ROWS, st.booleans(), st.data())
def test_limits_of_several_cgroups_do_not_disturb_each_other(
    drawn: Drawn, laid_out: bool, data: st.DataObject
) -> None:
    # GIVEN cgroups with a file and a limit each
    rows = rows_of(drawn, DEVICES)
    curves = curves_of(setup(laid_out), rows)
    limits = {
        cgroup: data.draw(st.sampled_from([*limits_of(curves[cgroup])]))
        for cgroup in DEVICES
        if cgroup in curves
    }
    # WHEN replayed, THEN each reads what its own curve says
    raw = replayed(setup(laid_out, limits=limits), *rows)
    for cgroup, limit in limits.items():
        assert read_below(raw, cgroup) == curves[cgroup].read_bytes(limit * PAGE_BYTES)


@settings(max_examples=25)
@given(ROWS, st.booleans())
def test_children_may_share_pages_under_their_parents_limit(
    drawn: Drawn, laid_out: bool
) -> None:
    # GIVEN two children that use the same file; who used a page first is charged
    rows = rows_of(drawn, {2: 0, 3: 0, 4: 2})
    curves = curves_of(setup(laid_out), rows)
    assume(1 in curves)
    curve = curves[1]
    for limit in limits_of(curve):
        # WHEN their parent has a limit, THEN both together read what its curve says
        raw = replayed(setup(laid_out, limits={1: limit}), *rows)
        assert read_below(raw, 1) == curve.read_bytes(limit * PAGE_BYTES)


@given(
    st.booleans(),
    st.lists(st.tuples(st.booleans(), st.integers(0, 9000), st.integers(1, 9000))),
    st.tuples(st.integers(0, 9000), st.integers(1, 9000)),
)
def test_what_is_on_the_disk(
    laid_out: bool, done: list[tuple[bool, int, int]], asked: tuple[int, int]
) -> None:
    # GIVEN writes and discards, also across words of the bitmap
    rows = [
        request(at, 2, "write" if writes else "discard", page=page, pages=n_pages)
        for at, (writes, page, n_pages) in enumerate(done)
    ]
    walk = CacheWalk(Bound(setup(laid_out)), 1.0)  # type: ignore[arg-type]
    walk.add(columns_of(rows))
    there = [laid_out] * 18_000
    for writes, first, n_pages in done:
        there[first : first + n_pages] = [writes] * n_pages
    # THEN each page of the file is there or not, and none of another file is touched
    first, n_pages = asked
    for page in range(first, first + n_pages):
        assert walk._walk.is_on_disk(0, page) is there[page]
        assert walk._walk.is_on_disk(1, page) is laid_out


def test_rows_without_pages_and_of_other_devices_use_none() -> None:
    # GIVEN rows that are not replayed, of no bytes, of no page as a whole, flushes
    rows = [
        request(0, 2, "read", device=NOT_REPLAYED),
        request(1, 2, "read", nbytes=0),
        request(2, 2, "discard", sector=1, nbytes=4096 + 6 * 512),
        request(3, 2, "flush"),
        request(4, ROOT, "read"),
    ]
    walk = CacheWalk(Bound(setup(False)), 1.0)  # type: ignore[arg-type]
    walk.add(columns_of(rows))
    assert walk.curves() == []
    # AND of columns that do not fit each other nothing is read
    columns = columns_of(rows)
    with pytest.raises(ValueError, match="columns differ in length"):
        walk.add(replace(columns, issuer=columns.issuer[:-1]))
