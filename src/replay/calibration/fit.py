"""A base, a rate and a seek, fitted to service times by least squares."""

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

PAGE_BYTES: Final = 4096
#: Of a rate, ns a byte: finer than the 2**-20 ns that the engine reckons with.
DECIMALS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedLine:
    """The time of one kind of request, and the quality of the fit.

    Attributes
    ----------
    base_ns, random_ns : int
    ns_per_byte : float
        ``base_ns + ns_per_byte * bytes``, and ``random_ns`` more where it is random.
        The rate has `DECIMALS` decimals: as it is written, it is read and was judged.
    n, n_random : int
        Requests it was fitted to, and how many of them were random.
    least_bytes, most_bytes : int
        Their sizes.
    r2 : float
        Share of the variance that the line explains; 0 where it is a constant.
    """

    base_ns: int
    ns_per_byte: float
    random_ns: int
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

    @property
    def values(self) -> dict[str, str]:
        """The keys of ``[service]`` for such requests, as they are written."""
        rate = f"{self.ns_per_byte:.{DECIMALS}f}".rstrip("0").rstrip(".")
        return {
            "base_ns": str(self.base_ns),
            "ns_per_byte": rate,
            "random_ns": str(self.random_ns),
        }


class LineFit:
    """Fits a line to service times of which it sees some at a time."""

    def __init__(self) -> None:
        self._n = self._n_random = 0
        self._least, self._most = 0, 0
        # sums of products: of the columns, of them with the times, of the times. Times
        # count from the first one on, so that like ones have a spread of exactly 0
        self._first = 0.0
        self._columns = np.zeros((3, 3))
        self._mixed = np.zeros(3)
        self._times = 0.0

    def add(
        self,
        nbytes: NDArray[np.int64],
        random: NDArray[np.bool_],
        service_ns: NDArray[np.int64],
    ) -> None:
        """Take service times.

        Parameters
        ----------
        nbytes : ndarray of int64, shape (n,)
        random : ndarray of bool, shape (n,)
        service_ns : ndarray of int64, shape (n,)
        """
        if not len(nbytes):
            return
        least, most = int(nbytes.min()), int(nbytes.max())
        if not self._n:
            self._first = float(service_ns[0])
            self._least = least
        self._n += len(nbytes)
        self._n_random += int(random.sum())
        self._least, self._most = min(self._least, least), max(self._most, most)
        columns = np.stack([np.ones(len(nbytes)), nbytes / PAGE_BYTES, random])
        values = service_ns.astype(np.float64) - self._first
        self._columns += columns @ columns.T
        self._mixed += columns @ values
        self._times += float(values @ values)

    def line(self) -> FittedLine | None:
        """Return the line with the least squares; None if there were no times.

        Of those without a negative number: no device serves more bytes in less time.
        """
        if not self._n:
            return None
        tellable = [0]
        if self._least != self._most:
            tellable.append(1)
        if 0 < self._n_random < self._n:
            tellable.append(2)
        # sums of the times as they are
        ones = self._columns[0]
        mixed = self._mixed + self._first * ones
        times = self._times + self._first * (2 * self._mixed[0] + self._first * self._n)
        best, least = np.zeros(3), np.inf
        for count in range(1, len(tellable) + 1):
            for chosen in combinations(tellable, count):
                part = list(chosen)
                # of one scale, so that the rank tells columns that say the same
                scale = np.sqrt(np.diag(self._columns)[part])
                solved, _, rank, _ = np.linalg.lstsq(
                    self._columns[np.ix_(part, part)] / np.outer(scale, scale),
                    mixed[part] / scale,
                    rcond=1e-12,
                )
                if rank < count:
                    continue
                found = np.zeros(3)
                found[part] = solved / scale
                error = float(times - 2 * found @ mixed + found @ self._columns @ found)
                if (found >= 0).all() and error < least:
                    best, least = found, error
        spread = self._times - self._mixed[0] ** 2 / self._n
        return FittedLine(
            base_ns=round(best[0]),
            ns_per_byte=round(float(best[1]) / PAGE_BYTES, DECIMALS),
            random_ns=round(best[2]),
            n=self._n,
            n_random=self._n_random,
            least_bytes=self._least,
            most_bytes=self._most,
            r2=min(1.0, max(0.0, 1 - least / spread)) if spread > 0 else 1.0,
        )


def iocost_terms(line: FittedLine, parallel: int) -> tuple[int, int, int]:
    """Return bytes, sequential and random 4 KiB I/Os a second, as ``io.cost.model``.

    Source: block/blk-iocost.c:calc_lcoefs(), v6.1: an I/O costs a base for its kind,
    its first page in it, and so much a page. A device that serves several at once
    has as many seconds of service in a second.
    """
    base, rate = line.base_ns, line.ns_per_byte
    if line.least_bytes == line.most_bytes:
        # no rate is told: with all of it for the bytes this size costs what it took
        base, rate = 0, line.base_ns / line.most_bytes
    in_order = base + rate * PAGE_BYTES
    a_second = (rate, in_order, in_order + line.random_ns)
    first, second, third = (
        max(1, round(parallel * 1e9 / max(ns, 1e-6))) for ns in a_second
    )
    return first, second, third
