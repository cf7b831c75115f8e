"""Recordings of a real kernel: which there are, where they lie, and how to get at one.

A name is a kernel's series and a scenario of the lab: ``7.3/trim``; without a series it
is of 6.1. Each is a folder of traces with ``ids``, ``kernel`` and the counters of its
cgroups in ``begin/`` and ``end/``. They lie unpacked where REPLAY_SHARED says, those
that tests use packed in ``traces/packed``, so that a plain clone has them.
"""

import fcntl
import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

TOP = Path(__file__).parents[2]
TRACES = TOP / "traces"
PACKED = TRACES / "packed"
SUFFIX = ".tar.zst"
#: A memory.high sleep or an io.max lies inside the recorded times.
SLEPT = ("direct-iomax", "high-alone", "tmpfs-high")
#: All others, whether kept in ``traces/`` or not.
STEADY = (
    *("buffered-limit", "buffered-two", "direct-iocost", "direct-iocost-base"),
    *("direct-two", "direct-unlimited", "fs-on-loop", "high-unlimited"),
    *("nested-unlimited", "seed-oom", "seed-oom-direct", "seed-swap"),
    *("seed-unlimited", "tmpfs-enospc", "tmpfs-nested", "tmpfs-rewrite"),
    *("workers-many", "workers-per-cgroup", "workers-root"),
)


def full_name(name: str) -> str:
    """Return a recording's name with its series."""
    return name if "/" in name else f"6.1/{name}"


def packed_names(series: str = "*") -> list[str]:
    """Return the names of what is packed here."""
    found = PACKED.glob(f"{series}/*{SUFFIX}")
    return sorted(f"{path.parent.name}/{path.name[: -len(SUFFIX)]}" for path in found)


def find(name: str, shared: Path | None, place: Path) -> Path | None:
    """Find a recording's folder.

    Parameters
    ----------
    name : str
    shared : Path or None
        Holds ``ground-truth``, if it is there.
    place : Path
        Where packed ones are unpacked, once for all processes that name it.

    Returns
    -------
    Path or None
        None if there is none of this name.
    """
    name = full_name(name)
    if shared is not None and (shared / "ground-truth" / name / "ids").is_file():
        return shared / "ground-truth" / name
    archives = [PACKED / f"{name}{SUFFIX}"]
    if shared is not None:
        archives.append(shared / f"{name}{SUFFIX}")
    return next((unpacked(name, place, one) for one in archives if one.is_file()), None)


def real_disk_names() -> list[str]:
    """Return the names of the recordings of a real disk, packed here and shared."""
    folders = [PACKED / "real-disk"]
    if "REPLAY_SHARED" in os.environ:
        folders.append(Path(os.environ["REPLAY_SHARED"]) / "real-disk")
    names = {
        path.name[: -len(SUFFIX)]
        for folder in folders
        for path in folder.glob(f"*{SUFFIX}")
    }
    return [f"real-disk/{name}" for name in sorted(names)]


def unpacked(name: str, place: Path, archive: Path | None = None) -> Path:
    """Unpack a recording, unless another process did; by default one packed here."""
    folder = place / full_name(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            half = place / "half"
            shutil.rmtree(half, ignore_errors=True)
            archive = archive or PACKED / f"{full_name(name)}{SUFFIX}"
            with (
                pa.CompressedInputStream(pa.OSFile(os.fspath(archive)), "zstd") as raw,
                tarfile.open(fileobj=raw, mode="r|") as tar,
            ):
                # Python of before 3.11.4 knows no filters
                filters = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                tar.extractall(half, **filters)  # type: ignore[arg-type]
            (half / folder.name).rename(folder)
            shutil.rmtree(half)
    return folder


def ratios(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each value differs, as a part of the second."""
    assert a.keys() == b.keys()
    return {name: a[name] / b[name] - 1 for name in a}
