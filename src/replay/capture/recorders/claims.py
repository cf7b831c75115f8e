"""What a recording changes of the machine: undone by itself, a guard, or the next.

A trace that was set up goes on until it is torn down, whoever set it up. So each
recording *claims* its devices: a file of its own for each, locked while the recording
or its guard lives. Where both were killed, the next recording finds files that nobody
locks, and undoes what they tell of. The tracing option that adds cgroup ids is needed
by all recordings: the last that ends makes it what it was before the first.
"""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from replay.capture.machine import Machine
from replay.capture.recorders import guard
from replay.capture.recorders.interface import BLKTRACESTOP, BLKTRACETEARDOWN
from replay.common.bounded import SMALL_BYTES, read_bounded
from replay.common.errors import CaptureError

#: In the directory of claims: what the tracing option was. No device is called so.
_KEPT: Final = ".option"
#: How long a guard may take to undo what a killed recording left.
_UNDONE_S: Final = 10.0
_POLL_S: Final = 0.02
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Claims:
    """Devices that a recording traces, and the option on; a context manager.

    Parameters
    ----------
    machine : Machine
    devices : sequence of Path

    Attributes
    ----------
    ended : list of str
        Names of devices on which a killed recording's trace went on, and was ended.
    """

    def __init__(self, machine: Machine, devices: Sequence[Path]) -> None:
        self._machine = machine
        # in one order, so that of two who want the same devices one gets them all
        self._devices = sorted(devices)
        self._files: dict[Path, int] = {}
        self._option = machine.option()
        self._kept = machine.claims / _KEPT
        self._kept_descriptor = -1
        self._guard: subprocess.Popen[bytes] | None = None
        self.ended: list[str] = []

    def __enter__(self) -> Self:
        """Claim the devices, end what was left on them, and turn the option on.

        Raises
        ------
        CaptureError
            Another recording traces one of them, or something cannot be written.
        """
        place = self._machine.claims
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            for device in self._devices:
                self._claim(device, place / device.name)
            with guard.alone(place):
                self._kept_descriptor = os.open(self._kept, _FLAGS, 0o600)
                fcntl.flock(self._kept_descriptor, fcntl.LOCK_SH)
                self._start_guard()
                self._turn_on()
        except OSError as error:
            self._release()
            where = error.filename or place
            reason = error.strerror or error
            raise CaptureError(
                f"{where}: cannot be read or written: {reason}"
            ) from error
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        """Give the devices back; the option is what it was."""
        self._release()

    def _claim(self, device: Path, path: Path) -> None:
        """Lock a device's file, and end the trace that a killed recording left."""
        until = time.monotonic() + _UNDONE_S
        while not self._locked(path):
            pid = _claimed_by(path)
            # a guard that undoes what a killed recording did is waited for
            if guard.lives(pid) or time.monotonic() > until:
                raise CaptureError(
                    f"{device}: another replay record traces it (process "
                    f"{pid or 'unknown'}): let that end first"
                )
            time.sleep(_POLL_S)
        descriptor = self._files[path]
        if os.pread(descriptor, 1, 0):
            self._end_left(device)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid()}).encode(), 0)

    def _locked(self, path: Path) -> bool:
        """Try to lock a file that others lock, and remove, too."""
        descriptor = os.open(path, _FLAGS, 0o600)
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # the one that has the name, not one that was removed meanwhile
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                self._files[path] = descriptor
                return True
        os.close(descriptor)
        return False

    def _end_left(self, device: Path) -> None:
        """End the trace that a killed recording left on a device, if it is on."""
        interface = self._machine.interface
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

    def _turn_on(self) -> None:
        """Turn the option on; what it was is kept where all recordings find it."""
        before = os.pread(self._kept_descriptor, 64, 0)
        if not before:
            before = self._option.read_bytes().strip()
            os.pwrite(self._kept_descriptor, before, 0)
        if self._option.read_bytes().strip() != b"1":
            self._option.write_text("1")

    def _start_guard(self) -> None:
        told = {
            "devices": [str(device) for device in self._devices],
            "ioctls": [BLKTRACESTOP, BLKTRACETEARDOWN],
            "claims": [str(path) for path in self._files],
            "option": str(self._option),
            "kept": str(self._kept),
            "descriptor": self._kept_descriptor,
        }
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # its locks are ours
            pass_fds=[self._kept_descriptor, *self._files.values()],
            # Ctrl-C in a terminal does not go to it
            start_new_session=True,
        )

    def _release(self) -> None:
        watch, self._guard = self._guard, None
        if watch is not None:
            with suppress(OSError):
                watch.communicate(guard.DONE)
        if self._kept_descriptor >= 0:
            guard.restore_option(
                str(self._option), str(self._kept), self._kept_descriptor
            )
            os.close(self._kept_descriptor)
            self._kept_descriptor = -1
        for path, descriptor in self._files.items():
            path.unlink(missing_ok=True)
            os.close(descriptor)
        self._files = {}


def _claimed_by(path: Path) -> int:
    """Return the process that a claim names; 0 if it names none."""
    try:
        found = json.loads(read_bounded(path, SMALL_BYTES))
    except (OSError, ValueError):
        return 0
    pid = found.get("pid") if isinstance(found, dict) else None
    return pid if isinstance(pid, int) else 0
