"""Small recordings of other formats, made by hand, and what is in them."""

from pathlib import Path
from typing import Any

from replay.trace.convert import open_or_convert
from replay.trace.formats.base import FormatOptions
from replay.trace.metadata import ROW_EVENT, Summary

#: What a row has if its test does not say otherwise.
COLUMNS = ("queue_ns", "complete_ns", "sector", "nbytes", "op")


def read(
    path: Path, name: str | None = None, **options: str
) -> tuple[list[dict[str, Any]], Summary]:
    """Read a file: its rows, and its summary."""
    chosen = FormatOptions(name=name, **options)
    with open_or_convert(path, format=chosen) as trace:
        table = trace.table()
        # numpy values at nulls are what the engine reads
        for column in ("queue_ns", "issue_ns", "complete_ns"):
            for chunk in table[column].chunks:
                nulls = chunk.is_null().to_numpy(zero_copy_only=False)
                values = memoryview(chunk.buffers()[1]).cast("q")
                assert all(
                    values[chunk.offset + row] == -1
                    for row, null in enumerate(nulls)
                    if null
                )
        if ROW_EVENT in trace.metadata.summary.quality.events:
            assert table["queue_ns"].equals(table["issue_ns"])
        return table.to_pylist(), trace.metadata.summary


def brief(rows: list[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    """Show some columns of rows."""
    return [tuple(row[name] for name in columns or COLUMNS) for row in rows]


def paths(rows: list[dict[str, Any]], summary: Summary) -> list[str | None]:
    """Show the rows' cgroups by their paths."""
    known = {cgroup.id: cgroup.path for cgroup in summary.cgroups}
    return [known[row["cgroup"]] for row in rows]
