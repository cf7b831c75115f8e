"""The facts on a result worth telling: the first rows to each question.

Pure: tables in, small values out. Nothing here knows how it is shown.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from errno import EROFS
from itertools import accumulate
from typing import Any, Final, Generic, TypeVar

import numpy as np
import pyarrow as pa
from msgspec import Struct, field
from numpy.typing import NDArray

from replay.engine.raw import PERCENTILES
from replay.results.arrays import coded
from replay.results.result import Result
from replay.results.stored import parts_of

#: Behind whom a cgroup waits whose requests met nobody between queueing and driver.
NOBODY: Final = "nobody: before the driver"
TOP_CGROUPS: Final = 20
TOP_LINES: Final = 5
_ISSUED: Final = ("rbytes", "wbytes", "dbytes", "rios", "wios", "dios")
_TOTAL: Final = "total"
T = TypeVar("T")
Row = dict[str, Any]


def began_ns(result: Result) -> int:
    """Return from when on requests were taken, ns since the trace's start.

    A part of a recording begins where ``--from`` says.
    """
    window = result.info["trace"].get("window_ns")
    return (window[0] or 0) if window else 0


class Paid(Struct, frozen=True, kw_only=True):
    """One cgroup's charges for another one's I/O."""

    payer: str
    issuer: str
    io_bytes: int
    issued_bytes: int
    memory_bytes: int


class Waited(Struct, frozen=True, kw_only=True):
    """One cgroup's waiting behind another one."""

    waiting: str
    blocking: str
    resource: str
    wait_ns: int
    count: int


class CgroupFacts(Struct, kw_only=True):
    """The facts on one cgroup.

    Attributes
    ----------
    issued : dict of str to int
        ``rbytes wbytes dbytes rios wios dios`` that it submitted itself.
    payers : list of (str, int)
        Who was charged for how many bytes of it, most first.
    memory_bytes : int
        Page cache and tmpfs that it is charged for at the end, without descendants.
    mean_ns, p99_ns : int or None
        Of its requests' total; None if none was completed.
    stages : list of (str, int)
        Time spent in each stage, ns summed over requests, most first.
    behind : list of (str, int)
        Time waited behind each cgroup, ns summed over requests, most first; `NOBODY`
        for its own time before the driver.
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


class Top(Struct, Generic[T], frozen=True):
    """The first of a ranking, and how many more there are."""

    items: Sequence[T]
    n_more: int


class SummaryFacts(Struct, frozen=True, kw_only=True):
    """The facts of a summary; kills and errors are rows of their tables.

    ``stopped`` are those errors that a file system gave once it was read-only.
    """

    paid: Top[Paid]
    waited: Top[Waited]
    kills: Top[Row]
    errors: Top[Row]
    stopped: Top[Row]
    cgroups: Top[CgroupFacts]


def facts(result: Result) -> SummaryFacts:
    """Pick what is worth telling.

    Parameters
    ----------
    result : Result
        Any size; work is proportional to the rows of its tables but ``requests``.

    Returns
    -------
    SummaryFacts
        Rankings are by bytes or time, ties by name, so equal results tell the same.
    """
    kills = result.kills.slice(0, TOP_LINES).to_pylist()
    charges = _Charges(result.charges)
    return SummaryFacts(
        paid=_paid(charges),
        waited=_waited(result.interference),
        kills=Top(kills, result.kills.num_rows - len(kills)),
        errors=_errors(result.errors, read_only=False),
        stopped=_errors(result.errors, read_only=True),
        cgroups=_cgroups(result, charges),
    )


class _Charges:
    """The columns of ``charges`` that are told of."""

    def __init__(self, charges: pa.Table) -> None:
        self.issuer = coded(charges["issuer"])
        self.payer = coded(charges["payer"])
        self.issued = {name: _numbers(charges, name) for name in _ISSUED}
        self.io_bytes = _numbers(charges, "rbytes") + self.issued["wbytes"]
        self.io_bytes += self.issued["dbytes"]
        self.charged_bytes = _numbers(charges, "charged_bytes")


def _numbers(table: pa.Table, name: str) -> NDArray[np.int64]:
    return np.asarray(table[name].to_numpy(), np.int64)


def _first(order: NDArray[np.intp], n: int) -> tuple[list[int], int]:
    """Return the first of an order, and how many more there are."""
    return order[:n].tolist(), max(0, len(order) - n)


def _sums(
    keys: NDArray[np.int64], *values: NDArray[np.int64]
) -> tuple[NDArray[np.intp], list[NDArray[np.int64]]]:
    """Sum over the rows of a key: a row that has the key, and the sums, by keys."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    if not len(starts):
        return starts, list(values)
    return order[starts], [np.add.reduceat(one[order], starts) for one in values]


def _errors(errors: pa.Table, *, read_only: bool) -> Top[Row]:
    # not by the table's own filter: to import that takes as long as all else
    count, errno = _numbers(errors, "count"), _numbers(errors, "errno")
    chosen = np.flatnonzero((errno == EROFS) == read_only)
    by = (errno, coded(errors["cgroup"]).ranks(), -count)
    order = chosen[np.lexsort([one[chosen] for one in by])]
    rows, n_more = _first(order, TOP_LINES)
    return Top([errors.slice(row, 1).to_pylist()[0] for row in rows], n_more)


def _paid(charges: _Charges) -> Top[Paid]:
    issuer, payer = charges.issuer, charges.payer
    pair = payer.codes * len(issuer.words) + issuer.codes
    row, (n_bytes, memory) = _sums(pair, charges.io_bytes, charges.charged_bytes)
    names = np.array([*payer.words, *issuer.words], object)
    other = names[payer.codes[row]] != names[len(payer.words) :][issuer.codes[row]]
    chosen = np.flatnonzero(other & (n_bytes + memory > 0))
    by = (issuer.ranks()[row], payer.ranks()[row], -memory, -n_bytes)
    order = chosen[np.lexsort([one[chosen] for one in by])]
    first, n_more = _first(order, TOP_LINES)
    items = []
    for i in first:
        issued = charges.io_bytes[issuer.codes == issuer.codes[row[i]]].sum()
        items.append(
            Paid(
                payer=payer.words[payer.codes[row[i]]],
                issuer=issuer.words[issuer.codes[row[i]]],
                io_bytes=int(n_bytes[i]),
                issued_bytes=int(issued),
                memory_bytes=int(memory[i]),
            )
        )
    return Top(items, n_more)


def _waited(interference: pa.Table) -> Top[Waited]:
    waiting, blocking = coded(interference["waiting"]), coded(interference["blocking"])
    resource, wait_ns = (
        coded(interference["resource"]),
        _numbers(interference, "wait_ns"),
    )
    names = np.array([*waiting.words, *blocking.words], object)
    other = names[waiting.codes] != names[len(waiting.words) :][blocking.codes]
    chosen = np.flatnonzero(other & (wait_ns > 0))
    by = (resource.ranks(), blocking.ranks(), waiting.ranks(), -wait_ns)
    order = chosen[np.lexsort([one[chosen] for one in by])]
    rows, n_more = _first(order, TOP_LINES)
    found = [interference.slice(row, 1).to_pylist()[0] for row in rows]
    return Top([Waited(**row) for row in found], n_more)


def _cgroups(result: Result, charges: _Charges) -> Top[CgroupFacts]:
    issuer = charges.issuer
    row, (n_bytes,) = _sums(issuer.codes, charges.io_bytes)
    order = np.lexsort((issuer.ranks()[row], -n_bytes))
    first, n_more = _first(order, TOP_CGROUPS)
    cgroups = {}
    for code in issuer.codes[row[first]].tolist():
        mine = issuer.codes == code
        name = issuer.words[code]
        issued = {
            key: int(values[mine].sum()) for key, values in charges.issued.items()
        }
        cgroups[name] = CgroupFacts(name=name, issued=issued)

    paid = _rows(result, "charges", cgroups, "issuer", "payer", *_ISSUED)
    for name, payer, n in _ranked((i, p, sum(n_bytes)) for i, p, *n_bytes in paid):
        cgroups[name].payers.append((payer, n))
    waits = _rows(
        result, "interference", cgroups, "waiting", "blocking", "resource", "wait_ns"
    )
    behind = (
        (waiting, NOBODY if lone_wait(waiting, blocking, resource) else blocking, ns)
        for waiting, blocking, resource, ns in waits
    )
    for name, blocking, ns in _ranked(behind):
        cgroups[name].behind.append((blocking, ns))
    for name, n in _rows(result, "memory", cgroups, "cgroup", "own_file"):
        cgroups[name].memory_bytes = n
    _add_latency(cgroups, result)
    return Top(list(cgroups.values()), n_more)


def _add_latency(cgroups: dict[str, CgroupFacts], result: Result) -> None:
    latency = list(
        _rows(result, "latency", cgroups, "cgroup", "stage", "count", "sum_ns")
    )
    by_stage = ((name, one, ns) for name, one, _, ns in latency if one != _TOTAL)
    for name, stage, ns in _ranked(by_stage):
        cgroups[name].stages.append((stage, ns))
    sum_ns: Counter[str] = Counter()
    for name, stage, count, ns in latency:
        if stage == _TOTAL:
            cgroups[name].requests += count
            sum_ns[name] += ns
    bucket = ("low_ns", "high_ns", "count")
    buckets = defaultdict(list)
    for name, *values in _rows(
        result, "histograms", cgroups, "cgroup", *bucket, stage=_TOTAL
    ):
        buckets[name].append(values)
    for name, cgroup in cgroups.items():
        if name in sum_ns or name in buckets:
            cgroup.mean_ns = sum_ns[name] // max(1, cgroup.requests)
            cgroup.p99_ns = _percentile(sorted(buckets[name]), cgroup.requests)


def _percentile(buckets: list[list[int]], n_values: int) -> int:
    """Take the 99th: nearest rank, the bucket's midpoint, as the engine does."""
    if sum(count for *_, count in buckets) != n_values:
        raise ValueError("latency and histograms are not of the same results")
    rank = (n_values * PERCENTILES["p99_ns"] + 999) // 1000
    upto = accumulate(count for *_, count in buckets)
    low, high, _ = buckets[bisect_left(list(upto), rank)]
    return (low + high) // 2


def lone_wait(waiting: str, blocking: str, resource: str) -> bool:
    """Return True if a wait is a request's own time before the driver, behind nobody.

    Between queueing and the driver a recording does not tell a wait for a tag behind
    requests of the same cgroup from the block layer's own work.
    """
    return resource == "tag" and waiting == blocking


def _rows(
    result: Result,
    table: str,
    wanted: Collection[str],
    key: str,
    *others: str,
    stage: str | None = None,
) -> Iterator[tuple[Any, ...]]:
    """Take a few columns of the rows whose key is wanted, of one stage or of all."""
    conditions = {key: wanted}
    if stage is not None:
        conditions["stage"] = {stage}
    for part in parts_of(result.tables, table, [*{*conditions, *others}]):
        texts = {
            name: coded(part[name])
            for name in part.column_names
            if not pa.types.is_integer(part.schema.field(name).type)
        }
        chosen = np.ones(part.num_rows, np.bool_)
        for name, values in conditions.items():
            is_one = np.array([word in values for word in texts[name].words], np.bool_)
            chosen &= is_one[texts[name].codes]
        rows = np.flatnonzero(chosen)
        yield from zip(
            *(
                texts[name].taken(rows)
                if name in texts
                else _numbers(part, name)[rows].tolist()
                for name in (key, *others)
            ),
            strict=True,
        )


def _ranked(rows: Iterable[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """Sum the third of each by the first two; the largest first."""
    summed: Counter[tuple[str, str]] = Counter()
    for name, what, value in rows:
        summed[name, what] += value
    found = [(*pair, value) for pair, value in summed.items()]
    return sorted(found, key=lambda one: (-one[2], one[1]))
