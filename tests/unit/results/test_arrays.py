"""Columns of numbers and texts, made without what is slow to import."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from replay.common.unique import distinct, numbered
from replay.results import arrays
from replay.results.arrays import Words, coded, integers


@pytest.mark.parametrize(
    ("at_once", "few"), [(1, 9), (4, 9), (6, 9), (1 << 14, 9), (6, 5)]
)
def test_words_are_what_arrow_takes(
    monkeypatch: pytest.MonkeyPatch, at_once: int, few: int
) -> None:
    # either in parts, or as a column of many texts is
    monkeypatch.setattr(arrays, "_TEXTS_AT_ONCE", at_once)
    monkeypatch.setattr(arrays, "FEW", few)
    # GIVEN texts of several lengths, an empty one and one beyond ASCII
    words = ["/", "", "/a.slice/b", "/Größe"]
    numbers = np.array([3, 0, 1, 1, 2, 3], np.uint32)
    # WHEN they are looked up
    found = Words(words)(numbers)
    # THEN the column is the one that pyarrow makes
    found.validate(full=True)
    assert found.equals(pa.array(words).take(pa.array(numbers)))


def test_no_word_is_looked_up() -> None:
    found = Words([])(np.empty(0, np.uint32))
    found.validate(full=True)
    assert found.equals(pa.array([], pa.string()))


def test_word_that_is_not_there_is_refused() -> None:
    with pytest.raises(IndexError):
        Words(["a"])(np.array([1]))


def test_integers_with_and_without_nulls() -> None:
    # GIVEN every other number of a column, so that it is not contiguous
    numbers = np.arange(40, dtype=np.int32)[::2]
    # WHEN it becomes an Arrow column, all of it or but for some
    plain = integers(numbers, pa.int64())
    absent = numbers > 17
    nulls = integers(numbers, pa.uint32(), absent=absent)
    # THEN it is the one that pyarrow makes
    assert plain.equals(pa.array(numbers, pa.int64()))
    nulls.validate(full=True)
    assert nulls.equals(pa.array(numbers, pa.uint32(), mask=absent))
    assert integers(numbers, pa.int64(), absent=numbers < 0).null_count == 0


@pytest.mark.parametrize("few", [0, 100])
def test_texts_become_numbers(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a column of two pieces, taken for a large one or a small one
    monkeypatch.setattr(arrays, "FEW", few)
    column = pa.chunked_array([["b", "a", "b"], ["c", "a"]])
    # WHEN its texts are numbered
    found = coded(column)
    # THEN numbers stand for texts in the order in which they first occur
    assert found.words == ["b", "a", "c"]
    assert found.codes.tolist() == [0, 1, 0, 2, 1]
    assert found.ranks().tolist() == [1, 0, 1, 2, 0]
    assert found.taken(np.array([4, 0])) == ["a", "b"]


@pytest.mark.parametrize("dtype", [np.uint16, np.int64])
def test_distinct_numbers_are_those_of_numpy(dtype: type) -> None:
    numbers: NDArray[Any] = np.array([7, 0, 3, 7, 65535, 0, 3], dtype)
    for given in (numbers, numbers[:0], numbers[:1]):
        unique, place = numbered(given)
        expected, of = np.unique(given, return_inverse=True)
        assert distinct(given).tolist() == unique.tolist() == expected.tolist()
        assert unique.dtype == given.dtype
        assert place.tolist() == of.tolist()
