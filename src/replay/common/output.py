"""Outputs appear whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from replay.common.errors import OutputError
from replay.common.leftovers import claimed

#: Flag of ``renameat2``, see <linux/fs.h>.
_RENAME_EXCHANGE: Final = 2


@contextmanager
def replacing(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Let the caller write a temporary file, and give it its name at the end.

    The temporary file lies beside its target, so that the rename stays within a file
    system, and is removed if anything goes wrong, an interrupt included. It is on the
    disk before it gets its name, so that half of it is not found after a power cut. A
    target that is a symbolic link keeps being one.

    Parameters
    ----------
    path : str or Path
        The file to make.
    overwrite : bool
        Whether an existing regular file may be replaced.

    Yields
    ------
    Path
        Where to write. Need not exist at the end if the caller raises.

    Raises
    ------
    OutputError
        The target exists, is no regular file, or cannot be written.
    """
    target = place_of(path)
    claim = None
    try:
        check_target(target, path, overwrite=overwrite)
        claim = claimed(target.parent, "part")
        yield claim.path
        check_target(target, path, overwrite=overwrite)
        sync(claim.path)
        claim.path.replace(target)
        claim.let_go()
        sync(target.parent)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}"
        ) from error
    finally:
        if claim is not None:
            claim.remove()


def place_of(path: str | Path) -> Path:
    """Follow symbolic links to where an output goes.

    Parameters
    ----------
    path : str or Path
        As the user wrote it.

    Returns
    -------
    Path
        Absolute. Need not exist.

    Raises
    ------
    OutputError
        The links lead to themselves, or the path means standard output.
    """
    if str(path) == "-":
        raise OutputError(
            "-: standard output takes no output of this kind: name a file or directory"
            " (./- if that is its name)"
        )
    place = Path(os.path.realpath(path))
    if os.path.islink(place):  # noqa: PTH114 (a name may be too long to ask)
        raise OutputError(
            f"{path}: is a symbolic link that leads to itself: name another output"
        )
    return place


def check_target(target: Path, shown: str | Path, *, overwrite: bool) -> None:
    """Refuse a target that must not or cannot be replaced.

    Parameters
    ----------
    target : Path
        Resolved path.
    shown : str or Path
        The path as the user wrote it, for the message.
    overwrite : bool
        Whether an existing regular file may be replaced.

    Raises
    ------
    OutputError
        The target exists, is no regular file, or its directory is missing.
    """
    if not target.name or target.is_dir():
        raise OutputError(f"{shown}: is a directory: name a file in it")
    if not target.parent.is_dir():
        raise OutputError(f"{shown}: there is no directory {target.parent}: make it")
    if target.exists():
        # a rename would put a regular file where a device or a pipe was
        if not target.is_file():
            raise OutputError(f"{shown}: is not a regular file: name another output")
        if not overwrite:
            raise OutputError(
                f"{shown}: exists already: use --overwrite or name another output"
            )


def sync(path: Path) -> None:
    """Wait until a local file or directory is on the disk.

    A file system that cannot be asked (some network's) is taken at its word.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def exchange(one: Path, other: Path) -> bool:
    """Swap two paths in one step; return False if the file system cannot do that.

    Whoever looks meanwhile finds the one or the other in each place, never nothing.
    """
    from ctypes import CDLL, c_uint, get_errno

    try:
        rename = CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    at, paths = -100, (os.fsencode(one), os.fsencode(other))
    if rename(at, paths[0], at, paths[1], c_uint(_RENAME_EXCHANGE)) == 0:
        return True
    code = get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))
