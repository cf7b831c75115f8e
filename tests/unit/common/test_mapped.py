"""A file that is cut short while it is mapped is no end of the process."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

import replay
from replay.common._mapped import Watched
from replay.common.errors import TraceError
from replay.trace.inputs.find import MappedFile, map_file

PAGE = mmap.PAGESIZE


def test_what_is_gone_reads_as_zeros_and_is_told(tmp_path: Path) -> None:
    # GIVEN a mapped file of three pages
    path = tmp_path / "file"
    path.write_bytes(b"\x01" * 3 * PAGE)
    data = map_file(path)
    assert isinstance(data, MappedFile)
    assert data.is_whole
    # WHEN it is cut in the middle of the second
    os.truncate(path, PAGE + 10)
    assert data[PAGE + 9] == 1
    # THEN the rest of that page is zeros, and so are the pages that are gone
    assert data[2 * PAGE] == 0
    assert data[3 * PAGE - 1] == 0
    assert data[0] == 1
    assert data.watched.cut
    assert not data.is_whole


def test_memory_that_is_not_watched_ends_the_process(tmp_path: Path) -> None:
    # as without the handler, whoever else maps files finds the same
    code = (
        "import mmap, os, sys\n"
        "from replay.trace.inputs.find import map_file\n"
        "from pathlib import Path\n"
        "path = Path(sys.argv[1]); path.write_bytes(b'1' * 8192)\n"
        "kept = map_file(path)\n"
        "other = mmap.mmap(os.open(path, os.O_RDONLY), 0, access=mmap.ACCESS_READ)\n"
        "os.truncate(path, 0)\n"
        "other[5000]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")],
        check=False,
        capture_output=True,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(replay.__file__).parents[1]),
            "PYTHONFAULTHANDLER": "",
        },
    )
    assert done.returncode == -7, done


def test_many_may_be_watched_and_let_go(tmp_path: Path) -> None:
    data = bytes(PAGE)
    held = [Watched(data) for _ in range(5000)]
    assert not any(one.cut for one in held)
    for one in held:
        one.close()
    assert not Watched(b"").cut


def test_a_trace_file_that_is_cut_is_refused(tmp_path: Path, top: Path) -> None:
    # GIVEN an opened trace file
    path = tmp_path / "t.arrow"
    replay.convert(top / "traces" / "seed-unlimited", path).close()

    def cut() -> None:
        os.truncate(path, PAGE)

    def touch() -> None:
        os.utime(path, (1, 1))

    for change in (cut, touch):
        with replay.open_trace(path) as trace:
            # WHEN it is cut, or written, before its rows are read
            change()
            # THEN its rows are not taken for the trace's
            with pytest.raises(TraceError, match=r"t\.arrow: (was changed|is damaged)"):
                list(trace.batches())
        replay.convert(top / "traces" / "seed-unlimited", path, overwrite=True).close()
