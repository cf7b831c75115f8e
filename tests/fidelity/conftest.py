"""Recordings of a real kernel, converted once for all tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fidelity.page.lab import Lab
from support.recordings import packed_names


@pytest.fixture(scope="session")
def lab(
    recording: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Lab:
    """The recordings of 6.1 and those of ``traces/``: ``lab["seed-unlimited"]``."""
    folders = [recording(name) for name in packed_names("6.1")]
    return Lab(folders[0].parent, tmp_path_factory.mktemp("converted"))
