import numpy as np
import pytest

from replay.common.lookup import TABLE_KEYS, Lookup


@pytest.mark.parametrize("last", [9, TABLE_KEYS - 1, TABLE_KEYS, 2**64 - 1])
def test_lookup_finds_values_whatever_the_size_of_the_keys(last: int) -> None:
    keys = np.array([0, 3, last], dtype=np.uint64)
    lookup = Lookup(keys, np.array([10, 13, 19], dtype=np.uint32), 0xFFFFFFFF)
    asked = np.array([3, 0, last, 1, 4, last - 1, 2**63], dtype=np.uint64)
    missing = 0xFFFFFFFF
    assert lookup(asked).tolist() == [13, 10, 19, missing, missing, missing, missing]
    assert lookup(asked).dtype == np.uint32


def test_many_keys_are_found_in_a_larger_table() -> None:
    # GIVEN keys beyond the table of few of them, near each other
    keys = np.arange(0, 4 * TABLE_KEYS, 40, dtype=np.uint64)
    lookup = Lookup(keys, np.arange(len(keys), dtype=np.int32), -1)
    # THEN each is found and none between them
    assert lookup._table is not None
    assert (lookup(keys) == np.arange(len(keys))).all()
    assert (lookup(keys + np.uint64(1)) == -1).all()
    assert lookup(np.array([2**63, 2**64 - 1], np.uint64)).tolist() == [-1, -1]


@pytest.mark.parametrize("last", [9, 2**40])
def test_negative_key_is_never_found(last: int) -> None:
    lookup = Lookup(np.array([0, last], dtype=np.uint64), np.array([1, 2]), -1)
    assert lookup(np.array([-1, 0, -last], dtype=np.int64)).tolist() == [-1, 1, -1]
    assert lookup(np.array([-1, 0], dtype=np.int32)).tolist() == [-1, 1]


def test_lookup_without_keys_finds_nothing() -> None:
    lookup = Lookup(np.empty(0, np.uint64), np.empty(0, np.int32), -1)
    assert lookup(np.array([0, 5])).tolist() == [-1, -1]
    assert lookup(np.empty(0, np.uint32)).tolist() == []


@pytest.mark.parametrize("last", [9, 2**40])
@pytest.mark.parametrize("key", [0, 5, -1])
def test_column_of_one_key_is_looked_up_as_any_other(last: int, key: int) -> None:
    # GIVEN rows that all have one key, known or not
    lookup = Lookup(
        np.array([0, last], dtype=np.uint64), np.array([1, 2], np.uint16), 7
    )
    # WHEN they are looked up, and one by one among others
    found = lookup(np.full(3, key, np.int32))
    # THEN the values and their type are the same
    assert found.tolist() == [lookup(np.array([0, key, 1], np.int32))[1]] * 3
    assert found.dtype == np.uint16
