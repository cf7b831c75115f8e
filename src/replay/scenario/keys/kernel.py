"""The kernel's numbers, and rules that changed between its versions."""

import re
from typing import Final, NamedTuple

EIO: Final = 5
ENOMEM: Final = 12
ENOSPC: Final = 28
#: Major number of loop devices.
LOOP_MAJOR: Final = 7

_VERSION: Final = re.compile(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,4}))?")


def is_loop(device: int) -> bool:
    """Tell whether a device number, ``major << 20 | minor``, is a loop device's."""
    return device >> 20 == LOOP_MAJOR


class KernelVersion(NamedTuple):
    """A kernel's version; ``patch`` is 0 where it is not given."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        """Write it as people do, without a patch level of 0."""
        return ".".join(map(str, self[: 3 if self.patch else 2]))

    @property
    def request_at_once(self) -> bool:
        """Whether a buffered request is one write call.

        Then the file's lock is held for the whole request and the writer sees the true
        errno; before, it was one call per page and every error became EIO.

        Notes
        -----
        Source: drivers/block/loop.c, lo_write_simple() and lo_rw_aio(): since v6.15 by
        commit f2fed441c69b; of the stable releases it was read in v6.12.117 only.
        """
        return self >= (6, 15, 0) or self._is_known_backport

    @property
    def is_uncertain(self) -> bool:
        """Whether it may carry that change or not: a stable release nobody read."""
        stable = self[:2] in {(6, 12), (6, 14)} and self.patch > 0
        return stable and not self._is_known_backport

    @property
    def _is_known_backport(self) -> bool:
        return self[:2] == (6, 12) and self.patch >= 117

    @property
    def charges_hole_reads(self) -> bool:
        """Whether reading a hole of a tmpfs file allocates and charges its pages."""
        return self < (5, 18, 0)


def parse_kernel(text: str) -> KernelVersion:
    """Parse a kernel version.

    Parameters
    ----------
    text : str
        For example ``"6.1"`` or ``"6.12.117"``.

    Returns
    -------
    KernelVersion

    Raises
    ------
    ValueError
        It is something else. Distribution suffixes are refused: what stands before
        them is often not the patch level (``6.1.0-56-amd64`` is a 6.1.192).
    """
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        raise ValueError("is not a kernel version such as 6.1 or 6.12.117")
    major, minor, patch = match.groups(default="0")
    return KernelVersion(int(major), int(minor), int(patch))
