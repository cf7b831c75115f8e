"""What is kept in ``traces/``: complete, small, and what the kernel recorded."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import replay
from replay.scenario.keys.load import Scenario
from support.recordings import PACKED, SUFFIX, TRACES, full_name, packed_names, unpacked

NAMES = sorted(path.stem for path in TRACES.glob("*.toml"))


def size_of(folder: Path) -> int:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files if path.suffix != ".pyc")


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_folder_is_smaller_than_4_mb_and_what_is_packed_than_10() -> None:
    packed = size_of(PACKED)
    assert size_of(TRACES) - packed < 4_000_000
    assert packed < 10_000_000


def test_packed_recordings_are_the_shared_ones(shared: Path, tmp_path: Path) -> None:
    for name in packed_names():
        # GIVEN a recording as it was made
        if name.startswith("real-disk/"):
            archive = shared / f"{name}{SUFFIX}"
            made = unpacked(name, tmp_path / "made", archive)
            kept = unpacked(name, tmp_path)
            # THEN it is the same here, with the kernel's name beside it
            assert files_of(kept) == files_of(made) | {"kernel": b"6.18.44-fc-v669\n"}
            continue
        made = shared / "ground-truth" / name
        # WHEN it is unpacked
        kept = unpacked(name, tmp_path)
        # THEN its traces and all counters are there, and nothing is changed
        files = [path for path in kept.rglob("*") if path.is_file()]
        for path in files:
            assert path.read_bytes() == (made / path.relative_to(kept)).read_bytes()
        for pattern in ("loop*.blktrace.[0-9]*", "ids", "kernel", "*/*/*"):
            n_made = len(list(made.glob(pattern)))
            assert len(list(kept.glob(pattern))) == n_made, (name, pattern)
        # of the disk below all is there, or where that is large nothing
        n_below = len(list(kept.glob("vd*.blktrace.[0-9]*")))
        assert n_below in (0, len(list(made.glob("vd*.blktrace.[0-9]*")))), name


def test_packed_recording_is_read_as_it_is(tmp_path: Path) -> None:
    with replay.open_or_convert(PACKED / "7.3" / "trim.tar.zst") as trace:
        assert trace.table().num_rows
        paths = {one.path for one in trace.metadata.summary.cgroups}
    assert {"/w", "/z"} <= paths


def test_every_recording_has_a_scenario_and_every_scenario_a_recording() -> None:
    folders = {path.parent.name for path in TRACES.glob("*/expected.json")}
    assert folders == {*NAMES}
    assert len(NAMES) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_recording_is_complete(name: str) -> None:
    files = sorted(path.name for path in (TRACES / name).iterdir())
    devices = ["loop0", "loop1"] if name == "loop-on-loop" else ["loop0"]
    traces = [f"{device}.blktrace.{cpu}" for device in devices for cpu in (0, 1)]
    assert files == ["expected.json", "ids", *traces]


@pytest.mark.parametrize("name", NAMES)
def test_scenario_asks_a_question_and_is_valid(name: str) -> None:
    text = (TRACES / f"{name}.toml").read_text()
    question = re.match(r"((?:#.*\n)+)\[", text)
    assert question is not None
    assert "?" in question[1]
    Scenario.load(TRACES / f"{name}.toml")


@pytest.mark.parametrize("name", NAMES)
def test_readme_lists_the_recording_with_its_size(name: str) -> None:
    size = sum(path.stat().st_size for path in (TRACES / name).glob("*.blktrace.*"))
    (line,) = [
        line
        for line in (TRACES / "README.md").read_text().splitlines()
        if line.startswith(f"| `{name}` |")
    ]
    assert f"| {size:,} |" in line


@pytest.mark.parametrize(
    "name", [name for name in NAMES if full_name(name) in packed_names()]
)
def test_recording_and_counters_are_the_kernel_s(
    name: str, recording: Callable[[str], Path]
) -> None:
    folder = recording(name)
    for path in (TRACES / name).glob("loop*"):
        assert path.read_bytes() == (folder / path.name).read_bytes()
    script = [sys.executable, str(TRACES / "expected.py"), str(folder)]
    made = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    assert json.loads(made) == json.loads((TRACES / name / "expected.json").read_text())
