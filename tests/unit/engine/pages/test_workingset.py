"""Pages read again after reclaim dropped them (docs/model.md, Page cache)."""

from typing import Any

import pytest

from replay.engine.reference.memcg.tasks import Tasks
from replay.engine.reference.pages.workingset import Refaults, Workingset
from replay.engine.setup import Setup
from support.engines import ROOT, A, pick, replayed, request, setup_of


def cached(**fields: Any) -> Setup:
    """Make a setup over a disk file that was laid out, a page a read."""
    values: dict[str, Any] = {"tmpfs": False, "cached": True, "laid_out": True}
    return setup_of(**(values | {"readahead_pages": 0} | fields))


def reads(*pages: int) -> list[dict[str, Any]]:
    return [request(i * 2000, A, "read", page=page) for i, page in enumerate(pages)]


def test_distance_is_what_was_dropped_and_activated_since() -> None:
    # GIVEN a page that A's reclaim dropped, and three others after it
    workingset = Workingset(Tasks(setup_of()))
    shadow = workingset.shadow(A)
    for _ in range(3):
        workingset.shadow(A)
    assert workingset.ages[A] == workingset.ages[ROOT] == 4
    # THEN it lies 4 back: too far behind 3 active pages, near enough behind 4
    assert not workingset.refault(shadow, A, 3)
    assert workingset.refault(shadow, A, 4)
    # AND what becomes active ages the cgroup, both are counted
    assert workingset.ages[A] == workingset.ages[ROOT] == 5
    assert workingset.counts[A] == Refaults(refaults=2, activations=1)


# 10 pages are active; the 54th page of the stream finds 63 pages and the tree's one.
# Priorities 5 to 1 scan 1, 3, 6, 10 and 16 of the 53 others: 36 go, 100 first, which
# then lies 36 back, 125 11 and 126 10
@pytest.mark.parametrize(("again", "active"), [(100, 0), (125, 0), (126, 1), (135, 1)])
def test_page_dropped_within_the_active_ones_is_active_at_once(
    again: int, active: int
) -> None:
    stream = [*range(10), *range(10), *range(100, 154), again]
    raw = replayed(cached(limits={A: 64}), *reads(*stream))
    found = pick(raw, "memory", "own_refaults", "own_activations", "own_file")
    assert found[A] == (1, active, 10 + 17 + 1 + 1)
    assert found[ROOT] == (0, 0, 0)


def test_page_active_at_once_outlives_a_stream() -> None:
    # GIVEN page 135, dropped and read again once, then 100 others
    stream = [*range(10), *range(10), *range(100, 154), 135, *range(300, 400), 135]
    raw = replayed(cached(limits={A: 64}), *reads(*stream))
    # THEN it is still there; dropped and read with too few active ones it is not
    assert pick(raw, "memory", "own_refaults", "own_activations")[A] == (1, 1)
    stream = [0, 0, *range(100, 164), 100, *range(300, 400), 100]
    raw = replayed(cached(limits={A: 64}), *reads(*stream))
    assert pick(raw, "memory", "own_refaults", "own_activations")[A] == (2, 0)


def test_new_read_and_discarded_page_are_no_refaults() -> None:
    # GIVEN a page that was dropped, then discarded, then read; and one then written
    stream = reads(*range(100, 170))
    at = len(stream) * 2000
    more = [
        request(at, A, "discard", page=100),
        request(at + 2000, A, "read", page=100),
        request(at + 4000, A, "write", page=101),
    ]
    raw = replayed(cached(limits={A: 64}), *stream, *more)
    assert pick(raw, "memory", "own_refaults")[A] == 0


def test_lru_counts_refaults_and_has_no_active_pages() -> None:
    setup = cached(limits={A: 3}, reclaim_lru=True)
    raw = replayed(setup, *reads(0, 1, 2, 0, 3, 0, 1, 2))
    assert pick(raw, "memory", "own_refaults", "own_activations")[A] == (2, 0)
