"""The end of a command that is interrupted: Ctrl-C, SIGTERM, a closed terminal.

The first signal raises an exception, which unwinds the stack: what is half written is
removed on the way. Another one that comes soon is not minded: it would interrupt that.
"""

import signal
import sys
import time
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: A signal that comes sooner behind another one is not minded, s.
_PATIENCE_S: Final = 3.0

_raised_at = -_PATIENCE_S
_number = 0


def end_on_signals() -> None:
    """Let signals end the process; those that are ignored stay so.

    They are if ``nohup`` began the program, or a shell did in the background.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def exit_code() -> int | None:
    """Return the exit code that says which signal came, 128 and its number."""
    return 128 + _number if _number else None


def ignore_signals() -> None:
    """Mind no signal any more: the process ends in any case."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, frame: FrameType | None) -> None:
    global _raised_at, _number
    now = time.monotonic()
    if now - _raised_at < _PATIENCE_S:
        return
    _raised_at = now
    _number = number
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
