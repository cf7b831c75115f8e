"""Service times counted in cells, and their distance from the fitted lines."""

from pathlib import Path

import numpy as np
import pytest

import replay
from replay.calibration.cells import FEWEST_ALONE, disk_cells, sizes_of
from replay.calibration.model import Calibration
from replay.runner.seen import Seen
from replay.trace.file.schema import OP_CODES

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


def test_of_a_disk_those_that_met_nobody_in_it_are_told_apart() -> None:
    # GIVEN reads of 4 KiB that take 1,000 to 1,011 ns alone, and two that overlap
    n = FEWEST_ALONE + 2
    issue = np.arange(n + 2, dtype=np.int64) * 10_000
    issue[-1] = issue[-2] + 500
    complete = issue + 1000 + np.arange(n + 2)
    seen = Seen(
        queue=issue - 10,
        first=issue,
        issue=issue,
        complete=complete,
        sector=np.zeros(n + 2, np.int64),
        nbytes=np.full(n + 2, 4096, np.int64),
        op=np.full(n + 2, OP_CODES["read"], np.int8),
        cgroup=np.ones(n + 2, np.uint64),
    )
    cells, (alone,) = disk_cells(seen)
    # THEN all are in cells, and the two are not among those alone
    assert sum(cell.requests for cell in cells) == n + 2
    assert (alone.op, alone.nbytes, alone.requests) == ("read", 4096.0, n)
    assert 1000 <= alone.p10_ns < alone.p50_ns < alone.p90_ns < 1000 + n
    assert sizes_of(seen) == {"read": (4096, 4096, 4096)}
