"""Record by an installed blktrace."""

import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from replay.capture.machine import Machine
from replay.capture.recorders.program import ENVIRONMENT, Program

LOG: Final = "blktrace.log"
#: How long blktrace may take to open its files, and to write out what it holds.
_PATIENCE_S: Final = 20.0
#: "Total:    12 events (dropped 3),    1 KiB data", a line for each device.
_DROPPED: Final = re.compile(r"Total:\s+\d+ events \(dropped (\d+)\)")


class BlktraceProgram(Program):
    """A running blktrace.

    Parameters
    ----------
    machine : Machine
    devices : sequence of Path
    directory : Path
        Gets its files, and what it said.
    buffer_kib, n_buffers : int
        Memory for each CPU and device: that many buffers of that many KiB.
    """

    def __init__(
        self,
        machine: Machine,
        devices: Sequence[Path],
        directory: Path,
        *,
        buffer_kib: int,
        n_buffers: int,
    ) -> None:
        self._program = machine.program(machine.blktrace) or machine.blktrace
        self._devices = devices
        self._directory = directory
        words = [self._program, "-b", str(buffer_kib), "-n", str(n_buffers)]
        words += ["-D", str(directory)]
        for device in devices:
            words += ["-d", str(device)]
        super().__init__(words, directory / LOG, patience_s=_PATIENCE_S)

    def _records(self) -> bool:
        """Return True if it has opened its files."""
        return all(
            any(self._directory.glob(f"{device.name}.blktrace.*"))
            for device in self._devices
        )

    def stop(self) -> None:
        """End it; if it is killed, the kernel is told to end the trace it leaves."""
        ran = self.running
        super().stop()
        if not (ran and self._killed):
            return
        for device in self._devices:
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    [self._program, "-k", "-d", str(device)],
                    check=False,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=ENVIRONMENT,
                    timeout=_PATIENCE_S,
                )

    def said(self) -> str:
        """Return the first line that it printed, and what to do."""
        said = super().said()
        if "busy" in said:
            said += ": it is traced already; blktrace -k -d DEV ends that"
        return said

    def dropped(self) -> int:
        """Return how many events it says the kernel dropped."""
        return sum(int(match[1]) for match in _DROPPED.finditer(self._text()))
