"""Temporary files and directories; ``TMPDIR`` says where they lie.

Most commands make none: `tempfile`, with all the packers that it brings along, is
imported by the first that does.
"""

from pathlib import Path
from typing import IO

from replay.common.closing import Closing
from replay.common.leftovers import claimed


class TemporaryDirectory(Closing):
    """A directory that is gone when it is closed, or when the process ends.

    A context manager. What cannot be removed then stays, and hides no other error.

    Attributes
    ----------
    path : Path
    """

    def __init__(self) -> None:
        self._claim = claimed(Path(temporary_place()), "tmp")
        self.path = self._claim.path

    def __fspath__(self) -> str:
        return str(self.path)

    def close(self) -> None:
        """Remove the directory with all that is in it."""
        self._claim.remove()


def temporary_file() -> IO[bytes]:
    """Make a file without a name, gone when it is closed."""
    from tempfile import TemporaryFile

    return TemporaryFile()


def temporary_directory() -> TemporaryDirectory:
    """Make a directory, gone when it is closed."""
    return TemporaryDirectory()


def temporary_place() -> str:
    """Return the path below which these lie."""
    from tempfile import gettempdir

    return gettempdir()
