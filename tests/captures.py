"""Recordings made by hand, as blktrace would write them."""

import struct
from pathlib import Path

QUEUE, ISSUE, COMPLETE, GET = 1, 7, 8, 4
CATEGORY = {QUEUE: 1 << 4, GET: 1 << 4, ISSUE: 1 << 6, COMPLETE: 1 << 7}
FS, WRITE, CGROUP = 1 << 8, 1 << 1, 1 << 8
MAGIC = 0x65617407


def record(
    event: int,
    time_ns: int,
    sector: int,
    *,
    cpu: int = 0,
    seq: int = 0,
    cgroup: int = 0,
) -> bytes:
    """Make a v7 record of a 4 KiB write to 7:0 by pid 100."""
    action = event | (CATEGORY[event] | FS | WRITE) << 16
    payload = b""
    if cgroup:
        action |= CGROUP
        payload = struct.pack("<Q", cgroup)
    header = struct.pack(
        "<IIQQIIIIIHH",
        *(MAGIC, seq, time_ns, sector, 4096, action, 100, 7 << 20, 0, 0),
        len(payload),
    )
    return header + payload


def writes(count: int, *, start_ns: int = 1000, cgroup: int = 23) -> bytes:
    """Make the events of writes one after another, each 1 µs from Q to C."""
    events = []
    for number in range(count):
        time_ns = start_ns + 2000 * number
        for step, event in enumerate((QUEUE, GET, ISSUE, COMPLETE)):
            events.append(
                record(
                    event,
                    time_ns + 300 * step,
                    8 * number,
                    seq=4 * number + step + 1,
                    cgroup=0 if event == COMPLETE else cgroup,
                )
            )
    return b"".join(events)


def write_set(directory: Path, name: str, **cpus: bytes) -> None:
    """Write per-CPU files: ``write_set(d, "loop0", cpu0=…, cpu2=…)``."""
    for cpu, data in cpus.items():
        number = cpu.removeprefix("cpu")
        (directory / f"{name}.blktrace.{number}").write_bytes(data)
