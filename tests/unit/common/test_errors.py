"""The errors that `replay` raises on purpose."""

import pytest

import replay
from replay.common.errors import CaptureError, ReplayError
from replay.trace.formats.csv_columns import parse_columns


@pytest.mark.parametrize(
    ("given", "told"),
    [("a: b", "a: b"), ("a\nb\r\x1b[2J", r"a\nb\r\x1b[2J"), ("\udcff é", r"\udcff é")],
)
def test_a_message_is_one_line_whatever_it_names(given: str, told: str) -> None:
    assert str(ReplayError(given)) == told
    assert str(CaptureError("c", given)) == f"c; {told}"


def test_what_columns_are_refused_for_is_one_line() -> None:
    # found by the fuzzer: the refusal offers the columns that it was given
    with pytest.raises(replay.TraceError, match=r"^[^\n]*time=a\\nb:s$"):
        parse_columns("time=a\nb:x")
