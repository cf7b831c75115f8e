"""Lines of Python that a call runs: its cost, whatever the machine does beside it."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def lines_of(call: Callable[[], object]) -> int:
    """Return how many lines and calls of Python code a call runs."""
    n = 0

    def count(_frame: FrameType, _event: str, _argument: Any) -> Any:
        nonlocal n
        n += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        call()
    finally:
        sys.settrace(before)
    return n


def lines_each(call: Callable[[int], object], few: int, many: int) -> float:
    """Return the lines that each one more costs, between few and many of them."""
    call(few)  # imports what it needs
    return (lines_of(lambda: call(many)) - lines_of(lambda: call(few))) / (many - few)
