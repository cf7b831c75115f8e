"""Fixtures for every test."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, settings

TOP = Path(__file__).parents[1]

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# for a night: HYPOTHESIS_PROFILE=deep make test
settings.register_profile(
    "deep",
    max_examples=3000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# builds with checks in them take many times as long for an example
settings.register_profile("checked", max_examples=25, deadline=None)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev")
)


@pytest.fixture(scope="session", autouse=True)
def no_columns() -> None:
    """Reports take their width from COLUMNS, which pytest's workers are given."""
    os.environ.pop("COLUMNS", None)


@pytest.fixture(scope="session")
def top() -> Path:
    """The checkout."""
    return TOP


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data shared beside the checkout; where it is absent the test is skipped."""
    path = Path(os.environ.get("REPLAY_SHARED", TOP.parent / "shared"))
    if not (path / "ground-truth").is_dir():
        pytest.skip(f"{path} has no ground-truth (REPLAY_SHARED names another place)")
    return path


@pytest.fixture(scope="session")
def ground_truth(shared: Path) -> Callable[[str], Path]:
    """A real kernel's recording by its name: ``ground_truth("seed-unlimited")``."""

    def find(name: str) -> Path:
        path = shared / "ground-truth" / "6.1" / name
        if not path.is_dir():
            pytest.skip(f"{path} is absent")
        return path

    return find


@pytest.fixture
def runner() -> CliRunner:
    """Runs commands through the main group."""
    return CliRunner()
