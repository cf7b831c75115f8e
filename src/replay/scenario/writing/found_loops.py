"""Loop devices of a machine, as they were found."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A loop device that is set up.

    Attributes
    ----------
    name : str
        ``loop0``.
    file : str
        Its backing file.
    direct_io : bool
    filesystem : str or None
        Type of the file system that the file lies on, ``raw`` for a block device;
        None where the file is not to be seen from here.
    device : str or None
        ``MAJOR:MINOR`` of the disk below; None if there is none.
    size : int or None
        Bytes of a tmpfs.
    """

    name: str
    file: str
    direct_io: bool
    filesystem: str | None = None
    device: str | None = None
    size: int | None = None


def version(release: str) -> tuple[int, ...] | None:
    """Find the version in a kernel's release.

    Parameters
    ----------
    release : str
        As ``uname -r`` says.

    Returns
    -------
    tuple of int or None
        Two numbers, or three. A patch level of 0 stands where a distribution counts
        otherwise (``6.1.0-56-amd64`` is a 6.1.192): it is left out.
    """
    match = re.match(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,4}))?", release)
    if match is None:
        return None
    numbers = tuple(int(number) for number in match.groups(default="0"))
    return numbers if numbers[2] else numbers[:2]
