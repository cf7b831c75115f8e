"""Record with nothing but the kernel: set up traces, read them, end them."""

import errno
import os
import select
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple

from replay.capture.recorders.interface import SetUp, TraceInterface
from replay.capture.recorders.stop import Stop
from replay.capture.saved import new_file
from replay.common.errors import CaptureError

#: Read at a time.
_CHUNK: Final = 1 << 20
_CHUNKS_AT_ONCE: Final = 64
#: How often buffers that are full are looked for, and how often all are emptied.
_PAUSE_S: Final = 0.02
_SWEEP_S: Final = 1.0
#: Tests have a disk that is full.
_write = os.write


class _Stream(NamedTuple):
    """A CPU's events: where the kernel gives them, and where they go."""

    cpu: int
    source: int
    target: int


class KernelTrace:
    """A trace of block devices by the kernel's own interface.

    Parameters
    ----------
    interface : TraceInterface
    debugfs : Path
    devices : sequence of Path
    directory : Path
        Gets ``DEV.blktrace.N`` for each device and CPU, as blktrace names them.
    buffer_kib, n_buffers : int
        Memory for each CPU and device: that many buffers of that many KiB.

    Attributes
    ----------
    version : int
        Of the records: 8 where the kernel has it.
    """

    def __init__(
        self,
        interface: TraceInterface,
        debugfs: Path,
        devices: Sequence[Path],
        directory: Path,
        *,
        buffer_kib: int,
        n_buffers: int,
    ) -> None:
        self.version = 7
        self._interface = interface
        self._debugfs = debugfs
        self._directory = directory
        self._buffers = (buffer_kib << 10, n_buffers)
        self._open: dict[int, str] = {}
        self._streams: list[_Stream] = []
        self._files = ExitStack()
        self._stopping = threading.Event()
        self._reader = threading.Thread(target=self._read, name="trace", daemon=True)
        self._error: OSError | None = None
        self._dropped = 0
        try:
            for device in devices:
                self._set_up(device)
            for descriptor in self._open:
                interface.start(descriptor)
        except OSError as error:
            self._end()
            reason = error.strerror or error
            raise CaptureError(f"the trace cannot be started: {reason}") from error
        except BaseException:
            self._end()
            raise
        self._reader.start()

    def _set_up(self, device: Path) -> None:
        """Set up a device's trace and open the files of all its CPUs."""
        try:
            descriptor = self._interface.open(device)
        except OSError as error:
            reason = error.strerror or error
            raise CaptureError(
                f"{device}: cannot be opened to be traced: {reason}: "
                "--with bpf needs no access to the device"
            ) from error
        try:
            name, self.version = self._ask(device, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._open[descriptor] = name
        place = self._debugfs / "block" / name
        found = sorted(
            (int(number), path)
            for path in place.glob("trace*")
            if (number := path.name.removeprefix("trace")).isdecimal()
        )
        if not found:
            raise CaptureError(
                f"debugfs: {place} has no files of the trace: "
                f"mount -t debugfs debugfs {self._debugfs}"
            )
        for cpu, path in found:
            try:
                source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                why = error.strerror or error
                if error.errno == errno.EPERM:
                    why = "the kernel is locked down, so that root may not open it"
                raise CaptureError(
                    f"debugfs: {path}: {why}: --with bpf needs no debugfs"
                ) from error
            self._files.callback(os.close, source)
            target = self._directory / f"{device.name}.blktrace.{cpu}"
            file = self._files.enter_context(new_file(target))
            self._streams.append(_Stream(cpu, source, file.fileno()))

    def _ask(self, device: Path, descriptor: int) -> SetUp:
        """Set up a trace; say what keeps it from being."""
        try:
            return self._interface.set_up(descriptor, *self._buffers)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise CaptureError(
                    f"{device}: is traced already, by blktrace or another program; "
                    f"echo 0 > /sys/class/block/{device.name}/trace/enable ends that"
                ) from error
            if error.errno in (errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP):
                raise CaptureError(
                    f"{device}: the kernel cannot trace it (BLKTRACESETUP: "
                    f"{error.strerror}): it needs CONFIG_BLK_DEV_IO_TRACE"
                ) from error
            raise CaptureError(
                f"{device}: a trace cannot be set up: {error.strerror or error}"
            ) from error

    @property
    def running(self) -> bool:
        """Whether it still records."""
        return self._reader.is_alive()

    @property
    def failed(self) -> bool:
        """Whether it ended by itself, since what it read could not be written."""
        return self._error is not None

    def wait_until_started(self, stop: Stop) -> bool:
        """Return True: it records from when it was made."""
        return True

    def stop(self) -> None:
        """Let no more be recorded, write out what there is, and end the traces."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._reader.join()
            self._end()

    def said(self) -> str:
        """Return why it ended by itself."""
        if self._error is None:
            return "it ended"
        return self._error.strerror or str(self._error)

    def dropped(self) -> int:
        """Return how many events the kernel had no buffer for."""
        return self._dropped

    def _read(self) -> None:
        """Copy what the kernel has recorded until it is to stop, then the rest."""
        try:
            sweep_at = time.monotonic() + _SWEEP_S
            while not self._stopping.wait(_PAUSE_S):
                if time.monotonic() < sweep_at:
                    self._copy(self._full())
                else:
                    self._copy(self._streams)
                    sweep_at = time.monotonic() + _SWEEP_S
            for descriptor in self._open:
                with suppress(OSError):
                    self._interface.stop(descriptor)
            # nothing comes any more
            self._copy(self._streams, sys.maxsize)
        except OSError as error:
            self._error = error

    def _full(self) -> list[_Stream]:
        """Return the streams that have a whole buffer to read."""
        waiter = select.poll()
        for stream in self._streams:
            waiter.register(stream.source, select.POLLIN)
        ready = {descriptor for descriptor, _ in waiter.poll(0)}
        return [stream for stream in self._streams if stream.source in ready]

    def _copy(self, streams: Sequence[_Stream], most: int = _CHUNKS_AT_ONCE) -> None:
        """Copy what there is, at most so many chunks of each, on each one's own CPU.

        The kernel makes room for an event before it fills it in, with interrupts off:
        whoever reads on another CPU may get what is not written yet.
        """
        for cpu, source, target in sorted(streams):
            # one that is off, or not ours to run on, has no choice
            with suppress(OSError):
                os.sched_setaffinity(0, {cpu})
            # so much at once: others fill meanwhile, and a trace may feed itself
            for _ in range(most):
                try:
                    data = os.read(source, _CHUNK)
                except BlockingIOError:
                    break
                if not data:
                    break
                rest = memoryview(data)
                while rest:
                    rest = rest[_write(target, rest) :]

    def _end(self) -> None:
        """End all traces and close all files."""
        for descriptor, name in self._open.items():
            with suppress(OSError):
                self._interface.stop(descriptor)
            with suppress(OSError, ValueError):
                text = (self._debugfs / "block" / name / "dropped").read_text()
                self._dropped += int(text)
        self._files.close()
        for descriptor in self._open:
            with suppress(OSError):
                self._interface.tear_down(descriptor)
            os.close(descriptor)
        self._open = {}
