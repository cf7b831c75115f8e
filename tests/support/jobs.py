"""Jobs that the tests hand to worker processes, which import them from here."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from replay.common.errors import TraceError


def square(number: int) -> int:
    return number * number


def slow_square(number: int) -> int:
    """The first ones last longest."""
    time.sleep(0.02 * (number % 3 == 0))
    return number * number


def fail_on_odd(number: int) -> int:
    if number % 2:
        raise TraceError(f"trace {number}: is bad")
    return number


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_once(marker: str) -> str:
    """Ends its process the first time."""
    path = Path(marker)
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def much(n_bytes: int) -> bytes:
    return bytes(n_bytes)


def length(data: bytes) -> bytes:
    return data[::-1]


def who(_: Any) -> int:
    return os.getpid()


def not_sendable(_: Any) -> Any:
    return lambda: None


class Strange(Exception):
    """Cannot be made again of its text alone."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def strange(_: Any) -> None:
    raise Strange(1, 2)


def forever(marker: str) -> None:
    Path(marker).write_text(str(os.getpid()))
    time.sleep(600)
