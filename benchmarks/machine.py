"""On what the numbers were measured."""

import os
import platform
import subprocess
import sysconfig
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from replay.common.version import VERSION

LIBRARIES = ("numpy", "pyarrow", "click", "msgspec", "rich")
#: Others' simulators, which need not be there.
PEERS = ("duckdb", "libcachesim", "simpy")


def describe() -> dict[str, str]:
    """Describe the machine and the programs.

    Returns
    -------
    dict of str to str
        In the order in which it is shown.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    facts = {
        "CPU": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores",
        "caches": _caches(),
        "memory": f"{memory >> 30} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "compiler": _first_line(sysconfig.get_config_var("CC") or "cc", "--version"),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": _versions(LIBRARIES),
        "blktrace": _first_line("blkparse", "-V"),
        "fio": _first_line("fio", "--version"),
        "peers": _versions(PEERS),
        "replay": VERSION,
    }
    return {name: text for name, text in facts.items() if text}


def _versions(names: tuple[str, ...]) -> str:
    """Name those that are installed, with their versions."""
    found = []
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join(found)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _caches() -> str:
    """Name the first CPU's caches and their sizes."""
    found = []
    for path in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = (
                (path / name).read_text().strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(found)


def _first_line(program: str, option: str) -> str:
    try:
        done = subprocess.run(
            [*program.split(), option], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0].strip() if lines else ""
