"""What a case is, and what it is given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Final

from benchmarks.measure import Result
from benchmarks.shape import Shape, requests_for
from benchmarks.traces import records_of, rows_of

#: Events of the recordings that are brought to tables, whatever --events says: a trace
#: of a few minutes of a busy disk has 10 to 100 million.
SIZES: Final = (4_000_000, 10_000_000, 40_000_000)
#: Beyond it a repeat takes minutes: fewer of them.
LARGE: Final = 10_000_000
FEW: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """How much is to be measured, and where.

    Attributes
    ----------
    root : Path
        Generated traces are kept here.
    scratch : Path
        Empty; for what the cases write.
    events : int
        Records of a recording.
    requests : int
        Requests of a trace for the engine.
    repeats : int
    """

    root: Path
    scratch: Path
    events: int
    requests: int
    repeats: int

    def recording(
        self,
        *,
        cgroups: int = 100,
        tagged: bool = True,
        events: int | None = None,
        pages: int = 1 << 24,
    ) -> tuple[Path, int]:
        """Return the directory of a generated recording, and its events."""
        wanted = requests_for(self.events if events is None else events)
        shape = Shape(requests=wanted, cgroups=cgroups, tagged=tagged, pages=pages)
        return records_of(self.root, shape)

    def repeats_of(self, events: int) -> int:
        """Return how often a command is measured on so many events."""
        return self.repeats if events <= LARGE else min(self.repeats, FEW)

    def rows(self, shape: Shape) -> Path:
        """Return the trace file of a shape."""
        return rows_of(self.root, shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that is measured.

    Attributes
    ----------
    name : str
        Of words joined by dots; the first is the group's.
    run : callable
        Measures it.
    needs : tuple of str
        Programs that must be installed; without them the case is left out.
    slow : bool
        Left out of a quick run.
    huge : bool
        Takes gigabytes of disk and minutes: runs with --huge alone.
    """

    name: str
    run: Callable[[str, Bench], Result]
    needs: tuple[str, ...] = ()
    slow: bool = False
    huge: bool = False

    @property
    def missing(self) -> list[str]:
        """Programs that are not installed."""
        return [program for program in self.needs if which(program) is None]
