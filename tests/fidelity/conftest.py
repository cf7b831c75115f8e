"""Recordings of a real kernel, converted once for all tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

import replay
from benchmarks.fidelity.recordings import TRACES, Recording


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Recording]:
    """Convert a recording, the first time that it is asked for."""
    done: dict[Path, Recording] = {}
    place = tmp_path_factory.mktemp("converted")

    def convert(folder: Path) -> Recording:
        if folder not in done:
            trace = replay.convert([folder], place / f"{folder.name}.arrow")
            done[folder] = Recording(folder.name, folder, trace)
        return done[folder]

    return convert


@pytest.fixture
def recording(
    request: pytest.FixtureRequest, converted: Callable[[Path], Recording]
) -> Callable[[str], Recording]:
    """A recording by its name: from ``traces/``, else from the shared ground truth."""

    def find(name: str) -> Recording:
        folder = TRACES / name
        if not folder.is_dir():
            folder = request.getfixturevalue("ground_truth")(name)
        return converted(folder)

    return find
