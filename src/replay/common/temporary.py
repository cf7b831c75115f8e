"""Temporary files and directories; ``TMPDIR`` says where they lie.

Most commands make none: `tempfile`, with all the packers that it brings along, is
imported by the first that does.
"""

from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory


def temporary_file() -> IO[bytes]:
    """Make a file without a name, gone when it is closed."""
    from tempfile import TemporaryFile

    return TemporaryFile()


def temporary_directory() -> "TemporaryDirectory[str]":
    """Make a directory, gone when it is closed.

    What cannot be removed then stays, and hides no other error.
    """
    from tempfile import TemporaryDirectory

    return TemporaryDirectory(prefix="replay-", ignore_cleanup_errors=True)


def lasting_directory() -> str:
    """Make a directory that stays until somebody removes it; return its path."""
    from tempfile import mkdtemp

    return mkdtemp(prefix="replay-")


def temporary_place() -> str:
    """Return the path below which these lie."""
    from tempfile import gettempdir

    return gettempdir()
