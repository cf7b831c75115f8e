"""A cgroup's counters as they were saved at an end of a recording."""

from collections.abc import Callable
from pathlib import Path

import pytest

import replay
from fidelity.page.recording import SavedCapture
from replay.common.errors import CaptureError
from replay.verify.counters import read_cgroup, read_counters


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_each_file_is_read_by_its_name(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "a",
        memory__current="4096\n",
        memory__stat="anon 0\nshmem 8192\n",
        memory__events="low 0\noom_kill 1\n",
        io__stat="7:1 \n7:0 rbytes=0 wbytes=512 cost.usage=7 cost.vrate=100.00\n",
        cgroup__procs="17\n",
    )
    # THEN a device without I/O, a rate, and what is no counter are left out
    assert read_cgroup(folder) == {
        "memory.current": 4096,
        "memory.stat": {"anon": 0, "shmem": 8192},
        "memory.events": {"low": 0, "oom_kill": 1},
        "io.stat": {"7:0": {"rbytes": 0, "wbytes": 512, "cost.usage": 7}},
    }


def test_a_cgroup_that_was_not_there_has_no_counters(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("1 /\n23 /p/a\n59 /gone\n")
    write(tmp_path / "end" / "root", memory__stat="file 3\n")
    write(tmp_path / "end" / "p__a", memory__current="1\n")
    assert read_counters(tmp_path / "end") == {
        "/": {"memory.stat": {"file": 3}},
        "/p/a": {"memory.current": 1},
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("memory__current", "max\n"),
        ("memory__stat", "anon\n"),
        ("memory__events", "oom many\n"),
        ("io__stat", "7:0 wbytes\n"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(
    tmp_path: Path, name: str, text: str
) -> None:
    folder = write(tmp_path / "a", **{name: text})
    with pytest.raises(CaptureError) as refusal:
        read_cgroup(folder)
    path = folder / name.replace("__", ".")
    assert str(refusal.value).startswith(f"{path}: holds no counters: ")
    assert "\n" not in str(refusal.value)


def test_a_directory_without_ids_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"ids: names no cgroup"):
        read_counters(tmp_path / "end")


def test_a_recording_has_counters_of_both_ends_and_times(
    recording: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = recording("seed-unlimited")
    trace = replay.convert([folder], tmp_path / "t.arrow")
    taken = SavedCapture("seed", folder, trace)
    before, after = taken.begin(), taken.kernel()
    assert [*before] == [*after] == ["/", "/test.slice"]
    assert before["/test.slice"]["memory.stat"]["shmem"] == 0
    # what dd wrote, and a page of a file of its own
    assert after["/test.slice"]["memory.stat"]["shmem"] == 268_435_456 + 4096
    times = taken.times_ns("/test.slice")
    assert len(times)
    assert (times > 0).all()
    assert taken.span_ns("/test.slice") > times.max()
    with pytest.raises(CaptureError, match="its trace has no request of /nobody"):
        taken.id_of("/nobody")
