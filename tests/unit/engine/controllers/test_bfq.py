"""A disk that runs bfq: who of those that wait is served next."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from replay.common.errors import ScenarioError
from replay.engine.raw import Raw
from replay.engine.setup import Setup
from replay.scenario.keys.load import Scenario
from replay.scenario.notes.bfq import bfq_notes
from support.engines import (
    ROOT,
    A,
    B,
    C,
    Row,
    by_row,
    counted,
    pick,
    replayed,
    setup_of,
    write,
)

US = 1000


def disk(weights: list[int], parents: tuple[int, ...], **fields: Any) -> Setup:
    """Make a loop device with direct I/O on a disk that serves one at a time, 1 us."""
    return setup_of(
        parents,
        **{
            "direct_io": True,
            "tmpfs": False,
            "parallel": 1,
            "bfq_weight": np.array(weights, np.uint32),
            **fields,
        },
    )


def in_order(raw: Raw, issuers: dict[int, str]) -> str:
    """Return whose requests completed, in that order."""
    return "".join(issuers[issuer] for issuer in pick(raw, "requests", "issuer"))


def many(count: int, issuer: int, **fields: Any) -> list[Row]:
    """Make writes that come at once."""
    return [write(0, issuer, **fields) for _ in range(count)]


def test_first_steps_worked_out_by_hand() -> None:
    # GIVEN a of weight 100 and b of 300, six writes each of 8 sectors at once, in units
    # of 8 sectors at weight 1: a takes 1/100 a request, b 1/300, time 1/400
    raw = replayed(disk([100, 100, 300], (-1, 0, 0)), *many(6, A), *many(6, B))
    # THEN a's first is served as it comes, alone: time and a's next start are 1/100.
    # b begins there too and finishes first (4/300): b. Time, 1/100 + 1/400, is before
    # b's next start, 4/300: a. Then b may start and goes on: it finishes at 5/300 and
    # 6/300, each before a's 3/100; and so on, three for one
    assert in_order(raw, {A: "a", B: "b"}) == "ababbbabbaaa"


@pytest.mark.parametrize(("first", "second"), [(100, 300), (300, 100), (1, 1000)])
def test_completions_are_as_the_weights(first: int, second: int) -> None:
    # GIVEN two cgroups that always have something to do
    rows = [*many(60, A), *many(60, B)]
    raw = replayed(disk([100, first, second], (-1, 0, 0)), *rows)
    # THEN until one is done each has had its share, within a request
    order = in_order(raw, {A: "a", B: "b"})
    until = min(order.rindex("a"), order.rindex("b"))
    for end in range(1, until):
        share = end * first / (first + second)
        assert abs(order[:end].count("a") - share) <= 2
    # AND the disk never rested: 120 requests of 1 us
    assert max(by_row(raw, "completion_ns")) == 120 * US


def test_shares_are_of_sectors_not_of_requests() -> None:
    # GIVEN requests of a that are four times as long, and weights alike
    rows = [*many(20, A, pages=4), *many(80, B)]
    order = in_order(replayed(disk([100] * 3, (-1, 0, 0)), *rows), {A: "a", B: "b"})
    # THEN one of a goes with four of b
    for end in range(5, 95, 5):
        assert abs(order[:end].count("a") - end / 5) <= 1


def test_a_parent_s_share_is_shared_by_its_children() -> None:
    # GIVEN /p of weight 100 with a (100) and b (300) below, and /c beside it (100)
    p, a, b, c = 1, 2, 3, 4
    setup = disk([100, 100, 100, 300, 100], (-1, 0, p, p, 0))
    rows = [*many(80, a), *many(80, b), *many(80, c)]
    order = in_order(replayed(setup, *rows), {a: "a", b: "b", c: "c"})
    # THEN half is c's, an eighth a's, three eighths b's
    for end in range(8, 150, 8):
        had = Counter(order[:end])
        assert abs(had["c"] - end / 2) <= 2
        assert abs(had["a"] - end / 8) <= 2
        assert abs(had["b"] - end * 3 / 8) <= 2


def test_a_cgroup_s_own_requests_weigh_40_beside_its_children() -> None:
    # GIVEN the root's own requests beside those of a, of weight 160
    rows = [*many(50, ROOT), *many(50, A)]
    order = in_order(replayed(disk([100, 160], (-1, 0)), *rows), {ROOT: "r", A: "a"})
    # THEN the root has a fifth
    for end in range(5, 60, 5):
        assert abs(order[:end].count("r") - end / 5) <= 2


def test_who_was_idle_gets_nothing_back() -> None:
    # GIVEN 40 writes of b at once, and of a as many when half of them are done
    rows = [*many(40, B), *[write(20 * US, A) for _ in range(40)]]
    order = in_order(replayed(disk([100] * 3, (-1, 0, 0)), *rows), {A: "a", B: "b"})
    # THEN from then on they take turns
    assert order[:20] == "b" * 20
    assert abs(order[20:60].count("a") - 20) <= 1


def test_who_came_first_is_served_without_a_scheduler() -> None:
    setup = disk([100, 100, 300], (-1, 0, 0), bfq_weight=np.zeros(0, np.uint32))
    raw = replayed(setup, *many(3, A), *many(3, B))
    assert in_order(raw, {A: "a", B: "b"}) == "aaabbb"


def test_nothing_is_lost_and_waits_are_told() -> None:
    # GIVEN three cgroups, places for two
    rows = [*many(9, A), *many(9, B), *many(9, C)]
    raw = replayed(disk([100, 100, 300, 7], (-1, 0, 0, 0), parallel=2), *rows)
    # THEN all are served, and who waited for whom sums up to the waits
    assert counted(raw, "completed") == 27
    waits = sum(pick(raw, "interference", "wait_ns"))
    device = [ns - US for ns in by_row(raw, "device_ns")]
    assert waits == sum(device) > 0


def test_the_keys_are_checked_and_noted() -> None:
    # GIVEN weights, WHEN the disk runs no bfq
    weights: dict[str, Any] = {"cgroups": {"/a": {"io.bfq.weight": "default 30"}}}
    scenario = Scenario.from_dict(weights)
    (note,) = bfq_notes(scenario)
    assert note.startswith("/a: io.bfq.weight has no effect")
    # AND it does, but nobody waits for it
    recorded = {"backing": {"scheduler": "bfq"}, "service": {"model": "recorded"}}
    scenario = Scenario.from_dict(recorded | weights)
    (note,) = bfq_notes(scenario)
    assert "service.model = linear" in note
    with pytest.raises(ScenarioError, match=r"1001.*from 1 to 1000"):
        Scenario.from_dict({"cgroups": {"/a": {"io.bfq.weight": 1001}}})
