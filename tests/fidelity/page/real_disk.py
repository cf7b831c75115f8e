"""Two containers on one real disk: what a's requests take while b's run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

import replay

A, B = "/rd_a", "/rd_b"
Times = NDArray[np.int64]


def replayed(
    recording: Path | replay.Trace,
    *keys: str,
    out: Path,
    scenario: Mapping[str, Any] | None = None,
) -> tuple[Times, float, replay.Result]:
    """Return what a's requests took while b's ran, us, and b's bytes a second.

    Parameters
    ----------
    recording : Path or Trace
        A folder with its ``ids``, or a trace of one.
    *keys : str
        Overrides of the scenario.
    out : Path
        A directory that is not there yet.
    scenario : mapping or None

    Returns
    -------
    tuple of (ndarray, float, Result)
    """
    trace = (
        recording
        if isinstance(recording, replay.Trace)
        else replay.open_or_convert(recording)
    )
    result = replay.run(trace, scenario, overrides=keys, output=out, requests=True)
    rows = pq.read_table(out / "requests.parquet").to_pandas()
    nbytes = np.concatenate([b.column("nbytes").to_numpy() for b in trace.batches()])
    rows = rows[rows["completion_ns"].notna()]
    rows["begin"] = rows["arrival_ns"] + rows["throttle_ns"]
    of_b = rows[rows["issuer"] == B]
    first, last = of_b["begin"].min(), of_b["completion_ns"].max()
    of_a = rows[(rows["issuer"] == A) & rows["begin"].between(first, last)]
    took = (of_a["completion_ns"] - of_a["begin"]).to_numpy() / 1000
    return took, nbytes[of_b["row"]].sum() / ((last - first) / 1e9), result
