from hypothesis import given
from hypothesis import strategies as st

from replay.engine.columns import Columns
from replay.engine.setup import Setup
from support.engines import difference, run_engine, run_reference
from support.strategies import alone_setups, columns_for, lean_setups, runs


@given(runs())
def test_engine_and_reference_agree_event_by_event(run: tuple[Setup, Columns]) -> None:
    # GIVEN any setup and any rows for it
    setup, columns = run

    # WHEN both replay them
    reference = run_reference(setup, columns)
    engine = run_engine(setup, columns)

    # THEN every table is the same, the one with a row for each request included
    assert difference(reference, engine) is None


@given(st.data())
def test_engine_that_counts_requests_as_they_arrive_agrees_too(
    data: st.DataObject,
) -> None:
    # GIVEN a setup in which requests wait for their worker alone, and rows in batches
    setup = data.draw(lean_setups())
    columns = data.draw(columns_for(setup, 60))
    agree_in_batches(data, setup, columns)


@given(st.data())
def test_engine_that_counts_direct_io_in_bulk_agrees_too(data: st.DataObject) -> None:
    # GIVEN direct I/O without limits, of which most requests wait for nobody
    setup = data.draw(alone_setups())
    columns = data.draw(columns_for(setup, 60))
    agree_in_batches(data, setup, columns)


def agree_in_batches(data: st.DataObject, setup: Setup, columns: Columns) -> None:
    batch_rows = data.draw(st.sampled_from([1, 7, 1 << 16]))
    tell_after = data.draw(st.sampled_from([1, 1 << 31]))

    # THEN neither the shorter way nor the batches show
    found = run_engine(setup, columns, batch_rows, tell_after=tell_after)
    assert difference(run_reference(setup, columns), found) is None
