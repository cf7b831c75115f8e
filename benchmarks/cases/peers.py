"""What others do with the same requests, where it is installed.

Each gets the rows of the engine's own cases: random writes of 4 KiB over 1 GiB. None of
them decides who is charged or who waits; they are what a user would write such a
study with (SimPy), what scans a block trace (fio), and how fast a cache simulator in C
touches as many pages (libCacheSim).
"""

import importlib.util
from collections.abc import Callable, Generator
from typing import Any, Final

import numpy as np

import replay
from benchmarks.cases.engine import shape_of
from benchmarks.cases.registry import Bench, Case
from benchmarks.measure import Result, Spent, repeat, run
from benchmarks.shape import PAGE_BYTES
from replay.trace.file.read import open_trace

SECTORS_PER_PAGE: Final = PAGE_BYTES // 512
#: SimPy makes a generator and some events for every request.
MOST_SIMULATED: Final = 100_000
#: One record of libCacheSim's "oracleGeneral".
ORACLE: Final = np.dtype(
    [("time", "<u4"), ("object", "<u8"), ("nbytes", "<u4"), ("next", "<i8")]
)
#: Who knows SQL asks so: a completion belongs to the last issue at its place.
_QUERY: Final = """
with events as (
  select device, op, action, cgroup, time_ns,
    lag(time_ns) over place as before_ns, lag(action) over place as before
  from '{path}' where action in ('Q', 'D', 'C')
  window place as (
    partition by device, sector, action = 'Q' order by time_ns, action desc)
)
select op, action, count(*), count(distinct cgroup),
  quantile_disc(time_ns - before_ns, [0.5, 0.99, 0.999])
    filter (action = 'C' and before = 'D')
from events group by all order by all
"""


def _columns(bench: Bench, *names: str) -> list[np.ndarray[Any, Any]]:
    with open_trace(bench.rows(shape_of(bench))) as trace:
        table = trace.table().select(names)
        return [np.asarray(table[name]) for name in names]


def _result(name: str, what: str, count: int, spent: tuple[Spent, ...]) -> Result:
    return Result(case=name, what=what, unit="request", count=count, spent=spent)


def _libcachesim(name: str, bench: Bench) -> Result:
    import libcachesim

    sector, nbytes, issue = _columns(bench, "sector", "nbytes", "issue_ns")
    rows = np.empty(len(sector), ORACLE)
    rows["time"] = issue // 10**9
    rows["object"] = sector // SECTORS_PER_PAGE
    rows["nbytes"] = nbytes
    rows["next"] = -2
    path = bench.scratch / "requests.oracle"
    rows.tofile(path)
    half = shape_of(bench).pages * PAGE_BYTES // 2

    def work() -> None:
        reader = libcachesim.TraceReader(
            trace=str(path), trace_type=libcachesim.TraceType.ORACLE_GENERAL_TRACE
        )
        libcachesim.LRU(cache_size=half).process_trace(reader)

    spent = repeat(work, bench.repeats)
    path.unlink()
    what = "libCacheSim's LRU of half the pages, the same requests"
    return _result(name, what, len(rows), spent)


def _fio(name: str, bench: Bench) -> Result:
    (sector,) = _columns(bench, "sector")
    log, file = bench.scratch / "requests.iolog", bench.scratch / "file"
    lines = [f"{file} write {at} {PAGE_BYTES}" for at in (sector * 512).tolist()]
    head = ["fio version 2 iolog", f"{file} add", f"{file} open"]
    log.write_text("\n".join([*head, *lines, f"{file} close", ""]))
    with file.open("wb") as made:
        made.truncate(shape_of(bench).pages * PAGE_BYTES)
    command = ["fio", "--name=scan", f"--read_iolog={log}", "--ioengine=null"]
    command += ["--replay_no_stall=1", "--readwrite=randrw", "--minimal"]
    spent = repeat(lambda: run(command), bench.repeats)
    log.unlink()
    file.unlink()
    what = "fio's read_iolog on its null engine, the same requests"
    return _result(name, what, len(lines), spent)


def _duckdb(name: str, bench: Bench) -> Result:
    import duckdb

    directory, n_events = bench.recording()
    path = bench.scratch / "events.parquet"
    replay.convert_events(directory, path, to="parquet")
    query = _QUERY.format(path=path)

    def work() -> None:
        with duckdb.connect(config={"threads": 1}) as database:
            database.sql(query).fetchall()

    spent = repeat(work, bench.repeats)
    path.unlink()
    what = "DuckDB: events counted, waits D to C by operation, of a Parquet file"
    return Result(case=name, what=what, unit="event", count=n_events, spent=spent)


def has_duckdb() -> bool:
    """Return True if DuckDB can be compared with."""
    return importlib.util.find_spec("duckdb") is not None


def _simpy(name: str, bench: Bench) -> Result:
    import simpy

    columns = _columns(bench, "issue_ns", "complete_ns", "cgroup")
    issue, complete, cgroup = (values[:MOST_SIMULATED].tolist() for values in columns)

    def work() -> dict[int, float]:
        world = simpy.Environment()
        workers = {one: simpy.Resource(world) for one in set(cgroup)}
        total = dict.fromkeys(workers, 0.0)

        def request(at: int, service: int, issuer: int) -> Generator[Any, Any, None]:
            with workers[issuer].request() as turn:
                yield turn
                yield world.timeout(service)
            total[issuer] += world.now - at

        def arrivals() -> Generator[Any, Any, None]:
            for at, end, issuer in zip(issue, complete, cgroup, strict=True):
                yield world.timeout(at - world.now)
                world.process(request(at, end - at, issuer))

        world.process(arrivals())
        world.run()
        return total

    what = "SimPy: a worker a cgroup and the mean wait, no charges"
    return _result(name, what, len(issue), repeat(work, bench.repeats))


def _peer(
    name: str,
    measure: Callable[[str, Bench], Result],
    *,
    module: str = "",
    needs: tuple[str, ...] = (),
) -> list[Case]:
    """Make the case of a peer, if it is there."""
    if module and importlib.util.find_spec(module) is None:
        return []
    return [Case(name=f"peer.{name}", run=measure, needs=needs)]


PEERS: list[Case] = [
    *_peer("libcachesim", _libcachesim, module="libcachesim"),
    *_peer("fio", _fio, needs=("fio",)),
    *_peer("simpy", _simpy, module="simpy"),
    *_peer("duckdb", _duckdb, module="duckdb"),
]
