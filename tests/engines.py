"""Run the engine and the reference on the same columns."""

import numpy as np

from replay.engine._engine import Engine
from replay.engine._service import Services
from replay.engine.columns import Columns
from replay.engine.dependence import infer_streams
from replay.engine.layout import raw_tables, requests_table
from replay.engine.raw import Raw
from replay.engine.reference import Reference
from replay.engine.reference.service import services_of
from replay.engine.setup import ArrivalMode, Setup


def run_reference(setup: Setup, columns: Columns) -> Raw:
    """Return the reference's results."""
    reference = Reference(setup)
    service = services_of(setup, columns)
    if setup.mode == ArrivalMode.DEPENDENT:
        reference.follow(columns, service, infer_streams([columns]))
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
    raw = _run_engine(setup, columns, batch_rows, requests=True)
    short = _run_engine(
        setup, columns, batch_rows, requests=False, tell_after=tell_after
    )
    found = difference(short, {**raw, "requests": short["requests"]})
    assert found is None, f"without rows of requests: {found}"
    return raw


def _run_engine(
    setup: Setup,
    columns: Columns,
    batch_rows: int,
    *,
    requests: bool,
    tell_after: int = 1 << 31,
) -> Raw:
    services, engine = Services(setup), Engine(setup, requests)
    engine.tell_after(tell_after)
    parts, filled = [], []
    for start in range(0, len(columns), batch_rows):
        part = columns.take(slice(start, start + batch_rows))
        service = np.empty(len(part), np.int64)
        services.fill(part, service)
        parts.append(part)
        filled.append(service)
    if setup.mode == ArrivalMode.DEPENDENT:
        engine.follow(parts, filled, infer_streams([columns]))
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
