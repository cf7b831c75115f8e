"""Every format is read from a pipe as from a file."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from replay.common.errors import TraceError
from replay.trace.convert import convert, open_or_convert
from replay.trace.formats.options import FormatOptions
from support.blktrace import writes
from support.samples import SAMPLES, UNTOLD

OPTIONS = {"csv": {"columns": "time=a:s,offset=b:B,size=c:B,op=d"}}


@contextmanager
def fed(path: Path, data: bytes) -> Iterator[Path]:
    """A FIFO that somebody writes the data into."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(data,))
    writer.start()
    yield path
    writer.join()


@pytest.mark.parametrize("name", [*SAMPLES, *UNTOLD])
def test_a_format_is_read_from_a_pipe(tmp_path: Path, name: str) -> None:
    data = (SAMPLES | UNTOLD)[name]
    # GIVEN the format, named only where its content does not tell
    options = FormatOptions(
        name=name if name in UNTOLD else None, **OPTIONS.get(name, {})
    )
    plain = tmp_path / "pipe-0"
    plain.write_bytes(data)
    # WHEN it comes through a pipe
    with (
        fed(tmp_path / "pipe", data) as pipe,
        open_or_convert(plain, format=options) as expected,
        open_or_convert(pipe, format=options) as found,
    ):
        # THEN it is the same, and called as it was named
        assert found.table().equals(expected.table())
        assert found.metadata.sources[0].path == str(pipe)
        assert found.metadata.summary.format == name


def test_a_trace_file_is_read_from_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "a.blktrace.0").write_bytes(writes(3))
    with (
        convert(tmp_path / "a", tmp_path / "t.arrow") as expected,
        fed(tmp_path / "pipe", (tmp_path / "t.arrow").read_bytes()) as pipe,
        open_or_convert(pipe) as found,
    ):
        assert found.table().equals(expected.table())
        assert found.path == pipe


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0"])
@pytest.mark.parametrize("what", ["msr", "tencent", "a trace file"])
def test_standard_input_may_be_anything(tmp_path: Path, name: str, what: str) -> None:
    options = []
    if what == "a trace file":
        (tmp_path / "a.blktrace.0").write_bytes(writes(1))
        convert(tmp_path / "a", tmp_path / "t.arrow").close()
        data = (tmp_path / "t.arrow").read_bytes()
    else:
        data = (SAMPLES | UNTOLD)[what]
        options = ["--format", what] if what in UNTOLD else []
    command = [sys.executable, "-c", "from replay.cli.main import main; main()"]
    done = subprocess.run(
        [*command, "info", name, *options],
        input=data,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "standard input"
    assert lines[1].startswith("1 request in ")


def test_an_empty_pipe_is_one_line(tmp_path: Path) -> None:
    with (
        fed(tmp_path / "pipe", b"") as pipe,
        pytest.raises(TraceError, match=f"{pipe}: is empty"),
    ):
        convert(pipe, tmp_path / "t.arrow")
