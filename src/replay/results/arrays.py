"""Arrow columns of numpy's, and of numbers that stand for texts.

pyarrow has all of this, but `pyarrow.compute` makes a signature and a page of help for
each of its functions, and ``pa.array`` imports ``numpy.ma``: both take as long as
replaying a million requests. What every result needs is done without them.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

#: Python goes through so many texts in less time than `pyarrow.compute` is imported.
FEW: Final = 100_000
#: A column's texts take less: where each begins is told by 32 bits with a sign.
_MOST_BYTES: Final = 1 << 31
#: Texts of a column that are put together at once: their bytes' places take eight times
#: what they take themselves.
_TEXTS_AT_ONCE: Final = 1 << 14


def integers(
    values: NDArray[np.integer[Any]],
    type_: pa.DataType,
    *,
    absent: NDArray[np.bool_] | None = None,
) -> pa.Array:
    """Make a column of integers.

    Parameters
    ----------
    values : ndarray of an integer type, shape (n,)
        They fit the new type.
    type_ : DataType
        An integer type.
    absent : ndarray of bool, shape (n,), or None
        Which are null.

    Returns
    -------
    Array
        May share memory with ``values``.
    """
    # not type_.to_pandas_dtype(), for which pyarrow 20 imports pandas
    data = np.ascontiguousarray(values, str(type_))
    seen, n_absent = None, 0
    if absent is not None and (n_absent := int(np.count_nonzero(absent))):
        seen = pa.py_buffer(np.packbits(~absent, bitorder="little"))
    buffers = [seen, pa.py_buffer(data)]
    return pa.Array.from_buffers(type_, len(data), buffers, n_absent)


class Words:
    """Texts, to be looked up by their numbers.

    Parameters
    ----------
    words : sequence of str
        Fewer than 2**31 bytes in UTF-8.
    """

    def __init__(self, words: Sequence[str]) -> None:
        encoded = [word.encode() for word in words]
        self._bytes = np.frombuffer(b"".join(encoded), np.uint8)
        self._lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._longest = int(self._lengths.max(initial=0))

    def __call__(self, numbers: NDArray[np.integer[Any]]) -> pa.Array:
        """Make a column of texts.

        Parameters
        ----------
        numbers : ndarray of an integer type, shape (n,)
            Positions in ``words``.

        Returns
        -------
        StringArray
            Of length n, without nulls.

        Raises
        ------
        OverflowError
            They take 2**31 bytes or more.
        """
        if len(numbers) > FEW and len(numbers) * self._longest < _MOST_BYTES:
            return self._array().take(integers(numbers, pa.int64()))
        lengths = self._lengths[numbers]
        ends = np.cumsum(lengths)
        n_bytes = int(ends[-1]) if len(ends) else 0
        if n_bytes >= _MOST_BYTES:
            raise OverflowError(f"{n_bytes} bytes of names are too many for a column")
        offsets = np.zeros(len(lengths) + 1, np.int32)
        offsets[1:] = ends
        # where each byte comes from: its text's start, and how far into the text it is
        shifts = self._starts[numbers] - (ends - lengths)
        text = np.empty(n_bytes, np.uint8)
        for first in range(0, len(lengths), _TEXTS_AT_ONCE):
            part = slice(first, first + _TEXTS_AT_ONCE)
            begin, end = offsets[first], offsets[min(part.stop, len(lengths))]
            source = np.arange(begin, end) + np.repeat(shifts[part], lengths[part])
            text[begin:end] = self._bytes[source]
        return pa.StringArray.from_buffers(
            len(lengths), pa.py_buffer(offsets), pa.py_buffer(text)
        )

    def known(self, numbers: NDArray[np.integer[Any]]) -> pa.Array:
        """Make a column of texts, null where the number is below 0.

        Parameters
        ----------
        numbers : ndarray of an integer type, shape (n,)
            Positions in ``words``, or negative.

        Returns
        -------
        StringArray
        """
        absent = numbers < 0
        return self._array().take(integers(numbers, pa.int64(), absent=absent))

    def _array(self) -> pa.StringArray:
        """Return all texts, without a copy of them."""
        offsets = np.zeros(len(self._lengths) + 1, np.int32)
        offsets[1:] = np.cumsum(self._lengths)
        return pa.StringArray.from_buffers(
            len(self._lengths), pa.py_buffer(offsets), pa.py_buffer(self._bytes)
        )


class Coded(Struct, frozen=True):
    """A column of text as numbers.

    Attributes
    ----------
    words : list of str
        Each once, in the order of their first occurrence.
    codes : ndarray of int64, shape (n_rows,)
        Positions in ``words``.
    """

    words: list[str]
    codes: NDArray[np.int64]

    def taken(self, rows: NDArray[np.intp]) -> list[str]:
        """Return the texts of a few rows."""
        return [self.words[code] for code in self.codes[rows].tolist()]

    def ranks(self) -> NDArray[np.int64]:
        """Return each row's place among the words in their order, shape (n_rows,)."""
        order = sorted(range(len(self.words)), key=self.words.__getitem__)
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        return ranks[self.codes]


def coded(column: pa.ChunkedArray) -> Coded:
    """Give each text of a column a number.

    Parameters
    ----------
    column : ChunkedArray of string, or of dictionaries of strings
        Without nulls.

    Returns
    -------
    Coded
    """
    words: dict[str, int] = {}
    if not pa.types.is_dictionary(column.type):
        if len(column) <= FEW:
            codes = np.fromiter(
                (words.setdefault(word, len(words)) for word in column.to_pylist()),
                np.int64,
                len(column),
            )
            return Coded(list(words), codes)
        column = pa.chunked_array(column.chunks, pa.string()).dictionary_encode()
    if column.num_chunks == 1:
        only = column.chunk(0)
        codes = only.indices.to_numpy().astype(np.int64)
        return Coded(only.dictionary.to_pylist(), codes)
    chunks = [np.empty(0, np.int64)]
    for chunk in column.chunks:
        numbers = [
            words.setdefault(word, len(words)) for word in chunk.dictionary.to_pylist()
        ]
        chunks.append(np.array(numbers, np.int64)[chunk.indices.to_numpy()])
    return Coded(list(words), np.concatenate(chunks))
