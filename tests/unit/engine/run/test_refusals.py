"""What the engine refuses, each with the row."""

import numpy as np
import pytest
from msgspec.structs import replace

from replay.common.errors import ModelError
from replay.engine.setup import ArrivalMode
from support.engines import columns_of, request, run_engine, setup_of


@pytest.mark.parametrize("mode", ArrivalMode)
def test_a_time_after_104_days_is_refused(mode: ArrivalMode) -> None:
    columns = columns_of([request(0), request(1000)])
    late = columns.complete_ns.copy()
    late[1] = 2**53
    with pytest.raises(ModelError, match=r"row 1: .*104 days"):
        run_engine(setup_of(mode=mode), replace(columns, complete_ns=late))


def test_rows_that_do_not_come_in_order_are_refused() -> None:
    columns = columns_of([request(1000), request(0)])
    with pytest.raises(ModelError, match="row 1: arrives before"):
        run_engine(setup_of(), replace(columns, row=np.arange(2)))


@pytest.mark.parametrize(
    ("column", "value"), [("issuer", 3), ("device", 1), ("op", 8), ("task", 0)]
)
@pytest.mark.parametrize("mode", ArrivalMode)
def test_an_id_beyond_the_setups_tables_is_refused(
    column: str, value: int, mode: ArrivalMode
) -> None:
    columns = columns_of([request(0)])
    wrong = np.array([value], getattr(columns, column).dtype)
    with pytest.raises(ModelError, match=r"row 0: .*bind it to this trace"):
        run_engine(setup_of(mode=mode), replace(columns, **{column: wrong}))
