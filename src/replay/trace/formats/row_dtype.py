"""Requests of a format on their way to a trace file: one numpy record each.

A format's reader yields arrays of `ROW`. What they hold is in the trace file's units,
but for the times, which are on the format's own clock until the first row is known.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: A request. ``arrival_ns`` on the format's clock: when it was issued, ``wait_ns``
#: after it was queued. ``response_ns`` from then on, -1 if there is none.
ROW: Final = np.dtype(
    [
        ("arrival_ns", "<i8"),
        ("response_ns", "<i8"),
        ("wait_ns", "<i8"),
        ("sector", "<u8"),
        ("cgroup", "<u8"),
        ("device", "<u4"),
        ("nbytes", "<u4"),
        ("pid", "<i4"),
        ("flags", "<u2"),
        ("cpu", "<u2"),
        ("op", "i1"),
    ],
    align=True,
)
Rows = NDArray[np.void]

SECTOR_BYTES: Final = 512


def new_rows(n_rows: int) -> Rows:
    """Make rows that say nothing: no response, nobody, a read of nothing at zero.

    Parameters
    ----------
    n_rows : int

    Returns
    -------
    ndarray of `ROW`, shape (n_rows,)
    """
    rows = np.zeros(n_rows, ROW)
    rows["response_ns"] = -1
    return rows
