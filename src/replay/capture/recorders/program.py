"""A program that records until it is asked to end: a child that outlives nobody."""

import ctypes
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from replay.capture.machine import SYSTEM_PATH
from replay.capture.recorders.stop import Stop
from replay.capture.saved import new_file
from replay.common.errors import CaptureError

#: All of it: what runs as root obeys no variables of whoever became root.
ENVIRONMENT: Final = {"PATH": SYSTEM_PATH, "LC_ALL": "C"}
_POLL_S: Final = 0.05
_PR_SET_PDEATHSIG: Final = 1


class Program:
    """A program that records; it is interrupted to end, and killed if it does not.

    Parameters
    ----------
    words : sequence of str
        The program and its arguments.
    log : Path
        File to make for what it says.
    prints : Path or None
        File to make for what it prints; None is the log.
    environment : mapping of str to str
        Variables of its own, beside a few that all have.
    patience_s : float
        How long it may take to start, and to write out what it holds.
    """

    def __init__(
        self,
        words: Sequence[str],
        log: Path,
        *,
        prints: Path | None = None,
        environment: Mapping[str, str] | None = None,
        patience_s: float,
    ) -> None:
        self._log = log
        self._patience_s = patience_s
        self._asked = False
        self._killed = False
        # loaded here: between fork and exec nothing may be
        libc = ctypes.CDLL(None)

        def _begins() -> None:
            # in the background of a shell, and so in ours, it would be ignored
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            # if we are killed, it stops as well
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)

        try:
            with ExitStack() as files:
                said = files.enter_context(new_file(log))
                printed = files.enter_context(new_file(prints)) if prints else said
                self._child = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=said,
                    env={**ENVIRONMENT, **(environment or {})},
                    # Ctrl-C in a terminal goes to us only, who then stop it in turn
                    start_new_session=True,
                    preexec_fn=_begins,
                )
        except OSError as error:
            reason = error.strerror or error
            raise CaptureError(f"{words[0]}: cannot be started: {reason}") from error

    def _records(self) -> bool:
        """Return True if it says, in its way, that it has begun to record."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._child.poll() is None

    @property
    def failed(self) -> bool:
        """Whether it ended badly, or had to be killed."""
        good = {None, 0}
        if self._asked:
            # it had not got so far as to set a handler, nor to set up a trace
            good.add(-signal.SIGINT)
        return self._killed or self._child.poll() not in good

    def wait_until_started(self, stop: Stop) -> bool:
        """Wait until it records; one that takes too long goes on all the same.

        Parameters
        ----------
        stop : Stop

        Returns
        -------
        bool
            False if it ended instead.
        """
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline and not stop.requested:
            if not self.running:
                return False
            if self._records():
                return True
            time.sleep(_POLL_S)
        return self.running

    def stop(self) -> None:
        """Let it write out what it holds, and wait for its end; else kill it."""
        if not self.running:
            return
        self._asked = True
        for number in (signal.SIGINT, signal.SIGTERM):
            self._child.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(self._patience_s)
                return
        self._killed = True
        self._child.kill()
        self._child.wait()

    def said(self) -> str:
        """Return the first line that it printed, or how it ended."""
        lines = (line.strip() for line in self._text().splitlines())
        return next(filter(None, lines), f"exit code {self._child.poll()}")

    def dropped(self) -> int:
        """Return how many events it says were lost."""
        raise NotImplementedError

    def _text(self) -> str:
        try:
            return self._log.read_text("utf-8", "replace")
        except OSError:
            return ""
