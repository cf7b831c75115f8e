"""What is put on disk first: standard input and archives, within bounds."""

import bz2
import gzip
import io
import lzma
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from replay.common.errors import TraceError
from replay.trace.convert import convert
from replay.trace.file.read import Trace
from replay.trace.inputs import spool as spool_module
from replay.trace.inputs import unpack
from replay.trace.inputs.find import find_inputs
from replay.trace.inputs.spool import Spool, archive_kind
from support.blktrace import write_set, writes

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


def tar_of(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def rows_of(trace: Trace) -> pa.Table:
    with trace:
        return trace.table().combine_chunks()


@pytest.fixture
def whole(tmp_path: Path) -> pa.Table:
    """The rows of a set of two CPUs."""
    write_set(tmp_path, "sda", cpu0=writes(3), cpu1=writes(2, start_ns=1_500))
    return rows_of(convert(tmp_path / "sda", tmp_path / "whole.arrow"))


@pytest.mark.parametrize("ending", PACKERS)
def test_a_compressed_set_gives_the_same_rows(
    tmp_path: Path, whole: pa.Table, ending: str
) -> None:
    # GIVEN one CPU's file compressed, the other as it is
    plain = tmp_path / "sda.blktrace.0"
    packed = PACKERS[ending](plain.read_bytes())
    (tmp_path / f"sda.blktrace.0.{ending}").write_bytes(packed)
    plain.unlink()
    # THEN the base name, and the directory, mean both
    for name in (tmp_path / "sda", tmp_path):
        trace = convert(name, tmp_path / "out.arrow", overwrite=True)
        assert rows_of(trace).equals(whole)


def test_a_cpu_both_compressed_and_not_is_refused(
    tmp_path: Path, whole: pa.Table
) -> None:
    (tmp_path / "sda.blktrace.0.gz").write_bytes(gzip.compress(writes(3)))
    with pytest.raises(TraceError, match="the same CPU twice: move one away"):
        convert(tmp_path / "sda", tmp_path / "out.arrow")


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "zip"])
def test_an_archives_members_are_read_as_they_lie(
    tmp_path: Path, whole: pa.Table, kind: str
) -> None:
    # GIVEN an archive with the set, one file compressed, its ids, and a text
    members = {
        "day/README": b"not a trace\n",
        "day/ids": b"1 /\n23 /test.slice\n",
        "day/sda.blktrace.0": writes(3),
        "day/sda.blktrace.1.gz": gzip.compress(writes(2, start_ns=1_500)),
    }
    path = tmp_path / f"day.{kind}"
    if kind == "zip":
        zip_of(path, members)
    else:
        tar_of(path, members, f"w:{kind[4:]}" if kind != "tar" else "w")
    # WHEN it is converted
    trace = convert(path, tmp_path / "out.arrow")
    metadata = trace.metadata
    # THEN the rows are the set's, the ids named, and the members called by their names
    assert rows_of(trace).equals(whole)
    assert {one.id: one.path for one in metadata.summary.cgroups}[23] == "/test.slice"
    assert [one.path for one in metadata.sources] == [
        f"{path}:day/sda.blktrace.0",
        f"{path}:day/sda.blktrace.1.gz",
        f"{path}:day/ids",
    ]


def test_sets_of_one_name_in_two_directories_stay_apart(tmp_path: Path) -> None:
    path = tar_of(
        tmp_path / "a.tar",
        {"x/sda.blktrace.0": writes(1), "y/sda.blktrace.0": writes(2)},
    )
    with Spool() as spool:
        members = spool.members(path)
        assert members is not None
        assert len({one.parent for one in members}) == 2
        assert [spool.shown(one).rpartition(":")[2] for one in members] == [
            "x/sda.blktrace.0",
            "y/sda.blktrace.0",
        ]


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/evil", "..", "a/../..", "x" * 5_000, "a\tb", "."]
)
def test_a_members_name_is_no_path(tmp_path: Path, name: str) -> None:
    path = tar_of(tmp_path / "a.tar", {name: writes(1), "d/" + name: writes(1)})
    with Spool() as spool:
        members = spool.members(path)
        assert members is not None
        (root,) = {one.parent.parent for one in members}
        assert root.name.startswith("replay-")
        assert [one.read_bytes() for one in members] == [writes(1)] * 2
    assert not root.exists()


def test_links_and_devices_in_an_archive_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, type_ in (("l", tarfile.SYMTYPE), ("d", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type = type_
            info.linkname = "/etc/passwd"
            archive.addfile(info)
    with Spool() as spool, pytest.raises(TraceError, match="archive without files"):
        spool.members(path)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_that_is_a_bomb_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    # GIVEN bounds that a test can reach, and 8 MiB of zeros in some KiB
    monkeypatch.setattr(spool_module, "FREE_BYTES", 1 << 20)
    monkeypatch.setattr(spool_module, "MAX_RATIO", 10)
    monkeypatch.setattr(unpack, "FREE_BYTES", 1 << 20)
    monkeypatch.setattr(unpack, "MAX_RATIO", 10)
    path = tmp_path / f"bomb.{kind}"
    members = {"sda.blktrace.0": bytes(8 << 20)}
    if kind == "zip":
        zip_of(path, members)
    else:
        tar_of(path, members, "w:gz")
    # THEN it is refused with a line, and nothing stays on disk
    with pytest.raises(TraceError, match=r"decompress it yourself|unpack it yourself"):
        convert(path, tmp_path / "out.arrow")
    assert sorted(one.name for one in tmp_path.iterdir()) == [path.name]


def test_a_file_that_is_a_bomb_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "FREE_BYTES", 1 << 20)
    monkeypatch.setattr(unpack, "MAX_RATIO", 10)
    path = tmp_path / "sda.blktrace.0.gz"
    path.write_bytes(gzip.compress(writes(1) + bytes(8 << 20)))
    with pytest.raises(TraceError, match="decompress it yourself"):
        convert(path, tmp_path / "out.arrow")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_damaged_archive_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    members = {"sda.blktrace.0": os.urandom(50_000)}
    whole = (zip_of if kind == "zip" else tar_of)(path, members).read_bytes()
    for end in (600, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(TraceError) as caught:
            convert(path, tmp_path / "out.arrow")
        assert "\n" not in str(caught.value)


def test_only_archives_are_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for data in (b"", b"x" * 600, writes(1), gzip.compress(b"time,op\n")):
        path.write_bytes(data)
        assert archive_kind(path) is None


def pipe(data: bytes, *arguments: str | Path) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-c", "from replay.cli.main import main; main()"]
    return subprocess.run(
        [*command, *map(str, arguments)], input=data, capture_output=True, check=False
    )


def test_standard_input_is_read_to_its_end(tmp_path: Path, whole: pa.Table) -> None:
    # GIVEN a stream: one CPU's records after the other's, as blktrace -o - writes them
    stream = writes(3) + writes(2, start_ns=1_500)
    for data in (stream, gzip.compress(stream)):
        # WHEN it is piped into convert
        done = pipe(data, "convert", "-", "-o", tmp_path / "p.arrow", "--overwrite")
        # THEN it is called by its name
        assert done.returncode == 0, done.stderr
        with Trace(tmp_path / "p.arrow") as trace:
            assert trace.metadata.sources[0].path == "standard input"
            assert trace.n_rows == 5


def test_standard_input_that_is_nothing_is_one_line(tmp_path: Path) -> None:
    for data, text in (
        (b"", b"standard input: is empty"),
        (b"hello\n", b"standard input: its content does not tell"),
        (bytes(96), b"standard input: byte 0: not a blktrace file"),
    ):
        done = pipe(data, "convert", "-", "-o", tmp_path / "p.arrow")
        assert done.returncode == 1
        assert text in done.stderr
        assert done.stderr.count(b"\n") == 1


def test_the_first_interrupt_reads_on_to_the_end(tmp_path: Path) -> None:
    # GIVEN convert that waits for more of a stream
    command = [sys.executable, "-c", "from replay.cli.main import main; main()"]
    output = tmp_path / "p.arrow"
    with subprocess.Popen(
        [*command, "convert", "-", "-o", str(output)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdin is not None
        assert running.stderr is not None
        data = writes(300)
        running.stdin.write(data[:48])
        running.stdin.flush()
        wait_until_reading(running)
        # WHEN Ctrl-C comes, and the writer empties its buffers before it ends
        running.send_signal(2)
        assert b"reading to the end" in running.stderr.readline()
        running.stdin.write(data[48:])
        running.stdin.close()
        # THEN all of it is there
        assert running.wait(60) == 0
    with Trace(output) as trace:
        assert trace.n_rows == 300


@pytest.mark.parametrize(
    ("numbers", "code", "says"),
    [
        ([signal.SIGINT, signal.SIGINT], 130, b"Interrupted: nothing was written.\n"),
        ([signal.SIGTERM], 143, b""),
    ],
    ids=["Ctrl-C", "kill"],
)
@pytest.mark.parametrize("named", [False, True], ids=["standard input", "named pipe"])
@pytest.mark.parametrize("command", ["run", "convert"])
def test_a_pipe_that_stays_silent_does_not_hold_up_who_is_stopped(
    tmp_path: Path,
    command: str,
    named: bool,
    numbers: list[signal.Signals],
    code: int,
    says: bytes,
) -> None:
    # GIVEN a pipe that was written into, and whose writer does no more
    source = tmp_path / "loop0.blktrace.0"
    if named:
        os.mkfifo(source)
    work = tmp_path / "work"
    work.mkdir()
    with subprocess.Popen(
        [
            *(sys.executable, "-c", "from replay.cli.main import main; main()"),
            *(command, str(source) if named else "-", "--threads", "2"),
            *("-o", str(work / "out")),
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(work)},
    ) as running:
        assert running.stdin is not None
        assert running.stderr is not None
        with source.open("wb", buffering=0) if named else running.stdin as pipe:
            pipe.write(writes(300))
            pipe.flush()
            wait_until_reading(running, "/pipe-0" if named else "/stdin")
            # WHEN it is told to stop; the first Ctrl-C ends the writer, mostly
            for number in numbers[:-1]:
                running.send_signal(number)
                assert b"again to stop" in running.stderr.readline()
            running.send_signal(numbers[-1])
            # THEN it does, and leaves nothing
            assert running.wait(60) == code
        assert running.stderr.read() == says
    assert list(work.iterdir()) == []


def wait_until_reading(
    running: "subprocess.Popen[bytes]", copy: str = "/stdin"
) -> None:
    """Wait until the signal's handler is the one for a stream: SigCgt, bit of 2."""
    for _ in range(600):
        directories = list(Path("/proc").glob(f"{running.pid}/fd/*"))
        targets = []
        for one in directories:
            try:
                targets.append(str(one.readlink()))
            except OSError:
                continue
        if any(target.endswith(copy) for target in targets):
            time.sleep(0.1)
            return
        time.sleep(0.05)
    pytest.fail("convert does not read its standard input")


def test_without_a_spool_standard_input_is_refused() -> None:
    with pytest.raises(TraceError, match="no stream can be read here"):
        find_inputs("-")
