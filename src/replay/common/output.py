"""Outputs appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from replay.common.errors import OutputError


@contextmanager
def replacing(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Let the caller write a temporary file, and give it its name at the end.

    The temporary file lies beside its target, so that the rename stays within a file
    system, and is removed if anything goes wrong, an interrupt included. A target that
    is a symbolic link keeps being one.

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
    temporary = target.with_name(f".replay-{os.urandom(8).hex()}.part")
    try:
        check_target(target, path, overwrite=overwrite)
        yield temporary
        check_target(target, path, overwrite=overwrite)
        temporary.replace(target)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}"
        ) from error
    finally:
        # a directory that is not there any more is no second error
        with suppress(OSError):
            temporary.unlink()


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
