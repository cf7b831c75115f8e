"""Files that others hand over: regular, of bounded size, and no way out of a folder.

A pipe may never end and a device has no end; a link may lead to what its sender cannot
read and its receiver can.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Final

#: Of a scenario, and of what else a person writes.
TEXT_BYTES: Final = 1 << 24
#: Of lists that programs write: a million lines of cgroups, what a result says.
LIST_BYTES: Final = 1 << 28
#: Of one file of a cgroup.
SMALL_BYTES: Final = 1 << 22


class FileRefusedError(OSError):
    """The file is not regular, too large, or elsewhere; `strerror` says which."""

    def __init__(self, reason: str, path: str | Path) -> None:
        super().__init__(errno.EINVAL, reason, os.fspath(path))


def read_bounded(
    path: str | Path, most: int = TEXT_BYTES, *, within: Path | None = None
) -> bytes:
    """Read a regular file of bounded size.

    Parameters
    ----------
    path : str or Path
    most : int
        Bytes that it may have.
    within : Path or None
        A directory that links must not lead out of.

    Returns
    -------
    bytes

    Raises
    ------
    FileRefusedError
        It is no regular file, larger, or lies outside.
    OSError
        It cannot be read.
    """
    if within is not None:
        check_within(path, within)
    # a pipe that nobody writes to must not be waited for
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    with os.fdopen(descriptor, "rb") as file:
        told = os.fstat(descriptor)
        if stat.S_ISDIR(told.st_mode):
            raise IsADirectoryError(
                errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path)
            )
        if not stat.S_ISREG(told.st_mode):
            raise FileRefusedError("is not a regular file: copy it into one", path)
        # those of procfs say that they are empty
        data = file.read(most + 1) if told.st_size <= most else None
    if data is None or len(data) > most:
        raise FileRefusedError(
            f"has more than the {most >> 20} MiB that are read of such a file", path
        )
    return data


def text_or_nothing(path: Path) -> str:
    """Return what a file of the kernel's says; empty if it cannot be read.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        Without blanks at its begin and end.
    """
    try:
        data = read_bounded(path, SMALL_BYTES)
    except OSError:
        return ""
    return data.decode("utf-8", "backslashreplace").strip()


def check_within(path: str | Path, top: Path) -> None:
    """Refuse a path that a link leads out of a directory.

    Parameters
    ----------
    path : str or Path
        Need not exist.
    top : Path
        The directory that was handed over.

    Raises
    ------
    FileRefusedError
    """
    real, inside = os.path.realpath(path), os.path.realpath(top)
    if real != inside and not real.startswith(inside.rstrip("/") + "/"):
        raise FileRefusedError(
            f"is a link out of {top}: copy what it leads to into that directory", path
        )
