"""Compressed files: what is in them, in memory that is bounded whatever they claim."""

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pytest

from replay.common.errors import TraceError
from replay.trace.convert import convert
from replay.trace.inputs.unpack import MEMORY_BYTES, Unpacked

#: Of xz's stream header, and where its first block tells the dictionary's size.
XZ_HEADER = 12
DICTIONARY = XZ_HEADER + 4


def with_dictionary(packed: bytes, bits: int) -> bytes:
    """Let a file of xz claim a dictionary: 40 is 4 GiB, each 2 less a half."""
    out = bytearray(packed)
    length = (out[XZ_HEADER] + 1) * 4
    assert out[XZ_HEADER + 2 : XZ_HEADER + 4] == b"\x21\x01"
    out[DICTIONARY] = bits
    end = XZ_HEADER + length - 4
    out[end : end + 4] = zlib.crc32(out[XZ_HEADER:end]).to_bytes(4, "little")
    return bytes(out)


def unpacked(path: Path, piece: int = 1000) -> bytes:
    parts = []
    with Unpacked(path) as file:
        while part := file.read(piece):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_streams_of_xz_follow_each_other(tmp_path: Path, piece: int) -> None:
    # GIVEN two streams, with the zeros that may stand between and behind them
    path = tmp_path / "f.xz"
    first, second = lzma.compress(b"first "), lzma.compress(b"second")
    path.write_bytes(first + bytes(8) + second + bytes(1 << 17))
    assert unpacked(path, piece) == b"first second"


@pytest.mark.parametrize("left", [1, 20, 60])
def test_xz_that_is_cut_off_is_refused(tmp_path: Path, left: int) -> None:
    path = tmp_path / "f.xz"
    path.write_bytes(lzma.compress(bytes(range(256)) * 10)[:-left])
    with pytest.raises(TraceError, match="its xz data cannot be read"):
        unpacked(path)


def test_xz_with_something_else_behind_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.xz"
    path.write_bytes(lzma.compress(b"x") + b"something else")
    with pytest.raises(TraceError, match="its xz data cannot be read"):
        unpacked(path)


def test_a_dictionary_of_the_highest_preset_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f.xz"
    path.write_bytes(with_dictionary(lzma.compress(b"x" * 99), 28))
    assert 2 << (28 // 2 + 11) == 64 << 20 < MEMORY_BYTES
    assert unpacked(path) == b"x" * 99


@pytest.mark.parametrize("bits", [34, 39, 40])
def test_a_huge_dictionary_of_xz_is_refused(tmp_path: Path, bits: int) -> None:
    # GIVEN some bytes that claim a dictionary of 512 MiB, 3 GiB, 4 GiB
    path = tmp_path / "f.xz"
    path.write_bytes(with_dictionary(lzma.compress(b"x" * 99), bits))
    # THEN it is refused, by the name of what is wrong
    with pytest.raises(TraceError, match="its xz dictionary takes more memory"):
        convert(path, tmp_path / "t.arrow")


@pytest.mark.parametrize("exponent", [18, 21])
def test_a_huge_window_of_zstd_is_refused(tmp_path: Path, exponent: int) -> None:
    # GIVEN a frame whose window is 256 MiB or 2 GiB, with one raw block of 3 bytes
    path = tmp_path / "f.zst"
    frame = b"\x28\xb5\x2f\xfd" + bytes([0, exponent << 3])
    path.write_bytes(frame + (3 << 3 | 1).to_bytes(3, "little") + b"abc")
    with pytest.raises(TraceError, match="its zstd dictionary takes more memory"):
        convert(path, tmp_path / "t.arrow")


def test_a_zip_members_lzma_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("sda.blktrace.0", b"x" * 99)
    with pytest.raises(TraceError, match="is packed by LZMA: unpack it yourself"):
        convert(path, tmp_path / "t.arrow")


BOUNDED = """
import resource, sys
from replay.common.errors import TraceError
from replay.trace.inputs.unpack import Unpacked
import pyarrow
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with Unpacked(sys.argv[1]) as file:
        while file.read(1 << 16): pass
except TraceError: pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("codec", ["gz", "bz2", "xz", "zst"])
def test_memory_is_bounded_whatever_comes_out(tmp_path: Path, codec: str) -> None:
    # GIVEN 96 MiB of zeros in some KiB
    path = tmp_path / f"f.{codec}"
    with path.open("wb") as file:
        pack(codec, file)
    assert path.stat().st_size < 1 << 20
    # WHEN another process reads it to the end
    command = [sys.executable, "-c", BOUNDED, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    # THEN it took little: the dictionary of the file's own preset, and some blocks
    assert int(done.stdout) * 1024 < 48 << 20


def pack(codec: str, file: io.BufferedWriter) -> None:
    zeros = bytes(1 << 24)
    opened = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
    if codec == "zst":
        stream = pa.CompressedOutputStream(pa.PythonFile(file, "w"), "zstd")
    else:
        preset = {"preset": 0} if codec == "xz" else {"compresslevel": 1}
        stream = opened[codec](file, "wb", **preset)  # type: ignore[operator]
    with stream:
        for _ in range(6):
            stream.write(zeros)
