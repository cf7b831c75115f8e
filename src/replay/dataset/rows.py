"""A pair's record: its state and the rows of its tables, as one row.

A record is one row of `RECORD_SCHEMA`: who the pair is and what it was made of, then
each table as a list of its rows. So a pair is there whole or not at all, and a file of
records holds any number of pairs. `flat` takes a table out of them again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from replay.common.version import MODEL_VERSION, VERSION
from replay.results.result import Result
from replay.results.schema import SCHEMA_VERSION, TABLES

RUNS: Final = "runs"
OK: Final = "ok"
FAILED: Final = "failed"


def _field(
    name: str, kind: pa.DataType, text: str, unit: str = "", *, nullable: bool = False
) -> pa.Field:
    told = {"unit": unit, "description": text}
    return pa.field(name, kind, nullable=nullable, metadata=told)


def _number(name: str, text: str) -> pa.Field:
    return _field(name, pa.int64(), text, "1", nullable=True)


_PAIR: Final = [
    _field("trace", pa.string(), "the trace, as it was named"),
    _field("scenario", pa.string(), "the scenario, as it was named"),
]
#: One row for each pair; what is not known of a failed one is null.
_RUNS: Final = [
    _field("status", pa.string(), "ok or failed"),
    _field("error", pa.string(), "why it failed", nullable=True),
    _field("policy", pa.string(), "driver.policy", nullable=True),
    _number("requests", "requests replayed"),
    _number("completed", "of them, completed"),
    _number("failed", "of them, failed"),
    _number("in_flight", "of them, neither"),
    _number("stopped", "never came since their task was killed"),
    _number("kills", "tasks killed"),
    _number("workers_peak", "most workers alive at once"),
    _field("end_ns", pa.int64(), "last completion", "ns", nullable=True),
    _field(
        "notes", pa.list_(pa.string()), "estimates and what is not modelled", "line"
    ),
    _field("input_sha256", pa.string(), "of the input's bytes", nullable=True),
    _field("trace_sha256", pa.string(), "identity of the trace", nullable=True),
    _field("scenario_sha256", pa.string(), "identity of the scenario", nullable=True),
    _field("version", pa.string(), "version of replay"),
    _field("replay_s", pa.float64(), "wall time, differs", "s", nullable=True),
    _field("run", pa.string(), "as run.json, in JSON", nullable=True),
]
_COUNTED: Final = ("requests", "completed", "failed", "in_flight", "stopped", "end_ns")

#: Tables of a dataset and their columns, in the order of the documents.
SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    RUNS: pa.schema([*_PAIR, *_RUNS]),
    **{name: pa.schema([*_PAIR, *spec.schema]) for name, spec in TABLES.items()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A pair's identity and its inputs.

    Attributes
    ----------
    trace, scenario : str
        Names; together they tell pairs apart.
    status : str
        `OK` or `FAILED`.
    stamp : str
        Of the input's files, see `replay.dataset.places.Found`.
    input_sha256 : str
        Of their bytes; empty if they could not be read.
    options_sha256 : str
        Of how they were converted.
    scenario_sha256 : str
        Of the scenario's keys; empty if it could not be read.
    version : str
        Of the model and of the tables.
    """

    trace: str
    scenario: str
    status: str
    stamp: str
    input_sha256: str
    options_sha256: str
    scenario_sha256: str
    version: str

    @property
    def pair(self) -> tuple[str, str]:
        """The names."""
        return self.trace, self.scenario


#: What `State.version` is of what this program makes: releases that answer alike make
#: the same.
MADE_BY: Final = f"model {MODEL_VERSION}, tables {SCHEMA_VERSION}"
STATE_NAMES: Final = tuple(State.__dataclass_fields__)
_ROW_TYPES: Final = {
    name: pa.struct(list(schema)[len(_PAIR) :]) for name, schema in SCHEMAS.items()
}
RECORD_SCHEMA: Final = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in STATE_NAMES),
        *(pa.field(name, pa.list_(kind)) for name, kind in _ROW_TYPES.items()),
    ]
)


def records(
    pairs: Sequence[tuple[State, Result | str]],
) -> pa.RecordBatch:
    """Make records of what became of pairs.

    Parameters
    ----------
    pairs : sequence of (State, Result or str)
        The result, or why there is none.

    Returns
    -------
    pyarrow.RecordBatch
        Of `RECORD_SCHEMA`, a row for each pair in their order.
    """
    states = [asdict(state) for state, _ in pairs]
    columns: list[pa.Array] = [
        pa.array([state[name] for state in states], pa.string()) for name in STATE_NAMES
    ]
    runs = [_run_row(state, found) for state, found in pairs]
    columns.append(pa.array([[row] for row in runs], pa.list_(_ROW_TYPES[RUNS])))
    for name, kind in _ROW_TYPES.items():
        if name != RUNS:
            columns.append(_lists(name, kind, [found for _, found in pairs]))
    return pa.RecordBatch.from_arrays(columns, schema=RECORD_SCHEMA)


def _lists(name: str, kind: pa.DataType, found: Sequence[Result | str]) -> pa.Array:
    """Make a list of rows for each pair; none where the table is not there."""
    tables = [None if isinstance(one, str) else one.tables.get(name) for one in found]
    lengths = [0 if table is None else table.num_rows for table in tables]
    offsets = np.zeros(len(tables) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    filled = [
        table.select(names_of(kind)).replace_schema_metadata(None)
        for table in tables
        if table is not None and table.num_rows
    ]
    if filled:
        whole = pa.concat_tables(filled).combine_chunks()
        arrays = [column.chunk(0) for column in whole.columns]
        values = pa.StructArray.from_arrays(arrays, fields=list(kind))
    else:
        values = pa.array([], kind)
    return pa.ListArray.from_arrays(offsets, values, type=pa.list_(kind))


def names_of(kind: pa.StructType) -> list[str]:
    """Name the fields of a struct."""
    return [kind.field(position).name for position in range(kind.num_fields)]


def _run_row(state: State, found: Result | str) -> dict[str, Any]:
    shared = {
        "status": state.status,
        "input_sha256": state.input_sha256 or None,
        "scenario_sha256": state.scenario_sha256 or None,
        "version": VERSION,
    }
    if isinstance(found, str):
        return {**shared, "error": found, "notes": []}
    info, counts = found.info, found.info["counts"]
    return {
        **shared,
        **{name: counts[name] for name in _COUNTED},
        "policy": info["scenario"]["driver"]["policy"],
        "kills": found.kills.num_rows,
        "workers_peak": info["workers_peak"],
        "notes": info["notes"],
        "trace_sha256": info["trace"]["sha256"],
        "replay_s": info["timings"]["total_s"],
        "run": json.dumps(info, ensure_ascii=False, separators=(",", ":")),
    }


def flat(parts: Sequence[pa.RecordBatch], table: str) -> pa.RecordBatch:
    """Take a table's rows out of records.

    Parameters
    ----------
    parts : sequence of pyarrow.RecordBatch
        Of `RECORD_SCHEMA`; at least one.
    table : str

    Returns
    -------
    pyarrow.RecordBatch
        Of ``SCHEMAS[table]``, the pairs in their order.
    """
    lists, *names = (
        pa.concat_arrays([part.column(name) for part in parts])
        for name in (table, "trace", "scenario")
    )
    lengths = lists.value_lengths().to_numpy()
    rows = pa.array(np.repeat(np.arange(len(lengths)), lengths))
    columns = [name.take(rows) for name in names]
    # unlike the values, it knows of slices
    values = lists.flatten()
    return pa.RecordBatch.from_arrays(
        [*columns, *values.flatten()], schema=SCHEMAS[table]
    )


def n_rows(batch: pa.RecordBatch) -> dict[str, list[int]]:
    """Count, for each table, the rows of each pair."""
    return {name: batch.column(name).value_lengths().to_pylist() for name in SCHEMAS}


def states(batch: pa.RecordBatch) -> list[State]:
    """Read who the pairs are, and what they were made of."""
    columns = [batch.column(name).to_pylist() for name in STATE_NAMES]
    return [
        State(**dict(zip(STATE_NAMES, values, strict=True)))
        for values in zip(*columns, strict=True)
    ]
