"""What is worth telling of a result: the top of each question, and how much more.

Pure: tables in, small values out. Nothing here knows how it is shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from replay.results.merge import merge_latency
from replay.results.result import Result
from replay.results.sums import sums, with_io_bytes

TOP_CGROUPS: Final = 20
TOP_LINES: Final = 5
_ISSUED: Final = ("rbytes", "wbytes", "dbytes")
T = TypeVar("T")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """One cgroup's charges for another one's I/O."""

    payer: str
    issuer: str
    io_bytes: int
    issued_bytes: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """One cgroup's waiting behind another one."""

    waiting: str
    blocking: str
    resource: str
    wait_ns: int
    count: int


@dataclass(slots=True, kw_only=True)
class CgroupFacts:
    """What one cgroup did and what became of it.

    Attributes
    ----------
    issued : dict of str to int
        ``rbytes wbytes dbytes`` that it submitted itself.
    payers : list of (str, int)
        Who was charged for how many bytes of it, most first.
    memory_bytes : int
        Page cache and tmpfs that it is charged for at the end, without descendants.
    mean_ns, p99_ns : int or None
        Of its requests' total; None if none was completed.
    stages : list of (str, int)
        Time spent in each stage, ns summed over requests, most first.
    behind : list of (str, int)
        Time waited behind each cgroup, ns summed over requests, most first.
    """

    name: str
    issued: dict[str, int]
    payers: list[tuple[str, int]] = field(default_factory=list)
    requests: int = 0
    memory_bytes: int = 0
    mean_ns: int | None = None
    p99_ns: int | None = None
    stages: list[tuple[str, int]] = field(default_factory=list)
    behind: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Top(Generic[T]):
    """The first of a ranking, and how many more there are."""

    items: Sequence[T]
    n_more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a summary tells; kills and errors are rows of their tables."""

    paid: Top[Paid]
    waited: Top[Waited]
    kills: Top[Row]
    errors: Top[Row]
    cgroups: Top[CgroupFacts]


def facts(result: Result) -> Facts:
    """Pick what is worth telling.

    Parameters
    ----------
    result : Result
        Any size; work is proportional to the rows of its tables but ``requests``.

    Returns
    -------
    Facts
        Rankings are by bytes or time, ties by name, so equal results tell the same.
    """
    kills = result.kills.slice(0, TOP_LINES).to_pylist()
    errors = result.errors.sort_by(
        [("count", "descending"), ("cgroup", "ascending"), ("errno", "ascending")]
    )
    return Facts(
        paid=_paid(result.charges),
        waited=_waited(result.interference),
        kills=Top(kills, result.kills.num_rows - len(kills)),
        errors=_top(errors),
        cgroups=_cgroups(result),
    )


def _top(ranked: pa.Table, n: int = TOP_LINES) -> Top[Row]:
    items = ranked.slice(0, n).to_pylist()
    return Top(items, ranked.num_rows - len(items))


def _only(table: pa.Table, column: str, names: list[str]) -> pa.Table:
    wanted = pa.array(names, pa.string())
    return table.filter(pc.is_in(table[column], value_set=wanted))


def _paid(charges: pa.Table) -> Top[Paid]:
    table = with_io_bytes(charges)
    pairs = sums(table, ["payer", "issuer"], ["io_bytes", "charged_bytes"])
    others = pairs.filter(
        pc.and_(
            pc.not_equal(pairs["payer"], pairs["issuer"]),
            pc.greater(pc.add(pairs["io_bytes"], pairs["charged_bytes"]), 0),
        )
    )
    order = [("io_bytes", "descending"), ("charged_bytes", "descending")]
    order += [("payer", "ascending"), ("issuer", "ascending")]
    top = _top(others.sort_by(order))
    issuers = _only(pairs, "issuer", [row["issuer"] for row in top.items])
    issued = dict(_pairs(sums(issuers, ["issuer"], ["io_bytes"])))
    return Top(
        [
            Paid(
                payer=row["payer"],
                issuer=row["issuer"],
                io_bytes=row["io_bytes"],
                issued_bytes=issued[row["issuer"]],
                memory_bytes=row["charged_bytes"],
            )
            for row in top.items
        ],
        top.n_more,
    )


def _waited(interference: pa.Table) -> Top[Waited]:
    unequal = pc.not_equal(interference["waiting"], interference["blocking"])
    others = interference.filter(
        pc.and_(unequal, pc.greater(interference["wait_ns"], 0))
    )
    order = [("wait_ns", "descending"), ("waiting", "ascending")]
    order += [("blocking", "ascending"), ("resource", "ascending")]
    top = _top(others.sort_by(order))
    return Top([Waited(**row) for row in top.items], top.n_more)


def _cgroups(result: Result) -> Top[CgroupFacts]:
    charges = with_io_bytes(result.charges)
    issued = sums(charges, ["issuer"], [*_ISSUED, "io_bytes"])
    ranked = issued.sort_by([("io_bytes", "descending"), ("issuer", "ascending")])
    top = _top(ranked, TOP_CGROUPS)
    cgroups = {
        row["issuer"]: CgroupFacts(
            name=row["issuer"], issued={name: row[name] for name in _ISSUED}
        )
        for row in top.items
    }
    names = list(cgroups)

    mine = _only(charges, "issuer", names)
    for name, payer, n_bytes in _ranked(mine, "issuer", "payer", "io_bytes"):
        cgroups[name].payers.append((payer, n_bytes))
    interference = _only(result.interference, "waiting", names)
    for name, blocking, ns in _ranked(interference, "waiting", "blocking", "wait_ns"):
        cgroups[name].behind.append((blocking, ns))
    memory = _only(result.memory, "cgroup", names).select(["cgroup", "own_file"])
    for name, n_bytes in _pairs(memory):
        cgroups[name].memory_bytes = n_bytes
    _add_latency(
        cgroups,
        _only(result.latency, "cgroup", names),
        _only(result.histograms, "cgroup", names),
    )
    return Top(list(cgroups.values()), top.n_more)


def _add_latency(
    cgroups: dict[str, CgroupFacts], latency: pa.Table, histograms: pa.Table
) -> None:
    stages = latency.filter(pc.not_equal(latency["stage"], "total"))
    for name, stage, ns in _ranked(stages, "cgroup", "stage", "sum_ns"):
        cgroups[name].stages.append((stage, ns))
    totals = [
        table.filter(pc.equal(table["stage"], "total"))
        for table in (latency, histograms)
    ]
    for row in merge_latency(*totals, by=["cgroup"]).to_pylist():
        cgroup = cgroups[row["cgroup"]]
        cgroup.requests = row["count"]
        cgroup.mean_ns = row["mean_ns"]
        cgroup.p99_ns = row["p99_ns"]


def _ranked(
    table: pa.Table, key: str, what: str, value: str
) -> list[tuple[str, str, int]]:
    """Sum ``value`` by key and what; the largest first."""
    summed = sums(table, [key, what], [value])
    ranked = summed.sort_by([(value, "descending"), (what, "ascending")])
    columns = (ranked[name].to_pylist() for name in (key, what, value))
    return list(zip(*columns, strict=True))


def _pairs(table: pa.Table) -> list[tuple[str, int]]:
    first, second = (column.to_pylist() for column in table.columns)
    return list(zip(first, second, strict=True))
