"""Signals that ask a recording to end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Ask to stop: a signal's handler."""
        self.requested = True


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Let Ctrl-C, SIGTERM and a closed terminal ask to stop, while the body runs.

    Those that are ignored stay so: ``nohup`` wants the recording to go on.

    Yields
    ------
    Stop
    """
    stop = Stop()
    before = {
        number: signal.signal(number, stop)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
