"""What `make release-check` looks at: a wheel with what it should not have is found."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from documents.release import IN_A_WHEEL, wrong

VERSION = "0.9.9"
GOOD = {
    "replay/__init__.py": "",
    **dict.fromkeys(IN_A_WHEEL, ""),
    "cgroup_replay-0.9.9.dist-info/METADATA": f"Name: x\nVersion: {VERSION}\n",
}


def make(dist: Path, files: dict[str, str]) -> Path:
    dist.mkdir()
    wheel = dist / f"cgroup_replay-{VERSION}-cp311-cp311-linux_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as out:
        for name, text in files.items():
            out.writestr(name, text)
    sdist = dist / f"cgroup_replay-{VERSION}.tar.gz"
    with tarfile.open(sdist, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("x/src/a.pyx"), io.BytesIO())
    return dist


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"replay/engine/a.pxd": ""}, ["replay/engine/a.pxd: in the wheel"]),
        ({"replay/py.typed": None}, ["replay/py.typed: not in the wheel"]),
        (
            {"cgroup_replay-0.9.9.dist-info/METADATA": "Version: 0.1\n"},
            ["METADATA: version 0.1"],
        ),
    ],
)
def test_what_is_wrong_with_a_wheel(
    tmp_path: Path, change: dict[str, str | None], told: list[str]
) -> None:
    files = {name: text for name, text in (GOOD | change).items() if text is not None}
    (tmp_path / "CHANGELOG.md").write_text(f"## {VERSION} (2030-01-02)\n")
    assert [*wrong(make(tmp_path / "dist", files), VERSION, tmp_path)] == told


def test_release_that_says_nothing_of_itself(tmp_path: Path) -> None:
    # GIVEN news that did not come into CHANGELOG
    (tmp_path / "CHANGELOG.md").touch()
    (tmp_path / "changes").mkdir()
    for name in ("README.md", "a.traces.md"):
        (tmp_path / "changes" / name).touch()
    assert [*wrong(make(tmp_path / "dist", GOOD), VERSION, tmp_path)] == [
        f"changes: a.traces.md: make news VERSION={VERSION}",
        "CHANGELOG.md: no heading '## 0.9.9 (YYYY-MM-DD)'",
    ]
