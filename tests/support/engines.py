"""The engine and the reference on the same columns, and small cases by hand.

A case is a tree of a few cgroups, a few rows, and what comes out. `replayed` runs the
reference and the engine; both must say the same.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from replay.engine._engine import Engine
from replay.engine._service import Services
from replay.engine.columns import NO_TASK, Columns
from replay.engine.dependence import Streams, infer_streams
from replay.engine.layout import raw_tables, requests_table
from replay.engine.raw import Raw
from replay.engine.reference import Reference
from replay.engine.reference.service import services_of
from replay.engine.setup import NO_LIMIT, ArrivalMode, ServiceModel, Setup
from replay.trace.file.schema import OP_CODES

#: The rows that were asked for last, and what was inferred of them.
_inferred: list[tuple[Columns, Streams]] = []


def streams_of(columns: Columns) -> Streams:
    """Return what each row waited for; the same rows are asked for again and again."""
    if not _inferred or _inferred[0][0] is not columns:
        _inferred[:] = [(columns, infer_streams([columns]))]
    return _inferred[0][1]


def run_reference(setup: Setup, columns: Columns) -> Raw:
    """Return the reference's results."""
    reference = Reference(setup)
    service = services_of(setup, columns)
    if setup.mode == ArrivalMode.DEPENDENT:
        reference.follow(columns, service, streams_of(columns))
    else:
        reference.feed(columns, service)
    return reference.finish()


def run_engine(
    setup: Setup,
    columns: Columns,
    batch_rows: int = 1 << 16,
    *,
    tell_after: int = 1 << 31,
) -> Raw:
    """Return the engine's results, rows given in batches.

    Without a row for every request the engine takes shorter ways: the tables must not
    show it.
    """
    raw = run_once(setup, columns, batch_rows, requests=True)
    short = run_once(setup, columns, batch_rows, requests=False, tell_after=tell_after)
    found = difference(short, {**raw, "requests": short["requests"]})
    assert found is None, f"without rows of requests: {found}"
    return raw


def run_once(
    setup: Setup,
    columns: Columns,
    batch_rows: int = 1 << 16,
    *,
    requests: bool,
    tell_after: int = 1 << 31,
) -> Raw:
    """Return the engine's results, with a row for every request or by shorter ways."""
    services, engine = Services(setup), Engine(setup, requests)
    engine.tell_after(tell_after)
    parts, filled = [], []
    for start in range(0, len(columns), batch_rows):
        part = columns.take(slice(start, start + batch_rows))
        service = np.empty(len(part), np.int64)
        services.fill(part, service)
        parts.append(part)
        filled.append(service)
    services.end()
    if setup.mode == ArrivalMode.DEPENDENT:
        engine.follow(parts, filled, streams_of(columns))
    else:
        for part, service in zip(parts, filled, strict=True):
            engine.feed(part, service)
    while engine.advance(batch_rows):
        pass
    raw = raw_tables(setup, engine.tables(), engine.counts())
    raw["requests"] = requests_table(engine.take_requests())
    return raw


def difference(a: Raw, b: Raw) -> str | None:
    """Return where two results differ first, None if nowhere."""
    if a.keys() != b.keys():
        return f"tables {sorted(a.keys() ^ b.keys())}"
    for table, columns in a.items():
        for name, values in columns.items():
            other = b[table][name]
            if values.dtype != other.dtype:
                return f"{table}.{name}: {values.dtype} and {other.dtype}"
            if not np.array_equal(values, other):
                return f"{table}.{name}: {values.tolist()} and {other.tolist()}"
    return None


ROOT, A, B, C = 0, 1, 2, 3
SECOND = 10**9
PAGE = 4096

Row = dict[str, Any]


def setup_of(
    parents: Sequence[int] = (-1, ROOT, ROOT),
    *,
    limits: dict[int, int] | None = None,
    highs: dict[int, int] | None = None,
    tasks: Sequence[tuple[int, int, int]] = (),
    kernel_tasks: Sequence[int] = (),
    **fields: Any,
) -> Setup:
    """Make a setup: reads and writes of 1000 ns, a tmpfs, no limits, no tasks.

    ``tasks`` are (cgroup, rss in pages, requests), ``limits`` and ``highs`` pages.
    """
    n_cgroups = len(parents)
    limit = [(limits or {}).get(cgroup, NO_LIMIT) for cgroup in range(n_cgroups)]
    high = [(highs or {}).get(cgroup, NO_LIMIT) for cgroup in range(n_cgroups)]
    values: dict[str, Any] = {
        "parent": np.array(parents, np.int32),
        "blkcg": np.arange(n_cgroups, dtype=np.uint32),
        "memory_css": np.arange(n_cgroups, dtype=np.uint32),
        "memory_max": np.array(limit, np.int64),
        "memory_high": np.array(high, np.int64),
        "devices": np.array([7 << 20], np.uint32),
        "alloc_fail_rows": np.zeros(0, np.int64),
        "service": ServiceModel.LINEAR,
        "read_base_ns": 1000,
        "write_base_ns": 1000,
        "task_cgroup": np.array([task[0] for task in tasks], np.uint32),
        "task_rss": np.array([task[1] for task in tasks], np.int64),
        "task_requests": np.array([task[2] for task in tasks], np.int64),
        "task_kernel": np.array(
            [index in kernel_tasks for index in range(len(tasks))], np.bool_
        ),
    }
    return Setup(**(values | fields))


def request(at: int, issuer: int = A, op: str = "read", **fields: Any) -> Row:
    """Make a row that is queued and issued at once; ``page`` and ``pages`` place it."""
    page, pages = fields.pop("page", 0), fields.pop("pages", 1)
    row: Row = {
        "queue_ns": at,
        "issue_ns": at,
        "complete_ns": at + 100,
        "sector": page * 8,
        "nbytes": 0 if op == "flush" else pages * PAGE,
        "n_bios": 0 if op == "flush" else 1,
        "op": OP_CODES[op],
        "flags": 0,
        "pid": issuer + 100,
        "issuer": issuer,
        "recorded": issuer,
        "device": 0,
        "task": NO_TASK,
    }
    return row | fields


def write(at: int, issuer: int = A, **fields: Any) -> Row:
    """Make a write."""
    return request(at, issuer, "write", **fields)


def columns_of(rows: Sequence[Row]) -> Columns:
    """Lay rows out as columns."""
    dtypes: dict[str, type[np.generic]] = {
        **dict.fromkeys(("queue_ns", "issue_ns", "complete_ns"), np.int64),
        "sector": np.uint64,
        **dict.fromkeys(("nbytes", "n_bios", "issuer", "recorded"), np.uint32),
        "op": np.int8,
        **dict.fromkeys(("pid", "task"), np.int32),
        "device": np.uint16,
        "flags": np.uint16,
    }
    values: dict[str, Any] = {
        name: np.array([row[name] for row in rows], dtype)
        for name, dtype in dtypes.items()
    }
    return Columns(row=np.arange(len(rows), dtype=np.int64), **values)


def replayed(setup: Setup, *rows: Row) -> Raw:
    """Replay rows by the reference, having seen that the engine gives the same."""
    columns = columns_of(rows)
    raw = run_reference(setup, columns)
    assert difference(raw, run_engine(setup, columns)) is None
    return raw


def pick(raw: Raw, table: str, *names: str) -> list[Any]:
    """Return some columns of a table: a tuple a row, or a value if one is asked for."""
    columns = [raw[table][name].tolist() for name in names]
    if len(columns) == 1:
        return list(columns[0])
    return list(zip(*columns, strict=True))


def by_row(raw: Raw, *names: str) -> list[Any]:
    """Return some columns of the requests, in the order of the rows."""
    order = np.argsort(raw["requests"]["row"])
    found = pick(raw, "requests", *names)
    return [found[position] for position in order]


def counted(raw: Raw, name: str) -> int:
    """Return one of the run's counts."""
    return int(raw["counts"][name][0])
