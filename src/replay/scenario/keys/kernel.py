"""The kernel's numbers, and its versions as people and distributions write them."""

import re
from typing import Final, NamedTuple

EIO: Final = 5
ENOMEM: Final = 12
ENOSPC: Final = 28
#: Major number of loop devices.
LOOP_MAJOR: Final = 7

#: What follows the numbers is the distribution's: ``+deb13-cloud-amd64``.
_VERSION: Final = re.compile(
    r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,4}))?((?:[-+~_.][0-9A-Za-z.+~_-]*)?)"
)
_NUMBERS: Final = re.compile(r"(\d{1,3})\.(\d{1,3})")
#: Of a distribution that takes changes of later kernels into an old version.
_ENTERPRISE: Final = re.compile(r"\bel(\d{1,2})(?:[_.]|\b)")
#: What such a distribution's kernel calls itself.
_ENTERPRISE_VERSIONS: Final = {8: (4, 18), 9: (5, 14), 10: (6, 12)}


def is_loop(device: int) -> bool:
    """Return True if a device number, ``major << 20 | minor``, is a loop device's."""
    return device >> 20 == LOOP_MAJOR


class KernelVersion(NamedTuple):
    """A kernel's version; it is compared by its numbers first.

    Attributes
    ----------
    major, minor : int
    patch : int
        0 where it is not given, or where the distribution counts otherwise
        (``6.1.0-56-amd64`` is a 6.1.192).
    suffix : str
        What the distribution adds, ``-56-amd64``.
    """

    major: int
    minor: int
    patch: int = 0
    suffix: str = ""

    def __str__(self) -> str:
        """Write it as people do: a lone patch level of 0 is left out."""
        has_patch = self.patch or self.suffix
        return ".".join(map(str, self[: 3 if has_patch else 2])) + self.suffix

    @property
    def release(self) -> tuple[int, int]:
        """The release that it belongs to: ``(6, 1)``."""
        return self.major, self.minor

    @property
    def has_unknown_patch(self) -> bool:
        """Whether it is a stable release of which the patch level is not said."""
        return bool(self.suffix) and not self.patch

    @property
    def takes_later_changes(self) -> bool:
        """Whether its distribution takes changes of much later kernels into it."""
        return _ENTERPRISE.search(self.suffix) is not None


def parse_kernel(text: str) -> KernelVersion:
    """Parse a kernel version.

    Parameters
    ----------
    text : str
        For example ``"6.1"``, ``"6.12.117"``, what ``uname -r`` says
        (``"7.3.4+deb13-cloud-amd64"``, ``"5.15.0-91-generic"``), or ``"el9"``.

    Returns
    -------
    KernelVersion

    Raises
    ------
    ValueError
        It is something else.
    """
    text = text.strip()
    if alone := re.fullmatch(r"(?:rh)?el(\d{1,2})", text):
        if numbers := _ENTERPRISE_VERSIONS.get(int(alone[1])):
            return KernelVersion(*numbers, 0, f"-el{alone[1]}")
        raise ValueError("is not known: el8, el9 and el10 are")
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError("is not a kernel version such as 6.1 or 6.12.117")
    major, minor, patch, suffix = match.groups(default="")
    return KernelVersion(int(major), int(minor), int(patch or 0), suffix)


def kernel_in(text: str) -> KernelVersion | None:
    """Find the version in what a recorded machine calls its kernel.

    Parameters
    ----------
    text : str
        As ``uname -r`` or ``uname -a`` says.

    Returns
    -------
    KernelVersion or None
        None if there is none.
    """
    for word in text.split()[:8]:
        if _NUMBERS.match(word):
            try:
                return parse_kernel(word)
            except ValueError:
                return None
    return None
