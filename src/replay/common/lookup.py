"""Values of many integer keys at once."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Keys below this are looked up in a table of at most 8 MB.
TABLE_KEYS: Final = 1 << 20
#: Of more keys the table may have so many places each: inodes of cgroups are that near.
TABLE_PLACES: Final = 64


class Lookup:
    """The value of each key: a table where the keys are small, else a binary search.

    Parameters
    ----------
    keys : ndarray of uint64, shape (n,), sorted, each once
    values : ndarray, shape (n,)
    missing : int
        Value of every other key; must fit the type of `values`.
    """

    __slots__ = ("_keys", "_missing", "_table", "_values")

    def __init__(
        self, keys: NDArray[np.uint64], values: NDArray[Any], missing: int
    ) -> None:
        self._keys = keys
        self._values = values
        self._missing = values.dtype.type(missing)
        self._table: NDArray[Any] | None = None
        most = max(TABLE_KEYS, TABLE_PLACES * len(keys))
        if len(keys) == 0 or int(keys[-1]) < most:
            size = int(keys[-1]) + 2 if len(keys) else 1
            self._table = np.full(size, missing, dtype=values.dtype)
            self._table[keys.astype(np.int64)] = values

    def __call__(self, keys: NDArray[Any]) -> NDArray[Any]:
        """Look up keys.

        Parameters
        ----------
        keys : ndarray of an integer type, shape (n,)
            Negative ones are never found.

        Returns
        -------
        ndarray of the values' type, shape (n,)
        """
        # one device, no cgroup: one key, as often as not
        if len(keys) and keys[0] == keys[-1] and (keys == keys[0]).all():
            return np.full(len(keys), self._values_of(keys[:1])[0])
        return self._values_of(keys)

    def _values_of(self, keys: NDArray[Any]) -> NDArray[Any]:
        if keys.dtype != np.uint64:
            # sign extension makes a negative key larger than any that is looked for
            keys = keys.astype(np.int64).view(np.uint64)
        if self._table is not None:
            last = np.uint64(len(self._table) - 1)
            found: NDArray[Any] = self._table[np.minimum(keys, last).view(np.int64)]
            return found
        position = np.searchsorted(self._keys, keys)
        position[position == len(self._keys)] = 0
        return np.where(
            self._keys[position] == keys, self._values[position], self._missing
        )
