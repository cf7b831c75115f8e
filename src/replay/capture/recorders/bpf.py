"""Record by an installed bpftrace, where debugfs or the device may not be opened.

It prints the kernel's tracepoints as the tracer ``blk`` prints them, which `replay`
reads like any text of ftrace. The cgroup is that of whoever caused the event, which of
a request that waits in the queue's name is another one: only Q, G, M, F, A and X have
it, as a block trace's first event of a request decides whose it is.
"""

import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from replay.capture.machine import Machine
from replay.capture.recorders.program import Program
from replay.trace.file.per_cpu import EVENTS_FILE

LOG: Final = "bpftrace.log"
#: Pages of its buffer for each CPU, and the longest text that it prints.
_SETTINGS: Final = {"BPFTRACE_PERF_RB_PAGES": "4096", "BPFTRACE_STRLEN": "64"}
#: How long it may take to attach its probes, and to write out what it holds.
_PATIENCE_S: Final = 180.0
_STARTED: Final = "# tracer: blk"
#: What it cannot read where it knows the kernel's types from nowhere.
_TYPES: Final = "linux/types.h"
_LOST: Final = re.compile(rb"(?:WARNING: )?Lost (\d+) events")


class _Event(NamedTuple):
    """A tracepoint: its letter, whether whoever runs caused it, and what follows."""

    letter: str
    caused: bool
    form: str
    arguments: str


_SIZE: Final = ("%llu + %u [%s]", "args->sector, args->nr_sector, comm")
_EVENTS: Final = {
    "block_bio_queue": _Event("Q", True, *_SIZE),
    "block_bio_backmerge": _Event("M", True, *_SIZE),
    "block_bio_frontmerge": _Event("F", True, *_SIZE),
    "block_getrq": _Event("G", True, *_SIZE),
    "block_rq_insert": _Event("I", False, *_SIZE),
    "block_rq_issue": _Event("D", False, *_SIZE),
    "block_rq_requeue": _Event(
        "R", False, "%llu + %u [0]", "args->sector, args->nr_sector"
    ),
    "block_rq_complete": _Event(
        "C", False, "%llu + %u [%d]", "args->sector, args->nr_sector, args->error"
    ),
    "block_split": _Event(
        "X", True, "%llu / %llu [%s]", "args->sector, args->new_sector, comm"
    ),
    "block_bio_remap": _Event(
        "A",
        True,
        "%llu + %u <- (%d,%d) %llu",
        "args->sector, args->nr_sector, args->old_dev >> 20, "
        "args->old_dev & 0xfffff, args->old_sector",
    ),
}


class Traced(NamedTuple):
    """A device to record, as tracepoints know it.

    They know disks alone. A partition is the sectors from ``first`` to ``end`` of its
    disk, as in a block trace of it: sectors count from the disk's begin, and what has
    none (0, of a flush) may be anybody's.

    ``device`` is its own number, ``disk`` its disk's: ``major << 20 | minor``.
    """

    device: int
    disk: int
    first: int = 0
    end: int = 0

    @property
    def filter(self) -> str:
        """What is asked of an event."""
        ours = f"args->dev == {self.disk}"
        if self.end:
            ours += (
                " && (args->sector == 0 || "
                f"(args->sector >= {self.first} && args->sector < {self.end}))"
            )
        return ours


def traced(device: Path, machine: Machine) -> Traced:
    """Find the disk of a device, and the part of it that it is.

    Parameters
    ----------
    device : Path
    machine : Machine

    Returns
    -------
    Traced
    """
    number = machine.number(device)
    place = (machine.sys / "class" / "block" / device.name).resolve()
    try:
        first, size = (int((place / name).read_text()) for name in ("start", "size"))
        major, minor = map(int, (place.parent / "dev").read_text().split(":"))
    except (OSError, ValueError):
        # no partition has no start
        return Traced(number, number)
    return Traced(number, major << 20 | minor, first, first + size)


def program_text(devices: Sequence[Traced]) -> str:
    """Write the program for bpftrace.

    Parameters
    ----------
    devices : sequence of Traced

    Returns
    -------
    str
    """
    # a line that readers of ftrace's text know it by
    lines = [f'BEGIN {{ printf("{_STARTED}\\n"); }}']
    for name, (letter, caused, form, arguments) in _EVENTS.items():
        cgroup = ("%llx,%llx ", "cgroup & 0xffffffff, cgroup >> 32, ")
        cgroup_form, cgroup_arguments = cgroup if caused else ("", "")
        for one in devices:
            device = f"{one.device >> 20},{one.device & 0xFFFFF}"
            lines.append(
                f"tracepoint:block:{name} /{one.filter}/ {{ "
                f'printf("%s-%d [%03d] ..... %llu.%09llu: {device} {cgroup_form}'
                f'{letter} %s {form}\\n", comm, tid, cpu, nsecs / 1000000000, '
                f"nsecs % 1000000000, {cgroup_arguments}args->rwbs, {arguments}); }}"
            )
    return "\n".join(lines) + "\n"


class BpfTrace(Program):
    """A running bpftrace.

    Parameters
    ----------
    machine : Machine
    devices : sequence of Path
    directory : Path
        Gets the events as text, and what bpftrace said.
    """

    def __init__(
        self, machine: Machine, devices: Sequence[Path], directory: Path
    ) -> None:
        self._events = directory / EVENTS_FILE
        program = machine.program(machine.bpftrace) or machine.bpftrace
        text = program_text([traced(device, machine) for device in devices])
        super().__init__(
            [program, "-q", "-B", "line", "-e", text],
            directory / LOG,
            prints=self._events,
            environment=_SETTINGS,
            patience_s=_PATIENCE_S,
        )

    def _records(self) -> bool:
        """Return True if it has attached its probes, and printed its first line."""
        return self._events.stat().st_size > 0

    def said(self) -> str:
        """Return the first line that it printed; of missing types what to do."""
        said = super().said()
        if _TYPES not in said:
            return said
        return (
            f"{said}: this kernel has no BTF, from which it would read its types: "
            f"install the headers (linux-headers-{platform.release()}), or record "
            "without --with bpf"
        )

    def dropped(self) -> int:
        """Return how many events it says were lost."""
        found = 0
        for path in (self._events, self._log):
            with path.open("rb") as file:
                for line in file:
                    if b"Lost " in line and (match := _LOST.match(line)):
                        found += int(match[1])
        return found
