"""Fixtures for every test, and how many may be skipped.

`recording` gives a real kernel's recording by its name, also on a plain clone:
``recording("7.3/trim")``, ``recording("seed-unlimited")`` (of 6.1).

With REPLAY_MAX_SKIPS=N a run fails in which more than N tests are skipped.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, settings

from support import recordings
from support.skips import pytest_configure as pytest_configure

# in the background of a shell, and behind nohup, signals are ignored; what tests start
# would ignore them too, and go on for ever
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)

TOP = Path(__file__).parents[1]

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=40,
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
# for `make mutants`: the same examples each time, and none made smaller
settings.register_profile(
    "mutants",
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
# builds with checks in them take many times as long for an example
settings.register_profile(
    "checked",
    max_examples=12,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
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


def _shared() -> Path | None:
    path = Path(os.environ.get("REPLAY_SHARED", TOP.parent / "shared"))
    return path if (path / "ground-truth").is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data shared beside the checkout; where it is absent the test is skipped."""
    path = _shared()
    if path is None:
        pytest.skip("no data beside the checkout (REPLAY_SHARED names another place)")
    return path


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a real kernel's recording: ``recording("7.3/trim")``.

    It holds traces, ``ids``, ``kernel`` and counters in ``begin/`` and ``end/``;
    `support.recordings` says which there are. One of the shared data, else unpacked
    from ``traces/packed``, once for all workers.
    """
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent

    def find(name: str) -> Path:
        found = recordings.find(name, _shared(), place / "recordings")
        if found is None:
            pytest.skip(f"{name}: a recording that is not packed (REPLAY_SHARED)")
        return found

    return find


@pytest.fixture(scope="session")
def ground_truth(recording: Callable[[str], Path]) -> Callable[[str], Path]:
    """As `recording`."""
    return recording


@pytest.fixture(scope="session")
def public_trace(shared: Path) -> Callable[[str], Path]:
    """A trace of others: ``public_trace("ricarkol_tracing/mail.replay.0")``.

    They have no licence that would let them be kept here. A per-CPU set goes by its
    base name, of which no file is.
    """

    def find(name: str) -> Path:
        path = shared / "public-traces" / name
        if not path.exists() and not list(path.parent.glob(path.name + ".*")):
            pytest.skip(f"{path} is absent")
        return path

    return find


@pytest.fixture
def runner() -> CliRunner:
    """Runs commands through the main group."""
    return CliRunner()
