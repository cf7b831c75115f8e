"""Record block devices with the cgroup of every request, and the cgroups beside."""

import platform
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from replay.capture.folder import make, unmake
from replay.capture.loops import read_loops
from replay.capture.machine import BLKTRACE, BPF, KERNEL, Machine
from replay.capture.recorders.blktrace import BlktraceProgram
from replay.capture.recorders.bpf import BpfTrace
from replay.capture.recorders.claims import Claims
from replay.capture.recorders.command import Command
from replay.capture.recorders.kernel_trace import KernelTrace
from replay.capture.recorders.stop import Stop
from replay.capture.saved import BEGIN, END, write_new
from replay.capture.seen_cgroups import SeenCgroups
from replay.common.errors import CaptureError, OutputError
from replay.scenario.writing.cgroups import machine_toml
from replay.trace.file.per_cpu import EVENTS_FILE

_POLL_S: Final = 0.1


class Recorder(Protocol):
    """What records block devices: the kernel by itself, blktrace, or bpftrace."""

    @property
    def running(self) -> bool:
        """Whether it still records."""

    @property
    def failed(self) -> bool:
        """Whether it ended badly."""

    def wait_until_started(self, stop: Stop) -> bool:
        """Wait until it records; False if it ended instead."""

    def stop(self) -> None:
        """End it, with all that was recorded written."""

    def said(self) -> str:
        """Return why it ended."""

    def dropped(self) -> int:
        """Return how many events were lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOutcome:
    """What was recorded.

    Attributes
    ----------
    directory : Path
    n_files, nbytes : int
        Trace files and their bytes.
    n_cgroups : int
        Ids that were seen.
    dropped : int
        Events that the kernel had no buffer for.
    command_code : int
        Exit code of the command that ran meanwhile; 128 and the signal's number if
        one ended it. 0 if there was none, or if it was ended with the recording.
    command_ended : bool
        Whether it still ran when the recording was to end.
    """

    directory: Path
    n_files: int
    nbytes: int
    n_cgroups: int
    dropped: int
    command_code: int = 0
    command_ended: bool = False


def record(
    devices: Sequence[str],
    output: str | Path,
    *,
    seconds: float | None = None,
    command: Sequence[str] = (),
    how: str = KERNEL,
    buffer_kib: int = 1024,
    n_buffers: int = 8,
    machine: Machine | None = None,
    stop: Stop | None = None,
    on_start: Callable[[], None] = lambda: None,
    on_left: Callable[[str], None] = lambda _: None,
) -> RecordOutcome:
    """Record block devices until asked to stop.

    Parameters
    ----------
    devices : sequence of str
        Names, such as ``loop0`` or ``/dev/loop0``.
    output : str or Path
        Directory to make; one that is there must be empty. It gets the trace's files,
        ``ids``, ``begin/`` and ``end/`` with every cgroup's limits and counters and
        what the machine was, ``scenario.toml`` and ``kernel``.
    seconds : float or None
        How long; None is until `stop` asks, or the command ends.
    command : sequence of str
        Program and arguments to run meanwhile; its end is the recording's.
    how : str
        What records: ``kernel``, which needs nothing installed; ``blktrace`` or
        ``bpf``, by the installed blktrace or bpftrace.
    buffer_kib, n_buffers : int
        Memory for each CPU and device: that many buffers of that many KiB.
    machine : Machine or None
        Where things are; None is where they always are.
    stop : Stop or None
        Looked at ten times a second.
    on_start : callable
        Called when the trace runs.
    on_left : callable
        Told each device on which a killed recording's trace went on, and was ended.

    Returns
    -------
    RecordOutcome

    Raises
    ------
    CaptureError
        Something is missing; or the recorder did not start, or stopped by itself: what
        it had recorded is kept and named.
    OutputError
        The directory cannot be made or written, or is not empty.

    Notes
    -----
    Whatever happens, the trace is ended and the tracing option is what it was.
    """
    machine = machine or Machine()
    stop = stop or Stop()
    missing = machine.missing(devices, how)
    tree = machine.io_tree(how)
    if missing or tree is None:
        raise CaptureError(*missing)
    paths = list(dict.fromkeys(machine.device(name) for name in devices))
    directory = Path(output)
    made = make(directory)
    cgroups = SeenCgroups(tree, machine, paths, directory)
    release = platform.release()
    child = Command(command)
    started = False
    try:
        with ExitStack() as undo:
            # whoever wants to may read tracepoints; a trace has one reader
            if how != BPF:
                for name in undo.enter_context(Claims(machine, paths)).ended:
                    on_left(name)
            undo.enter_context(cgroups)
            if how == KERNEL:
                cgroups.save(BEGIN)
            recorder = _recorder(how, machine, paths, directory, buffer_kib, n_buffers)
            undo.callback(recorder.stop)
            if not recorder.wait_until_started(stop):
                raise CaptureError(f"{how} did not start: {recorder.said()}")
            if how != KERNEL:
                # programs take seconds to begin: what is counted meanwhile is not held
                cgroups.save(BEGIN)
            # now, since a loop device may be taken down before the end
            loops = read_loops(paths, machine.sys, machine.proc)
            on_start()
            undo.enter_context(child)
            started = True
            _wait(recorder, stop, seconds, cgroups, child)
            alone = not recorder.running
            child.end(asked=stop.requested)
            cgroups.save(END)
            recorder.stop()
        cgroups.write_moves()
        write_new(directory / "kernel", release + "\n")
        cgroups.write_scenario(machine_toml(loops, release))
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{directory}: recording failed: {reason}; what is there is kept"
        ) from error
    except CaptureError as error:
        if started:
            raise CaptureError(
                f"{error}; what was recorded until then is in {directory}"
            ) from error
        unmake(directory, made)
        raise
    if alone or recorder.failed:
        raise CaptureError(
            f"{how} stopped by itself: {recorder.said()}; what it had recorded is in "
            f"{directory}"
        )
    files = [*directory.glob("*.blktrace.*"), *directory.glob(EVENTS_FILE)]
    return RecordOutcome(
        directory=directory,
        n_files=len(files),
        nbytes=sum(file.stat().st_size for file in files),
        n_cgroups=len(cgroups.ids),
        dropped=recorder.dropped(),
        command_code=child.code,
        command_ended=child.was_ended,
    )


def _recorder(
    how: str,
    machine: Machine,
    devices: Sequence[Path],
    directory: Path,
    buffer_kib: int,
    n_buffers: int,
) -> Recorder:
    """Start what records."""
    if how == BLKTRACE:
        return BlktraceProgram(
            machine, devices, directory, buffer_kib=buffer_kib, n_buffers=n_buffers
        )
    if how == BPF:
        return BpfTrace(machine, devices, directory)
    return KernelTrace(
        machine.interface,
        machine.debugfs,
        devices,
        directory,
        buffer_kib=buffer_kib,
        n_buffers=n_buffers,
    )


def _wait(
    recorder: Recorder,
    stop: Stop,
    seconds: float | None,
    cgroups: SeenCgroups,
    child: Command,
) -> None:
    """Wait for the end, and note new cgroups meanwhile."""
    began = time.monotonic()
    while recorder.running and not stop.requested and child.running:
        if seconds is not None and time.monotonic() - began >= seconds:
            return
        cgroups.look()
        time.sleep(_POLL_S)
