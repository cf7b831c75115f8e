"""Names of the files of a per-CPU set, ``NAME.blktrace.0 … N``."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

#: What `replay record --with bpf` makes in place of such a set: events as text.
EVENTS_FILE: Final = "events.txt"
MAX_CPU: Final = (1 << 16) - 1
PER_CPU: Final = re.compile(
    r"(?P<name>.+)\.blktrace\.(?P<cpu>[0-9]+)(\.(gz|bz2|zst|xz))?", re.DOTALL
)


def is_per_cpu(path: Path) -> bool:
    """Return True if a path is named like one file of a per-CPU set."""
    return PER_CPU.fullmatch(path.name) is not None


def capture_name(path: Path) -> str:
    """Return the base name of a per-CPU file, else the path itself."""
    match = PER_CPU.fullmatch(str(path))
    return match["name"] if match else str(path)


def present_cpus(paths: Iterable[str | Path]) -> dict[str, list[int]]:
    """List the CPUs that sets have files of, as they are named.

    Parameters
    ----------
    paths : iterable of paths
        Trace files; those that are not named like a per-CPU set are left out.

    Returns
    -------
    dict
        Base name to CPU numbers, ascending.
    """
    sets: dict[str, set[int]] = {}
    for path in paths:
        if match := PER_CPU.fullmatch(str(path)):
            sets.setdefault(match["name"], set()).add(int(match["cpu"]))
    return {name: sorted(cpus) for name, cpus in sets.items()}


def missing_cpus(paths: Iterable[str | Path]) -> dict[str, list[int]]:
    """List the CPUs that a set has no file for, below its highest one.

    Parameters
    ----------
    paths : iterable of paths
        Trace files; those that are not named like a per-CPU set are left out.

    Returns
    -------
    dict
        Base name to CPU numbers, ascending; only sets with gaps.
    """
    gaps = {}
    for name, cpus in present_cpus(paths).items():
        highest = cpus[-1]
        # a suffix of nine digits is no reason to list as many numbers
        if highest <= MAX_CPU and (missing := set(range(highest)) - set(cpus)):
            gaps[name] = sorted(missing)
    return gaps
