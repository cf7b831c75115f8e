"""The content of ``run.json``, and the labels that every table carries."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from replay.common.text import path_text
from replay.common.version import MODEL_VERSION
from replay.results.schema import SCHEMA_VERSION
from replay.results.tables import Columns
from replay.trace.file.metadata import Metadata
from replay.trace.file.schema import device_text


def run_info(
    *,
    version: str,
    trace: Path,
    metadata: Metadata,
    devices: Sequence[str],
    scenario: Mapping[str, Any],
    assign: Mapping[str, Any] | None = None,
    dependence: Mapping[str, Any] | None = None,
    notes: Sequence[str],
    counts: Columns,
    timings: Mapping[str, float],
    interval_ns: int = 0,
) -> dict[str, Any]:
    """Say how a result came about.

    Parameters
    ----------
    version : str
        Of replay.
    trace : Path
        The trace as the user named it.
    metadata : Metadata
        What the trace file says about itself.
    devices : sequence of str
        Replayed devices, ``major:minor``.
    scenario : mapping
        Every key with its value (``Scenario.effective()``), JSON-able.
    assign : mapping or None
        How much each rule of ``[[assign]]`` caught; None if there are no rules.
    dependence : mapping or None
        What each process was taken to wait for; None with recorded arrivals.
    notes : sequence of str
        Estimates and things not modelled, one line each.
    counts : mapping of str to ndarray, shape (1,)
        The engine's counts.
    timings : mapping of str to float
        Wall time of each step in seconds; ``total_s`` among them.
    interval_ns : int
        Length of the timeline's intervals, 0 if there is none.

    Returns
    -------
    dict
        The content of ``run.json``; equal for equal runs but for ``timings`` and
        ``rate``.
    """
    summary = metadata.summary
    numbers = {name: int(value[0]) for name, value in counts.items()}
    total_s = timings["total_s"]
    return {
        "schema_version": SCHEMA_VERSION,
        "model_version": MODEL_VERSION,
        "versions": {
            "replay": version,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pyarrow": pa.__version__,
        },
        "scenario": dict(scenario),
        "scenario_sha256": identity(scenario),
        "trace": {
            "path": path_text(trace),
            "sha256": trace_identity(metadata),
            "sources": msgspec.to_builtins(metadata.sources),
            "writer": metadata.writer,
            "format": summary.format,
            "rows": summary.n_rows,
            "devices": list(devices),
            "span_ns": summary.end_ns - summary.start_ns,
            "wall_clock_ns": summary.wall_clock_ns,
            "window_ns": summary.window,
            "layers": [[device_text(one) for one in pair] for pair in summary.layers],
        },
        "assign": None if assign is None else dict(assign),
        "dependence": None if dependence is None else dict(dependence),
        "quality": msgspec.to_builtins(summary.quality),
        "notes": list(notes),
        "counts": numbers,
        "interval_ns": interval_ns or None,
        "workers_peak": numbers["workers_peak"],
        "timings": dict(timings),
        "rate": {"requests_per_s": numbers["requests"] / total_s if total_s else 0.0},
    }


def trace_identity(metadata: Metadata) -> str:
    """Tell a trace from others, wherever its file lies and whoever converted it.

    Parameters
    ----------
    metadata : Metadata
        What the trace file says about itself.

    Returns
    -------
    str
        SHA-256 over what the records said: times, counts, cgroups, processes,
        quality. No pass over the rows is needed; two recordings that agree in all
        of it to the nanosecond are taken for the same.
    """
    # the text that `identity` takes, in a tenth of the time: there are no fractions in
    # it, and letters beyond ASCII and DEL are written otherwise
    text = msgspec.json.encode(metadata.summary, order="sorted")
    if text.isascii() and b"\x7f" not in text:
        return hashlib.sha256(text).hexdigest()
    return identity(msgspec.to_builtins(metadata.summary))


def labels(info: Mapping[str, Any], table: str) -> dict[str, str]:
    """Return the schema metadata of a table: which run it came from.

    Parameters
    ----------
    info : mapping
        The content of ``run.json``.
    table : str
        Name of the table.

    Returns
    -------
    dict of str to str
        No times in it, so equal runs write equal files.
    """
    values = {
        "table": table,
        "schema_version": str(info["schema_version"]),
        "version": info["versions"]["replay"],
        "scenario_sha256": info["scenario_sha256"],
        "trace_sha256": info["trace"]["sha256"],
        "notes": json.dumps(info["notes"]),
    }
    # sorted, as they are when read back
    return {f"replay.{key}": values[key] for key in sorted(values)}


def identity(value: object) -> str:
    """Tell what JSON holds from all else, by SHA-256."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
