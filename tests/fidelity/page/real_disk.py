"""Two containers on one real disk: what a's requests take while b's run."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

import replay

A, B = "/rd_a", "/rd_b"
Times = NDArray[np.int64]


def replayed(folder: Path, *keys: str, out: Path) -> tuple[Times, float, replay.Result]:
    """Return what a's requests took while b's ran, us, and b's bytes a second.

    Parameters
    ----------
    folder : Path
        A recording, with its ``ids``.
    *keys : str
        Overrides of the scenario.
    out : Path
        A directory that is not there yet.

    Returns
    -------
    tuple of (ndarray, float, Result)
    """
    ids = folder / "ids"
    result = replay.run(folder, overrides=keys, cgroups=ids, output=out, requests=True)
    rows = pq.read_table(out / "requests.parquet").to_pandas()
    trace = replay.convert(folder, out / "trace.arrow", cgroups=ids)
    nbytes = np.concatenate([b.column("nbytes").to_numpy() for b in trace.batches()])
    rows = rows[rows["completion_ns"].notna()]
    rows["begin"] = rows["arrival_ns"] + rows["throttle_ns"]
    of_b = rows[rows["issuer"] == B]
    first, last = of_b["begin"].min(), of_b["completion_ns"].max()
    of_a = rows[(rows["issuer"] == A) & rows["begin"].between(first, last)]
    took = (of_a["completion_ns"] - of_a["begin"]).to_numpy() / 1000
    return took, nbytes[of_b["row"]].sum() / ((last - first) / 1e9), result
