"""The numbers that scenarios are judged by: a row for each cgroup.

One list of names, units and meanings for `replay sweep`, for `replay compare` and for
the conditions that both take.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replay.results.merge import merge_latency
from replay.results.sums import sums, with_io_bytes

#: Name of the rows that hold all operations of a cgroup.
ALL: Final = "all"
NS: Final = "ns"
BYTES: Final = "bytes"
COUNT: Final = "count"


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a cgroup.

    Attributes
    ----------
    column : str
        Its column; a condition may leave a unit at its end away.
    unit : str
        `NS`, `BYTES` or `COUNT`.
    text : str
        What it is.
    """

    column: str
    unit: str
    text: str

    @property
    def name(self) -> str:
        """The column without its unit."""
        return self.column.removesuffix("_ns").removesuffix("_bytes")


#: Null where no request completed.
TIMES: Final = (
    Measure("mean_ns", NS, "mean time from arrival to completion"),
    Measure("p50_ns", NS, "median of it"),
    Measure("p90_ns", NS, "90th percentile"),
    Measure("p99_ns", NS, "99th percentile"),
    Measure("p999_ns", NS, "99.9th percentile"),
    Measure("max_ns", NS, "longest"),
)
#: Of a cgroup's requests, and of those of one operation too.
OF_REQUESTS: Final = (
    Measure("requests", COUNT, "requests that completed"),
    *TIMES,
)
#: Of a cgroup alone.
OF_CGROUPS: Final = (
    Measure("wait_ns", NS, "time that its requests waited, behind its own or others'"),
    Measure("wait_others_ns", NS, "of that, behind other cgroups"),
    Measure("io_bytes", BYTES, "I/O that it was charged for, whoever issued it"),
    Measure("charged_bytes", BYTES, "memory that it was charged for"),
    Measure("refused_bytes", BYTES, "memory that could not be charged to it"),
    Measure("current_bytes", BYTES, "memory at the end, with descendants"),
    Measure("peak_bytes", BYTES, "most memory at any time, with descendants"),
    Measure("max_events", COUNT, "charges that met memory.max, with descendants"),
    Measure("oom", COUNT, "charges that came to the OOM killer, with descendants"),
    Measure("kills", COUNT, "its tasks killed by the OOM killer"),
    Measure("errors", COUNT, "requests that failed"),
)
MEASURES: Final[Mapping[str, Measure]] = {
    one.column: one for one in (*OF_REQUESTS, *OF_CGROUPS)
}
SCHEMA: Final = pa.schema(
    [
        pa.field("cgroup", pa.string(), nullable=False),
        pa.field("op", pa.string(), nullable=False),
        *(
            pa.field(
                one.column,
                pa.int64(),
                metadata={"unit": one.unit, "description": one.text},
            )
            for one in MEASURES.values()
        ),
    ]
)


def measures(tables: Mapping[str, pa.Table], *, by_op: bool = False) -> pa.Table:
    """Take a result's measures.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
        Of one result, or merged (`replay.merge`).
    by_op : bool
        Behind the rows of all operations, ``op`` `ALL`, put one for each operation of
        each cgroup; they have the measures `OF_REQUESTS` alone.

    Returns
    -------
    pyarrow.Table
        Of `SCHEMA`; a row for every cgroup, in the order of the table ``memory``. Times
        are null where no request completed.
    """
    memory = tables["memory"]
    names = memory["cgroup"].combine_chunks()
    found: dict[str, pa.Array] = {
        "cgroup": names,
        "op": pa.array([ALL] * len(names), pa.string()),
    }
    total = [_total(tables[name]) for name in ("latency", "histograms")]
    times = merge_latency(*total, by=["cgroup"])
    place = pc.index_in(names, value_set=times["cgroup"].combine_chunks())
    found["requests"] = pc.fill_null(times["count"].combine_chunks().take(place), 0)
    for one in TIMES:
        found[one.column] = times[one.column].combine_chunks().take(place)
    waits = tables["interference"]
    others = waits.filter(pc.not_equal(waits["waiting"], waits["blocking"]))
    charges = with_io_bytes(tables["charges"])
    kills = tables["kills"]
    kills = kills.append_column("n", pa.array(np.ones(kills.num_rows, np.int64)))
    for column, table, key, value in (
        ("wait_ns", waits, "waiting", "wait_ns"),
        ("wait_others_ns", others, "waiting", "wait_ns"),
        ("io_bytes", charges, "payer", "io_bytes"),
        ("charged_bytes", charges, "payer", "charged_bytes"),
        ("refused_bytes", charges, "payer", "refused_bytes"),
        ("current_bytes", memory, "cgroup", "current"),
        ("peak_bytes", memory, "cgroup", "peak"),
        ("max_events", memory, "cgroup", "max"),
        ("oom", memory, "cgroup", "oom"),
        ("kills", kills, "victim_cgroup", "n"),
        ("errors", tables["errors"], "cgroup", "count"),
    ):
        found[column] = _of(names, table, key, value)
    every = pa.table([found[name] for name in SCHEMA.names], schema=SCHEMA)
    if not by_op:
        return every
    return pa.concat_tables([every, _by_op(*total)])


def _total(table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table["stage"], "total"))


def _of(names: pa.Array, table: pa.Table, key: str, value: str) -> pa.Array:
    """Sum a column for each of the names; 0 where it has none."""
    summed = sums(table, [key], [value])
    place = pc.index_in(names, value_set=summed[key].combine_chunks())
    return pc.fill_null(summed[value].combine_chunks().take(place), 0)


def _by_op(latency: pa.Table, histograms: pa.Table) -> pa.Table:
    times = merge_latency(latency, histograms, by=["cgroup", "op"])
    n_rows = times.num_rows
    columns = {
        "cgroup": times["cgroup"],
        "op": times["op"],
        "requests": times["count"],
        **{one.column: times[one.column] for one in TIMES},
        **{one.column: pa.nulls(n_rows, pa.int64()) for one in OF_CGROUPS},
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)
