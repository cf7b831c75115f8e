"""When the flusher threads write page cache back (mm/page-writeback.c, v6.1)."""

from typing import Any

import pytest

from replay.engine.reference.pages.dirty import below_limit, part
from replay.engine.setup import Setup
from support.engines import PAGE, ROOT, A, B, pick, replayed, request, setup_of, write

S = 10**9


def cached(**fields: Any) -> Setup:
    """Make a setup over a disk file that nobody laid out: who dirties it owns it."""
    values: dict[str, Any] = {"tmpfs": False, "cached": True, "backing_device": True}
    return setup_of(**(values | fields))


def later(at: int) -> dict[str, Any]:
    """Make a request that touches nothing, so that time goes on until then."""
    return request(at, B, "read", device=0, page=10**6)


def below(raw: Any) -> dict[int, tuple[int, int]]:
    """Return pages and bios written by each cgroup below."""
    return {
        cgroup: (wbytes // PAGE, wios)
        for cgroup, wbytes, wios in pick(raw, "backing_io", "cgroup", "wbytes", "wios")
        if wios
    }


# a page that was written back meanwhile is dirty once more, and written twice
def written_between(setup: Setup, first: int, second: int, pages: int = 1) -> bool:
    """Return True if what was dirtied at one time was written back before another."""
    rows = [write(first, A, pages=pages), write(second, A, pages=pages)]
    raw = replayed(setup, *rows, later(second + 100 * S))
    ((n_pages, _),) = below(raw).values()
    assert n_pages in (pages, 2 * pages)
    return n_pages == 2 * pages


@pytest.mark.parametrize(("gap", "twice"), [(4, False), (6, True)])
def test_who_has_written_nothing_yet_is_written_at_the_first_look(
    gap: int, twice: bool
) -> None:
    # GIVEN a's file: its share of the machine's threshold is 0 until it writes;
    # recorded: 4 MiB written 5 s after the first of them
    assert written_between(cached(), 0, gap * S) is twice


@pytest.mark.parametrize(("gap", "twice"), [(4, False), (29, False), (31, True)])
def test_the_roots_file_waits_until_it_has_expired(gap: int, twice: bool) -> None:
    # recorded: 64 MiB of a file of the root's stayed dirty for 12 s
    setup = cached(laid_out=True, laid_out_by=ROOT)
    assert written_between(setup, 0, gap * S) is twice


def test_after_its_first_round_a_cgroup_waits_until_it_has_expired() -> None:
    # GIVEN a page a second for 20 s: recorded at 400 KB/s, 2.1 MB were written after
    # 5 s and the rest more than 30 s later
    rows = [write(at * S + 1, A, page=at) for at in range(20)]
    raw = replayed(cached(), *rows, later(100 * S))
    # THEN pages 0-4 go at 5 s, the others together
    assert below(raw) == {A: (20, 2)}
    again = [write(31 * S, A, page=0), write(32 * S, A, page=19), later(100 * S)]
    assert below(replayed(cached(), *rows, *again)) == {A: (21, 2 + 1)}
    again = [write(37 * S, A, page=19), later(100 * S)]
    assert below(replayed(cached(), *rows, *again)) == {A: (21, 2 + 1)}


# of 1000 pages 1 is the tree's, 2 or more are buffer heads': a tenth is 99 of them
@pytest.mark.parametrize(("pages", "twice"), [(95, False), (101, True)])
def test_a_cgroups_own_threshold_is_a_tenth_of_what_it_may_hold(
    pages: int, twice: bool
) -> None:
    setup = cached(limits={A: 1000})
    first = [write(0, A, page=5000)]
    rows = [write(6 * S, A, pages=pages), write(12 * S, A, pages=pages)]
    raw = replayed(setup, *first, *rows, later(100 * S))
    assert below(raw)[A][0] == 1 + pages * (1 + twice)


def test_memory_high_bounds_what_may_be_dirty_too() -> None:
    first = [write(0, A, page=5000)]
    rows = [write(6 * S, A, pages=60), write(12 * S, A, pages=60), later(100 * S)]
    for highs, pages in ({A: 500}, 121), ({A: 1000}, 61), ({B: 500}, 61):
        assert below(replayed(cached(highs=highs), *first, *rows))[A][0] == pages


@pytest.mark.parametrize(("pages", "twice"), [(90, False), (110, True)])
def test_a_worker_wakes_the_roots_flusher_above_the_machines_threshold(
    pages: int, twice: bool
) -> None:
    # GIVEN a machine of 1000 pages and a file of the root's: a second later
    setup = cached(limits={ROOT: 1000}, laid_out=True, laid_out_by=ROOT)
    assert written_between(setup, 0, S, pages) is twice
    # THEN another's file waits for its own flusher
    setup = cached(limits={ROOT: 1000})
    assert not written_between(setup, 0, S, pages)


@pytest.mark.parametrize(
    ("fields", "pages", "twice"),
    [
        ({"dirty_background_bytes": 40 * PAGE}, 40, False),
        ({"dirty_background_bytes": 40 * PAGE}, 41, True),
        # not below the limit: half of that
        ({"dirty_background_bytes": 40 * PAGE, "dirty_bytes": 20 * PAGE}, 10, False),
        ({"dirty_background_bytes": 40 * PAGE, "dirty_bytes": 20 * PAGE}, 11, True),
    ],
)
def test_bytes_need_no_memory_of_the_machine(
    fields: dict[str, int], pages: int, twice: bool
) -> None:
    setup = cached(laid_out=True, laid_out_by=ROOT, **fields)
    assert written_between(setup, 0, S, pages) is twice


def test_flusher_looks_as_oft_as_it_is_told() -> None:
    setup = cached(dirty_writeback_ns=S, dirty_expire_ns=3 * S)
    assert written_between(setup, 0, 2 * S)
    assert not written_between(cached(dirty_writeback_ns=0), 0, 90 * S)
    fields: dict[str, Any] = {"laid_out": True, "laid_out_by": ROOT}
    setup = cached(dirty_writeback_ns=S, dirty_expire_ns=3 * S, **fields)
    assert not written_between(setup, 0, 2 * S)
    assert written_between(setup, 0, 4 * S)


def test_background_write_back_ends_where_it_is_enough() -> None:
    # GIVEN 30,000 dirty pages of the root's where 12,000 may be: rounds of 13,312
    setup = cached(
        laid_out=True, laid_out_by=ROOT, dirty_background_bytes=12_000 * PAGE
    )
    halves = [write(at * S, ROOT, page=at * 15_000, pages=15_000) for at in (0, 1)]
    more = [write(2 * S, ROOT, page=at) for at in (0, 26_000, 28_000)]
    raw = replayed(setup, *halves, *more, later(100 * S))
    # THEN 13,312 are written in the first second and as many in the next; the pages
    # behind them are still dirty
    assert below(raw)[ROOT][0] == 30_000 + 2


def test_thresholds_are_the_kernels_integers() -> None:
    assert [part(percent) for percent in (0, 1, 10, 20, 100)] == [0, 40, 409, 819, 4096]
    assert below_limit(None, 5) is None
    assert below_limit(7, None) == 7
    assert [below_limit(7, limit) for limit in (6, 7, 8, 2**40)] == [3, 3, 7, 7]
