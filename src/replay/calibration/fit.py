"""A base, a rate and a seek, fitted to service times by least squares."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How long one kind of request takes, and how well that fits.

    Attributes
    ----------
    base_ns, ns_per_byte, random_ns : float
        ``base_ns + ns_per_byte * bytes``, and ``random_ns`` more where it is random.
    n, n_random : int
        Requests it was fitted to, and how many of them were random.
    least_bytes, most_bytes : int
        Their sizes.
    r2 : float
        Share of the variance that the line explains; 0 where it is a constant.
    """

    base_ns: float
    ns_per_byte: float
    random_ns: float
    n: int
    n_random: int
    least_bytes: int
    most_bytes: int
    r2: float

    @property
    def notes(self) -> list[str]:
        """Say what the requests could not tell."""
        notes = []
        if self.least_bytes == self.most_bytes:
            notes.append(
                f"all are of {self.least_bytes:,} B: what a byte takes is not told, "
                "and base_ns holds for this size alone"
            )
        if self.n_random in (0, self.n):
            kind = "random" if self.n_random else "sequential"
            notes.append(f"all are {kind}: what a seek takes is not told")
        return notes


def fit_line(
    nbytes: NDArray[np.int64], random: NDArray[np.bool_], service_ns: NDArray[np.int64]
) -> Line:
    """Fit a line to service times.

    Parameters
    ----------
    nbytes : ndarray of int64, shape (n,)
    random : ndarray of bool, shape (n,)
    service_ns : ndarray of int64, shape (n,)
        n is at least 1.

    Returns
    -------
    Line
        The one with the least squares among those without a negative number: no
        device serves more bytes in less time.
    """
    values = service_ns.astype(np.float64)
    columns = np.stack([np.ones(len(values)), nbytes, random], axis=1).astype(float)
    tellable = [0]
    if nbytes.min() != nbytes.max():
        tellable.append(1)
    if random.any() and not random.all():
        tellable.append(2)
    best, least = np.zeros(3), np.inf
    for count in range(1, len(tellable) + 1):
        for chosen in combinations(tellable, count):
            found = np.zeros(3)
            found[list(chosen)] = np.linalg.lstsq(columns[:, chosen], values)[0]
            error = float(((values - columns @ found) ** 2).sum())
            if (found >= 0).all() and error < least:
                best, least = found, error
    spread = float(((values - values.mean()) ** 2).sum())
    return Line(
        base_ns=float(best[0]),
        ns_per_byte=float(best[1]),
        random_ns=float(best[2]),
        n=len(values),
        n_random=int(random.sum()),
        least_bytes=int(nbytes.min()),
        most_bytes=int(nbytes.max()),
        r2=max(0.0, 1 - least / spread) if spread else 1.0,
    )


def iocost_terms(line: Line, parallel: int) -> tuple[int, int, int]:
    """Return bytes, sequential and random 4 KiB I/Os a second, as ``io.cost.model``.

    Source: block/blk-iocost.c:calc_lcoefs(), v6.1: an I/O costs a base for its kind,
    its first page in it, and so much a page. A device that serves several at once
    has as many seconds of service in a second.
    """
    base, rate = line.base_ns, line.ns_per_byte
    if line.least_bytes == line.most_bytes:
        # no rate is told: with all of it for the bytes this size costs what it took
        base, rate = 0.0, line.base_ns / line.most_bytes
    in_order = base + rate * PAGE_BYTES
    a_second = (rate, in_order, in_order + line.random_ns)
    first, second, third = (
        max(1, round(parallel * 1e9 / max(ns, 1e-6))) for ns in a_second
    )
    return first, second, third
