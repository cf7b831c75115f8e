"""Record by an installed bpftrace, where debugfs or the device may not be opened.

It prints the kernel's tracepoints as the tracer ``blk`` prints them, which `replay`
reads like any text of ftrace. The cgroup is that of whoever caused the event, which of
a request that waits in the queue's name is another one: only Q, G, M, F, A and X have
it, as a block trace's first event of a request decides whose it is.
"""

import re
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from replay.capture.machine import SYSTEM_PATH, Machine
from replay.capture.saved import new_file
from replay.capture.tracer import Stop
from replay.common.errors import CaptureError
from replay.trace.file.per_cpu import EVENTS_FILE

LOG: Final = "bpftrace.log"
#: Pages of its buffer for each CPU.
_BUFFER_PAGES: Final = 4096
_START_S: Final = 60.0
_STOP_S: Final = 60.0
_POLL_S: Final = 0.05
_STARTED: Final = "# tracer: blk"
_LOST: Final = re.compile(rb"^Lost (\d+) events", re.MULTILINE)


class _Event(NamedTuple):
    """A tracepoint: its letter, whether whoever runs caused it, and what follows."""

    letter: str
    caused: bool
    form: str
    arguments: str


_SIZE: Final = ("%llu + %u [%s]", "args->sector, args->nr_sector, comm")
_EVENTS: Final = {
    "block_bio_queue": _Event("Q", True, *_SIZE),
    "block_bio_backmerge": _Event("M", True, *_SIZE),
    "block_bio_frontmerge": _Event("F", True, *_SIZE),
    "block_getrq": _Event("G", True, *_SIZE),
    "block_rq_insert": _Event("I", False, *_SIZE),
    "block_rq_issue": _Event("D", False, *_SIZE),
    "block_rq_requeue": _Event(
        "R", False, "%llu + %u [0]", "args->sector, args->nr_sector"
    ),
    "block_rq_complete": _Event(
        "C", False, "%llu + %u [%d]", "args->sector, args->nr_sector, args->error"
    ),
    "block_split": _Event(
        "X", True, "%llu / %llu [%s]", "args->sector, args->new_sector, comm"
    ),
    "block_bio_remap": _Event(
        "A",
        True,
        "%llu + %u <- (%d,%d) %llu",
        "args->sector, args->nr_sector, args->old_dev >> 20, "
        "args->old_dev & 0xfffff, args->old_sector",
    ),
}


def program_text(devices: Sequence[int]) -> str:
    """Write the program for bpftrace.

    Parameters
    ----------
    devices : sequence of int
        ``major << 20 | minor``, as tracepoints have them.

    Returns
    -------
    str
    """
    # a line that readers of ftrace's text know it by
    lines = [f'BEGIN {{ printf("{_STARTED}\\n"); }}']
    ours = " || ".join(f"args->dev == {one}" for one in devices)
    for name, (letter, caused, form, arguments) in _EVENTS.items():
        cgroup = ("%llx,%llx ", "cgroup & 0xffffffff, cgroup >> 32, ")
        cgroup_form, cgroup_arguments = cgroup if caused else ("", "")
        lines.append(
            f"tracepoint:block:{name} /{ours}/ {{ "
            f'printf("%s-%d [%03d] ..... %llu.%09llu: %d,%d {cgroup_form}{letter} '
            f'%s {form}\\n", comm, tid, cpu, nsecs / 1000000000, nsecs % 1000000000, '
            f"args->dev >> 20, args->dev & 0xfffff, {cgroup_arguments}args->rwbs, "
            f"{arguments}); }}"
        )
    return "\n".join(lines) + "\n"


class BpfTrace:
    """A running bpftrace.

    Parameters
    ----------
    machine : Machine
    devices : sequence of Path
    directory : Path
        Gets the events as text, and what bpftrace said.
    """

    def __init__(
        self, machine: Machine, devices: Sequence[Path], directory: Path
    ) -> None:
        self._events = directory / EVENTS_FILE
        self._log = directory / LOG
        self._asked = False
        program = machine.program(machine.bpftrace) or machine.bpftrace
        text = program_text([machine.number(device) for device in devices])
        environment = {
            "PATH": SYSTEM_PATH,
            "BPFTRACE_PERF_RB_PAGES": str(_BUFFER_PAGES),
            "BPFTRACE_STRLEN": "64",
        }
        try:
            with new_file(self._events) as file, new_file(self._log) as log:
                self._child = subprocess.Popen(
                    [program, "-q", "-B", "line", "-e", text],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=log,
                    # Ctrl-C in a terminal goes to us only, who then stop it in turn
                    start_new_session=True,
                    env=environment,
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
        """Whether it ended badly."""
        return self._child.poll() not in (None, 0, *([-signal.SIGINT] * self._asked))

    def wait_until_started(self, stop: Stop, seconds: float = _START_S) -> bool:
        """Wait until it has attached its probes.

        Parameters
        ----------
        stop : Stop
        seconds : float
            Longest wait; one that takes longer goes on.

        Returns
        -------
        bool
            False if it ended instead.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not stop.requested:
            if not self.running:
                return False
            if self._events.stat().st_size:
                return True
            time.sleep(_POLL_S)
        return self.running

    def stop(self) -> None:
        """Let it write out what it holds, and wait for its end."""
        self._asked = True
        for number in (signal.SIGINT, signal.SIGKILL):
            if not self.running:
                return
            self._child.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(_STOP_S)

    def said(self) -> str:
        """Return the first line that it printed as an error."""
        text = self._log.read_text("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[0] if lines else f"exit code {self._child.poll()}"

    def dropped(self) -> int:
        """Return how many events it says were lost."""
        found = 0
        for path in (self._events, self._log):
            with path.open("rb") as file:
                for line in file:
                    if line.startswith(b"Lost ") and (match := _LOST.match(line)):
                        found += int(match[1])
        return found
