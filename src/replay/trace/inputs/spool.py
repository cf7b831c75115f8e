"""Put on disk what cannot be mapped where it lies: standard input, archives' members.

Both are copied into a temporary directory (``TMPDIR`` says where), in pieces, so memory
is bounded; the disk takes as much as comes. A stream of ``blktrace -o -`` can only be
decoded when it has ended: the first event may stand in its last chunk.

An archive may unpack to `MAX_RATIO` times its size, or to `FREE_BYTES` if that is more,
and to `MAX_MEMBERS` files. Its members' names are shown, and never used as paths.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Final

from replay.common.closing import Closing
from replay.common.errors import OutputError, TraceError
from replay.common.temporary import (
    TemporaryDirectory,
    temporary_directory,
    temporary_place,
)
from replay.common.text import path_text
from replay.trace.inputs.unpack import FREE_BYTES, MAX_RATIO, Readable, Unpacked

STDIN: Final = "-"
_STDIN_FILES: Final = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
COPY_BYTES: Final = 1 << 20
MAX_MEMBERS: Final = 1 << 16
MAX_NAME: Final = 60
_ZIP: Final = b"PK\x03\x04"
_TAR: Final = slice(257, 262)
#: What the readers of archives raise for numbers that cannot be.
_DAMAGED: Final = (OSError, EOFError, ValueError, OverflowError, KeyError, IndexError)


class Spool(Closing):
    """A temporary directory, and what its files are called for the user.

    A context manager: the directory is gone at the end.
    """

    def __init__(self) -> None:
        self._directory: TemporaryDirectory | None = None
        self._names: dict[str, str] = {}
        self._streams: dict[str, Path] = {}

    def close(self) -> None:
        """Remove the directory."""
        if self._directory is not None:
            self._directory.close()

    def shown(self, path: str | Path) -> str:
        """Return what a path is called for the user."""
        return self._names.get(str(path)) or path_text(path)

    def told(self, text: str) -> str:
        """Replace paths of the spool in a message."""
        for path, name in self._names.items():
            text = text.replace(path, name)
        return text

    def stdin(self) -> Path:
        """Copy standard input to its end.

        Returns
        -------
        Path
            Where it lies; read once, whatever is asked.

        Raises
        ------
        TraceError
            It is a terminal, or empty.
        """
        if sys.stdin is None:
            raise TraceError("-: standard input is closed: name a file")
        stream = sys.stdin.buffer
        if stream.isatty():
            raise TraceError(
                "-: standard input is a terminal: pipe a recording into it, as in"
                " `blktrace -d DEVICE -o - | replay convert - -o TRACE`"
            )
        return self._stream(stream, "standard input", "stdin")

    def pipe(self, path: Path) -> Path:
        """Copy what comes out of a pipe (``mkfifo``, ``<(zcat FILE)``) to its end.

        Parameters
        ----------
        path : Path
            Of a FIFO.

        Returns
        -------
        Path
            Where it lies; read once, whatever is asked.

        Raises
        ------
        TraceError
            It is empty, or cannot be opened.
        """
        if (placed := self._streams.get(str(path))) is not None:
            return placed
        try:
            with path.open("rb", buffering=0) as stream:
                return self._stream(stream, str(path), f"pipe-{len(self._streams)}")
        except OSError as error:
            raise TraceError(f"{path}: cannot be read: {error.strerror}") from error

    def _stream(self, stream: Readable, name: str, file_name: str) -> Path:
        placed = self._streams.get(name)
        if placed is None:
            placed = self._place(file_name, name)
            with _until_end(), placed.open("wb") as file:
                _copy(stream, file, name)
            if placed.stat().st_size == 0:
                raise TraceError(f"{name}: is empty: there is nothing to read")
            self._streams[name] = placed
        return placed

    def members(self, path: Path) -> list[Path] | None:
        """Unpack an archive's files.

        Parameters
        ----------
        path : Path
            Any regular file.

        Returns
        -------
        list of Path or None
            In the archive's order; None if it is none.

        Raises
        ------
        TraceError
            It is damaged, encrypted, empty or a bomb.
        """
        kind = archive_kind(path)
        if kind is None:
            return None
        directories: dict[str, int] = {}
        before = len(self._names)

        def placed(name: str) -> Path:
            below = _below(name, directories)
            return self._place(f"{before}-{below}", f"{path}:{name}")

        found = _unpack(path, kind, placed)
        if not found:
            raise TraceError(f"{path}: is an archive without files")
        return found

    def tree(self, path: Path) -> Path | None:
        """Unpack an archive's files below directories of their own names.

        Parameters
        ----------
        path : Path
            Any regular file.

        Returns
        -------
        Path or None
            Where they lie; None if it is no archive.

        Raises
        ------
        TraceError
            As `members`.
        """
        kind = archive_kind(path)
        if kind is None:
            return None
        top = self._place("tree", str(path))

        def placed(name: str) -> Path:
            parts = [part.replace("\0", "_")[-MAX_NAME:] for part in name.split("/")]
            target = top.joinpath(*(part for part in parts if part.strip(".")))
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.exists():
                    raise FileExistsError("it holds a file twice")
            except OSError as error:
                raise _cannot_unpack(f"{path}:{name}", error) from error
            return target

        if not _unpack(path, kind, placed):
            raise TraceError(f"{path}: is an archive without files")
        return top

    def _place(self, name: str, shown: str) -> Path:
        """Make a path in the spool."""
        if self._directory is None:
            self._directory = temporary_directory()
        path = self._directory.path / name
        if str(path) in self._names:
            # an archive may hold two files of one name
            path = path.with_name(f"{len(self._names)}-{path.name}")
        path.parent.mkdir(exist_ok=True)
        self._names[str(path)] = shown
        return path


def _unpack(path: Path, kind: str, placed: Callable[[str], Path]) -> list[Path]:
    """Unpack an archive's files to where each is placed."""
    found: list[Path] = []
    walk = _zip_members(path) if kind == "zip" else _tar_members(path)
    left = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    for name, stream in walk:
        if len(found) == MAX_MEMBERS:
            raise TraceError(f"{path}: has more than {MAX_MEMBERS} files")
        target = placed(name)
        with target.open("wb") as file:
            left -= _copy(stream, file, f"{path}:{name}", left)
        found.append(target)
    return found


def is_stdin(name: str | Path) -> bool:
    """Return True if a name means standard input, when that is no regular file."""
    name = str(name)
    return name == STDIN or (name in _STDIN_FILES and not Path(name).is_file())


def archive_kind(path: Path) -> str | None:
    """Tell by its content whether a file is an archive.

    Parameters
    ----------
    path : Path
        A regular file.

    Returns
    -------
    str or None
        ``"tar"`` (compressed or not), ``"zip"`` or None.

    Raises
    ------
    TraceError
        It cannot be read.
    """
    with Unpacked(path) as file:
        head = file.read(512)
        if file.codec is None and head.startswith(_ZIP):
            return "zip"
        return "tar" if head[_TAR] == b"ustar" else None


def _below(name: str, directories: dict[str, int]) -> str:
    """Make a path of a member's name, which may be anything.

    One directory for each of the archive's, so that sets of one name stay apart.
    """
    parent, _, last = name.rpartition("/")
    number = directories.setdefault(parent, len(directories))
    last = last.replace("\0", "_")[-MAX_NAME:]
    return f"{number}/{'member' if last.strip('.') == '' else last}"


def _tar_members(path: Path) -> Iterator[tuple[str, Readable]]:
    import tarfile

    with Unpacked(path) as file:
        try:
            # a stream: nothing is looked for, so nothing is unpacked twice
            with tarfile.open(fileobj=_Forward(file), mode="r|") as archive:  # type: ignore[call-overload]
                for member in archive:
                    stream = archive.extractfile(member) if member.isreg() else None
                    if stream is not None:
                        yield member.name, stream
        except (tarfile.TarError, *_DAMAGED) as error:
            raise _cannot_unpack(path, error) from error


def _zip_members(path: Path) -> Iterator[tuple[str, Readable]]:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    # its dictionary has no bound, and no tool writes it unasked
                    if member.compress_type == zipfile.ZIP_LZMA:
                        raise TraceError(
                            f"{path}: {member.filename} is packed by LZMA: unpack it "
                            "yourself and name the files"
                        )
                    with archive.open(member) as stream:
                        yield member.filename, stream
    # encrypted ones are a RuntimeError, unknown methods a NotImplementedError
    except (zipfile.BadZipFile, RuntimeError, *_DAMAGED) as error:
        raise _cannot_unpack(path, error) from error


def _cannot_unpack(shown: object, error: Exception) -> TraceError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return TraceError(f"{shown}: cannot be unpacked: {reason}")


class _Forward:
    """The part of a stream that `tarfile` needs."""

    def __init__(self, file: Unpacked) -> None:
        self._file = file

    def read(self, n_bytes: int) -> bytes:
        return self._file.read(n_bytes)


def _copy(
    stream: Readable, file: IO[bytes], shown: str, limit: int | None = None
) -> int:
    """Copy a stream to its end; refuse what goes beyond the limit."""
    n_bytes = 0
    while True:
        try:
            part = stream.read(COPY_BYTES)
        except (TraceError, MemoryError):
            raise
        # zlib's, lzma's, those of files that end too early: they have no common base
        except Exception as error:
            raise _cannot_unpack(shown, error) from error
        if not part:
            return n_bytes
        n_bytes += len(part)
        if limit is not None and n_bytes > limit:
            raise TraceError(
                f"{shown}: unpacks to more than {MAX_RATIO} times the archive's size:"
                " unpack it yourself if that is what it should be"
            )
        try:
            file.write(part)
        except OSError as error:
            raise OutputError(
                f"{shown}: cannot be kept in {temporary_place()}: {error.strerror} "
                "(TMPDIR names another directory)"
            ) from error


@contextmanager
def _until_end() -> Iterator[None]:
    """Let the first Ctrl-C end the writer of a pipe, and read what it still writes.

    It goes to both programs of a pipe, and blktrace empties its buffers then. The
    second one interrupts as ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        yield
        return

    def once(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        os.write(2, b"Interrupted: reading to the end of the input; again to stop.\n")

    signal.signal(signal.SIGINT, once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
