"""Results added up: counters as sums, latencies by merging their histograms.

A fleet's p99 is no mean of its machines' p99: it is taken from all requests' buckets,
by the rule that the engine has for one run (nearest rank, the bucket's midpoint).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from replay.common.errors import OutputError
from replay.engine.raw import PERCENTILES
from replay.results.read import open_results
from replay.results.result import Result
from replay.results.schema import TABLES

#: Tables whose rows add up by their keys.
SUMMED: Final = (
    *("charges", "io_stat", "memory", "histograms", "interference", "errors"),
)
#: Columns of theirs that are no sums.
_NO_SUM: Final = {
    ("memory", "peak"): "max",
    ("errors", "first_ns"): "min",
}
_LATENCY_KEY: Final = TABLES["latency"].key
_BUCKET: Final = ("low_ns", "high_ns")
#: Sums beyond this are not exact: 64 bits do not hold them.
_MOST: Final = float(1 << 62)


class NotOneResultError(OutputError, ValueError):
    """Tables of different results were given for those of one."""


def merge(
    results: Iterable[Result | Mapping[str, pa.Table] | str | Path],
) -> dict[str, pa.Table]:
    """Add results up, for example one scenario's results of many traces.

    Parameters
    ----------
    results : iterable of Result, mapping or path
        Results, their tables by name, or result directories; at least one. They are
        read one after the other.

    Returns
    -------
    dict of str to pyarrow.Table
        ``charges io_stat memory latency histograms interference errors`` with one row
        for each key, of the same columns as one result's; ``kills`` one result after
        the other. Of ``memory``, ``peak`` is the largest of any. Rows stand in the
        order in which their keys first occur. Tables of single workers and requests do
        not add up.

    Raises
    ------
    OutputError
        A directory holds no result, or a sum is beyond 64 bits.
    ValueError
        There is no result.

    Notes
    -----
    cgroups are told apart by their names: ``id:23`` of one machine and of another are
    taken for the same.
    """
    held: dict[str, list[pa.Table]] = {}
    for one in results:
        tables = one if isinstance(one, Mapping) else _opened(one).tables
        for name in (*SUMMED, "latency", "kills"):
            held.setdefault(name, []).append(tables[name].replace_schema_metadata(None))
    if not held:
        raise ValueError("no results to merge")
    joined = {name: pa.concat_tables(parts) for name, parts in held.items()}
    merged = {name: merge_table(name, joined[name]) for name in SUMMED}
    merged["latency"] = merge_latency(joined["latency"], joined["histograms"])
    merged["kills"] = joined["kills"]
    return {name: merged[name] for name in TABLES if name in merged}


def _opened(one: Result | str | Path) -> Result:
    return one if isinstance(one, Result) else open_results(one)


def merge_table(
    name: str, table: pa.Table, *, by: Sequence[str] | None = None
) -> pa.Table:
    """Add up the rows of a table that share their keys.

    Parameters
    ----------
    name : str
        One of `SUMMED`.
    table : pyarrow.Table
        Rows of any number of results, with its own columns and those of ``by``.
    by : sequence of str or None
        Columns that tell rows apart; None: the table's own key. More
        (``("scenario", *TABLES[name].key)``) keeps apart what less would add up.

    Returns
    -------
    pyarrow.Table
        ``by`` and the table's counters, in the order in which keys first occur.

    Raises
    ------
    OutputError
        A sum is beyond 64 bits.
    """
    spec = TABLES[name]
    keys = list(spec.key if by is None else by)
    if name == "histograms":
        keys += [column for column in _BUCKET if column not in keys]
    values = [
        (field.name, _NO_SUM.get((name, field.name), "sum"))
        for field in spec.schema
        if field.name not in (*spec.key, *keys)
    ]
    merged = _aggregate(table, keys, values)
    if by is None:
        return merged.select(spec.schema.names).cast(spec.schema)
    return merged


def merge_latency(
    latency: pa.Table,
    histograms: pa.Table,
    *,
    by: Sequence[str] = _LATENCY_KEY,
) -> pa.Table:
    """Take means and percentiles of several results, or of several rows of one.

    Parameters
    ----------
    latency, histograms : pyarrow.Table
        The two tables of the same results, with the columns ``by``.
    by : sequence of str
        Columns that tell rows apart. ``("cgroup", "stage")`` merges devices and
        operations too.

    Returns
    -------
    pyarrow.Table
        ``by`` and ``count sum_ns mean_ns min_ns p50_ns p90_ns p99_ns p999_ns max_ns``,
        in the order in which keys first occur in ``latency``.

    Raises
    ------
    OutputError
        A sum is beyond 64 bits.
    NotOneResultError
        The tables do not hold the same requests.
    """
    keys = list(by)
    sums = _aggregate(
        latency,
        keys,
        [("count", "sum"), ("sum_ns", "sum"), ("min_ns", "min"), ("max_ns", "max")],
    )
    buckets = _aggregate(histograms, [*keys, *_BUCKET], [("count", "sum")])
    group = _rows_of(buckets, sums, keys)
    low, high, count = (buckets[name].to_numpy() for name in (*_BUCKET, "count"))
    order = np.lexsort((low, group))
    n_values = np.zeros(sums.num_rows + 1, np.int64)
    np.add.at(n_values, group, count)
    if n_values[-1] or not np.array_equal(n_values[:-1], sums["count"].to_numpy()):
        raise NotOneResultError(
            "latency and histograms are not of the same results: run them again"
        )
    n_values = n_values[:-1]
    middle = ((low + high) // 2)[order]
    upto = np.cumsum(count[order])
    before = np.cumsum(n_values) - n_values
    columns = {name: sums[name] for name in [*keys, "count", "sum_ns"]}
    columns["mean_ns"] = pc.divide(
        sums["sum_ns"], pc.max_element_wise(sums["count"], 1)
    )
    columns["min_ns"] = sums["min_ns"]
    for name, thousandths in PERCENTILES.items():
        rank = (n_values * thousandths + 999) // 1000
        at = np.searchsorted(upto, before + rank, side="left")
        columns[name] = pa.array(middle[at], pa.int64())
    columns["max_ns"] = sums["max_ns"]
    merged = pa.table(columns)
    if tuple(by) == _LATENCY_KEY:
        return merged.cast(TABLES["latency"].schema)
    return merged


def _rows_of(
    table: pa.Table, unique: pa.Table, keys: Sequence[str]
) -> NDArray[np.int64]:
    """Return the row of ``unique`` that has each row's keys; its length where none."""
    n_unique = unique.num_rows
    numbers = np.zeros(n_unique + table.num_rows, np.int64)
    for key in keys:
        both = pa.chunked_array(
            [*unique[key].chunks, *table[key].chunks], unique[key].type
        )
        column = both.combine_chunks().dictionary_encode()
        codes = column.indices.to_numpy().astype(np.int64)
        joined = numbers * (int(codes.max(initial=0)) + 1) + codes
        numbers = np.unique(joined, return_inverse=True)[1]
    row_of = np.full(int(numbers.max(initial=-1)) + 1, n_unique, np.int64)
    row_of[numbers[:n_unique]] = np.arange(n_unique)
    return row_of[numbers[n_unique:]]


def _aggregate(
    table: pa.Table, keys: Sequence[str], values: Sequence[tuple[str, str]]
) -> pa.Table:
    """Group a table, in the order in which keys first occur; sums are exact."""
    for name, how in values:
        if how == "sum" and _is_too_much(table, keys, name):
            raise OutputError(
                f"{name}: adds up to more than 64 bits hold: merge fewer results"
            )
    grouped = table.group_by(list(keys), use_threads=False).aggregate(list(values))
    columns = [grouped[name] for name in keys]
    columns += [grouped[f"{name}_{how}"] for name, how in values]
    return pa.table(dict(zip([*keys, *(v[0] for v in values)], columns, strict=True)))


def _is_too_much(table: pa.Table, keys: Sequence[str], value: str) -> bool:
    """Return True if any group's sum may be beyond 64 bits."""
    size = pc.cast(pc.abs(table[value]), pa.float64(), safe=False)
    if (pc.sum(size).as_py() or 0.0) < _MOST:
        return False
    sizes = table.select(list(keys)).append_column("size", size)
    sums = sizes.group_by(list(keys), use_threads=False).aggregate([("size", "sum")])
    return bool(pc.max(sums["size_sum"]).as_py() >= _MOST)
