"""What the machine was while it was recorded, as a file beside the trace."""

import os
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from replay.capture.live import Mount, mounts
from replay.capture.loops import read_loops
from replay.common.bounded import text_or_nothing
from replay.scenario.writing.toml import value_toml

#: Of ``/sys/block/DEV/queue``: what a disk's requests depend on.
_QUEUE: Final = (
    *("scheduler", "nr_requests", "rotational", "read_ahead_kb", "max_sectors_kb"),
    *("max_hw_sectors_kb", "max_segments", "write_cache", "fua", "wbt_lat_usec"),
    *("logical_block_size", "physical_block_size", "discard_granularity"),
    *("discard_max_bytes", "write_zeroes_max_bytes", "nomerges", "rq_affinity"),
    *("zoned", "iostats"),
)
#: Of ``/proc/sys/vm``: when dirty pages are written, and by whom.
_DIRTY: Final = (
    *("dirty_ratio", "dirty_bytes", "dirty_background_ratio"),
    *("dirty_background_bytes", "dirty_expire_centisecs", "dirty_writeback_centisecs"),
    *("vfs_cache_pressure", "swappiness", "min_free_kbytes"),
)
#: CLOCK_MONOTONIC_COARSE of Linux, which Python has no name for.
_COARSE_CLOCK: Final = 6
#: Of ``/sys/kernel/mm``.
_MEMORY: Final = (
    *("lru_gen/enabled", "lru_gen/min_ttl_ms"),
    *("transparent_hugepage/enabled", "transparent_hugepage/shmem_enabled"),
)


def machine_facts(devices: Sequence[Path], *, sys: Path, proc: Path) -> str:
    """Describe the machine, as TOML.

    Parameters
    ----------
    devices : sequence of Path
        Those that are recorded; disks below loop devices among them are added.
    sys, proc : Path
        Where sysfs and procfs are.

    Returns
    -------
    str
        What cannot be read is left out.
    """
    lines = [
        f"kernel = {value_toml(platform.release())}",
        f"hz = {ticks_per_second()}",
        f"cpus = {os.cpu_count() or 1}",
        f"memory = {_memory_bytes(proc)}",
    ]
    lines += _table("dirty", _values(proc / "sys" / "vm", _DIRTY))
    lines += _table("mm", _values(sys / "kernel" / "mm", _MEMORY))
    for name, place in _disks(devices, sys, proc).items():
        values: dict[str, str | None] = {
            name: text_or_nothing(place / name) for name in ("dev", "stat")
        }
        # a partition's queue is its disk's
        queue = place / "queue"
        if not queue.is_dir():
            queue = place.resolve().parent / "queue"
        lines += _table(f"disks.{value_toml(name)}", values | _values(queue, _QUEUE))
    for loop in read_loops(devices, sys, proc):
        place = sys / "block" / loop.name / "loop"
        lines += _table(
            f"loops.{value_toml(loop.name)}",
            {
                "file": loop.file,
                "direct_io": "1" if loop.direct_io else "0",
                "filesystem": loop.filesystem,
                "device": loop.device,
                "size": None if loop.size is None else str(loop.size),
                "offset": text_or_nothing(place / "offset"),
                "sizelimit": text_or_nothing(place / "sizelimit"),
            },
        )
    # of mounts on one point the last hides the others
    tmpfs = {str(one.point): one for one in mounts(proc) if one.type == "tmpfs"}
    for point, mount in tmpfs.items():
        lines += _table(f"tmpfs.{value_toml(point)}", _options_of(mount))
    return "\n".join(lines) + "\n"


def ticks_per_second() -> int:
    """Return the kernel's CONFIG_HZ: its coarse clock goes on once a tick."""
    return round(1 / time.clock_getres(_COARSE_CLOCK))


def _disks(devices: Sequence[Path], sys: Path, proc: Path) -> dict[str, Path]:
    """Return name and directory of the recorded disks and those below them."""
    found = {device.name: sys / "class" / "block" / device.name for device in devices}
    for loop in read_loops(devices, sys, proc):
        if loop.device is not None:
            place = (sys / "dev" / "block" / loop.device).resolve()
            found.setdefault(place.name, place)
    return found


def _options_of(mount: Mount) -> dict[str, str | None]:
    """Return a mount's options: ``size=64k`` by its key, ``rw`` as 1."""
    pairs = (word.partition("=") for word in mount.options.split(",") if word)
    return {key: value or "1" for key, _, value in pairs}


def _memory_bytes(proc: Path) -> int:
    for line in text_or_nothing(proc / "meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _values(place: Path, names: Sequence[str]) -> dict[str, str | None]:
    return {name: text_or_nothing(place / name) for name in names}


def _table(name: str, values: dict[str, str | None]) -> Iterator[str]:
    """Write a table of what is known; nothing if nothing is."""
    known = {key: value for key, value in values.items() if value}
    if known:
        yield from ("", f"[{name}]")
        for key, value in known.items():
            shown = value if _is_number(value) else value_toml(value)
            yield f"{value_toml(key)} = {shown}"


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 19 and str(int(text)) == text
