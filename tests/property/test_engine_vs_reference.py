import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from replay.common.errors import ModelError
from replay.engine._engine import Engine
from replay.engine.columns import Columns
from replay.engine.raw import Raw
from replay.engine.setup import Setup
from replay.engine.shortcuts import Shortcut
from support.engines import difference, run_engine, run_reference
from support.strategies import columns_for, near, rules_that_close, runs

SHORTCUTS = [shortcut for shortcut in Shortcut if shortcut != Shortcut.NONE]


@given(runs())
def test_engine_and_reference_agree_event_by_event(run: tuple[Setup, Columns]) -> None:
    # GIVEN any setup and any rows for it
    setup, columns = run

    # WHEN both replay them
    reference = run_reference(setup, columns)
    engine = within_range(setup, columns)

    # THEN every table is the same, the one with a row for each request included
    assert difference(reference, engine) is None


@pytest.mark.parametrize("shortcut", SHORTCUTS, ids=lambda one: one.name)
@given(st.data())
def test_engine_and_reference_agree_where_a_shortcut_is_taken(
    shortcut: Shortcut, data: st.DataObject
) -> None:
    # GIVEN a setup in which no field says what the shortcut does not know
    setup = data.draw(near(shortcut))
    # THEN it is taken, or a faster one, AND it does not show
    assert Engine(setup).shortcut in (shortcut, *faster(shortcut))
    agree_in_batches(data, setup)


@pytest.mark.parametrize(
    ("shortcut", "rule"),
    [(one, rule) for one in SHORTCUTS for rule in rules_that_close(one)],
    ids=lambda of: of.name if isinstance(of, Shortcut) else of,
)
@settings(max_examples=max(1, settings().max_examples // 5))
@given(st.data())
def test_engine_and_reference_agree_one_rule_away_from_a_shortcut(
    shortcut: Shortcut, rule: str, data: st.DataObject
) -> None:
    # GIVEN a setup that opens the shortcut, but for what one rule says
    # THEN the shortcut is closed, or does not show
    agree_in_batches(data, data.draw(near(shortcut, rule)))


def faster(shortcut: Shortcut) -> list[Shortcut]:
    return [Shortcut.BULK] if shortcut == Shortcut.EARLY else []


def agree_in_batches(data: st.DataObject, setup: Setup) -> None:
    columns = data.draw(columns_for(setup, 60))
    batch_rows = data.draw(st.sampled_from([1, 7, 1 << 16]))
    tell_after = data.draw(st.sampled_from([1, 1 << 31]))

    # THEN neither the shorter way nor the batches show
    found = within_range(setup, columns, batch_rows, tell_after=tell_after)
    assert difference(run_reference(setup, columns), found) is None


def within_range(setup: Setup, columns: Columns, *batch: int, **more: int) -> Raw:
    """Run the engine; a wait that is longer than it can tell is no example."""
    try:
        return run_engine(setup, columns, *batch, **more)
    except ModelError as error:
        if "208 days" not in str(error):
            raise
        # the reference counts in whole numbers of any size
        reject()
