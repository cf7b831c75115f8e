"""Files and directories, on this machine or on any file system that has an address.

A place without ``://`` is a local path. All else is an address that pyarrow knows
(``s3://bucket/path``, ``gs://``, ``abfs://``, ``hdfs://``) or, where fsspec is
installed, fsspec does. Who may read there, and where an S3 server stands, is told by
the environment, as for every program that uses these services (``AWS_ACCESS_KEY_ID``,
``AWS_ENDPOINT_URL``).
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
from pyarrow import fs

from replay.common.addresses import ADDRESS, secret_root, without_secrets
from replay.common.errors import ReplayError
from replay.common.output import sync

#: Copied at once between file systems.
_PIECE: Final = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that lies somewhere.

    Attributes
    ----------
    place : Place
    nbytes : int
    stamp : str
        Another one if the file was written since; of a local file it holds the change
        time and the inode, which cannot be set.
    """

    place: "Place"
    nbytes: int
    stamp: str


@dataclass(frozen=True, slots=True)
class Place:
    """A file or directory, which need not exist.

    Attributes
    ----------
    text : str
        An absolute local path or an address; without what must not be shown of it.
    secret : str
        What opens the address's store, if that is more than is shown.
    """

    text: str
    secret: str = field(default="", repr=False, compare=False)

    @classmethod
    def of(cls, text: str | Path) -> Self:
        """Make a place of what a user wrote."""
        told = str(text)
        if told.startswith("file" + ADDRESS):
            told = told.removeprefix("file" + ADDRESS)
        if ADDRESS not in told:
            return cls(_absolute(told))
        return cls(without_secrets(told).rstrip("/"), secret_root(told))

    @property
    def local(self) -> Path | None:
        """The path, if it is one of this machine."""
        return None if ADDRESS in self.text else Path(self.text)

    @property
    def name(self) -> str:
        """The last part."""
        return self.text.rpartition("/")[2]

    @property
    def parent(self) -> "Place":
        """Its parent."""
        return replace(self, text=self.text.rpartition("/")[0] or "/")

    def __truediv__(self, name: str) -> "Place":
        return replace(self, text=f"{self.text.rstrip('/')}/{name}")

    def __str__(self) -> str:
        return self.text

    def find(self) -> Found | None:
        """Return the file that lies here; None if there is none, or a directory."""
        if (path := self.local) is not None:
            return _local_file(path) if path.is_file() else None
        info = self._info()
        return _remote_file(self, info) if info.type == fs.FileType.File else None

    def is_directory(self) -> bool:
        """Return True if a directory lies here, or a prefix of objects."""
        if (path := self.local) is not None:
            return path.is_dir()
        return bool(self._info().type == fs.FileType.Directory)

    def files(self, *, below: bool = False) -> list[Found]:
        """List the files of a directory, by name; none if it does not exist.

        Parameters
        ----------
        below : bool
            Those of its directories too, at any depth; here links are followed.
        """
        if (path := self.local) is not None:
            found = [_local_file(file) for file in _local_files(path, below)]
        else:
            system, inside = _system(self)
            selector = fs.FileSelector(inside, recursive=below, allow_not_found=True)
            found = [
                _remote_file(self / info.path[len(inside) :].lstrip("/"), info)
                for info in system.get_file_info(selector)
                if info.type == fs.FileType.File
            ]
        return sorted(found, key=lambda one: one.place.text)

    def read(self) -> bytes:
        """Read a file.

        Raises
        ------
        OSError
        """
        if (path := self.local) is not None:
            return path.read_bytes()
        with self.opened() as file:
            return bytes(file.read())

    def opened(self) -> pa.NativeFile:
        """Open a file for reading anywhere in it."""
        if (path := self.local) is not None:
            return pa.memory_map(str(path), "r")
        system, inside = _system(self)
        return system.open_input_file(inside)

    def created(self) -> pa.NativeFile:
        """Open a new file for writing; elsewhere it appears when it is closed."""
        if (path := self.local) is not None:
            return pa.OSFile(str(path), "wb")
        system, inside = _system(self)
        return system.open_output_stream(inside)

    def write(self, data: bytes | pa.Buffer) -> None:
        """Make or replace a file, whole or not at all, and see to it that it stays.

        Raises
        ------
        OSError
        """
        if (path := self.local) is not None:
            with local_replacing(path) as temporary:
                temporary.write_bytes(data)
            return
        with self.created() as file:
            file.write(data)

    def fetch(self, target: Path) -> None:
        """Copy a file to this machine."""
        with self.opened() as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, _PIECE)

    def put(self, source: Path) -> None:
        """Make a new file of a local one; of half a copy nothing stays.

        Raises
        ------
        OSError
        """
        try:
            with source.open("rb") as file, self.created() as copy:
                shutil.copyfileobj(file, copy, _PIECE)
        except BaseException:
            # a store takes what came until it is closed for the whole
            with suppress(OSError):
                self.remove()
            raise

    def remove(self) -> None:
        """Remove a file that may be gone already."""
        with suppress(FileNotFoundError):
            if (path := self.local) is not None:
                path.unlink()
            else:
                system, inside = _system(self)
                system.delete_file(inside)

    def make_directory(self) -> None:
        """Make a directory with those that it lies in, where there are such things."""
        if (path := self.local) is not None:
            path.mkdir(parents=True, exist_ok=True)

    def system(self) -> tuple[fs.FileSystem, str]:
        """Return its file system, as pyarrow takes it, and the path in it."""
        if self.local is not None:
            return fs.LocalFileSystem(), self.text
        return _system(self)

    def _info(self) -> fs.FileInfo:
        system, inside = _system(self)
        return system.get_file_info(inside)


@contextmanager
def local_replacing(path: Path) -> Iterator[Path]:
    """Let the caller write a temporary file that takes a local file's place.

    What is there at the end is on the disk when it gets its name, and then so is that.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _absolute(path: str) -> str:
    # links stay links, unlike in Path.resolve
    return os.path.normpath(Path.cwd() / path)


def _local_files(directory: Path, below: bool) -> Iterator[Path]:
    if not directory.is_dir():
        return
    if not below:
        yield from (path for path in directory.iterdir() if path.is_file())
        return
    # each directory is looked at once, links to directories last: a link may lead back
    seen: set[tuple[int, int]] = set()
    tops = [directory]
    while tops:
        for folder, below_it, names in os.walk(tops.pop(0)):
            told = os.stat(folder)  # noqa: PTH116
            if (told.st_dev, told.st_ino) in seen:
                below_it.clear()
                continue
            seen.add((told.st_dev, told.st_ino))
            below_it.sort()
            places = [Path(folder, name) for name in below_it]
            tops += [place for place in places if place.is_symlink()]
            yield from (
                path for name in names if (path := Path(folder, name)).is_file()
            )


def _local_file(path: Path) -> Found:
    told = path.stat()
    stamp = f"{told.st_size}:{told.st_mtime_ns}:{told.st_ctime_ns}:{told.st_ino}"
    return Found(place=Place(str(path)), nbytes=told.st_size, stamp=stamp)


def _remote_file(place: Place, info: fs.FileInfo) -> Found:
    return Found(place=place, nbytes=info.size, stamp=f"{info.size}:{info.mtime_ns}")


def _system(place: Place) -> tuple[fs.FileSystem, str]:
    """Find the file system of an address, and the path in it."""
    scheme, _, rest = place.text.partition(ADDRESS)
    root, _, inside = rest.partition("/")
    system, base = _root(place.secret or f"{scheme}{ADDRESS}{root}")
    return system, f"{base}/{inside}" if inside else base


@lru_cache(maxsize=16)
def _root(address: str) -> tuple[fs.FileSystem, str]:
    """Open the file system of a bucket, or of whatever stands behind ``://``."""
    try:
        system, base = fs.FileSystem.from_uri(address)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        system, base = _by_fsspec(address)
    return system, base.rstrip("/")


def _by_fsspec(address: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise ReplayError(
            f"{without_secrets(address)}: pyarrow does not know such addresses, and "
            "fsspec is not installed: pip install 'cgroup-replay[cluster]'"
        ) from None
    try:
        system, base = url_to_fs(address)
    except (ValueError, ImportError) as error:
        told = without_secrets(f"{address}: cannot be opened: {error}")
        raise ReplayError(told) from None
    return fs.PyFileSystem(fs.FSSpecHandler(system)), base
