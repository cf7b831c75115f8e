"""A sweep as one long table, and as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from replay.common.output import replacing
from replay.common.text import json_text
from replay.results.measures import SCHEMA
from replay.sweeps.axes import Axis
from replay.sweeps.points import Point

if TYPE_CHECKING:
    from replay.sweeps.sweep import Sweep


def long_table(found: "Sweep") -> pa.Table:
    """Put the measures of all points into one table.

    Parameters
    ----------
    found : Sweep

    Returns
    -------
    pyarrow.Table
        ``point`` (from 0), a column for each key (numbers, null for ``max``, or text;
        for a number inside a text the text and, under the key and the word before it,
        the number), ``refined`` (added to find a knee), ``error`` (null, or why the run
        was refused: the only row of its point), then
        `replay.results.measures.SCHEMA`.
    """
    return pa.concat_tables(
        _point_table(found.axes, number, point)
        for number, point in enumerate(found.points)
    )


def write_table(found: "Sweep", path: str | Path, *, overwrite: bool = False) -> None:
    """Write `long_table` as a Parquet file, whole or not at all."""
    with replacing(path, overwrite=overwrite) as part:
        pq.write_table(long_table(found), part, compression="zstd")


def as_json(found: "Sweep") -> str:
    """Say axes, points and knees in JSON."""
    keys = [axis.key for axis in found.axes]
    value = {
        "axes": [{"key": axis.key, "values": axis.values} for axis in found.axes],
        "points": [
            {
                "values": dict(zip(keys, point.values, strict=True)),
                "refined": point.refined,
                "error": point.error,
                "counts": point.counts,
                "waits": [
                    {"waiting": waiting, "blocking": blocking, "wait_ns": wait_ns}
                    for waiting, blocking, wait_ns in point.waits
                ],
                "measures": [] if point.table is None else point.table.to_pylist(),
            }
            for point in found.points
        ],
        "knees": [
            {
                "key": knee.key,
                "others": knee.others,
                "keep": knee.conditions,
                "holds": knee.holds,
                "breaks": knee.breaks,
                "smallest": knee.smallest,
                "monotonic": knee.monotonic,
                "looked_at": [
                    {"value": value, "holds": held} for value, held in knee.looked_at
                ],
                "broken": [
                    {"condition": text, "cgroup": cgroup, "value": value}
                    for text, cgroup, value in knee.broken
                ],
            }
            for knee in found.knees
        ],
    }
    return json_text(value)


def _point_table(axes: tuple[Axis, ...], number: int, point: Point) -> pa.Table:
    table = point.table
    if table is None:
        nothing = [pa.nulls(1, field.type) for field in SCHEMA]
        table = pa.table(nothing, names=SCHEMA.names)
    columns: dict[str, Any] = {"point": pa.repeat(number, table.num_rows)}
    for axis, value, amount in zip(axes, point.values, point.numbers, strict=True):
        kind = _kind(axis)
        alone = bool(axis.numbers) and axis.label == axis.key and not axis.before
        if not alone:
            columns[axis.key] = _repeated(value, pa.string(), table.num_rows)
        if axis.numbers:
            name = axis.key if alone else axis.label
            name = f"{name} number" if name in columns else name
            columns[name] = _repeated(amount, kind, table.num_rows)
    columns["refined"] = pa.repeat(point.refined, table.num_rows)
    columns["error"] = _repeated(point.error, pa.string(), table.num_rows)
    for field in SCHEMA:
        columns[field.name] = table[field.name]
    return pa.table(
        columns,
        schema=pa.schema(
            [
                SCHEMA.field(name).with_nullable(True)
                if name in SCHEMA.names
                else pa.field(name, column.type)
                for name, column in columns.items()
            ]
        ),
    )


def _kind(axis: Axis) -> pa.DataType:
    whole = all(number is None or isinstance(number, int) for number in axis.numbers)
    return pa.int64() if whole else pa.float64()


def _repeated(value: Any, kind: pa.DataType, n: int) -> pa.Array:
    return pa.array([value] * n, kind)
