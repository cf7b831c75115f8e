from hypothesis import given

from engines import difference, run_engine, run_reference
from replay.engine.columns import Columns
from replay.engine.setup import Setup
from strategies import runs


@given(runs())
def test_engine_and_reference_agree_event_by_event(run: tuple[Setup, Columns]) -> None:
    # GIVEN any setup and any rows for it
    setup, columns = run

    # WHEN both replay them
    reference = run_reference(setup, columns)
    engine = run_engine(setup, columns)

    # THEN every table is the same, the one with a row for each request included
    assert difference(reference, engine) is None
