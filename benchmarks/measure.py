"""Time and memory of one thing, measured."""

import compileall
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import replay as replay_package

#: How often the memory of a command is looked at, s.
SAMPLE_S: Final = 0.005


class Spent(NamedTuple):
    """Time by the clock, and of the processors (commands that were run included), s."""

    clock: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one case came to.

    Attributes
    ----------
    case : str
        Name; up to the first dot the group's.
    what : str
        What was measured, in words.
    unit : str
        What is counted: ``event``, ``request``, ``call``.
    count : int
        How many of them one repeat had.
    spent : Spent
        One entry a repeat.
    peer : str
        Case that it is compared with; empty if none.
    bytes_peak : int
        Largest anonymous memory, bytes; 0 if not measured.
    """

    case: str
    what: str
    unit: str
    count: int
    spent: tuple[Spent, ...]
    peer: str = ""
    bytes_peak: int = 0

    @property
    def median(self) -> float:
        """Median of the repeats, s."""
        return statistics.median(spent.clock for spent in self.spent)

    @property
    def least(self) -> float:
        """Fastest repeat, s."""
        return min(spent.clock for spent in self.spent)

    @property
    def cpu(self) -> float:
        """Least time of the processors, s: hardly grows when others use them too."""
        return min(spent.cpu for spent in self.spent)

    def ns(self, seconds: float) -> float:
        """Return nanoseconds a unit."""
        return seconds * 1e9 / self.count


def repeat(
    work: Callable[[], object],
    repeats: int,
    *,
    before: Callable[[], object] | None = None,
) -> tuple[Spent, ...]:
    """Time a call several times.

    Parameters
    ----------
    work : callable
        What it returns is dropped after the clock has stopped.
    repeats : int
    before : callable or None
        Called ahead of each repeat, outside the time.

    Returns
    -------
    tuple of Spent
    """
    spent = []
    for _ in range(repeats):
        if before is not None:
            before()
        started, cpu = time.perf_counter(), _cpu()
        kept = work()
        spent.append(Spent(time.perf_counter() - started, _cpu() - cpu))
        del kept
    return tuple(spent)


def _cpu() -> float:
    """Return the processors' time of this process and of those it has waited for, s."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def python(*arguments: str | Path) -> list[str]:
    """Return a command of this interpreter."""
    return [sys.executable, *map(str, arguments)]


def replay(*arguments: str | Path) -> list[str]:
    """Return a `replay` command of this installation."""
    return python("-c", "from replay.cli.main import main; main()", *arguments)


def compile_modules() -> None:
    """Compile replay's modules, as an installed package's are.

    Else each command does, where nobody may write beside the sources
    (``PYTHONDONTWRITEBYTECODE``): 0.1 s of every measured run.
    """
    compileall.compile_dir(Path(replay_package.__file__).parent, quiet=1)


def run(command: Sequence[str | Path], *, directory: Path | None = None) -> None:
    """Run a command; what it prints is dropped, unless it fails.

    Parameters
    ----------
    command : sequence of str or Path
    directory : Path or None
        Where it runs.

    Raises
    ------
    RuntimeError
        It failed.
    """
    done = subprocess.run(
        list(map(str, command)),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        text = done.stderr.decode(errors="replace").strip()
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {text[-500:]}")


def peak_of(command: Sequence[str | Path], *, below: bool = False) -> tuple[Spent, int]:
    """Run a command and watch its anonymous memory.

    Parameters
    ----------
    command : sequence of str or Path
    below : bool
        Watch the processes that it starts too, and count them all.

    Returns
    -------
    tuple of (Spent, int)
        And the largest ``RssAnon`` seen, bytes: mapped files do not count,
        they are given back whenever the memory is wanted.

    Raises
    ------
    RuntimeError
        It failed.
    """
    started, cpu = time.perf_counter(), _cpu()
    with subprocess.Popen(
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        peak = 0
        while process.poll() is None:
            watched = [process.pid, *(_children(process.pid) if below else ())]
            peak = max(peak, sum(map(_anonymous_bytes, watched)))
            time.sleep(SAMPLE_S)
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return Spent(time.perf_counter() - started, _cpu() - cpu), peak


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def _anonymous_bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def drop_cache(paths: Sequence[Path]) -> None:
    """Write files to the disk and let the kernel forget what it holds of them."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
