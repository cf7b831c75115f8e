"""The directory of a recording: made, and unmade where nothing was recorded."""

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from replay.common.errors import OutputError


def make(directory: Path) -> bool:
    """Make the directory, or take an empty one; return True if it was not there."""
    try:
        directory.mkdir()
    except FileExistsError:
        if not directory.is_dir():
            raise OutputError(f"{directory}: is not a directory") from None
        if os.geteuid() == 0 and _is_anothers(directory):
            raise OutputError(
                f"{directory}: is a link, or another user's: name a directory of root's"
            ) from None
        if any(directory.iterdir()):
            raise OutputError(
                f"{directory}: is not empty: name another directory"
            ) from None
        return False
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{directory}: cannot be made: {reason}") from error
    return True


def _is_anothers(directory: Path) -> bool:
    """Return True if somebody but root may put links into a directory, or made it."""
    found = directory.lstat()
    return stat.S_ISLNK(found.st_mode) or found.st_uid != 0


def unmake(directory: Path, made: bool) -> None:
    """Remove what a recording that never ran has left."""
    children = list(directory.iterdir()) if directory.is_dir() else []
    for child in children:
        if child.is_dir():
            shutil.rmtree(child, ignore_errors=True)
        else:
            child.unlink(missing_ok=True)
    if made:
        with suppress(FileNotFoundError):
            directory.rmdir()
