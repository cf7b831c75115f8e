"""Requests of a format on their way to a trace file: one numpy record each.

A format's reader yields arrays of `ROW`. What they hold is in the trace file's units,
but for the times, which are on the format's own clock until the first row is known.
"""

from collections.abc import Sequence
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
#: The same bytes without fields: numpy copies those one by one.
_WHOLE: Final = np.dtype((np.void, ROW.itemsize))

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


def joined(parts: Sequence[Rows]) -> Rows:
    """Return rows one behind the other.

    Parameters
    ----------
    parts : sequence of ndarray of `ROW`
        At least one.

    Returns
    -------
    ndarray of `ROW`
    """
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([part.view(_WHOLE) for part in parts]).view(ROW)


def ordered(rows: Rows) -> Rows:
    """Return rows in the order of their arrival; those of equal arrival keep theirs.

    Parameters
    ----------
    rows : ndarray of `ROW`

    Returns
    -------
    ndarray of `ROW`
    """
    times = rows["arrival_ns"]
    if np.all(times[1:] >= times[:-1]):
        return rows
    return rows.take(np.argsort(times, kind="stable"))


def chosen(rows: Rows, mask: NDArray[np.bool_]) -> Rows:
    """Return the rows that a mask has.

    Parameters
    ----------
    rows : ndarray of `ROW`
    mask : ndarray of bool, shape (n_rows,)

    Returns
    -------
    ndarray of `ROW`
    """
    return rows.take(np.flatnonzero(mask))
