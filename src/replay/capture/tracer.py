"""blktrace as a child that never outlives us, and the tracing option it needs."""

import ctypes
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

from replay.capture.machine import SYSTEM_PATH
from replay.capture.saved import new_file
from replay.common.errors import CaptureError

#: How long blktrace may take to open its files, and to write out what it holds.
START_S: Final = 10.0
STOP_S: Final = 30.0
_POLL_S: Final = 0.05
_PR_SET_PDEATHSIG: Final = 1
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: "Total:    12 events (dropped 3),    1 KiB data", a line for each device.
_DROPPED: Final = re.compile(r"Total:\s+\d+ events \(dropped (\d+)\)")


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

    Yields
    ------
    Stop
    """
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


#: Waits for the end of its input, which comes when we close it or are killed.
_GUARD: Final = 'cat > /dev/null; printf %s "$1" > "$2"'


@contextmanager
def option_on(option: Path) -> Iterator[None]:
    """Turn a tracing option on while the body runs, and restore what it was.

    A shell in the background restores it, so that it does even if we are killed.

    Parameters
    ----------
    option : Path
        A file of ``options/`` in tracefs. Writing its name to ``trace_options``
        instead is refused while the tracer that it belongs to is not current.

    Raises
    ------
    CaptureError
        It cannot be read or written.
    """
    with _refusing(option, "read"):
        before = option.read_text().strip()
    if before == "1":
        yield
        return
    with subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "sh", before, str(option)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": SYSTEM_PATH},
        # Ctrl-C in a terminal does not go to it
        start_new_session=True,
    ) as guard:
        try:
            with _refusing(option, "turned on"):
                option.write_text("1")
            yield
        finally:
            guard.communicate()
            if option.read_text().strip() != before:
                option.write_text(before)


@contextmanager
def _refusing(option: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise CaptureError(f"{option}: cannot be {what}: {reason}") from error


class Tracer:
    """A running blktrace.

    Parameters
    ----------
    program : str
    devices : sequence of Path
    directory : Path
        Where its files go.
    log : Path
        Where what it says goes.
    buffer_kib, n_buffers : int
        Memory for each CPU and device: that many buffers of that many KiB.
    """

    def __init__(
        self,
        program: str,
        devices: Sequence[Path],
        directory: Path,
        log: Path,
        *,
        buffer_kib: int,
        n_buffers: int,
    ) -> None:
        self._program = program
        self._devices = devices
        self._directory = directory
        self._log = log
        self._asked = False
        self._killed = False
        command = [program, "-b", str(buffer_kib), "-n", str(n_buffers)]
        command += ["-D", str(directory)]
        for device in devices:
            command += ["-d", str(device)]
        # Loaded here: between fork and exec nothing may be.
        libc = ctypes.CDLL(None)
        try:
            with new_file(log) as file:
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C in a terminal goes to us only, who then stop it in turn
                    start_new_session=True,
                    # if we are killed, it stops as well
                    preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT),
                )
        except OSError as error:
            reason = error.strerror or error
            raise CaptureError(f"{program}: cannot be started: {reason}") from error

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

    def wait_until_started(self, stop: Stop, seconds: float = START_S) -> bool:
        """Wait until it has opened its files.

        Parameters
        ----------
        stop : Stop
        seconds : float
            Longest wait; a blktrace that takes longer goes on.

        Returns
        -------
        bool
            False if it ended instead.
        """
        deadline = time.monotonic() + seconds
        names = [device.name for device in self._devices]
        while time.monotonic() < deadline and not stop.requested:
            if not self.running:
                return False
            if all(any(self._directory.glob(f"{name}.blktrace.*")) for name in names):
                return True
            time.sleep(_POLL_S)
        return self.running

    def stop(self, seconds: float = STOP_S) -> None:
        """Let it write out what it holds, and wait for its end.

        Parameters
        ----------
        seconds : float
            How long it may take; then it is killed, and the kernel told to end the
            trace that it leaves.
        """
        if not self.running:
            return
        self._asked = True
        for number, wait in ((signal.SIGINT, seconds), (signal.SIGTERM, seconds / 4)):
            self._child.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(wait)
                return
        self._killed = True
        self._child.kill()
        self._child.wait()
        for device in self._devices:
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    [self._program, "-k", "-d", str(device)],
                    check=False,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=seconds / 4,
                )

    def said(self) -> str:
        """Return the first line that it printed."""
        lines = [line.strip() for line in self._text().splitlines() if line.strip()]
        if not lines:
            return f"exit code {self._child.poll()}"
        hint = ""
        if "busy" in lines[0]:
            hint = ": it is traced already; blktrace -k -d DEV ends that"
        return lines[0] + hint

    def dropped(self) -> int:
        """Return how many events it says the kernel dropped."""
        return sum(int(match[1]) for match in _DROPPED.finditer(self._text()))

    def _text(self) -> str:
        try:
            return self._log.read_text("utf-8", "replace")
        except OSError:
            return ""
