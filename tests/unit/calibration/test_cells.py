"""Service times counted in cells, and their distance from the fitted lines."""

from pathlib import Path

import pytest

import replay
from replay.calibration.model import Calibration

ROOT = Path(__file__).parents[3] / "traces" / "workers-root"


@pytest.fixture(scope="module")
def found() -> Calibration:
    made = replay.calibrate(ROOT)
    assert isinstance(made, Calibration)
    return made


def test_each_request_that_a_line_was_fitted_to_is_in_a_cell(
    found: Calibration,
) -> None:
    for op, line in found.lines.items():
        mine = [cell for cell in found.cells if cell.op == op]
        assert sum(cell.requests for cell in mine) == line.n
        # two to a doubling: its ends lie within a cell of the sizes that were seen
        assert min(cell.low_bytes for cell in mine) <= line.least_bytes
        assert max(cell.high_bytes for cell in mine) > line.most_bytes
        assert all(cell.low_ns < cell.high_ns for cell in mine)


def test_a_spread_tells_how_far_requests_lie_from_their_line(
    found: Calibration,
) -> None:
    # GIVEN writes of 4 KiB and 256 KiB under one lock, some of them ten times as long
    spread = found.spreads["write"]
    # THEN the quantiles are in order, and the line lies among them
    assert 0 < spread.p10 < spread.p50 < spread.p90
    assert spread.p10 < 1 < spread.p90
