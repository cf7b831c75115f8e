"""The kernel's own interface to block traces: four ioctls, and files in debugfs.

Source: block/ioctl.c, ``blkdev_ioctl`` and kernel/trace/blktrace.c,
``blk_trace_setup``; their numbers and structures: include/uapi/linux/blktrace_api.h.
"""

import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Final, NamedTuple

# name, mask of actions, bytes of a buffer, buffers, first and last sector, pid
_SETUP: Final = struct.Struct("@32sHIIQQI4x")
_SETUP2: Final = struct.Struct("@64sQIIQQII88x")
_READ_WRITE: Final = 3 << 30
_BLK: Final = 0x12 << 8
_BLKTRACESETUP: Final = _READ_WRITE | _SETUP.size << 16 | _BLK | 115
_BLKTRACESETUP2: Final = _READ_WRITE | _SETUP2.size << 16 | _BLK | 142
BLKTRACESTART: Final = _BLK | 116
BLKTRACESTOP: Final = _BLK | 117
BLKTRACETEARDOWN: Final = _BLK | 118
#: What a kernel without version 8 answers, by device driver.
_UNKNOWN: Final = frozenset((errno.EINVAL, errno.ENOTTY, errno.EOPNOTSUPP))


class SetUp(NamedTuple):
    """A trace that is set up: the kernel's name for it, and its records' version."""

    name: str
    version: int


class TraceInterface:
    """What the kernel can be asked of a block device that is open."""

    def open(self, device: Path) -> int:
        """Open a device to trace it; nothing of it is read."""
        return os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def set_up(self, descriptor: int, buffer_bytes: int, n_buffers: int) -> SetUp:
        """Set up a trace of all events, of version 8 where the kernel has it.

        Parameters
        ----------
        descriptor : int
            Of the device.
        buffer_bytes, n_buffers : int
            Memory for each CPU.

        Returns
        -------
        SetUp

        Raises
        ------
        OSError
            EBUSY if the device is traced already.
        """
        given = bytearray(
            _SETUP2.pack(b"", (1 << 64) - 1, buffer_bytes, n_buffers, 0, 0, 0, 0)
        )
        try:
            fcntl.ioctl(descriptor, _BLKTRACESETUP2, given)
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise
        else:
            return SetUp(_name(given[:64]), 8)
        given = bytearray(
            _SETUP.pack(b"", (1 << 16) - 1, buffer_bytes, n_buffers, 0, 0, 0)
        )
        fcntl.ioctl(descriptor, _BLKTRACESETUP, given)
        return SetUp(_name(given[:32]), 7)

    def start(self, descriptor: int) -> None:
        """Let events be recorded."""
        fcntl.ioctl(descriptor, BLKTRACESTART)

    def stop(self, descriptor: int) -> None:
        """Let no more events be recorded; what is in the buffers can be read."""
        fcntl.ioctl(descriptor, BLKTRACESTOP)

    def tear_down(self, descriptor: int) -> None:
        """End the trace, whoever set it up; its files in debugfs go."""
        fcntl.ioctl(descriptor, BLKTRACETEARDOWN)


def _name(field: bytearray) -> str:
    return bytes(field).partition(b"\0")[0].decode("utf-8", "replace")
