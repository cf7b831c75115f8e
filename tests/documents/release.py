"""What must hold of ``dist`` before it is published; ``make release-check`` asks last.

One sdist and one wheel of this version, no source in the wheel that only a build needs,
and a heading of the release in CHANGELOG.
"""

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from replay.common.version import VERSION

TOP = Path(__file__).parents[2]
#: Needed to build, or made by it.
NOT_IN_A_WHEEL = (".pyx", ".pxd", ".c", ".h", ".html", ".toml")
IN_A_WHEEL = (
    *("replay/py.typed", "share/man/man1/replay-run.1", "licenses/LICENSE"),
    "sboms/cgroup-replay.cdx.json",
)


def wrong(dist: Path, version: str = VERSION, top: Path = TOP) -> Iterator[str]:
    """Yield a line for each thing that is wrong."""
    wheels = [*dist.glob("*.whl")]
    sdists = [*dist.glob("*.tar.gz")]
    if len(wheels) != 1 or len(sdists) != 1:
        yield f"{dist}: {len(wheels)} wheels and {len(sdists)} sdists, need one each"
        return
    for path in (*wheels, *sdists):
        if f"-{version}" not in path.name:
            yield f"{path.name}: is not of version {version}"
    with zipfile.ZipFile(wheels[0]) as wheel:
        names = wheel.namelist()
        yield from (f"{name}: in the wheel" for name in names if _not_wanted(name))
        for wanted in IN_A_WHEEL:
            if not any(name.endswith(wanted) for name in names):
                yield f"{wanted}: not in the wheel"
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        told = email.message_from_bytes(wheel.read(metadata))
        if told["Version"] != version:
            yield f"METADATA: version {told['Version']}"
    with tarfile.open(sdists[0]) as sdist:
        if not any(name.endswith(".pyx") for name in sdist.getnames()):
            yield f"{sdists[0].name}: holds nothing to compile"
    changes = (top / "CHANGELOG.md").read_text("utf-8")
    left = [path.name for path in (top / "changes").glob("*.*.md")]
    if left:
        yield f"changes: {', '.join(sorted(left))}: make news VERSION={version}"
    if not re.search(
        rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", changes, re.M
    ):
        yield f"CHANGELOG.md: no heading '## {version} (YYYY-MM-DD)'"


def _not_wanted(name: str) -> bool:
    return name.endswith(NOT_IN_A_WHEEL)


def main() -> None:
    """Say what is wrong; the exit code is 1 if anything is."""
    found = [*wrong(TOP / "dist")]
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=TOP, capture_output=True, text=True
    ).stdout
    if changed:
        found.append(f"not committed: {', '.join(changed.split()[1::2])}")
    for line in found:
        print(line, file=sys.stderr)
    if found:
        sys.exit(1)
    print(f"replay {VERSION} may be published: dist/*, and a tag v{VERSION}")


if __name__ == "__main__":
    main()
