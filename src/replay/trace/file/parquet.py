"""A trace with readable names, as Parquet: ``replay convert --to parquet``.

For whoever asks with SQL or a data frame and does not want to know codes: the device is
``"7:0"``, the cgroup its path, the flags are spelled. The rows and their order are the
trace file's. `replay` itself reads the trace file only.
"""

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from replay.common.errors import TraceError
from replay.common.output import replacing
from replay.trace.file.processes import ProcessTable
from replay.trace.file.read import METADATA_KEY, Progress, Trace, column_values
from replay.trace.file.schema import FLAGS, OPS, TRACE_SCHEMA, device_text

_NAMES: Final = pa.dictionary(pa.int32(), pa.string())
#: Rows of a row group.
ROW_GROUP: Final = 1 << 17


def _field(name: str, type_: pa.DataType, unit: str, text: str) -> pa.Field:
    return pa.field(name, type_, metadata={"unit": unit, "description": text})


READABLE_SCHEMA: Final = pa.schema(
    [
        TRACE_SCHEMA.field("queue_ns"),
        TRACE_SCHEMA.field("issue_ns"),
        TRACE_SCHEMA.field("complete_ns"),
        TRACE_SCHEMA.field("last_issue_ns"),
        _field(
            "time",
            pa.timestamp("ns", tz="UTC"),
            "",
            "queued, else issued, by the wall clock; null if that is not known",
        ),
        _field("device", _NAMES, "", "traced device, as 7:0"),
        TRACE_SCHEMA.field("sector"),
        TRACE_SCHEMA.field("nbytes"),
        TRACE_SCHEMA.field("n_bios"),
        _field("op", _NAMES, "", "operation"),
        _field("flags", _NAMES, "", "sync, meta, fua, preflush, readahead, by |"),
        _field("cgroup", _NAMES, "", "path, or id:N where it is not known; null: none"),
        _field("cgroup_id", pa.uint64(), "", "as the trace file has it; 0 none"),
        TRACE_SCHEMA.field("pid"),
        _field("process", _NAMES, "", "name of the process then; null if not known"),
        TRACE_SCHEMA.field("cpu"),
        TRACE_SCHEMA.field("error"),
    ]
)


def write_parquet(
    trace: Trace,
    output: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write a trace as Parquet with readable names.

    Parameters
    ----------
    trace : Trace
        Its rows are gone through once.
    output : str or Path
        The file to make; it appears whole or not at all. Its metadata holds the
        trace's, as JSON, under ``replay``.
    overwrite : bool
        Whether an existing output may be replaced.
    progress : callable or None
        Told of rows done and rows in all.

    Raises
    ------
    OutputError
        The output exists already, or cannot be written.
    TraceError
        The trace file is damaged.
    """
    summary = trace.metadata.summary
    paths = {one.id: one.path or f"id:{one.id}" for one in summary.cgroups}
    paths[0] = paths.get(0, "id:0")
    processes = ProcessTable(summary.processes)
    known = pa.array(processes.names, pa.string())
    n_done = 0
    with (
        replacing(output, overwrite=overwrite) as temporary,
        pq.ParquetWriter(temporary, READABLE_SCHEMA, compression="zstd") as writer,
    ):
        for batch in trace.batches(ROW_GROUP):
            columns = {
                field.name: column_values(column)
                for field, column in zip(TRACE_SCHEMA, batch.columns, strict=True)
            }
            queue = columns["queue_ns"]
            time_ns = np.where(queue < 0, columns["issue_ns"], queue)
            made: dict[str, pa.Array] = {
                "time": _wall(time_ns, summary.wall_clock_ns),
                "device": _spelled(columns["device"], device_text),
                "op": _spelled(columns["op"], OPS.__getitem__),
                "flags": _spelled(columns["flags"], flags_text),
                "cgroup": _spelled(columns["cgroup"], paths.__getitem__, none=0),
                "cgroup_id": batch.column("cgroup"),
                "process": _coded(processes.name_codes(columns["pid"], time_ns), known),
            }
            arrays = [
                made[field.name] if field.name in made else batch.column(field.name)
                for field in READABLE_SCHEMA
            ]
            readable = pa.RecordBatch.from_arrays(arrays, schema=READABLE_SCHEMA)
            writer.write_batch(readable)
            n_done += batch.num_rows
            if progress is not None:
                progress(n_done, trace.n_rows)
        text = msgspec.json.encode(trace.metadata)
        writer.add_key_value_metadata({METADATA_KEY: text})


def flags_text(flags: int) -> str:
    """Spell the bits of ``flags``: ``"sync|meta"``; unknown ones as a number."""
    names = [name for name, bit in FLAGS.items() if flags & bit]
    rest = flags & ~sum(FLAGS.values())
    return "|".join([*names, str(rest)] if rest else names)


def _spelled(values: NDArray[Any], name_of: Any, none: int | None = None) -> pa.Array:
    """Make names of numbers, as a dictionary; null for one of them."""
    found, codes = np.unique(values, return_inverse=True)
    try:
        names = pa.array([str(name_of(one)) for one in found.tolist()], pa.string())
    except KeyError as error:
        raise TraceError(
            f"cgroup id {error.args[0]} stands in a row, but not in the trace's "
            "metadata: convert the trace again"
        ) from None
    mask = None if none is None else values == none
    indices = pa.array(codes.astype(np.int32), mask=mask)
    return pa.DictionaryArray.from_arrays(indices, names, safe=False)


def _coded(codes: NDArray[np.int32], names: pa.Array) -> pa.Array:
    indices = pa.array(codes, mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, names, safe=False)


def _wall(time_ns: NDArray[np.int64], wall_clock_ns: int | None) -> pa.Array:
    type_ = pa.timestamp("ns", tz="UTC")
    # beyond 2262 the type ends
    if wall_clock_ns is None or wall_clock_ns + int(time_ns[-1]) >= 1 << 63:
        return pa.nulls(len(time_ns), type_)
    return pa.array(time_ns + wall_clock_ns, pa.int64()).cast(type_)
