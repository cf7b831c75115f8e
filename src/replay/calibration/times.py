"""Mean, median and 99th percentile of times, by the rule of the latency table."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.common.text import time_text
from replay.engine.raw import PERCENTILES
from replay.engine.reference.structures.histogram import SUB, SUB_BITS, midpoint_of

#: How latencies are compared; the ranks are of 1000.
RANKS: Final = {name: PERCENTILES[name] for name in ("p50_ns", "p99_ns")}
MEASURES: Final = ("mean_ns", *RANKS)
#: Buckets of 64 bits.
_N_BUCKETS: Final = 58 * SUB


def off_text(recorded_ns: int, predicted_ns: int) -> str:
    """Say how far a predicted time is from the recorded one.

    Parameters
    ----------
    recorded_ns, predicted_ns : int

    Returns
    -------
    str
        Both, and the difference as a share of the recorded one.
    """
    off = predicted_ns / max(1, recorded_ns) - 1
    return (
        f"predicted {time_text(predicted_ns)}, recorded {time_text(recorded_ns)} "
        f"({off:+.1%})"
    )


class Times:
    """A histogram of times, as the engine keeps one; of any number of them."""

    def __init__(self) -> None:
        self._counts = np.zeros(_N_BUCKETS, np.int64)
        self._sum = 0

    def add(self, times_ns: NDArray[np.int64]) -> None:
        """Count times.

        Parameters
        ----------
        times_ns : ndarray of int64, shape (n,)
            From 0 to 2**53.
        """
        exponent = np.frexp((times_ns | SUB).astype(np.float64))[1].astype(np.int64)
        shift = exponent - 1 - SUB_BITS
        bucket = shift * SUB + (times_ns >> shift)
        self._counts += np.bincount(bucket, minlength=_N_BUCKETS)
        self._sum += int(times_ns.sum())

    def measures(self) -> dict[str, int]:
        """Return `MEASURES`, ns; 0 where there are no times."""
        count = int(self._counts.sum())
        if not count:
            return dict.fromkeys(MEASURES, 0)
        upto = np.cumsum(self._counts)
        found = {"mean_ns": self._sum // count}
        for name, thousandths in RANKS.items():
            rank = (count * thousandths + 999) // 1000
            found[name] = midpoint_of(int(np.searchsorted(upto, rank)))
        return found
