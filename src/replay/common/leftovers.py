"""Files that a run puts on the disk for a while and removes in any case.

Each such file or directory is *claimed*: its name is remembered before it exists, and
it is locked while this process lives. What is still claimed when the process ends, by a
signal too, is removed then. Of a process that was killed the locks are gone: whoever
next makes something in the same place removes what nobody holds.
"""

import atexit
import fcntl
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

#: Names of what may be removed where nobody holds it: nothing else is called so.
_OURS: Final = re.compile(r"\.?replay-[0-9a-f]{16}\.(tmp|part|partial)")
#: Times that a new name is tried for what was removed before it was locked.
_ATTEMPTS: Final = 100

_claims: "dict[str, Claim]" = {}


class Claim:
    """A file or directory of this process, for the time being.

    Attributes
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process = os.getpid()
        self._descriptor = -1
        if not _claims:
            atexit.register(remove_all)
        _claims[str(path)] = self

    def make(self, *, directory: bool) -> bool:
        """Make it and lock it; return True if it is still there."""
        if directory:
            # what is read by others is renamed, the rest is nobody's business
            self.path.mkdir(0o700 if self.path.suffix == ".tmp" else 0o777)
            flags = os.O_RDONLY | os.O_DIRECTORY
        else:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        try:
            self._descriptor = os.open(self.path, flags | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:
            # somebody took it for what a killed process left
            return False
        # a file system without locks: nobody removes it then
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        try:
            made, found = os.fstat(self._descriptor), os.lstat(self.path)
        except FileNotFoundError:
            return False
        return (made.st_dev, made.st_ino) == (found.st_dev, found.st_ino)

    def let_go(self) -> None:
        """Release the claim: it has another name, or is gone."""
        _claims.pop(str(self.path), None)
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)

    def remove(self) -> None:
        """Remove it, as far as that is possible."""
        if os.getpid() == self._process:
            _remove(self.path)
        self.let_go()


def claimed(directory: Path, kind: str) -> Claim:
    """Make something with a new name, for the time being.

    What killed processes left in the same directory is removed.

    Parameters
    ----------
    directory : Path
        Where it is to lie.
    kind : str
        ``"tmp"``: a directory for temporary files; ``"partial"``: a directory that is
        to be renamed; ``"part"``: a file that is.

    Returns
    -------
    Claim

    Raises
    ------
    OSError
        It cannot be made.
    """
    sweep(directory)
    dot = "" if kind == "tmp" else "."
    for _ in range(_ATTEMPTS):
        claim = Claim(directory / f"{dot}replay-{os.urandom(8).hex()}.{kind}")
        try:
            if claim.make(directory=kind != "part"):
                return claim
        except BaseException:
            claim.let_go()
            raise
        claim.let_go()
    raise FileNotFoundError(2, "is removed as soon as it is made", str(directory))


def sweep(directory: Path) -> None:
    """Remove what killed processes of this user left in a directory."""
    try:
        with os.scandir(directory) as entries:
            found = [entry.name for entry in entries if _OURS.fullmatch(entry.name)]
    except OSError:
        return
    for name in found:
        if str(directory / name) not in _claims:
            _remove_dead(directory / name)


def remove_all() -> None:
    """Remove all that is claimed: the process ends."""
    for claim in list(_claims.values()):
        claim.remove()


def is_held(path: Path) -> bool:
    """Return True if a process that lives claims a path, or may do so."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return True
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or not (
            stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)
        ):
            return True
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _remove_dead(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # the lock is held meanwhile: whoever makes it now finds that it is gone
            _remove(path)
    except OSError:
        return
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            import shutil

            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
