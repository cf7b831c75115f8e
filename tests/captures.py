"""Recordings made by hand, as files that blktrace would leave."""

from pathlib import Path

from trace_builder import Event, cpu_files


def writes(count: int, *, start_ns: int = 1000, cgroup: int = 23) -> bytes:
    """Make the events of 4 KiB writes one after another, 0.9 µs from Q to C each."""
    events = [
        Event(
            letter,
            start_ns + 2000 * number + 300 * step,
            sector=8 * number,
            cgroup=0 if letter == "C" else cgroup,
        )
        for number in range(count)
        for step, letter in enumerate("QGDC")
    ]
    return b"".join(cpu_files(events))


def write_set(directory: Path, name: str, **cpus: bytes) -> None:
    """Write per-CPU files: ``write_set(d, "loop0", cpu0=…, cpu2=…)``."""
    for cpu, data in cpus.items():
        number = cpu.removeprefix("cpu")
        (directory / f"{name}.blktrace.{number}").write_bytes(data)
