"""Single numbers out of a result's tables."""

from collections import defaultdict
from typing import Any

import pyarrow as pa

from replay.results.result import Result


def matching(table: pa.Table, **wanted: Any) -> list[dict[str, Any]]:
    """Return the rows of a table in which columns have the wanted values."""
    return [
        row
        for row in table.to_pylist()
        if all(row[name] == value for name, value in wanted.items())
    ]


def only(table: pa.Table, **wanted: Any) -> dict[str, Any]:
    """Return the one row of a table in which columns have the wanted values."""
    (row,) = matching(table, **wanted)
    return row


def means(result: Result) -> dict[str, float]:
    """Return each cgroup's mean ``total`` in ns, over all operations."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in matching(result.latency, stage="total"):
        sums[row["cgroup"]][0] += row["sum_ns"]
        sums[row["cgroup"]][1] += row["count"]
    return {cgroup: total / count for cgroup, (total, count) in sums.items()}
