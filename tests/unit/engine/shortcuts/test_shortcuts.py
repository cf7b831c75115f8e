"""The gate before the engine's shortcuts: closed, unless every field is known."""

from enum import IntEnum
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from replay.common.errors import ModelError
from replay.engine._engine import Engine
from replay.engine._service import Services
from replay.engine.columns import Columns
from replay.engine.dependence import infer_streams
from replay.engine.setup import (
    NOT_REPLAYED,
    ArrivalEvent,
    ArrivalMode,
    Policy,
    ServiceModel,
    Setup,
)
from replay.engine.shortcuts import (
    KNOWS,
    MAX_TABLE,
    Shortcut,
    closed_by,
    has_tables,
    shortcut_of,
)
from support.engines import (
    SECOND,
    A,
    Row,
    columns_of,
    difference,
    request,
    run_engine,
    run_reference,
    setup_of,
    write,
)

#: What opens each shortcut.
OPEN: dict[Shortcut, dict[str, Any]] = {
    Shortcut.LEAN: {"policy": Policy.PER_CGROUP, "service": ServiceModel.RECORDED},
    Shortcut.EARLY: {
        "policy": Policy.PASS_THROUGH,
        "service": ServiceModel.RECORDED,
        "direct_io": True,
    },
    Shortcut.BULK: {
        "policy": Policy.PER_CGROUP,
        "service": ServiceModel.RECORDED,
        "direct_io": True,
    },
}
SHORTCUTS = list(OPEN)
MAX_TIME = 1 << 53


def opened(shortcut: Shortcut, **fields: Any) -> Setup:
    """Return a setup in which the linear model's times are 0, so that none of it is."""
    values = OPEN[shortcut] | {"read_base_ns": 0, "write_base_ns": 0}
    return setup_of(**(values | fields))


def other(value: Any) -> Any:
    """Return a value of a field that is not neutral."""
    if isinstance(value, np.ndarray):
        return np.ones((1,) * value.ndim, value.dtype)
    if isinstance(value, IntEnum):
        return next(one for one in type(value) if one != value)
    return not value if isinstance(value, bool) else value + 1


def ids(value: Any) -> str:
    return value.name if isinstance(value, Shortcut) else str(value)


@pytest.mark.parametrize("shortcut", SHORTCUTS, ids=ids)
def test_gate_is_told_by_the_engine(shortcut: Shortcut) -> None:
    setup = opened(shortcut)
    assert Engine(setup).shortcut is shortcut
    # WHEN a row is asked for of every request THEN each goes by its events
    assert Engine(setup, True).shortcut is Shortcut.NONE


@pytest.mark.parametrize(
    ("shortcut", "name"),
    [
        (shortcut, name)
        for shortcut in SHORTCUTS
        for name in Setup.__struct_fields__
        if name not in KNOWS[shortcut]
    ],
    ids=ids,
)
def test_gate_is_closed_by_a_field_that_the_shortcut_does_not_know(
    shortcut: Shortcut, name: str
) -> None:
    setup = opened(shortcut)
    changed = structs.replace(setup, **{name: other(getattr(setup, name))})
    assert closed_by(shortcut, changed) == name


def test_gate_is_closed_by_a_made_up_field() -> None:
    # GIVEN a setup with two rules that nobody has heard of
    made_up: Any = msgspec.defstruct(
        "MadeUp",
        [
            ("readahead_of_tmpfs", int, 0),
            ("swap", np.ndarray, msgspec.field(default_factory=lambda: np.zeros(0))),
        ],
        bases=(Setup,),
        frozen=True,
        kw_only=True,
    )
    for shortcut in SHORTCUTS:
        setup = made_up(**structs.asdict(opened(shortcut)))
        # WHEN they say nothing THEN the shortcut is open
        assert shortcut_of(setup, requests=False) is shortcut
        # WHEN either says something THEN all are closed
        rules: list[dict[str, Any]] = [{"readahead_of_tmpfs": 1}, {"swap": np.ones(3)}]
        for field in rules:
            closed = structs.replace(setup, **field)
            assert shortcut_of(closed, requests=False) is Shortcut.NONE
            assert closed_by(shortcut, closed) == next(iter(field))


@pytest.mark.parametrize("shortcut", SHORTCUTS, ids=ids)
def test_gate_knows_fields_that_there_are_each_for_a_reason(
    shortcut: Shortcut,
) -> None:
    assert KNOWS[shortcut].keys() <= set(Setup.__struct_fields__)
    assert all(known.why for known in KNOWS[shortcut].values())


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ({}, Shortcut.LEAN),
        ({"policy": Policy.ROOT, "trace_policy": Policy.ROOT}, Shortcut.LEAN),
        ({"policy": Policy.NAIVE}, Shortcut.NONE),
        ({"trace_policy": Policy.NAIVE}, Shortcut.NONE),
        ({"service": ServiceModel.LINEAR}, Shortcut.NONE),
        ({"limits": {A: 10}}, Shortcut.NONE),
        ({"tasks": [(A, 3, 1)]}, Shortcut.NONE),
        ({"tmpfs": False, "cached": True}, Shortcut.NONE),
        ({"direct_io": True}, Shortcut.BULK),
        ({"direct_io": True, "policy": Policy.ROOT}, Shortcut.BULK),
        ({"direct_io": True, "limits": {A: 10}}, Shortcut.BULK),
        ({"direct_io": True, "tasks": [(A, 3, 1)]}, Shortcut.BULK),
        ({"direct_io": True, "policy": Policy.SYNCHRONOUS}, Shortcut.EARLY),
        ({"direct_io": True, "keeps_idle": False}, Shortcut.EARLY),
        ({"direct_io": True, "max_active": np.ones(1, np.uint32)}, Shortcut.EARLY),
        ({"direct_io": True, "interval_ns": 1}, Shortcut.NONE),
        ({"direct_io": True, "event": ArrivalEvent.QUEUE}, Shortcut.NONE),
        ({"direct_io": True, "mode": ArrivalMode.DEPENDENT}, Shortcut.BULK),
    ],
    ids=ids,
)
def test_gate_opens_the_shortcut_that_a_setup_fits(
    fields: dict[str, Any], taken: Shortcut
) -> None:
    setup = opened(Shortcut.LEAN, **fields)
    assert shortcut_of(setup, requests=False) is taken
    assert Engine(setup).shortcut is taken


def test_gate_opens_bulk_for_as_many_cgroups_as_there_is_a_table_of() -> None:
    setup = opened(Shortcut.BULK)
    many = structs.replace(setup, devices=np.arange(MAX_TABLE // 3 + 1, dtype="u4"))
    assert has_tables(setup)
    assert not has_tables(many)
    assert shortcut_of(many, requests=False) is Shortcut.EARLY


def test_streams_are_not_followed_under_recorded_arrivals() -> None:
    with pytest.raises(ValueError, match="recorded"):
        Engine(opened(Shortcut.BULK)).follow([], [], infer_streams([]))


# -- rows that a shortcut leaves to the stages ---------------------------------------


def rows_with(*odd: Row) -> Columns:
    """Return plain rows of A, then odd ones, then plain ones again."""
    before = [write(i * 1000, page=i % 2) for i in range(4)]
    before += [request(5000 + i * 1000) for i in range(2)]
    last = max((row["issue_ns"] for row in odd), default=0)
    after = [write(max(last, 20_000) + 1000 + i * 1000) for i in range(4)]
    return columns_of([*before, *odd, *after])


ODD: dict[str, list[Row]] = {
    "none": [],
    "of another device": [write(10_000, device=NOT_REPLAYED)],
    "a discard": [request(10_000, op="discard"), write(10_050)],
    "a flush": [request(10_000, op="flush"), write(10_050)],
    "zeroes": [request(10_000, op="write_zeroes"), write(10_050)],
    "without its issue": [write(10_000, issue_ns=-1)],
    "without issue and end": [write(10_000, issue_ns=-1, complete_ns=-1)],
    "without its end": [write(10_000, complete_ns=-1)],
    "longer than 32 bits": [write(10_000, complete_ns=10_000 + (1 << 32) + 7)],
    "waits for longer than 32 bits": [
        request(10_000, op="discard", complete_ns=10_000 + (1 << 33)),
        write(10_001, complete_ns=10_000 + (1 << 33) + 10),
        write(10_002, complete_ns=10_000 + (1 << 33) + 20),
    ],
    "more bios than 16 bits": [write(10_000, n_bios=(1 << 16) + 3)],
    "longer than a request below": [write(10_000, pages=3)],
    "after its worker was freed": [write(10_000 + 125 * SECOND)],
    # the write waits behind the discard, and the flush is the root's meanwhile
    "a flush ahead of what waits": [
        request(10_000, op="discard", complete_ns=13_000),
        write(10_100, complete_ns=13_100),
        request(10_200, op="flush"),
    ],
}


@pytest.mark.parametrize("shortcut", SHORTCUTS, ids=ids)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"backing_device": True, "max_sectors": 16},
        {"root_has_worker": True, "alloc_fail_threshold": 1 << 64},
    ],
    ids=["plain", "split below", "no worker can be made"],
)
@pytest.mark.parametrize("odd", ODD)
def test_odd_row_gives_the_tables_of_the_reference(
    shortcut: Shortcut, fields: dict[str, Any], odd: str
) -> None:
    # without workers it is not the recorded driver, whose lock waits lie in the rows
    taken = shortcut
    if shortcut is Shortcut.LEAN and "alloc_fail_threshold" in fields:
        taken = Shortcut.NONE
    setup = opened(shortcut, **fields)
    columns = rows_with(*ODD[odd])
    assert shortcut_of(setup, requests=False) is taken
    assert difference(run_reference(setup, columns), run_engine(setup, columns)) is None


def test_row_of_a_task_gives_the_tables_of_the_reference() -> None:
    # GIVEN direct I/O of which some is a task's, whose memory counts while it lives
    setup = opened(Shortcut.BULK, tasks=[(A, 7, 2)])
    columns = rows_with(write(10_000, task=0), write(11_000, task=0))
    assert shortcut_of(setup, requests=False) is Shortcut.BULK
    assert difference(run_reference(setup, columns), run_engine(setup, columns)) is None


@pytest.mark.parametrize("root_has_worker", [False, True])
@pytest.mark.parametrize("shortcut", SHORTCUTS, ids=ids)
def test_the_roots_own_requests_give_the_tables_of_the_reference(
    shortcut: Shortcut, root_has_worker: bool
) -> None:
    # GIVEN the root's requests, for which no worker can be made
    setup = opened(
        shortcut, root_has_worker=root_has_worker, alloc_fail_threshold=1 << 64
    )
    columns = columns_of([write(i * 1000, 0) for i in range(6)])
    assert difference(run_reference(setup, columns), run_engine(setup, columns)) is None


@pytest.mark.parametrize("shortcut", SHORTCUTS, ids=ids)
@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"device": 1}, "row 6: a cgroup, device"),
        ({"issuer": 3}, "row 6: a cgroup, device"),
        ({"task": 0}, "row 6: a cgroup, device"),
        ({"op": 8}, "row 6: a cgroup, device"),
        ({"op": -1}, "row 6: a cgroup, device"),
        ({"queue_ns": MAX_TIME}, "row 6: a time"),
        ({"complete_ns": MAX_TIME}, "row 6: a time"),
    ],
    ids=ids,
)
def test_row_beyond_the_setup_is_refused_on_every_way(
    shortcut: Shortcut, odd: dict[str, Any], says: str
) -> None:
    # GIVEN rows of a kind that the shortcut takes, then one that is beyond the setup
    setup = opened(shortcut)
    columns = rows_with(write(10_000) | odd)
    with pytest.raises(ModelError, match=says):
        feed(setup, columns)


@pytest.mark.parametrize("shortcut", SHORTCUTS, ids=ids)
def test_end_beyond_all_times_is_refused_though_the_service_is_short(
    shortcut: Shortcut,
) -> None:
    # GIVEN a row that ends at the last of all times, and one that ends just behind it
    setup = opened(shortcut)
    first = write(10_000, complete_ns=MAX_TIME - 1)
    columns = rows_with(first, write(10_500, complete_ns=MAX_TIME))
    with pytest.raises(ModelError, match="row 7: a time"):
        feed(setup, columns)


@pytest.mark.parametrize("shortcut", [Shortcut.LEAN, Shortcut.BULK], ids=ids)
def test_end_beyond_all_events_is_refused(shortcut: Shortcut) -> None:
    # GIVEN a discard as long as there are times, and a write as long that waits for it
    setup = opened(shortcut)
    columns = columns_of([request(10_000, op="discard"), write(10_001)])
    # THEN the write's end is refused, though no event is made for it
    with pytest.raises(ModelError, match="208 days"):
        feed(setup, columns, np.full(2, MAX_TIME - 1))


def feed(
    setup: Setup, columns: Columns, service: NDArray[np.int64] | None = None
) -> None:
    """Feed rows to the engine, without a row for every request."""
    if service is None:
        service = np.empty(len(columns), np.int64)
        Services(setup).fill(columns, service)
    engine = Engine(setup)
    engine.feed(columns, service)
    engine.advance()
