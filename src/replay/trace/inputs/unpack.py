"""Open input files as streams of bytes, whatever they are compressed with.

What a compressed file holds is read as it comes, so its size is no matter for the
memory; nor is the dictionary that a crafted one asks for: beyond `MEMORY_BYTES` it is
refused (zstd's bound is 128 MiB; gzip's and bzip2's tables are small). A file that
becomes more than `MAX_RATIO` times as long as it is, beyond `FREE_BYTES`, is refused:
no trace is that empty, and a crafted one would fill the disk.
"""

import io
import lzma
from pathlib import Path
from typing import IO, Final, Protocol

import pyarrow as pa

from replay.common.closing import Closing
from replay.common.errors import TraceError

#: How a compressed file begins, and its codec.
MAGICS: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
}
MAX_RATIO: Final = 1000
FREE_BYTES: Final = 1 << 30
#: For xz; its highest preset needs 65 MiB.
MEMORY_BYTES: Final = 1 << 28
HEAD_BYTES: Final = 1 << 16


_READ_BYTES: Final = 1 << 16
_UTF8_MARK: Final = b"\xef\xbb\xbf"
#: What the libraries say, xz's and zstd's, if their bound is passed.
_TOO_MUCH_MEMORY: Final = ("Memory usage limit", "too much memory")


class Readable(Protocol):
    """The source of the bytes."""

    def read(self, n_bytes: int, /) -> bytes:
        """Read at most so many bytes."""
        ...


def codec_of(head: bytes) -> str | None:
    """Tell what a file is compressed with, by how it begins.

    Parameters
    ----------
    head : bytes
        Its first bytes, 6 or more where there are so many.

    Returns
    -------
    str or None
        ``"gzip"``, ``"bz2"``, ``"zstd"`` or ``"xz"``; None if it lies there as it is.
    """
    for magic, codec in MAGICS.items():
        if head.startswith(magic):
            return codec
    return None


class Unpacked(Closing):
    """The bytes of a file, decompressed while they are read.

    Parameters
    ----------
    path : str or Path
        A regular file.

    Raises
    ------
    TraceError
        The file cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._n_out = 0
        try:
            self._file = Path(path).open("rb")  # noqa: SIM115
            self.codec = codec_of(self._file.peek(6)[:6])
            self._size = self._file.seek(0, io.SEEK_END)
            self._file.seek(0)
        except OSError as error:
            raise TraceError(
                f"{path}: cannot be read: {error.strerror or error}"
            ) from error
        self._stream: Readable
        if self.codec is None:
            self._stream = self._file
        elif self.codec == "xz":
            self._stream = _Xz(self._file)
        else:
            self._stream = pa.CompressedInputStream(
                pa.PythonFile(self._file, "r"), self.codec
            )

    def read(self, n_bytes: int) -> bytes:
        """Read on.

        Parameters
        ----------
        n_bytes : int
            At most so many, 1 or more.

        Returns
        -------
        bytes
            Fewer, or none, only at the end.

        Raises
        ------
        TraceError
            The file is damaged, or grows beyond all measure.
        """
        parts = []
        wanted = n_bytes
        while wanted:
            try:
                part = self._stream.read(wanted)
            except (OSError, EOFError, lzma.LZMAError) as error:
                raise self._refusal(error) from error
            if not part:
                break
            parts.append(part)
            wanted -= len(part)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._n_out += len(data)
        if self._n_out > max(FREE_BYTES, MAX_RATIO * self._size):
            raise TraceError(
                f"{self.path}: {self._size} bytes become more than {self._n_out}:"
                " decompress it yourself if that is what it should be"
            )
        return data

    def _refusal(self, error: Exception) -> TraceError:
        """Say why the data cannot be read."""
        if any(text in str(error) for text in _TOO_MUCH_MEMORY):
            return TraceError(
                f"{self.path}: its {self.codec} dictionary takes more memory than any "
                "trace needs: decompress it yourself if that is what it should be"
            )
        return TraceError(
            f"{self.path}: byte {self.bytes_read}: its {self.codec or 'file'} data "
            f"cannot be read: {error}"
        )

    @property
    def bytes_read(self) -> int:
        """Bytes of the file, as it lies there, that were read."""
        return self._size if self._file.closed else self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Xz:
    """Streams of xz, one after the other, in bounded memory.

    What `lzma.LZMAFile` does, which has no bound.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder = self._new()
        self._waiting = b""

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY_BYTES)

    def read(self, n_bytes: int, /) -> bytes:
        """Read on; nothing is the end."""
        while True:
            if self._decoder.eof:
                # zeros may stand between streams, and behind the last one
                rest = self._decoder.unused_data.lstrip(b"\0")
                while not rest:
                    if not (data := self._file.read(_READ_BYTES)):
                        return b""
                    rest = data.lstrip(b"\0")
                self._decoder, self._waiting = self._new(), rest
            if self._decoder.needs_input and not self._waiting:
                self._waiting = self._file.read(_READ_BYTES)
                if not self._waiting:
                    raise EOFError("it ends in the middle")
            data, self._waiting = self._waiting, b""
            if part := self._decoder.decompress(data, n_bytes):
                return part


def read_head(path: str | Path) -> bytes:
    """Read how a file's content begins, decompressed.

    Parameters
    ----------
    path : str or Path
        A regular file.

    Returns
    -------
    bytes
        `HEAD_BYTES`, or fewer if it is shorter; without UTF-8's byte order mark.

    Raises
    ------
    TraceError
        The file cannot be read.
    """
    with Unpacked(path) as file:
        return file.read(HEAD_BYTES).removeprefix(_UTF8_MARK)
