"""Rows in any disorder, from several files, come out as a sort would have them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.trace.formats import order
from replay.trace.formats.order import (
    OutOfOrder,
    in_order,
    merged,
    sorted_on_disk,
)
from replay.trace.formats.row_dtype import Rows, new_rows
from replay.trace.rows import Disordered
from support.samples import read


def rows_of(times: list[int], first: int = 0) -> Rows:
    rows = new_rows(len(times))
    rows["arrival_ns"] = times
    rows["sector"] = np.arange(first, first + len(times))
    return rows


def batches(times: list[int], size: int) -> Iterator[Rows]:
    for first in range(0, len(times), size):
        yield rows_of(times[first : first + size], first)


def pairs(stream: Iterator[Rows]) -> list[tuple[int, int]]:
    return [
        (int(row["arrival_ns"]), int(row["sector"])) for rows in stream for row in rows
    ]


def stable(times: list[int]) -> list[tuple[int, int]]:
    return sorted((time, number) for number, time in enumerate(times))


TIMES = st.lists(st.integers(0, 30), min_size=1, max_size=60)


@given(TIMES, st.integers(1, 20))
def test_near_order_is_sorted_or_said_to_be_too_far(
    times: list[int], size: int
) -> None:
    disorder = OutOfOrder()
    try:
        found = pairs(in_order(batches(times, size), disorder))
    except Disordered:
        assert disorder.count
        return
    assert found == stable(times)
    late = sum(time < max(times[:row]) for row, time in enumerate(times) if row)
    assert disorder.count == late


@given(TIMES, st.integers(1, 20), st.integers(1, 20))
def test_any_disorder_is_sorted_on_disk(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], size: int, run: int
) -> None:
    directory = tmp_path_factory.mktemp("runs")
    found = sorted_on_disk(batches(times, size), OutOfOrder(), directory, run)
    assert pairs(found) == stable(times)
    assert list(directory.iterdir()) == []


@given(st.lists(TIMES, min_size=1, max_size=5), st.integers(1, 20))
def test_merged_streams_keep_ties_in_the_streams_order(
    lists: list[list[int]], size: int
) -> None:
    streams = []
    expected = []
    first = 0
    for times in lists:
        times.sort()
        streams.append(
            [
                rows_of(times[at : at + size], first + at)
                for at in range(0, len(times), size)
            ]
        )
        expected += [(time, first + at) for at, time in enumerate(times)]
        first += len(times)
    assert pairs(merged([iter(one) for one in streams])) == sorted(expected)


def test_a_file_in_great_disorder_is_read_again_and_sorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN rows backwards in time, more than are held back
    n_rows = 250_000
    monkeypatch.setattr(order, "RUN_ROWS", 100_000)
    path = tmp_path / "back.csv"
    path.write_text(
        "".join(
            f"419,W,{512 * row},512,{1577808000000000 + n_rows - row}\n"
            for row in range(n_rows)
        )
    )
    # WHEN they are read
    rows, summary = read(path)
    # THEN each is in its place, and all but the first were late
    assert [row["sector"] for row in rows] == list(range(n_rows))[::-1]
    assert summary.quality.out_of_order == n_rows - 1


def test_files_of_one_format_are_merged_by_time(tmp_path: Path) -> None:
    from replay.trace.convert import convert

    for host, times in (("a", (0, 4, 6)), ("b", (1, 4, 9))):
        (tmp_path / host).write_text(
            "".join(f"{128166372003061629 + t},{host},0,Read,0,512,1\n" for t in times)
        )
    with convert([tmp_path / "b", tmp_path / "a"], tmp_path / "t.arrow") as trace:
        rows = trace.table().to_pylist()
        names = {one.id: one.path for one in trace.metadata.summary.cgroups}
    assert [(row["queue_ns"] // 100, names[row["cgroup"]]) for row in rows] == [
        (0, "/a_0"),
        (1, "/b_0"),
        (4, "/b_0"),
        (4, "/a_0"),
        (6, "/a_0"),
        (9, "/b_0"),
    ]


def test_batch_size_and_threads_change_nothing(tmp_path: Path) -> None:
    from replay.trace.convert import convert

    path = tmp_path / "f"
    path.write_text(
        "".join(
            f"{row % 5},{'RW'[row % 2]},{row * 512},512,{1577808000000000 + row}\n"
            for row in range(1000)
        )
    )
    with convert(path, tmp_path / "a") as a:
        for number, (size, threads) in enumerate([(1, 1), (7, 2), (1000, 2)]):
            with convert(
                path, tmp_path / f"b{number}", batch_rows=size, threads=threads
            ) as b:
                assert a.table().equals(b.table())
                assert a.metadata == b.metadata
