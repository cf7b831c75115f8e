"""Traces that a killed recording leaves on: ended by a guard, or by who comes next.

A trace that was set up goes on until it is torn down, whoever set it up. So each
recording *claims* its devices: a file of its own names what it changed, locked while
the recording lives. A guard beside it undoes that when the recording is killed; where
the guard was killed too, the next recording finds files that nobody locks, and does it.
"""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from replay.capture.interface import BLKTRACESTOP, BLKTRACETEARDOWN, TraceInterface
from replay.common.bounded import SMALL_BYTES, read_bounded
from replay.common.errors import CaptureError

#: Waits for the end of its input; undoes all unless it was told that it was done.
_GUARD: Final = """\
import fcntl, json, os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if sys.stdin.buffer.read() != b"done":
    for path in json.loads(sys.argv[1]):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            continue
        for number in json.loads(sys.argv[2]):
            try:
                fcntl.ioctl(descriptor, number)
            except OSError:
                pass
        os.close(descriptor)
    for path in json.loads(sys.argv[3]):
        try:
            os.unlink(path)
        except OSError:
            pass
"""


@dataclass(slots=True)
class Claims:
    """Devices that a recording traces; a context manager that gives them back.

    Attributes
    ----------
    devices : list of Path
    ended : list of str
        Names of devices on which a killed recording's trace went on, and was ended.
    """

    devices: list[Path]
    ended: list[str] = field(default_factory=list)
    _files: dict[Path, int] = field(default_factory=dict)
    _guard: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def of(
        cls, interface: TraceInterface, devices: Sequence[Path], place: Path
    ) -> Self:
        """Claim devices, and end what a killed recording left on them.

        Parameters
        ----------
        interface : TraceInterface
        devices : sequence of Path
        place : Path
            Directory of the claims, made if it is not there.

        Returns
        -------
        Claims

        Raises
        ------
        CaptureError
            Another recording traces one of them.
        """
        claims = cls(list(devices))
        try:
            # where nothing can be written the guard alone must do
            with suppress(OSError):
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
                for device in devices:
                    claims._claim(interface, device, place / device.name)
            claims._start_guard()
        except BaseException:
            claims.release()
            raise
        return claims

    def _claim(self, interface: TraceInterface, device: Path, path: Path) -> None:
        left = _read(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise CaptureError(
                f"{device}: another replay record traces it (process "
                f"{left.get('pid', 'unknown')}): let that end first"
            ) from None
        self._files[path] = descriptor
        if left:
            self._end_left(interface, device)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid()}).encode(), 0)

    def _end_left(self, interface: TraceInterface, device: Path) -> None:
        """End the trace that a killed recording left on a device, if it is on."""
        try:
            descriptor = interface.open(device)
        except OSError:
            return
        try:
            with suppress(OSError):
                interface.stop(descriptor)
            with suppress(OSError):
                interface.tear_down(descriptor)
                self.ended.append(device.name)
        finally:
            os.close(descriptor)

    def _start_guard(self) -> None:
        words = [str(device) for device in self.devices]
        files = [str(path) for path in self._files]
        self._guard = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", "-c", _GUARD, json.dumps(words)),
                json.dumps([BLKTRACESTOP, BLKTRACETEARDOWN]),
                json.dumps(files),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C in a terminal does not go to it
            start_new_session=True,
        )

    def release(self) -> None:
        """Give the devices back: their traces are ended."""
        guard, self._guard = self._guard, None
        if guard is not None:
            with suppress(OSError):
                guard.communicate(b"done")
        for path, descriptor in self._files.items():
            path.unlink(missing_ok=True)
            os.close(descriptor)
        self._files = {}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: Any) -> None:
        """Give the devices back."""
        self.release()


def _read(path: Path) -> dict[str, Any]:
    """Read who claimed a device; empty if nobody did."""
    try:
        found = json.loads(read_bounded(path, SMALL_BYTES))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
