"""The page cache: readahead, write-back, reclaim (docs/model.md, Page cache)."""

from typing import Any

import numpy as np
import pytest

from replay.engine.reference.pages.readahead import Window, folio_pages, read_ahead
from replay.engine.reference.pages.reclaim import Page
from replay.engine.reference.pages.writeback import NOBODY, Owner, n_bios
from replay.engine.setup import Mglru, Setup
from support.engines import (
    PAGE,
    ROOT,
    A,
    B,
    C,
    pick,
    replayed,
    request,
    setup_of,
    write,
)

S = 10**9
EIO, ENOSPC = 5, 28
NODE, BUFFERS = 584, 112


def cached(**fields: Any) -> Setup:
    """Make a setup over a disk file that the root laid out."""
    values: dict[str, Any] = {
        "tmpfs": False,
        "cached": True,
        "laid_out": True,
        "laid_out_by": ROOT,
        "backing_device": True,
    }
    return setup_of(**(values | fields))


def read(at: int, issuer: int = A, **fields: Any) -> dict[str, Any]:
    return request(at, issuer, "read", **fields)


def below(raw: Any) -> dict[int, tuple[int, ...]]:
    """Return pages read, read bios, pages written, write bios of each cgroup below."""
    return {
        cgroup: (rbytes // PAGE, rios, wbytes // PAGE, wios)
        for cgroup, rbytes, rios, wbytes, wios in pick(
            raw, "backing_io", "cgroup", "rbytes", "rios", "wbytes", "wios"
        )
    }


# -- readahead ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "size"), [(1, 4), (2, 4), (4, 8), (8, 16), (9, 32), (32, 32)]
)
def test_first_window_grows_with_the_read(wanted: int, size: int) -> None:
    # a read of the file's first page: up to max/32 four times, up to max/4 twice
    window = Window()
    extent = read_ahead(window, {}, 0, wanted, marked=False, most=32, io_pages=320)
    assert extent is not None
    assert (extent.start, extent.n_pages) == (0, size)


def test_window_behind_the_mark_doubles_up_to_the_largest() -> None:
    window = Window(start=0, size=4, ahead=3, position=8)
    sizes = []
    index = 1
    for _ in range(5):
        extent = read_ahead(window, {}, index, 1, marked=True, most=32, io_pages=320)
        assert extent is not None
        assert extent.marked == extent.start
        sizes.append((extent.start, extent.n_pages))
        index = extent.marked
    assert sizes == [(4, 8), (12, 16), (28, 32), (60, 32), (92, 32)]


@pytest.mark.parametrize(
    ("index", "end", "pages"),
    [(0, 64, 16), (16, 64, 16), (4, 64, 4), (6, 64, 2), (7, 64, 1), (48, 60, 8)],
)
def test_folio_is_aligned_and_ends_with_the_window(
    index: int, end: int, pages: int
) -> None:
    assert folio_pages(index, end, 4) == pages


@pytest.mark.parametrize("window", [8, 32, 512])
@pytest.mark.parametrize("limit", [150, 700, None])
@pytest.mark.parametrize("stops", [True, False])
@pytest.mark.parametrize("mglru", [Mglru.NONE, Mglru.V7_2])
def test_engine_and_reference_read_the_same_folios(
    window: int, limit: int | None, stops: bool, mglru: Mglru
) -> None:
    # GIVEN two streams that overlap, and pages here and there that are cached before
    rng = np.random.default_rng(window)
    pages = [*rng.integers(0, 1500, 40), *range(900), *range(700, 1500)]
    reads = [read(i * 2000, page=int(page)) for i, page in enumerate(pages)]
    # WHEN both read them by large folios (replayed compares them)
    setup = cached(
        limits={} if limit is None else {A: limit},
        readahead_pages=window,
        readahead_by_marks=True,
        readahead_rounds=True,
        readahead_stops=stops,
        large_folios=True,
        mglru=mglru,
    )
    raw = replayed(setup, *reads)
    # THEN what was charged and not given back is there
    charged, gone = (
        sum(pick(raw, "charges", name)) for name in ("charged_bytes", "uncharged_bytes")
    )
    assert (charged - gone) // PAGE == pick(raw, "memory", "own_file")[A]


def test_charge_of_a_large_folio_meets_the_limit_once() -> None:
    # GIVEN a stream of 4,096 pages through a window of 512, at a limit of 2,048
    def met(*, large: bool) -> int:
        setup = cached(
            limits={A: 2048},
            readahead_pages=512,
            readahead_by_marks=True,
            readahead_rounds=True,
            readahead_stops=True,
            large_folios=large,
        )
        raw = replayed(setup, *(read(i * 2000, page=i) for i in range(4096)))
        return int(pick(raw, "memory", "max")[A])

    # THEN page by page each 32 that are freed are one round; a folio is one, which
    # frees as many pages as it has
    assert met(large=True) < met(large=False) / 4


def test_random_read_reads_what_was_asked_and_leaves_the_window_alone() -> None:
    window = Window(start=100, size=8, ahead=4, position=80)
    extent = read_ahead(window, {}, 1000, 1, marked=False, most=32, io_pages=320)
    assert extent is not None
    assert (extent.start, extent.n_pages) == (1000, 1)
    assert window == Window(start=100, size=8, ahead=4, position=80)


def test_cached_pages_before_a_miss_are_a_stream() -> None:
    # GIVEN pages 997-999 cached and a miss at 1000: 3 pages of history are more than 1
    window = Window(position=80)
    extent = read_ahead(
        window, {997, 998, 999}, 1000, 1, marked=False, most=32, io_pages=320
    )
    assert extent is not None
    assert (extent.start, extent.n_pages) == (1000, 4)
    assert window.ahead == 1


def test_sequential_reads_are_read_ahead_in_few_bios_and_charged_to_the_reader() -> (
    None
):
    # GIVEN a reads pages 0-63 one after the other
    reads = [read(i * 2000, page=i) for i in range(64)]
    raw = replayed(cached(), *reads)
    # THEN windows of 4, 8, 16 and three of 32 pages: the last one from the mark of 60
    assert below(raw) == {A: (124, 6, 0, 0)}
    assert pick(raw, "memory", "own_file") == [0, 124, 0]
    # AND two nodes of the page tree and the one above
    assert pick(raw, "memory", "own_kernel") == [0, 1, 0]


def test_readahead_stops_at_the_end_of_the_file() -> None:
    reads = [read(i * 2000, page=i) for i in range(10)]
    raw = replayed(cached(file_pages=10), *reads)
    assert below(raw) == {A: (10, 2, 0, 0)}


def test_without_readahead_every_missing_page_is_a_bio() -> None:
    raw = replayed(cached(readahead_pages=0), read(0, pages=8), read(2 * S, pages=8))
    assert below(raw) == {A: (8, 8, 0, 0)}


def test_read_of_one_call_asks_for_all_of_it_a_page_at_a_time_does_not() -> None:
    # up to 6.14 a request of 4 pages at page 100 is four reads of a page: the first is
    # random, the second begins a window of 4
    raw = replayed(cached(lock_per_page=True), read(0, page=100, pages=4))
    assert below(raw) == {A: (1 + 4 + 8, 3, 0, 0)}
    raw = replayed(cached(lock_per_page=False), read(0, page=100, pages=4))
    assert below(raw) == {A: (4, 1, 0, 0)}


def test_who_reads_first_pays_and_a_hit_costs_nothing() -> None:
    raw = replayed(cached(readahead_pages=0), read(0, A), read(2 * S, B))
    assert pick(raw, "memory", "own_file") == [0, 1, 0]
    assert below(raw) == {A: (1, 1, 0, 0)}


def test_hole_is_cached_and_charged_but_not_read() -> None:
    raw = replayed(cached(laid_out=False), read(0, pages=4))
    assert below(raw) == {}
    assert pick(raw, "memory", "own_file") == [0, 12, 0]


# -- write-back -----------------------------------------------------------------------


def test_writer_pays_the_pages_and_the_inodes_owner_their_write_back() -> None:
    # GIVEN the root laid the file out, b writes two runs of pages
    raw = replayed(cached(), write(0, B, pages=4), write(2000, B, page=10, pages=2))
    assert pick(raw, "memory", "own_file") == [0, 0, 6]
    assert below(raw) == {ROOT: (0, 0, 6, 2)}
    # a node and six buffer heads, in whole pages
    assert pick(raw, "memory", "own_kernel") == [0, 0, -(-(NODE + 6 * BUFFERS) // PAGE)]


def test_who_dirties_a_file_of_nobody_first_owns_its_write_back() -> None:
    sparse = cached(laid_out=False, laid_out_by=-1)
    raw = replayed(sparse, write(0, A), write(2000, B, page=1, pages=100))
    assert below(raw) == {A: (0, 0, 101, 1)}


def test_write_back_is_the_block_cgroups_of_the_owner() -> None:
    # GIVEN a's io controller stands at the root
    raw = replayed(
        cached(laid_out_by=-1, blkcg=setup_of().blkcg * 0, laid_out=False), write(0, A)
    )
    assert below(raw) == {ROOT: (0, 0, 1, 1)}


@pytest.mark.parametrize(("gap", "wios"), [(29 * S, 1), (31 * S, 2)])
def test_dirty_file_is_written_back_after_30_s(gap: int, wios: int) -> None:
    # GIVEN the same page written twice; if it was written back meanwhile, twice below
    raw = replayed(cached(), write(0, A), write(gap, A), read(90 * S, B))
    assert below(raw) == {ROOT: (0, 0, wios, wios)}


def test_flush_writes_the_file_back() -> None:
    rows = [write(0, A), request(S, A, "flush"), write(2 * S, A)]
    assert below(replayed(cached(), *rows)) == {ROOT: (0, 0, 2, 2)}


def test_write_of_a_part_of_a_page_reads_the_rest_first() -> None:
    part = write(0, A, sector=1, nbytes=512)
    raw = replayed(cached(), part)
    assert below(raw) == {ROOT: (0, 0, 1, 1), A: (1, 1, 0, 0)}


def test_discard_drops_pages_and_what_the_kernel_kept_for_them() -> None:
    # GIVEN a's 4 dirty pages, of which b discards two
    hole = request(S, B, "discard", page=1, pages=2)
    raw = replayed(cached(), write(0, A, pages=4), hole, read(2 * S, B, page=1))
    assert pick(raw, "memory", "own_file") == [0, 2, 1]
    # the dirty ones are written back before (ext4), the others at the end; what is
    # read then is a hole
    assert below(raw) == {ROOT: (0, 0, 4, 3)}
    assert pick(raw, "charges", "issuer", "payer", "uncharged_bytes")[-2:] == [
        (B, A, 2 * PAGE),
        (B, B, 0),
    ]


def test_long_run_is_split_where_the_disks_largest_request_ends() -> None:
    assert n_bios([], 2560) == 0
    assert n_bios(range(320), 2560) == 1
    assert n_bios(range(321), 2560) == 2
    assert n_bios([1, 2, 4, 5, 9], 2560) == 3


def test_majority_of_the_pages_becomes_the_owner_by_and_by() -> None:
    # GIVEN an inode of a, of which b dirties most
    owner = Owner(memory=A)
    round_ = [Page(0, i, B) for i in range(20_000)] + [Page(0, 0, A)] * 5000
    # WHEN it is written back: 20,000 pages at 100 MB/s are 0.78 s, but 5 slots at most
    owner.account(round_)
    assert (owner.memory, owner.history.bit_count()) == (A, 5)
    # THEN two rounds make 10 of 16 slots foreign: more than 8
    owner.account(round_)
    assert owner == Owner(memory=B)
    # AND a small round against the average says nothing
    owner.account(round_)
    before = owner.history
    owner.account([Page(0, 0, C)])
    assert (owner.memory, owner.history, owner.winner) == (B, before, C)
    assert Owner().memory == NOBODY


# -- limits ---------------------------------------------------------------------------


def test_clean_pages_make_room_by_the_kernels_priorities() -> None:
    # GIVEN 1000 pages for a, whose page tree takes 6, and 1100 pages read one by one
    setup = cached(limits={A: 1000}, readahead_pages=0)
    raw = replayed(setup, *(read(i * 2000, page=i * 2) for i in range(1100)))
    # THEN at 994 pages: 994 >> 9, 993 >> 8, 990 >> 7, 983 >> 6 and 968 >> 5 are 1 + 3 +
    # 7 + 15 + 30 = 56 a round, a second one as soon as those are read
    assert pick(raw, "memory", "own_file", "max")[A] == (1100 - 2 * 56, 2)
    assert pick(raw, "memory", "oom", "oom_kill")[A] == (0, 0)
    assert sum(pick(raw, "charges", "uncharged_bytes")) == 2 * 56 * PAGE


def test_lru_drops_one_page_for_one_and_the_last_used_stay() -> None:
    # GIVEN a cache of 3 pages: 0 1 2 0 3 0 1: 1, 2, 3 leave in this order
    setup = cached(limits={A: 3}, readahead_pages=0, reclaim_lru=True)
    pages = [0, 1, 2, 0, 3, 0, 1, 2]
    raw = replayed(setup, *(read(i * 2000, page=p) for i, p in enumerate(pages)))
    # THEN 0 hits twice, each miss beyond the third evicts: LRU's stack distances
    assert below(raw) == {A: (6, 6, 0, 0)}
    assert pick(raw, "memory", "own_file", "max", "current")[A] == (3, 3, 3)


def test_lru_counts_each_read_of_the_same_page() -> None:
    # GIVEN room for two pages; between two reads of page 0 another page is written
    setup = cached(limits={A: 2}, readahead_pages=0, reclaim_lru=True)
    rows = [read(0), write(2000, page=1), read(4000), read(6000, page=2), read(8000)]
    # THEN 2 takes the place of 1, written back first, and the last read of 0 is a hit
    assert below(replayed(setup, *rows)) == {ROOT: (0, 0, 1, 1), A: (2, 2, 0, 0)}


def test_kernel_keeps_what_was_read_twice() -> None:
    # GIVEN page 0 read twice: active; then 200 others through a cache of 64
    setup = cached(limits={A: 64}, readahead_pages=0)
    pages = [0, 900, 0, *range(1000, 1400, 2), 0]
    raw = replayed(setup, *(read(i * 2000, page=p) for i, p in enumerate(pages)))
    # THEN its last read is a hit
    assert below(raw)[A][0] == 202


def test_reclaim_that_meets_dirty_pages_alone_has_them_written_back() -> None:
    # GIVEN a may hold 10 pages, one of them the tree's, and writes 12
    raw = replayed(cached(limits={A: 10}), write(0, A, pages=12))
    # THEN at the tenth the flusher writes nine in the name of the inode's owner, and
    # priorities 2 to 0 drop 2, 3 and 4 of them; the others are written back at the end
    assert below(raw) == {ROOT: (0, 0, 12, 2)}
    assert pick(raw, "memory", "own_file", "max", "oom")[A] == (3, 1, 0)
    assert pick(raw, "errors", "errno") == []


def test_woken_flusher_writes_every_file_back() -> None:
    # GIVEN b's dirty page on another device, c's on the same, and a that fills up
    setup = cached(
        parents=(-1, ROOT, ROOT, ROOT),
        devices=np.array([7 << 20, 7 << 20 | 1], np.uint32),
        limits={A: 10},
        laid_out_by=-1,
    )
    rows = [
        write(0, B, device=1),
        write(2000, C, page=100),
        write(4000, A, pages=12),
        write(S, B, device=1),
    ]
    raw = replayed(setup, *rows)
    # THEN a's nine pages go with c's, which owns the file, and the other three later
    assert below(raw)[C] == (0, 0, 1 + 12, 1 + 1 + 1)
    # AND b's page was written then: it is dirty once more
    assert below(raw)[B] == (0, 0, 2, 2)


def test_readahead_that_cannot_be_charged_is_left_out() -> None:
    # GIVEN no room at all
    raw = replayed(cached(limits={A: 0}), read(0, A))
    # THEN each of the window's 4 pages meets the limit twice, the second time with the
    # stocks drained; the page that was asked for then asks the OOM killer
    assert pick(raw, "memory", "own_file", "max", "oom")[A] == (0, 4 * 2 + 18, 1)
    assert below(raw) == {}
    assert pick(raw, "errors", "errno") == [EIO]


def test_full_file_system_refuses_new_pages_alone() -> None:
    setup = cached(laid_out=False, fs_pages=2, enospc_errno=ENOSPC)
    raw = replayed(setup, write(0, A, pages=2), write(2000, A), write(4000, A, page=5))
    assert pick(raw, "errors", "errno", "count") == [(ENOSPC, 1)]
    assert pick(raw, "memory", "own_file")[A] == 2
