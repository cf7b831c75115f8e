"""A command that runs while a recording does: ``replay record DEV -- COMMAND``."""

import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Self

from replay.common.errors import CaptureError

#: How long it may take to end when it is asked to.
_END_S: Final = 10.0


class Command:
    """A program with its arguments; a context manager that starts and ends it.

    Parameters
    ----------
    words : sequence of str
        Empty is no command: it runs for ever.

    Attributes
    ----------
    was_ended : bool
        Whether it ran until it was told to end.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)
        self._child: subprocess.Popen[bytes] | None = None
        self.was_ended = False

    def __enter__(self) -> Self:
        """Start it."""
        if self._words:
            try:
                self._child = subprocess.Popen(self._words)
            except OSError as error:
                reason = error.strerror or error
                raise CaptureError(
                    f"{self._words[0]}: cannot be started: {reason}"
                ) from error
        return self

    def __exit__(self, *_: Any) -> None:
        """End it."""
        self.end()

    @property
    def running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._child is None or self._child.poll() is None

    @property
    def code(self) -> int:
        """Its exit code, as a shell tells it: 128 and the signal that ended it.

        It is 0 where it obeyed a signal because the recording was to end.
        """
        code = 0 if self._child is None else self._child.poll() or 0
        if code < 0 and self.was_ended:
            return 0
        return code if code >= 0 else 128 - code

    def end(self, *, asked: bool = False) -> None:
        """Ask it to end, and kill it if it does not.

        Parameters
        ----------
        asked : bool
            Whether somebody else has asked it already, as Ctrl-C in a terminal does.
        """
        if self._child is None:
            return
        self.was_ended |= asked or self.running
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._child.poll() is not None:
                return
            self._child.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(_END_S)
