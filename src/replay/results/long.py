"""Comparisons as one long table: a row for each number that differs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from replay.common.output import replacing
from replay.results.compare import Comparison

#: Of the tables of a `Comparison`: who, whom it concerns, and which of several.
_WHO: Final[dict[str, tuple[str, str | None, str | None]]] = {
    "charges": ("payer", "issuer", None),
    "memory": ("cgroup", None, None),
    "latency": ("cgroup", None, "stage"),
    "interference": ("waiting", "blocking", "resource"),
    "errors": ("cgroup", None, "errno"),
}


def _text(name: str, text: str, *, nullable: bool = False) -> pa.Field:
    metadata = {"description": text}
    return pa.field(name, pa.string(), nullable=nullable, metadata=metadata)


def _number(name: str, text: str) -> pa.Field:
    metadata = {"description": text}
    return pa.field(name, pa.int64(), nullable=False, metadata=metadata)


SCHEMA: Final = pa.schema(
    [
        _text("base", "what it is compared with"),
        _text("other", "what is compared"),
        _text("table", "charges, memory, latency, interference, errors or kills"),
        _text("cgroup", "who pays, waits, fails or is killed"),
        _text(
            "related",
            "who issued it, was waited for, or whose limit killed",
            nullable=True,
        ),
        _text("detail", "stage, resource, errno or task", nullable=True),
        _text("measure", "column of the table, with its unit"),
        _number("base_value", "0 where it did not happen"),
        _number("other_value", "0 where it did not happen"),
        _number("difference", "other - base"),
        pa.field(
            "relative",
            pa.float64(),
            metadata={"description": "difference / base; null where base is 0"},
        ),
    ]
)


def long_table(comparisons: Iterable[Comparison]) -> pa.Table:
    """Put comparisons into one table.

    Parameters
    ----------
    comparisons : iterable of Comparison

    Returns
    -------
    pyarrow.Table
        Of `SCHEMA`; one row for each number that differs, in the order of the
        comparisons and of their tables.
    """
    rows = [row for found in comparisons for row in _rows(found)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def write_comparisons(
    comparisons: Iterable[Comparison], path: str | Path, *, overwrite: bool = False
) -> None:
    """Write comparisons as one Parquet file; see `long_table`.

    Parameters
    ----------
    comparisons : iterable of Comparison
    path : str or Path
    overwrite : bool
        Replace the file that is there.

    Raises
    ------
    OutputError
        The file exists already, or cannot be written.
    """
    with replacing(path, overwrite=overwrite) as part:
        pq.write_table(long_table(comparisons), part, compression="zstd")


def _rows(found: Comparison) -> Iterable[dict[str, Any]]:
    names = dict(zip(("base", "other"), found.names, strict=True))
    for table, (who, related, detail) in _WHO.items():
        differences = found.tables[table]
        measures = [
            name.removesuffix("_diff")
            for name in differences.column_names
            if name.endswith("_diff")
        ]
        for row in differences.to_pylist():
            key = {
                **names,
                "table": table,
                "cgroup": row[who],
                "related": None if related is None else row[related],
                "detail": None if detail is None else str(row[detail]),
            }
            for measure in measures:
                if row[f"{measure}_diff"]:
                    yield {
                        **key,
                        **_values(
                            measure, row[f"{measure}_base"], row[f"{measure}_other"]
                        ),
                    }
    for row in found.tables["kills"].to_pylist():
        yield {
            **names,
            "table": "kills",
            "cgroup": row["victim_cgroup"],
            "related": row["limit_cgroup"],
            "detail": row["task"],
            **_values(
                "kills", int(row["only_in"] == "base"), int(row["only_in"] == "other")
            ),
        }


def _values(measure: str, base: int, other: int) -> dict[str, Any]:
    return {
        "measure": measure,
        "base_value": base,
        "other_value": other,
        "difference": other - base,
        "relative": (other - base) / base if base else None,
    }
