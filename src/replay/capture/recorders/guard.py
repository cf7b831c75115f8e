"""Undo what a recording changed of the machine: its own end does, or its guard.

The guard is this file as a program: it waits for the end of its input, which comes
when the recording is killed. It has the recording's locks too, so that nobody else
begins with a device before all is undone. Nothing but the standard library is there.
"""

import fcntl
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

#: What a recording that ends by itself says to its guard.
DONE = b"done"


def lives(pid: int) -> bool:
    """Return True if there is a process of that number, whoever's it is."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def end_traces(devices: Sequence[str], ioctls: Sequence[int]) -> None:
    """Ask the kernel to stop and tear down the traces of devices, if there are any."""
    for path in devices:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            continue
        for number in ioctls:
            with suppress(OSError):
                fcntl.ioctl(descriptor, number)
        os.close(descriptor)


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Let one process at a time be in the body, whatever claims are in a directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def restore_option(option: str, kept: str, descriptor: int) -> None:
    """Make the tracing option what it was, unless another recording needs it.

    Parameters
    ----------
    option : str
        The option's file.
    kept : str
        File that holds what it was: empty if it was not changed yet.
    descriptor : int
        Of ``kept``, with a shared lock of everybody who needs the option.
    """
    with alone(Path(kept).parent):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        before = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip()
        with suppress(OSError):
            if before and Path(option).read_text().strip() != before:
                Path(option).write_text(before)
        with suppress(OSError):
            Path(kept).unlink()
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def main() -> None:
    """Wait for the end of the input, and undo what the argument says."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    told = json.loads(sys.argv[1])
    if sys.stdin.buffer.read() == DONE:
        return
    end_traces(told["devices"], told["ioctls"])
    restore_option(told["option"], told["kept"], told["descriptor"])
    for path in told["claims"]:
        with suppress(OSError):
            Path(path).unlink()


if __name__ == "__main__":
    main()
