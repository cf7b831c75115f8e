"""The wheel, built from the sdist and installed alone, gives the ``replay`` command."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from documents.pages import blocks, run_commands

pytestmark = pytest.mark.slow

TOP = Path(__file__).parents[2]


def call(*command: str | Path, cwd: Path) -> str:
    """Run a command outside the checkout, without its modules on the path."""
    outside = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=cwd, env=outside, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that ``REPLAY_WHEEL`` names, else one built from a new sdist."""
    if named := os.environ.get("REPLAY_WHEEL"):
        return Path(named)
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--outdir", folder, TOP, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def replay(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of a new environment that holds the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    # nothing may be compiled: who installs it has no compiler
    call(
        *(python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", wheel),
        cwd=folder,
    )
    return folder / "bin" / "replay"


@pytest.fixture(scope="module")
def capture() -> Path:
    """A recording that comes with the project."""
    sets = sorted((TOP / "traces").glob("*/*.blktrace.0"))
    if not sets:
        pytest.skip("traces/ is empty")
    return sets[0].parent


def test_the_wheel_holds_modules_and_stubs_but_no_sources(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    sources = sorted((TOP / "src").rglob("*.pyx"))
    assert "replay/py.typed" in names
    assert not [name for name in names if name.endswith((".c", ".pyx", ".html"))]
    for source in sources:
        module = str(source.relative_to(TOP / "src").with_suffix(""))
        assert f"{module}.pyi" in names
        built = [n for n in names if n.startswith(f"{module}.") and n.endswith(".so")]
        assert len(built) == 1


def test_bill_of_materials_says_that_nothing_is_bundled(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        (name,) = (n for n in file.namelist() if n.endswith(".cdx.json"))
        bill = json.loads(file.read(name))
        libraries = [n for n in file.namelist() if ".so" in n and "replay/" not in n]
    assert ".dist-info/sboms/" in name
    assert bill["metadata"]["component"]["name"] == "cgroup-replay"
    assert bill["metadata"]["component"]["version"] in wheel.name
    assert bill["components"] == libraries == []


def test_the_command_tells_its_version(replay: Path, tmp_path: Path) -> None:
    version = call(replay, "--version", cwd=tmp_path)
    assert version.startswith("replay, version ")
    python = replay.with_name("python")
    code = "import importlib.metadata as m; print(m.version('cgroup-replay'))"
    assert version.split()[-1] == call(python, "-c", code, cwd=tmp_path).strip()


def test_a_recording_is_converted_and_shown(
    replay: Path, capture: Path, tmp_path: Path
) -> None:
    # WHEN a recording is converted
    call(replay, "convert", capture, "-o", "t.arrow", cwd=tmp_path)
    # THEN the trace file says the same as the recording itself
    stored = json.loads(call(replay, "info", "t.arrow", "--json", cwd=tmp_path))
    direct = json.loads(call(replay, "info", capture, "--json", cwd=tmp_path))
    assert stored.pop("path") == "t.arrow"
    assert direct.pop("path") == str(capture)
    assert stored == direct
    assert stored["requests"] > 0


def test_a_recording_is_replayed(replay: Path, capture: Path, tmp_path: Path) -> None:
    scenario = capture.with_name(f"{capture.name}.toml")
    page = call(replay, "run", capture, "-s", scenario, "-o", "out", cwd=tmp_path)
    assert "Latency of their requests" in page
    stored = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"charges.parquet", "latency.parquet", "run.json"} <= stored


def test_examples_of_the_readme(replay: Path, tmp_path: Path) -> None:
    # GIVEN what a user has who installed the wheel: the command, and a trace
    (tmp_path / "traces").symlink_to(TOP / "traces")
    outside = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    outside["PATH"] = f"{replay.parent}:/usr/bin:/bin"
    shown = [one for one in blocks(TOP / "README.md") if one.language == "console"]
    assert shown
    # THEN it prints what the README shows
    for block in shown:
        run_commands(block, tmp_path, outside)
