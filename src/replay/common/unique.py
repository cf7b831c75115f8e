"""Each number of many once: ``np.unique``, which imports all of ``numpy.ma`` first."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def distinct(numbers: NDArray[Any]) -> NDArray[Any]:
    """Sort numbers and keep each once.

    Parameters
    ----------
    numbers : ndarray of an integer type, shape (n,)

    Returns
    -------
    ndarray of the same type, shape (n_distinct,)
    """
    ordered = np.sort(numbers)
    return ordered[_begins(ordered)]


def numbered(numbers: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """As `distinct`, and the place of each among them.

    Parameters
    ----------
    numbers : ndarray of an integer type, shape (n,)

    Returns
    -------
    tuple of (ndarray, shape (n_distinct,)) and (ndarray of int64, shape (n,))
    """
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    begins = _begins(ordered)
    place = np.empty(len(order), np.int64)
    place[order] = np.cumsum(begins) - 1
    return ordered[begins], place


def _begins(ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask of the sorted numbers that differ from the one before."""
    begins = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return begins
