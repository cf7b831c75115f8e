"""Results are compared in the hand or where they lie."""

from pathlib import Path

import replay

TRACE = Path(__file__).parents[2] / "traces" / "high-unlimited"


def test_a_path_stands_for_the_result_in_it(tmp_path: Path) -> None:
    # GIVEN a result on disk and one in the hand
    replay.run(TRACE, output=tmp_path / "base")
    other = replay.run(TRACE, {"driver": {"policy": "root"}})
    # THEN either is taken
    found = replay.compare(tmp_path / "base", other)
    assert found.to_json() == replay.compare(replay.run(TRACE), other).to_json()
