"""Sums over the tables of a result that more than one reader needs."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc


def sums(table: pa.Table, keys: Sequence[str], values: Sequence[str]) -> pa.Table:
    """Sum columns over the rows that share their keys.

    Parameters
    ----------
    table : pyarrow.Table
        With the columns ``keys`` and ``values``.
    keys, values : sequence of str
        Names of columns.

    Returns
    -------
    pyarrow.Table
        Keys and values under their own names, in the order of first occurrence.
    """
    grouped = table.group_by(list(keys), use_threads=False)
    summed = grouped.aggregate([(name, "sum") for name in values])
    columns = summed.select([*keys, *(f"{name}_sum" for name in values)])
    return columns.rename_columns([*keys, *values])


def with_io_bytes(table: pa.Table) -> pa.Table:
    """Add ``io_bytes``: read, written and discarded."""
    read, written, discarded = (table[name] for name in ("rbytes", "wbytes", "dbytes"))
    n_bytes = pc.add(pc.add(read, written), discarded)
    return table.append_column("io_bytes", n_bytes)
