"""Stack distances of a page cache: what every limit would have read again."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.common.errors import ScenarioError
from replay.curves._stack import Stack
from replay.curves._walk import Walk
from replay.engine.columns import Columns
from replay.engine.setup import PAGE_BYTES
from replay.scenario.bind import Binding
from replay.trace.file.schema import OP_CODES

READ: Final = OP_CODES["read"]
WRITE: Final = OP_CODES["write"]
#: A page is told apart by 52 bits for its place in the file and 12 for the device.
MAX_DEVICES: Final = 1 << 12
FREES: Final = frozenset([OP_CODES["discard"], OP_CODES["write_zeroes"]])


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheCurve:
    """Of one cgroup's page cache, if it is given back in the order of its last use.

    Attributes
    ----------
    cgroup : str
    distances : ndarray of int64, shape (n,)
        Reads of pages that had been used before, by their distance in pages (of the
        sampled ones).
    on_disk : ndarray of int64, shape (n,)
        Those of them whose pages stand on the disk; at 0, first reads of such pages.
    n_pages : int
        Different pages that were used, sampled ones.
    sample : float
        Share of the pages that were looked at.
    """

    cgroup: str
    distances: NDArray[np.int64]
    on_disk: NDArray[np.int64]
    n_pages: int
    sample: float

    @property
    def need_bytes(self) -> int:
        """The smallest limit at which nothing is read again."""
        used = np.flatnonzero(self.distances)
        pages = int(used[-1]) if len(used) else 0
        return round(pages / self.sample) * PAGE_BYTES

    @property
    def uses(self) -> int:
        """Reads that find their page in a cache without a limit."""
        return round(int(self.distances.sum()) / self.sample)

    def lost(self, limit_bytes: int) -> int:
        """Return how many of the uses do not find their page under a limit."""
        return self._beyond(self.distances, limit_bytes)

    def read_again_bytes(self, limit_bytes: int) -> int:
        """Return what is read from the disk for them: holes are not there."""
        return self._beyond(self.on_disk, limit_bytes) * PAGE_BYTES

    def read_bytes(self, limit_bytes: int) -> int:
        """Return what is read from the disk in all, first reads too."""
        first = round(int(self.on_disk[:1].sum()) / self.sample) * PAGE_BYTES
        return first + self.read_again_bytes(limit_bytes)

    def _beyond(self, distances: NDArray[np.int64], limit_bytes: int) -> int:
        pages = int(limit_bytes // PAGE_BYTES * self.sample)
        return round(int(distances[pages + 1 :].sum()) / self.sample)

    def row(self, limit_bytes: int) -> dict[str, Any]:
        """Say what a limit costs."""
        uses, lost = self.uses, self.lost(limit_bytes)
        return {
            "cgroup": self.cgroup,
            "memory_max_bytes": limit_bytes,
            "uses": uses,
            "lost": lost,
            "lost_share": lost / uses if uses else 0.0,
            "read_again_bytes": self.read_again_bytes(limit_bytes),
            "read_bytes": self.read_bytes(limit_bytes),
        }


def distances_of(stack: Stack, sample: float) -> NDArray[np.int64]:
    """Return how many reads of pages that were there before have each distance.

    Whether a few pages that are used all the time are in a sample or not would move the
    whole curve: the uses that it has too many or too few are put at distance 1, where
    those pages are (SHARDS-adj, Waldspurger et al., FAST 2015).
    """
    counts = np.frombuffer(stack.distances(), np.int64).copy()
    if sample < 1 and len(counts) > 1:
        missing = round(stack.n_needed * sample) - int(counts.sum())
        counts[1] = max(int(counts[1]) + missing, 0)
    if len(counts):
        counts[0] = 0  # not there before: no limit brings them back
    return counts


class CacheWalk:
    """Feeds every cgroup's stack, and its ancestors', with the pages it uses."""

    def __init__(self, binding: Binding, sample: float) -> None:
        setup = binding.setup
        if len(setup.devices) > MAX_DEVICES:
            raise ScenarioError(
                f"trace.devices: {len(setup.devices):,} devices are replayed, and a "
                f"curve takes {MAX_DEVICES:,}: name fewer"
            )
        self._names = binding.cgroup_names
        self._sample = sample
        kinds = np.zeros(128, np.uint8)
        kinds[[READ, WRITE, *FREES]] = [1, 2, *(3 for _ in FREES)]
        self._walk = Walk(
            setup.memory_css,
            setup.parent,
            kinds,
            min(round(sample * 2**64), 2**64 - 1),
            bool(setup.laid_out),
        )

    def add(self, columns: Columns) -> None:
        """Use the pages of rows."""
        self._walk.add(
            columns.device, columns.op, columns.sector, columns.nbytes, columns.issuer
        )

    def curves(self) -> list[CacheCurve]:
        """Return what was found."""
        return [
            CacheCurve(
                cgroup=self._names[cgroup],
                distances=distances_of(stack, self._sample),
                on_disk=np.frombuffer(stack.distances_on_disk(), np.int64),
                n_pages=stack.n_pages,
                sample=self._sample,
            )
            for cgroup, stack in self._walk.stacks.items()
        ]

    def notes(self) -> list[str]:
        """Say what the numbers are."""
        notes = [
            "pages are given back in the order of their last use, all that memory.max "
            "holds are the file's: no read-ahead, no dirty pages, no page tree",
            "a page that several cgroups use counts for each of them",
        ]
        if self._walk.holes:
            notes.append(
                "reads of what was never written, or discarded, find holes: what is "
                "read from the disk leaves them out (backing.laid_out_by)"
            )
        if self._sample < 1:
            least = min((s.n_pages for s in self._walk.stacks.values()), default=0)
            error = 100 / max(least, 1) ** 0.5
            notes.append(
                f"sampled {100 * self._sample:g} % of the pages: at least {least:,} of "
                f"each cgroup, a standard error of the share of at most {error:.1f} %"
            )
        return notes
